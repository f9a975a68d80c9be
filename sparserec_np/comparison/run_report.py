"""The page of finished runs: what they are, what they reached, and how training went."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sparserec_np.comparison.document import Block, Figure, Heading, Listing, Prose, Table
from sparserec_np.comparison.drawing import MISSING, MOST, Axes, Curve, can_draw, draw
from sparserec_np.comparison.histories import History, kept_history
from sparserec_np.comparison.versions import machine, versions
from sparserec_np.comparison.words import bytes_of, figure_of, seconds_of
from sparserec_np.errors import SparseRecError
from sparserec_np.runtime import Recommender
from sparserec_np.training.fitted import Record
from sparserec_np.training.run_directory import CONFIG, file_of, read_config, read_records


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, as a page tells it.

    Attributes:
        name: the directory, as it was given.
        config: the settings, those that are not None.
        data: where the interactions came from, likewise.
        model: what `inspect` tells of the model.
        records: of the epochs, in their order.
    """

    name: str
    config: dict[str, Any]
    data: dict[str, Any]
    model: dict[str, Any]
    records: list[Record]

    @classmethod
    def open(cls, path: str) -> FinishedRun:
        """Reads a run directory.

        Raises:
            SparseRecError: it is none, or not finished.
            ArtifactError, ConfigError: what is in it is not sound.
        """
        if not os.path.isfile(file_of(path, CONFIG)):
            raise SparseRecError(
                f"{path} is no run directory: expected the folder that `sparserec train -o` wrote, with {CONFIG} in it"
            )
        config, data = read_config(file_of(path, CONFIG))
        told = {name: value for name, value in config.said().items() if value is not None}
        sources = {name: value for name, value in data.items() if value}
        return cls(path, told, sources, Recommender.open(path).inspect(), read_records(path))

    @property
    def history(self) -> History:
        """The epochs of the training that was kept."""
        return kept_history(self.records)

    @property
    def seconds(self) -> float:
        """How long its epochs took, those that were not kept included."""
        return float(sum(record["seconds"] for record in self.records))


def to_dict(runs: Sequence[FinishedRun]) -> dict[str, Any]:
    """Returns all of the page as JSON knows it."""
    return {
        "runs": [
            {
                "run": run.name,
                "config": run.config,
                "data": run.data,
                "model": run.model,
                "seconds": run.seconds,
                "history": run.records,
            }
            for run in runs
        ],
        "versions": versions(),
        "machine": machine(),
    }


def page(runs: Sequence[FinishedRun]) -> list[Block]:
    """Makes the blocks of the page."""
    title = f"Run {runs[0].name}" if len(runs) == 1 else f"{len(runs)} runs"
    return [Heading(title, 1), *_reached(runs), *_curves(runs), *_trainings(runs), *_settings(runs)]


def _reached(runs: Sequence[FinishedRun]) -> Iterator[Block]:
    rows = []
    for run in runs:
        metrics = run.model["metrics"]
        reached = [metrics.get(f"validation_{name}") for name in ("ndcg@20", "recall@20")]
        rows.append(
            [
                *(run.name, run.config["model"], run.model["method"], f"{run.model['dim']:,}"),
                *(f"{run.model['nnz']:,}", bytes_of(run.model["bytes"]["total"])),
                *("-" if figure is None else figure_of(figure) for figure in reached),
                seconds_of(run.seconds),
            ]
        )
    head = ["run", "model", "method", "columns", "entries", "bytes", "ndcg@20", "recall@20", "epochs took"]
    yield Table(head, rows)
    yield Prose(
        "NDCG@20 and Recall@20 are those of the best epoch on the part held out of training; runs that held out other"
        " parts cannot be compared by them. The command evaluate compares runs on one test file."
    )


def _curves(runs: Sequence[FinishedRun]) -> Iterator[Block]:
    yield Heading("Training curves")
    if not can_draw():
        yield Prose(MISSING)
        return
    several = [run for run in runs if len(run.history.validation) > 1 or len(run.history.loss) > 1]
    if not several:
        yield Prose("There are none: nothing was trained.")
    for first in range(0, len(several), MOST):
        some = several[first : first + MOST]
        for up, points in (
            ("ndcg@20, validation part", [run.history.validation for run in some]),
            ("loss", [run.history.loss for run in some]),
        ):
            curves = [
                Curve(_short(run.name), one) for run, one in zip(some, points, strict=True) if len(one) > 1
            ]
            if curves:
                title = f"{up.partition(',')[0]} over epochs{f', from run {first + 1}' if first else ''}"
                yield Figure(draw(curves, Axes(title, "epoch", up)), title)


def _short(name: str) -> str:
    """Shortens the name of a run to its last part."""
    return os.path.basename(os.path.normpath(name)) or name


def _trainings(runs: Sequence[FinishedRun]) -> Iterator[Block]:
    """Tells of every training of a run: the start and learning rate, and what its best epoch was."""
    rows = []
    for run in runs:
        found: dict[tuple[Any, ...], list[Record]] = {}
        for record in run.records:
            key = tuple(record.get(name, "-") for name in ("phase", "start", "learning_rate"))
            found.setdefault(key, []).append(record)
        for (phase, start, rate), records in found.items():
            best = max(records, key=lambda record: record.get("ndcg@20", -1.0))
            reached = figure_of(best["ndcg@20"]) if "ndcg@20" in best else "-"
            kept = best["epoch"] if "ndcg@20" in best else records[-1]["epoch"]
            seconds = sum(record["seconds"] for record in records)
            rows.append([run.name, phase, start, f"{rate:g}" if rate != "-" else "-", kept, reached])
            rows[-1].append(seconds_of(seconds))
    if rows:
        yield Heading("Trainings")
        yield Table(["run", "phase", "start", "learning rate", "best epoch", "ndcg@20", "took"], rows)


def _settings(runs: Sequence[FinishedRun]) -> Iterator[Block]:
    yield Heading("Settings and versions")
    for run in runs:
        yield Heading(run.name, 3)
        yield Listing("\n".join(f"{name} {value}" for name, value in {**run.config, **run.data}.items()))
    yield Listing(json.dumps(machine(), indent=2))
    yield Listing("\n".join(f"{name} {version}" for name, version in versions().items()))
