"""Gains over the best other method: by means over seeds, tested over users, corrected for their number."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sparserec_np.comparison.measured import Measured
from sparserec_np.comparison.significance import gains, wilcoxon_test
from sparserec_np.comparison.variants import Variant
from sparserec_np.errors import DataError
from sparserec_np.evaluation.user_values import UserValues
from sparserec_np.training.settings import Config


def variant(method: str, density: float = 0.1, model: str = "mf") -> Variant:
    return Variant(model, method, ("density", density), None, Config())


def runs(*values: object, users: int = 4) -> list[Measured]:
    ids = np.arange(users)
    return [Measured({}, UserValues(ids, {"ndcg@20": np.asarray(some, float)}, {})) for some in values]


def test_signed_ranks_by_hand() -> None:
    apart = np.array([0.3, -0.1, 0.5, 0.7, -0.2, 0.9, 0.4])  # ranks 3, 1, 5, 6, 2, 7, 4: 3 against the sign
    below = 0
    for signs in range(2**7):
        against = sum(rank for place, rank in enumerate((3, 1, 5, 6, 2, 7, 4)) if signs >> place & 1)
        below += against <= 3
    assert wilcoxon_test(apart) == pytest.approx(2 * below / 2**7)
    assert wilcoxon_test(-apart) == wilcoxon_test(apart)
    assert wilcoxon_test(np.append(apart, np.nan)) == wilcoxon_test(apart)


def test_many_users_with_ties_and_zeros_are_approximated() -> None:
    rng = np.random.default_rng(0)
    apart = np.round(rng.normal(0.02, 0.1, 400), 2)
    assert (apart == 0).any()
    expected = stats.wilcoxon(apart, zero_method="pratt", method="approx").pvalue
    assert wilcoxon_test(apart) == pytest.approx(expected) and expected < 0.05


def test_the_best_other_of_the_same_model_and_budget_is_taken() -> None:
    ours, best, worst, wide = variant("sparserec"), variant("set"), variant("rigl"), variant("set", 0.5)
    measured = {
        ours: runs([0.4, 0.6, 0.5, 0.9], [0.6, 0.4, 0.5, 0.9]),
        worst: runs([0.1] * 4),
        best: runs([0.4, 0.4, 0.4, 0.4]),
        wide: runs([0.9] * 4),
    }
    (gain,) = gains(measured, "sparserec", "ndcg@20")
    assert gain.other is best and gain.mean == pytest.approx(0.6) and gain.part == pytest.approx(0.5)
    assert gain.p == gain.p_holm == pytest.approx(wilcoxon_test(np.array([0.1, 0.1, 0.1, 0.5])))
    assert [one.variant for one in gains(measured, "set", "ndcg@20")] == [best]


def test_gains_are_corrected_for_their_number() -> None:
    rng = np.random.default_rng(1)
    base = rng.random(60)
    measured = {}
    for density in (0.1, 0.2, 0.3):
        measured[variant("sparserec", density)] = runs(base + rng.normal(0.1, 0.2, 60), users=60)
        measured[variant("set", density)] = runs(base, users=60)
    found = gains(measured, "sparserec", "ndcg@20")
    assert min(gain.p_holm for gain in found) == pytest.approx(3 * min(gain.p for gain in found))


def test_other_users_are_refused() -> None:
    measured = {variant("sparserec"): runs([0.1] * 4), variant("set"): runs([0.1] * 3, users=3)}
    with pytest.raises(DataError, match="different users"):
        gains(measured, "sparserec", "ndcg@20")
