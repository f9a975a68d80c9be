"""The NamedTuples that go into kernels as they are, and the widths of arrays that kernels expect.

A kernel takes them apart at its door: Numba runs a parallel loop that reads a tuple on one thread.
Tables go in as :class:`~sparserec_np.data.table.SparseTable`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable, index_dtype

STRIP_COLUMNS = 16  # columns that are summed in a register: 64 bytes of float32, a cache line
BLOCK_COLUMNS = 32  # columns of a step over the graph: two lines, which the processor fetches as a pair

NO_TRUSTS = np.empty(0, dtype=np.float32)  # all count 1


class Rows(NamedTuple):
    """The rows of a table, or the first entries of each, where these mean something else than the rest.

    Attributes:
        starts, ends: (n,) integers; the entries of row r are those from ``starts[r]`` to
            ``ends[r]``.
        columns, values: (nnz,) those of the whole table.
    """

    starts: Array
    ends: Array
    columns: Array
    values: Array

    @classmethod
    def of(cls, table: SparseTable) -> Rows:
        """Takes the whole rows of a table."""
        return cls(table.indptr[:-1], table.indptr[1:], table.columns, table.values)


class Pairs(NamedTuple):
    """Pairs of items that stand once in a table and speak both ways, seen from each of their items.

    Attributes:
        bounds: (n_items + 1,) integers; those of item i are ``bounds[i]`` to ``bounds[i + 1] - 1``.
        others: (n,) int32, the other item of each, which rise for an item; one that stands in both
            orders comes twice.
        sources: (n,) integers, where the pair's value stands; twice the same for two items.
    """

    bounds: Array
    others: Array
    sources: Array

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return int(self.bounds.nbytes + self.others.nbytes + self.sources.nbytes)


class Found(NamedTuple):
    """What of a batch's pairs of users and items stored pairs of items say something to.

    Attributes:
        begins: (m + 1,) int64; the pair m of a user and an item has room from ``begins[m]`` on.
        counts: (m,) int32, how much of it is filled.
        places: (n,) int32, places in :class:`Pairs`.
        shares: (n,) float32, how much the user's touching of the other item counts.
    """

    begins: Array
    counts: Array
    places: Array
    shares: Array


class Explored(NamedTuple):
    """The gradient of every entry, summed over batches, for a few rows.

    Attributes:
        slots: (rows,) int32, the place of a row in ``sums``, -1 for rows that are not explored.
        sums: (m, dim) sums of the gradients.
    """

    slots: Array
    sums: Array

    @classmethod
    def of(cls, rows: Array, n_rows: int, dim: int, dtype: npt.DTypeLike = np.float32) -> Explored:
        """Makes sums of zero for ``rows`` (m,)."""
        slots = np.full(n_rows, -1, dtype=np.int32)
        slots[rows] = np.arange(len(rows), dtype=np.int32)
        return cls(slots, np.zeros((len(rows), dim), dtype=dtype))

    @property
    def rows(self) -> Array:
        """(m,) int32 explored rows, in the order of their slots."""
        rows = np.flatnonzero(self.slots >= 0).astype(np.int32)
        return rows[np.argsort(self.slots[rows], kind="stable")]

    @property
    def nbytes(self) -> int:
        """Bytes of both arrays."""
        return int(self.slots.nbytes + self.sums.nbytes)


class Cells(NamedTuple):
    """The training pairs by range of users and part of items.

    Attributes:
        bounds: (parts^2 + 1,) int64; pairs ``bounds[p * parts + q]`` and on are those of range p
            and part q.
        users, positives: (n,) the user, counted from the first of its range, and the item (not its
            row) of each pair; uint16 where that is enough for all, or int32.
        members: (items,) int32, the items by part.
        starts: (parts + 1,) int64; ``members[starts[q]:starts[q + 1]]`` are those of part q, in
            random order.
        ranges: (parts + 1,) int64; users ``ranges[p]`` to ``ranges[p + 1] - 1`` are the range p.
        weights: (n,) float32 what each pair's loss is multiplied by; empty where all weigh alike.
    """

    bounds: Array
    users: Array
    positives: Array
    members: Array
    starts: Array
    ranges: Array
    weights: Array = NO_TRUSTS


class Steps(NamedTuple):
    """How the rows of a table move while its pairs are gone through in cells.

    Attributes:
        rates: (parts,) learning rate of each turn, the cells that are worked on at once.
        decay: (3,) L2 weights of the user, the positive and the negative of a pair.
        origin: (nnz,) what these draw the values to; empty for zero.
        squares: (nnz,) sums of squared gradients, for Adagrad; empty for plain descent.
    """

    rates: Array
    decay: Array
    origin: Array
    squares: Array


class Single(NamedTuple):
    """Single negatives, one for each pair of a cell.

    Attributes:
        seed: uint64, what they are drawn by.
        group: most pairs that are scored before their rows move.
    """

    seed: np.uint64
    group: int


class Shared(NamedTuple):
    """Blocks of negatives that the pairs of a cell share.

    Attributes:
        loss: its number among :data:`~sparserec_np.learning.cells.BLOCK_LOSSES`.
        batch: pairs of a cell that share a block.
        negatives: items in a block.
        run: most pairs of a user that share one step of the user's row.
    """

    loss: int
    batch: int
    negatives: int
    run: int


class Moments(NamedTuple):
    """The state of Adam: moving means of gradients and of their squares.

    Attributes:
        first, second: (nnz,) moving means of the gradients and of their squares.
        steps: (rows,) int32, the steps that each row has made.
    """

    first: Array
    second: Array
    steps: Array


class Equations(NamedTuple):
    """Least-squares problems, one for each row of a side.

    See ``kernels/reference/least_squares.py``.

    Attributes:
        others: (m, dim) rows of the other side.
        indptr, touched, aims: CSR of which others each row touched and what they are to score: y,
            float32.
        gram: G, (dim, dim) float64.
        ridges: r, (n,) float64, above 0.
        full: p of each row, (n, width) float32; width may be 0.
        cross: C, (width, dim) float64.
        trusts: how much each of ``touched`` counts, float32; empty where all count 1.
    """

    others: SparseTable
    indptr: Array
    touched: Array
    aims: Array
    gram: Array
    ridges: Array
    full: Array
    cross: Array
    trusts: Array = NO_TRUSTS


class Graph(NamedTuple):
    """Users and items as one graph; rows are those of the stacked table.

    Attributes:
        indptr: (rows + 1,) bounds of the rows in ``neighbours``.
        neighbours: (2 n_interactions,) int32.
    """

    indptr: Array
    neighbours: Array

    @classmethod
    def of(cls, log: Interactions) -> Graph:
        """Makes the graph of the interactions."""
        bounds, users = log.by_item()
        indptr = np.concatenate([log.indptr, log.indptr[-1] + bounds[1:]])
        neighbours = np.concatenate([log.items + np.int32(log.n_users), users])
        return cls(indptr.astype(index_dtype(len(neighbours))), neighbours)

    @property
    def nbytes(self) -> int:
        """Bytes of both arrays."""
        return int(self.indptr.nbytes + self.neighbours.nbytes)


class Strip(NamedTuple):
    """Some columns of a table whose rows go in another order, and what is stored in them.

    Attributes:
        first: number of the first column.
        order: (rows,) int32, the row at each place.
        begins: (rows,) integers, by place: the row's first entry that is not left of ``first``.
            Kernels move them on to the end of the columns that they have read.
    """

    first: int
    order: Array
    begins: Array


class Head(NamedTuple):
    """The dense weights of NeuMF above its first layer.

    Attributes:
        hidden: (h1, h2) from the first layer to the second.
        bias: (h2,) of the second layer.
        out: (h2,) from the second layer to the score.
    """

    hidden: Array
    bias: Array
    out: Array


class ItemBlocks(NamedTuple):
    """The items of a table by dimension, reordered into blocks of 64.

    Made and read by ``kernels.ranking`` alone.

    Attributes:
        order: (n_items,) int32, item numbers in block order: block b holds ``order[64 * b : 64 * (b
            + 1)]``.
        position: (n_items,) int32, where in ``order`` each item is.
        least: (blocks,) int32, the lowest item number of each block.
        begins: (blocks * dim + 1,) int64, the entries of block b and dimension c start at
            ``begins[b * dim + c]``:
            64 of them, in order of place and zeros among them, where the block stores that
            dimension whole.
        places: (entries,) uint8, each entry's item as a place in its block.
        values: (entries,) each entry's value.
        extremes: (2 * dim * lines * 64,) the largest (row 2c) and the smallest (row 2c + 1) value
            of each block in dimension c, one row after the other, an absent entry counting as zero;
            a line is 64 blocks.
    """

    order: Array
    position: Array
    least: Array
    begins: Array
    places: Array
    values: Array
    extremes: Array


class ShortLists(NamedTuple):
    """Dimensions that list too few items to be bounded.

    Made and read by ``kernels.ranking`` alone. Places are those of ItemBlocks.

    Attributes:
        indptr: (lists + 1,) where the entries of each dimension begin.
        places: (entries,) int32 each entry's item as a place in the order of blocks.
        values: (entries,) each entry's value.
    """

    indptr: Array
    places: Array
    values: Array


class Chains(NamedTuple):
    """Items for which a user's row holds more than bounds know of: what is added to each, in order.

    Made and read by ``kernels.ranking`` alone.

    Attributes:
        numbers: (n_items,) int32 the chain of the item at each place, or -1.
        places: (chains,) int32 the place of the item of each.
        bounds: (chains + 64,) what the item's score does not exceed.
        first, last: (chains,) int32 links of each.
        next: (links,) int32 the link behind each, or -1.
        added: (links,) what each adds.
    """

    numbers: Array
    places: Array
    bounds: Array
    first: Array
    last: Array
    next: Array
    added: Array
