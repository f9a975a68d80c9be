"""Items that users have together: the strongest pairs of a catalogue, found a block of items at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.recency import later_ones
from sparserec_np.data.table import Array, index_dtype

ITEMS_AT_ONCE = 32  # items whose pairs with all others exist at once


class Pairs(NamedTuple):
    """Pairs of items, sorted by the higher item and then by the lower one.

    Attributes:
        items: (n,) int32 the higher item of each.
        others: (n,) int32 the lower one.
        values: (n,) float32 what each says of the other.
    """

    items: Array
    others: Array
    values: Array


class RankedPairs(NamedTuple):
    """The strongest pairs of a log, with what they were compared by.

    Attributes:
        items, others: as in :class:`Pairs`, sorted likewise.
        weights: (n,) float32 ``c_ij sqrt(d_i d_j)``.
        roots: (n_items,) float32 ``sqrt(d_i)``.
    """

    items: Array
    others: Array
    weights: Array
    roots: Array

    def strongest(self, most: int) -> Pairs:
        """Takes the ``most`` of largest weight, or all where there are fewer."""
        items, others, weights = _largest(self.items, self.others, self.weights, most)
        values = weights / self.roots[items] / self.roots[others]  # sqrt(d_i d_j) is out
        return Pairs(items, others, values)


@dataclass(frozen=True)
class Nearness:
    """How much two of a user's interactions have to do with each other.

    By the number g of steps from one to the other in the order of time, ``1 / (1 + g / steps)``.
    That is our choice, on the last interactions of each user in the training parts of Gowalla and
    Yelp2018.

    Attributes:
        steps: after which half is left.
    """

    steps: float = 3.0

    def levels(self, most: int) -> Array:
        """Lists nearness after 0 to ``most`` steps: (most + 1,) float32."""
        return (1 / (1 + np.arange(most + 1) / self.steps)).astype(np.float32)


def strongest_pairs(log: Interactions, most: int, nearness: Nearness | None = None) -> Pairs:
    """Finds the pairs of items that matter most for scores by the graph; see :func:`ranked_pairs`.

    >>> log = Interactions.from_pairs([0, 0, 1, 1, 2], [0, 1, 0, 1, 1])
    >>> pairs = strongest_pairs(log, 2)
    >>> pairs.items.tolist(), pairs.others.tolist()
    ([1], [0])
    """
    return ranked_pairs(log, most, nearness).strongest(most)


def ranked_pairs(log: Interactions, most: int, nearness: Nearness | None = None) -> RankedPairs:
    """Finds the ``most`` pairs of items that matter most for scores by the graph of users and items.

    With ``R~ = D_u^-1/2 R D_i^-1/2`` the interactions normalised by degrees, ``c = R~' R~`` is what
    two steps over the graph say of two items (the linear filter of GF-CF, Shen et al. 2021):

        c_ij = sum over users u of both of a_uij / sqrt(n_ui n_uj d_i d_j)

    with ``a = 1`` and ``n_ui = d_u``. Where the log has times, and ``nearness`` is given, a user
    says more of what they touched one soon after the other: a is then the nearness of both, and
    ``n_ui`` the sum of that of i and everything else that u touched, whatever came first.

    A pair says ``c_ij`` of item i to everybody who touched item j, and of item j to everybody who
    touched item i. So each stands once, i being the higher item. Kept are those with the largest
    ``c_ij sqrt(d_i d_j)``; of equals those of the lower i, then of the lower j. What is kept is our
    choice, on data held out from Gowalla and Yelp2018.

    Memory: 20 bytes for each interaction; a block of items' pairs with all items; and three times
    ``most`` pairs.
    """
    degrees, roots = log.user_degrees, np.sqrt(np.maximum(log.item_degrees, 1)).astype(np.float32)
    owners, later = log.pair_users(), later_ones(log)
    if nearness is None or log.times is None:
        levels = np.ones(1, np.float32)
        sums = degrees[owners].astype(np.float64)
    else:
        levels = nearness.levels(int(degrees.max(initial=1)))
        reached = np.cumsum(levels, dtype=np.float64)
        sums = reached[later] + reached[degrees[owners] - 1 - later] - 1  # of itself once
    norms = (1 / np.sqrt(sums)).astype(np.float32)
    bounds = np.zeros(log.n_items + 1, np.int64)
    np.cumsum(log.item_degrees, out=bounds[1:])
    places = np.argsort(log.items, kind="stable").astype(index_dtype(log.n_interactions))
    kept = _Kept(most)
    block: Array = np.empty((min(ITEMS_AT_ONCE, log.n_items), log.n_items), np.float32)
    for start in range(0, log.n_items, ITEMS_AT_ONCE):
        some = block[: log.n_items - start]
        kernels.co_occurrence.pair_weights(
            log.indptr, log.items, owners, later, norms, bounds, places, levels, start, some
        )
        kept.add(start, some)
    return RankedPairs(*kept.largest(), roots)


class _Kept:
    """The pairs of largest weight among all that came, a block of items after the other."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._least = np.nextafter(np.float32(0), np.float32(1))  # no pair below it is among the largest
        self._parts: list[tuple[Array, ...]] = []
        self._count = 0

    def add(self, start: int, weights: Array) -> None:
        """Takes the weights (rows, n_items) of a block, whose first row is item ``start``."""
        flat = weights.reshape(-1)
        cells = np.flatnonzero(flat >= self._least)
        items, others = np.divmod(cells, weights.shape[1])
        found = flat[cells]
        self._parts.append((items.astype(np.int32) + np.int32(start), others.astype(np.int32), found))
        self._count += len(found)
        if self._count > 2 * self._most:
            self._parts = [self.largest()]
            self._count = len(self._parts[0][0])
            self._least = self._parts[0][2].min(initial=np.inf) if self._most else np.float32(np.inf)

    def largest(self) -> tuple[Array, Array, Array]:
        """Returns both items and the weight of the largest, in the order they came."""
        empty = (np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32))
        items, others, weights = (np.concatenate(parts) for parts in zip(empty, *self._parts, strict=True))
        return _largest(items, others, weights, self._most)


def _largest(items: Array, others: Array, weights: Array, most: int) -> tuple[Array, Array, Array]:
    """Takes the pairs of the ``most`` largest weights, of equals the first; they keep their order."""
    over = len(weights) - most
    if over <= 0:
        return items, others, weights
    if not most:
        return items[:0], others[:0], weights[:0]
    last = np.partition(weights, over)[over]  # the smallest that is kept
    kept = weights > last
    kept[np.flatnonzero(weights == last)[: most - np.count_nonzero(kept)]] = True
    return items[kept], others[kept], weights[kept]
