"""``sparserec data``: look at interaction files, convert, split, generate and download them."""

from __future__ import annotations

import datetime
import os
from typing import Any

import click
import numpy as np

from sparserec_np.data.formats import Reading, format_to_write, would_be_doubtful, write_interactions
from sparserec_np.data.formats.tally import Tally
from sparserec_np.data.ids import are_texts
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.synthetic import generate as generate_interactions
from sparserec_np.errors import DataError
from sparserec_np.machine.files import gathering

from . import fetch
from .options import WRITABLE, core_reader_options, json_option, to_option
from .output import emit_json, human_bytes, table
from .reading import read_reading
from .splitting import WAYS, Splitting

QUANTILES = {"min": 0.0, "10%": 0.1, "median": 0.5, "90%": 0.9, "max": 1.0}
ENDINGS = {kind: f".{kind}" for kind in WRITABLE} | {"adjacency": ".txt"}
SECONDS = (10**8, 10**10)  # moments taken for seconds since 1970: from 1973 to 2286
# What a grammar cannot hold, as the keys of the reports below.
TIMELESS = ("adjacency", "npz", "mtx")
ORDERLESS = ("csv", "tsv", "inter", "npz", "mtx")
PAIRS_ONLY = ("csv", "tsv", "inter")
SHOWN_COLUMNS = 10


@click.group()
def command() -> None:
    """Look at interaction files, convert, split, generate and download them.

    A FILE may be compressed with gzip; - is standard input.
    """


command.add_command(fetch.command)


@command.command(short_help="What is in an interaction file.")
@click.argument("file")
@core_reader_options
@json_option
def describe(file: str, reader: dict[str, Any], as_json: bool) -> None:
    """Show what FILE holds: users, items, interactions, ratings, and how they are spread.

    A row rated 0 or less is no interaction, and is counted: --rating-col none makes it one, and
    --min-rating leaves out more.
    """
    found = read_reading(file, reader, reported=True)
    log, tally = found.interactions, found.tally
    times = log.times if log.dated else None
    degrees = {"items_per_user": log.user_degrees, "users_per_item": log.item_degrees}
    report: dict[str, Any] = {
        "file": file,
        "format": found.format,
        "users": log.n_users,
        "items": log.n_items,
        "interactions": log.n_interactions,
        "density": log.density,
        "duplicates_merged": log.duplicates,
        "below_min_rating": found.below_min_rating,
        "rating_column": tally.rating,
        "rating_from": tally.lowest,
        "rating_to": tally.highest,
        "rated_0_or_less": tally.rated_0_or_less,
        "weight_column": tally.weight,
        "weight_from": None if log.weights is None else float(log.weights.min()),
        "weight_to": None if log.weights is None else float(log.weights.max()),
        "dislikes": 0 if log.disliked is None else log.disliked.n_interactions,
        "without_rating": tally.unknown_ratings + tally.odd_ratings,
        "unreadable_rating": tally.odd_rating or None,
        "bad_lines": tally.bad.count,
        "users_without_items": int(np.count_nonzero(log.user_degrees == 0)),
        "items_without_users": int(np.count_nonzero(log.item_degrees == 0)),
        "user_ids": _kind(log.user_ids),
        "item_ids": _kind(log.item_ids),
        "time_from": None if times is None else times.min().item(),
        "time_to": None if times is None else times.max().item(),
        "items_in_time_order": log.times is not None,
        "unreadable_time": tally.odd_time or None,
        "bytes": log.nbytes,
        "digest": log.digest(),
        **{name: _quantiles(values) for name, values in degrees.items()},
    }
    if as_json:
        emit_json(report)
        return
    click.echo(
        table(
            [
                (name.replace("_", " "), _shown(name, value))
                for name, value in report.items()
                if name not in degrees
            ]
        )
    )
    click.echo()
    rows = [(name.replace("_", " "), *report[name].values()) for name in degrees]
    click.echo(table(rows, ["quantiles", *report["items_per_user"]]))


@command.command(short_help="Write an interaction file in another format.")
@click.argument("file")
@click.argument("out")
@to_option
@click.option(
    "--renumber",
    is_flag=True,
    help="Replace the ids by 0, 1, 2, ... in their order (in mtx by 1, 2, 3, ...).",
)
@core_reader_options
@json_option
def convert(
    file: str, out: str, to: str | None, renumber: bool, reader: dict[str, Any], as_json: bool
) -> None:
    """Write the interactions of FILE to OUT in another grammar.

    The ending of OUT says which (.txt is adjacency; .gz compresses), or --to does. A .safetensors
    file is mapped into memory instead of read: for interactions that are many.

    Weights that --weight-col names, and dislikes, are kept but in adjacency: as columns weight and
    rating (-1 is a dislike), or as values of a matrix, to be read with --weight-col weight (or
    values) and --dislike-below 0. A .safetensors file holds both without being asked.
    """
    kind = format_to_write(out, to)  # before a long read is in vain
    reading = read_reading(file, reader)
    log = reading.interactions
    if renumber:
        log = log.renumbered(first=1 if kind == "mtx" else 0)
    write_interactions(log, out, kind)
    _report([_written(out, "all", kind, log, reading)], as_json)


