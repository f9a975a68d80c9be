"""Growth: who is explored, and which inactive entries are chosen, against dense arrays and full sorts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.kernels.arguments import Explored
from sparserec_np.sparsity.exploration import Exploration
from sparserec_np.sparsity.growth import (
    AccumulatedGrowth,
    Growth,
    LastBatchGrowth,
    NoGrowth,
    RandomGrowth,
    distinct,
)
from tests.makers.small import Array, places, random_table

NOTHING = np.empty(0, np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def explored_with(sums: Array, rows: Array, n_rows: int) -> Explored:
    explored = Explored.of(rows, n_rows, sums.shape[1])
    explored.sums[:] = sums
    return explored


def test_who_explores_what() -> None:
    degrees, touched = np.arange(1, 21), np.array([9, 2, 4], np.int32)
    everything = AccumulatedGrowth(Exploration(fraction=1))
    wanted: list[tuple[Growth, int, list[int]]] = [
        (NoGrowth(), 0, []),
        (RandomGrowth(), 0, []),
        (LastBatchGrowth(), 0, [2, 4, 9]),
        (AccumulatedGrowth(Exploration(0.25)), 5, []),
        (everything, 20, []),
    ]
    for growth, drawn, last in wanted:
        rows = growth.explore(degrees, NOTHING, np.ones(20, dtype=bool), rng())
        assert rows.dtype == np.int32 and len(np.unique(rows)) == len(rows) == drawn
        assert growth.explore_last(touched).tolist() == last
    assert [growth.grows for growth, _, _ in wanted] == [False, True, True, True, True]
    assert [growth.prunes_explored_only for growth, _, _ in wanted] == [False, False, False, True, True]


def test_a_static_mask_grows_nothing() -> None:
    table, explored = random_table(rng(), 5, 4, 9), explored_with(np.ones((2, 4)), np.array([0, 1]), 5)
    assert [len(part) for part in NoGrowth().grow(table, explored, 3, rng())] == [0, 0, 0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 6), st.data())
def test_random_growth_takes_distinct_inactive_entries(
    seed: int, rows: int, dim: int, data: st.DataObject
) -> None:
    table = random_table(rng(seed), rows, dim, data.draw(st.integers(0, rows * dim)))
    explored = Explored.of(np.empty(0, np.int32), rows, dim)
    free = rows * dim - table.nnz
    count = data.draw(st.integers(0, free + 2))
    grown = RandomGrowth().grow(table, explored, count, rng(seed))
    assert (grown.rows.dtype, grown.columns.dtype, grown.gradients.dtype) == (np.int32, np.uint8, np.float32)
    chosen = grown.rows.astype(np.int64) * dim + grown.columns
    assert len(chosen) == min(count, free) and np.all(np.diff(chosen) > 0)
    assert not np.isin(chosen, places(table, dim)).any()
    assert np.all(chosen < rows * dim) and not grown.gradients.any()


@pytest.mark.parametrize("count", [3, 20])
def test_random_growth_is_uniform(count: int) -> None:
    """24 inactive entries of 40; chi-square of 23 degrees of freedom stays below 60 all but once in 40,000 times."""
    table = random_table(rng(5), 10, 4, 16)
    explored = Explored.of(np.empty(0, np.int32), 10, 4)
    draws, turns = rng(), 3000
    seen = np.zeros(40)
    for _ in range(turns):
        grown = RandomGrowth().grow(table, explored, count, draws)
        seen[grown.rows * 4 + grown.columns] += 1
    expected = turns * count / 24
    free = np.setdiff1d(np.arange(40), places(table, 4))
    assert ((seen[free] - expected) ** 2 / expected).sum() < 60


def test_the_last_free_entries_of_a_huge_table_are_found_at_once() -> None:
    """Drawing among all entries until a free one turns up would go on for hours."""
    keep = np.ones((20_000, 64), dtype=bool)
    keep[[7, 19_999], [3, 63]] = False
    table = random_table(rng(), 1, 1, 0).from_dense(np.ones((20_000, 64), np.float32), keep)
    explored = Explored.of(np.empty(0, np.int32), 20_000, 64)
    grown = RandomGrowth().grow(table, explored, 2, rng())
    assert (grown.rows.tolist(), grown.columns.tolist()) == ([7, 19_999], [3, 63])


@given(st.integers(0, 50), st.data())
def test_distinct_numbers(below: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, below))
    numbers = distinct(below, count, rng(below))
    assert len(numbers) == count and np.all(np.diff(numbers) > 0)
    assert np.all((numbers >= 0) & (numbers < below))


def test_all_numbers_but_one_are_found_at_once() -> None:
    assert len(distinct(400_000, 399_999, rng())) == 399_999


@settings(deadline=None)  # the first call may compile
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 6), st.booleans(), st.data())
def test_accumulated_growth_takes_the_largest_sums_of_inactive_entries(
    seed: int, n_rows: int, dim: int, coarse: bool, data: st.DataObject
) -> None:
    """As a full sort of a dense array does; of equal sums, coarse ones, the first in order. Never one of zero."""
    random = rng(seed)
    table = random_table(random, n_rows, dim, data.draw(st.integers(0, n_rows * dim)))
    rows = np.flatnonzero(random.random(n_rows) < 0.6).astype(np.int32)
    sums = (
        random.integers(-2, 3, (len(rows), dim)) if coarse else random.standard_normal((len(rows), dim))
    ).astype(np.float32)
    explored = explored_with(sums, rows, n_rows)
    dense = np.zeros((n_rows, dim), np.float32)
    dense[rows] = sums
    dense[table.row_numbers(), table.columns] = 0
    free = np.count_nonzero(dense)
    count = data.draw(st.integers(0, free + 2))
    grown = AccumulatedGrowth().grow(table, explored, count, random)
    wanted = np.sort(np.argsort(-np.abs(dense).ravel(), kind="stable")[: min(count, free)])
    assert (grown.rows.astype(np.int64) * dim + grown.columns).tolist() == wanted.tolist()
    assert np.array_equal(grown.gradients, dense.ravel()[wanted])


def test_the_sums_are_left_as_they_are() -> None:
    table = random_table(rng(), 4, 3, 6)
    explored = explored_with(np.ones((4, 3), np.float32), np.arange(4), 4)
    AccumulatedGrowth().grow(table, explored, 2, rng())
    assert np.all(explored.sums == 1)
