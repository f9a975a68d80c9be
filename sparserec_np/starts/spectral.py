"""The spectral start: singular vectors of the interactions, rotated and pruned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.factorization.pruning import (
    ROWS_AT_ONCE,
    Factors,
    RowsBetween,
    balance,
    prune_factors,
    widened,
)
from sparserec_np.factorization.rotation import of_length_one, varimax
from sparserec_np.factorization.singular_vectors import Strips, leading_right_vectors
from sparserec_np.machine.memory import give_back_freed
from sparserec_np.machine.threads import one_blas_thread

# Where singular values fall to less than this part from one to the next, what follows is no taste:
# a noise-free log of a few groups has a vector for each group, and then equal ones that tell what
# is left out of a user's row. On real data they decline bit by bit. Our choice.
FALL = 0.2


@dataclass(frozen=True)
class Spectral:
    """Truncated singular vectors of the normalised interactions, rotated to sparse axes and pruned.

    With ``D_u`` and ``D_i`` the degrees and ``V`` the leading right singular vectors of ``D_u^-1/2
    R D_i^-1/2`` (n_items, dim), the factors are ``R D_i^-1/2 V`` for users and ``D_i^1/2 V`` for
    items, the low-pass part of GF-CF (Shen et al. 2021). Any rotation of both leaves every score as
    it is; varimax (Kaiser 1958) picks the one with the fewest large loadings, and only then does
    pruning cost little. A user's list does not depend on the length of the user's row, so users are
    brought to equal length before pruning: otherwise those with few items would lose nearly all of
    theirs.

    Attributes:
        iterations: subspace iterations of the truncated decomposition.
        rotation_iterations: iterations of varimax; 0 leaves the axes as they are.
        sample: rows that the rotation is fitted to.
        floor: entries that every row keeps, where the budget allows it.

    Memory: (n_items, dim + 16) float32 and 16 columns for each thread; then (n_items, dim), beside
    it the sample and, when it is gone, what is kept. Nothing grows with the number of interactions.
    """

    iterations: int = 4
    rotation_iterations: int = 30
    sample: int = 16_000
    floor: int = 1
    from_data: bool = True

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes the table of the start; see :class:`~sparserec_np.starts.start.Start`."""
        with one_blas_thread():
            vectors, items = self.items(log, dim, rng, threads)

            def users(start: int, stop: int) -> Array:
                return widened(of_length_one(vectors.sums(log, np.arange(start, stop))), dim)

            factors = Factors(users, items, log.n_users, log.n_items)
            return prune_factors(factors, nnz, self.floor, balance(factors))

    def items(
        self, log: Interactions, dim: int, rng: np.random.Generator, threads: int
    ) -> tuple[Strips, RowsBetween]:
        """Makes the rotated vectors ``D_i^-1/2 V`` (n_items, dim), and what gives the items' factors of them.

        Call it with one BLAS thread.
        """
        degrees = np.maximum(log.item_degrees, 1).astype(np.float32)
        vectors = leading_right_vectors(
            log, min(dim, log.n_users, log.n_items), self.iterations, rng, threads
        )
        give_back_freed()  # what the products have left
        vectors.narrow(FALL)
        vectors.scale(1 / np.sqrt(degrees))
        self._rotate(log, vectors, rng, threads)

        def items(start: int, stop: int) -> Array:
            return widened(vectors[start:stop] * degrees[start:stop, None], dim)

        return vectors, items

    def _rotate(self, log: Interactions, vectors: Strips, rng: np.random.Generator, threads: int) -> None:
        """Turns the vectors to the axes in which a sample of users' and items' rows is sparsest."""
        if self.rotation_iterations:
            n_rows = log.n_users + log.n_items
            rows = np.sort(rng.choice(n_rows, min(self.sample, n_rows), replace=False))
            sample = rows_of_both(log, vectors, rows)
            rotation = varimax(sample, self.rotation_iterations, threads=threads)
            del sample
            vectors.turn(rotation, threads)
            give_back_freed()  # what the sample has left


def rows_of_both(log: Interactions, vectors: Strips, rows: Array) -> Array:
    """Computes factors of some rows (m,), (m, width) float32, each of length one.

    Rows are users and items, ascending, users first.
    """
    sample = np.empty((len(rows), vectors.width), np.float32)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some, made = rows[start : start + ROWS_AT_ONCE], sample[start : start + ROWS_AT_ONCE]
        split = np.searchsorted(some, log.n_users)
        made[:split] = vectors.sums(log, some[:split])
        made[split:] = vectors[some[split:] - log.n_users]
    return of_length_one(sample)
