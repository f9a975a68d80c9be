"""Whether one way to spend a budget is better than the best of the others, by tests over users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sparserec_np.comparison.measured import Measured, mean_values
from sparserec_np.comparison.variants import Variant
from sparserec_np.data.table import Array
from sparserec_np.errors import DataError
from sparserec_np.evaluation.user_values import holm


@dataclass(frozen=True)
class Gain:
    """What a variant gains over the best other method of the same model, budget and start.

    Attributes:
        variant: of the method that is looked at.
        other: the best of the others, by its mean on the same test part.
        mean, other_mean: of the figure, over seeds and users.
        p: of Wilcoxon's signed-rank test over users, two-sided, each user's figure averaged over
            the seeds.
        p_holm: the same, corrected for all gains that were tested at once (Holm 1979).
    """

    variant: Variant
    other: Variant
    mean: float
    other_mean: float
    p: float
    p_holm: float

    @property
    def part(self) -> float:
        """The gain as a part of the other's mean; NaN where that is 0."""
        return self.mean / self.other_mean - 1 if self.other_mean else float("nan")


def wilcoxon_test(differences: Array) -> float:
    """Computes the p-value of Wilcoxon's signed-rank test (1945) of differences (m,), two-sided.

    Ranks of differences of 0 are split between both signs (Pratt 1959); 1 where all are 0.

    >>> wilcoxon_test(np.zeros(5)), wilcoxon_test(np.arange(1.0, 7.0))
    (1.0, 0.03125)
    """
    from scipy.stats import wilcoxon

    known = differences[~np.isnan(differences)]
    if not known.any():
        return 1.0
    # The approximation for many users bears ties; exact tables are for few without.
    few = len(known) <= 50 and len(np.unique(np.abs(known))) == len(known) and bool(np.all(known))
    method = "exact" if few else "approx"
    return float(wilcoxon(known, zero_method="pratt", method=method).pvalue)


def gains(measured: Mapping[Variant, Sequence[Measured]], method: str, figure: str) -> list[Gain]:
    """Compares a method with the best of the others, wherever it has been set against one.

    The best other is found on the test part itself, which favours it and not the method.

    Args:
        measured: the finished runs of each variant.
        method: its name.
        figure: of users, as ``ndcg@20``.

    Raises:
        DataError: runs were measured over different users.
    """
    found: list[Gain] = []
    for variant, runs in measured.items():
        if variant.method != method or not runs or variant.budget is None:
            continue
        others = [
            other
            for other in measured
            if other.setting == variant.setting and other != variant and measured[other]
        ]
        if not others:
            continue
        best = max(others, key=lambda other: _mean(measured[other], figure))
        _expect_same_users([*runs, *measured[best]])
        apart = mean_values(list(runs), figure) - mean_values(list(measured[best]), figure)
        p = wilcoxon_test(apart)
        found.append(Gain(variant, best, _mean(runs, figure), _mean(measured[best], figure), p, p))
    corrected = holm(np.array([gain.p for gain in found]))
    return [
        Gain(one.variant, one.other, one.mean, one.other_mean, one.p, float(p))
        for one, p in zip(found, corrected, strict=True)
    ]


def _mean(runs: Sequence[Measured], figure: str) -> float:
    return float(np.mean([run.values.means[figure] for run in runs]))


def _expect_same_users(runs: Sequence[Measured]) -> None:
    users = [run.values.user_ids for run in runs]
    if not all(np.array_equal(users[0], some) for some in users):
        raise DataError("Runs were measured over different users, so they cannot be compared")
