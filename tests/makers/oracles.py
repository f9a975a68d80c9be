"""Slow, obvious answers: dense float64 arrays, Python loops, and nothing of the library.

A test computes the same thing twice, here and with the library, and compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
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


def reachable_recall(top: Sequence[int], relevant: Collection[int], k: int) -> float:
    return sum(item in relevant for item in top[:k]) / min(k, len(relevant))


def whole_average_precision(top: Sequence[int], relevant: Collection[int], k: int) -> float:
    return average_precision(top, relevant, k) * min(k, len(relevant)) / len(relevant)


def novelty(top: Sequence[int], touched_by: Sequence[int], users: int, k: int) -> float:
    """The mean of ``-log2`` of the share of users who touched an item; NaN of an empty list."""
    bits = [-math.log2(max(touched_by[item], 1) / users) for item in top[:k]]
    return sum(bits) / len(bits) if bits else math.nan


def mean_popularity(top: Sequence[int], touched_by: Sequence[int], k: int) -> float:
    return sum(touched_by[item] for item in top[:k]) / len(top[:k]) if top[:k] else math.nan


def similarity(top: Sequence[int], dense: Array, k: int) -> float:
    """The mean cosine of all pairs of a list's items; NaN where there is no pair, 0 of a row of zeros."""
    cosines = []
    for place, one in enumerate(top[:k]):
        for other in top[:place]:
            lengths = math.sqrt(inner(dense[one], dense[one]) * inner(dense[other], dense[other]))
            cosines.append(inner(dense[one], dense[other]) / lengths if lengths else 0.0)
    return sum(cosines) / len(cosines) if cosines else math.nan


def gini(tops: Sequence[Sequence[int]], n_items: int, k: int) -> float:
    """Half the mean absolute difference of all pairs of items' counts, over the mean count."""
    counts = [sum(item in top[:k] for top in tops) for item in range(n_items)]
    apart = sum(abs(one - other) for one in counts for other in counts)
    return apart / (2 * n_items * sum(counts)) if sum(counts) else math.nan


def coverage(tops: Sequence[Sequence[int]], n_items: int, k: int) -> float:
    return len({item for top in tops for item in top[:k]}) / n_items


def product(a: Array, b: Array) -> Array:
    """(n, m) inner products of the rows of ``a`` (n, k) with the columns of ``b`` (k, m)."""
    result = np.zeros((len(a), b.shape[1]))
    for i in range(len(a)):
        for j in range(b.shape[1]):
            for k in range(len(b)):
                result[i, j] += float(a[i, k]) * float(b[k, j])
    return result


def inner(x: Array, y: Array) -> float:
    return sum(float(a) * float(b) for a, b in zip(x, y, strict=True))


def bpr(positive: float, negatives: Sequence[float]) -> float:
    """The mean of ``log(1 + exp(n - p))``; 0 without negatives."""
    total = 0.0
    for negative in negatives:
        excess = negative - positive
        total += max(excess, 0.0) + math.log1p(math.exp(-abs(excess)))
    return total / max(len(negatives), 1)


def softmax(positive: float, negatives: Sequence[float]) -> float:
    """``-log(exp(p) / (exp(p) + sum exp(n)))``; 0 without negatives."""
    peak = max([positive, *negatives])
    odds = sum(math.exp(score - peak) for score in [positive, *negatives])
    return peak + math.log(odds) - positive


def bce(positive: float, negatives: Sequence[float], negative_weight: float) -> float:
    """``log(1 + exp(-p))``, and the weight times the mean of ``log(1 + exp(n))``."""
    return bpr(positive, [0.0]) + negative_weight * bpr(0.0, negatives)


def ccl(positive: float, negatives: Sequence[float], negative_weight: float, margin: float) -> float:
    """``1 - p``, and the weight times the mean of what negatives lie above the margin."""
    above = sum(max(0.0, negative - margin) for negative in negatives)
    return 1 - positive + negative_weight * above / max(len(negatives), 1)


def bsl(positives: Sequence[float], negatives: Sequence[float], sharpness: float) -> float:
    """The loss of one user's pairs together: a mean in the exponent of the negatives less that of the positives."""
    if not negatives:
        return 0.0
    far = math.log(sum(math.exp(sharpness * n) for n in negatives) / len(negatives)) / sharpness
    near = math.log(sum(math.exp(p) for p in positives) / len(positives))
    return len(positives) * (far - near)


Loss = Callable[[float, Sequence[float]], float]


def _by_pair(loss: Callable[..., float]) -> Callable[..., float]:
    def of_user(positives: Sequence[float], negatives: Sequence[Sequence[float]], **settings: float) -> float:
        return sum(loss(p, others, **settings) for p, others in zip(positives, negatives, strict=True))

    return of_user


# By name: the loss of one user's pairs, given the positives' scores and each one's negatives'.
LOSSES: dict[str, Callable[..., float]] = {
    "bpr": _by_pair(bpr),
    "softmax": _by_pair(softmax),
    "bce": _by_pair(bce),
    "ccl": _by_pair(ccl),
    "bsl": lambda positives, negatives, sharpness: bsl(positives, negatives[0], sharpness),
}


def central_differences(function: Callable[[Array], float], point: Array, step: float = 1e-5) -> Array:
    """The gradient of ``function`` at ``point``, entry by entry, right to about ``step ** 2``."""
    point = np.array(point, dtype=np.float64)
    gradient = np.zeros_like(point)
    for place in np.ndindex(point.shape):
        here = point[place]
        point[place] = here + step
        above = function(point)
        point[place] = here - step
        below = function(point)
        point[place] = here
        gradient[place] = (above - below) / (2 * step)
    return gradient


def decay_loss(
    dense: Array,
    pairs: Sequence[tuple[int, int]],
    negatives: Sequence[Sequence[int]],
    decay: Sequence[float],
    origin: np.ndarray,
) -> float:
    """What the L2 terms of a batch cost a table of which ``dense`` (rows, dim) holds every entry.

    Args:
        dense: the whole table, users first.
        pairs: user row and item row of each pair.
        negatives: item rows set against each pair.
        decay: L2 weights of a pair's user, its positive, and its negatives together, which share it
            evenly.
        origin: (rows, dim) what these draw the rows to.
    """
    total = 0.0
    apart = dense - origin
    for (user, item), others in zip(pairs, negatives, strict=True):
        total += decay[0] / 2 * inner(apart[user], apart[user])
        total += decay[1] / 2 * inner(apart[item], apart[item])
        total += decay[2] / 2 * sum(inner(apart[other], apart[other]) for other in others) / len(others)
    return total


def sgd(value: float, gradients: Sequence[float], rate: float) -> float:
    """One parameter after a step along each of ``gradients``."""
    for gradient in gradients:
        value -= rate * gradient
    return value


def adagrad(value: float, gradients: Sequence[float], rate: float, epsilon: float) -> float:
    squares = 0.0
    for gradient in gradients:
        squares += gradient * gradient
        value -= rate * gradient / (math.sqrt(squares) + epsilon)
    return value


def adam(
    value: float, gradients: Sequence[float], rate: float, beta1: float, beta2: float, epsilon: float
) -> float:
    first = second = 0.0
    for step, gradient in enumerate(gradients, 1):
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient * gradient
        corrected = math.sqrt(second / (1 - beta2**step)) + epsilon
        value -= rate * (first / (1 - beta1**step)) / corrected
    return value
