"""Users as weighted sums of item rows, and the way back.

The specification of each function is its twin's in ``kernels/reference/fism.py``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

# Groups are handed to threads in runs of this many, so that a run's scratch row is allocated once.
RUN = 64


@numba.njit(parallel=True, nogil=True, cache=True)
def sum_rows(table: Any, weights: Any, indptr: Any, items: Any, users: Any, out: Any) -> None:
    bounds, columns, values = table
    for t in numba.prange(len(users)):
        own = out[t]
        own[:] = 0
        for m in range(indptr[users[t]], indptr[users[t] + 1]):
            weight = weights[items[m]]
            for k in range(bounds[items[m]], bounds[items[m] + 1]):
                own[columns[k]] += weight * values[k]


@numba.njit(parallel=True, nogil=True, cache=True)
def own_products(table: Any, rows: Any, out: Any) -> None:
    indptr, _, values = table
    for t in numba.prange(len(rows)):
        square = values.dtype.type(0)
        for k in range(indptr[rows[t]], indptr[rows[t] + 1]):
            square += values[k] * values[k]
        out[t] = square


@numba.njit(parallel=True, nogil=True, cache=True)
def spread_rows(
    table: Any,
    weights: Any,
    members: Any,
    starts: Any,
    rows: Any,
    local: Any,
    active: Any,
    explored: Any,
    weight_gradient: Any,
) -> None:
    indptr, columns, values = table
    slots, sums = explored
    groups = len(rows)
    dim = local.shape[1]
    for run in numba.prange((groups + RUN - 1) // RUN):
        scratch = np.zeros(dim, dtype=values.dtype)
        for g in range(run * RUN, min(groups, (run + 1) * RUN)):
            row = rows[g]
            first, last = indptr[row], indptr[row + 1]
            weight = weights[row]
            if slots[row] >= 0:
                scratch[:] = 0
                for m in range(starts[g], starts[g + 1]):
                    source = local[members[m]]
                    for c in range(dim):
                        scratch[c] += source[c]
                own = sums[slots[row]]
                for c in range(dim):
                    own[c] += weight * scratch[c]
            else:  # of the others, stored columns alone are asked for
                for k in range(first, last):
                    scratch[columns[k]] = 0
                for m in range(starts[g], starts[g + 1]):
                    source = local[members[m]]
                    for k in range(first, last):
                        scratch[columns[k]] += source[columns[k]]
            product = values.dtype.type(0)
            for k in range(first, last):
                active[k] += weight * scratch[columns[k]]
                product += values[k] * scratch[columns[k]]
            weight_gradient[row] += product


@numba.njit(parallel=True, nogil=True, cache=True)
def leave_out(
    table: Any,
    weights: Any,
    members: Any,
    starts: Any,
    rows: Any,
    slopes: Any,
    active: Any,
    explored: Any,
    weight_gradient: Any,
) -> None:
    indptr, columns, values = table
    slots, sums = explored
    for g in numba.prange(len(rows)):
        row = rows[g]
        slope = values.dtype.type(0)
        for m in range(starts[g], starts[g + 1]):
            slope += slopes[members[m]]
        twice = -(slope + slope) * weights[row]
        slot = slots[row]
        square = values.dtype.type(0)
        for k in range(indptr[row], indptr[row + 1]):
            square += values[k] * values[k]
            active[k] += twice * values[k]
            if slot >= 0:
                sums[slot, columns[k]] += twice * values[k]
        weight_gradient[row] -= slope * square
