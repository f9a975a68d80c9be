"""Training pairs in cells, an order in which threads go through pairs and never share a row.

Stochastic gradient descent on single pairs learns from each pair at once, and reads three rows for
it; what it costs on top is such an order (the strata of Gemulla et al. 2011).
"""

from __future__ import annotations

import itertools

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.kernels.arguments import NO_TRUSTS, Cells

MOST_PARTS = 8  # of users, and of items: no more threads find work; fixed, as the bits depend on it
PART_ITEMS = 64  # at least, on average: a negative comes from a part
NEIGHBOURS = (
    32  # items that stay together: their rows share cache lines, which threads would take from each other
)
GROUP = 32  # pairs of a cell that are scored before their rows move
RUN = 8  # pairs of a user that share one step of its row, with blocks of negatives
NARROW = 1 << 16  # users of a range, and items, that two bytes number
BLOCK_LOSSES = ("bpr_block", "softmax_block")  # that a kernel knows by their places here


class CellDivision:
    """The training pairs divided into cells, with other parts of items for every sweep.

    Users are divided into ranges, items into as many parts; a cell holds the pairs of one range and
    one part. A sweep takes as many turns as there are parts, and works in each on cells that have
    no user and no item in common.

    Attributes:
        log: the training interactions.
        parts: number of parts, of ranges and of turns; it depends on the interactions alone.
    """

    def __init__(self, log: Interactions) -> None:
        self.log = log
        self.parts = max(1, min(MOST_PARTS, log.n_items // PART_ITEMS, log.n_users))
        even = np.arange(1, self.parts) * (log.n_interactions / self.parts)
        inner = np.searchsorted(log.indptr, even)
        ranges = np.concatenate([[0], inner, [log.n_users]]).astype(np.int64)
        narrow = max(log.n_items, int(np.diff(ranges).max())) <= NARROW
        kind = np.uint16 if narrow else np.int32
        self._together = max(1, min(NEIGHBOURS, log.n_items // (8 * self.parts)))
        groups = -(-log.n_items // self._together)
        self._part_of_group = (np.arange(groups) * self.parts // groups).astype(np.uint8)
        self._part_of = np.empty(log.n_items, dtype=np.uint8)
        self._pairs_of = np.empty((self.parts, groups), dtype=np.int32)  # by range and group
        for p, (first, last) in enumerate(itertools.pairwise(log.indptr[ranges])):
            self._pairs_of[p] = np.bincount(log.items[first:last] // self._together, minlength=groups)
        self._cells = Cells(
            np.zeros(self.parts**2 + 1, dtype=np.int64),
            np.empty(log.n_interactions, dtype=kind),
            np.empty(log.n_interactions, dtype=kind),
            np.empty(log.n_items, dtype=np.int32),
            np.zeros(self.parts + 1, dtype=np.int64),
            ranges,
            np.empty(0 if log.weight_scale is None else log.n_interactions, dtype=np.float32),
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the cells: 4 or 8 for each pair, 4 more where pairs have weights, and 6 or so for each item."""
        own = (self._part_of, self._part_of_group, self._pairs_of)
        return sum(array.nbytes for array in (*self._cells, *own))

    def cells(self, rng: np.random.Generator) -> Cells:
        """Divides the items anew, and fills in the cells: those of the last call, overwritten."""
        cells, log, n_items = self._cells, self.log, self.log.n_items
        group_parts = rng.permutation(self._part_of_group)
        self._part_of[:] = np.repeat(group_parts, self._together)[:n_items]
        # Sorted by random keys of two bytes, they are in random order in a third of shuffle's time.
        order = np.argsort(rng.integers(1 << 16, size=n_items, dtype=np.uint16), kind="stable")
        cells.members[:] = order[np.argsort(self._part_of[order], kind="stable")]
        np.cumsum(np.bincount(self._part_of, minlength=self.parts), out=cells.starts[1:])
        sizes = [np.bincount(group_parts, pairs, minlength=self.parts) for pairs in self._pairs_of]
        np.cumsum(np.concatenate(sizes).astype(np.int64), out=cells.bounds[1:])
        relative = log.relative_weights()
        weights = NO_TRUSTS if relative is None else relative
        kernels.cells.fill_cells(log.indptr, log.items, weights, self._part_of, cells)
        return cells
