"""A batch seen from its items' side: pairs by item, negatives that do not count, L2 terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array
from sparserec_np.kernels.arguments import Rows
from sparserec_np.learning.batches import Batch, Groups
from sparserec_np.models.model import Decay

Found = TypeVar("Found")


class OfBatches(Generic[Found]):
    """What was found for a batch, kept until the next is asked for."""

    def __init__(self, find: Callable[[Batch], Found]) -> None:
        self._find = find
        self._kept: tuple[Batch, Found] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the batch out of a copy."""
        return {"_find": self._find, "_kept": None}

    def __call__(self, batch: Batch) -> Found:
        """Returns what was found for this batch, or finds it."""
        if self._kept is None or self._kept[0] is not batch:
            self._kept = None  # it goes first
            self._kept = batch, self._find(batch)
        return self._kept[1]


class _Items(NamedTuple):
    """The pairs of a batch by item.

    Attributes:
        order: (m,) int32 members of the groups.
        groups: items and bounds.
        touched: (t,) int32 rows of users, positives and negatives, none twice.
    """

    order: Array
    groups: Groups
    touched: Array


class BatchItems:
    """A batch seen from its items' side. Keeps what it found for the last batch.

    Attributes:
        log: the training interactions; a user's own items are no negatives.
    """

    def __init__(self, log: Interactions) -> None:
        self.log = log
        self._counts = np.empty(0, dtype=np.int32)  # (rows,) 0, and (items,) -1, from the first batch on
        self._places = np.empty(0, dtype=np.int32)
        self._found = OfBatches(self._find)

    @property
    def nbytes(self) -> int:
        """Bytes of the counters."""
        return int(self._counts.nbytes + self._places.nbytes)

    def by_item(self, batch: Batch) -> tuple[Array, Groups]:
        """Groups pairs, and negatives that each pair has of its own, by item: members (m,), groups."""
        order, groups, _ = self._found(batch)
        return order, groups

    def touched(self, batch: Batch) -> Array:
        """Finds the rows of users, positives and negatives, (t,) int32, none twice, users first."""
        return self._found(batch).touched

    def _find(self, batch: Batch) -> _Items:
        keys = batch.positives if batch.shared else np.concatenate([batch.positives, batch.negatives])
        if not len(self._counts):
            self._counts = np.zeros(self.log.n_users + self.log.n_items, dtype=np.int32)
        order = np.empty(len(keys), dtype=np.int32)
        starts = np.empty(len(keys) + 1, dtype=np.int32)
        rows = np.empty(len(keys), dtype=np.int32)
        count = kernels.sampling.group_by_row(keys, self._counts, order, starts, rows)
        rows = rows[:count]
        fresh = rows[:0]
        if batch.shared:
            self._counts[rows] = 1
            fresh = batch.negatives[self._counts[batch.negatives] == 0]
            self._counts[rows] = 0
        touched = np.concatenate([batch.users.rows, rows, fresh])
        return _Items(order, Groups(rows, starts[: count + 1]), touched)

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

    def add_decay(self, table: Rows, batch: Batch, decay: Decay, active: Array, first: int = 0) -> None:
        """Adds the gradient of L2 terms, of the rows that the pairs read, to ``active`` (nnz,).

        Row ``first`` of the batch is row 0 of the table; those before it are not stored.
        """
        kind, number = table.values.dtype, np.int32(first)
        if decay.user and not first:
            weights = (decay.user * batch.users.sizes).astype(kind)
            kernels.gradients.decay_gradients(table, batch.users.rows, weights, decay.origin, active)
        order, items = self.by_item(batch)
        rows, negatives = items.rows - number, batch.negatives - number
        if batch.shared:
            if decay.positive:
                weights = (decay.positive * items.sizes).astype(kind)
                kernels.gradients.decay_gradients(table, rows, weights, decay.origin, active)
            if decay.negative:  # a pair's share of each shared negative is 1 / s
                share = decay.negative * batch.size / len(batch.negatives)
                weights = np.full(len(negatives), share, dtype=kind)
                kernels.gradients.decay_gradients(table, negatives, weights, decay.origin, active)
        elif decay.positive or decay.negative:
            each = np.where(order < batch.size, decay.positive, decay.negative)
            weights = np.add.reduceat(each, items.starts[:-1]).astype(kind)
            kernels.gradients.decay_gradients(table, rows, weights, decay.origin, active)
