"""The fit with the own share left out: its gradient is that of the dense formula, and steps lead down."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.synthetic import generate
from sparserec_np.data.table import SparseTable
from sparserec_np.factorization import own_share
from sparserec_np.factorization.own_share import OwnShareFit, _Problem
from sparserec_np.machine.threads import one_blas_thread
from tests.makers.kernel_cases import assert_threads_change_nothing, needs_two_threads

LOG = generate(60, 40, 500, seed=1)
DIM = 7


def normalised(log: Interactions) -> np.ndarray:
    ones = np.zeros((log.n_users, log.n_items))
    ones[log.pair_users(), log.items] = 1
    users, items = (np.maximum(ones.sum(axis=axis), 1) for axis in (1, 0))
    return users[:, None] ** -0.25 * ones * items**-0.5


def cost(rows: SparseTable, values: np.ndarray) -> float:
    """Computes what is minimised by a dense matrix of all pairs of items, in float64."""
    dense = SparseTable(rows.indptr, rows.columns, values).to_dense(DIM)
    scores = dense @ dense.T
    np.fill_diagonal(scores, 0)
    return float(0.5 * np.square(normalised(LOG) @ (scores - np.eye(len(scores)))).sum())


@pytest.fixture
def rows() -> SparseTable:
    rng = np.random.default_rng(0)
    dense = 0.3 * rng.standard_normal((LOG.n_items, DIM)).astype(np.float32)
    return SparseTable.from_dense(dense, rng.random(dense.shape) < 0.5)


def test_the_gradient_is_that_of_finite_differences(rows):
    found = _Problem(LOG, DIM).gradient(rows)
    exact, step = rows.values.astype(np.float64), 1e-5
    for k in range(rows.nnz):
        there, back = (cost(rows, exact + sign * step * (np.arange(rows.nnz) == k)) for sign in (1, -1))
        assert found[k] == pytest.approx((there - back) / (2 * step), abs=1e-5)


def test_the_step_is_measured_by_the_largest_eigenvalue():
    expected = np.linalg.norm(normalised(LOG), 2) ** 2
    assert _Problem(LOG, DIM).largest_eigenvalue() == pytest.approx(expected, rel=1e-3)


def test_steps_lead_down_and_move_no_entry(rows):
    degrees = np.maximum(LOG.item_degrees, 1)[rows.row_numbers()] ** 0.5
    table = SparseTable(rows.indptr, rows.columns, (rows.values * degrees).astype(np.float32))
    costs = [cost(rows, rows.values.astype(np.float64))]
    for steps in (1, 2, 4, 8):
        fitted = OwnShareFit(steps)(LOG, table, DIM)
        assert np.array_equal(fitted.indptr, table.indptr) and np.array_equal(fitted.columns, table.columns)
        costs.append(cost(rows, fitted.values / degrees))
    assert costs == sorted(costs, reverse=True) and costs[-1] < 0.9 * costs[0]


@needs_two_threads
def test_threads_change_no_bit(rows):
    def run():
        with one_blas_thread():
            return [OwnShareFit()(LOG, rows, DIM).values]

    assert_threads_change_nothing(run)


def test_no_entries_are_no_error():
    empty = SparseTable.from_dense(np.zeros((LOG.n_items, DIM), np.float32))
    assert OwnShareFit()(LOG, empty, DIM).nnz == 0


def test_any_number_of_threads_gives_the_same_bits(rows, monkeypatch):
    monkeypatch.setattr(own_share, "MULTIPLIED", 2)
    with one_blas_thread():
        fitted = [OwnShareFit(3)(LOG, rows, DIM, threads).values for threads in (1, 2, 5)]
    assert fitted[0].tobytes() == fitted[1].tobytes() == fitted[2].tobytes()
    monkeypatch.undo()
    np.testing.assert_allclose(OwnShareFit(3)(LOG, rows, DIM).values, fitted[0], rtol=1e-4, atol=1e-6)