@command.command(short_help="Hold out a test part, and perhaps a validation part.")
@click.argument("file")
@click.option(
    "-o",
    "--output",
    "folder",
    required=True,
    metavar="DIR",
    help="Folder to write to; made if it is not there.",
)
@click.option(
    "--by",
    type=click.Choice(tuple(WAYS)),
    default="random",
    show_default=True,
    help="Hold out a share of each user's items, each user's last items, everything after one moment, each interaction"
    " in one of some folds, one interaction of each user, or whole users.",
)
@click.option(
    "--test",
    "test_share",
    type=float,
    help="Share for the test file (random, time), or of the users (users); by default 0.2.",
)
@click.option(
    "--validation",
    "validation_share",
    type=float,
    default=0.0,
    show_default=True,
    help="Share of what is left then for a validation file, chosen in the same way; 0 for none. "
    "With --by last any share above 0 means as many items per user again. Goes with random, last and time.",
)
@click.option("--n", "-n", "n", type=int, help="Items per user for the test file (last; by default 1).")
@click.option(
    "--folds",
    type=click.IntRange(min=1),
    metavar="K",
    help="Write K pairs of files, fold1-train and fold1-test and so on (folds, where it is 5 by default;"
    " leave-one-out, last, users).",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the random choice."
)
@click.option(
    "--to",
    "to",
    type=click.Choice(WRITABLE),
    help="Grammar; by default csv for text ids, times, and lists as short as rows, else adjacency.",
)
@click.option("--gz", is_flag=True, help="Compress the files.")
@core_reader_options
@json_option
def split(file: str, folder: str, reader: dict[str, Any], as_json: bool, **options: Any) -> None:
    """Split FILE into a train, a test and perhaps a validation file in one folder.

    Ids stay as they are, so that the files go together. A user keeps at least one item for
    training, except with --by time, where everything after the moment is held out, and --by users,
    where nothing is kept of those held out: four fifths of theirs go to the file known, for
    evaluate --known, and the rest to test. With --by folds a user's single interaction is held out
    once, too. All files are written, or none.
    """
    to, gz = options.pop("to"), options.pop("gz")
    way = Splitting(**options)
    way.check()
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise DataError(f"{folder} is a file; expected a folder for the parts, or a new name.")
    reading = read_reading(file, reader)
    log = reading.interactions
    way.check_times(reading)
    parts = way.parts(log)
    kind = to or _fitting(log, parts)
    rows = []
    with gathering(folder) as unfinished:
        for name, part in parts.items():
            file_name = name + ENDINGS[kind] + (".gz" if gz else "")
            write_interactions(part, os.path.join(unfinished, file_name), kind)
            rows.append(_written(os.path.join(folder, file_name), name, kind, part, reading))
    _report(rows, as_json)


def _fitting(log: Interactions, parts: dict[str, Interactions]) -> str:
    """Returns the grammar that holds what there is, and can be told when the parts are read."""
    words = are_texts(log.user_ids) or are_texts(log.item_ids)
    negative = not words and min(log.user_ids[0], log.item_ids[0]) < 0
    doubtful = any(map(would_be_doubtful, parts.values()))
    timed = log.times is not None and log.dated
    more = timed or any(array is not None for array in (log.weights, log.disliked))
    return "csv" if words or negative or more or doubtful else "adjacency"


@command.command(short_help="Make a realistic data set of any size.")
@click.argument("out")
@click.option(
    "--users", "n_users", type=int, default=2000, show_default=True, help="Users, each with an item at least."
)
@click.option("--items", "n_items", type=int, default=1500, show_default=True, help="Items.")
@click.option(
    "--interactions",
    "n_interactions",
    type=int,
    default=40_000,
    show_default=True,
    help="Distinct pairs of both.",
)
@click.option("--groups", type=int, default=20, show_default=True, help="Latent groups of items.")
@click.option("--seed", type=int, default=0, show_default=True, help="Where the random numbers start.")
@to_option
@json_option
def generate(out: str, to: str | None, as_json: bool, **sizes: int) -> None:
    """Write a made-up data set to OUT: popular and rare items, busy and quiet users, latent groups."""
    kind = format_to_write(out, to)
    log = generate_interactions(**sizes)
    write_interactions(log, out, kind)
    _report([_written(out, "all", kind, log)], as_json)


