"""``sparserec export``: one small file for a device, or C source, with what it weighs and what it lost."""

from __future__ import annotations

import os
from typing import Any

import click
import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import DataError
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.runtime import Array, Artifact, Ids, Recommender, count_bytes
from sparserec_np.serving.c.export import write_c
from sparserec_np.serving.model_file import ServedModel, load_model
from sparserec_np.serving.packing import (
    VALUES,
    DeviceRanker,
    count_tables,
    keep_items,
    keep_users,
    overlap,
    pack,
    without_seen,
    write_export,
)

from .names import known
from .options import json_option, reader_options
from .output import counted, emit_json, table
from .run_argument import reading_run, run_argument

K = 20
SAMPLED_USERS = 1000


@click.command(short_help="Write one small file for a device, or C source.")
@run_argument
@click.option(
    "-o", "--output", required=True, metavar="PATH", help="The file to write; with --to c, the directory."
)
@click.option(
    "--to",
    "to",
    type=click.Choice(("file", "c")),
    default="file",
    show_default=True,
    help="A model file, or C source: a header, a program and its Makefile.",
)
@click.option(
    "--dtype",
    type=click.Choice(tuple(VALUES)),
    help="Type of a file's values, by default int8, which has a scale for each dimension.",
)
@click.option(
    "--drop",
    type=click.Choice(("users", "seen")),
    multiple=True,
    help="Leave out all users (people are folded in from their items), or what users had in training.",
)
@click.option(
    "--users", "users_file", metavar="FILE", help="Keep only these users: a file of ids, one a line."
)
@click.option("--items", "items_file", metavar="FILE", help="Keep only these items.")
@click.option(
    "--test", "test_file", metavar="FILE", help="Measure Recall@20 and NDCG@20 before and after on this file."
)
@reader_options
@json_option
def command(
    run: str,
    output: str,
    to: str,
    dtype: str | None,
    drop: tuple[str, ...],
    users_file: str | None,
    items_file: str | None,
    test_file: str | None,
    reader: dict[str, Any],
    as_json: bool,
) -> None:
    """Export the model in RUN, and measure what that cost.

    RUN is a run directory or the model file in it. Bytes are those of the file before and after. What is lost is
    measured over the users and items that are kept, in lists of 20: on the file of --test if one is given, else as
    the part of each list that stays, over a sample of users. With --drop users every list is made by folding the
    user in from the items they had in training.

    With --to c nothing is lost: the values stay in float32, and the lists are those of the model, to the last bit.
    """
    if to == "c":
        for flag, value in (("--dtype", dtype), ("--test", test_file)):
            if value is not None:
                raise click.UsageError(
                    f"{flag} is of no use with --to c, which keeps float32 and loses nothing; leave it out."
                )
    with reading_run(run):
        model = load_model(run)
    before = count_bytes(model.encode().arrays) | {"tables": count_tables(model.encode())}
    dense_bytes = 4 * model.dim * (model.users.rows + model.items.rows)
    if users_file is not None:
        model = keep_users(model, _read_rows(users_file, model.user_ids, "user"))
    if items_file is not None:
        model = keep_items(model, _read_rows(items_file, model.item_ids, "item"))
    if to == "c":
        _report_c(output, _without(model, drop), as_json)
        return
    dtype = dtype or "int8"
    artifact = pack(_without(model, drop), dtype)
    loss = _measure(model, artifact, "users" in drop, test_file, reader)
    file_bytes = write_export(output, artifact)
    after = count_bytes(artifact.arrays) | {"tables": count_tables(artifact)}
    report = {
        "file": output,
        "dtype": dtype,
        "users": int(artifact.metadata["n_users"]),
        "items": int(artifact.metadata["n_items"]),
        "file_bytes": file_bytes,
        "bytes_before": before,
        "bytes_after": after,
        "dense_bytes": dense_bytes,
        "tables_of_dense": after["tables"] / dense_bytes,
        **loss,
    }
    if as_json:
        emit_json(report)
        return
    rows = [
        [name, before[name], after[name]] for name in ("values", "columns", "indptr", "tables", "ids", "seen")
    ]
    click.echo(table(rows, ["bytes", "before", "after"]))
    click.echo(
        f"\nThe tables take {report['tables_of_dense']:.1%} of a full float32 table's {dense_bytes:,} B."
    )
    for line in _said(loss):
        click.echo(line)
    click.echo(f"Written to {output}: {file_bytes:,} B.")


