"""Grouping of pairs by row, and the search for items that a user has not touched.

Specified by the twins in ``kernels/reference/sampling.py``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.doors import kernel, parallel


@kernel
def group_by_row(keys: Any, counts: Any, order: Any, starts: Any, rows: Any) -> int:
    groups = 0
    for m in range(len(keys)):
        if counts[keys[m]] == 0:
            rows[groups] = keys[m]
            groups += 1
        counts[keys[m]] += 1
    at = 0
    for g in range(groups):
        starts[g] = at
        at += counts[rows[g]]
        counts[rows[g]] = starts[g]
    starts[groups] = at
    for m in range(len(keys)):
        order[counts[keys[m]]] = m
        counts[keys[m]] += 1
    for g in range(groups):
        counts[rows[g]] = 0
    return groups


@parallel
def mask_seen(rows: Any, seen_indptr: Any, seen_items: Any, places: Any, scores: Any, valid: Any) -> None:
    for g in numba.prange(len(rows)):
        count = scores.shape[1]
        for k in range(seen_indptr[rows[g]], seen_indptr[rows[g] + 1]):
            place = places[seen_items[k]]
            if place >= 0:
                scores[g, place] = -np.inf
                count -= 1
        valid[g] = count


@parallel
def pick_unseen(users: Any, draws: Any, n_items: int, seen_indptr: Any, seen_items: Any, picked: Any) -> None:
    tries = draws.shape[1]
    for m in numba.prange(len(users)):
        start, stop = seen_indptr[users[m]], seen_indptr[users[m] + 1]
        item = draws[m, 0]
        for attempt in range(tries + n_items):
            item = draws[m, attempt] if attempt < tries else (item + 1) % n_items
            low, high = start, stop
            while low < high:
                middle = (low + high) // 2
                if seen_items[middle] < item:
                    low = middle + 1
                else:
                    high = middle
            if low == stop or seen_items[low] != item:
                break
        picked[m] = item
