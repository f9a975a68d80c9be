"""Condensing: rows solve their equations, pass by pass nearer to the full product, within the budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np import condensing
from sparserec_np.condensing import RIDGE, condense
from sparserec_np.masks import balance, one_blas_thread, prune_factors
from sparserec_np.table import SparseTable
from tests.small import Array, same_bits

DIM = 6


def full_rows(rng: np.random.Generator, users: int, items: int) -> tuple[Array, Array]:
    return tuple(rng.standard_normal((rows, DIM)).astype(np.float32) ** 3 for rows in (users, items))  # type: ignore[return-value]


def pruned(users: Array, items: Array, nnz: int, floor: int = 1) -> SparseTable:
    sides = lambda a, b: users[a:b], lambda a, b: items[a:b]
    scale = balance(*sides, len(users), len(items))
    return prune_factors(*sides, len(users), len(items), nnz, floor, scale)


def nearer(users: Array, items: Array, nnz: int, passes: int, floor: int = 1) -> SparseTable:
    with one_blas_thread():
        return condense(pruned(users, items, nnz, floor), users, items, passes=passes, floor=floor)


def distance(table: SparseTable, users: Array, items: Array) -> float:
    dense = table.to_dense(DIM).astype(np.float64)
    return float(np.square(dense[: len(users)] @ dense[len(users) :].T - users @ items.T).sum())


@given(st.integers(0, 10_000), st.integers(0, 2), st.integers(60, 200))
def test_items_solve_their_equations_within_the_budget(seed: int, floor: int, nnz: int) -> None:
    users, items = full_rows(np.random.default_rng(seed), 20, 25)
    before = pruned(users, items, nnz, floor)
    table = condense(before, users, items, passes=2, floor=floor)
    table.validate(DIM)
    assert table.nnz == nnz and table.indptr[20] == before.indptr[20]
    if np.diff(before.indptr).min() >= floor:
        assert np.diff(table.indptr).min() >= floor * (nnz >= 45 * floor)
    dense = table.to_dense(DIM).astype(np.float64)
    others = dense[:20]
    gram = others.T @ others
    gram += RIDGE * np.trace(gram) / 20 * np.eye(DIM)
    for row in range(20, 45):
        kept = table.columns[table.indptr[row] : table.indptr[row + 1]]
        pull = others.T @ (users.astype(np.float64) @ items[row - 20])
        np.testing.assert_allclose(
            gram[np.ix_(kept, kept)] @ dense[row, kept], pull[kept], rtol=1e-3, atol=1e-3 * abs(pull).max()
        )


def test_a_full_budget_gives_the_full_product() -> None:
    users, items = full_rows(np.random.default_rng(0), 20, 25)
    table = nearer(users, items, 45 * DIM, passes=2)
    assert distance(table, users, items) < 1e-3 * float(np.square(users @ items.T).sum())


def test_a_pass_comes_nearer_than_pruning_and_more_passes_come_nearer_yet() -> None:
    users, items = full_rows(np.random.default_rng(1), 40, 30)
    distances = [distance(nearer(users, items, 140, passes), users, items) for passes in (0, 1, 5)]
    assert distances[0] > 1.1 * distances[1] and distances[1] > 1.01 * distances[2]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    users, items = full_rows(np.random.default_rng(2), 40, 30)
    whole = nearer(users, items, 140, 1)
    monkeypatch.setattr(condensing, "BLOCK_NUMBERS", 1)
    assert same_bits(whole, nearer(users, items, 140, 1))


def test_rows_of_zeros_keep_their_floor() -> None:
    users, items = full_rows(np.random.default_rng(3), 20, 25)
    users[4], items[7] = 0, 0
    table = nearer(users, items, 120, 2)
    assert table.nnz == 120 and np.diff(table.indptr).min() == 1
    assert not table.to_dense(DIM)[[4, 27]].any()
