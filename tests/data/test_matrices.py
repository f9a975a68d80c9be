"""Interactions as SciPy's matrices, and matrices checked before they are converted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.io import mmwrite

from sparserec_np.data.formats import read_file
from sparserec_np.data.matrices import coordinates, matrix_of_ones, touched_cells
from sparserec_np.errors import DataError
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


@pytest.mark.parametrize("form", ["csr", "csc", "bsr"])
def test_bounds_of_a_matrix_that_seems_empty_are_looked_at(form: str) -> None:
    """SciPy takes the last one for the number of entries, and looks at none of the others if it is 0."""
    matrix = sparse.csr_matrix((3, 3)).asformat(form)
    matrix.indptr = np.array([0, 500, -500, 0], dtype=np.int32)
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


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8, np.uint16, bool])
def test_cells_above_zero_are_touched(dtype: type) -> None:
    values = np.array([1, 0, 3], dtype=dtype)
    cells = touched_cells(sparse.coo_matrix((values, ([0, 1, 1], [2, 0, 1])), (2, 3)), "X")
    assert (cells.rows.tolist(), cells.columns.tolist(), cells.read) == ([0, 1], [2, 1], 2)
    assert np.all(cells.values > 0)


def test_a_lowest_rating_says_what_counts() -> None:
    matrix = sparse.coo_matrix(([-3.0, 0.0, 2.0, 5.0], ([0, 0, 1, 1], [0, 1, 0, 1])), (2, 2))
    assert touched_cells(matrix, "X", 3).values.tolist() == [5]
    assert touched_cells(matrix, "X", 3).read == 3
    assert touched_cells(matrix, "X", -5).values.tolist() == [-3, 2, 5]  # nobody rates by zero


def test_values_that_are_no_real_numbers_are_refused() -> None:
    for value, said in ((np.nan, "found nan"), (np.inf, "found inf"), (1j, "Complex data not supported")):
        matrix = sparse.coo_matrix(([1, value], ([0, 1], [1, 2])), (2, 3))
        with pytest.raises(DataError, match=said):
            touched_cells(matrix, "X")


def test_what_is_below_zero_is_no_interaction_in_files_either(tmp_path: Path) -> None:
    matrix = sparse.coo_matrix(([-1.0, 2.0, 0.0], ([0, 0, 1], [0, 1, 2])), (2, 3))
    sparse.save_npz(tmp_path / "a.npz", matrix)
    mmwrite(tmp_path / "a.mtx", matrix)
    for name in ("a.npz", "a.mtx"):
        found = read_file(tmp_path / name)
        assert found.interactions.items.tolist() == [1]
    assert read_file(tmp_path / "a.npz", min_rating=-1).interactions.n_interactions == 2
