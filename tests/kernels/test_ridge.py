"""Users' rows that are solved for: the compiled kernel against its twin, bit by bit, and both against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.arguments import NO_TRUSTS
from sparserec_np.kernels.compiled import ridge as compiled
from sparserec_np.kernels.reference import ridge as reference
from sparserec_np.machine.threads import kernel_threads
from sparserec_np.runtime import RidgeTerms, Table, ridge_terms
from tests.makers.small import Array, random_table

Rows = tuple[Array, Array, Array]


def terms_of(table: SparseTable, dim: int, untouched: float, ridge: float) -> RidgeTerms:
    return ridge_terms(Table(*table), dim, untouched, ridge)


def draw(seed: int, dim: int, density: float) -> tuple[SparseTable, Array, Array]:
    """A table of 20 items, some of them empty, and what 12 users touched, of whom user 3 touched nothing."""
    rng = np.random.default_rng(seed)
    table = random_table(rng, 20, dim, round(density * 20 * dim), np.float32)
    touched = rng.random((12, 20)) < rng.choice([0.1, 0.6], (12, 1))
    touched[3] = False
    return table, np.append(0, np.cumsum(touched.sum(axis=1))), np.nonzero(touched)[1].astype(np.int32)


def solve(
    package: object,
    table: SparseTable,
    terms: RidgeTerms,
    log: tuple[Array, Array],
    most: int,
    trusts: Array = NO_TRUSTS,
) -> Rows:
    users = np.array([11, 3, 0, 5, 5, 7], np.int32)
    columns, values = np.zeros((6, most), np.int32), np.zeros((6, most), np.float32)
    counts = np.full(6, -1, np.int32)
    package.solve_users(table, *terms, *log, trusts, users, columns, values, counts)  # type: ignore[attr-defined]
    return columns, values, counts


@settings(deadline=None)  # the first call compiles
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(1, 1.0), (5, 0.5), (30, 0.2), (300, 0.02)]),
    st.sampled_from([1, 3, 40]),
    st.sampled_from([(0.0, 1e-3), (0.2, 1.0), (2.0, 30.0)]),
)
def test_both_twins_give_the_same_bits(
    seed: int, shape: tuple[int, float], most: int, weights: tuple[float, float]
) -> None:
    table, *log = draw(seed, *shape)
    terms = terms_of(table, shape[0], *weights)
    for trusts in (NO_TRUSTS, some_trusts(log[1])):
        for fast, plain in zip(
            *(solve(p, table, terms, tuple(log), most, trusts) for p in (compiled, reference)), strict=True
        ):
            np.testing.assert_array_equal(fast, plain)


def some_trusts(items: Array) -> Array:
    return np.random.default_rng(3).uniform(0.2, 3, items.size).astype(np.float32)


def test_trust_in_ones_changes_no_bit() -> None:
    table, *log = draw(9, 40, 0.2)
    terms = terms_of(table, 40, 0.2, 1.0)
    ones = np.ones(log[1].size, np.float32)
    for found, expected in zip(
        solve(compiled, table, terms, tuple(log), 10, ones),
        solve(compiled, table, terms, tuple(log), 10),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("untouched", [0.0, 0.3])
def test_a_row_solves_the_equations_in_the_columns_of_what_was_touched(
    untouched: float, trusted: bool
) -> None:
    dim = 30
    table, indptr, items = draw(5, dim, 0.2)
    trusts = some_trusts(items) if trusted else np.ones(items.size, np.float32)
    dense = table.to_dense(dim).astype(np.float64)
    mean = np.square(dense).sum() / len(dense)
    columns, values, counts = solve(
        *(compiled, table, terms_of(table, dim, untouched, 0.7), (indptr, items), dim),
        trusts if trusted else NO_TRUSTS,
    )
    for t, user in enumerate([11, 3, 0, 5, 5, 7]):
        part = slice(indptr[user], indptr[user + 1])
        own, trust = dense[items[part]], trusts[part, None].astype(np.float64)
        kept = np.flatnonzero(own.any(axis=0))
        matrix = untouched * dense.T @ dense + own.T @ (trust * own) + 0.7 * mean * np.eye(dim)
        expected = np.linalg.solve(matrix[np.ix_(kept, kept)], (trust * own).sum(axis=0)[kept])
        assert columns[t, : counts[t]].tolist() == kept.tolist()
        np.testing.assert_allclose(values[t, : counts[t]], expected, rtol=1e-5, atol=1e-7)


def test_a_row_without_room_keeps_what_matters_most_and_is_solved_for_again() -> None:
    dim, most = 30, 6
    table, indptr, items = draw(8, dim, 0.3)
    dense = table.to_dense(dim).astype(np.float64)
    base = 0.2 * dense.T @ dense + np.square(dense).sum() / len(dense) * np.eye(dim)
    columns, values, counts = solve(compiled, table, terms_of(table, dim, 0.2, 1.0), (indptr, items), most)
    for t, user in enumerate([11, 3, 0, 5, 5, 7]):
        own = dense[items[indptr[user] : indptr[user + 1]]]
        kept, matrix = np.flatnonzero(own.any(axis=0)), base + own.T @ own
        first = np.linalg.solve(matrix[np.ix_(kept, kept)], own.sum(axis=0)[kept])
        if len(kept) > most:
            kept = np.sort(kept[np.argsort(-(first**2) * np.diag(base)[kept])[:most]])
        expected = np.linalg.solve(matrix[np.ix_(kept, kept)], own.sum(axis=0)[kept])
        assert columns[t, : counts[t]].tolist() == kept.tolist()
        np.testing.assert_allclose(values[t, : counts[t]], expected, rtol=1e-5, atol=1e-7)


def test_threads_change_no_bit() -> None:
    table, *log = draw(9, 40, 0.2)
    terms, found = terms_of(table, 40, 0.2, 1.0), []
    for threads in (1, 2):
        with kernel_threads(threads):
            found.append(solve(compiled, table, terms, tuple(log), 10))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_items_without_entries_give_nobody_a_row() -> None:
    empty = SparseTable(np.zeros(21, np.int32), np.zeros(0, np.uint8), np.zeros(0, np.float32))
    _, *log = draw(9, 4, 0.5)
    for package in (compiled, reference):
        assert solve(package, empty, terms_of(empty, 4, 0.2, 1.0), tuple(log), 4)[2].tolist() == [0] * 6
