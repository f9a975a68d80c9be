"""Metrics of ranked lists, one value for each user.

Every metric takes the same three arguments and returns a (m,) float64 array in [0, 1]:

* ``hits`` (m, length) bool: which places of a user's list, best first, hold one of the user's
  relevant items; where ``length`` is below k, the missing places count as no hits;
* ``n_relevant`` (m,) integers >= 1: how many relevant items each user has;
* ``k``: only the first k places count.

Below, ``hit_r`` is 1 where place r (from 1) holds a relevant item, and 0 elsewhere.

Libraries differ in what they divide by. :func:`per_user` gives the metrics by the convention that
is asked for; :data:`PER_USER` are the defaults, those of RecBole. docs/metrics.md names who does
what.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError

Metric = Callable[[Array, Array, int], Array]


def recall(hits: Array, n_relevant: Array, k: int) -> Array:
    """Computes ``sum_{r<=k} hit_r / n_relevant``, as in LightGCN, RecBole and ranx.

    A list of k places cannot reach 1 where there are more relevant items; see
    :func:`reachable_recall`.

    >>> recall(np.array([[True, False, True]]), np.array([4]), 3)
    array([0.5])
    """
    return hits[:, :k].sum(axis=1) / n_relevant


def reachable_recall(hits: Array, n_relevant: Array, k: int) -> Array:
    """Computes ``sum_{r<=k} hit_r / min(k, n_relevant)``: of what k places can hold.

    So LensKit has it, RecPack's calibrated recall, and whoever evaluates as Liang et al. (2018) did
    for variational autoencoders.

    >>> reachable_recall(np.array([[True, False, True]]), np.array([4]), 3).round(4)
    array([0.6667])
    """
    return hits[:, :k].sum(axis=1) / np.minimum(n_relevant, k)


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
    at the top, as in LightGCN, RecBole, implicit and ranx. Where the ideal is not cut at k, as in
    some other code, figures are lower for users with more than k relevant items.

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

    So RecBole and implicit have it. See :func:`whole_average_precision`.

    >>> average_precision(np.array([[True, False, True]]), np.array([2]), 3).round(4)
    array([0.8333])
    """
    return _summed_precisions(hits, k) / np.minimum(n_relevant, k)


def whole_average_precision(hits: Array, n_relevant: Array, k: int) -> Array:
    """Computes ``sum_{r<=k} precision@r * hit_r / n_relevant``: over all that is relevant.

    So ranx and trec_eval (``map_cut``) have it. A list of k places cannot reach 1 where there are
    more relevant items.

    >>> whole_average_precision(np.array([[True, False, True]]), np.array([4]), 3).round(4)
    array([0.4167])
    """
    return _summed_precisions(hits, k) / n_relevant


def _summed_precisions(hits: Array, k: int) -> Array:
    first = hits[:, :k]
    precisions = np.cumsum(first, axis=1) / np.arange(1, first.shape[1] + 1)
    summed: Array = (precisions * first).sum(axis=1)
    return summed


# What recall and average precision are shares of: all relevant items, or as many of them as k
# places can hold.
RELEVANT, REACHABLE = "relevant", "reachable"
RECALLS: dict[str, Metric] = {RELEVANT: recall, REACHABLE: reachable_recall}
AVERAGE_PRECISIONS: dict[str, Metric] = {RELEVANT: whole_average_precision, REACHABLE: average_precision}


def per_user(recall_of: str = RELEVANT, map_of: str = REACHABLE) -> dict[str, Metric]:
    """Returns the metrics by name, in the conventions that are asked for.

    Args:
        recall_of: what recall is a share of, ``relevant`` items or the ``reachable`` ones among
            them, at most k.
        map_of: the same of average precision.

    Raises:
        ConfigError: another word.

    >>> per_user(recall_of="reachable")["recall"](np.array([[True, False, True]]), np.array([4]), 2)
    array([0.5])
    """
    for asked, known in ((recall_of, RECALLS), (map_of, AVERAGE_PRECISIONS)):
        if asked not in known:
            raise ConfigError(f"A metric is a share of what is {' or '.join(known)}, found {asked!r}")
    return {
        "recall": RECALLS[recall_of],
        "ndcg": ndcg,
        "precision": precision,
        "map": AVERAGE_PRECISIONS[map_of],
        "mrr": reciprocal_rank,
        "hit_rate": hit_rate,
    }


PER_USER: dict[str, Metric] = per_user()


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
