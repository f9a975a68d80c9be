"""Matrix factorisation: a pair scores the inner product of its two rows."""

from __future__ import annotations

import numpy as np

from sparserec_np.batches import Batch, Groups
from sparserec_np.interactions import Interactions
from sparserec_np.kernels.compiled import gradients as kernels
from sparserec_np.kernels.compiled import ranking, sampling, scoring
from sparserec_np.losses import Scores
from sparserec_np.models.model import Decay, Gradients
from sparserec_np.table import Array, SparseTable

# Each part of a batch sums into a block of its own, and the parts are added in order: the number of parts, unlike
# that of threads, is fixed, and so are the bits of the sum.
PARTS = 8


class MatrixFactorization:
    """``score(u, i) = <row u, row n_users + i>`` over one table (Koren et al. 2009; BPR-MF: Rendle et al. 2009).

    Attributes:
        table: (n_users + n_items) rows.
        dim: number of columns.
        log: the training interactions; a user's own items are no negatives.
    """

    def __init__(self, table: SparseTable, dim: int, log: Interactions) -> None:
        self.table = table
        self.dim = dim
        self.log = log
        self._counts = np.zeros(table.rows, dtype=np.int32)
        self._places = np.full(log.n_items, -1, dtype=np.int32)
        self._block = np.empty((dim, 0), dtype=table.values.dtype)
        self._parts = np.empty((PARTS, dim, 0), dtype=table.values.dtype)
        self._items: tuple[Batch, Array, Groups] | None = None

    @property
    def workspace_bytes(self) -> int:
        """Bytes of the blocks and counters; the scores of a batch come on top, and go with it."""
        return int(sum(a.nbytes for a in (self._counts, self._places, self._block, self._parts)))

    def forward(self, batch: Batch) -> Scores:
        """Scores of the pairs and of their negatives."""
        table, users = self.table, batch.users
        kind = table.values.dtype
        positives = np.empty(batch.size, dtype=kind)
        scoring.score_pairs(table, users.rows, users.starts, batch.positives, positives)
        if not batch.shared:
            negatives = np.empty(batch.size, dtype=kind)
            scoring.score_pairs(table, users.rows, users.starts, batch.negatives, negatives)
            return Scores(positives, negatives, np.empty(0, dtype=np.int32))
        size = len(batch.negatives)
        if self._block.shape[1] != size:
            self._block = np.empty((self.dim, size), dtype=kind)
            self._parts = np.empty((PARTS, self.dim, size), dtype=kind)
        scoring.fill_block(table, batch.negatives, self._block)
        negatives = np.empty((len(users.rows), size), dtype=kind)
        scoring.score_block(table, users.rows, self._block, negatives)
        valid = np.empty(len(users.rows), dtype=np.int32)
        items = batch.negatives - self.log.n_users
        self._places[items] = np.arange(size, dtype=np.int32)
        sampling.mask_seen(users.rows, self.log.indptr, self.log.items, self._places, negatives, valid)
        self._places[items] = -1
        return Scores(positives, negatives, valid)

    def _by_item(self, batch: Batch) -> tuple[Array, Groups]:
        """Pairs, and negatives where each pair has its own, grouped by item: members (m,) and groups."""
        if self._items is None or self._items[0] is not batch:
            keys = batch.positives if batch.shared else np.concatenate([batch.positives, batch.negatives])
            order = np.empty(len(keys), dtype=np.int32)
            starts = np.empty(len(keys) + 1, dtype=np.int32)
            rows = np.empty(len(keys), dtype=np.int32)
            count = sampling.group_by_row(keys, self._counts, order, starts, rows)
            self._items = batch, order, Groups(rows[:count], starts[: count + 1])
        return self._items[1], self._items[2]

    def touched(self, batch: Batch) -> Array:
        """Rows of the users, the positives and the negatives."""
        _, items = self._by_item(batch)
        if not batch.shared:
            return np.concatenate([batch.users.rows, items.rows])
        self._counts[items.rows] = 1
        fresh = batch.negatives[self._counts[batch.negatives] == 0]
        self._counts[items.rows] = 0
        return np.concatenate([batch.users.rows, items.rows, fresh])

    def backward(self, batch: Batch, slopes: Scores, decay: Decay, gradients: Gradients) -> None:
        """Gradients of the users' rows, then of the items'. A row has one writer: the order of sums is fixed."""
        table, users = self.table, batch.users
        active, explored = gradients
        kernels.pair_gradients(
            table, users.rows, users.starts, batch.positives, slopes.positives, active, explored
        )
        order, items = self._by_item(batch)
        if batch.shared:
            kernels.row_gradients(table, users.rows, slopes.negatives, self._block, active, explored)
            kernels.block_gradients(table, users.rows, slopes.negatives, self._parts)
            kernels.pair_gradients(
                table,
                items.rows,
                items.starts,
                batch.user_of[order],
                slopes.positives[order],
                active,
                explored,
            )
            kernels.spread_block(table, batch.negatives, self._parts[0], active, explored)
        else:
            kernels.pair_gradients(
                table, users.rows, users.starts, batch.negatives, slopes.negatives, active, explored
            )
            both = np.concatenate([slopes.positives, slopes.negatives])[order]
            partners = np.concatenate([batch.user_of, batch.user_of])[order]
            kernels.pair_gradients(table, items.rows, items.starts, partners, both, active, explored)
        self._decay(batch, decay, active)

    def _decay(self, batch: Batch, decay: Decay, active: Array) -> None:
        kind = self.table.values.dtype
        if decay.user:
            weights = (decay.user * batch.users.sizes).astype(kind)
            kernels.decay_gradients(self.table, batch.users.rows, weights, decay.origin, active)
        order, items = self._by_item(batch)
        if batch.shared:
            if decay.positive:
                weights = (decay.positive * items.sizes).astype(kind)
                kernels.decay_gradients(self.table, items.rows, weights, decay.origin, active)
            if decay.negative:  # a pair's share of each shared negative is 1 / s
                share = decay.negative * batch.size / len(batch.negatives)
                weights = np.full(len(batch.negatives), share, dtype=kind)
                kernels.decay_gradients(self.table, batch.negatives, weights, decay.origin, active)
        elif decay.positive or decay.negative:
            each = np.where(order < batch.size, decay.positive, decay.negative)
            weights = np.add.reduceat(each, items.starts[:-1]).astype(kind)
            kernels.decay_gradients(self.table, items.rows, weights, decay.origin, active)

    def rank(self, users: Array, n: int, seen: Interactions) -> tuple[Array, Array]:
        """Best unseen items of ``users`` (m,): items (m, n) int32, scores (m, n); -1 and -inf after a list's end."""
        n_users = self.log.n_users
        items = np.empty((len(users), n), dtype=np.int32)
        scores = np.empty((len(users), n), dtype=self.table.values.dtype)
        ranking.top_items(
            self.table.slice_rows(0, n_users),
            self.table.slice_rows(n_users, self.table.rows).by_column(self.dim),
            self.log.n_items,
            seen.indptr,
            seen.items,
            np.asarray(users, dtype=np.int32),
            items,
            scores,
        )
        return items, scores
