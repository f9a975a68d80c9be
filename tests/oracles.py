"""Slow, obvious answers: dense float64 arrays, Python loops, and nothing of the library.

A test computes the same thing twice, here and with the library, and compares.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]


def rank(user: Array, items: Array, seen: Collection[int], k: int) -> list[tuple[int, float]]:
    """The best k unseen ``items`` (n, dim) for ``user`` (dim,) as (item, score); on a tie the lower item first."""
    scored = []
    for item, row in enumerate(items):
        if item not in seen:
            score = 0.0
            for c in range(len(user)):
                score += float(user[c]) * float(row[c])
            scored.append((item, score))
    scored.sort(key=lambda pair: (-pair[1], pair[0]))
    return scored[:k]


def recall(top: Sequence[int], relevant: Collection[int], k: int) -> float:
    return sum(item in relevant for item in top[:k]) / len(relevant)


def precision(top: Sequence[int], relevant: Collection[int], k: int) -> float:
    return sum(item in relevant for item in top[:k]) / k


def hit_rate(top: Sequence[int], relevant: Collection[int], k: int) -> float:
    return float(any(item in relevant for item in top[:k]))


def reciprocal_rank(top: Sequence[int], relevant: Collection[int], k: int) -> float:
    for place, item in enumerate(top[:k], 1):
        if item in relevant:
            return 1.0 / place
    return 0.0


def ndcg(top: Sequence[int], relevant: Collection[int], k: int) -> float:
    gain = sum(1.0 / math.log2(place + 1) for place, item in enumerate(top[:k], 1) if item in relevant)
    ideal = sum(1.0 / math.log2(place + 1) for place in range(1, min(k, len(relevant)) + 1))
    return gain / ideal


def average_precision(top: Sequence[int], relevant: Collection[int], k: int) -> float:
    total = 0.0
    for place, item in enumerate(top[:k], 1):
        if item in relevant:
            total += precision(top, relevant, place)
    return total / min(k, len(relevant))


def coverage(tops: Sequence[Sequence[int]], n_items: int, k: int) -> float:
    return len({item for top in tops for item in top[:k]}) / n_items
