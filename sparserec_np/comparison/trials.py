"""Tuning of a variant by draws from ranges: as many, and the same ones, for every variant.

The first trial is of the defaults. The k-th draws the same part of each range whatever the variant,
so that methods differ by what they are and not by their luck. Trials are lines of JSON in a file,
and those that are there are not made again.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparserec_np.comparison.sources import Loaded
from sparserec_np.errors import SparseRecError
from sparserec_np.training.fitted import Fitted, Record
from sparserec_np.training.plan import Plan
from sparserec_np.training.ranges import RANGES, ranges_for
from sparserec_np.training.search import starts_to_try
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train

DIVERGED = -2.0  # what a training that did not end well counts as


@dataclass(frozen=True)
class Tuning:
    """How much a variant is tuned.

    Attributes:
        trials: how many; 0 for none.
        fixed: names of settings that stay as they are.
        seed: of the draws.
    """

    trials: int
    fixed: tuple[str, ...]
    seed: int


def drawn(config: Config, starts: tuple[str, ...], tuning: Tuning, number: int) -> dict[str, Any]:
    """Draws the settings of the trial of that number, by name; of number 0 the defaults."""
    ranges = ranges_for(config, tuning.fixed)
    found: dict[str, Any] = {}
    if number == 0:
        found = {name: getattr(config.resolved(), name) for name in ("learning_rate",) if name in ranges}
        return found | {"start": starts[0]}
    rng = np.random.default_rng([tuning.seed, 6, number])
    parts = {name: float(rng.random()) for name in ("start", *RANGES)}  # all, so that all draw the same
    found = {name: values.at(parts[name]) for name, values in ranges.items()}
    return found | {"start": starts[int(parts["start"] * len(starts))]}


def tune(config: Config, data: Loaded, tuning: Tuning, path: str, threads: int | None) -> dict[str, Any]:
    """Makes the trials that are missing in the file ``path``; returns the settings of the best.

    Each trial chooses its epoch by the held-out part, and is as good as it is there.

    Raises:
        SparseRecError: no trial ended well.
        KeyboardInterrupt: it was interrupted; trials that ended are kept.
    """
    starts = starts_to_try(Plan.of(config, data.log), data.log)
    made = _read(path)
    for number in range(len(made), tuning.trials):
        settings = drawn(config, starts, tuning, number)
        clock = time.perf_counter()
        reached = _reached(replace(config, **settings, refit=False), data, threads)
        record = {"settings": settings, "reached": reached, "seconds": time.perf_counter() - clock}
        made.append(record)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
    best = max(made[: tuning.trials], key=lambda record: record["reached"])
    if best["reached"] == DIVERGED:
        raise SparseRecError(f"Training diverged in all of {tuning.trials} trials; lower the learning rate")
    return dict(best["settings"])


def seconds_of(path: str) -> float:
    """Returns how long the trials in a file took; 0 where there is none."""
    return float(sum(record["seconds"] for record in _read(path)))


def _reached(config: Config, data: Loaded, threads: int | None) -> float:
    try:
        fitted = train(data.log, config, validation=data.held_out, threads=threads)
    except SparseRecError:
        return DIVERGED
    return expect_whole(fitted).reached


def expect_whole(fitted: Fitted) -> Fitted:
    """Returns a training that came to its end. Raises KeyboardInterrupt where it was interrupted."""
    if fitted.interrupted:
        raise KeyboardInterrupt
    return fitted


def _read(path: str) -> list[Record]:
    """Reads the trials in a file; a line that a crash has cut off is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            lines = stream.readlines()
    except FileNotFoundError:
        return []
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        with open(path, "w", encoding="utf-8") as stream:
            stream.writelines(whole)
    return [json.loads(line) for line in whole]
