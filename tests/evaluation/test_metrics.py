"""Metrics: computed by hand, and against loops."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.errors import ConfigError
from sparserec_np.evaluation import metrics
from tests.makers import oracles

ORACLES = {
    "recall": oracles.recall,
    "ndcg": oracles.ndcg,
    "precision": oracles.precision,
    "map": oracles.average_precision,
    "mrr": oracles.reciprocal_rank,
    "hit_rate": oracles.hit_rate,
}

# One user with three relevant items, hit at places 2 and 4 of 5.
HITS = np.array([[False, True, False, True, False]])


@pytest.mark.parametrize(
    ("name", "k", "expected"),
    [
        ("recall", 5, 2 / 3),
        ("recall", 2, 1 / 3),
        ("recall", 1, 0),
        ("precision", 5, 2 / 5),
        ("precision", 10, 2 / 10),
        ("hit_rate", 2, 1),
        ("hit_rate", 1, 0),
        ("mrr", 5, 1 / 2),
        ("mrr", 1, 0),
        ("map", 5, (1 / 2 + 2 / 4) / 3),
        ("map", 2, (1 / 2) / 2),
        ("ndcg", 5, (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3) + 1 / log2(4))),
        ("ndcg", 2, (1 / log2(3)) / (1 + 1 / log2(3))),
        ("ndcg", 10, (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3) + 1 / log2(4))),
    ],
)
def test_by_hand(name: str, k: int, expected: float) -> None:
    value = metrics.PER_USER[name](HITS, np.array([3]), k)
    assert value.shape == (1,)
    assert value.dtype == np.float64
    assert value[0] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("name", metrics.PER_USER)
def test_best_and_worst(name: str) -> None:
    hits = np.array([[True, True, True], [False, False, False]])
    assert metrics.PER_USER[name](hits, np.array([3, 3]), 3).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("name", metrics.PER_USER)
def test_no_users(name: str) -> None:
    assert metrics.PER_USER[name](np.zeros((0, 4), dtype=bool), np.zeros(0, dtype=np.int64), 4).shape == (0,)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_against_loops(seed: int, length: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    relevant = [set(rng.choice(20, rng.integers(1, 15), replace=False).tolist()) for _ in range(5)]
    tops = [rng.permutation(20)[:length].tolist() for _ in range(5)]
    hits = np.array([[item in wanted for item in top] for top, wanted in zip(tops, relevant, strict=True)])
    n_relevant = np.array([len(wanted) for wanted in relevant])
    for name, metric in metrics.PER_USER.items():
        expected = [ORACLES[name](top, wanted, k) for top, wanted in zip(tops, relevant, strict=True)]
        np.testing.assert_allclose(metric(hits, n_relevant, k), expected, rtol=1e-12)
    other = metrics.per_user(recall_of="reachable", map_of="relevant")
    for name, oracle in (("recall", oracles.reachable_recall), ("map", oracles.whole_average_precision)):
        expected = [oracle(top, wanted, k) for top, wanted in zip(tops, relevant, strict=True)]
        np.testing.assert_allclose(other[name](hits, n_relevant, k), expected, rtol=1e-12)
    assert metrics.coverage(np.array(tops), 20, k) == pytest.approx(oracles.coverage(tops, 20, k))


def test_conventions_change_two_metrics_and_no_other() -> None:
    other = metrics.per_user(recall_of="reachable", map_of="relevant")
    assert {name for name in metrics.PER_USER if other[name] is not metrics.PER_USER[name]} == {
        "recall",
        "map",
    }
    assert list(other) == list(metrics.PER_USER)
    with pytest.raises(ConfigError, match="relevant or reachable, found 'all'"):
        metrics.per_user(map_of="all")


def test_coverage_leaves_out_the_ends_of_short_lists() -> None:
    top = np.array([[3, -1, -1], [3, 1, -1]])
    assert metrics.coverage(top, 4, 1) == 0.25
    assert metrics.coverage(top, 4, 3) == 0.5
    assert metrics.coverage(top, 4, 100) == 0.5