def _report_c(folder: str, model: ServedModel, as_json: bool) -> None:
    """Writes the model as C source, and prints what it will take."""
    sizes = write_c(model, folder)
    if as_json:
        emit_json({"folder": folder, "users": model.users.rows, "items": model.items.rows, "bytes": sizes})
        return
    click.echo(table([[name, size] for name, size in sizes.items()], ["bytes", "size"]))
    click.echo(f"Written to {folder}. Next: make -C {folder} && {os.path.join(folder, 'recommend')} USER")


def _without(model: ServedModel, drop: tuple[str, ...]) -> ServedModel:
    if "users" in drop:
        model = keep_users(model, np.zeros(0, dtype=np.intp))
    return without_seen(model) if "seen" in drop else model


def _read_rows(path: str, ids: Array, noun: str) -> Array:
    """(m,) ascending rows of the ids in a file. Raises DataError for one the model does not know, and for none."""
    try:
        with open(path, encoding="utf-8") as file:
            wanted = [line.strip() for line in file if line.strip()]
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text in UTF-8; expected one id a line") from None
    if not wanted:
        raise DataError(f"{path} holds no ids; expected one {noun} id a line")
    lookup = Ids.from_array(ids)
    rows = [lookup.find(known(lookup, one, noun)) for one in wanted]
    return np.unique(np.array(rows, dtype=np.intp))


def _measure(
    model: ServedModel, artifact: Artifact, folds_in: bool, test_file: str | None, reader: dict[str, Any]
) -> dict[str, Any]:
    """What the lists lost from ``model`` to the file: metrics on a test file, or the part of the lists that stays."""
    if not model.has_seen:
        if test_file is not None:
            raise DataError(
                "The model does not hold the items that users have seen: export from the run it came from"
            )
        return {}
    if not model.users.rows:
        return {}
    seen = Interactions(model.seen_indptr, model.seen_items, model.user_ids, model.item_ids)
    rankers = DeviceRanker(Recommender(model.encode())), DeviceRanker(Recommender(artifact), folds_in)
    if test_file is not None:
        from sparserec_np.data.formats import read_interactions

        test, _ = read_interactions(test_file, **reader).aligned_to(seen)
        if not test.n_interactions:
            raise DataError(f"No interaction in {test_file} is between a user and an item that are kept.")
        reports = [evaluate(ranker, test, seen, (K,)) for ranker in rankers]
        names = [f"{name}@{K}" for name in ("recall", "ndcg")]
        return {
            "measured_users": int(reports[0]["users"]),
            "metrics_before": {name: reports[0][name] for name in names},
            "metrics_after": {name: reports[1][name] for name in names},
            "lost": {
                name: 1 - reports[1][name] / reports[0][name] if reports[0][name] else 0.0 for name in names
            },
        }
    users = np.arange(model.users.rows)
    if len(users) > SAMPLED_USERS:
        users = np.sort(np.random.default_rng(0).choice(users, SAMPLED_USERS, replace=False))
    lists = [ranker.rank(users, min(K, model.items.rows), seen)[0] for ranker in rankers]
    return {"measured_users": len(users), f"overlap@{K}": overlap(*lists)}


def _said(loss: dict[str, Any]) -> list[str]:
    """What was lost, in sentences."""
    if "lost" in loss:
        return [
            f"{name} over {counted(loss['measured_users'], 'user')}: {loss['metrics_before'][name]:.4f} before,"
            f" {loss['metrics_after'][name]:.4f} after; lost {part:.2%}."
            for name, part in loss["lost"].items()
        ]
    if f"overlap@{K}" in loss:
        kept = loss[f"overlap@{K}"]
        return [f"Of the lists of {K} of {counted(loss['measured_users'], 'user')}, {kept:.2%} stays."]
    return ["What it cost in the lists is unknown: the model holds no users, or not what they have seen."]
