"""Propagation over the graph.

The specification of each function is its twin's in ``kernels/reference/propagation.py``.

Work is done on blocks of 32 columns: a row of a block is two cache lines, which the processor
fetches as a pair, and both blocks of a step stay near the core.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.arguments import BLOCK_COLUMNS, STRIP_COLUMNS
from sparserec_np.kernels.compiled.elementary import add_to_rows, sum_wide_rows
from sparserec_np.kernels.doors import parallel

RUN = 64
HALVES = BLOCK_COLUMNS // STRIP_COLUMNS


@parallel
def read_rows(table: Any, rows: Any, local: Any) -> None:
    indptr, columns, values = table
    for t in numba.prange(len(rows)):
        own = local[t]
        own[:] = 0
        for k in range(indptr[rows[t]], indptr[rows[t] + 1]):
            own[columns[k]] = values[k]


@parallel
def read_columns(chunks: Any, table: Any, strip: Any, factors: Any, block: Any) -> None:
    indptr, columns, values = table
    first, order, begins = strip
    past = first + BLOCK_COLUMNS
    # Numba drops what a parallel loop writes at its own index to an array out of a tuple: it takes
    # the array for one that nobody reads. So the loop goes over chunks.
    for chunk in numba.prange(len(chunks) - 1):
        for place in range(chunks[chunk], chunks[chunk + 1]):
            own = block[place]
            own[:] = 0
            k, end = begins[place], indptr[order[place] + 1]
            while k < end and columns[k] < past:
                own[columns[k] - first] = values[k] * factors[place]
                k += 1
            begins[place] = k


@parallel
def propagate(graph: Any, chunks: Any, block: Any, factors: Any, out: Any) -> None:
    indptr, neighbours = graph
    for chunk in numba.prange(len(chunks) - 1):
        for row in range(chunks[chunk], chunks[chunk + 1]):
            own = out[row]
            sum_wide_rows(block, neighbours, indptr[row], indptr[row + 1], factors[row], own)


@parallel
def add_rows(rows: Any, block: Any, factors: Any, first: Any, local: Any) -> None:
    for t in numba.prange(len(rows)):
        own = local[t, first : first + BLOCK_COLUMNS]
        source = block[rows[t]]
        for c in range(len(own)):
            own[c] += factors[rows[t]] * source[c]


@parallel
def add_propagated(graph: Any, rows: Any, block: Any, factors: Any, first: Any, local: Any) -> None:
    indptr, neighbours = graph
    one = block.dtype.type(1)
    for run in numba.prange((len(rows) + RUN - 1) // RUN):
        line = np.empty(BLOCK_COLUMNS, dtype=block.dtype)
        for t in range(run * RUN, min(len(rows), (run + 1) * RUN)):
            row = rows[t]
            sum_wide_rows(block, neighbours, indptr[row], indptr[row + 1], one, line)
            own = local[t, first : first + BLOCK_COLUMNS]
            for c in range(len(own)):
                own[c] += factors[row] * line[c]


@parallel
def spread_rows(graph: Any, middle: int, rows: Any, given: Any, factors: Any, out: Any) -> None:
    indptr, neighbours = graph
    for row in numba.prange(len(out)):
        out[row] = 0
    # Users' lines go to items and items' to users, and each half of a line by itself: no two of
    # the four parts write to the same cache line.
    for part in numba.prange(2 * HALVES):
        first, of_users = part // 2 * STRIP_COLUMNS, part % 2 == 0
        for t in range(len(rows)):
            row = rows[t]
            if (row < middle) == of_users:
                line = given[t, first : first + STRIP_COLUMNS]
                add_to_rows(line, neighbours, indptr[row], indptr[row + 1], out, first)
    for row in numba.prange(len(out)):
        factor = factors[row]
        for c in range(BLOCK_COLUMNS):
            out[row, c] *= factor


@parallel
def add_lines(rows: Any, given: Any, out: Any) -> None:
    for t in numba.prange(len(rows)):
        own = out[rows[t]]
        for c in range(BLOCK_COLUMNS):
            own[c] += given[t, c]


@parallel
def pull_columns(
    graph: Any, chunks: Any, table: Any, strip: Any, block: Any, factors: Any, gradient: Any, explored: Any
) -> None:
    bounds, neighbours = graph
    indptr, columns, _ = table
    first, order, begins = strip
    slots, sums = explored
    one = block.dtype.type(1)
    past, width = first + BLOCK_COLUMNS, min(BLOCK_COLUMNS, sums.shape[1] - first)
    for chunk in numba.prange(len(chunks) - 1):
        line = np.empty(BLOCK_COLUMNS, dtype=block.dtype)
        for place in range(chunks[chunk], chunks[chunk + 1]):
            row = order[place]
            k, end, slot = begins[place], indptr[row + 1], slots[row]
            if slot < 0 and (k == end or columns[k] >= past):
                continue
            sum_wide_rows(block, neighbours, bounds[place], bounds[place + 1], one, line)
            while k < end and columns[k] < past:  # one loop: where it ends, nobody can foresee
                gradient[k] += factors[place] * line[columns[k] - first]
                k += 1
            begins[place] = k
            if slot >= 0:
                own = sums[slot]
                for c in range(width):
                    own[first + c] += factors[place] * line[c]


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
