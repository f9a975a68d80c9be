"""Starts of models that store items alone: the whole budget goes to their rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import SparseTable
from sparserec_np.factorization.pruning import Factors, prune_factors
from sparserec_np.machine.threads import one_blas_thread
from sparserec_np.starts.spectral import Spectral
from sparserec_np.starts.uniform import Uniform


@dataclass(frozen=True)
class SpectralItems:
    """The items' side of the spectral start, pruned on its own.

    With the factors ``w_i = d_i^1/2 v_i`` of :class:`~sparserec_np.starts.spectral.Spectral`, a
    user who is the sum of ``w_j / d_j`` over what they touched scores as that start does before it
    is pruned. No floor is kept: held-out data rate the lists alike.

    Attributes:
        first: makes the factors.
        floor: entries that every row keeps, where the budget allows it.
    """

    first: Spectral = Spectral()
    floor: int = 0
    from_data: bool = True

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes a table of ``log.n_items`` rows; see :class:`~sparserec_np.starts.start.Start`."""
        with one_blas_thread():
            _, items = self.first.items(log, dim, rng, threads)
            return prune_factors(Factors(items, items, 0, log.n_items), nnz, self.floor)


@dataclass(frozen=True)
class UniformItems:
    """The start at random, of items alone.

    Attributes:
        first: draws the rows.
    """

    first: Uniform = Uniform()
    from_data: bool = False

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes a table of ``log.n_items`` rows; see :class:`~sparserec_np.starts.start.Start`."""
        return self.first.rows(log.n_items, dim, nnz, rng)
