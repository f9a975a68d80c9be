"""Least squares: the rows solve their equations, within the budget; the same bits for any threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from sparserec_np.data.table import SparseTable, stacked
from sparserec_np.factorization import least_squares
from sparserec_np.factorization.largest_entries import LargestEntries
from sparserec_np.factorization.least_squares import (
    PIECE_NUMBERS,
    Penalties,
    alternate,
    alternate_full,
    solved_rows,
)
from sparserec_np.machine.threads import one_blas_thread
from sparserec_np.runtime import RIDGE, UNTOUCHED
from tests.makers.small import Array, random_table, same_bits

DIM = 6


def touched(rng: np.random.Generator, rows: int, others: int, part: float = 0.2) -> csr_matrix:
    return csr_matrix((rng.random((rows, others)) < part).astype(np.float32))


def trusted(matrix: csr_matrix) -> csr_matrix:
    """The same pairs, of which some are trusted more than others."""
    some = np.random.default_rng(5).uniform(0.2, 3, matrix.nnz).astype(np.float32)
    return csr_matrix((some, matrix.indices, matrix.indptr), shape=matrix.shape)


def solve(matrix: csr_matrix, others: SparseTable, nnz: int, floor: int = 1, threads: int = 1) -> SparseTable:
    with one_blas_thread():
        return solved_rows(matrix, others, DIM, nnz, floor, threads)


def equations(matrix: csr_matrix, others: SparseTable, row: int) -> tuple[Array, Array]:
    """The plain definition: the matrix and the right side of one row's equations."""
    dense = others.to_dense(DIM).astype(np.float64)
    own, trust = dense[matrix[row].indices], matrix[row].data.astype(np.float64)
    gram = dense.T @ dense
    everybody = UNTOUCHED * (gram + RIDGE * np.trace(gram) / DIM * np.eye(DIM))
    return own.T @ (trust[:, None] * own) + everybody, trust @ own


@given(st.integers(0, 10_000), st.integers(20, 40), st.integers(0, 2))
def test_rows_solve_their_equations_within_the_budget(seed: int, rows: int, floor: int) -> None:
    rng = np.random.default_rng(seed)
    others = random_table(rng, 15, DIM, 45)
    matrix = touched(rng, rows, 15)
    matrix = trusted(matrix) if seed % 2 else matrix
    nnz = int(rng.integers(rows, rows * DIM))
    table = solve(matrix, others, nnz, floor)
    table.validate(DIM)
    assert table.rows == rows and table.nnz <= nnz
    assert np.diff(table.indptr).min() >= min(floor, nnz // rows)
    for row in range(rows):
        kept = table.columns[table.indptr[row] : table.indptr[row + 1]]
        left, right = equations(matrix, others, row)
        values = table.values[table.indptr[row] : table.indptr[row + 1]].astype(np.float64)
        np.testing.assert_allclose(left[np.ix_(kept, kept)] @ values, right[kept], atol=1e-3)


@pytest.mark.parametrize("numbers", [1, 7 * DIM, 40 * DIM])
def test_blocks_of_rows_that_touched_little_have_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, numbers: int
) -> None:
    rng = np.random.default_rng(8)
    others, matrix = random_table(rng, 15, DIM, 80), touched(rng, 25, 15, 0.5)
    whole = solve(matrix, others, 60)
    monkeypatch.setattr(least_squares, "BLOCK_NUMBERS", numbers)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(whole, solve(matrix, others, 60), strict=True))


def test_a_full_budget_keeps_the_whole_solution_and_a_smaller_one_what_matters_most() -> None:
    rng = np.random.default_rng(3)
    others, matrix = random_table(rng, 15, DIM, 80), touched(rng, 25, 15, 0.5)
    full = solve(matrix, others, 25 * DIM).to_dense(DIM)
    exact = np.stack([np.linalg.solve(*equations(matrix, others, row)) for row in range(25)])
    np.testing.assert_allclose(full, exact, atol=1e-4)
    squares = np.square(others.to_dense(DIM), dtype=np.float64).sum(axis=0)
    reach = np.abs(exact) * np.sqrt(squares + RIDGE * squares.mean())
    some = solve(matrix, others, 60, floor=0)
    wanted = np.zeros(25 * DIM, dtype=bool)
    wanted[np.argsort(-reach.ravel())[:60]] = True
    np.testing.assert_array_equal(np.flatnonzero(wanted), some.row_numbers() * DIM + some.columns)


