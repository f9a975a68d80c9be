"""Interactions as SciPy's sparse matrices, and other people's matrices, checked when converted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array
from sparserec_np.errors import DataError


def matrix_of_ones(log: Interactions) -> Any:
    """Makes SciPy's CSR matrix (n_users, n_items) of ones, float32, of the interactions.

    Items and bounds are the log's own arrays where they may be.
    """
    from scipy.sparse import csr_matrix

    return csr_matrix(
        (np.ones(log.n_interactions, np.float32), log.items, log.indptr), shape=(log.n_users, log.n_items)
    )


def matrix_of_trust(log: Interactions, own: bool = False) -> Any:
    """Makes SciPy's CSR matrix (n_users, n_items) of how much each interaction is to be trusted, float32.

    That are the weights divided by their mean, or ones where there are none.

    Args:
        log: the interactions.
        own: divide each user's weights by the mean of their own instead.
    """
    from scipy.sparse import csr_matrix

    trusts = log.own_weights if own else log.relative_weights()
    if trusts is None:
        return matrix_of_ones(log)
    return csr_matrix((trusts, log.items, log.indptr), shape=(log.n_users, log.n_items))


def trusts_of(matrix: Any) -> Array | None:
    """Returns the values (n,) of a CSR matrix of trust, or None where all are 1."""
    values: Array = matrix.data
    return None if (values == 1).all() else values


def coordinates(matrix: Any) -> Any:
    """Converts a SciPy sparse matrix, in any of its forms, to coordinate form; duplicates stay.

    SciPy converts a matrix whose bounds or column numbers lead out of its arrays by reading, and
    writing, there. They are checked first.

    Raises:
        ValueError: its bounds or its row or column numbers lead out of it.

    >>> from scipy.sparse import csr_matrix
    >>> coordinates(csr_matrix([[0, 2.0], [1.0, 0]])).row.tolist()
    [0, 1]
    """
    from scipy import sparse

    if hasattr(matrix, "check_format"):  # of the forms with bounds
        matrix.check_format(full_check=True)
        bounds = matrix.indptr  # which is left alone there where the last says that there are no entries
        if (bounds[1:] < bounds[:-1]).any():
            raise ValueError("index pointer values must form a non-decreasing sequence")
    found = sparse.coo_matrix(matrix)
    for axis, numbers, size in (("row", found.row, found.shape[0]), ("column", found.col, found.shape[1])):
        if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < size:
            raise ValueError(
                f"{axis} numbers reach from {numbers.min()} to {numbers.max()}, expected 0 to {size - 1}"
            )
    return found


class Cells(NamedTuple):
    """The cells of a matrix that are interactions.

    Attributes:
        rows: ``(n,)`` row numbers, users.
        columns: ``(n,)`` column numbers, items.
        values: ``(n,)`` what stands there: all above 0, or at least as much as was asked for.
        read: the number of cells that could be interactions; of these, ``read - n`` were rated
            lower than was asked for.
    """

    rows: Array
    columns: Array
    values: Array
    read: int


def touched_cells(matrix: Any, name: str, min_rating: float | None = None) -> Cells:
    """Finds the cells of a matrix that are interactions: those above zero.

    What is zero or below is no interaction, stored or not. Where there is a value below zero,
    cells that are stored more than once hold their sum, as SciPy reads them.

    Args:
        matrix: in SciPy's coordinate form, see :func:`coordinates`.
        name: what it is called in messages.
        min_rating: cells count from this value on instead, but for zeros.

    Raises:
        DataError: a value is not finite, not real, or no number; or there are 2^31 rows or columns
            or more.

    >>> from scipy.sparse import coo_matrix
    >>> touched_cells(coo_matrix([[0, 2.0], [-1.0, 0]]), "X").columns.tolist()
    [1]
    """
    matrix = checked_cells(matrix, name)
    values = matrix.data
    there = values > 0 if min_rating is None else values != 0
    keep = there if min_rating is None else there & (values >= min_rating)
    return Cells(matrix.row[keep], matrix.col[keep], values[keep], int(np.count_nonzero(there)))


def disliked_cells(matrix: Any, below: float) -> tuple[Array, Array]:
    """Finds the cells of a matrix that are rated below a bound: rows and columns, ``(n,)`` each.

    What is zero is not rated. ``matrix`` is in SciPy's coordinate form, and was checked.
    """
    matrix = checked_cells(matrix, "The matrix of interactions")
    keep = (matrix.data != 0) & (matrix.data < below)
    return matrix.row[keep], matrix.col[keep]


def cell_weights(values: Array, rows: Array, columns: Array, name: str) -> Array:
    """Returns the values of cells (n,) as weights, float32.

    Raises:
        DataError: one is not above 0, or too large or small for float32; the message names it.
    """
    with np.errstate(over="ignore"):
        weights = values.astype(np.float32)
    bad = ~(np.isfinite(weights) & (weights > 0))
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{name} must hold weights that are finite numbers above 0, found {values[at]} in row {rows[at]},"
            f" column {columns[at]}."
        )
    return weights


def checked_cells(matrix: Any, name: str) -> Any:
    """Returns a matrix in coordinate form, if all its values are finite real numbers.

    Where one is below zero, cells that are stored more than once hold their sum.

    Raises:
        DataError: see :func:`touched_cells`.
    """
    if max(matrix.shape) > np.iinfo(np.int32).max:
        raise DataError(f"{name} must have fewer than 2^31 rows and columns, found {matrix.shape}.")
    values = check_values(matrix.data, name, lambda at: (matrix.row[at], matrix.col[at]))
    if values.dtype.kind in "if" and values.size and values.min() < 0:
        matrix = matrix.astype(np.float64)  # a copy, in which sums have room
        matrix.sum_duplicates()
    return matrix


def check_values(values: Array, name: str, place: Callable[[int], tuple[int, int]]) -> Array:
    """Returns the values of cells, if all are finite real numbers.

    Args:
        values: ``(n,)`` of any dtype.
        name: what the matrix is called in messages.
        place: finds row and column of one of them.

    Raises:
        DataError: they are not; the message names the first.
    """
    if values.dtype.kind == "c":
        raise DataError(f"{name} must hold real numbers. Complex data not supported: give their real part.")
    if values.dtype.kind not in "biuf":
        raise DataError(f"{name} must hold finite real numbers, found {values.dtype}; convert it first.")
    if values.dtype.kind == "f" and not (finite := np.isfinite(values)).all():
        at = int(np.flatnonzero(~finite)[0])
        row, column = place(at)
        raise DataError(
            f"{name} must hold finite real numbers, found {values[at]} (NaN or infinity) in row {row}, column"
            f" {column}; put 0 where nothing is known."
        )
    return values
