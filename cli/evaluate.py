"""``sparserec evaluate``: how good the lists of models are on a test file, and how they differ."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from sparserec_np.data.formats import without_core
from sparserec_np.evaluation.metrics import AVERAGE_PRECISIONS, REACHABLE, RECALLS, RELEVANT, per_user
from sparserec_np.evaluation.user_values import FLIPS, RESAMPLES, PairedTest, UserValues, paired_tests
from sparserec_np.machine.files import replacing
from sparserec_np.machine.threads import set_kernel_threads

from .contenders import (
    Contender,
    count_baselines,
    measure_all,
    measure_one,
    on_common_users,
    open_runs,
    set_against,
)
from .options import json_option, weighed_reader_options
from .output import counted, emit_json, table
from .reading import read_log
from .threads import threads_option

ENDS = ("95 % from", "to")


@click.command()
@click.argument("runs", metavar="RUN [RUN]...", nargs=-1, required=True)
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
    "--baselines", is_flag=True, help="Compare with popularity and itemknn, counted in the first RUN's data."
)
@click.option(
    "--intervals",
    is_flag=True,
    help=f"Add 95 % bootstrap intervals over users, of {RESAMPLES:,} resamples.",
)
@click.option(
    "--per-user", "per_user_file", metavar="FILE", help="Write the figures of each user to FILE, as CSV."
)
@click.option(
    "--recall-of",
    type=click.Choice(tuple(RECALLS)),
    default=RELEVANT,
    show_default=True,
    help="Divide recall by a user's relevant items, or by those of them that a list can hold, at most K.",
)
@click.option(
    "--map-of",
    type=click.Choice(tuple(AVERAGE_PRECISIONS)),
    default=REACHABLE,
    show_default=True,
    help="The same of average precision, whose mean is MAP.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the intervals and of the tests between runs.",
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
def command(runs: tuple[str, ...], test_file: str, as_json: bool, **options: Any) -> None:
    """Evaluate the model in RUN on the interactions in TEST; several side by side.

    RUN is a run directory or the model file in it. For every user of TEST all items that the user
    did not have in training are ranked, equal scores in the order of the items, and the metrics are
    averaged over these users. Users and items that training never saw are left out and counted.

    With several RUNs, or --baselines, the users whom all of them know are evaluated, and each model
    is tested against the first: how often would chance alone give means as far apart? Signs of the
    users' differences are flipped at random, and the answers are corrected for their number (Holm).

    A file that was exported without what users had in training, or without users, is evaluated with
    --known FILE, which is read as TEST is: the training file, say. Users that a model makes from
    what they touched are then made from FILE, and those that the file lacks are folded in from it.
    """
    known_file, reader = options["known_file"], options["reader"]
    if test_file == known_file == "-":
        raise click.UsageError("TEST and --known cannot both be standard input.")
    opened = open_runs(runs, known_file, reader)
    if known_file is None and "weight_col" in reader:
        raise click.UsageError("--weight-col is for the file of --known, and there is none.")
    given = read_log(test_file, without_core(reader))
    set_kernel_threads(options["threads"])
    contenders = [set_against(model, given, test_file) for model in opened]
    options["ks"] = ks = tuple(dict.fromkeys(options["ks"]))
    _warn_of_seen(contenders, test_file, known_file)
    if options["baselines"]:
        contenders += [replace(contenders[0], model=model) for model in count_baselines(opened[0].seen)]
    if len(contenders) > 1:
        contenders, left_out = on_common_users(contenders, given)
        report = _compare(contenders, options) | {"users_left_out": left_out}
    else:
        report = _evaluate(contenders[0], options)
    if as_json:
        emit_json(report)
    elif len(contenders) > 1:
        _print_comparison(report, len(opened))
    else:
        _print_report(report, ks)


def _warn_of_seen(contenders: Sequence[Contender], test_file: str, known_file: str | None) -> None:
    """Says on stderr how many test interactions users had in training already."""
    for one in contenders:
        shared = one.counts["pairs_in_training"]
        where = f"are in {known_file}" if known_file else "were in training"
        if len(contenders) > 1:
            where += f" of {one.model.name}"
        if shared:
            click.echo(
                f"{test_file}: {counted(shared, 'interaction')} of {one.test.n_interactions:,} {where}, too;"
                " these are never recommended and count as missed.",
                err=True,
            )


def _evaluate(contender: Contender, options: dict[str, Any]) -> dict[str, Any]:
    """Measures one model, and writes and reports what is asked for."""
    ks, metrics = options["ks"], per_user(options["recall_of"], options["map_of"])
    if not options["intervals"] and options["per_user_file"] is None:
        return measure_one(contender, ks, metrics) | contender.counts
    (values,) = measure_all([contender], ks, metrics)
    _write_users([contender], [values], options["per_user_file"])
    return _report_of(values, options) | contender.counts


def _compare(contenders: Sequence[Contender], options: dict[str, Any]) -> dict[str, Any]:
    """Measures several models over the same users, and tests each against the first."""
    metrics = per_user(options["recall_of"], options["map_of"])
    measured = measure_all(contenders, options["ks"], metrics)
    _write_users(contenders, measured, options["per_user_file"])
    names = [one.model.name for one in contenders]
    return {
        "runs": [
            {"run": name, **_report_of(values, options), **one.counts}
            for name, values, one in zip(names, measured, contenders, strict=True)
        ],
        "tests": [
            _told(test, names) for test in paired_tests(measured[0], measured[1:], seed=options["seed"])
        ],
        "flips": FLIPS,
        "users": len(measured[0].user_ids),
    }


def _told(test: PairedTest, names: Sequence[str]) -> dict[str, Any]:
    """Writes a test for the report."""
    return {
        "run": names[1 + test.other],
        "against": names[0],
        "metric": test.name,
        "difference": test.difference,
        "p": test.p,
        "p_holm": test.p_holm,
    }


def _report_of(values: UserValues, options: dict[str, Any]) -> dict[str, Any]:
    """Reports means, and intervals where they are asked for."""
    if not options["intervals"]:
        return dict(values.summary)
    return values.summary | {
        "intervals": values.intervals(seed=options["seed"]),
        "resamples": RESAMPLES,
    }


def _write_users(contenders: Sequence[Contender], measured: Sequence[UserValues], path: str | None) -> None:
    """Writes a line for each user, and of several models for each model and user; see --per-user."""
    if path is None:
        return
    several = len(contenders) > 1
    with replacing(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow([*["run"] * several, "user", *measured[0].values])
        for one, values in zip(contenders, measured, strict=True):
            figures = zip(*(theirs.tolist() for theirs in values.values.values()), strict=True)
            for user, own in zip(values.user_ids.tolist(), figures, strict=True):
                cells = ["" if math.isnan(figure) else figure for figure in own]
                lines.writerow([*[one.model.name] * several, user, *cells])
        text.detach()


def _print_report(report: dict[str, Any], ks: tuple[int, ...]) -> None:
    """Prints the metrics as a table, and what was left out."""
    names = list(dict.fromkeys(key.partition("@")[0] for key in report if "@" in key))
    rows = [[name, *(cell for k in ks for cell in _cells(report, f"{name}@{k}"))] for name in names]
    click.echo(table(rows, ["metric", *(head for k in ks for head in _heads(report, f"@{k}"))]))
    click.echo(f"\nUsers averaged over: {report['users']:,}. {_unseen(report, 'training')}")


def _print_comparison(report: dict[str, Any], n_runs: int) -> None:
    """Prints the models side by side, how they differ from the first, and what was left out.

    Behind ``n_runs`` runs come baselines, which know what the first run knows.
    """
    runs, tests = report["runs"], report["tests"]
    keys = [key for key in runs[0] if "@" in key]
    rows = [[key, *(cell for run in runs for cell in _cells(run, key))] for key in keys]
    click.echo(table(rows, ["metric", *(head for run in runs for head in _heads(run, run["run"]))]))
    click.echo(
        f"\nDifferences from {runs[0]['run']}, and p, corrected for {counted(len(tests), 'test')} (Holm):\n"
    )
    found: dict[str, list[Any]] = {}
    for test in tests:
        found.setdefault(test["metric"], []).extend((_known(test["difference"]), test["p_holm"]))
    others = [head for run in runs[1:] for head in (run["run"], "p")]
    click.echo(table([[key, *cells] for key, cells in found.items()], ["metric", *others]))
    left = f" {counted(report['users_left_out'], 'user')} left out, whom only some of the models know."
    click.echo(f"\nUsers averaged over: {report['users']:,}.{left if report['users_left_out'] else ''}")
    for run in runs[:n_runs]:
        click.echo(_unseen(run, f"training of {run['run']}"))


def _unseen(report: dict[str, Any], training: str) -> str:
    """Says what of the test file a model does not know."""
    return (
        f"Left out as unseen in {training}: users {report['unknown_users']:,}, items {report['unknown_items']:,},"
        f" and interactions with them {report['dropped_pairs']:,}."
    )


def _heads(report: dict[str, Any], head: str) -> list[str]:
    """Names the column of a figure, and those of the ends of its interval."""
    return [head, *ENDS] if "intervals" in report else [head]


def _cells(report: dict[str, Any], key: str) -> list[float | None]:
    """Returns a figure, and the ends of its interval; what is no mean over users has none."""
    if "intervals" not in report:
        return [_known(report[key])]
    return [_known(number) for number in (report[key], *report["intervals"].get(key, (math.nan, math.nan)))]


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number
