"""The ranges that settings are tuned in, beside the table of settings: the same for every method.

All ranges are our choice. They hold the defaults, and what published tunings of such models found.
A setting is tuned only where it means something to the model, the method and the start, and where
nobody has fixed it.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.training.settings import SETTINGS, Config

OF_TRAINING = ("loss", "learning", "mask")  # groups of settings that a start alone does not ask


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included.

    Attributes:
        low, high: the ends.
        log: whether the numbers are spread by their logarithms, which need ends above 0.
        whole: whether they are whole numbers.
        step: between one number and the next; 0 where all between the ends are meant.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False
    step: float = 0.0

    def at(self, part: float) -> float | int:
        """Returns the number that lies at a part of the way, from 0 to 1.

        >>> Range(0.01, 1, log=True).at(0.5), Range(1, 4, whole=True).at(0.99)
        (0.1, 4)
        """
        if self.log:
            number = self.low * (self.high / self.low) ** part
        elif self.whole:  # each number has a share of the way as long
            number = math.floor(self.low + part * (self.high + 1 - self.low))
        elif self.step:  # likewise
            count = round((self.high - self.low) / self.step) + 1
            number = self.low + self.step * min(math.floor(part * count), count - 1)
        else:
            number = self.low + part * (self.high - self.low)
        number = min(max(number, self.low), self.high)
        return round(number) if self.whole else float(f"{number:.6g}")

    def holds(self, number: float) -> bool:
        """Tells whether a number lies within."""
        return self.low <= number <= self.high


# By the order of an epoch.
LEARNING_RATES = {"batches": Range(0.001, 0.1, log=True), "cells": Range(0.01, 1.0, log=True)}
_DECAY = Range(1e-4, 0.3, log=True)
RANGES = {
    "learning_rate": LEARNING_RATES["batches"],
    "l2_user": _DECAY,
    "l2_positive": _DECAY,
    "l2_negative": _DECAY,
    "negatives": Range(32, 512, log=True, whole=True),
    "start_score": Range(0.5, 8.0, log=True),
    "drop_fraction": Range(0.05, 0.6),
    "regrow_start": Range(0.1, 1.0),
    "layers": Range(1, 4, whole=True),
    "hidden": Range(8, 64, log=True, whole=True),
    "untouched_weight": Range(0.02, 1.0, log=True),
    "ridge": Range(0.1, 10.0, log=True),
    "recency": Range(0.0, 1.0),
    "neighbour_share": Range(0.1, 0.6),
    "neighbour_weight": Range(0.5, 32.0, log=True),
    "neighbour_popularity": Range(0.0, 0.375, step=0.125),
}
# Settings that are varied where they are not 0, which stands for leaving out what they are of.
UNLESS_0 = ("recency",)
# What is searched besides where bytes count as well as quality.
SIZES = {"density": Range(0.005, 0.3, log=True), "dim": Range(16, 256, log=True, whole=True)}


def ranges_for(config: Config, fixed: Collection[str] = ()) -> dict[str, Range]:
    """Returns the ranges of the settings that can be tuned in a configuration, by name.

    Args:
        config: the settings as they are given.
        fixed: names of settings that stay as they are.
    """
    base, resolved = BASE_MODELS[config.model], config.resolved()
    if base.counted:
        return {}
    grows = METHODS[config.method].growth.grows and config.mask_changes
    found = {}
    for name, values in RANGES.items():
        row = SETTINGS[name]
        means = base.takes(name) and getattr(resolved, name) is not None
        trained = config.trained or row.group not in OF_TRAINING
        asked = name not in fixed and (name not in UNLESS_0 or bool(getattr(resolved, name)))
        if means and trained and asked and (grows or row.group != "mask"):
            found[name] = values
    if resolved.negatives == 1:  # one a pair is another way to draw, and no number to vary
        found.pop("negatives", None)
    if "learning_rate" in found:
        found["learning_rate"] = LEARNING_RATES[config.order]
    return found
