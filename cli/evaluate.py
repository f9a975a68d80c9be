"""``sparserec evaluate``: how good a model's lists are on a test file."""

from __future__ import annotations

from typing import Any

import click

from sparserec_np.data.formats import without_core
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import DataError
from sparserec_np.evaluation.measuring import measure
from sparserec_np.machine.threads import set_kernel_threads
from sparserec_np.serving.model_file import ServedModel, load_model
from sparserec_np.training.saving import ids_known_to, ranker_for

from .aligning import align
from .options import json_option, weighed_reader_options
from .output import counted, emit_json, table
from .reading import read_log
from .run_argument import reading_run, run_argument
from .threads import threads_option

ADVICE = "; use a test file with the ids of the training file."


@click.command()
@run_argument
@click.argument("test_file", metavar="TEST")
@click.option(
    "--k",
    "ks",
    type=click.IntRange(min=1),
    multiple=True,
    default=(20,),
    show_default=True,
    help="Length of the lists; may be repeated.",
)
@click.option(
    "--known",
    "known_file",
    metavar="FILE",
    help="Interactions that users are known to have, instead of those in RUN, which may hold none.",
)
@threads_option
@weighed_reader_options
@json_option
def command(run: str, test_file: str, ks: tuple[int, ...], as_json: bool, **options: Any) -> None:
    """Evaluate the model in RUN on the interactions in TEST.

    RUN is a run directory or the model file in it. For every user of TEST all items that the user
    did not have in training are ranked, equal scores in the order of the items, and the metrics are
    averaged over these users. Users and items that training never saw are left out and counted.

    A file that was exported without what users had in training, or without users, is evaluated with
    --known FILE, which is read as TEST is: the training file, say. Users that a model makes from
    what they touched are then made from FILE, and those that the file lacks are folded in from it.
    """
    known_file, reader = options["known_file"], options["reader"]
    if test_file == known_file == "-":
        raise click.UsageError("TEST and --known cannot both be standard input.")
    with reading_run(run):
        model = load_model(run)
    seen = _seen(model, run, known_file, reader)
    with reading_run(run):
        ranker = ranker_for(model, seen)
    if known_file is None and "weight_col" in reader:
        raise click.UsageError("--weight-col is for the file of --known, and there is none.")
    given = read_log(test_file, without_core(reader))
    test, unknown = align(given, seen, test_file, "the model", ADVICE)
    set_kernel_threads(options["threads"])
    ks = tuple(dict.fromkeys(ks))
    shared = test.shared_with(seen)
    report = measure(ranker, test, seen, ks) | unknown._asdict() | {"pairs_in_training": shared}
    if shared:
        where = f"are in {known_file}" if known_file else "were in training"
        click.echo(
            f"{test_file}: {counted(shared, 'interaction')} of {test.n_interactions:,} {where}, too;"
            " these are never recommended and count as missed.",
            err=True,
        )
    if as_json:
        emit_json(report)
    else:
        _print_report(report, ks)


def _seen(model: ServedModel, run: str, known_file: str | None, reader: dict[str, Any]) -> Interactions:
    """Returns what users touched, as a file says it, or else the model.

    A line says how much of the file the model does not know.

    Raises:
        DataError: neither says it, or nothing in the file is known to the model.
    """
    if known_file is None:
        if model.has_seen and model.users.rows:
            return model.seen
        raise DataError(
            f"{run} was exported without users, or without what they have seen: give what they had in training with"
            " --known FILE, or evaluate the run it came from"
        )
    known = read_log(known_file, reader)
    seen, unknown = align(known, ids_known_to(model, known), known_file, "the model")
    if unknown.dropped_pairs:
        left = counted(unknown.dropped_pairs, "interaction")
        click.echo(f"{known_file}: {left} of users or items that the model does not know left out.", err=True)
    return seen


def _print_report(report: dict[str, Any], ks: tuple[int, ...]) -> None:
    """Prints the metrics as a table, and what was left out."""
    names = list(dict.fromkeys(key.partition("@")[0] for key in report if "@" in key))
    rows = [[name, *(report[f"{name}@{k}"] for k in ks)] for name in names]
    click.echo(table(rows, ["metric", *(f"@{k}" for k in ks)]))
    click.echo(
        f"\nUsers averaged over: {report['users']:,}. Left out as unseen in training:"
        f" users {report['unknown_users']:,}, items {report['unknown_items']:,},"
        f" and interactions with them {report['dropped_pairs']:,}."
    )
