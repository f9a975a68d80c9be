"""The way from a training about to begin to its run directory: records, progress, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import click

from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.machine.limits import megabytes
from sparserec_np.machine.memory import available_bytes, peak_bytes, resident_bytes
from sparserec_np.machine.threads import most_threads
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.training.checkpoints import CheckpointFile
from sparserec_np.training.fitted import Fitted, validation_metrics
from sparserec_np.training.memory_estimate import MemoryEstimate
from sparserec_np.training.plan import budget_of
from sparserec_np.training.run_directory import RunDirectory, is_finished, was_stopped
from sparserec_np.training.search import estimate
from sparserec_np.training.settings import Config

from .epochs import epoch_progress, recorded
from .interrupts import held_interrupts
from .output import human_bytes, table
from .resuming import Keeping


@dataclass(frozen=True)
class Source:
    """The origin of a run's data, as its configuration keeps it.

    Attributes:
        train, validation: paths; None where there is no such file.
        reader: keywords of :func:`sparserec_np.data.formats.read_interactions`.
        more: of an update, the run it goes on from and the file it goes on with, by name.
    """

    train: str | None
    validation: str | None
    reader: dict[str, Any]
    more: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Makes what :func:`sparserec_np.training.run_directory.read_config` reads."""
        return {
            "train": self.train,
            "validation": self.validation,
            "reader": self.reader,
            **self.more,
        }


@dataclass(frozen=True)
class Work:
    """A training that is about to begin.

    Attributes:
        log: the interactions.
        config: the settings.
        fit: trains, and calls what it is given with the record of each epoch.
        source: where the interactions come from.
    """

    log: Interactions
    config: Config
    fit: Callable[[Callable[[dict[str, Any]], None]], Fitted]
    source: Source


@dataclass(frozen=True)
class Telling:
    """The facts that are told of a training besides what it gives.

    Attributes:
        sizes: the line to print before the budget; None to print nothing.
        counts: counts of what was read, for the report.
        imports: bytes resident before any data was read.
        looked: seconds that went into the choice of what to train.
        threads: threads to work on; None for all.
        left_out: what is not tried, as memory does not allow it, and the bytes that it needs; it
            may grow.
    """

    sizes: str | None
    counts: dict[str, int]
    imports: int
    looked: float = 0.0
    threads: int | None = None
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Held:
    """A run directory that this command holds, and the checkpoints in it.

    Attributes:
        directory: the directory.
        checkpoints: of the training.
        keeping: how they are kept.
        in_place: whether the run replaces what it was made of, so that nobody can go on from there.
    """

    directory: RunDirectory
    checkpoints: CheckpointFile
    keeping: Keeping
    in_place: bool = False

    def close(self, interrupted: bool) -> str:
        """Removes the checkpoint of a run that is written, if it is not to stay; says how to go on, if one can."""
        if interrupted and not self.in_place and was_stopped(self.directory.path):
            return f" Go on with `sparserec {self.keeping.command} --resume {self.directory.path}`."
        if not self.keeping.stays:
            with suppress(OSError):  # the run is complete
                self.checkpoints.remove()
        return ""


@contextmanager
def run_directory(run: str, overwrite: bool, keeping: Keeping) -> Iterator[Held]:
    """Holds the directory RUN, which only ``overwrite`` lets replace a finished run.

    The same goes for a training that was stopped, unless it goes on. A checkpoint outlasts what
    the user or the machine stops, and no error in what was asked for.

    Raises:
        ConfigError: it holds one.
        SparseRecError: it is no place for a run, or another training writes to it.
    """
    replaces = overwrite or keeping.resumed is not None
    _refuse_to_replace(run, replaces, keeping)
    with RunDirectory(run) as directory:
        _refuse_to_replace(run, replaces, keeping)  # another training may have ended just now
        held = Held(directory, keeping.file_in(directory), keeping)
        try:
            yield held
        except SparseRecError:
            if held.checkpoints.written and keeping.resumed is None:
                held.checkpoints.remove()
            raise


def _refuse_to_replace(run: str, replaces: bool, keeping: Keeping) -> None:
    if replaces:
        return
    if is_finished(run):
        raise ConfigError(f"{run} holds a finished run: name another, or say --overwrite to replace it")
    if was_stopped(run):
        raise ConfigError(
            f"{run} holds a training that was stopped: go on with `sparserec {keeping.command} --resume {run}`, or say"
            " --overwrite to begin anew"
        )


