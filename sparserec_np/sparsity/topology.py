"""Topology updates: prune the smallest entries, regrow as many elsewhere.

The number of stored entries never changes.

Pruning by magnitude and regrowing at one stroke is dynamic sparse training at large (Mocanu et al.
2018; Evci et al. 2020); the floor a row keeps, and what a regrown entry starts with, are our
choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sparserec_np import kernels
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Explored
from sparserec_np.sparsity.exchange import best_exchanges, best_of_kinds, divide_by_roots, kind_of
from sparserec_np.sparsity.growth import NO_ROWS, Grown, Growth

NO_CURVATURE = np.empty(0, np.float32)
SAMPLED = 1 << 16  # entries whose median stands for that of all


def prune(table: SparseTable, count: int, floor: int = 1) -> tuple[SparseTable, Array]:
    """Makes the table of the ``count`` largest entries, and says which were kept, (nnz,) bool.

    Args:
        count: at most ``table.nnz``.
        floor: entries that each row keeps, as far as it has them and ``count`` allows it.
    """
    kept, indptr = np.empty(table.nnz, dtype=bool), np.empty_like(table.indptr)
    kernels.topology.mark_prunable(
        table, np.ones(table.rows, dtype=bool), min(floor, count // table.rows), kept
    )
    kernels.topology.keep_larger(table.values, table.nnz - count, kept)
    kernels.topology.merge(table, kept, NO_ROWS, table.columns[:0], indptr, np.empty(0, np.int64))
    return SparseTable(indptr, table.columns[kept], table.values[kept]), kept


def _against(gradients: Array, rng: np.random.Generator) -> Array:
    """Finds the signs against gradients (n,); random ones where there are none, as in random growth."""
    if gradients.any():
        return -np.sign(gradients)
    return rng.choice(np.array([-1, 1], dtype=np.float32), len(gradients))


class Carry(Protocol):
    """A way to take an array of one value for each stored entry through a topology update."""

    def __call__(self, state: Array, grown: npt.ArrayLike) -> Array:
        """Makes ``state`` (nnz,) fit the new entries: kept ones move, regrown ones get ``grown``.

        May overwrite ``state``, and return it.
        """
        ...


class FollowsEntries(Protocol):
    """Anything with a value beside each stored entry, such as an optimizer."""

    def carry(self, move: Carry, row_means: Callable[[Array], Array]) -> None:
        """Takes what it holds through a topology update, as an optimizer does its state."""
        ...

    def curvature(self, table: SparseTable) -> Array:
        """Sums each entry's squared gradients, (nnz,); empty where nobody keeps them."""
        ...


@dataclass(frozen=True)
class TopologyUpdate:
    """A change of which entries are stored: the smallest are pruned, and as many regrow.

    Attributes:
        floor: entries that a row never loses.
        start: a regrown entry starts against its gradient, at this part of the largest magnitude
            that was pruned. At zero it could not learn where its partners' entries are zero too:
            the gradient of ``u_c`` is ``i_c - j_c``. With a margin it is at most this part of the
            median of what is stored: what is worth least is not what is smallest.
        margin: how many times the worth of what is pruned what regrows for it has to have
            (:mod:`~sparserec_np.sparsity.exchange`), where growth sums gradients; 0 for no such
            test.
        kinds: columns at which another kind of columns begins, which no partner's entries multiply.
            With a margin, entries are exchanged for entries of the same kind, and those that no
            partner multiplies start at zero, from where they learn.
    """

    floor: int = 1
    start: float = 0.5
    margin: float = 0.0
    kinds: tuple[int, ...] = ()

    def __call__(
        self,
        table: SparseTable,
        growth: Growth,
        explored: Explored,
        fraction: float,
        state: FollowsEntries,
        rng: np.random.Generator,
    ) -> int:
        """Prunes and regrows once, in place.

        Memory: what growth takes, a byte an entry, the rows' bounds and what changes; with a
        margin the curvature and the worth of what is within reach as well.

        The table is rewritten at one stroke: who is interrupted has it as it was before or as it is
        afterwards.

        Args:
            table: overwritten, all three arrays.
            growth: which entries grow.
            explored: gradients summed since the last update; with a margin they are overwritten.
            fraction: of the entries within reach, how many change at most.
            state: what lies beside the entries and follows them.

        Returns:
            How many entries are new.
        """
        kept, most = self._prunable(table, growth, explored, fraction)
        curvature = state.curvature(table) if self.margin > 0 and growth.sums_gradients else NO_CURVATURE
        if len(curvature):
            divide_by_roots(table, explored, curvature, self.kinds)
            new = self._that_pay(table, growth.grow(table, explored, most, rng), curvature, kept)
        else:
            new = growth.grow(table, explored, most, rng)
        count = len(new.rows)
        if count == 0:
            return 0
        if len(curvature):
            size = self._sizes(table, kept, new.columns)
        else:
            size = kernels.topology.keep_larger(table.values, count, kept)
        indptr, places = np.empty_like(table.indptr), np.empty(count, np.int64)
        kernels.topology.merge(table, kept, new.rows, new.columns, indptr, places)
        signs = _against(new.gradients, rng)

        def carry(state: Array, grown: npt.ArrayLike) -> Array:
            kernels.topology.move(
                state, kept, places, np.broadcast_to(np.asarray(grown, state.dtype), count).copy()
            )
            return state

        def row_means(state: Array) -> Array:
            means = np.empty(count, state.dtype)
            kernels.topology.row_means(table.indptr, state, new.rows, means)
            return means

        state.carry(carry, row_means)
        values = signs.astype(table.values.dtype) * self.start * size
        kernels.topology.rewrite(table, kept, places, new.columns, values.astype(table.values.dtype), indptr)
        return count

    def _prunable(
        self, table: SparseTable, growth: Growth, explored: Explored, fraction: float
    ) -> tuple[Array, int]:
        """Marks the entries that are kept in any case, (nnz,) bool, and says how many may change."""
        inside = explored.slots >= 0 if growth.prunes_explored_only else np.ones(table.rows, dtype=bool)
        kept = np.empty(table.nnz, dtype=bool)
        free = kernels.topology.mark_prunable(table, inside, self.floor, kept)
        within = int(np.diff(table.indptr)[inside].sum())
        return kept, min(int(fraction * within), free)

    def _sizes(self, table: SparseTable, kept: Array, columns: Array) -> Array:
        """Finds the magnitudes (n,) that entries regrown in ``columns`` (n,) start at a part of."""

        def multiplied(entries: Any) -> Array:
            own = kind_of(self.kinds, table.columns[entries]) == 0
            return np.abs(table.values[entries][own])

        pruned, stored = multiplied(~kept), multiplied(slice(None, None, -(-table.nnz // SAMPLED)))
        size = min(pruned.max(initial=0), np.median(stored) if len(stored) else np.inf)
        return np.where(kind_of(self.kinds, columns) == 0, size, 0)

    def _that_pay(self, table: SparseTable, new: Grown, curvature: Array, kept: Array) -> Grown:
        """Leaves those of ``new`` that are worth their place, and all but as many entries ``kept``."""
        free = np.flatnonzero(~kept)
        sizes, gains = np.abs(table.values[free]) * np.sqrt(curvature[free]), np.abs(new.gradients)
        if self.kinds:
            columns = table.columns[free], new.columns
            going, coming = best_of_kinds(sizes, gains, columns, self.kinds, self.margin)
        else:
            going, coming = best_exchanges(sizes, gains, self.margin)
        kept[:] = True
        kept[free[going]] = False
        return Grown(*(array[coming] for array in new))
