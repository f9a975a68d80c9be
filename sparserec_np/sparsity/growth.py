"""Growth: which rows' inactive entries get a gradient, and which inactive entries become active.

A training method differs from another in nothing but its growth. Accumulating gradients over
batches is the paper's idea (arXiv 2411.12205, abstract); the last batch alone is RigL's (Evci et
al. 2020) and DSL's (Wang et al. 2024), random growth SET's (Mocanu et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Explored
from sparserec_np.sparsity.exploration import Exploration


class Grown(NamedTuple):
    """Entries that are to become active, by row and then by column.

    Attributes:
        rows: (g,) int32.
        columns: (g,) of the dtype of the table's.
        gradients: (g,) float32, the summed gradient; 0 where growth did not look at any.
    """

    rows: Array
    columns: Array
    gradients: Array


class Growth(Protocol):
    """A way to choose which rows are explored and which inactive entries become active."""

    @property
    def grows(self) -> bool:
        """Whether the mask changes at all."""
        ...

    @property
    def prunes_explored_only(self) -> bool:
        """Whether pruning stays inside the explored rows.

        Pruned and not explored, the others would run empty.
        """
        ...

    @property
    def sums_gradients(self) -> bool:
        """Whether it looks at gradients that were summed from one update to the next."""
        ...

    def explore(self, degrees: Array, norms: Array, waiting: Array, rng: np.random.Generator) -> Array:
        """Chooses the rows to explore from now to the next topology update, (m,) int32.

        ``waiting`` (rows,) bool says which have not been explored in this round, and is brought up
        to date.
        """
        ...

    def explore_last(self, touched: Array) -> Array:
        """Chooses the rows to explore in the last batch before a topology update, (m,) int32.

        ``touched`` are the rows that this batch touches.
        """
        ...

    def grow(self, table: SparseTable, explored: Explored, count: int, rng: np.random.Generator) -> Grown:
        """Chooses ``count`` inactive entries, or as many as there are to choose from."""
        ...


NO_ROWS = np.empty(0, dtype=np.int32)


@dataclass(frozen=True)
class NoGrowth:
    """The growth of a mask that never changes: none."""

    grows: bool = False
    prunes_explored_only: bool = False
    sums_gradients: bool = False

    def explore(self, degrees: Array, norms: Array, waiting: Array, rng: np.random.Generator) -> Array:
        """Chooses no row."""
        return NO_ROWS

    def explore_last(self, touched: Array) -> Array:
        """Chooses no row."""
        return NO_ROWS

    def grow(self, table: SparseTable, explored: Explored, count: int, rng: np.random.Generator) -> Grown:
        """Chooses no entry."""
        return Grown(NO_ROWS, table.columns[:0], np.empty(0, np.float32))


@dataclass(frozen=True)
class RandomGrowth(NoGrowth):
    """Growth of inactive entries anywhere, with equal chances (SET)."""

    grows: bool = True

    def grow(self, table: SparseTable, explored: Explored, count: int, rng: np.random.Generator) -> Grown:
        """Draws ranks among the inactive entries; in the memory of the entries stored and drawn."""
        dim = explored.sums.shape[1]
        active = table.row_numbers().astype(np.int64) * dim + table.columns
        free = table.rows * dim - table.nnz
        ranks = distinct(free, min(count, free), rng)
        # active[k] - k inactive entries lie before the k-th active one: as many active ones lie
        # before a rank.
        active -= np.arange(len(active))
        places = ranks + np.searchsorted(active, ranks, side="right")
        rows, columns = np.divmod(places, dim)
        return Grown(
            rows.astype(np.int32), columns.astype(table.columns.dtype), np.zeros(len(ranks), np.float32)
        )


@dataclass(frozen=True)
class AccumulatedGrowth:
    """Growth where the gradient summed over batches is largest, in explored rows.

    Attributes:
        exploration: which rows, drawn anew after every topology update.
    """

    exploration: Exploration = Exploration()
    grows: bool = True
    prunes_explored_only: bool = True
    sums_gradients: bool = True

    def explore(self, degrees: Array, norms: Array, waiting: Array, rng: np.random.Generator) -> Array:
        """Draws rows by importance, none again before all were drawn."""
        return self.exploration.draw(degrees, norms, waiting, rng)

    def explore_last(self, touched: Array) -> Array:
        """Chooses no others than before: their sums go on."""
        return NO_ROWS

    def grow(self, table: SparseTable, explored: Explored, count: int, rng: np.random.Generator) -> Grown:
        """Chooses the entries with the largest sums in magnitude, none whose sum is zero.

        Of equal ones the first by row and column.
        """
        found = Grown(
            np.empty(count, np.int32), np.empty(count, table.columns.dtype), np.empty(count, np.float32)
        )
        kept = kernels.topology.largest_inactive(table, explored, count, *found)
        return Grown(*(array[:kept] for array in found))


@dataclass(frozen=True)
class LastBatchGrowth(AccumulatedGrowth):
    """Growth where the last batch's gradient is largest, in all rows that it touches (RigL)."""

    prunes_explored_only: bool = False
    sums_gradients: bool = False

    def explore(self, degrees: Array, norms: Array, waiting: Array, rng: np.random.Generator) -> Array:
        """Chooses no row: only the last batch counts."""
        return NO_ROWS

    def explore_last(self, touched: Array) -> Array:
        """Chooses all rows that the batch touches, ascending."""
        return np.sort(touched)


def distinct(below: int, count: int, rng: np.random.Generator) -> Array:
    """Draws ``count`` distinct numbers from 0 to ``below`` - 1, ascending, int64.

    All sets of them are equally likely.

    Memory goes with ``count`` alone, where ``Generator.choice`` would list all numbers.
    """
    few = min(count, below - count)  # of more than half of the numbers, those left out are drawn
    found = np.empty(0, dtype=np.int64)
    while len(found) < few:
        found = np.concatenate([found, rng.integers(below, size=2 * (few - len(found)) + 16)])
        found = found[np.sort(np.unique(found, return_index=True)[1])]
    found = np.sort(found[:few])
    return found if few == count else np.delete(np.arange(below), found)
