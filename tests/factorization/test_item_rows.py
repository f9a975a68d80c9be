"""Item rows for users who are solved for: against dense algebra, within the budget, for any threads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from sparserec_np.data.matrices import matrix_of_ones
from sparserec_np.data.table import SparseTable
from sparserec_np.factorization import item_rows
from sparserec_np.factorization.item_rows import ITEM_PENALTIES, RowPenalties, improve_items, users_of_items
from sparserec_np.factorization.largest_entries import PIECE
from sparserec_np.machine.threads import kernel_threads, one_blas_thread
from tests.makers.small import Array, needs_compiler, peak_of, random_table, same_bits, small_log

LOG = small_log(30, 25, 260)
TOUCHED = matrix_of_ones(LOG)
TRUSTED = TOUCHED.copy()
TRUSTED.data = np.random.default_rng(7).uniform(0.2, 3, LOG.n_interactions).astype(np.float32)
BOTH = pytest.mark.parametrize("log", [TOUCHED, TRUSTED], ids=["alike", "trusted"])
PENALTIES = RowPenalties(0.3, 0.7)
DIM = 6


def plain_row(items: Array, log: csr_matrix, user: int, without: int = -1) -> Array:
    """The row of one user, by its definition; perhaps of all but one item."""
    some = log[user].indices != without
    touched, trust = log[user].indices[some], log[user].data[some].astype(np.float64)
    wide, own = items.astype(np.float64), items[touched].astype(np.float64)
    matrix = PENALTIES.untouched * wide.T @ wide + own.T @ (trust[:, None] * own)
    matrix += PENALTIES.ridge * np.square(wide).sum() / len(wide) * np.eye(wide.shape[1])
    return np.asarray(np.linalg.solve(matrix, trust @ own))


@BOTH
@pytest.mark.parametrize("dim", [3, 40])  # more items than columns, and fewer
def test_users_solve_their_equations(dim: int, log: csr_matrix) -> None:
    items = np.random.default_rng(0).standard_normal((LOG.n_items, dim)).astype(np.float32)
    with one_blas_thread():
        users = users_of_items(log, items, PENALTIES)
        assert users.tobytes() == users_of_items(log, items, PENALTIES, threads=3).tobytes()
    for user in range(LOG.n_users):
        np.testing.assert_allclose(users[user], plain_row(items, log, user), rtol=1e-4, atol=1e-5)


def plain_improved(start: SparseTable, log: csr_matrix) -> Array:
    """One pass over full rows, by its definition: each pair's user without the pair's item."""
    items = start.to_dense(DIM)
    users = np.array([plain_row(items, log, user) for user in range(LOG.n_users)])
    gram, better = users.T @ users, np.zeros((LOG.n_items, DIM))
    mean = np.trace(gram) / LOG.n_users
    for item in range(LOG.n_items):
        having = [user for user in range(LOG.n_users) if item in log[user].indices]
        trust = np.array([log[user, item] for user in having], dtype=np.float64)
        rows = np.array([plain_row(items, log, user, without=item) for user in having])
        rows = rows.reshape(len(having), DIM)
        ridge = ITEM_PENALTIES.ridge * mean * np.sqrt(max(len(having), 1))
        matrix = rows.T @ (trust[:, None] * rows) + ITEM_PENALTIES.untouched * gram + ridge * np.eye(DIM)
        better[item] = np.linalg.solve(matrix, trust @ rows)
    return better


@BOTH
@pytest.mark.parametrize("pairs", [1 << 25, 60])
def test_an_items_row_is_solved_for_from_users_who_do_not_know_the_item(
    monkeypatch: pytest.MonkeyPatch, pairs: int, log: csr_matrix
) -> None:
    monkeypatch.setattr(item_rows, "PAIR_NUMBERS", pairs)
    start = SparseTable.full(np.random.default_rng(1).standard_normal((LOG.n_items, DIM)).astype(np.float32))
    with one_blas_thread():
        table = improve_items(start, log, DIM, passes=1, penalties=PENALTIES)
    np.testing.assert_allclose(table.to_dense(DIM), plain_improved(start, log), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("pairs", [1 << 25, 300])
def test_the_mask_moves_within_the_budget_and_threads_change_no_bit(
    monkeypatch: pytest.MonkeyPatch, pairs: int
) -> None:
    monkeypatch.setattr(item_rows, "PAIR_NUMBERS", pairs)
    start = random_table(np.random.default_rng(2), LOG.n_items, DIM, 70)
    found = []
    for threads in (1, 2):
        with kernel_threads(threads), one_blas_thread():
            found.append(improve_items(start, TOUCHED, DIM, passes=2, penalties=PENALTIES, threads=threads))
    table = found[0]
    table.validate(DIM)
    assert same_bits(*found) and not same_bits(table, start)
    assert table.nnz == 70 and np.diff(table.indptr).min() >= (1 if pairs > 300 else 0)


def test_no_pass_keeps_the_table() -> None:
    start = random_table(np.random.default_rng(3), LOG.n_items, DIM, 70)
    assert improve_items(start, TOUCHED, DIM, passes=0, penalties=PENALTIES) is start


@needs_compiler
@pytest.mark.parametrize("pair_numbers", [1 << 25, 1 << 20])
def test_no_more_memory_is_taken_than_is_said(pair_numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of pairs in one block, and in some: those of one block are held at a time."""
    monkeypatch.setattr("sparserec_np.factorization.item_rows.PAIR_NUMBERS", pair_numbers)
    log, dim = small_log(900, 700, 40_000), 64
    touched, table = matrix_of_ones(log), random_table(np.random.default_rng(0), 700, dim, 2000)
    said = 5 * min(pair_numbers, log.n_interactions * dim)
    said += dim * (4 * log.n_users + 12 * log.n_items) + 12 * log.n_interactions + 6 * 8 * dim**2
    said += 700 * dim * 8 + 2 * 10 * (PIECE + table.nnz)  # of better_rows: values and worths, what is kept
    with one_blas_thread():
        peak = peak_of(lambda: improve_items(table, touched, dim, passes=2, penalties=PENALTIES))
    assert 0.6 * said < peak < 1.1 * said
