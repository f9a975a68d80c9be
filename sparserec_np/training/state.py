"""The state of a training: a table, what lies beside its entries, and sums of gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.optimizers import Optimizer
from sparserec_np.models.model import Decay, Model
from sparserec_np.sparsity.topology import Carry

NO_ORIGIN = np.empty(0, np.float32)


class EntryState:
    """What lies beside the stored entries while they are trained.

    It follows them through a topology update.

    Attributes:
        optimizer: the optimizer, which holds the moments.
        origin: (nnz,) what L2 terms draw the values towards, 0 for regrown entries; empty where it
            is 0 for all. What was given is not written to: it is copied when entries first change.
    """

    def __init__(self, optimizer: Optimizer, origin: Array) -> None:
        self.optimizer = optimizer
        self.origin = origin
        self._owned = False

    def take_origin(self, origin: Array) -> None:
        """Takes an origin that is nobody else's."""
        self.origin, self._owned = origin, True

    def carry(self, move: Carry, row_means: Callable[[Array], Array]) -> None:
        """Takes the moments and the origin through a topology update.

        See :meth:`~sparserec_np.learning.optimizers.Optimizer.carry`.
        """
        self.optimizer.carry(move, row_means)
        if len(self.origin):
            origin = self.origin if self._owned else self.origin.copy()
            self.take_origin(move(origin, origin.dtype.type(0)))

    def curvature(self, table: SparseTable) -> Array:
        """Sums each entry's squared gradients, as the optimizer knows them."""
        return self.optimizer.curvature(table)


@dataclass
class Training:
    """Everything that an epoch changes.

    Attributes:
        model: the model, whose table and weights change.
        state: what lies beside the stored entries.
        explored: gradients summed since the last topology update.
        norms: (rows,) norms of the rows' gradients, summed likewise; empty where nobody asks for
            them.
        waiting: (rows,) bool, the rows not yet explored in the round at hand; empty where the mask
            never changes.
        decay: L2 weights, and what they draw to.
        explored_bytes: most that ``explored`` has taken.
        unit: what the rates of stored values are counted in; weights begin at about 1, and theirs
            are counted in that.
        margin: how many times the worth of what is pruned what regrows for it has to have, with
            squared gradients summed from one topology update to the next.
    """

    model: Model
    state: EntryState
    explored: Explored
    norms: Array
    waiting: Array
    decay: Decay
    explored_bytes: int = 0
    unit: float = 1.0
    margin: float = 0.0

    def explore(self, rows: Array) -> None:
        """Starts new sums of gradients, for ``rows`` (m,)."""
        self.explored = Explored.of(rows, self.model.table.rows, self.model.dim)
        self.explored_bytes = max(self.explored_bytes, self.explored.nbytes + self.waiting.nbytes)

    def is_finite(self) -> bool:
        """Tells whether all stored values and weights are still finite."""
        return bool(np.isfinite(self.model.table.values).all() and np.isfinite(self.model.weights).all())