def write_run(held: Held, work: Work, telling: Telling) -> dict[str, Any]:
    """Trains with records and progress, writes the run, and returns the report.

    Prints what is to be told.
    """
    counted = BASE_MODELS[work.config.model].counted
    expected = None if counted else _expected(work, telling)
    if telling.sizes is not None:
        click.echo(telling.sizes)
        if not counted:
            click.echo(f"Budget: {_arithmetic(work)}")
        if expected is not None:
            click.echo(f"Memory: {expected.arithmetic()}")
        if not work.config.trained:
            click.echo(
                "Users' rows are no plain sums, which no gradient is taken through: the start is kept, epoch 0."
            )
    _warn_of_memory(expected)
    directory, clock = held.directory, time.perf_counter()
    progress = nullcontext(lambda record: None) if counted else epoch_progress(work.config.epochs)
    with recorded(directory, progress) as on_epoch:
        fitted = work.fit(on_epoch)
    seconds = held.checkpoints.earlier + telling.looked + time.perf_counter() - clock
    with held_interrupts():  # what is trained is not lost in its last second
        left_out = {"left_out": telling.left_out} if telling.left_out else {}
        file_bytes = directory.finish(fitted, work.log, work.source.to_dict() | left_out)
        more = held.close(fitted.interrupted)
    if fitted.interrupted:
        click.echo(
            f"Interrupted: the best state so far (epoch {fitted.best_epoch}) is saved in {directory.path}.{more}",
            err=True,
        )
    report = {
        "run": directory.path,
        "model": work.config.model,
        "method": "counted" if counted else work.config.method,
        **_figures(fitted),
        **telling.counts,
        "seconds": seconds,
        "serving_bytes": fitted.budget.total_bytes + fitted.model.weights.nbytes,
        "file_bytes": file_bytes,
        "checkpoint_bytes": held.checkpoints.written,
        "checkpoint_seconds": held.checkpoints.cost,
        "memory": _memory(fitted, telling, expected),
    }
    if telling.sizes is not None:
        click.echo(_shown(report, validation_metrics(fitted)))
    return report


def _expected(work: Work, telling: Telling) -> MemoryEstimate:
    """Estimates the memory that the training takes."""
    return estimate(work.log, work.config, min(telling.threads or most_threads(), most_threads()))


def _warn_of_memory(expected: MemoryEstimate | None) -> None:
    """Says so where the machine has less memory left than the training may need."""
    left = available_bytes()
    if expected is not None and left is not None and expected.total > left + resident_bytes():
        click.echo(
            f"Warning: training may need {megabytes(expected.total)}, and this machine has {megabytes(left)} left.",
            err=True,
        )


def _memory(fitted: Fitted, telling: Telling, expected: MemoryEstimate | None) -> dict[str, Any]:
    """Collects what the report says of memory, bytes."""
    more: dict[str, Any] = {} if expected is None else {"estimate": expected.rows()}
    if telling.left_out:
        more["left_out"] = telling.left_out
    return {"imports": telling.imports, **fitted.bytes, "peak_resident": peak_bytes(), **more}


def _arithmetic(work: Work) -> str:
    """Spells out how the budget comes about."""
    return METHODS[work.config.method].spend(budget_of(work.log, work.config)).arithmetic()


def _figures(fitted: Fitted) -> dict[str, Any]:
    """Collects what the report says of a trained model."""
    stored, budget = fitted.model.table, fitted.budget
    return {
        "dim": budget.dim,
        "item_columns": budget.marks,
        "budget": budget.nnz,
        "nnz": stored.nnz,
        "density": stored.nnz / (stored.rows * budget.dim),
        "best_epoch": fitted.best_epoch,
        "interrupted": fitted.interrupted,
        **validation_metrics(fitted),
    }


def _shown(report: dict[str, Any], metrics: dict[str, float]) -> str:
    """Writes the report as a table for eyes."""
    rows: list[list[Any]] = [
        ["kept epoch", report["best_epoch"]],
        ["seconds", round(report["seconds"], 1)],
        ["stored entries", report["nnz"]],
        ["served tables and ids", human_bytes(report["serving_bytes"])],
        ["peak resident memory", human_bytes(report["memory"]["peak_resident"])],
        *([name.replace("_", " "), value] for name, value in metrics.items()),
    ]
    return table(rows)
