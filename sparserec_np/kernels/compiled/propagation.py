"""Propagation over the graph.

The specification of each function is its twin's in ``kernels/reference/propagation.py``.

Work is done on blocks of 16 columns: a row of a block is a cache line, and both blocks of a step
stay near the core.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.arguments import STRIP_COLUMNS
from sparserec_np.kernels.compiled.elementary import sum_rows
from sparserec_np.kernels.doors import kernel, parallel

RUN = 64


@parallel
def read_rows(table: Any, rows: Any, local: Any) -> None:
    indptr, columns, values = table
    for t in numba.prange(len(rows)):
        own = local[t]
        own[:] = 0
        for k in range(indptr[rows[t]], indptr[rows[t] + 1]):
            own[columns[k]] = values[k]


@parallel
def read_columns(table: Any, first: Any, factors: Any, block: Any) -> None:
    indptr, columns, values = table
    for row in numba.prange(len(block)):
        own = block[row]
        own[:] = 0
        for k in range(indptr[row], indptr[row + 1]):
            c = np.int64(columns[k]) - first
            if 0 <= c < STRIP_COLUMNS:
                own[c] = values[k] * factors[row]


@parallel
def propagate(graph: Any, chunks: Any, block: Any, factors: Any, out: Any) -> None:
    indptr, neighbours = graph
    for chunk in numba.prange(len(chunks) - 1):
        for row in range(chunks[chunk], chunks[chunk + 1]):
            own = out[row]
            sum_rows(block, neighbours, indptr[row], indptr[row + 1], own)
            for c in range(STRIP_COLUMNS):
                own[c] *= factors[row]


@parallel
def add_rows(rows: Any, block: Any, factors: Any, first: Any, local: Any) -> None:
    for t in numba.prange(len(rows)):
        own = local[t, first : first + STRIP_COLUMNS]
        source = block[rows[t]]
        for c in range(STRIP_COLUMNS):
            own[c] += factors[rows[t]] * source[c]


@parallel
def add_propagated(graph: Any, rows: Any, block: Any, factors: Any, first: Any, local: Any) -> None:
    indptr, neighbours = graph
    for run in numba.prange((len(rows) + RUN - 1) // RUN):
        line = np.empty(STRIP_COLUMNS, dtype=block.dtype)
        for t in range(run * RUN, min(len(rows), (run + 1) * RUN)):
            sum_rows(block, neighbours, indptr[rows[t]], indptr[rows[t] + 1], line)
            own = local[t, first : first + STRIP_COLUMNS]
            for c in range(STRIP_COLUMNS):
                own[c] += factors[rows[t]] * line[c]


@kernel
def edges_from(graph: Any, rows: Any, indptr: Any, sources: Any) -> int:
    bounds, neighbours = graph
    indptr[:] = 0
    for t in range(len(rows)):
        for k in range(bounds[rows[t]], bounds[rows[t] + 1]):
            indptr[neighbours[k] + 1] += 1
    for row in range(1, len(indptr)):
        indptr[row] += indptr[row - 1]
    count = indptr[-1]
    for t in range(len(rows) - 1, -1, -1):
        for k in range(bounds[rows[t]], bounds[rows[t] + 1]):
            at = neighbours[k] + 1
            indptr[at] -= 1
            sources[indptr[at]] = t
    # indptr[row + 1] has come down to where row starts: shifted by one, it is the bounds again.
    for row in range(len(indptr) - 1):
        indptr[row] = indptr[row + 1]
    indptr[-1] = count
    return count


@parallel
def pull_columns(
    graph: Any, chunks: Any, table: Any, first: Any, block: Any, factors: Any, gradient: Any, explored: Any
) -> None:
    bounds, neighbours = graph
    indptr, columns, _ = table
    slots, sums = explored
    width = min(STRIP_COLUMNS, sums.shape[1] - first)
    for chunk in numba.prange(len(chunks) - 1):
        line = np.empty(STRIP_COLUMNS, dtype=block.dtype)
        for row in range(chunks[chunk], chunks[chunk + 1]):
            start, stop = indptr[row], indptr[row + 1]
            while start < stop and columns[start] < first:
                start += 1
            stop = start
            while stop < indptr[row + 1] and columns[stop] < first + STRIP_COLUMNS:
                stop += 1
            if start == stop and slots[row] < 0:
                continue
            sum_rows(block, neighbours, bounds[row], bounds[row + 1], line)
            for k in range(start, stop):
                gradient[k] += factors[row] * line[columns[k] - first]
            if slots[row] >= 0:
                own = sums[slots[row]]
                for c in range(width):
                    own[first + c] += factors[row] * line[c]


@parallel
def pull_rows(table: Any, rows: Any, local: Any, gradient: Any, explored: Any) -> None:
    indptr, columns, _ = table
    slots, sums = explored
    for t in numba.prange(len(rows)):
        row = rows[t]
        for k in range(indptr[row], indptr[row + 1]):
            gradient[k] += local[t, columns[k]]
        if slots[row] >= 0:
            own = sums[slots[row]]
            for c in range(len(own)):
                own[c] += local[t, c]
