"""A batch seen from its items' side: pairs by item, negatives that do not count, L2 terms."""

from __future__ import annotations

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array
from sparserec_np.kernels.arguments import Rows
from sparserec_np.learning.batches import Batch, Groups
from sparserec_np.models.model import Decay


class BatchItems:
    """A batch seen from its items' side. Keeps what it found for the last batch.

    Attributes:
        log: the training interactions; a user's own items are no negatives.
    """

    def __init__(self, log: Interactions) -> None:
        self.log = log
        self._counts = np.empty(0, dtype=np.int32)  # (rows,) 0, and (items,) -1, from the first batch on
        self._places = np.empty(0, dtype=np.int32)
        self._last: tuple[Batch, Array, Groups] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the counters."""
        return int(self._counts.nbytes + self._places.nbytes)

    def by_item(self, batch: Batch) -> tuple[Array, Groups]:
        """Groups pairs, and negatives that each pair has of its own, by item: members (m,), groups."""
        if self._last is None or self._last[0] is not batch:
            keys = batch.positives if batch.shared else np.concatenate([batch.positives, batch.negatives])
            if not len(self._counts):
                self._counts = np.zeros(self.log.n_users + self.log.n_items, dtype=np.int32)
            order = np.empty(len(keys), dtype=np.int32)
            starts = np.empty(len(keys) + 1, dtype=np.int32)
            rows = np.empty(len(keys), dtype=np.int32)
            count = kernels.sampling.group_by_row(keys, self._counts, order, starts, rows)
            self._last = batch, order, Groups(rows[:count], starts[: count + 1])
        return self._last[1], self._last[2]

    def touched(self, batch: Batch) -> Array:
        """Finds the rows of users, positives and negatives, (t,) int32, none twice, users first."""
        _, items = self.by_item(batch)
        if not batch.shared:
            return np.concatenate([batch.users.rows, items.rows])
        self._counts[items.rows] = 1
        fresh = batch.negatives[self._counts[batch.negatives] == 0]
        self._counts[items.rows] = 0
        return np.concatenate([batch.users.rows, items.rows, fresh])

    def mask(self, batch: Batch, negatives: Array) -> Array:
        """Sets the scores of shared negatives that a user touched to -inf.

        Returns how many are left, (groups,) int32.

        Where each pair has a negative of its own, all of them count, and the result is empty.
        """
        if not batch.shared:
            return np.empty(0, dtype=np.int32)
        if not len(self._places):
            self._places = np.full(self.log.n_items, -1, dtype=np.int32)
        valid = np.empty(len(batch.users.rows), dtype=np.int32)
        items = batch.negatives - self.log.n_users
        self._places[items] = np.arange(len(items), dtype=np.int32)
        kernels.sampling.mask_seen(
            batch.users.rows, self.log.indptr, self.log.items, self._places, negatives, valid
        )
        self._places[items] = -1
        return valid

    def add_decay(self, table: Rows, batch: Batch, decay: Decay, active: Array) -> None:
        """Adds the gradient of L2 terms, of the rows that the pairs read, to ``active`` (nnz,)."""
        kind = table.values.dtype
        if decay.user:
            weights = (decay.user * batch.users.sizes).astype(kind)
            kernels.gradients.decay_gradients(table, batch.users.rows, weights, decay.origin, active)
        order, items = self.by_item(batch)
        if batch.shared:
            if decay.positive:
                weights = (decay.positive * items.sizes).astype(kind)
                kernels.gradients.decay_gradients(table, items.rows, weights, decay.origin, active)
            if decay.negative:  # a pair's share of each shared negative is 1 / s
                share = decay.negative * batch.size / len(batch.negatives)
                weights = np.full(len(batch.negatives), share, dtype=kind)
                kernels.gradients.decay_gradients(table, batch.negatives, weights, decay.origin, active)
        elif decay.positive or decay.negative:
            each = np.where(order < batch.size, decay.positive, decay.negative)
            weights = np.add.reduceat(each, items.starts[:-1]).astype(kind)
            kernels.gradients.decay_gradients(table, items.rows, weights, decay.origin, active)
