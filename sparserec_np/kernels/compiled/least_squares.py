"""Rows that solve least squares within their entries.

Specified by the twins in ``kernels/reference/least_squares.py``.

A row reads, of each row that it touched, the entries in columns that both store: a matrix of a few
columns is summed and factorised where a full row would have ``dim``. Every row is solved by one
thread, in the order of its entries.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.doors import inner, parallel


@parallel
def solve_rows(own: Any, equations: Any) -> None:
    others, indptr, touched, aims, gram, ridges, full, cross, trusts = equations
    starts, columns, values = own
    other_starts, other_columns, other_values = others
    for row in numba.prange(len(starts) - 1):
        first, last = starts[row], starts[row + 1]
        mine, aim = touched[indptr[row] : indptr[row + 1]], aims[indptr[row] : indptr[row + 1]]
        trust = trusts[indptr[row] : indptr[row + 1]] if len(trusts) else trusts
        pull = _pull(full[row], cross)
        x = _solution(
            columns[first:last],
            other_starts,
            other_columns,
            other_values,
            mine,
            aim,
            trust,
            gram,
            ridges[row],
            pull,
        )
        for k in range(last - first):
            values[first + k] = x[k]


@parallel
def weigh_rows(own: Any, equations: Any, first: Any, values: Any, worths: Any) -> None:
    others, indptr, touched, aims, gram, ridges, full, cross, trusts = equations
    starts, columns, _ = own
    other_starts, other_columns, other_values = others
    dim = len(gram)
    for t in numba.prange(len(values)):
        row = first + t
        kept = columns[starts[row] : starts[row + 1]]
        mine, aim = touched[indptr[row] : indptr[row + 1]], aims[indptr[row] : indptr[row + 1]]
        trust = trusts[indptr[row] : indptr[row + 1]] if len(trusts) else trusts
        found = _pull(full[row], cross)
        x = _solution(
            kept, other_starts, other_columns, other_values, mine, aim, trust, gram, ridges[row], found
        )
        spread = np.zeros(dim)
        curvature = np.empty(dim)
        for column in range(dim):
            curvature[column] = gram[column, column] + ridges[row]
        for k in range(len(kept)):
            spread[kept[k]] = x[k]
            for column in range(dim):
                found[column] -= gram[kept[k], column] * x[k]
        for m in range(len(mine)):
            begin, end = other_starts[mine[m]], other_starts[mine[m] + 1]
            rest = np.float64(aim[m])
            for k in range(begin, end):
                rest -= other_values[k] * spread[other_columns[k]]
            weight = np.float64(trust[m]) if len(trust) else 1.0
            rest *= weight
            for k in range(begin, end):
                value = np.float64(other_values[k])
                found[other_columns[k]] += rest * value
                curvature[other_columns[k]] += weight * value * value
        for column in range(dim):
            found[column] /= curvature[column]
        for k in range(len(kept)):
            found[kept[k]] = x[k]
        for column in range(dim):
            values[t, column] = found[column]
            worths[t, column] = curvature[column] * found[column] * found[column]


@inner
def _pull(row: Any, cross: Any) -> Any:
    """Computes ``row @ cross`` in float64, (dim,)."""
    pull = np.zeros(cross.shape[1])
    for k in range(len(row)):
        for column in range(len(pull)):
            pull[column] += row[k] * cross[k, column]
    return pull


@inner
def _solution(
    kept: Any,
    other_starts: Any,
    other_columns: Any,
    other_values: Any,
    mine: Any,
    aim: Any,
    trust: Any,
    gram: Any,
    ridge: Any,
    pull: Any,
) -> Any:
    """Solves for a row, by Cholesky's factorisation of the lower half of its matrix."""
    size = len(kept)
    place = np.full(len(gram), -1, np.int32)
    matrix = np.empty((size, size))
    x = np.empty(size)
    for a in range(size):
        place[kept[a]] = a
        x[a] = pull[kept[a]]
        for b in range(a + 1):
            matrix[a, b] = gram[kept[a], kept[b]]
        matrix[a, a] += ridge
    places = np.empty(size, np.int32)
    shared = np.empty(size)
    for m in range(len(mine)):
        count = 0
        for k in range(other_starts[mine[m]], other_starts[mine[m] + 1]):
            at = place[other_columns[k]]
            if at >= 0:  # rising, as columns are sorted in both rows
                places[count] = at
                shared[count] = other_values[k]
                count += 1
        weight = np.float64(trust[m]) if len(trust) else 1.0
        for i in range(count):
            own = weight * shared[i]
            x[places[i]] += aim[m] * own
            for j in range(i + 1):
                matrix[places[i], places[j]] += own * shared[j]
    for a in range(size):
        for b in range(a + 1):
            rest = matrix[a, b]
            for c in range(b):
                rest -= matrix[a, c] * matrix[b, c]
            if a > b:
                matrix[a, b] = rest / matrix[b, b]
            else:
                matrix[a, a] = np.sqrt(rest)
    for a in range(size):
        for b in range(a):
            x[a] -= matrix[a, b] * x[b]
        x[a] /= matrix[a, a]
    for a in range(size - 1, -1, -1):
        for b in range(a + 1, size):
            x[a] -= matrix[b, a] * x[b]
        x[a] /= matrix[a, a]
    return x
