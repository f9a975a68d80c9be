"""The strongest pairs of items, beside the dense formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.data.interactions import Interactions
from sparserec_np.factorization import co_occurrence
from sparserec_np.factorization.co_occurrence import Nearness, strongest_pairs
from tests.makers.small import small_log


def dense_pairs(log: Interactions) -> tuple[np.ndarray, np.ndarray]:
    """The weights of all pairs, each once, and their values, by the definition in float64."""
    matrix = np.zeros((log.n_users, log.n_items))
    matrix[log.pair_users(), log.items] = 1
    users, items = np.maximum(log.user_degrees, 1), np.maximum(log.item_degrees, 1)
    normal = matrix / np.sqrt(users)[:, None] / np.sqrt(items)
    graph = normal.T @ normal
    graph = np.tril(graph, -1)
    return graph * np.sqrt(items)[:, None] * np.sqrt(items), graph


@pytest.mark.parametrize("block", [1, 4, 256])
@pytest.mark.parametrize("most", [0, 1, 7, 40, 10_000])
def test_the_largest_are_kept_with_the_values_of_the_formula(
    block: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(co_occurrence, "ITEMS_AT_ONCE", block)
    log = small_log(30, 20, 150)
    weights, values = dense_pairs(log)
    pairs = strongest_pairs(log, most)
    assert len(pairs.items) == min(most, np.count_nonzero(weights))
    np.testing.assert_allclose(pairs.values, values[pairs.items, pairs.others], rtol=1e-5)
    kept = np.zeros(weights.shape, bool)
    kept[pairs.items, pairs.others] = True
    assert kept.sum() == len(pairs.items)
    if 0 < len(pairs.items) < np.count_nonzero(weights):
        assert weights[kept].min() >= weights[~kept].max() * (1 - 1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_pairs_are_sorted_and_of_two_items(seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    log = Interactions.from_pairs(rng.integers(0, 9, 40), rng.integers(0, 8, 40))
    items, others, values = strongest_pairs(log, most)
    places = items.astype(np.int64) * log.n_items + others
    assert (np.diff(places) > 0).all() and (items > others).all() and (values > 0).all()


def test_of_equal_pairs_those_of_lower_items_are_kept() -> None:
    log = Interactions.from_pairs(np.repeat(np.arange(3), 2), np.arange(6))
    pairs = strongest_pairs(log, 3)
    assert pairs.items.tolist() == [1, 3, 5] and pairs.others.tolist() == [0, 2, 4]
    pairs = strongest_pairs(log, 2)
    assert pairs.items.tolist() == [1, 3] and pairs.others.tolist() == [0, 2]


def test_pairs_count_by_how_near_they_lie_in_time() -> None:
    log = small_log(30, 20, 150)
    log = replace(log, times=np.random.default_rng(1).permutation(log.n_interactions))
    near = Nearness(steps=2.0)
    weights, sums = np.zeros((20, 20)), {}
    for user in range(log.n_users):
        own = slice(log.indptr[user], log.indptr[user + 1])
        line = log.items[own][np.argsort(log.times[own])].tolist()
        for p, one in enumerate(line):
            sums[user, one] = sum(1 / (1 + abs(p - q) / 2) for q in range(len(line)))
        for p, one in enumerate(line):
            for q, other in enumerate(line):
                part = 1 / (1 + abs(p - q) / 2) if other < one else 0
                weights[one, other] += part / np.sqrt(sums[user, one] * sums[user, other])
    pairs = strongest_pairs(log, 60, near)
    degrees = log.item_degrees
    values = weights / np.sqrt(degrees[:, None] * degrees)
    np.testing.assert_allclose(pairs.values, values[pairs.items, pairs.others], rtol=1e-5)
    kept = np.zeros(weights.shape, bool)
    kept[pairs.items, pairs.others] = True
    assert kept.sum() == 60 and weights[kept].min() >= weights[~kept].max() * (1 - 1e-5)


def test_without_an_order_nearness_means_nothing() -> None:
    log = small_log(30, 20, 150)
    one, two = (strongest_pairs(log, 60, near) for near in (None, Nearness()))
    for ours, theirs in zip(one, two, strict=True):
        np.testing.assert_array_equal(ours, theirs)
