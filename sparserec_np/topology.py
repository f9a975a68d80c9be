"""Topology updates: prune the smallest entries, regrow as many elsewhere. The number of stored entries never changes.

Pruning by magnitude and regrowing at one stroke is dynamic sparse training at large (Mocanu et al. 2018; Evci
et al. 2020); the floor a row keeps, and what a regrown entry starts with, are our choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sparserec_np.growth import Explored, Growth
from sparserec_np.optimizers import Carry
from sparserec_np.table import Array, SparseTable


@dataclass(frozen=True)
class TopologyChange:
    """How the entries of one table become those of the next.

    Attributes:
        kept: (nnz,) bool, which entries stay.
        places: (g,) where the regrown ones go, as ``numpy.insert`` takes it, among those kept.
    """

    kept: Array
    places: Array

    def carry(self, state: Array, grown: npt.ArrayLike) -> Array:
        """An array of one value per entry, after the change; see :class:`~sparserec_np.optimizers.Carry`."""
        return np.insert(state[self.kept], self.places, grown)


def prunable(table: SparseTable, inside: Array | None, floor: int) -> Array:
    """Places (p,), ascending, of the entries that may go: all but the ``floor`` largest of each row.

    Args:
        inside: (rows,) bool, the rows that may lose entries; all by default.
    """
    sizes = np.diff(table.indptr)
    within = np.ones(table.rows, dtype=bool) if inside is None else inside
    places = np.flatnonzero(np.repeat(within, sizes))
    if floor <= 0:
        return places
    sizes = sizes[within & (sizes > 0)]
    rows = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    starts = np.cumsum(sizes) - sizes
    left = np.abs(table.values[places])
    for _ in range(floor):  # the largest left of each row; of equal ones the first
        largest = np.flatnonzero(left == np.repeat(np.maximum.reduceat(left, starts), sizes))
        left[largest[np.diff(rows[largest], prepend=-1) > 0]] = -1
    return places[left >= 0]


def smallest(table: SparseTable, places: Array, count: int) -> Array:
    """Those ``count`` of ``places`` (p,) whose values are smallest in magnitude; of equal ones the first."""
    magnitudes = np.abs(table.values[places])
    if count >= len(places):
        return places
    kth = np.partition(magnitudes, count - 1)[count - 1] if count else 0
    below = magnitudes < kth
    ties = np.flatnonzero(magnitudes == kth)[: count - int(np.count_nonzero(below))]
    below[ties] = True
    return places[below]


def prune(table: SparseTable, count: int, floor: int = 1) -> tuple[SparseTable, Array]:
    """The table of the ``count`` largest entries, and which were kept, (nnz,) bool.

    Args:
        count: at most ``table.nnz``.
        floor: entries that each row keeps, as far as it has them and ``count`` allows it.
    """
    floor = min(floor, count // table.rows)
    kept = np.ones(table.nnz, dtype=bool)
    kept[smallest(table, prunable(table, None, floor), table.nnz - count)] = False
    indptr = np.append(0, np.cumsum(kept))[table.indptr].astype(table.indptr.dtype)
    return SparseTable(indptr, table.columns[kept], table.values[kept]), kept


class FollowsEntries(Protocol):
    """Anything with a value beside each stored entry, such as an optimizer."""

    def carry(self, move: Carry, row_means: Callable[[Array], Array]) -> None:
        """See :meth:`~sparserec_np.optimizers.Optimizer.carry`."""
        ...


@dataclass(frozen=True)
class TopologyUpdate:
    """Prunes and regrows.

    Attributes:
        floor: entries that a row never loses.
        start: a regrown entry starts against its gradient, at this part of the largest magnitude that was
            pruned. At zero it could not learn where its partners' entries are zero too: the gradient of
            ``u_c`` is ``i_c - j_c``.
    """

    floor: int = 1
    start: float = 0.5

    def __call__(
        self,
        table: SparseTable,
        growth: Growth,
        explored: Explored,
        fraction: float,
        state: FollowsEntries,
        rng: np.random.Generator,
    ) -> tuple[SparseTable, int]:
        """One update.

        Args:
            table: the table before; left as it is.
            growth: which entries grow.
            explored: gradients summed since the last update.
            fraction: of the entries within reach, how many change.
            state: what lies beside the entries and follows them.

        Returns:
            The table after, with as many entries, and how many of them are new.
        """
        inside = explored.slots >= 0 if growth.local else None
        free = prunable(table, inside, self.floor)
        within = table.nnz if inside is None else int(np.diff(table.indptr)[inside].sum())
        count = min(int(fraction * within), len(free), growth.candidates(table, explored))
        if count == 0:
            return table, 0
        drop = smallest(table, free, count)
        largest = float(np.abs(table.values[drop]).max())
        grown = growth.grow(table, explored, count, rng)
        kept = np.ones(table.nnz, dtype=bool)
        kept[drop] = False
        dim = explored.sums.shape[1]
        before = (table.row_numbers().astype(np.int64) * dim + table.columns)[kept]
        change = TopologyChange(
            kept, np.searchsorted(before, grown.rows.astype(np.int64) * dim + grown.columns)
        )
        signs = -np.sign(grown.gradients)
        if not signs.any():  # growth at random: so is the direction
            signs = rng.choice(np.array([-1, 1], dtype=np.float32), count)
        indptr = np.append(0, np.cumsum(kept))[table.indptr]
        indptr[1:] += np.cumsum(np.bincount(grown.rows, minlength=table.rows))
        after = SparseTable(
            indptr.astype(table.indptr.dtype),
            change.carry(table.columns, grown.columns.astype(table.columns.dtype)),
            change.carry(table.values, signs.astype(table.values.dtype) * self.start * largest),
        )

        def row_means(state: Array) -> Array:
            sums = np.bincount(table.row_numbers(), weights=state, minlength=table.rows)
            means: Array = (sums / np.maximum(np.diff(table.indptr), 1))[grown.rows].astype(state.dtype)
            return means

        state.carry(change.carry, row_means)
        return after, count
