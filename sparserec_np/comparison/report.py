"""The report of a comparison: one content, as HTML, Markdown and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparserec_np.comparison.document import Block, Heading, Listing, Prose, Table
from sparserec_np.comparison.figures import Found, curves_of
from sparserec_np.comparison.measured import Measured
from sparserec_np.comparison.significance import Gain, gains
from sparserec_np.comparison.sweep import Outcome, Sweep
from sparserec_np.comparison.variants import COUNTED, Impossible, Variant
from sparserec_np.comparison.versions import machine, versions
from sparserec_np.comparison.words import bytes_of, figure_of, gain_of, named, p_of, seconds_of, signed
from sparserec_np.training.fitted import Record
from sparserec_np.training.run_directory import read_records

BEYOND = ("coverage", "mean_popularity", "gini", "novelty", "intra_list_similarity")
ALL_ENTRIES = "all"


@dataclass(frozen=True)
class Comparison:
    """All that a report tells.

    Attributes:
        sweep: the data, the common settings and how much was tuned.
        seeds: of the runs of each variant.
        measured: the finished runs of each variant, in the order of the plan.
        histories: records of the epochs of each variant's first run.
        failed, impossible: what there is no figure of.
        method: whose gains over the best other are told.
    """

    sweep: Sweep
    seeds: tuple[int, ...]
    measured: dict[Variant, list[Measured]]
    histories: dict[Variant, list[Record]]
    failed: list[Outcome]
    impossible: list[Impossible]
    method: str
    versions: dict[str, str] = field(default_factory=versions)
    machine: dict[str, Any] = field(default_factory=machine)

    @classmethod
    def of(
        cls,
        sweep: Sweep,
        variants: Sequence[Variant],
        seeds: tuple[int, ...],
        missing: tuple[list[Outcome], list[Impossible]],
        method: str,
    ) -> Comparison:
        """Reads what the runs in a sweep's directory reached.

        Raises:
            SparseRecError: a file there is damaged.
        """
        measured = {variant: sweep.measured(variant, seeds) for variant in variants}
        measured = {variant: runs for variant, runs in measured.items() if runs}
        histories = {
            variant: read_records(sweep.run_path(variant, runs[0].facts["seed"]))
            for variant, runs in measured.items()
        }
        return cls(sweep, seeds, measured, histories, *missing, method)

    @property
    def figure(self) -> str:
        """The figure that variants are compared by."""
        return f"ndcg@{self.sweep.ks[0]}"

    @property
    def gains(self) -> list[Gain]:
        """The gains of the method over the best other, with their tests."""
        return gains(self.measured, self.method, self.figure)


def to_dict(comparison: Comparison) -> dict[str, Any]:
    """Returns all of a report as JSON knows it."""
    sweep = comparison.sweep
    return {
        "data": {"train": sweep.sources.train, "test": sweep.sources.test, **sweep.said()},
        "seeds": list(comparison.seeds),
        "variants": [_variant(comparison, variant) for variant in comparison.measured],
        "gains": [_gain(gain, comparison.figure) for gain in comparison.gains],
        "failed": [
            {"variant": outcome.variant.name, "reason": outcome.failure} for outcome in comparison.failed
        ],
        "impossible": [one._asdict() for one in comparison.impossible],
        "versions": comparison.versions,
        "machine": comparison.machine,
    }


def as_json(comparison: Comparison) -> str:
    """Writes a report as JSON; what is no number is null."""
    return json.dumps(_strict(to_dict(comparison)), indent=2, allow_nan=False) + "\n"


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def mean_and_deviation(numbers: Sequence[float]) -> tuple[float, float | None]:
    """Returns the mean of numbers, and their sample standard deviation; None of a single one.

    >>> mean_and_deviation([1.0, 3.0]), mean_and_deviation([2.0])
    ((2.0, 1.4142135623730951), (2.0, None))
    """
    deviation = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
    return float(np.mean(numbers)), deviation


def _variant(comparison: Comparison, variant: Variant) -> dict[str, Any]:
    runs = comparison.measured[variant]
    first = runs[0].facts
    figures = {}
    for name in runs[0].values.summary:
        values = [run.values.summary[name] for run in runs]
        mean, deviation = mean_and_deviation(values)
        figures[name] = {"mean": mean, "deviation": deviation, "values": values}
    return {
        "name": variant.name,
        "model": variant.model,
        "method": variant.method,
        "budget": dict([variant.budget]) if variant.budget else None,
        "start": variant.start,
        "entries": first["entries"],
        "columns": first["columns"],
        "density": first["density"],
        "bytes": first["bytes"],
        "figures": figures,
        "runs": [run.facts for run in runs],
        "history": comparison.histories[variant],
    }


def _gain(gain: Gain, figure: str) -> dict[str, Any]:
    return {
        "variant": gain.variant.name,
        "other": gain.other.name,
        "figure": figure,
        "mean": gain.mean,
        "other_mean": gain.other_mean,
        "gain": gain.part,
        "p": gain.p,
        "p_holm": gain.p_holm,
    }


# ---- the page


def page(comparison: Comparison) -> list[Block]:
    """Makes the blocks of the page."""
    return [
        Heading("Comparison of ways to spend a budget", 1),
        *_about(comparison),
        *_gains(comparison),
        *_reached(comparison),
        *_missing(comparison),
        *curves_of(_found(comparison), comparison.figure),
        *_beyond(comparison),
        *_costs(comparison),
        *_settings(comparison),
    ]


def _found(comparison: Comparison) -> list[Found]:
    """Collects what is drawn of each variant."""
    return [
        Found(variant, runs[0].facts, _mean(runs, comparison.figure), comparison.histories[variant])
        for variant, runs in comparison.measured.items()
    ]


def _mean(runs: Sequence[Measured], name: str) -> float:
    return mean_and_deviation([run.values.summary[name] for run in runs])[0]


def _about(comparison: Comparison) -> Iterator[Block]:
    sweep = comparison.sweep
    users = next((len(runs[0].values.user_ids) for runs in comparison.measured.values()), 0)
    trials = sweep.tuning.trials
    tuned = (
        f"Each variant was tuned by {trials} trials, drawn from the same ranges, on held-out training data."
        if trials
        else "Each variant chose its start and its learning rate on held-out training data."
    )
    seeds = ", ".join(map(str, comparison.seeds))
    train, test = sweep.sources.train, sweep.sources.test
    yield Prose(
        f"Trained on {named(train)} and measured on {named(test)}, over {users:,} users, all items"
        f" ranked. {tuned} The first seed chose, the others trained with what it chose. Seeds: {seeds}."
    )


def _gains(comparison: Comparison) -> Iterator[Block]:
    found = comparison.gains
    yield Heading(f"Gain of {comparison.method} over the best other method")
    if not found:
        yield Prose(
            f"There is none to tell: it needs {comparison.method} and another method with the same model, budget and"
            " start."
        )
        return
    figure = comparison.figure
    yield Table(
        ["model", "budget", "start", figure, "best other", f"its {figure}", "gain", "p", "p (Holm)"],
        [
            [
                *(gain.variant.model, budget_of(gain.variant), start_of(gain.variant)),
                *(figure_of(gain.mean), gain.other.method, figure_of(gain.other_mean)),
                *(gain_of(gain.part), p_of(gain.p), p_of(gain.p_holm)),
            ]
            for gain in found
        ],
    )
    yield Prose(
        "The best other is the one with the best mean on the test part. p: Wilcoxon's signed-rank test over users, each"
        f" user's {figure} averaged over the seeds; p (Holm) is corrected for {len(found)} tests."
    )


def budget_of(variant: Variant) -> str:
    """Writes the budget of a variant in words."""
    if variant.budget is None:
        return "-" if variant.method == COUNTED else ALL_ENTRIES
    name, value = variant.budget
    return f"{name.replace('_', ' ')} {value:,g}" if name == "density" else f"{name.split('_')[0]} {value:,}"


def start_of(variant: Variant) -> str:
    """Writes the start of a variant in words."""
    return variant.start or ("-" if variant.method == COUNTED else "by validation")


def _named(variant: Variant) -> list[str]:
    return [variant.model, variant.method, budget_of(variant), start_of(variant)]


NAMED = ("model", "method", "budget", "start")


def _reached(comparison: Comparison) -> Iterator[Block]:
    names = [f"{name}@{k}" for k in comparison.sweep.ks for name in ("ndcg", "recall")]
    rows = []
    for variant, runs in comparison.measured.items():
        figures = [signed(*mean_and_deviation([run.values.summary[name] for run in runs])) for name in names]
        facts = runs[0].facts
        stored = [f"{facts['entries']:,}", bytes_of(facts["bytes"])]
        best = sum(run.facts["validation"] or 0.0 for run in runs) / len(runs)
        rows.append([*_named(variant), *stored, *figures, figure_of(best) if best else "-", f"{len(runs)}"])
    yield Heading("What each variant reached")
    yield Table([*NAMED, "entries", "bytes", *names, "validation ndcg@20", "seeds"], rows)
    yield Prose(
        "Means over the seeds, ± their standard deviation. Bytes are those of the served tables and ids."
    )


def _missing(comparison: Comparison) -> Iterator[Block]:
    rows = [["failed", outcome.variant.name, outcome.failure or ""] for outcome in comparison.failed]
    rows += [["impossible", one.name, one.reason] for one in comparison.impossible]
    if rows:
        yield Heading("What there is no figure of")
        yield Table(["", "variant", "why"], rows)


def _beyond(comparison: Comparison) -> Iterator[Block]:
    k = comparison.sweep.ks[0]
    rows = [
        [*_named(variant), *(figure_of(_mean(runs, f"{name}@{k}")) for name in BEYOND)]
        for variant, runs in comparison.measured.items()
    ]
    yield Heading("Beyond accuracy")
    yield Table([*NAMED, *(name.replace("_", " ") for name in BEYOND)], rows)
    yield Prose(
        f"Of lists of {k}. Two items are as similar as the sets of users who touched them in training, by their cosine,"
        " so that lists of all models are measured alike."
    )


def _costs(comparison: Comparison) -> Iterator[Block]:
    rows = []
    for variant, runs in comparison.measured.items():
        told = [run.facts for run in runs]
        seconds = [facts["seconds"] for facts in told if facts["seconds"] is not None]
        peaks = [facts["peak_bytes"] for facts in told if facts["peak_bytes"]]
        trials = sum(facts["trial_seconds"] for facts in told)
        first, rest = seconds[:1], seconds[1:]
        rows.append(
            [
                *_named(variant),
                seconds_of(trials or None),
                seconds_of(first[0] if first else None),
                seconds_of(sum(rest) / len(rest) if rest else None),
                bytes_of(max(peaks)) if peaks else "-",
            ]
        )
    yield Heading("Time and memory")
    yield Table([*NAMED, "trials", "first run", "each other run", "peak memory"], rows)
    yield Prose(
        "The first run of a variant chooses by validation, where that is left to it. Peak memory is what the process"
        " held resident while it trained, imports and kernels included."
    )


def _settings(comparison: Comparison) -> Iterator[Block]:
    sweep: Mapping[str, Any] = comparison.sweep.said()
    yield Heading("Settings and versions")
    yield Listing(json.dumps({"comparison": sweep, "machine": comparison.machine}, indent=2))
    yield Listing("\n".join(f"{name} {version}" for name, version in comparison.versions.items()))
    yield Prose("The settings of the first run of each variant, as it was trained:")
    for variant, runs in comparison.measured.items():
        config = {name: value for name, value in runs[0].facts["config"].items() if value is not None}
        yield Heading(variant.name, 3)
        yield Listing(", ".join(f"{name} {value}" for name, value in config.items()))