def test_rows_that_touched_nothing_known_stay_at_zero() -> None:
    rng = np.random.default_rng(0)
    matrix = csr_matrix((3, 15), dtype=np.float32)
    table = solve(matrix, random_table(rng, 15, DIM, 45), 12)
    assert table.nnz == 3 and not table.values.any()
    nothing = SparseTable.from_dense(np.zeros((15, DIM), dtype=np.float32))
    table = solve(touched(rng, 3, 15), nothing, 12)
    assert np.isfinite(table.values).all() and not table.values.any()


@pytest.mark.parametrize("threads", [2, 3])
def test_the_same_bits_for_any_threads(threads: int) -> None:
    rng = np.random.default_rng(1)
    others, matrix = random_table(rng, 60, DIM, 200), trusted(touched(rng, 700, 60))
    assert same_bits(solve(matrix, others, 2000), solve(matrix, others, 2000, threads=threads))


def alternated(
    start: SparseTable, matrix: csr_matrix, passes: int = 2, ridge: float = 1.0, floor: int = 1
) -> SparseTable:
    with one_blas_thread():
        return alternate(start, matrix, DIM, passes=passes, penalties=Penalties(0.1, ridge), floor=floor)


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 10_000), st.integers(0, 2))
def test_alternating_keeps_the_entries_of_both_sides_and_the_floor(seed: int, floor: int) -> None:
    rng = np.random.default_rng(seed)
    users, items = random_table(rng, 14, DIM, 40), random_table(rng, 11, DIM, int(rng.integers(0, 60)))
    table = alternated(stacked(users, items), touched(rng, 14, 11), floor=floor)
    table.validate(DIM)
    assert (table.indptr[14], table.nnz) == (users.nnz, users.nnz + items.nnz)
    lengths = np.diff(table.indptr)
    assert lengths[:14].min() >= min(floor, users.nnz // 14)
    assert lengths[14:].min() >= min(floor, items.nnz // 11)


def test_the_start_is_left_as_it_is_and_no_pass_keeps_it() -> None:
    rng = np.random.default_rng(4)
    start, matrix = random_table(rng, 20 + 12, DIM, 70), touched(rng, 20, 12)
    before = start.copy()
    assert not same_bits(alternated(start, matrix), before)
    assert same_bits(start, before) and same_bits(alternated(start, matrix, passes=0), before)


@pytest.mark.parametrize("trusts", [False, True])
def test_on_full_tables_a_pass_is_that_of_dense_alternating_least_squares(trusts: bool) -> None:
    rng = np.random.default_rng(0)
    users, items = (rng.standard_normal((rows, DIM)) for rows in (20, 15))
    matrix = touched(rng, 20, 15, 0.4)
    matrix = trusted(matrix) if trusts else matrix
    start = stacked(SparseTable.full(users.astype(np.float32)), SparseTable.full(items.astype(np.float32)))
    table = alternated(start, matrix, passes=3, ridge=0.7).to_dense(DIM)

    users, items = dense_alternating(matrix, items, passes=3, ridge=0.7)
    np.testing.assert_allclose(table, np.concatenate([users, items]), atol=1e-4)


def dense_alternating(
    matrix: csr_matrix, items: Array, passes: int, ridge: float, untouched: float = 0.1
) -> tuple[Array, Array]:
    """The plain definition of alternating least squares, without a budget."""

    def solved(of: csr_matrix, others: Array) -> Array:
        rows = []
        dim = others.shape[1]
        mean = np.square(others).sum() / len(others)
        for row in range(of.shape[0]):
            own, trust = others[of[row].indices], of[row].data.astype(np.float64)
            short = ridge * mean * np.sqrt(max(len(own), 1)) * np.eye(dim)
            left = own.T @ (trust[:, None] * own) + untouched * others.T @ others + short
            rows.append(np.linalg.solve(left, trust @ own))
        return np.array(rows)

    for _ in range(passes):
        users = solved(matrix, items)
        items = solved(matrix.T.tocsr(), users)
    return users, items


@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from([0.0, 0.3]))
def test_full_rows_are_those_of_dense_alternating_least_squares(
    seed: int, dim: int, untouched: float
) -> None:
    """Users that touched fewer items than there are columns, more, and none."""
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((15, dim)).astype(np.float32)
    dense = rng.random((20, 15)) < rng.random((20, 1))
    dense[3], dense[:, 5] = False, False
    matrix = csr_matrix(dense.astype(np.float32))
    matrix = trusted(matrix) if seed % 2 else matrix
    with one_blas_thread():
        found = alternate_full(matrix, items.copy(), passes=2, penalties=Penalties(untouched, 0.7))
    expected = dense_alternating(matrix, items.astype(np.float64), 2, 0.7, untouched)
    assert all(side.dtype == np.float32 for side in found)
    for one, other in ((0, 0), (0, 1), (1, 1)):  # all products, which no rotation changes
        ours, plain = (sides[one] @ sides[other].T for sides in (found, expected))
        np.testing.assert_allclose(ours, plain, atol=2e-4 * max(1, np.abs(plain).max()))


@pytest.mark.parametrize("numbers", [1, 500, PIECE_NUMBERS])
def test_full_rows_have_the_same_bits_for_any_threads_and_hardly_other_ones_for_other_pieces(
    monkeypatch: pytest.MonkeyPatch, numbers: int
) -> None:
    rng = np.random.default_rng(6)
    matrix, items = touched(rng, 300, 40), rng.standard_normal((40, DIM)).astype(np.float32)
    with one_blas_thread():
        whole = alternate_full(matrix, items.copy(), passes=2)
        monkeypatch.setattr(least_squares, "PIECE_NUMBERS", numbers)
        one, three = (alternate_full(matrix, items.copy(), passes=2, threads=n) for n in (1, 3))
    for expected, found, again in zip(whole, one, three, strict=True):
        assert found.tobytes() == again.tobytes()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("numbers", [1, DIM, 5 * DIM + 1])
def test_pieces_change_nothing_even_where_rows_tie(monkeypatch: pytest.MonkeyPatch, numbers: int) -> None:
    rng = np.random.default_rng(2)
    rows = np.append(
        np.tile(np.arange(3), 6), [3, 4]
    )  # six users of each of three tastes, and two of their own
    matrix = touched(rng, 5, 11, 0.5)[rows]
    users = SparseTable.from_dense(random_table(rng, 5, DIM, 14).to_dense(DIM)[rows])
    start = stacked(users, random_table(rng, 11, DIM, 30))
    whole = alternated(start, matrix)
    monkeypatch.setattr(least_squares, "PIECE_NUMBERS", numbers)
    assert same_bits(alternated(start, matrix), whole)


def test_a_piece_has_fewer_rows_the_wider_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    offer = LargestEntries.offer

    def noted(self: LargestEntries, rows: Array, values: Array, keys: Array | None = None) -> None:
        sizes.append(values.size)
        offer(self, rows, values, keys)

    monkeypatch.setattr(LargestEntries, "offer", noted)
    rng = np.random.default_rng(0)
    dim = 1024
    start = random_table(rng, 600 + 15, dim, 3000)
    with one_blas_thread():
        alternate(start, touched(rng, 600, 15), dim, passes=1)
    assert max(sizes) <= PIECE_NUMBERS < 600 * dim == sum(sizes) - 15 * dim


def test_a_mask_at_random_becomes_one_that_explains_more() -> None:
    """Two groups with tastes of their own: each should end with a column that the other does not use."""
    rng = np.random.default_rng(1)
    matrix = csr_matrix(np.kron(np.eye(2), np.ones((10, 8))).astype(np.float32))
    start = random_table(rng, 36, DIM, 72)

    def apart(table: SparseTable) -> float:
        dense = table.to_dense(DIM)
        scores = dense[:20] @ dense[20:].T
        own = matrix.toarray() > 0
        return float(scores[own].mean() - scores[~own].mean())

    once, often = (apart(alternated(start, matrix, passes, ridge=0.1)) for passes in (1, 5))
    assert often > 0.8 and often > once > apart(start)
