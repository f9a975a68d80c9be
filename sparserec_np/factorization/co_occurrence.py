"""Items that users have together: the strongest pairs of a catalogue, found a block of items at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.matrices import matrix_of_ones
from sparserec_np.data.table import Array

ITEMS_AT_ONCE = 32  # items whose pairs with all others exist at once


class Pairs(NamedTuple):
    """Pairs of items, sorted by the item that answers and then by the other.

    Attributes:
        items: (n,) int32 the item that gets a score.
        touched: (n,) int32 the item that gives it, to all who touched it.
        values: (n,) float32 the score.
    """

    items: Array
    touched: Array
    values: Array


def strongest_pairs(log: Interactions, most: int, popularity: float) -> Pairs:
    """Finds the pairs of items that matter most for scores by the graph of users and items.

    With ``R~ = D_u^-1/2 R D_i^-1/2`` the interactions normalised by degrees, ``c = R~' R~`` is what
    two steps over the graph say of two items (the linear filter of GF-CF, Shen et al. 2021):

        c_ij = sum over users u of both of 1 / (d_u sqrt(d_i d_j))

    A pair (i, j) gives ``c_ij d_i^popularity`` to item i from everybody who touched item j. Kept
    are those with the largest ``c_ij sqrt(d_i d_j)``, the sum of ``1 / d_u`` over their users; of
    equals those of the lower item, then of the lower touched one. No item is paired with itself.
    The power of the degree and what is kept are our choice, on data held out from Gowalla and
    Yelp2018.

    Memory: the interactions twice, as SciPy's matrices; a block of items' pairs with all others;
    and three times ``most`` pairs.

    >>> log = Interactions.from_pairs([0, 0, 1, 1, 2], [0, 1, 0, 1, 1])
    >>> pairs = strongest_pairs(log, 2, popularity=0.25)
    >>> pairs.items.tolist(), pairs.touched.tolist()
    ([0, 1], [1, 0])
    """
    roots = np.sqrt(np.maximum(log.item_degrees, 1)).astype(np.float32)
    matrix = matrix_of_ones(log)
    shares = np.repeat(1 / np.maximum(log.user_degrees, 1), log.user_degrees).astype(np.float32)
    by_item = type(matrix)((shares, matrix.indices, matrix.indptr), shape=matrix.shape).T.tocsr()
    kept = _Kept(most)
    for start in range(0, log.n_items, ITEMS_AT_ONCE):
        kept.add(start, (by_item[start : start + ITEMS_AT_ONCE] @ matrix).tocoo())
    items, touched, weights = kept.largest()
    values = weights * roots[items] ** (2 * popularity - 1) / roots[touched]  # sqrt(d_i d_j) is out
    return Pairs(items, touched, values.astype(np.float32))


class _Kept:
    """The pairs of largest weight among all that came, a block of items after the other."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._least = np.float32(0)  # no pair below it is among the largest
        self._parts: list[tuple[Array, ...]] = []
        self._count = 0

    def add(self, start: int, shared: Any) -> None:
        """Takes the pairs of a block in coordinate form, whose first row is item ``start``."""
        items = shared.row.astype(np.int32) + np.int32(start)
        good = (items != shared.col) & (shared.data > 0) & (shared.data >= self._least)
        self._parts.append((items[good], shared.col[good].astype(np.int32), shared.data[good]))
        self._count += int(good.sum())
        if self._count > 2 * self._most:
            self._parts = [self.largest()]
            self._count = len(self._parts[0][0])
            self._least = self._parts[0][2].min(initial=np.inf) if self._most else np.float32(np.inf)

    def largest(self) -> tuple[Array, ...]:
        """Returns the items, the touched ones and the weights of the largest, sorted by both."""
        empty = (np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32))
        items, touched, weights = (np.concatenate(parts) for parts in zip(empty, *self._parts, strict=True))
        if len(weights) > self._most:
            best = np.lexsort((touched, items, -weights))[: self._most]
            items, touched, weights = items[best], touched[best], weights[best]
        order = np.lexsort((touched, items))
        return items[order], touched[order], weights[order]
