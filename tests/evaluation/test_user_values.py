"""Figures of users: intervals against a loop and in a simulation, tests against all sign patterns."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.evaluation import user_values
from sparserec_np.evaluation.user_values import (
    UserValues,
    bootstrap_intervals,
    holm,
    paired_tests,
    sign_flip_test,
)

NAN = float("nan")


def values_of(ids: Array | list[int], **values: Array | list[float]) -> UserValues:
    named = {f"{name}@5": np.array(theirs, dtype=np.float64) for name, theirs in values.items()}
    return UserValues(np.array(ids), named, {"coverage@5": 0.5})


def test_means_leave_out_users_who_have_no_figure() -> None:
    values = values_of([1, 2, 3], recall=[1, 0, 0.5], novelty=[2, NAN, 4], similarity=[NAN] * 3)
    assert values.means == pytest.approx({"recall@5": 0.5, "novelty@5": 3, "similarity@5": NAN}, nan_ok=True)
    assert list(values.summary) == ["recall@5", "similarity@5", "coverage@5", "novelty@5", "users"]
    assert values.summary["users"] == 3


@pytest.mark.parametrize("numbers", [1, 40, 1 << 21])
def test_intervals_are_those_of_a_loop(monkeypatch: pytest.MonkeyPatch, numbers: int) -> None:
    monkeypatch.setattr(user_values, "NUMBERS_AT_ONCE", numbers)
    values = np.random.default_rng(1).random((13, 3))
    values[4, 1], values[:, 2] = NAN, NAN
    low, high = bootstrap_intervals(values, np.random.default_rng(5), resamples=50, level=0.8)
    rng = np.random.default_rng(5)
    means = []
    for _ in range(50):
        drawn = [values[row] for row in rng.integers(13, size=13)]
        columns = [[row[c] for row in drawn if not np.isnan(row[c])] for c in range(2)]
        means.append([sum(column) / len(column) for column in columns])
    for column in range(2):
        ends = np.percentile([mean[column] for mean in means], [10, 90])
        assert [low[column], high[column]] == pytest.approx(ends.tolist(), rel=1e-12)
    assert np.isnan([low[2], high[2]]).all()


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    """300 columns, each a sample of its own, of figures as recall has them: many zeros, and skewed."""
    rng = np.random.default_rng(0)
    values = rng.beta(0.6, 2.0, (120, 300)) * (rng.random((120, 300)) < 0.7)
    mean = 0.7 * 0.6 / 2.6
    low, high = bootstrap_intervals(values, rng, resamples=400)
    covered = np.mean((low <= mean) & (mean <= high))
    assert 0.90 < covered < 0.99
    narrow = bootstrap_intervals(values, rng, resamples=400, level=0.5)
    assert 0.4 < np.mean((narrow[0] <= mean) & (mean <= narrow[1])) < 0.6


def test_intervals_come_by_name_and_seed() -> None:
    values = values_of(range(20), recall=np.random.default_rng(0).random(20), ndcg=np.ones(20))
    found = values.intervals(seed=3)
    assert found == values.intervals(seed=3) != values.intervals(seed=4)
    low, high = found["recall@5"]
    assert low < values.means["recall@5"] < high
    assert found["ndcg@5"] == (1.0, 1.0)
    for wrong in ({"resamples": 0}, {"level": 1.0}, {"level": 0.0}):
        with pytest.raises(ConfigError, match="1 resample or more and a level between 0 and 1"):
            values.intervals(**wrong)  # type: ignore[arg-type]


def test_a_test_is_that_of_all_patterns_of_signs() -> None:
    apart = np.random.default_rng(2).normal(0.4, 1, (9, 3)).round(1)  # rounded: sums that tie
    apart[2, 1], apart[:, 2] = NAN, 0.0
    p = sign_flip_test(apart, np.random.default_rng(0), flips=40_000)
    for column in range(2):
        own = [float(one) for one in apart[:, column] if not np.isnan(one)]
        sums = [
            abs(sum(s * d for s, d in zip(signs, own, strict=True)))
            for signs in product((1, -1), repeat=len(own))
        ]
        exact = sum(one > abs(sum(own)) - 1e-6 for one in sums) / len(sums)
        assert p[column] == pytest.approx(exact, abs=4 * np.sqrt(exact / 40_000))
    assert p[2] == 1
    with pytest.raises(ConfigError, match="1 flip or more"):
        sign_flip_test(apart, np.random.default_rng(0), flips=0)


def test_equal_models_seldom_seem_to_differ() -> None:
    """400 columns of differences around 0: a twentieth of the tests says 5 % or less."""
    rng = np.random.default_rng(0)
    p = sign_flip_test(rng.normal(size=(50, 400)), rng, flips=1000)
    assert 0.02 < np.mean(p <= 0.05) < 0.09
    assert sign_flip_test(rng.normal(1, 1, (50, 1)), rng, flips=1000) == 1 / 1001


@pytest.mark.parametrize("numbers", [1, 100])
def test_the_seed_and_not_the_block_makes_a_test(monkeypatch: pytest.MonkeyPatch, numbers: int) -> None:
    apart = np.random.default_rng(2).normal(0.2, 1, (16, 2))
    wanted = sign_flip_test(apart, np.random.default_rng(0), flips=200)
    monkeypatch.setattr(user_values, "NUMBERS_AT_ONCE", numbers)
    found = sign_flip_test(apart, np.random.default_rng(0), flips=200)
    assert found == pytest.approx(wanted, abs=0.15)  # bits are drawn by the byte
    assert sign_flip_test(apart, np.random.default_rng(0), flips=200).tolist() == found.tolist()


def test_holm_is_the_closed_procedure_of_bonferroni() -> None:
    p = [0.001, 0.04, 0.012, 0.3, 0.012]
    # Of every set that holds a hypothesis, Bonferroni's p; the largest is its corrected one.
    expected = []
    for own in range(5):
        sets = [[i for i in range(5) if kept[i] or i == own] for kept in product((0, 1), repeat=5)]
        expected.append(max(min(1.0, len(one) * min(p[i] for i in one)) for one in sets))
    assert holm(np.array(p)).tolist() == pytest.approx(expected)
    assert holm(np.array([])).tolist() == []
    assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]


def test_models_are_compared_over_users_whom_all_have() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(40)
    first = values_of(range(40), recall=base, novelty=base)
    better = values_of(range(1, 41), recall=np.append(base[1:] + 0.1, 9), only=np.ones(40))
    same = values_of(range(40), recall=base, novelty=np.where(base > 0.5, NAN, base + 1))
    tests = paired_tests(first, [better, same])
    assert [(one.other, one.name) for one in tests] == [(0, "recall@5"), (1, "recall@5"), (1, "novelty@5")]
    assert [one.difference for one in tests] == pytest.approx([0.1, 0, 1])
    assert tests[0].p < 0.001 and tests[1].p == 1 and tests[2].p < 0.001
    assert [one.p_holm for one in tests] == holm(np.array([one.p for one in tests])).tolist()
    assert tests == paired_tests(first, [better, same]) != paired_tests(first, [better, same], flips=99)


def test_ids_are_what_a_person_reads() -> None:
    first = values_of([1, 2, 10], recall=[0.0, 0.5, 1.0])
    texts = values_of(["1", "10", "2"], recall=[0.25, 1.25, 0.75])  # type: ignore[list-item]
    assert paired_tests(first, [texts])[0].difference == 0.25
    with pytest.raises(DataError, match="No user was measured with all models"):
        paired_tests(first, [values_of([3], recall=[1.0])])
