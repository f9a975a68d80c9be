"""Rows from attributes: against dense algebra, by both ways to solve, and the ridge that left-out items choose."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from sparserec_np.factorization import attribute_rows
from sparserec_np.factorization.attribute_rows import (
    RIDGES,
    AttributeRows,
    best_ridge,
    left_out_rows,
    weighed,
)
from sparserec_np.machine.threads import one_blas_thread

RNG = np.random.default_rng(0)
ATTRIBUTES = csr_matrix(RNG.random((50, 12)) * (RNG.random((50, 12)) < 0.3))
ROWS = csr_matrix(RNG.standard_normal((50, 7)) * (RNG.random((50, 7)) < 0.6))
NEW = csr_matrix(RNG.random((200, 12)))
FOLDS = RNG.permutation(50) % 5


def plain_rows(attributes: csr_matrix, rows: csr_matrix, ridge: float, some: csr_matrix) -> np.ndarray:
    """The rows by their definition."""
    dense, own = attributes.toarray(), rows.toarray()
    return some.toarray() @ np.linalg.solve(dense.T @ dense + ridge * np.eye(dense.shape[1]), dense.T @ own)


@pytest.mark.parametrize("ridge", [0.01, 3.0])
@pytest.mark.parametrize("most", [12, 0])
def test_rows_solve_the_equations_by_products_and_by_conjugate_gradients(
    ridge: float, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribute_rows, "MOST_PRODUCTS", most)
    with one_blas_thread():
        made = AttributeRows(ATTRIBUTES, ROWS, ridge).of(NEW)
    assert made == pytest.approx(plain_rows(ATTRIBUTES, ROWS, ridge, NEW), abs=1e-9)


def test_attributes_that_nobody_has_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    some = csr_matrix(np.pad(ATTRIBUTES.toarray(), ((0, 0), (0, 1))))
    only = csr_matrix(np.eye(13)[-1:])
    for most in (13, 0):
        monkeypatch.setattr(attribute_rows, "MOST_PRODUCTS", most)
        assert AttributeRows(some, ROWS, 1.0).of(only).tolist() == [[0.0] * 7]


def test_left_out_rows_are_made_of_the_others_alone() -> None:
    found = np.full((50, 7), np.nan)
    for items, made in left_out_rows(ATTRIBUTES, ROWS, 2.0, FOLDS):
        found[items] = made
    for fold in range(5):
        rest = fold != FOLDS
        wanted = plain_rows(ATTRIBUTES[rest], ROWS[rest], 2.0, ATTRIBUTES[~rest])
        assert found[~rest] == pytest.approx(wanted, abs=1e-9)


def test_the_ridge_is_small_where_attributes_tell_all_and_large_where_nothing() -> None:
    told = csr_matrix(ATTRIBUTES @ RNG.standard_normal((12, 7)))
    assert best_ridge(ATTRIBUTES, told, np.eye(7), FOLDS) == RIDGES[0]
    assert best_ridge(ATTRIBUTES, csr_matrix(RNG.standard_normal((50, 7))), np.eye(7), FOLDS) >= RIDGES[2]


def test_only_what_users_look_at_chooses_the_ridge() -> None:
    told = ATTRIBUTES @ RNG.standard_normal((12, 1))
    rows = csr_matrix(np.hstack([told, 100 * RNG.standard_normal((50, 1))]))
    assert best_ridge(ATTRIBUTES, rows, np.diag([1.0, 0.0]), FOLDS) == RIDGES[0]
    assert best_ridge(ATTRIBUTES, rows, np.diag([0.0, 1.0]), FOLDS) > RIDGES[0]


def test_rare_attributes_weigh_more_and_what_all_have_nothing() -> None:
    some = csr_matrix([[1.0, 1, 0], [1, 0, 2], [1, 1, 0], [1, 1, 1]])
    known = np.array([True, True, True, False])
    found = weighed(some, known).toarray()
    assert found[:, 0].tolist() == [0] * 4 and found[:, 3].tolist() == [1] * 4
    assert found[:, 1] == pytest.approx(np.log(4 / 3) * some.toarray()[:, 1])
    assert found[:, 2] == pytest.approx(np.log(4 / 2) * some.toarray()[:, 2])
