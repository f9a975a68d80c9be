"""``sparserec compare``: models, methods and budgets side by side, as a table anybody can make."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import click

from sparserec_np.comparison.document import as_html, as_markdown
from sparserec_np.comparison.estimate import estimate
from sparserec_np.comparison.report import Comparison, as_json, budget_of, page, start_of, to_dict
from sparserec_np.comparison.sources import Sources
from sparserec_np.comparison.sweep import (
    BACKENDS,
    Outcome,
    Sweep,
    SweepDirectory,
    Workers,
    check_folder,
    sweep_through,
)
from sparserec_np.comparison.trials import Tuning
from sparserec_np.comparison.variants import BUDGETS, Axes, Impossible, Variant, variants_of
from sparserec_np.comparison.words import gain_of, p_of, seconds_of
from sparserec_np.errors import ConfigError
from sparserec_np.machine.files import replacing
from sparserec_np.sparsity.budget import parse_bytes
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.training.settings import SETTINGS

from .groups import CHOSEN, GroupedCommand, GroupedOption
from .held_out import part_or_file
from .interrupts import check_interrupts
from .options import core_reader_options, json_option
from .output import counted, emit_json, human_bytes, table
from .settings import flag, setting_options
from .threads import threads_option

AXES = ("model", "method", *BUDGETS, "start")
# Those that have the budget that is asked for.
METHODS_SHOWN = tuple(method.name for method in METHODS.values() if not method.full)
# Defaults that `train` chooses by validation and this command does not.
SHOWN = {
    **{name: "as in docs/settings.md" for name, row in SETTINGS.items() if row.train.words},
    "model": str(SETTINGS["model"].default),
    "dim": str(SETTINGS["dim"].default),
    "method": ", ".join(METHODS_SHOWN),
    "seed": f"{SETTINGS['seed'].default}, the first of --seeds",
}
REPORTS = ("report.html", "report.md", "report.json")


@click.command(cls=GroupedCommand)
@click.argument("train_file", metavar="TRAIN")
@click.option(
    "--test", "test_file", metavar="TEST", required=True, help="Interactions that all runs are measured on."
)
@click.option(
    "-o", "--output", "folder", metavar="DIR", required=True, help="Directory of the runs and the report."
)
@setting_options("train", SHOWN, AXES)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each variant."
)
@click.option(
    "--tune",
    "trials",
    cls=GroupedOption,
    group=CHOSEN,
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    help="Tune each variant by N trials, the same draws from the same ranges for all; by default start and learning"
    " rate are tried as `train` does.",
)
@click.option(
    "--k",
    "ks",
    type=click.IntRange(min=1),
    multiple=True,
    default=(20,),
    show_default=True,
    help="Length of the lists; may be repeated, and variants are compared by the first.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Variants that are worked on at a time, each in a process with its part of the cores.",
)
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=BACKENDS[0],
    show_default=True,
    help="Processes of this machine, or the workers of a Dask scheduler.",
)
@click.option("--scheduler", metavar="ADDRESS", help="With --backend dask: where the scheduler listens.")
@click.option("--plan", "only_plan", is_flag=True, help="Print the plan and train nothing.")
@threads_option
@core_reader_options
@json_option
def command(**options: Any) -> None:
    """Train all combinations of models, methods, budgets and starts on TRAIN, and set them side by side.

    Each combination is a variant. Its first seed chooses by the part of TRAIN that is held out, as
    `train` does or by --tune trials; the other seeds train with what it chose. TEST is looked at
    once for each run, when it is trained. DIR/runs then holds an ordinary run directory for each,
    and DIR the report: report.html, report.md and report.json.

    The same command goes on where it was stopped, and trains nothing twice; with more methods or
    seeds it adds to what is there. A variant that fails is told at the end, with exit code 1.

    With --backend dask, TRAIN, TEST and DIR have to be where all machines see them.
    """
    request = _Request(options)
    sweep = request.sweep()
    check_folder(sweep)
    variants, impossible = variants_of(request.axes, sweep.common, sweep.sources.load().log)
    if not variants:
        raise ConfigError(f"There is nothing to compare: {impossible[0].reason}")
    seeds = request.seeds
    missing = [variant for variant in variants if not sweep.is_finished(variant, seeds)]
    if not request.as_json:
        _print_plan(variants, impossible, request, missing)
    if request.only_plan:
        if request.as_json:
            emit_json(_plan_told(variants, impossible))
        else:
            _print_estimate(sweep, missing, request)
        return
    with SweepDirectory(sweep):
        if not request.as_json:
            _print_estimate(sweep, missing, request)
        failed = _work(sweep, missing, request)
        comparison = Comparison.of(sweep, variants, seeds, (failed, impossible), request.axes.methods[0])
        _write(sweep, comparison)
    if request.as_json:
        emit_json(to_dict(comparison) | {"run": sweep.folder})
    else:
        _print_result(comparison)
    if failed:
        click.get_current_context().exit(1)


class _Request:
    """The options of one call, brought into the form that the library takes."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self.as_json: bool = options["as_json"]
        self.only_plan: bool = options["only_plan"]
        self.workers = Workers(options["jobs"], options["backend"], options["scheduler"])
        if (self.workers.backend == "dask") != (self.workers.scheduler is not None):
            raise click.UsageError("--backend dask and --scheduler go together.")
        self._given = {
            name: options[name] for name in SETTINGS if name not in AXES and options[name] is not None
        }
        part, self._validation = part_or_file(self._given.pop("validation", None), None, None)
        if part is not None:
            self._given["validation"] = part
        first = self._given.pop("seed", SETTINGS["seed"].default)
        self.seeds = tuple(range(first, first + options["seeds"]))
        self.axes = Axes(
            options["model"] or (SETTINGS["model"].default,),
            options["method"] or METHODS_SHOWN,
            self._budgets(),
            options["start"] or (None,),
        )
        if options["trials"] and self._given.get("validation") == 0 and self._validation is None:
            raise click.UsageError("--tune needs something to choose by; leave out --validation 0.")

    def _budgets(self) -> list[tuple[str, Any]]:
        given = {name: self._options[name] for name in BUDGETS}
        named = [name for name in BUDGETS if given[name]]
        if len(named) > 1:
            raise click.UsageError(f"Give {' or '.join(map(flag, named))}, one of them as often as wanted.")
        if not named:
            return [("density", SETTINGS["density"].default)]
        values = given[named[0]]
        return [(named[0], parse_bytes(value) if isinstance(value, str) else value) for value in values]

    def sweep(self) -> Sweep:
        """Reads the data, and says what all runs have in common.

        Raises:
            click.UsageError: a file is standard input, which cannot be read by every process.
        """
        options = self._options
        files = {"train": options["train_file"], "test": options["test_file"], "validation": self._validation}
        if "-" in files.values():
            raise click.UsageError(
                "compare reads its files in every process: give files, not standard input."
            )
        far = self.workers.backend != BACKENDS[0]  # workers that may be in another folder
        placed = {name: os.path.abspath(path) if path and far else path for name, path in files.items()}
        seed = self.seeds[0]
        common = {**self._given, "seed": seed}
        share = 1 if far else max(1, (os.cpu_count() or 1) // self.workers.jobs)
        return Sweep(
            os.path.abspath(options["folder"]) if far else options["folder"],
            Sources.of(placed, options["reader"]),
            common,
            Tuning(options["trials"], tuple(self._given), seed),
            tuple(dict.fromkeys(options["ks"])),
            options["threads"] or share,
        )


def _print_plan(
    variants: Sequence[Variant],
    impossible: Sequence[Impossible],
    request: _Request,
    missing: Sequence[Variant],
) -> None:
    """Prints what there is to do, and what cannot be."""
    rows = [
        [
            *(variant.model, variant.method, budget_of(variant), start_of(variant)),
            *(variant.entries, None if variant.bytes is None else human_bytes(variant.bytes)),
            "to do" if variant in missing else "finished",
        ]
        for variant in variants
    ]
    click.echo(table(rows, ["model", "method", "budget", "start", "entries", "tables", ""]))
    runs = len(variants) * len(request.seeds)
    click.echo(f"\n{counted(len(variants), 'variant')}, {counted(runs, 'run')}; {len(missing):,} to do.")
    for one in impossible:
        click.echo(f"Impossible: {one.name}: {one.reason}")


def _plan_told(variants: Sequence[Variant], impossible: Sequence[Impossible]) -> dict[str, Any]:
    """Writes the plan for programs."""
    return {
        "variants": [
            {"name": variant.name, "entries": variant.entries, "bytes": variant.bytes} for variant in variants
        ],
        "impossible": [one._asdict() for one in impossible],
    }


def _print_estimate(sweep: Sweep, missing: Sequence[Variant], request: _Request) -> None:
    """Prints how long what is missing may take, by one short training of each model."""
    if missing:
        seconds = estimate(sweep, missing, len(request.seeds), request.workers.jobs, sweep.sources.load())
        click.echo(f"About {seconds_of(seconds)}, by one short training of each model.")


def _work(sweep: Sweep, missing: Sequence[Variant], request: _Request) -> list[Outcome]:
    """Works on what is missing, and prints what came of it; returns what failed."""
    failed: list[Outcome] = []
    outcomes = sweep_through(sweep, missing, request.seeds, request.workers) if missing else iter(())
    clock = time.perf_counter()
    for number, outcome in enumerate(outcomes, 1):
        check_interrupts()  # of which nothing may have come
        place = f"{number} of {len(missing)}  {outcome.variant.name}"
        if outcome.failure is not None:
            failed.append(outcome)
            click.echo(f"{place}: failed: {outcome.failure}", err=True)
        elif not request.as_json:
            reached = _reached(sweep, outcome.variant, request.seeds)
            left = (time.perf_counter() - clock) / number * (len(missing) - number)
            rest = f"; about {seconds_of(left)} left" if left else ""
            click.echo(f"{place}: {reached}, {seconds_of(outcome.seconds)}{rest}")
    return failed


def _reached(sweep: Sweep, variant: Variant, seeds: Sequence[int]) -> str:
    figure = f"ndcg@{sweep.ks[0]}"
    found = [run.values.means[figure] for run in sweep.measured(variant, seeds)]
    return f"{figure} {sum(found) / len(found):.4f}"


def _write(sweep: Sweep, comparison: Comparison) -> None:
    """Writes the report in its three forms."""
    blocks = page(comparison)
    for name, text in zip(REPORTS, (as_html(blocks), as_markdown(blocks), as_json(comparison)), strict=True):
        with replacing(sweep.path(name)) as stream:
            stream.write(text.encode())


def _print_result(comparison: Comparison) -> None:
    """Prints the gains, and where the report is."""
    figure = comparison.figure
    rows = [
        [
            *(gain.variant.model, budget_of(gain.variant), start_of(gain.variant), gain.mean),
            *(gain.other.method, gain.other_mean, gain_of(gain.part), p_of(gain.p_holm)),
        ]
        for gain in comparison.gains
    ]
    if rows:
        head = ["model", "budget", "start", figure, "best other", f"its {figure}", "gain", "p (Holm)"]
        click.echo(f"\nGain of {comparison.method} over the best other method:\n\n{table(rows, head)}")
    for outcome in comparison.failed:
        click.echo(f"Failed: {outcome.variant.name}: {outcome.failure}", err=True)
    click.echo(f"\nWritten to {comparison.sweep.path(REPORTS[0])}, and beside it as Markdown and JSON.")
