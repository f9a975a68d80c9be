"""``sparserec evaluate``: how good a model's lists are on a test file."""

from __future__ import annotations

from typing import Any

import click

from sparserec_np.data.formats import read_interactions
from sparserec_np.errors import DataError
from sparserec_np.evaluation.evaluate import evaluate as evaluate_model
from sparserec_np.machine.threads import set_kernel_threads
from sparserec_np.serving.model_file import load_model
from sparserec_np.training.saving import restore

from .aligning import align
from .options import json_option, reader_options
from .output import counted, emit_json, table
from .run_argument import reading_run, run_argument
from .threads import threads_option


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
@threads_option
@reader_options
@json_option
def command(
    run: str, test_file: str, ks: tuple[int, ...], threads: int | None, reader: dict[str, Any], as_json: bool
) -> None:
    """Evaluate the model in RUN on the interactions in TEST.

    RUN is a run directory or the model file in it. For every user of TEST all items that the user
    did not have in training are ranked, equal scores in the order of the items, and the metrics are
    averaged over these users. Users and items that training never saw are left out and counted.
    """
    with reading_run(run):
        model = load_model(run)
    if not (model.has_seen and model.users.rows):
        raise DataError(
            f"{run} was exported without users, or without what they have seen: evaluate the run it came from,"
            " or give `sparserec export` the test file"
        )
    with reading_run(run):
        recommender = restore(model)
    seen = model.seen
    given = read_interactions(test_file, **reader)
    test, unknown = align(
        given, seen, test_file, "the model", "; use a test file with the ids of the training file."
    )
    set_kernel_threads(threads)
    ks = tuple(dict.fromkeys(ks))
    shared = test.shared_with(seen)
    report = (
        evaluate_model(recommender.ranker(), test, seen, ks)
        | unknown._asdict()
        | {"pairs_in_training": shared}
    )
    if shared:
        click.echo(
            f"{test_file}: {counted(shared, 'interaction')} of {test.n_interactions:,} were in training, too;"
            " these are never recommended and count as missed.",
            err=True,
        )
    if as_json:
        emit_json(report)
        return
    names = list(dict.fromkeys(key.partition("@")[0] for key in report if "@" in key))
    rows = [[name, *(report[f"{name}@{k}"] for k in ks)] for name in names]
    click.echo(table(rows, ["metric", *(f"@{k}" for k in ks)]))
    click.echo(
        f"\nUsers averaged over: {report['users']:,}. Left out as unseen in training:"
        f" users {unknown.unknown_users:,}, items {unknown.unknown_items:,},"
        f" and interactions with them {unknown.dropped_pairs:,}."
    )
