"""Item rows that are fitted for the users who will be solved for from them.

With W the items' rows, m their mean squared length and Y those that a user touched, the user's row
solves ``(a W'W + Y'TY + l m I) x = Y'T1``, where T holds how much each is to be trusted: the values
of the matrix of what was touched, mostly ones. Whatever is solved for here takes the users' rows
from the items' rows within their budget, as serving will, and not from a table of users.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparserec_np.data.matrices import trusts_of
from sparserec_np.data.table import Array, SparseTable, index_dtype, row_blocks
from sparserec_np.factorization.least_squares import Penalties, better_rows
from sparserec_np.factorization.singular_vectors import products_of_columns
from sparserec_np.kernels.arguments import NO_TRUSTS, Equations
from sparserec_np.machine.threads import made_together

PAIR_NUMBERS = 1 << 25  # entries of the rows of pairs that are held at a time: 128 MB
USERS_AT_ONCE = 256
# Of the items' equations, in the terms of ``least_squares.alternate``; our choice, on interactions
# held out from ml-100k's and LastFM's training parts.
ITEM_PENALTIES = Penalties(untouched=0.3, ridge=2.0)


class RowPenalties(NamedTuple):
    """The weights in the equations of users' rows, by default those of the settings.

    Attributes:
        untouched: a, the weight of an item that was not touched.
        ridge: l, what keeps a row short, above 0.
    """

    untouched: float = 0.2
    ridge: float = 1.0


class _Shared(NamedTuple):
    """The part of the equations of users' rows that all of them share.

    Attributes:
        items: (n_items, dim) float64 W.
        base: (dim, dim) ``a W'W + l m I``.
        inverse: of ``base``.
    """

    items: Array
    base: Array
    inverse: Array

    @classmethod
    def of(cls, items: Array, penalties: RowPenalties) -> _Shared:
        gram = products_of_columns(items)
        # Above zero, so that there is a solution.
        mean = max(float(np.trace(gram)) / max(len(items), 1), 1e-12)
        base = penalties.untouched * gram + penalties.ridge * mean * np.eye(len(gram))
        return cls(items.astype(np.float64), base, np.linalg.inv(base))

    def row(self, touched: Array, trusts: Array | None) -> Array:
        """Solves for the row of a user of the items ``touched`` (m,): (dim,) float64.

        Where fewer items were touched than a row has entries, there are as many equations as items,
        by Woodbury's identity. ``trusts`` are (m,), or None where all count 1.
        """
        own, roots = self._rooted(touched, trusts)
        if len(touched) < len(self.base):
            near = own @ self.inverse
            return np.asarray(np.linalg.solve(near @ own.T + np.eye(len(own)), roots) @ near)
        target = own.sum(axis=0) if trusts is None else roots @ own
        return np.asarray(np.linalg.solve(self.base + own.T @ own, target))

    def _rooted(self, touched: Array, trusts: Array | None) -> tuple[Array, Array]:
        """Returns the rows of items times the roots (m,) of how much each is to be trusted, and these."""
        own = self.items[touched]
        if trusts is None:
            return own, np.ones(len(own))
        roots = np.sqrt(trusts.astype(np.float64))
        return own * roots[:, None], roots

    def rows_without(self, touched: Array, left_out: Array, trusts: Array | None, each: Array) -> Array:
        """Solves for rows of a user of ``touched``, each without one item of ``left_out``: (k, dim).

        With A the matrix of the user's equations, x their solution and ``h = A^-1 w``, the row
        without the item of the row w, which is trusted t, is ``x - t h (1 - x . w) / (1 - t h .
        w)`` (Sherman and Morrison). ``trusts`` are (m,) those of all that was touched, or None
        where all count 1, and ``each`` (k,) those of what is left out.
        """
        (own, roots), others = self._rooted(touched, trusts), self.items[left_out]
        target = own.sum(axis=0) if trusts is None else roots @ own
        solved = np.linalg.solve(self.base + own.T @ own, np.concatenate([target[None], others]).T).T
        row, near = solved[0], solved[1:]
        rests = each * (1 - others @ row) / (1 - each * np.einsum("ij,ij->i", near, others))
        return np.asarray(row - near * rests[:, None])


def users_of_items(touched: Any, items: Array, penalties: RowPenalties, threads: int = 1) -> Array:
    """Solves for every user's row, all columns of it: (n_users, dim) float32.

    Call it with one BLAS thread (:func:`~sparserec_np.machine.threads.one_blas_thread`); the bits
    are then the same for any ``threads``.

    Args:
        touched: SciPy CSR (n_users, n_items) float32: what each user touched, and how much each is
            to be trusted.
        items: (n_items, dim) float32.
        penalties: of users' rows.
        threads: blocks of users at a time.

    Memory: 8 bytes for every entry of ``items``, and 4 of the result; three (dim, dim) float64.
    """
    shared = _Shared.of(items, penalties)
    users = np.zeros((touched.shape[0], items.shape[1]), np.float32)
    trusts = trusts_of(touched)

    def solve(start: int) -> None:
        for user in range(start, min(start + USERS_AT_ONCE, len(users))):
            part = slice(touched.indptr[user], touched.indptr[user + 1])
            if part.stop > part.start:
                users[user] = shared.row(touched.indices[part], None if trusts is None else trusts[part])

    made_together(solve, range(0, len(users), USERS_AT_ONCE), threads)
    return users


def improve_items(
    start: SparseTable,
    touched: Any,
    dim: int,
    *,
    passes: int,
    penalties: RowPenalties,
    threads: int = 1,
) -> SparseTable:
    """Improves items' rows by least squares, in which no user knows the item that is predicted.

    In each pass users' rows are solved for, and then the items': a row scores near 1 for those who
    touched the item and near 0 for all, where the row of one who touched it is that of everything
    else they touched. Without that the items would learn to give back what users are made of. The
    mask moves as in :func:`~sparserec_np.factorization.least_squares.alternate`, among the items of
    a block, each of which keeps an entry, as far as there are as many. All of it is our choice.

    Call it with one BLAS thread (:func:`~sparserec_np.machine.threads.one_blas_thread`); the bits
    are then the same for any ``threads``, and for any number of Numba's threads.

    Args:
        start: (n_items, dim) to begin with; left as it is.
        touched: SciPy CSR (n_users, n_items) float32: what each user touched, and how much each is
            to be trusted.
        dim: columns.
        passes: 0 keeps the table.
        penalties: of users' rows.
        threads: blocks of users at a time.

    Memory: for every entry of ``PAIR_NUMBERS`` its float32 value and its column; for every entry of
    users' rows 4 bytes, and of items' rows 12; the interactions once more, transposed; six
    (dim, dim) float64; and what :func:`~sparserec_np.factorization.least_squares.better_rows`
    takes for the items of a block.
    """
    by_item = touched.T.tocsr()
    by_item.sort_indices()
    blocks = list(row_blocks(by_item.indptr, max(1, PAIR_NUMBERS // dim)))
    own = start
    for _ in range(passes):
        items = own.to_dense(dim)
        users = users_of_items(touched, items, penalties, threads)
        shared, gram = _Shared.of(items, penalties), products_of_columns(users)
        parts = []
        for first, last in blocks:
            some = by_item[first:last]
            rows = _rows_without(touched, some, first, shared, threads)
            parts.append(_better_items(own.slice_rows(first, last), some, rows, gram, len(users)))
            del rows  # or those of two blocks would be held at a time
        own = _joined(parts)
    return own


def _rows_without(touched: Any, by_item: Any, first: int, shared: _Shared, threads: int) -> Array:
    """Solves for the rows of the users of some items, each without the item: (pairs, dim) float32.

    Args:
        touched: CSR (n_users, n_items).
        by_item: CSR (items, n_users) of some items, the first of which is ``first``; a row for each
            of its entries, in their order.
        first: see above.
        shared: of all users.
        threads: blocks of users at a time.
    """
    order = np.argsort(by_item.indices, kind="stable")
    users = by_item.indices[order]
    items = np.repeat(np.arange(first, first + by_item.shape[0]), np.diff(by_item.indptr))[order]
    bounds = np.append(np.flatnonzero(np.diff(users, prepend=-1)), len(users))
    rows = np.empty((len(users), len(shared.base)), np.float32)
    trusts, each = trusts_of(touched), by_item.data[order].astype(np.float64)

    def solve(start: int) -> None:
        for k in range(start, min(start + USERS_AT_ONCE, len(bounds) - 1)):
            some = slice(bounds[k], bounds[k + 1])
            user = users[bounds[k]]
            part = slice(touched.indptr[user], touched.indptr[user + 1])
            rows[order[some]] = shared.rows_without(
                touched.indices[part], items[some], None if trusts is None else trusts[part], each[some]
            )

    made_together(solve, range(0, len(bounds) - 1, USERS_AT_ONCE), threads)
    return rows


def _better_items(own: SparseTable, by_item: Any, rows: Array, gram: Array, n_users: int) -> SparseTable:
    """Solves for some items' rows from a row for each of their pairs, and exchanges entries."""
    untouched, ridge = ITEM_PENALTIES
    mean = max(float(np.trace(gram)) / max(n_users, 1), 1e-12)
    ridges = ridge * mean * np.sqrt(np.maximum(np.diff(by_item.indptr), 1.0))
    pairs = by_item.indptr, np.arange(len(rows), dtype=np.int32), np.ones(len(rows), np.float32)
    nothing = np.empty((own.rows, 0), np.float32), np.empty((0, len(gram)))
    found = trusts_of(by_item)
    trusts = NO_TRUSTS if found is None else found
    equations = Equations(SparseTable.full(rows), *pairs, untouched * gram, ridges, *nothing, trusts)
    return better_rows(own, equations, floor=1)


def _joined(parts: list[SparseTable]) -> SparseTable:
    """Puts tables one below the other."""
    indptr = np.append(0, np.cumsum(np.concatenate([np.diff(part.indptr) for part in parts])))
    columns, values = (
        np.concatenate(some) for some in zip(*((p.columns, p.values) for p in parts), strict=True)
    )
    return SparseTable(indptr.astype(index_dtype(len(values))), columns, values)
