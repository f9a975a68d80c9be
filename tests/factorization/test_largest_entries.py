"""LargestEntries against a full sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.factorization.largest_entries import LargestEntries, table_of


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 9), st.integers(1, 5), st.booleans())
def test_blocks_give_what_a_full_sort_gives(seed: int, count: int, rows: int, dim: int, coarse: bool) -> None:
    """Coarse values tie often: of equal keys the first offered are kept, whatever the blocks."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-2, 3, (rows, dim)).astype(np.float32) if coarse else rng.random((rows, dim))
    values = values.astype(np.float32)
    best = LargestEntries(count)
    start = 0
    while start < rows:
        stop = start + int(rng.integers(1, 4))
        best.offer(np.arange(start, min(stop, rows)), values[start:stop])
        start = stop
    got_rows, got_columns, got_values = best.take()
    order = np.sort(np.argsort(-np.abs(values).ravel(), kind="stable")[:count])
    assert np.array_equal(got_rows * dim + got_columns.astype(np.int64), order)
    assert np.array_equal(got_values, values.ravel()[order])
    assert (got_rows.dtype, got_columns.dtype, got_values.dtype) == (np.int32, np.uint16, np.float32)


def test_keys_rank_in_place_of_the_values_and_minus_infinity_bars() -> None:
    best = LargestEntries(3)
    keys = np.array([[1.0, np.inf, -np.inf], [-np.inf, -np.inf, -np.inf]])
    best.offer(np.array([3, 7]), np.array([[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]]), keys)
    rows, columns, values = best.take()
    assert (rows.tolist(), columns.tolist(), values.tolist()) == ([3, 3], [0, 1], [10.0, 20.0])


def test_more_infinite_keys_than_places() -> None:
    best = LargestEntries(2)
    for row in range(4):
        best.offer(np.array([row]), np.ones((1, 3)), np.full((1, 3), np.inf))
    rows, columns, _ = best.take()
    assert (rows.tolist(), columns.tolist()) == ([0, 0], [0, 1])


def test_what_is_held_stays_within_bounds() -> None:
    best = LargestEntries(50)
    rng = np.random.default_rng(0)
    for row in range(200):
        best.offer(np.array([row]), rng.random((1, 40)))
        assert best.held <= 50 + 6
        assert best.held == best.pieces[-1][1]


def test_every_place_of_the_widest_row_has_a_number() -> None:
    best = LargestEntries(3)
    values = np.zeros((2, 1 << 16), np.float32)
    values[0, [0, 65_535]] = 2, -3
    values[1, 65_535] = 4
    best.offer(np.arange(2), values)
    rows, columns, values = best.take()
    assert (rows.tolist(), columns.tolist(), values.tolist()) == ([0, 0, 1], [0, 65_535, 65_535], [2, -3, 4])


def test_nothing_offered_is_nothing_kept() -> None:
    assert [part.tolist() for part in LargestEntries(4).take()] == [[], [], []]


@pytest.mark.parametrize("dim", [4, 300])
def test_entries_make_a_table_with_empty_rows(dim: int) -> None:
    rows, columns = np.array([1, 1, 3], np.int32), np.array([0, 3, 2], np.uint16)
    table = table_of(rows, columns, np.array([1, 2, 3], np.float32), 5, dim)
    table.validate(dim)
    assert table.indptr.tolist() == [0, 0, 2, 2, 3, 3]
    assert table.to_dense(dim)[rows, columns].tolist() == [1, 2, 3]
