"""All training pairs, one after another, in an order that threads can share out: cells of strata.

Stochastic gradient descent on single pairs learns from each pair at once, and reads three rows for it; what it
costs on top is an order in which no two threads meet in a row (Gemulla et al. 2011).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array

PARTS = 8  # of users, and of items: no more threads than this find work; fixed, as the bits depend on it
PART_ITEMS = 64  # at least, on average: a negative comes from a part
NEIGHBOURS = (
    32  # items that stay together: their rows share cache lines, which threads would take from each other
)
TOGETHER = 8  # pairs of a user that share one step of the user's row
NARROW = 1 << 16  # users of a range, and items, that two bytes number
BLOCK_LOSSES = ("bpr_block", "softmax_block")  # that a kernel knows by their places here


class Cells(NamedTuple):
    """The training pairs by range of users and part of items. Goes into kernels as it is.

    Attributes:
        bounds: (parts^2 + 1,) int64; pairs ``bounds[p * parts + q]`` and on are those of range p and part q.
        users, positives: (n,) the user, counted from the first of its range, and the item (not its row) of each pair;
            uint16 where that is enough for all, or int32.
        members: (items,) int32, the items by part.
        starts: (parts + 1,) int64; ``members[starts[q]:starts[q + 1]]`` are those of part q, in random order.
        ranges: (parts + 1,) int64; users ``ranges[p]`` to ``ranges[p + 1] - 1`` are the range p.
    """

    bounds: Array
    users: Array
    positives: Array
    members: Array
    starts: Array
    ranges: Array


class Steps(NamedTuple):
    """How rows move. Goes into kernels as it is.

    Attributes:
        rates: (parts,) learning rate of each stratum.
        decay: (3,) L2 weights of the user, the positive and the negative of a pair.
        origin: (nnz,) what these draw the values to; empty for zero.
        squares: (nnz,) sums of squared gradients, for Adagrad; empty for plain descent.
        together: most pairs of a user that share one step of the user's row.
    """

    rates: Array
    decay: Array
    origin: Array
    squares: Array
    together: int


class Shared(NamedTuple):
    """Blocks of negatives. Goes into kernels as it is.

    Attributes:
        loss: its number among :data:`BLOCK_LOSSES`.
        batch: pairs of a cell that share a block.
        negatives: items in a block.
    """

    loss: int
    batch: int
    negatives: int


class Strata:
    """Puts the training pairs into cells, with other parts of items for every sweep.

    Attributes:
        log: the training interactions.
        parts: number of parts, of ranges and of strata; it depends on the interactions alone.
    """

    def __init__(self, log: Interactions) -> None:
        self.log = log
        self.parts = max(1, min(PARTS, log.n_items // PART_ITEMS, log.n_users))
        even = np.arange(1, self.parts) * (log.n_interactions / self.parts)
        inner = np.searchsorted(log.indptr, even)
        ranges = np.concatenate([[0], inner, [log.n_users]]).astype(np.int64)
        narrow = max(log.n_items, int(np.diff(ranges).max())) <= NARROW
        kind = np.uint16 if narrow else np.int32
        self._part_of = np.empty(log.n_items, dtype=np.uint8)
        self._cells = Cells(
            np.empty(self.parts**2 + 1, dtype=np.int64),
            np.empty(log.n_interactions, dtype=kind),
            np.empty(log.n_interactions, dtype=kind),
            np.arange(log.n_items, dtype=np.int32),
            np.zeros(self.parts + 1, dtype=np.int64),
            ranges,
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the cells: 4 or 8 for each pair and 5 for each item."""
        return sum(array.nbytes for array in self._cells) + self._part_of.nbytes

    def cells(self, rng: np.random.Generator) -> Cells:
        """The cells of a new division of the items. They are those of the last call, overwritten."""
        from sparserec_np.kernels.compiled.cells import fill_cells

        cells, n_items = self._cells, self.log.n_items
        together = max(1, min(NEIGHBOURS, n_items // (8 * self.parts)))
        groups = np.arange(-(-n_items // together)) * self.parts // -(-n_items // together)
        self._part_of[:] = np.repeat(rng.permutation(groups), together)[:n_items]
        rng.shuffle(cells.members)
        cells.members[:] = cells.members[np.argsort(self._part_of[cells.members], kind="stable")]
        np.cumsum(np.bincount(self._part_of, minlength=self.parts), out=cells.starts[1:])
        fill_cells(self.log.indptr, self.log.items, cells.ranges, self._part_of, cells)
        return cells
