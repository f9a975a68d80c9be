"""The start of training: which entries are active, and what they hold.

Every start returns one table for users and items together, users first, with exactly ``nnz`` entries. That
the mask comes from a non-negative matrix factorisation is the paper's (arXiv 2411.12205, abstract); all else
in this file is our choice.

A factorisation hands over its item factors (n_items, dim) and makes user factors in row blocks: a user's row
is pruned as soon as it is made, and no (users, dim) array exists, but for those that scikit-learn's NMF and
``Condensed`` fit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.errors import DataError
from sparserec_np.factorization.condensing import condense
from sparserec_np.factorization.largest_entries import LargestEntries, keys_with_floor, table_of
from sparserec_np.factorization.least_squares import alternate, alternate_full
from sparserec_np.factorization.singular_vectors import Strips, fewer_columns, leading_right_vectors
from sparserec_np.machine.memory import give_back_freed
from sparserec_np.runtime import FOLDED_DIMENSIONS

BLOCK = 1024  # rows that are made, turned or cubed together: they stay in the cache


class Start(Protocol):
    """Makes the table that training starts from."""

    @property
    def informed(self) -> bool:
        """Whether the values know the data: else there is no score to scale them to, and nothing to stay near."""
        ...

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """A table of ``log.n_users + log.n_items`` rows with exactly ``nnz`` entries; the same for any ``threads``."""
        ...


@dataclass(frozen=True)
class Uniform:
    """Entries drawn at random with equal chances, normal values: the usual start of dynamic sparse training.

    Each row first gets its share, ``nnz // rows`` entries; rows drawn at random get one of those left over.

    Attributes:
        deviation: standard deviation of the values.
    """

    deviation: float = 0.1
    informed: bool = False

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """See :class:`Start`."""
        n_rows = log.n_users + log.n_items
        lengths = np.full(n_rows, nnz // n_rows)
        lengths[rng.choice(n_rows, nnz % n_rows, replace=False)] += 1
        columns = []
        for start in range(0, n_rows, BLOCK):
            some = lengths[start : start + BLOCK]
            ranks = rng.random((len(some), dim), dtype=np.float32).argsort(axis=1, kind="stable")
            columns.append(np.nonzero(ranks < some[:, None])[1].astype(np.uint16))
        rows = np.repeat(np.arange(n_rows, dtype=np.int32), lengths)
        values = rng.standard_normal(nnz, dtype=np.float32) * np.float32(self.deviation)
        return table_of(rows, np.concatenate(columns), values, n_rows, dim)


@dataclass(frozen=True)
class NMF:
    """Non-negative matrix factorisation ``R ~ W H`` of the interactions (scikit-learn), pruned to the largest entries.

    The values are the square roots of the factors, which agree in sign, so that a user and the items they
    share columns with score above zero from the first batch on.

    Attributes:
        iterations: of scikit-learn's coordinate descent, from non-negative parts of singular vectors; more of them
            hardly fit better (docs/speed.md).
        floor: entries that every row keeps, where the budget allows it.
    """

    iterations: int = 10
    floor: int = 1
    informed: bool = True

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """See :class:`Start`."""
        from sklearn.decomposition import NMF as Factorisation

        matrix = matrix_of_ones(log)
        solver = Factorisation(
            n_components=min(dim, *matrix.shape),
            init="nndsvd",
            max_iter=self.iterations,
            tol=0,  # all iterations: a start need not converge, and there is nothing to warn of
            random_state=int(rng.integers(2**31)),
        )
        with one_blas_thread():
            factors = solver.fit_transform(matrix)
            components = solver.components_.T
            if not (np.isfinite(factors).all() and np.isfinite(components).all()):
                raise DataError(
                    "scikit-learn's factorisation of these interactions ended in numbers that are not finite, as it may"
                    " where fewer vectors tell them apart than --dim asks for; use --start spectral"
                )

            def users(start: int, stop: int) -> Array:
                return _widened(np.sqrt(factors[start:stop].astype(np.float32, copy=False)), dim)

            def items(start: int, stop: int) -> Array:
                return _widened(np.sqrt(components[start:stop].astype(np.float32)), dim)

            return prune_factors(users, items, log.n_users, log.n_items, nnz, self.floor)


@dataclass(frozen=True)
class Spectral:
    """Truncated singular vectors of the normalised interactions, rotated to their sparsest axes and pruned.

    With ``D_u`` and ``D_i`` the degrees and ``V`` the leading right singular vectors of
    ``D_u^-1/2 R D_i^-1/2`` (n_items, dim), the factors are ``R D_i^-1/2 V`` for users and ``D_i^1/2 V`` for items, the
    low-pass part of GF-CF (Shen et al. 2021). Any rotation of both leaves every score as it is; varimax
    (Kaiser 1958) picks the one with the fewest large loadings, and only then does pruning cost little. A
    user's list does not depend on the length of the user's row, so users are brought to equal length before
    pruning: otherwise those with few items would lose nearly all of theirs.

    Attributes:
        iterations: subspace iterations of the truncated decomposition.
        rotation_iterations: of varimax; 0 leaves the axes as they are.
        sample: rows that the rotation is fitted to.
        floor: entries that every row keeps, where the budget allows it.

    Memory: (n_items, dim + 16) float32 and 16 columns for each thread; then (n_items, dim), beside it the sample and,
    when it is gone, what is kept. Nothing grows with the number of interactions.
    """

    iterations: int = 4
    rotation_iterations: int = 30
    sample: int = 16_000
    floor: int = 1
    informed: bool = True

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """See :class:`Start`."""
        degrees = np.maximum(log.item_degrees, 1).astype(np.float32)
        with one_blas_thread():
            vectors = leading_right_vectors(
                log, min(dim, log.n_users, log.n_items), self.iterations, rng, threads
            )
            give_back_freed()  # what the products have left
            vectors.scale(1 / np.sqrt(degrees))

            def users(start: int, stop: int) -> Array:
                return _widened(_of_length_one(vectors.sums(log, np.arange(start, stop))), dim)

            def items(start: int, stop: int) -> Array:
                return _widened(vectors[start:stop] * degrees[start:stop, None], dim)

            if self.rotation_iterations:
                n_rows = log.n_users + log.n_items
                rows = np.sort(rng.choice(n_rows, min(self.sample, n_rows), replace=False))
                vectors.turn(varimax(_rows_of_both(log, vectors, rows), self.rotation_iterations))
                give_back_freed()  # and the sample
            sizes = log.n_users, log.n_items
            scale = balance(users, items, *sizes)
            return prune_factors(users, items, *sizes, nnz, self.floor, scale)


@dataclass(frozen=True)
class LeastSquares:
    """The spectral start, then alternating least squares within the budget: mask and values both move.

    Where rows store about a tenth of 64 entries, held-out data rate its lists well above the spectral start's, for two
    or three seconds more on a million interactions. Where they store much less, training goes on from the spectral
    start to better lists.

    Attributes:
        first: what it begins with.
        passes: see :func:`~sparserec_np.factorization.least_squares.alternate`.
    """

    first: Spectral = Spectral()
    passes: int = 4
    informed: bool = True

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """See :class:`Start`. The kernels work on the threads that Numba is set to."""
        table = self.first(log, dim, nnz, rng, threads)
        with one_blas_thread():
            return alternate(
                table, log.n_users, matrix_of_ones(log), dim, passes=self.passes, floor=self.first.floor
            )


def _rows_of_both(log: Interactions, vectors: Strips, rows: Array) -> Array:
    """Factors of some rows (m,) of users and items, ascending, users first: (m, width) float32, each of length one."""
    sample = np.empty((len(rows), vectors.width), np.float32)
    for start in range(0, len(rows), BLOCK):
        some, made = rows[start : start + BLOCK], sample[start : start + BLOCK]
        split = np.searchsorted(some, log.n_users)
        made[:split] = vectors.sums(log, some[:split])
        made[split:] = vectors[some[split:] - log.n_users]
    return _of_length_one(sample)


Factors = Callable[[int, int], Array]  # of rows start to stop of one side, (stop - start, dim) float32


def balance(users: Factors, items: Factors, n_users: int, n_items: int) -> float:
    """What items have to be multiplied by for both sides to have equal sums of squares; 1 where one has none.

    To multiply them changes no list, but it changes which entries of all are the largest.
    """
    own, theirs = (
        sum(float(np.square(some(*block), dtype=np.float64).sum()) for block in _blocks(rows))
        for some, rows in ((users, n_users), (items, n_items))
    )
    return float(np.float32(np.sqrt(own / theirs))) if own > 0 and theirs > 0 else 1.0


@dataclass(frozen=True)
class Condensed:
    """Alternating least squares without a budget, and the sparse table whose products come closest to these.

    Full rows explain the interactions better than those within a budget can, and rate what nobody has touched, too; in
    more columns than the table has, better yet. The ``dim`` columns whose products come closest to theirs (Eckart and
    Young 1936) are rotated to their sparsest axes and pruned, and the table is then solved for towards all scores of
    the full rows, those of the best items above all (:func:`~sparserec_np.factorization.condensing.condense`).
    All of it is our choice.

    Attributes:
        first: its vectors are what the full rows begin with, its sample is what the rotation is fitted to.
        widening: times the table's columns that full rows have, but 4,096 columns at most.
        passes: of alternating least squares.
        rotation_iterations: of varimax.
        solving: passes of condensing.

    Memory: every entry of the full rows while the start is made; see also :func:`condense`.
    """

    first: Spectral = Spectral()
    widening: int = 2
    passes: int = 5
    rotation_iterations: int = 100
    solving: int = 6
    informed: bool = True

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """See :class:`Start`. The kernels work on the threads that Numba is set to."""
        touched = matrix_of_ones(log)
        with one_blas_thread():
            users, items = self._full_rows(log, touched, dim, rng, threads)
            table = self._pruned(users, items, dim, nnz, rng)
            give_back_freed()  # what the rows in fewer columns have left
            return self._condensed(table, users, items, touched, dim, threads)

    def products(self, log: Interactions, dim: int) -> float:
        """How many multiplications it takes, more or less; those of lists, which are faster, count for an eighth."""
        width = self._width(log, dim)
        degrees = log.user_degrees, log.item_degrees
        solving = sum(float(np.sum(some * np.minimum(some, width))) for some in degrees)
        return width * (self.passes * solving + log.n_users * log.n_items / 8)

    def full_bytes(self, log: Interactions, dim: int) -> int:
        """Bytes of the full rows."""
        return 4 * (log.n_users + log.n_items) * self._width(log, dim)

    def again(
        self, table: SparseTable, log: Interactions, dim: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """As many entries as ``table`` has, users first, brought near the scores of full rows from where they are."""
        touched = matrix_of_ones(log)
        with one_blas_thread():
            users, items = self._full_rows(log, touched, dim, rng, threads)
            return self._condensed(table, users, items, touched, dim, threads)

    def _full_rows(
        self, log: Interactions, touched: Any, dim: int, rng: np.random.Generator, threads: int
    ) -> tuple[Array, Array]:
        width = self._width(log, dim)
        vectors = leading_right_vectors(log, width, self.first.iterations, rng, threads)
        vectors.scale(np.sqrt(np.maximum(log.item_degrees, 1)).astype(np.float32))
        first = [vectors[0 : log.n_items]]
        del vectors
        return alternate_full(touched, first.pop(), passes=self.passes, threads=threads)

    def _width(self, log: Interactions, dim: int) -> int:
        return min(self.widening * dim, FOLDED_DIMENSIONS, log.n_users, log.n_items)

    def _condensed(
        self, table: SparseTable, users: Array, items: Array, touched: Any, dim: int, threads: int
    ) -> SparseTable:
        settings = {"passes": self.solving, "floor": self.first.floor, "threads": threads}
        return condense(table, users, items, touched, dim, **settings)

    def _pruned(
        self, full_users: Array, full_items: Array, dim: int, nnz: int, rng: np.random.Generator
    ) -> SparseTable:
        """The largest entries of what full rows are in ``dim`` columns, turned to their sparsest axes."""
        n_users, n_rows = len(full_users), len(full_users) + len(full_items)
        own, theirs = fewer_columns(full_users, full_items, dim)
        some = np.sort(rng.choice(n_rows, min(self.first.sample, n_rows), replace=False))
        of_users, of_items = some[some < n_users], some[some >= n_users] - n_users
        sample = _of_length_one(np.concatenate([full_users[of_users] @ own, full_items[of_items] @ theirs]))
        turn = varimax(sample, self.rotation_iterations)
        del sample
        own, theirs = own @ turn, theirs @ turn

        def users(start: int, stop: int) -> Array:
            return _widened(_of_length_one(full_users[start:stop] @ own), dim)

        def items(start: int, stop: int) -> Array:
            return _widened(full_items[start:stop] @ theirs, dim)

        sizes = n_users, len(full_items)
        scale = balance(users, items, *sizes)
        return prune_factors(users, items, *sizes, nnz, self.first.floor, scale)


def prune_factors(
    users: Factors,
    items: Factors,
    n_users: int,
    n_items: int,
    nnz: int,
    floor: int,
    scale: float = 1,
) -> SparseTable:
    """The ``nnz`` largest magnitudes of user and item factors together, ``floor`` or more a row if the budget allows.

    Args:
        users, items: their factors, asked for in blocks.
        scale: of the items, before all are compared.

    Memory: a block of factors, and what is kept.
    """
    parts = (
        (np.arange(first + start, first + stop), some(start, stop) * factor)
        for some, first, count, factor in ((users, 0, n_users, 1), (items, n_users, n_items, scale))
        for start, stop in _blocks(count)
    )
    begin = next(parts)
    dim = begin[1].shape[1]
    if nnz == (n_users + n_items) * dim:  # nothing to choose
        return SparseTable.full(np.concatenate([begin[1], *(values for _, values in parts)]))
    floor = min(floor, nnz // (n_users + n_items))
    best = LargestEntries(nnz)
    for rows, values in itertools.chain([begin], parts):
        best.offer(rows, values, keys_with_floor(np.abs(values), floor))
    return table_of(*best.take(), n_users + n_items, dim)


def _blocks(rows: int) -> list[tuple[int, int]]:
    return [(start, min(start + BLOCK, rows)) for start in range(0, rows, BLOCK)]


def strongest_first(table: SparseTable, dim: int) -> SparseTable:
    """The same table with its columns in another order: by falling sum of squares, of equals the lower first.

    >>> table = SparseTable.from_dense(np.array([[1.0, 0, 3.0], [0, 2.0, 0]]))
    >>> strongest_first(table, 3).to_dense(3).tolist()
    [[3.0, 0.0, 1.0], [0.0, 2.0, 0.0]]
    """
    squares = np.bincount(table.columns, table.values.astype(np.float64) ** 2, minlength=dim)
    place = np.empty(dim, dtype=table.columns.dtype)
    place[np.argsort(-squares, kind="stable")] = np.arange(dim)
    columns = place[table.columns]
    order = np.lexsort((columns, table.row_numbers()))
    return SparseTable(table.indptr, columns[order], table.values[order])


def matrix_of_ones(log: Interactions) -> Any:
    """The interactions as SciPy's CSR (n_users, n_items), float32; items and bounds are the log's where they may be."""
    from scipy.sparse import csr_matrix

    return csr_matrix(
        (np.ones(log.n_interactions, np.float32), log.items, log.indptr), shape=(log.n_users, log.n_items)
    )


def varimax(loadings: Array, iterations: int, tolerance: float = 1e-5) -> Array:
    """The rotation of ``loadings`` (rows, dim) that makes them sparsest (Kaiser 1958): (dim, dim) float32, orthogonal.

    Maximises the variance of the squared loadings, column by column, by projected gradient steps: T becomes the
    orthogonal polar factor of ``L^T B^3 - L^T L T diag(mean B^2)`` with ``B = L T``, of which a block of rows is made
    at a time.
    """
    rows, dim = loadings.shape
    gram = loadings.T @ loadings
    rotation = np.eye(dim, dtype=np.float32)
    turned, cubes = (np.empty((min(BLOCK, rows), dim), dtype=np.float32) for _ in range(2))
    before = 0.0
    for _ in range(iterations):
        squares, gradient = np.zeros(dim, dtype=np.float32), np.zeros((dim, dim), dtype=np.float32)
        for start in range(0, rows, BLOCK):
            some = loadings[start : start + BLOCK]
            b = np.matmul(some, rotation, out=turned[: len(some)])
            powers = np.multiply(b, b, out=cubes[: len(some)])
            squares += powers.sum(axis=0)
            powers *= b
            gradient += some.T @ powers
        gradient -= (gram @ rotation) * (squares / np.float32(rows))
        left, strengths, right = np.linalg.svd(gradient)
        rotation = (left @ right).astype(np.float32)
        if strengths.sum() <= before * (1 + tolerance):
            break
        before = float(strengths.sum())
    return rotation


def _of_length_one(rows: Array) -> Array:
    """``rows`` (m, dim) float32, written to, each divided by its length; zeros stay."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows /= np.maximum(lengths, np.float32(1e-12))[:, None]
    return rows


def _widened(factors: Array, dim: int) -> Array:
    """``factors`` with columns of zeros up to ``dim``, where the data have a lower rank."""
    return factors if factors.shape[1] == dim else np.pad(factors, ((0, 0), (0, dim - factors.shape[1])))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS splits sums by its number of threads, and rounds accordingly; with one it always gives the same bits."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


STARTS: dict[str, Start] = {
    "spectral": Spectral(),
    "als": LeastSquares(),
    "condensed": Condensed(),
    "nmf": NMF(),
    "uniform": Uniform(),
}
