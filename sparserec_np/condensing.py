"""Condensing: the two sparse tables, within a budget, whose products come closest to those of two full ones.

With P and Q the full rows of users and items, rows U and V with few entries each are sought that make

    || U V' - P Q' ||^2 + r (||U||^2 + ||V||^2)

small: over all pairs, not over those in the data alone. No product of a user and an item is formed. Given V, a row x of
U that stores the columns S solves ``(V'V + r I)_SS x = (V'Q p)_S``, where all users share the two small matrices.
Distilling a closed form in place of a trained teacher, and which entries are kept, are our choice.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.least_squares import PIECE_NUMBERS
from sparserec_np.selection import LargestEntries, keys_with_floor, table_of
from sparserec_np.table import Array, SparseTable, stacked

BLOCK_NUMBERS = 1 << 21  # of the matrices that are solved together, which bounds their memory
RIDGE = 1e-3  # part of the mean squared length of the other side's rows: for a solution, and no more


def condense(start: SparseTable, users: Array, items: Array, *, passes: int, floor: int = 1) -> SparseTable:
    """Improves ``start`` pass by pass: the users' rows, then the items', mask and values both.

    A side is solved for within its stored entries; of all its entries, stored or not, as many are kept as there were,
    those that lower the sum of squares the most; and the side is solved for within these. Call it with one BLAS
    thread (:func:`~sparserec_np.masks.one_blas_thread`): the bits are then always the same.

    Args:
        start: the stacked table to begin with, users first; the users' values are not read.
        users, items: P (n_users, dim) and Q (n_items, dim), float32.
        floor: entries that each row keeps, as far as its side's entries allow it.

    Memory: some full rows in float64, and the blocks of small matrices.

    >>> users, items = np.array([[1.0, 2.0]], np.float32), np.array([[1.0, 0.0], [0.0, 3.0]], np.float32)
    >>> start = SparseTable.from_dense(np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 3.0]]))
    >>> condense(start, users, items, passes=1).to_dense(2).round(2).tolist()
    [[0.0, 2.0], [0.0, 0.5], [0.0, 3.0]]
    """
    own_users, own_items = start.slice_rows(0, len(users)), start.slice_rows(len(users), start.rows)
    for _ in range(passes):
        own_users = _nearer(own_users, own_items, users, items, floor)
        own_items = _nearer(own_items, own_users, items, users, floor)
    return stacked(own_users, own_items)


def _nearer(own: SparseTable, others: SparseTable, full: Array, other_full: Array, floor: int) -> SparseTable:
    """One side's part of a pass."""
    if not own.nnz:
        return own
    dim = full.shape[1]
    gram, cross = np.zeros((dim, dim)), np.zeros((dim, dim))
    size = max(1, PIECE_NUMBERS // dim)
    for start in range(0, others.rows, size):
        stop = min(start + size, others.rows)
        some = others.dense_rows(np.arange(start, stop), dim).astype(np.float64)
        gram += some.T @ some
        cross += other_full[start:stop].T @ some
    # Above zero, so that there is a solution.
    gram += np.eye(dim) * max(RIDGE * float(np.trace(gram)) / max(others.rows, 1), 1e-12)
    pieces = [(start, min(start + size, own.rows)) for start in range(0, own.rows, size)]
    best = LargestEntries(own.nnz)
    floor = min(floor, own.nnz // max(own.rows, 1), dim)
    curvature = np.diag(gram)
    for start, stop in pieces:
        piece, pulls = own.slice_rows(start, stop), full[start:stop] @ cross
        solved = piece._replace(values=_solution(piece, gram, pulls))
        rows = np.arange(stop - start)
        dense = solved.dense_rows(rows, dim)
        values = (pulls - dense @ gram) / curvature
        values[solved.row_numbers(), solved.columns] = solved.values
        best.offer(rows + start, values, keys_with_floor(curvature * np.square(values), floor))
    table = table_of(*best.take(), own.rows, dim)
    for start, stop in pieces:
        first, last = table.indptr[start], table.indptr[stop]
        table.values[first:last] = _solution(table.slice_rows(start, stop), gram, full[start:stop] @ cross)
    return table


def _solution(own: SparseTable, gram: Array, pulls: Array) -> Array:
    """(nnz,) float64: the values that solve each row within its entries; rows of one length are solved for together."""
    solved = np.zeros(own.nnz)
    sizes = np.diff(own.indptr)
    for size in np.unique(sizes[sizes > 0]).tolist():
        rows = np.flatnonzero(sizes == size)
        step = max(1, BLOCK_NUMBERS // size**2)
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            places = own.indptr[some, None] + np.arange(size)
            kept = own.columns[places].astype(np.intp)
            matrices = gram[kept[:, :, None], kept[:, None, :]]
            solved[places] = np.linalg.solve(matrices, pulls[some[:, None], kept][:, :, None])[:, :, 0]
    return solved
