"""Users' rows that are solved for from the item rows they touched.

The specification of each function is its twin's in ``kernels/reference/ridge.py``. Every user is
solved for by one thread. All steps are in the order of ``runtime.solved_row``: a product of two
float32 numbers is exact in float64, and what is summed is summed in the same order.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.doors import inner, parallel


@parallel
def solve_users(
    table: Any,
    base: Any,
    least: Any,
    places: Any,
    indptr: Any,
    items: Any,
    trusts: Any,
    users: Any,
    columns: Any,
    values: Any,
    counts: Any,
) -> None:
    bounds, table_columns, table_values = table
    most = values.shape[1]
    for t in numba.prange(len(users)):
        touched = items[indptr[users[t]] : indptr[users[t] + 1]]
        trust = trusts[indptr[users[t]] : indptr[users[t] + 1]] if len(trusts) else trusts
        kept = _columns_of(touched, bounds, table_columns, len(places))
        if least == 0:
            kept = kept[:0]
        shared = places[kept]
        products, target = _products_of(
            touched, trust, bounds, table_columns, table_values, kept, len(places)
        )
        for a in range(len(kept)):
            for b in range(a, len(kept)):
                products[a, b] += base[shared[a], shared[b]]
        if len(kept) <= most:
            x = _eliminated(products, target, least)
        else:
            solved = _eliminated(products.copy(), target.copy(), least)
            worths = np.empty(len(kept))
            for k in range(len(kept)):
                worths[k] = -(solved[k] * solved[k] * base[shared[k], shared[k]])
            best = np.sort(np.argsort(worths, kind="mergesort")[:most])
            some, aims = np.empty((most, most)), np.empty(most)
            for a in range(most):
                aims[a] = target[best[a]]
                for b in range(a, most):
                    some[a, b] = products[best[a], best[b]]
            x = _eliminated(some, aims, least)
            kept = kept[best]
        counts[t] = len(kept)
        for k in range(len(kept)):
            columns[t, k] = kept[k]
            values[t, k] = x[k]


@inner
def _columns_of(touched: Any, bounds: Any, columns: Any, dim: Any) -> Any:
    """Finds the columns in which a touched row has an entry, ascending."""
    there = np.zeros(dim, np.bool_)
    for item in touched:
        for k in range(bounds[item], bounds[item + 1]):
            there[columns[k]] = True
    return np.flatnonzero(there)


@inner
def _products_of(
    touched: Any, trust: Any, bounds: Any, columns: Any, values: Any, kept: Any, dim: Any
) -> Any:
    """Sums the products of all pairs of entries, right of the diagonal and on it, and the entries.

    Each row counts as much as it is to be trusted.
    """
    size = len(kept)
    place = np.zeros(dim, np.int64)
    for k in range(size):
        place[kept[k]] = k
    products, target = np.zeros((size, size)), np.zeros(size)
    if size:
        for m in range(len(touched)):
            item, weight = touched[m], np.float64(trust[m]) if len(trust) else 1.0
            for k in range(bounds[item], bounds[item + 1]):
                at, value = place[columns[k]], weight * np.float64(values[k])
                target[at] += value
                row = products[at]
                for other in range(k, bounds[item + 1]):
                    row[place[columns[other]]] += value * np.float64(values[other])
    return products, target


@inner
def _eliminated(matrix: Any, target: Any, least: Any) -> Any:
    """Solves by elimination, as ``runtime._eliminated``; what it divides by is at least ``least``."""
    size = len(target)
    for k in range(size):
        if matrix[k, k] < least:
            matrix[k, k] = least
        pivot, row = matrix[k, k], matrix[k]
        for a in range(k + 1, size):
            factor = row[a] / pivot
            own = matrix[a]
            for b in range(a, size):
                own[b] -= factor * row[b]
            target[a] -= factor * target[k]
    for k in range(size - 1, -1, -1):
        target[k] /= matrix[k, k]
        for a in range(k):
            target[a] -= matrix[a, k] * target[k]
    return target
