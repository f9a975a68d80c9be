"""The start from a non-negative matrix factorisation, as the paper's abstract states it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.matrices import matrix_of_trust
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.errors import DataError
from sparserec_np.factorization.pruning import Factors, prune_factors, widened
from sparserec_np.machine.threads import one_blas_thread


@dataclass(frozen=True)
class NMF:
    """Non-negative matrix factorisation ``R ~ W H`` of the interactions, pruned (scikit-learn).

    The largest entries are kept. The values are the square roots of the factors, which agree in
    sign, so that a user and the items they share columns with score above zero from the first batch
    on. Where interactions have weights, R holds these, divided by their mean.

    Attributes:
        iterations: of scikit-learn's coordinate descent, from non-negative parts of singular
            vectors; more of them hardly fit better (docs/speed.md).
        floor: entries that every row keeps, where the budget allows it.
    """

    iterations: int = 10
    floor: int = 1
    from_data: bool = True

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes the table of the start; see :class:`~sparserec_np.starts.start.Start`."""
        from sklearn.decomposition import NMF as Factorisation

        matrix = matrix_of_trust(log)
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
                return widened(np.sqrt(factors[start:stop].astype(np.float32, copy=False)), dim)

            def items(start: int, stop: int) -> Array:
                return widened(np.sqrt(components[start:stop].astype(np.float32)), dim)

            return prune_factors(Factors(users, items, log.n_users, log.n_items), nnz, self.floor)
