"""Condensing: rows solve their equations, pass by pass nearer to the full product, within the budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from sparserec_np.data.table import SparseTable
from sparserec_np.factorization import condensing
from sparserec_np.factorization.condensing import (
    RIDGE,
    Target,
    best_of_full,
    best_of_tables,
    condense,
    condense_items,
)
from sparserec_np.factorization.pruning import Factors, balance, prune_factors
from sparserec_np.machine.threads import one_blas_thread
from tests.makers.small import Array

DIM = 6


def full_rows(rng: np.random.Generator, users: int, items: int) -> tuple[Array, Array]:
    return tuple(rng.standard_normal((rows, DIM)).astype(np.float32) ** 3 for rows in (users, items))  # type: ignore[return-value]


def pruned(users: Array, items: Array, nnz: int, floor: int = 1) -> SparseTable:
    factors = Factors(lambda a, b: users[a:b], lambda a, b: items[a:b], len(users), len(items))
    return prune_factors(factors, nnz, floor, balance(factors))


def nearer(
    users: Array,
    items: Array,
    nnz: int,
    passes: int,
    floor: int = 1,
    listed: int = 1000,
    touched: csr_matrix | None = None,
) -> SparseTable:
    """Where all items are listed, all scores count alike."""
    touched = csr_matrix((len(users), len(items))) if touched is None else touched
    start = pruned(users, items, nnz, floor)
    with one_blas_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(condensing, "LISTED", listed)
        return condense(start, Target(users, items, touched), DIM, passes=passes, floor=floor)


def misses(table: SparseTable, users: Array, items: Array) -> Array:
    dense = table.to_dense(DIM).astype(np.float64)
    return np.asarray(np.square(dense[: len(users)] @ dense[len(users) :].T - users @ items.T))


def some_touched(rng: np.random.Generator, users: int, items: int) -> csr_matrix:
    return csr_matrix((rng.random((users, items)) < 0.2).astype(np.float32))


def plain_lists(users: Array, items: Array, touched: csr_matrix, count: int) -> Array:
    """(n_users, n_items) bool: the plain definition."""
    scores = np.where(touched.toarray() > 0, -np.inf, users.astype(np.float64) @ items.T)
    return np.asarray((-scores).argsort(axis=1).argsort(axis=1) < count)


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 10_000), st.integers(0, 2), st.integers(60, 200))
def test_items_solve_their_equations_within_the_budget(seed: int, floor: int, nnz: int) -> None:
    rng = np.random.default_rng(seed)
    users, items = full_rows(rng, 20, 25)
    touched, before = some_touched(rng, 20, 25), pruned(users, items, nnz, floor)
    table = nearer(users, items, nnz, 1, floor, listed=5, touched=touched)
    table.validate(DIM)
    assert table.nnz == nnz and table.indptr[20] == before.indptr[20]
    if np.diff(before.indptr).min() >= floor:
        assert np.diff(table.indptr).min() >= floor * (nnz >= 45 * floor)
    dense = table.to_dense(DIM).astype(np.float64)
    others, listed = dense[:20], plain_lists(users, items, touched, 5)
    ridge = RIDGE * np.square(others).sum() / 20 * np.eye(DIM)
    for row in range(20, 45):
        weights = 1 + 25 / 5 * listed[:, row - 20]
        matrix = others.T @ (weights[:, None] * others) + ridge
        pull = others.T @ (weights * (users.astype(np.float64) @ items[row - 20]))
        kept = table.columns[table.indptr[row] : table.indptr[row + 1]]
        np.testing.assert_allclose(
            matrix[np.ix_(kept, kept)] @ dense[row, kept], pull[kept], rtol=1e-3, atol=1e-3 * abs(pull).max()
        )


def test_a_full_budget_gives_the_full_product_of_full_rows_of_any_width() -> None:
    rng = np.random.default_rng(0)
    users, items = full_rows(rng, 20, 25)
    table = nearer(users, items, 45 * DIM, passes=2, listed=5)
    scores = users @ items.T
    assert misses(table, users, items).sum() < 1e-3 * np.square(scores).sum()
    wide = np.linalg.qr(rng.standard_normal((2 * DIM, DIM)))[0].T.astype(np.float32)
    start = SparseTable.full(rng.standard_normal((45, DIM)).astype(np.float32))
    nothing = csr_matrix((20, 25))
    with one_blas_thread():
        table = condense(start, Target(users @ wide, items @ wide, nothing), DIM, passes=3)
    assert misses(table, users, items).sum() < 1e-3 * np.square(scores).sum()


def test_a_pass_comes_nearer_than_pruning_and_more_passes_come_nearer_yet() -> None:
    users, items = full_rows(np.random.default_rng(1), 40, 30)
    distances = [misses(nearer(users, items, 140, passes), users, items).sum() for passes in (0, 1, 5)]
    assert distances[0] > 1.1 * distances[1] and distances[1] > 1.01 * distances[2]


def test_lists_come_nearer_where_they_count_more() -> None:
    rng = np.random.default_rng(4)
    users, items = full_rows(rng, 40, 30)
    listed = plain_lists(users, items, csr_matrix((40, 30)), 5)
    alike, weighed = (misses(nearer(users, items, 140, 5, listed=k), users, items) for k in (30, 5))
    assert weighed[listed].sum() < 0.8 * alike[listed].sum()
    assert weighed.sum() > alike.sum()


@pytest.mark.parametrize(("block", "threads"), [(1 << 20, 1), (1, 1), (70, 2)])
def test_pairs_are_the_best_of_those_not_touched(
    monkeypatch: pytest.MonkeyPatch, block: int, threads: int
) -> None:
    monkeypatch.setattr(condensing, "SCORES_AT_ONCE", block)
    monkeypatch.setattr(condensing, "LISTED", 6)
    rng = np.random.default_rng(2)
    users, items = full_rows(rng, 40, 30)
    touched = some_touched(rng, 40, 30)
    expected = plain_lists(users, items, touched, 6)
    tables = SparseTable.from_dense(users), SparseTable.from_dense(items)
    for found in (
        best_of_full(users, items, touched, threads),
        best_of_tables(*tables, touched, DIM),
    ):
        assert found.has_sorted_indices and (found.data == 1).all()
        np.testing.assert_array_equal(found.toarray() > 0, expected)


def test_nothing_touched_is_listed_even_where_a_list_ends_early() -> None:
    users, items = full_rows(np.random.default_rng(5), 12, 30)
    touched = csr_matrix(np.repeat([[1.0] * 25 + [0.0] * 5], 12, axis=0))
    for found in (
        best_of_full(users, items, touched, 1),
        best_of_tables(SparseTable.from_dense(users), SparseTable.from_dense(items), touched, DIM),
    ):
        np.testing.assert_array_equal(found.toarray(), touched.toarray() == 0)


def test_who_touched_all_and_catalogues_shorter_than_a_list_do_no_harm() -> None:
    users, items = full_rows(np.random.default_rng(5), 12, 7)
    everything = csr_matrix(np.ones((12, 7), np.float32))
    table = nearer(users, items, 40, 2, listed=20, touched=everything)
    table.validate(DIM)
    assert misses(table, users, items).sum() < np.square(users @ items.T).sum()


def test_rows_of_zeros_keep_their_floor() -> None:
    users, items = full_rows(np.random.default_rng(3), 20, 25)
    users[4], items[7] = 0, 0
    table = nearer(users, items, 120, 2, listed=5)
    assert table.nnz == 120 and np.diff(table.indptr).min() == 1
    assert not table.to_dense(DIM)[[4, 27]].any()


def test_items_come_near_where_users_are_made_of_them() -> None:
    rng = np.random.default_rng(6)
    users, items = full_rows(rng, 30, 25)
    target = Target(users, items, some_touched(rng, 30, 25))
    start = pruned(users, items, 55 * 3).slice_rows(30, 55)

    def best_users(rows: Array) -> Array:
        return np.linalg.lstsq(rows, items @ users.T, rcond=None)[0].T.astype(np.float32)

    def miss(table: SparseTable) -> float:
        dense = table.to_dense(DIM)
        return float(np.square(best_users(dense) @ dense.T - users @ items.T).sum())

    tables = [start]
    with one_blas_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(condensing, "LISTED", 1000)
        for passes in (1, 3):
            tables.append(condense_items(start, target, best_users, DIM, passes=passes))
        assert condense_items(start, target, best_users, DIM, passes=0) is start
    for table in tables:
        table.validate(DIM)
        assert (table.rows, table.nnz) == (25, start.nnz)
    assert miss(tables[0]) > 1.05 * miss(tables[1]) > 1.05 * miss(tables[2])
    assert np.diff(tables[-1].indptr).min() >= 1
