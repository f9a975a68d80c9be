"""Metrics of ranked lists, one value for each user.

Every metric takes the same three arguments and returns a (m,) float64 array in [0, 1]:

* ``hits`` (m, length) bool: which places of a user's list, best first, hold one of the user's
  relevant items; where ``length`` is below k, the missing places count as no hits;
* ``n_relevant`` (m,) integers >= 1: how many relevant items each user has;
* ``k``: only the first k places count.

Below, ``hit_r`` is 1 where place r (from 1) holds a relevant item, and 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparserec_np.data.table import Array

Metric = Callable[[Array, Array, int], Array]


def recall(hits: Array, n_relevant: Array, k: int) -> Array:
    """Computes ``sum_{r<=k} hit_r / n_relevant``, as in LightGCN and RecBole.

    Some divide by ``min(k, n_relevant)``.

    >>> recall(np.array([[True, False, True]]), np.array([4]), 3)
    array([0.5])
    """
    return hits[:, :k].sum(axis=1) / n_relevant


def precision(hits: Array, n_relevant: Array, k: int) -> Array:
    """Computes ``sum_{r<=k} hit_r / k``, also where a list is shorter than k.

    >>> precision(np.array([[True, False, True, False]]), np.array([4]), 4)
    array([0.5])
    """
    return hits[:, :k].sum(axis=1) / k


def hit_rate(hits: Array, n_relevant: Array, k: int) -> Array:
    """Returns 1 for a user if any of the first k places is a hit, else 0.

    >>> hit_rate(np.array([[False, True], [True, False]]), np.array([4, 1]), 1)
    array([0., 1.])
    """
    return np.asarray(hits[:, :k].any(axis=1), dtype=np.float64)


def reciprocal_rank(hits: Array, n_relevant: Array, k: int) -> Array:
    """Computes ``1 / r`` of the first hit among k places, 0 without one. Its mean is MRR@k.

    >>> reciprocal_rank(np.array([[False, True, True], [False, False, False]]), np.array([4, 1]), 3)
    array([0.5, 0. ])
    """
    first = hits[:, :k]
    return first.any(axis=1) / (first.argmax(axis=1) + 1.0)


def ndcg(hits: Array, n_relevant: Array, k: int) -> Array:
    """Computes binary NDCG: the discounted gain over the largest possible.

    The gain is ``sum_{r<=k} hit_r / log2(r + 1)``, the largest that of ``min(k, n_relevant)`` hits
    at the top.

    >>> ndcg(np.array([[True, True, False]]), np.array([2]), 3)
    array([1.])
    """
    first = hits[:, :k]
    length = max(first.shape[1], int(min(k, n_relevant.max(initial=1))))
    discounts = 1.0 / np.log2(np.arange(2, length + 2))
    ideal = np.cumsum(discounts)[np.minimum(n_relevant, k) - 1]
    return (first * discounts[: first.shape[1]]).sum(axis=1) / ideal


def average_precision(hits: Array, n_relevant: Array, k: int) -> Array:
    """Computes ``sum_{r<=k} precision@r * hit_r / min(k, n_relevant)``. Its mean is MAP@k.

    >>> average_precision(np.array([[True, False, True]]), np.array([2]), 3).round(4)
    array([0.8333])
    """
    first = hits[:, :k]
    precisions = np.cumsum(first, axis=1) / np.arange(1, first.shape[1] + 1)
    return (precisions * first).sum(axis=1) / np.minimum(n_relevant, k)


PER_USER: dict[str, Metric] = {
    "recall": recall,
    "ndcg": ndcg,
    "precision": precision,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit_rate": hit_rate,
}


def best_places(top: Array, n_items: int) -> Array:
    """Finds the best place (from 0) of each item in any of the lists, (n_items,) int64.

    It is ``length`` for an item that is in none.

    Args:
        top: (m, length) item numbers, -1 where a list has ended.
        n_items: number of items of the catalogue.

    >>> best_places(np.array([[2, 0], [0, -1]]), 4)
    array([0, 2, 0, 2])
    """
    length = top.shape[1]
    best = np.full(n_items, length)
    for place in range(length - 1, -1, -1):
        items = top[:, place]
        best[items[items >= 0]] = place
    return best


def coverage(top: Array, n_items: int, k: int) -> float:
    """Computes the part of the catalogue that is among the first k places of any list.

    Args:
        top: (m, length) item numbers, -1 where a list has ended.
        n_items: number of items of the catalogue.
        k: only the first k places count.

    >>> coverage(np.array([[2, 0], [0, -1]]), 4, 2)
    0.5
    """
    return float((best_places(top[:, :k], n_items) < min(k, top.shape[1])).mean())
