"""Two sparse tables, within a budget, whose products come closest to those of full ones.

With P and Q the full rows of users and items, rows U and V with few entries each are sought that
make

    sum over all pairs (u, i) of (1 + w [i in L_u]) (U_u . V_i - P_u . Q_i)^2
        +  r (||U||^2 + ||V||^2)

small. L_u holds the items that the full rows would list for the user, and those that the sparse
ones have listed so far: to come near everywhere is not needed, but what belongs on a list should
stay there and what does not should not get there. Where w is 0, no product of a user and an item is
needed: a row x of U that stores the columns S solves ``(V'V + r I)_SS x = (V'Q p)_S``, where all
users share the two small matrices. The listed pairs are few, and are added to these as the touched
ones are in least squares.

Distilling a closed form in place of a trained teacher, the weight of lists and which entries are
kept are our choice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.table import Array, SparseTable, stacked
from sparserec_np.factorization.least_squares import PIECE_NUMBERS, better_rows
from sparserec_np.kernels.arguments import Equations
from sparserec_np.machine.threads import made_together

RIDGE = 1e-3  # part of the mean squared length of the other side's rows: for a solution, and no more
LISTED = 20  # items of a list; all together weigh as much as all items do
SCORES_AT_ONCE = 1 << 20  # scores made at a time


class Target(NamedTuple):
    """The scores that condensing comes near to.

    Attributes:
        users, items: P (n_users, width) and Q (n_items, width), float32, whose products they are;
            any width.
        touched: SciPy CSR (n_users, n_items): what each user touched, and is not listed.
    """

    users: Array
    items: Array
    touched: Any


class _Side(NamedTuple):
    """The rows of users, or those of items.

    Attributes:
        table: (n, dim) their rows within the budget.
        full: (n, width) their full rows.
    """

    table: SparseTable
    full: Array


def condense(
    start: SparseTable, target: Target, dim: int, *, passes: int, floor: int = 1, threads: int = 1
) -> SparseTable:
    """Improves ``start`` pass by pass: the users' rows, then the items', mask and values both.

    A side is solved for within its stored entries; of all its entries, stored or not, as many are
    kept as there were, those that lower the sum of squares the most; and the side is solved for
    within these. Call it with one BLAS thread
    (:func:`~sparserec_np.machine.threads.one_blas_thread`): the bits are then the same for any
    ``threads``, and for any number of Numba's threads.

    Args:
        start: (n_users + n_items, dim) the stacked table to begin with, users first; the users'
            values are not read.
        target: what its products come near to.
        dim: columns of the table.
        passes: 0 keeps the table.
        floor: entries that each row keeps, as far as its side's entries allow it.
        threads: blocks of users that full rows' lists are made for at a time.

    Memory: three times 8 bytes for each of up to ``LISTED`` pairs a user and pass; and for each
    thread a block of scores with the numbers of its items.

    >>> from scipy.sparse import csr_matrix
    >>> users, items = np.array([[1.0, 2.0]], np.float32), np.array([[1.0, 0.0], [0.0, 3.0]], np.float32)
    >>> start = SparseTable.from_dense(np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 3.0]], np.float32))
    >>> condense(start, Target(users, items, csr_matrix((1, 2))), 2, passes=1).to_dense(2).round(2).tolist()
    [[0.0, 2.0], [0.0, 0.5], [0.0, 3.0]]
    """
    users, items, touched = target
    own_users, own_items = start.slice_rows(0, len(users)), start.slice_rows(len(users), start.rows)
    weight = len(items) / min(LISTED, len(items))
    listed = best_of_full(users, items, touched, threads)
    for number in range(passes):
        if number:
            listed.data[:] = 1
            listed = listed + best_of_tables(own_users, own_items, touched, dim)
        _fill_in_scores(listed, users, items)
        theirs = _Side(own_items, items)
        own_users = _nearer(_Side(own_users, users), theirs, listed, dim, weight, floor)
        own_items = _nearer(theirs, _Side(own_users, users), listed.T.tocsr(), dim, weight, floor)
    return stacked(own_users, own_items)


def condense_items(
    start: SparseTable,
    target: Target,
    users_of: Callable[[Array], Array],
    dim: int,
    *,
    passes: int,
    threads: int = 1,
) -> SparseTable:
    """Improves items' rows pass by pass, where users' rows are made of these and not stored.

    As :func:`condense`, but that in each pass the users' rows are those that ``users_of`` makes.
    Every row keeps an entry, as far as there are as many.

    Args:
        start: (n_items, dim) to begin with; left as it is.
        target: what the products come near to.
        users_of: makes full users' rows (n_users, dim) float32 of the items' (n_items, dim).
        dim: columns.
        passes: 0 keeps the table.
        threads: blocks of users that lists are made for at a time.

    Memory: as :func:`condense`, and all entries of both sides' rows.
    """
    users, items, touched = target
    weight = len(items) / min(LISTED, len(items))
    listed = best_of_full(users, items, touched, threads)
    own = start
    for number in range(passes):
        dense = own.to_dense(dim)
        made = users_of(dense)
        if number:
            listed.data[:] = 1
            listed = listed + best_of_full(made, dense, touched, threads)
        _fill_in_scores(listed, users, items)
        theirs = _Side(SparseTable.full(made), users)
        own = _nearer(_Side(own, items), theirs, listed.T.tocsr(), dim, weight, floor=1)
    return own


def _nearer(own: _Side, others: _Side, listed: Any, dim: int, weight: float, floor: int) -> SparseTable:
    """Solves for the rows of ``own`` from those of ``others``, and exchanges entries.

    See :func:`condense`.

    All is divided by w, so that a listed pair weighs 1 more than others.
    """
    width, count = own.full.shape[1], others.table.rows
    gram, cross = np.zeros((dim, dim)), np.zeros((width, dim))
    size = max(1, PIECE_NUMBERS // max(dim, width))
    for start in range(0, count, size):
        stop = min(start + size, count)
        some = others.table.dense_rows(np.arange(start, stop), dim).astype(np.float64)
        gram += some.T @ some
        cross += others.full[start:stop].T @ some
    # Above zero, so that there is a solution.
    ridge = max(RIDGE * float(np.trace(gram)) / max(count, 1), 1e-12)
    ridges = np.full(own.table.rows, ridge / weight)
    pairs = listed.indptr, listed.indices, listed.data
    equations = Equations(others.table, *pairs, gram / weight, ridges, own.full, cross / weight)
    return better_rows(own.table, equations, floor)


def best_of_full(users: Array, items: Array, touched: Any, threads: int) -> Any:
    """Lists the best items of each user by full rows: SciPy CSR (n_users, n_items), ones.

    ``LISTED`` items a user, of those not touched.

    Args:
        users, items: (n_users, width) and (n_items, width) float32.
        touched: SciPy CSR (n_users, n_items).
        threads: blocks of users at a time.
    """
    n_users, n_items = touched.shape
    count = min(LISTED, n_items)
    size = max(1, SCORES_AT_ONCE // n_items)

    def best(start: int) -> Array:
        stop = min(start + size, n_users)
        scores = users[start:stop] @ items.T
        bounds = touched.indptr[start : stop + 1]
        known = touched.indices[bounds[0] : bounds[-1]]
        scores[np.repeat(np.arange(stop - start), np.diff(bounds)), known] = -np.inf
        found = np.argpartition(scores, n_items - count, axis=1)[:, n_items - count :]
        fresh = np.take_along_axis(scores, found, axis=1) > -np.inf
        return np.where(fresh, found, -1).astype(np.int32)

    return _pairs(np.concatenate(made_together(best, range(0, n_users, size), threads)), n_items)


def best_of_tables(users: SparseTable, items: SparseTable, touched: Any, dim: int) -> Any:
    """Lists the best items of each user by the rows of sparse tables of ``dim`` columns.

    What it returns is as :func:`best_of_full` returns it. Works on the threads that Numba is set
    to.
    """
    n_users, n_items = touched.shape
    lists = np.empty((n_users, min(LISTED, n_items)), np.int32)
    # The dtypes are those of evaluation, for which the kernel is compiled anyway.
    seen = touched.indptr.astype(np.int64, copy=False), touched.indices.astype(np.int32, copy=False)
    rows = np.arange(n_users, dtype=np.int32)
    kernels.ranking.top_items(
        users, items.by_column(dim), n_items, *seen, rows, lists, np.empty(lists.shape, users.values.dtype)
    )
    return _pairs(lists, n_items)


def _pairs(lists: Array, n_items: int) -> Any:
    """Makes SciPy CSR (n_users, n_items) of ones where ``lists`` (n_users, count) has an item.

    A list that ended has -1.
    """
    from scipy.sparse import csr_matrix

    lists = np.sort(lists, axis=1)
    some = lists >= 0
    bounds = np.append(0, np.cumsum(some.sum(axis=1)))
    return csr_matrix((np.ones(bounds[-1], np.float32), lists[some], bounds), shape=(len(lists), n_items))


def _fill_in_scores(pairs: Any, users: Array, items: Array) -> None:
    """Fills the values of the CSR ``pairs`` (n_users, n_items) with the products of full rows."""
    size = max(1, PIECE_NUMBERS // users.shape[1])
    for start in range(0, pairs.nnz, size):
        some = slice(start, min(start + size, pairs.nnz))
        places = np.arange(some.start, some.stop, dtype=pairs.indptr.dtype)
        owners = np.searchsorted(pairs.indptr, places, side="right") - 1
        np.einsum("ij,ij->i", users[owners], items[pairs.indices[some]], out=pairs.data[some])
