"""Interactions as SciPy's matrices, and matrices checked before they are converted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sparserec_np.data.matrices import coordinates, matrix_of_ones
from tests.makers.small import small_log

LOG = small_log()


def test_interactions_are_a_matrix_of_ones() -> None:
    matrix = matrix_of_ones(LOG)
    assert matrix.shape == (LOG.n_users, LOG.n_items) and matrix.dtype == np.float32
    expected = np.zeros(matrix.shape)
    expected[LOG.pair_users(), LOG.items] = 1
    np.testing.assert_array_equal(matrix.toarray(), expected)
    assert np.shares_memory(matrix.indices, LOG.items)


@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo", "lil", "dok", "dia"])
def test_every_form_has_the_same_coordinates(form: str) -> None:
    dense = (np.arange(12).reshape(3, 4) % 3).astype(float)
    found = coordinates(sparse.csr_matrix(dense).asformat(form))
    made = np.zeros_like(dense)
    made[found.row, found.col] += found.data
    np.testing.assert_array_equal(made, dense)


@pytest.mark.parametrize("form", ["csr", "csc", "bsr"])
def test_bounds_that_lead_out_of_the_arrays_are_refused(form: str) -> None:
    matrix = sparse.csr_matrix(np.ones((3, 4))).asformat(form)
    matrix.indptr = matrix.indptr.copy()
    matrix.indptr[1] = 50_000_000
    with pytest.raises(ValueError, match="non-decreasing"):
        coordinates(matrix)


@pytest.mark.parametrize(("axis", "value"), [("row", 3), ("row", -1), ("col", 4), ("col", -1)])
def test_coordinates_outside_of_the_matrix_are_refused(axis: str, value: int) -> None:
    matrix = sparse.coo_matrix(np.ones((3, 4)))
    numbers = getattr(matrix, axis).copy()
    numbers[5] = value
    setattr(matrix, axis, numbers)
    with pytest.raises(ValueError, match="numbers reach from|axis|index"):
        coordinates(matrix)