def _written(
    path: str, part: str, kind: str, log: Interactions, reading: Reading | None = None
) -> dict[str, Any]:
    """Reports what became of a file, and what of ``reading`` is not in it."""
    idle = int(np.count_nonzero(log.user_degrees == 0))
    return {
        "file": path,
        "part": part,
        "format": kind,
        "users": log.n_users - (idle if kind in PAIRS_ONLY else 0),
        "items": int(np.count_nonzero(log.item_degrees)),
        "interactions": log.n_interactions,
        "users_lost": idle if kind in PAIRS_ONLY else 0,
        "times_lost": log.times is not None and log.dated and kind in TIMELESS,
        "order_lost": log.times is not None and not log.dated and kind in ORDERLESS,
        "weights_lost": log.weights is not None and kind == "adjacency",
        "dislikes_lost": log.disliked.n_interactions if log.disliked and kind == "adjacency" else 0,
        "unreadable_time": (reading.tally.odd_time if reading else "") or None,
        "ratings_lost": reading is not None and _loses_ratings(reading.tally),
        "columns_lost": [] if reading is None else list(reading.unread),
    }


def _loses_ratings(tally: Tally) -> bool:
    """Tells whether ratings say more than that there is an interaction, and are not kept as weights."""
    return tally.tells_ratings and tally.rating != tally.weight


def _report(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        emit_json({"files": rows})
        return
    headers = ["file", "format", "users", "items", "interactions"]
    click.echo(table([[row[name] for name in headers] for row in rows], headers))
    for number, row in enumerate(rows):
        for loss in _losses(row, whole=number == 0):
            click.echo(f"{row['file']}: {loss}", err=True)


def _losses(row: dict[str, Any], whole: bool) -> list[str]:
    """Says what a file could not hold of what was read; what all parts lack is said of one, the ``whole``."""
    losses = []
    if whole:
        if row["users_lost"]:
            losses.append(f"{row['format']} cannot hold {row['users_lost']:,} users without items.")
        if row["ratings_lost"]:
            losses.append("the ratings are not kept; --min-rating chooses among them when FILE is read.")
        if row["unreadable_time"]:
            losses.append(f"the times are not kept, because of {row['unreadable_time']}.")
        if row["columns_lost"]:
            names = row["columns_lost"]
            shown = ", ".join(names[:SHOWN_COLUMNS]) + ", ..." * (len(names) > SHOWN_COLUMNS)
            losses.append(f"other columns are not kept: {shown}.")
    if row["weights_lost"]:
        losses.append(f"{row['format']} cannot hold the weights; csv can.")
    if row["dislikes_lost"]:
        losses.append(f"{row['format']} cannot hold {row['dislikes_lost']:,} dislikes; csv can.")
    if row["times_lost"]:
        kept = " but for their order" if row["format"] == "adjacency" else ""
        losses.append(f"{row['format']} cannot hold the times{kept}; csv can.")
    if row["order_lost"]:
        losses.append(
            f"{row['format']} cannot hold the order of a user's items; adjacency and safetensors can."
        )
    return losses


def _kind(ids: np.ndarray[Any, Any]) -> str:
    """Says how the ids look: ``0..n-1``, integers with gaps, or text."""
    if are_texts(ids):
        return "text"
    return (
        f"integers {ids[0]} to {ids[-1]}{', no gaps' if ids[-1] - ids[0] == ids.size - 1 else ', with gaps'}"
    )


def _quantiles(values: np.ndarray[Any, Any]) -> dict[str, float]:
    points = np.quantile(values, list(QUANTILES.values()), method="nearest")
    return {**dict(zip(QUANTILES, points.tolist(), strict=True)), "mean": float(values.mean())}


def _shown(name: str, value: Any) -> Any:
    """Writes a cell of the report; a time that can be seconds since 1970 is a date too."""
    if name == "bytes":
        return human_bytes(value)
    if name == "rated_0_or_less" and value:
        return f"{value:,} (no interactions, unless --rating-col none or --min-rating says so)"
    if name in ("time_from", "time_to") and value is not None and SECONDS[0] <= value < SECONDS[1]:
        moment = datetime.datetime.fromtimestamp(value, datetime.timezone.utc)
        return f"{value} ({moment:%Y-%m-%d %H:%M:%S} UTC)"
    return value
