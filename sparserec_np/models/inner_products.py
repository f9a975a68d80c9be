"""Scores as inner products of two rows of a table, for a batch, and the way back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sparserec_np import kernels
from sparserec_np.data.interactions import FEW_PAIRS, Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.batches import Batch, Groups
from sparserec_np.learning.losses import Scores

# Each part of a batch sums into a block of its own, and the parts are added in order: the number of
# parts, unlike that of threads, is fixed, and so are the bits of the sum.
BATCH_PARTS = 8


def mean_product(table: SparseTable, log: Interactions) -> float:
    """Computes the mean inner product of a user's row and an item's over all interactions.

    ``table`` is stacked, users first.
    """
    total = 0.0
    for first, last in log.user_blocks(FEW_PAIRS):
        bounds = log.indptr[first : last + 1]
        users = np.arange(first, last, dtype=np.int32)
        starts = (bounds - bounds[0]).astype(
            np.int32
        )  # as in a batch: another type would be compiled for anew
        partners = log.items[bounds[0] : bounds[-1]] + np.int32(log.n_users)
        scores = np.empty(len(partners), dtype=table.values.dtype)
        kernels.scoring.score_pairs(table, users, starts, partners, scores)
        total += float(scores.sum(dtype=np.float64))
    return total / log.n_interactions


class InnerProducts:
    """Scores of pairs as inner products: ``score(u, i) = <row u, row i>``.

    The table is an argument: it may be a model's own, or one made for a batch from what the model
    stores.

    Attributes:
        dim: number of columns of the tables.
    """

    def __init__(self, dim: int, dtype: npt.DTypeLike) -> None:
        self.dim = dim
        self._block = np.empty((dim, 0), dtype=dtype)
        self._parts = np.empty((BATCH_PARTS, dim, 0), dtype=dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of the blocks that shared negatives are worked on in."""
        return int(self._block.nbytes + self._parts.nbytes)

    def forward(self, table: SparseTable, batch: Batch) -> tuple[Array, Array]:
        """Scores the pairs, (b,), and the negatives: (b,), or (groups, s) where they are shared."""
        users = batch.users
        kind = table.values.dtype
        positives = np.empty(batch.size, dtype=kind)
        kernels.scoring.score_pairs(table, users.rows, users.starts, batch.positives, positives)
        if not batch.shared:
            negatives = np.empty(batch.size, dtype=kind)
            kernels.scoring.score_pairs(table, users.rows, users.starts, batch.negatives, negatives)
            return positives, negatives
        size = len(batch.negatives)
        if self._block.shape[1] != size:
            self._block = np.empty((self.dim, size), dtype=kind)
            self._parts = np.empty((BATCH_PARTS, self.dim, size), dtype=kind)
        kernels.scoring.fill_block(table, batch.negatives, self._block)
        negatives = np.empty((len(users.rows), size), dtype=kind)
        kernels.scoring.score_block(table, users.rows, self._block, negatives)
        return positives, negatives

    def backward(
        self,
        table: SparseTable,
        batch: Batch,
        slopes: Scores,
        by_item: tuple[Array, Groups],
        gradient: Array,
        explored: Explored,
    ) -> None:
        """Adds the gradients of the users' rows, then of the items'.

        A row has one writer: the order of sums is fixed.

        Args:
            table, batch: those of the last :meth:`forward`.
            slopes: of the loss, by the scores.
            by_item: the pairs by item, see
                :meth:`~sparserec_np.models.batch_items.BatchItems.by_item`.
            gradient: (nnz,) added to.
            explored: added to.
        """
        users = batch.users
        kernels.gradients.pair_gradients(
            table, users.rows, users.starts, batch.positives, slopes.positives, gradient, explored
        )
        order, items = by_item
        if batch.shared:
            kernels.gradients.row_gradients(
                table, users.rows, slopes.negatives, self._block, gradient, explored
            )
            kernels.gradients.block_gradients(table, users.rows, slopes.negatives, self._parts)
            partners, each = batch.user_of[order], slopes.positives[order]
            kernels.gradients.pair_gradients(
                table, items.rows, items.starts, partners, each, gradient, explored
            )
            kernels.gradients.spread_block(table, batch.negatives, self._parts[0], gradient, explored)
        else:
            kernels.gradients.pair_gradients(
                table, users.rows, users.starts, batch.negatives, slopes.negatives, gradient, explored
            )
            each = np.concatenate([slopes.positives, slopes.negatives])[order]
            partners = np.concatenate([batch.user_of, batch.user_of])[order]
            kernels.gradients.pair_gradients(
                table, items.rows, items.starts, partners, each, gradient, explored
            )
