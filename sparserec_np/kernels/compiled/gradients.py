"""Gradients of stored entries, and of all entries of explored rows.

The specification of each function is its twin's in ``kernels/reference/gradients.py``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.compiled.elementary import dot
from sparserec_np.kernels.doors import parallel

RUN = 64


@parallel
def pair_gradients(
    table: Any, rows: Any, starts: Any, partners: Any, slopes: Any, gradient: Any, explored: Any
) -> None:
    indptr, columns, values = table
    slots, sums = explored
    groups = len(rows)
    dim = sums.shape[1]
    for run in numba.prange((groups + RUN - 1) // RUN):
        scratch = np.zeros(dim, dtype=values.dtype)
        for g in range(run * RUN, min(groups, (run + 1) * RUN)):
            row = rows[g]
            scratch[:] = 0
            for m in range(starts[g], starts[g + 1]):
                for k in range(indptr[partners[m]], indptr[partners[m] + 1]):
                    scratch[columns[k]] += slopes[m] * values[k]
            for k in range(indptr[row], indptr[row + 1]):
                gradient[k] += scratch[columns[k]]
            if slots[row] >= 0:
                own = sums[slots[row]]
                for c in range(dim):
                    own[c] += scratch[c]


@parallel
def row_gradients(table: Any, rows: Any, slopes: Any, block: Any, gradient: Any, explored: Any) -> None:
    indptr, columns, _ = table
    slots, sums = explored
    for g in numba.prange(len(rows)):
        row = rows[g]
        for k in range(indptr[row], indptr[row + 1]):
            gradient[k] += dot(block[columns[k]], slopes[g])
        if slots[row] >= 0:
            own = sums[slots[row]]
            for c in range(block.shape[0]):
                own[c] += dot(block[c], slopes[g])


@parallel
def block_gradients(table: Any, rows: Any, slopes: Any, partial: Any) -> None:
    indptr, columns, values = table
    runs = partial.shape[0]
    size = partial.shape[2]
    groups = len(rows)
    each = (groups + runs - 1) // runs
    for run in numba.prange(runs):
        own = partial[run]
        own[:] = 0
        for g in range(run * each, min(groups, (run + 1) * each)):
            d = slopes[g]
            for k in range(indptr[rows[g]], indptr[rows[g] + 1]):
                value = values[k]
                out = own[columns[k]]
                for s in range(size):
                    out[s] += value * d[s]
    for c in numba.prange(partial.shape[1]):
        out = partial[0, c]
        for run in range(1, runs):
            more = partial[run, c]
            for s in range(size):
                out[s] += more[s]


@parallel
def spread_block(table: Any, rows: Any, block: Any, gradient: Any, explored: Any) -> None:
    indptr, columns, _ = table
    slots, sums = explored
    for s in numba.prange(len(rows)):
        row = rows[s]
        for k in range(indptr[row], indptr[row + 1]):
            gradient[k] += block[columns[k], s]
        if slots[row] >= 0:
            own = sums[slots[row]]
            for c in range(block.shape[0]):
                own[c] += block[c, s]


@parallel
def decay_gradients(table: Any, rows: Any, weights: Any, origin: Any, gradient: Any) -> None:
    starts, ends, _, values = table
    for g in numba.prange(len(rows)):
        for k in range(starts[rows[g]], ends[rows[g]]):
            away = values[k] - origin[k] if len(origin) else values[k]
            gradient[k] += weights[g] * away


@parallel
def add_row_norms(indptr: Any, rows: Any, gradient: Any, norms: Any) -> None:
    for t in numba.prange(len(rows)):
        square = gradient.dtype.type(0)
        for k in range(indptr[rows[t]], indptr[rows[t] + 1]):
            square += gradient[k] * gradient[k]
        norms[rows[t]] += np.sqrt(square)
