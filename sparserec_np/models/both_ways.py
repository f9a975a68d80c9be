"""Pairs of items that stand once in a table and speak both ways: which of them a batch has to do with."""

from __future__ import annotations

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.table import Array, index_dtype
from sparserec_np.kernels.arguments import Found, Pairs
from sparserec_np.learning.batches import Batch
from sparserec_np.models.fism import MadeRows


def both_ways(rows: Array, columns: Array, places: Array, n_items: int) -> Pairs:
    """Sees the pairs (n,) of items ``rows`` and ``columns``, whose values stand at ``places``, from both.

    >>> pairs = both_ways(np.array([2, 2]), np.array([0, 1]), np.array([7, 8]), 3)
    >>> pairs.bounds.tolist(), pairs.others.tolist(), pairs.sources.tolist()
    ([0, 1, 2, 4], [2, 2, 0, 1], [7, 8, 7, 8])
    """
    owners, others = np.concatenate([rows, columns]), np.concatenate([columns, rows])
    order = np.lexsort((others, owners))
    kind = index_dtype(max(len(order), int(places.max(initial=0)) + 1))
    bounds = np.zeros(n_items + 1, kind)
    np.cumsum(np.bincount(owners, minlength=n_items), out=bounds[1:])
    sources = np.concatenate([places, places])[order].astype(kind)
    return Pairs(bounds, others[order].astype(np.int32), sources)


def found_pairs(pairs: Pairs, of_users: tuple[Array, Array, Array], starts: Array, partners: Array) -> Found:
    """Finds the pairs that say something to users of the items ``partners`` (m,) they are paired with.

    ``of_users`` are starts, items and shares of what they touched, and ``starts`` (users + 1,) the
    bounds of what they are paired with.
    """
    begins = np.zeros(len(partners) + 1, np.int64)
    # No more than the item has, or than two for each that the user touched: a table may hold both
    # the pair of i and j and that of j and i.
    most = 2 * np.repeat(np.diff(of_users[0]), np.diff(starts))
    np.cumsum(np.minimum(pairs.bounds[partners + 1] - pairs.bounds[partners], most), out=begins[1:])
    room = int(begins[-1])
    found = Found(
        begins, np.empty(len(partners), np.int32), np.empty(room, np.int32), np.empty(room, np.float32)
    )
    kernels.pairs.find(pairs, of_users, starts, partners, found)
    return found


class SaidOfBatch:
    """What pairs of items say to the users of a batch.

    Attributes:
        positives: of the items of its pairs.
        negatives: (s,) int32 items that are negatives of all, if they are shared.
        touched_by: who touched an item, as
            :meth:`~sparserec_np.models.fism.MadeRows.users_of_items` tells, likewise.
        of_each: of the negatives that each pair has of its own, otherwise.
    """

    def __init__(self, pairs: Pairs, batch: Batch, made: MadeRows) -> None:
        self.positives = found_pairs(pairs, made.of_users, batch.users.starts, made.positives)
        self.negatives = made.negatives
        if batch.shared:
            self.touched_by = made.users_of_items
        else:
            self.of_each = found_pairs(pairs, made.of_users, batch.users.starts, made.negatives)
