"""Least squares: the rows of one side that explain the interactions best, given the other.

With X the rows of what somebody touched, V those of all and m the mean of the diagonal of V'V, a
row x solves

    (X'TX + c (V'V + r m I)) x = X'T1

It scores near 1 on what was touched, near 0 elsewhere, and stays short: least squares with a weight
for what was not touched (Hu, Koren and Volinsky 2008, equation 4). ``runtime.Recommender.fold_in``
does the same for one user; c and r are its. T is diagonal, and holds how much each touched one is
to be trusted: the values of the matrix of what was touched, mostly ones. Which entries are kept is
our choice. Solving for one side and then for the other, again and again, is their alternating least
squares; here it stays within a budget of entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.matrices import trusts_of
from sparserec_np.data.table import Array, SparseTable, row_blocks, stacked
from sparserec_np.factorization.largest_entries import LargestEntries, keys_with_floor, table_of
from sparserec_np.factorization.singular_vectors import products_of_columns
from sparserec_np.kernels.arguments import NO_TRUSTS, Equations
from sparserec_np.machine.threads import made_in_order, made_together
from sparserec_np.runtime import RIDGE, UNTOUCHED

ROWS_SOLVED_TOGETHER = 128  # rows solved for together
BLOCK_NUMBERS = 1 << 21  # of the matrices of a block, and of what it touched, which bounds their memory
PIECE_NUMBERS = 1 << 18  # entries weighed together, of whole rows: no wider table makes larger pieces


class Penalties(NamedTuple):
    """The weights of alternating least squares: of untouched pairs, and against long rows.

    Attributes:
        untouched: weight of all scores' squares, where the squared errors of those touched weigh 1;
            0 or more.
        ridge: what keeps rows short, above 0, so that every row has one solution.
    """

    untouched: float = 0.1
    ridge: float = 2.0


PENALTIES = Penalties()  # by default


def solved_rows(
    touched: Any, others: SparseTable, dim: int, nnz: int, floor: int = 1, threads: int = 1
) -> SparseTable:
    """Solves for the rows of one side, prunes them to what matters most, and solves again.

    Entries are ranked by the square of their value times their column's element on the diagonal of
    c (V'V + r m I): what leaving one out does to all scores, as in optimal brain damage (LeCun et
    al. 1990). Call it with one BLAS thread (:func:`~sparserec_np.machine.threads.one_blas_thread`);
    the bits are then the same for any ``threads``.

    Args:
        touched: SciPy CSR (rows, others) float32: what each row touched, and how much each is to be
            trusted.
        others: (others, dim) rows of the other side.
        nnz: entries of the result; fewer where there are not as many that are not zero.
        floor: entries that each row keeps, as far as ``nnz`` allows it.
        threads: blocks of rows that are solved at a time.

    Returns:
        (rows, dim), up to ``nnz`` entries in float32.

    Raises:
        MemoryError: there is no room for (dim, dim) float64, several times over.

    Memory: for each thread ``BLOCK_NUMBERS`` numbers of the matrices of a block, and as many of the
    rows that it touched, or those of one row.
    """
    side = _Side(touched.indptr, touched.indices, trusts_of(touched), others, dim, _weighed_gram(others, dim))
    rows = len(side.indptr) - 1
    floor = min(floor, nnz // rows, dim)
    size = max(1, min(ROWS_SOLVED_TOGETHER, BLOCK_NUMBERS // dim**2))
    blocks = [np.arange(*block) for block in row_blocks(side.indptr, max(1, BLOCK_NUMBERS // dim), size)]
    reach = np.sqrt(np.diag(side.gram)).astype(np.float32)
    best = LargestEntries(nnz)
    for block, values in zip(blocks, made_in_order(side.solve, blocks, threads), strict=True):
        keys = np.abs(values) * reach
        keys[keys == 0] = -np.inf
        best.offer(block, values, keys_with_floor(keys, floor))
    table = table_of(*best.take(), rows, dim)
    again = made_together(lambda block: side.solve_within(block, table), blocks, threads)
    return table._replace(values=np.concatenate(again).astype(np.float32))


def alternate(
    start: SparseTable,
    touched: Any,
    dim: int,
    *,
    passes: int,
    penalties: Penalties = PENALTIES,
    floor: int = 1,
) -> SparseTable:
    """Improves users' and items' rows by alternating least squares within a budget.

    In each pass the users' rows are solved for first, and then the items'.

    A side is solved for within its stored entries; of all its entries, stored or not, as many are
    kept as there were, those that lower the sum of squares the most; and the side is solved for
    within these. With V the rows of the other side, a row that touched n of them reads
    ``untouched`` V'V as G, and ``ridge`` times the root of n times the mean squared length of a row
    of V as r, in the terms of ``kernels/reference/least_squares.py``. Call it with one BLAS thread
    (:func:`~sparserec_np.machine.threads.one_blas_thread`); the bits are then the same for any
    number of Numba's threads.

    Args:
        start: (users + items, dim) the stacked table to begin with, users first; left as it is.
        touched: SciPy CSR (users, items) float32: what each user touched, and how much each is to
            be trusted.
        dim: columns.
        passes: how often both sides are solved for; 0 keeps the table.
        penalties: ``untouched`` and ``ridge``.
        floor: entries that each row keeps, as far as its side's entries allow it.

    Returns:
        (users + items, dim) float32, as many entries of users and as many of items as in ``start``.

    Raises:
        MemoryError: there is no room for (dim, dim) float64, several times over.

    Memory: ``touched`` once more, transposed; G and what it is made of, (dim, dim) float64 each;
    and values and worths of a piece, of ``PIECE_NUMBERS`` entries or, if that is more, of one row.
    """
    n_users = touched.shape[0]
    users, items = start.slice_rows(0, n_users), start.slice_rows(n_users, start.rows)
    transposed = touched.T.tocsr()
    for _ in range(passes):
        users = _better(users, items, touched, dim, penalties, floor)
        items = _better(items, users, transposed, dim, penalties, floor)
    return stacked(users, items)


def _better(
    own: SparseTable, others: SparseTable, touched: Any, dim: int, penalties: Penalties, floor: int
) -> SparseTable:
    """Solves for the rows of ``own`` from those of ``others``, and exchanges entries.

    See :func:`alternate`.
    """
    untouched, ridge = penalties
    gram = _gram(others, dim)
    ridges = ridge * _mean_square(gram, others.rows) * np.sqrt(np.maximum(np.diff(touched.indptr), 1.0))
    pairs = touched.indptr, touched.indices, np.ones(len(touched.indices), np.float32)
    nothing = np.empty((own.rows, 0), np.float32), np.empty((0, dim))
    trusts = trusts_of(touched)
    equations = Equations(
        others, *pairs, untouched * gram, ridges, *nothing, NO_TRUSTS if trusts is None else trusts
    )
    return better_rows(own, equations, floor)


def better_rows(own: SparseTable, equations: Equations, floor: int) -> SparseTable:
    """Solves for the rows of one side, exchanges entries for better ones, and solves again.

    Args:
        own: (n, dim) rows of this side.
        equations: theirs.
        floor: entries that each row keeps, as far as there are as many.
    """
    if not own.nnz:
        return own
    dim = len(equations.gram)
    if own.nnz == own.rows * dim:  # nothing to choose
        table = own._replace(values=own.values.copy())
        kernels.least_squares.solve_rows(table, equations)
        return table
    best = LargestEntries(own.nnz)
    floor = min(floor, own.nnz // max(own.rows, 1), dim)
    size = max(1, PIECE_NUMBERS // dim)
    for first in range(0, own.rows, size):
        rows = np.arange(first, min(first + size, own.rows))
        values, worths = (np.empty((len(rows), dim), np.float32) for _ in range(2))
        kernels.least_squares.weigh_rows(own, equations, first, values, worths)
        best.offer(rows, values, keys_with_floor(worths, floor))
    table = table_of(*best.take(), own.rows, dim)
    kernels.least_squares.solve_rows(table, equations)
    return table


def alternate_full(
    touched: Any, items: Array, *, passes: int, penalties: Penalties = PENALTIES, threads: int = 1
) -> tuple[Array, Array]:
    """Finds full users' and items' rows by alternating least squares without a budget.

    The equations are those of :func:`alternate`.

    Call it with one BLAS thread (:func:`~sparserec_np.machine.threads.one_blas_thread`); the bits
    are then the same for any ``threads``.

    Args:
        touched: SciPy CSR (users, items) float32: what each user touched, and how much each is to
            be trusted.
        items: (n_items, dim) float32, what the first users are solved from; written to.
        passes: how often both sides are solved for, 1 or more.
        penalties: see :func:`alternate`.
        threads: blocks of rows that are solved at a time.

    Returns:
        (n_users, dim) and (n_items, dim) float32, up to a rotation of both: their columns are the
        axes of the users.

    Memory: every entry of all rows, and for each thread a few times ``PIECE_NUMBERS`` numbers, or
    (dim, dim) if that is more.
    """
    transposed = touched.T.tocsr()
    users = np.empty((0, items.shape[1]), np.float32)
    for _ in range(passes):
        del users  # what is solved for anew need not be kept
        users = _full_rows(touched, items, penalties, threads)
        del items
        items = _full_rows(transposed, users, penalties, threads)
    return users, items


def _full_rows(touched: Any, others: Array, penalties: Penalties, threads: int) -> Array:
    """Solves for the full rows of one side.

    Turns the others', in place, to the axes that these rows have, too.

    Along the eigenvectors of V'V the matrix of a row is X'X and a diagonal D. A row that touched
    fewer others than it has entries solves as many equations as it touched: x = D^-1 X' (X D^-1 X'
    + I)^-1 1, by Woodbury's identity. Where some are trusted more than others, X and 1 are
    multiplied by the roots of T.
    """
    untouched, ridge = penalties
    dim = others.shape[1]
    gram = products_of_columns(others)
    length = _mean_square(gram, len(others))
    strengths, axes = np.linalg.eigh(gram)
    for start in range(0, len(others), 1024):
        others[start : start + 1024] = others[start : start + 1024] @ axes.astype(np.float32)
    sizes = np.diff(touched.indptr)
    solved = np.zeros((len(sizes), dim), np.float32)
    trusts = trusts_of(touched)
    roots = None if trusts is None else np.sqrt(trusts.astype(np.float64))

    def solve(block: tuple[int, Array]) -> None:
        size, rows = block
        diagonal = untouched * np.maximum(strengths, 0) + ridge * length * np.sqrt(size)
        places = touched.indptr[rows, None] + np.arange(size)
        if size < dim:
            own = others[touched.indices[places]].astype(np.float64)
            aims = np.ones((len(rows), size, 1))
            if roots is not None:
                aims = roots[places][:, :, None]
                own *= aims
            scaled = own / diagonal
            matrices = scaled @ own.transpose(0, 2, 1) + np.eye(size)
            shares = np.linalg.solve(matrices, aims)
            x = (scaled * shares).sum(axis=1)
        else:
            matrices, targets = np.zeros((len(rows), dim, dim)), np.zeros((len(rows), dim))
            step = max(1, PIECE_NUMBERS // (len(rows) * dim))
            for start in range(0, size, step):  # one piece, but for what very many have touched
                some = places[:, start : start + step]
                own = others[touched.indices[some]].astype(np.float64)
                if roots is None:
                    targets += own.sum(axis=1)
                else:
                    own *= roots[some][:, :, None]
                    targets += np.einsum("nk,nkc->nc", roots[some], own)
                matrices += own.transpose(0, 2, 1) @ own
            matrices += np.diag(diagonal)
            x = np.linalg.solve(matrices, targets[:, :, None])[:, :, 0]
        solved[rows] = x

    blocks = []
    for size in np.unique(sizes[sizes > 0]).tolist():
        rows = np.flatnonzero(sizes == size)
        step = max(1, PIECE_NUMBERS // (size * dim + min(size, dim) ** 2))
        blocks += [(size, rows[start : start + step]) for start in range(0, len(rows), step)]
    made_together(solve, blocks, threads)
    return solved


def _mean_square(gram: Array, rows: int) -> float:
    """Divides the trace of ``gram`` by the ``rows`` that it sums up, or by its columns.

    Above 0: there is a solution.
    """
    return max(float(np.trace(gram)) / max(rows, 1), 1e-12)


def _weighed_gram(others: SparseTable, dim: int) -> Array:
    """Computes ``c (V'V + r m I)``, (dim, dim) float64, from the rows V of ``others``."""
    gram = _gram(others, dim)
    return UNTOUCHED * (gram + RIDGE * _mean_square(gram, dim) * np.eye(dim))


def _gram(others: SparseTable, dim: int) -> Array:
    """Computes ``V'V``, (dim, dim) float64, from the rows V of ``others``."""
    gram = np.zeros((dim, dim))
    for start in range(0, others.rows, 1024):
        some = others.dense_rows(np.arange(start, min(start + 1024, others.rows)), dim).astype(np.float64)
        gram += some.T @ some
    return gram


@dataclass(frozen=True)
class _Side:
    """The data that the rows of one side are solved from.

    Attributes:
        indptr, indices: what each row touched.
        trusts: how much each of these is to be trusted; None where all count 1.
        others: rows of the other side.
        gram: see :func:`_weighed_gram`.
    """

    indptr: Array
    indices: Array
    trusts: Array | None
    others: SparseTable
    dim: int
    gram: Array

    def solve(self, block: Array) -> Array:
        """Solves for every entry of the consecutive rows ``block`` (m,): (m, dim) float32."""
        dense, bounds, roots = self._touched(block)
        matrices = np.empty((len(block), self.dim, self.dim))
        targets = np.empty((len(block), self.dim, 1))
        for k in range(len(block)):
            own = dense[bounds[k] : bounds[k + 1]]
            np.matmul(own.T, own, out=matrices[k])
            targets[k, :, 0] = _aimed(own, roots, bounds[k])
        matrices += self.gram
        solved: Array = np.linalg.solve(matrices, targets)[:, :, 0].astype(np.float32)
        return solved

    def solve_within(self, block: Array, table: SparseTable) -> Array:
        """Solves for the entries that ``table`` stores in the rows ``block``, and for no others."""
        dense, bounds, roots = self._touched(block)
        found = []
        for k, row in enumerate(block.tolist()):
            kept = table.columns[table.indptr[row] : table.indptr[row + 1]]
            own = dense[bounds[k] : bounds[k + 1]][:, kept]
            aimed = _aimed(own, roots, bounds[k])
            found.append(np.linalg.solve(own.T @ own + self.gram[np.ix_(kept, kept)], aimed))
        return np.concatenate(found)

    def _touched(self, block: Array) -> tuple[Array, list[int], Array | None]:
        """Reads all entries of the rows that ``block`` touched, float64, and the bounds between.

        Where some are trusted more than others, rows are multiplied by the roots (n,) of that,
        which are returned, too.
        """
        bounds = self.indptr[block[0] : block[-1] + 2]
        some = slice(bounds[0], bounds[-1])
        dense, starts = (
            self.others.dense_rows(self.indices[some], self.dim).astype(np.float64),
            (bounds - bounds[0]).tolist(),
        )
        if self.trusts is None:
            return dense, starts, None
        roots = np.sqrt(self.trusts[some].astype(np.float64))
        return dense * roots[:, None], starts, roots


def _aimed(own: Array, roots: Array | None, first: int) -> Array:
    """Computes ``X'1`` of some rows X (m, dim), or ``X' roots`` of those that begin at ``first``."""
    if roots is None:
        return np.asarray(own.sum(axis=0))
    return np.asarray(roots[first : first + len(own)] @ own)
