"""Scores: compiled, plain and dense float64 agree, whatever the tables look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.compiled import scoring as compiled
from sparserec_np.kernels.reference import scoring as reference
from tests.makers import oracles
from tests.makers.kernel_cases import (
    Array,
    assert_close,
    assert_threads_change_nothing,
    columns_and_dtype,
    needs_two_threads,
    random_rows,
    random_starts,
    random_table,
)


def pair_scores(kernel: Any, table: SparseTable, rows: Array, starts: Array, partners: Array) -> Array:
    scores = np.full(len(partners), 77, dtype=table.values.dtype)
    kernel.score_pairs(table, rows, starts, partners, scores)
    return scores


def filled(kernel: Any, table: SparseTable, rows: Array, dim: int) -> Array:
    block = np.full((dim, len(rows)), 77, dtype=table.values.dtype)
    kernel.fill_block(table, rows, block)
    return block


def block_scores(kernel: Any, table: SparseTable, rows: Array, block: Array) -> Array:
    scores = np.full((len(rows), block.shape[1]), 77, dtype=table.values.dtype)
    kernel.score_block(table, rows, block, scores)
    return scores


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_rows=st.integers(1, 12),
    size=columns_and_dtype(1, 2, 7, 256, 257, 300),
    density=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    groups=st.integers(0, 150),
)
def test_pair_scores(seed: int, n_rows: int, size: tuple[int, Any], density: float, groups: int) -> None:
    dim, dtype = size
    rng = np.random.default_rng(seed)
    table = random_table(rng, n_rows, dim, density, dtype)
    rows = rng.integers(n_rows, size=groups).astype(np.int32)
    starts = random_starts(rng, groups, 3)
    partners = rng.integers(n_rows, size=starts[-1]).astype(np.int32)
    expected = pair_scores(reference, table, rows, starts, partners)
    assert_close(pair_scores(compiled, table, rows, starts, partners), expected, scale=dim**0.5)
    dense = table.to_dense(dim)
    exact = [
        oracles.inner(dense[row], dense[partners[m]])
        for row, first, last in zip(rows, starts, starts[1:], strict=False)
        for m in range(first, last)
    ][:20]
    assert_close(expected[:20], np.array(exact), scale=dim**0.5)


def test_wide_bounds_are_bounds_too() -> None:
    """As of more pairs than four bytes number."""
    rng = np.random.default_rng(2)
    table = random_table(rng, 30, 9, 0.4, np.float32)
    rows, starts = random_rows(rng, 30, 20), random_starts(rng, 20, 3)
    partners = rng.integers(30, size=starts[-1]).astype(np.int32)
    found, expected = (
        pair_scores(compiled, table, rows, bounds, partners) for bounds in (starts.astype(np.int64), starts)
    )
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_rows=st.integers(1, 12),
    columns=columns_and_dtype(1, 2, 7, 300),
    density=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    groups=st.integers(0, 9),
    size=st.integers(1, 9),
)
def test_block_scores(
    seed: int, n_rows: int, columns: tuple[int, Any], density: float, groups: int, size: int
) -> None:
    dim, dtype = columns
    rng = np.random.default_rng(seed)
    table = random_table(rng, n_rows, dim, density, dtype)
    rows, others = random_rows(rng, n_rows, groups), random_rows(rng, n_rows, size)
    dense = table.to_dense(dim)
    block = filled(compiled, table, others, dim)
    np.testing.assert_array_equal(block, dense[others].T)
    np.testing.assert_array_equal(filled(reference, table, others, dim), block)
    expected = block_scores(reference, table, rows, block)
    assert_close(block_scores(compiled, table, rows, block), expected, scale=dim**0.5)
    assert_close(expected, oracles.product(dense[rows], block), scale=dim**0.5)


@pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])
def test_both_ways_of_scoring_agree(kernel: Any) -> None:
    rng = np.random.default_rng(0)
    table = random_table(rng, 30, 9, 0.4, np.float64)
    rows, others = np.arange(12, dtype=np.int32), np.arange(12, 30, dtype=np.int32)
    scores = block_scores(kernel, table, rows, filled(kernel, table, others, 9))
    starts = np.arange(0, 12 * 18 + 1, 18, dtype=np.int32)
    assert_close(pair_scores(kernel, table, rows, starts, np.tile(others, 12)), scores.ravel())


@needs_two_threads
def test_the_number_of_threads_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    table = random_table(rng, 400, 40, 0.3, np.float32)
    rows, others = random_rows(rng, 400, 300), random_rows(rng, 400, 50)
    starts = random_starts(rng, 300, 4)
    partners = rng.integers(400, size=starts[-1]).astype(np.int32)

    def run() -> list[Array]:
        block = filled(compiled, table, others, 40)
        return [
            block,
            block_scores(compiled, table, rows, block),
            pair_scores(compiled, table, rows, starts, partners),
        ]

    assert_threads_change_nothing(run)
