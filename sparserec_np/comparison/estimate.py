"""How long a sweep may take, from one short training of each model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sparserec_np.comparison.sources import Loaded
from sparserec_np.comparison.sweep import Sweep
from sparserec_np.comparison.trials import expect_whole
from sparserec_np.comparison.variants import Variant
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.training.fitted import Record
from sparserec_np.training.plan import Plan
from sparserec_np.training.search import starts_to_try
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train

RATES_TRIED = 3  # by an ordinary training without a learning rate
SHORT = 2  # epochs of the trial


class Pace(NamedTuple):
    """Seconds of the parts of a training."""

    start: float
    epoch: float
    look: float

    def training(self, config: Config) -> float:
        """Returns the seconds of one training with all of its epochs."""
        epochs = config.epochs if config.trained else 0
        return self.start + epochs * self.epoch + (1 + epochs // config.evaluate_every) * self.look


def pace_of(variant: Variant, data: Loaded, threads: int | None) -> Pace:
    """Trains a variant for a few epochs, and tells its pace."""
    starts = starts_to_try(Plan.of(variant.config, data.log), data.log)
    config = replace(
        variant.config,
        start=starts[0],
        learning_rate=variant.config.resolved().learning_rate,
        epochs=SHORT,
        evaluate_every=1,
        refit=False,
    )
    records: list[Record] = []
    times: list[float] = []

    def note(record: Record) -> None:
        records.append(record)
        times.append(time.perf_counter())

    how: dict[str, Any] = {"validation": data.held_out, "threads": threads}
    expect_whole(train(data.log, replace(config, epochs=1), **how))  # which may compile kernels
    expect_whole(train(data.log, config, on_epoch=note, **how))
    if len(records) <= SHORT:  # nothing is trained
        return Pace(records[0]["seconds"], 0.0, 0.0)
    epoch = records[-1]["seconds"]
    return Pace(records[0]["seconds"], epoch, max(0.0, times[-1] - times[-2] - epoch))


def trainings_of(variant: Variant, trials: int, seeds: int, data: Loaded) -> int:
    """Counts the trainings of a variant, those on all data included."""
    config = variant.config
    again = int(config.refit and data.held_out is None and config.validation > 0)
    if trials:
        return trials + seeds * (1 + again)
    starts = len(starts_to_try(Plan.of(config, data.log), data.log))
    rates = 1 if config.learning_rate is not None or not config.trained else RATES_TRIED
    searched = config.validation > 0 or data.held_out is not None
    return (starts * rates if searched else 1) + seeds - 1 + seeds * again


def estimate(sweep: Sweep, variants: Sequence[Variant], seeds: int, jobs: int, data: Loaded) -> float:
    """Estimates the most seconds that variants take, of which none is finished."""
    paces: dict[str, Pace] = {}
    total = 0.0
    for variant in variants:
        if BASE_MODELS[variant.model].counted:
            continue
        if variant.model not in paces:
            paces[variant.model] = pace_of(variant, data, sweep.threads)
        count = trainings_of(variant, sweep.tuning.trials, seeds, data)
        total += count * paces[variant.model].training(variant.config)
    return total / min(jobs, max(1, len(variants)))
