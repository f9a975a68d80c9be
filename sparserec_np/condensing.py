"""Condensing: the two sparse tables, within a budget, whose products come closest to those of two full ones.

With P and Q the full rows of users and items, rows U and V with few entries each are sought that make

    sum over all pairs (u, i) of (1 + w [i in L_u]) (U_u . V_i - P_u . Q_i)^2  +  r (||U||^2 + ||V||^2)

small. L_u holds the items that the full rows would list for the user, and those that the sparse ones have listed so
far: to come near everywhere is not needed, but what belongs on a list should stay there and what does not should not
get there. Where w is 0, no product of a user and an item is needed: a row x of U that stores the columns S solves
``(V'V + r I)_SS x = (V'Q p)_S``, where all users share the two small matrices. The listed pairs are few, and are added
to these as the touched ones are in least squares.

Distilling a closed form in place of a trained teacher, the weight of lists and which entries are kept are our choice.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from sparserec_np.least_squares import PIECE_NUMBERS, better_rows
from sparserec_np.table import Array, SparseTable, stacked

RIDGE = 1e-3  # part of the mean squared length of the other side's rows: for a solution, and no more
LISTED = 20  # items of a list; all together weigh as much as all items do
BLOCK_NUMBERS = 1 << 20  # scores made at a time


def condense(
    start: SparseTable,
    users: Array,
    items: Array,
    touched: Any,
    dim: int,
    *,
    passes: int,
    floor: int = 1,
    threads: int = 1,
) -> SparseTable:
    """Improves ``start`` pass by pass: the users' rows, then the items', mask and values both.

    A side is solved for within its stored entries; of all its entries, stored or not, as many are kept as there were,
    those that lower the sum of squares the most; and the side is solved for within these. Call it with one BLAS
    thread (:func:`~sparserec_np.masks.one_blas_thread`): the bits are then the same for any ``threads``, and for any
    number of Numba's threads.

    Args:
        start: (n_users + n_items, dim) the stacked table to begin with, users first; the users' values are not read.
        users, items: P (n_users, width) and Q (n_items, width), float32; any width.
        touched: SciPy CSR (n_users, n_items): what each user touched, and is not listed.
        dim: columns of the table.
        passes: 0 keeps the table.
        floor: entries that each row keeps, as far as its side's entries allow it.
        threads: blocks of users that lists are made for at a time.

    Memory: every entry of the table's items; three times 8 bytes for each of up to ``LISTED`` pairs a user and pass;
    and for each thread a block of scores.

    >>> from scipy.sparse import csr_matrix
    >>> users, items = np.array([[1.0, 2.0]], np.float32), np.array([[1.0, 0.0], [0.0, 3.0]], np.float32)
    >>> start = SparseTable.from_dense(np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 3.0]], np.float32))
    >>> condense(start, users, items, csr_matrix((1, 2)), 2, passes=1).to_dense(2).round(2).tolist()
    [[0.0, 2.0], [0.0, 0.5], [0.0, 3.0]]
    """
    from scipy.sparse import csr_matrix

    own_users, own_items = start.slice_rows(0, len(users)), start.slice_rows(len(users), start.rows)
    weight = len(items) / min(LISTED, len(items))
    pairs = csr_matrix(touched.shape, dtype=np.float32)
    rated: tuple[Array | SparseTable, Array] = users, items
    for _ in range(passes):
        pairs = pairs + best_pairs(*rated, touched, dim, threads)
        listed = csr_matrix((_scores(users, items, pairs), pairs.indices, pairs.indptr), shape=pairs.shape)
        own_users = _nearer(own_users, own_items, users, items, listed, dim, weight, floor)
        own_items = _nearer(own_items, own_users, items, users, listed.T.tocsr(), dim, weight, floor)
        rated = own_users, own_items.to_dense(dim)
    return stacked(own_users, own_items)


def _nearer(
    own: SparseTable,
    others: SparseTable,
    full: Array,
    other_full: Array,
    listed: Any,
    dim: int,
    weight: float,
    floor: int,
) -> SparseTable:
    """One side's part of a pass. All is divided by w, so that a listed pair weighs 1 more than others."""
    width = full.shape[1]
    gram, cross = np.zeros((dim, dim)), np.zeros((width, dim))
    size = max(1, PIECE_NUMBERS // max(dim, width))
    for start in range(0, others.rows, size):
        stop = min(start + size, others.rows)
        some = others.dense_rows(np.arange(start, stop), dim).astype(np.float64)
        gram += some.T @ some
        cross += other_full[start:stop].T @ some
    # Above zero, so that there is a solution.
    ridge = max(RIDGE * float(np.trace(gram)) / max(others.rows, 1), 1e-12)
    ridges = np.full(own.rows, ridge / weight)
    return better_rows(own, others, listed, gram / weight, ridges, full, cross / weight, floor)


def best_pairs(users: Array | SparseTable, items: Array, touched: Any, dim: int, threads: int) -> Any:
    """The ``LISTED`` best items of each user, of those not touched: SciPy CSR (n_users, n_items), ones.

    Args:
        users: (n_users, width) full rows, or a table of ``dim`` columns.
        items: (n_items, width), or (n_items, dim).
        touched: SciPy CSR (n_users, n_items).
        threads: blocks of users at a time.
    """
    from scipy.sparse import csr_matrix

    n_users, n_items = touched.shape
    count = min(LISTED, n_items)
    size = max(1, BLOCK_NUMBERS // n_items)

    def best(start: int) -> Array:
        rows = np.arange(start, min(start + size, n_users))
        scores = (users.dense_rows(rows, dim) if isinstance(users, SparseTable) else users[rows]) @ items.T
        bounds = touched.indptr[start : rows[-1] + 2]
        known = touched.indices[bounds[0] : bounds[-1]]
        scores[np.repeat(rows - start, np.diff(bounds)), known] = -np.inf
        return np.sort(np.argpartition(scores, n_items - count, axis=1)[:, n_items - count :], axis=1)

    with ThreadPoolExecutor(threads) as pool:
        lists = np.concatenate(list(pool.map(best, range(0, n_users, size))))
    ones = np.ones(lists.size, np.float32)
    return csr_matrix((ones, lists.ravel(), np.arange(n_users + 1) * count), shape=touched.shape)


def _scores(users: Array, items: Array, pairs: Any) -> Array:
    """(pairs,) float32: the products of the rows that the CSR ``pairs`` (n_users, n_items) names."""
    owners = np.repeat(np.arange(len(users)), np.diff(pairs.indptr))
    scores = np.empty(len(owners), np.float32)
    size = max(1, PIECE_NUMBERS // users.shape[1])
    for start in range(0, len(owners), size):
        some = slice(start, start + size)
        np.einsum("ij,ij->i", users[owners[some]], items[pairs.indices[some]], out=scores[some])
    return scores
