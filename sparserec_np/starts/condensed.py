"""The condensed start: the sparse table closest to the scores of full rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.matrices import matrix_of_trust
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.factorization.condensing import Target, condense
from sparserec_np.factorization.least_squares import alternate_full
from sparserec_np.factorization.pruning import Factors, balance, prune_factors, widened
from sparserec_np.factorization.rotation import of_length_one, varimax
from sparserec_np.factorization.singular_vectors import fewer_columns, leading_right_vectors
from sparserec_np.machine.memory import give_back_freed
from sparserec_np.machine.threads import one_blas_thread
from sparserec_np.runtime import FOLDED_DIMENSIONS
from sparserec_np.starts.spectral import Spectral


@dataclass(frozen=True)
class Condensed:
    """The sparse table closest to the products of full rows from alternating least squares.

    Full rows explain the interactions better than those within a budget can, and rate what nobody
    has touched, too; in more columns than the table has, better yet. The ``dim`` columns whose
    products come closest to theirs (Eckart and Young 1936) are rotated to their sparsest axes and
    pruned, and the table is then solved for towards all scores of the full rows, those of the best
    items above all (:func:`~sparserec_np.factorization.condensing.condense`). Weights of
    interactions, divided by their mean, say how much the full rows trust each. All of it is our
    choice.

    Attributes:
        first: its vectors are what the full rows begin with, its sample is what the rotation is
            fitted to.
        widening: times the table's columns that full rows have, but 4,096 columns at most.
        passes: passes of alternating least squares.
        rotation_iterations: iterations of varimax.
        solving: passes of condensing.

    Memory: every entry of the full rows while the start is made; see also :func:`condense`.
    """

    first: Spectral = Spectral()
    widening: int = 2
    passes: int = 5
    rotation_iterations: int = 100
    solving: int = 6
    from_data: bool = True

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes the table of the start; see :class:`~sparserec_np.starts.start.Start`.

        The kernels work on the threads that Numba is set to.
        """
        touched = matrix_of_trust(log)
        with one_blas_thread():
            users, items = self.full_rows(log, touched, dim, rng, threads)
            table = self._pruned(users, items, dim, nnz, rng)
            give_back_freed()  # what the rows in fewer columns have left
            return self._condensed(table, users, items, touched, dim, threads)

    def products(self, log: Interactions, dim: int) -> float:
        """Estimates the multiplications that the start takes.

        Those of lists, which are faster, count for an eighth.
        """
        width = self._width(log, dim)
        degrees = log.user_degrees, log.item_degrees
        solving = sum(float(np.sum(some * np.minimum(some, width))) for some in degrees)
        return width * (self.passes * solving + log.n_users * log.n_items / 8)

    def full_bytes(self, log: Interactions, dim: int) -> int:
        """Returns the bytes of the full rows."""
        return 4 * (log.n_users + log.n_items) * self._width(log, dim)

    def again(
        self, table: SparseTable, log: Interactions, dim: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Brings the entries of ``table``, users first, near the scores of full rows.

        There are as many entries as before; they begin where they are.
        """
        touched = matrix_of_trust(log)
        with one_blas_thread():
            users, items = self.full_rows(log, touched, dim, rng, threads)
            return self._condensed(table, users, items, touched, dim, threads)

    def full_rows(
        self, log: Interactions, touched: Any, dim: int, rng: np.random.Generator, threads: int
    ) -> tuple[Array, Array]:
        """Finds full users' and items' rows, of ``widening`` times as many columns; see ``alternate_full``."""
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
        target = Target(users, items, touched)
        return condense(table, target, dim, passes=self.solving, floor=self.first.floor, threads=threads)

    def _pruned(
        self, full_users: Array, full_items: Array, dim: int, nnz: int, rng: np.random.Generator
    ) -> SparseTable:
        """Makes the table of the largest entries of full rows, cut to ``dim`` columns and rotated.

        The rotation turns them to their sparsest axes.
        """
        n_users = len(full_users)
        own, theirs = self.sparsest_axes(full_users, full_items, dim, rng)

        def users(start: int, stop: int) -> Array:
            return widened(of_length_one(full_users[start:stop] @ own), dim)

        def items(start: int, stop: int) -> Array:
            return widened(full_items[start:stop] @ theirs, dim)

        factors = Factors(users, items, n_users, len(full_items))
        return prune_factors(factors, nnz, self.first.floor, balance(factors))

    def sparsest_axes(
        self, full_users: Array, full_items: Array, dim: int, rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """Finds what brings full rows of both sides to ``dim`` columns at most, on their sparsest axes.

        Returns (width, k) float32 each; products of the sides hardly change.
        """
        n_users, n_rows = len(full_users), len(full_users) + len(full_items)
        own, theirs = fewer_columns(full_users, full_items, dim)
        some = np.sort(rng.choice(n_rows, min(self.first.sample, n_rows), replace=False))
        of_users, of_items = some[some < n_users], some[some >= n_users] - n_users
        sample = of_length_one(np.concatenate([full_users[of_users] @ own, full_items[of_items] @ theirs]))
        turn = varimax(sample, self.rotation_iterations)
        del sample
        return own @ turn, theirs @ turn
