"""Users as weighted sums of item rows, and the way back.

The specification of each function is its twin's in ``kernels/reference/fism.py``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.compiled.elementary import dot
from sparserec_np.kernels.compiled.lanes import LINE_NUMBERS, add_lines
from sparserec_np.kernels.doors import inner, kernel, parallel

# Groups are handed to threads in runs of this many, so that a run's scratch row is allocated once.
RUN = 64

# Blocks are turned over in parts of this many rows: a cache line of float32.
TILE = 16


@parallel
def sum_rows(table: Any, weights: Any, starts: Any, items: Any, shares: Any, out: Any) -> None:
    begins, ends, columns, values = table
    for t in numba.prange(len(out)):
        own = out[t]
        own[:] = 0
        for m in range(starts[t], starts[t + 1]):
            weight = shares[m] * weights[items[m]]
            for k in range(np.uint64(begins[items[m]]), np.uint64(ends[items[m]])):
                own[columns[k]] += weight * values[k]


@inner
def _count(sizes: Any, least: Any) -> Any:
    count = 0
    for size in sizes:
        count += size >= least
    return count


@inner
def _between(sizes: Any, most: int) -> Any:
    """Finds bounds of the size from which on ``most`` are kept.

    All from the upper one on are, and of those between both, which are equal, as many as are left.
    """
    kind = sizes.dtype.type
    largest = kind(0)
    filled = 0
    for size in sizes:
        largest = max(largest, size)
        filled += size > 0
    low, high = kind(0), largest + largest
    if filled <= most:
        return low, low
    while True:
        middle = low + (high - low) / kind(2)
        if middle <= low or middle >= high:
            return low, high
        count = _count(sizes, middle)
        if count == most:
            return middle, middle
        if count > most:
            low = middle
        else:
            high = middle


@kernel
def cut_sums(
    table: Any,
    weights: Any,
    starts: Any,
    items: Any,
    shares: Any,
    dim: int,
    columns: Any,
    values: Any,
    counts: Any,
) -> None:
    begins, ends, stored, numbers = table
    full, sizes = np.empty(dim, dtype=numbers.dtype), np.empty(dim, dtype=numbers.dtype)
    most = columns.shape[1]
    for t in range(len(counts)):
        full[:] = 0
        for m in range(starts[t], starts[t + 1]):
            counted = shares[m] * weights[items[m]]
            for k in range(np.uint64(begins[items[m]]), np.uint64(ends[items[m]])):
                full[stored[k]] += counted * numbers[k]
        for c in range(dim):
            sizes[c] = abs(full[c])
        low, high = _between(sizes, most)
        equals = most - _count(sizes, high) if low < high else 0
        count = 0
        for c in range(dim):
            if sizes[c] < low or full[c] == 0:
                continue
            if sizes[c] < high:
                if equals == 0:
                    continue
                equals -= 1
            columns[t, count], values[t, count] = c, full[c]
            count += 1
        counts[t] = count


@parallel
def own_products(table: Any, rows: Any, out: Any) -> None:
    begins, ends, _, values = table
    for t in numba.prange(len(rows)):
        square = values.dtype.type(0)
        for k in range(np.uint64(begins[rows[t]]), np.uint64(ends[rows[t]])):
            square += values[k] * values[k]
        out[t] = square


@parallel
def spread_rows(
    table: Any,
    weights: Any,
    members: Any,
    shares: Any,
    starts: Any,
    rows: Any,
    local: Any,
    active: Any,
    explored: Any,
    weight_gradient: Any,
) -> None:
    begins, ends, columns, values = table
    slots, sums = explored
    groups = len(rows)
    dim = local.shape[1]
    for run in numba.prange((groups + RUN - 1) // RUN):
        scratch = np.zeros(dim, dtype=values.dtype)
        for g in range(run * RUN, min(groups, (run + 1) * RUN)):
            row = rows[g]
            first, last = begins[row], ends[row]
            weight = weights[row]
            if slots[row] >= 0:
                scratch[:] = 0
                for m in range(starts[g], starts[g + 1]):
                    source, share = local[members[m]], shares[m]
                    for c in range(dim):
                        scratch[c] += share * source[c]
                own = sums[slots[row]]
                for c in range(dim):
                    own[c] += weight * scratch[c]
            else:  # of the others, stored columns alone are asked for
                for k in range(np.uint64(first), np.uint64(last)):
                    scratch[columns[k]] = 0
                for m in range(starts[g], starts[g + 1]):
                    source, share = local[members[m]], shares[m]
                    for k in range(np.uint64(first), np.uint64(last)):
                        scratch[columns[k]] += share * source[columns[k]]
            product = values.dtype.type(0)
            for k in range(np.uint64(first), np.uint64(last)):
                active[k] += weight * scratch[columns[k]]
                product += values[k] * scratch[columns[k]]
            weight_gradient[row] += product


@parallel
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
    begins, ends, columns, values = table
    slots, sums = explored
    for g in numba.prange(len(rows)):
        row = rows[g]
        slope = values.dtype.type(0)
        for m in range(starts[g], starts[g + 1]):
            slope += slopes[members[m]]
        twice = -(slope + slope) * weights[row]
        slot = slots[row]
        square = values.dtype.type(0)
        for k in range(np.uint64(begins[row]), np.uint64(ends[row])):
            square += values[k] * values[k]
            active[k] += twice * values[k]
            if slot >= 0:
                sums[slot, columns[k]] += twice * values[k]
        weight_gradient[row] -= slope * square


@parallel
def score_pairs(full: Any, starts: Any, partners: Any, table: Any, out: Any) -> None:
    begins, ends, columns, values = table
    for t in numba.prange(len(full)):
        own = full[t]
        for m in range(starts[t], starts[t + 1]):
            score = values.dtype.type(0)
            for k in range(np.uint64(begins[partners[m]]), np.uint64(ends[partners[m]])):
                score += own[columns[k]] * values[k]
            out[m] = score


@inner
def _turned(block: Any, first: int, out: Any) -> None:
    """Writes 64 rows of ``block`` (m, n) from ``first`` on, or as many as there are, as columns of a line each.

    ``out[64 * c + u] = block[first + u, c]``; what stands beyond the last row stays as it is.
    """
    count, width = min(LINE_NUMBERS, len(block) - first), block.shape[1]
    for begin in range(0, width, TILE):
        for u in range(count):
            row = block[first + u]
            for c in range(begin, min(begin + TILE, width)):
                out[LINE_NUMBERS * c + u] = row[c]


@inner
def _entries_of(rows: Any, begins: Any, ends: Any) -> Any:
    """Counts the entries of ``rows`` (m,): where those of each begin in a row of all of them, (m + 1,)."""
    bounds = np.zeros(len(rows) + 1, dtype=np.int64)
    for s in range(len(rows)):
        bounds[s + 1] = bounds[s] + (ends[rows[s]] - begins[rows[s]])
    return bounds


@parallel
def score_block(full: Any, rows: Any, table: Any, out: Any) -> None:
    begins, ends, columns, values = table
    users, dim = full.shape
    bounds = _entries_of(rows, begins, ends)
    places, numbers = np.empty(bounds[-1], dtype=np.int64), np.empty(bounds[-1], dtype=values.dtype)
    for s in range(len(rows)):
        for e in range(bounds[s], bounds[s + 1]):
            k = begins[rows[s]] + (e - bounds[s])
            places[e], numbers[e] = LINE_NUMBERS * np.int64(columns[k]), values[k]
    for strip in numba.prange((users + LINE_NUMBERS - 1) // LINE_NUMBERS):
        first = strip * LINE_NUMBERS
        turned, lines = (
            np.zeros(LINE_NUMBERS * dim, values.dtype),
            np.empty(LINE_NUMBERS * TILE, values.dtype),
        )
        _turned(full, first, turned)
        for begin in range(0, len(rows), TILE):
            end = min(begin + TILE, len(rows))
            lines[:] = 0
            for s in range(begin, end):
                add_lines(
                    numbers, places, bounds[s], bounds[s + 1], 0, turned, lines, (s - begin) * LINE_NUMBERS
                )
            for u in range(min(LINE_NUMBERS, users - first)):
                for s in range(begin, end):
                    out[first + u, s] = lines[(s - begin) * LINE_NUMBERS + u]


@parallel
def add_partners(partners: Any, starts: Any, slopes: Any, table: Any, out: Any) -> None:
    begins, ends, columns, values = table
    for t in numba.prange(len(out)):
        own = out[t]
        for m in range(starts[t], starts[t + 1]):
            for k in range(np.uint64(begins[partners[m]]), np.uint64(ends[partners[m]])):
                own[columns[k]] += slopes[m] * values[k]


@parallel
def add_block(rows: Any, slopes: Any, table: Any, out: Any) -> None:
    begins, ends, columns, values = table
    users, dim = out.shape
    bounds = np.zeros(dim + 1, dtype=np.int64)  # of the entries of the block, by column
    for s in range(len(rows)):
        for k in range(np.uint64(begins[rows[s]]), np.uint64(ends[rows[s]])):
            bounds[columns[k] + 1] += 1
    for c in range(dim):
        bounds[c + 1] += bounds[c]
    filled = bounds[:-1].copy()
    places, numbers = np.empty(bounds[-1], dtype=np.int64), np.empty(bounds[-1], dtype=values.dtype)
    for s in range(len(rows)):
        for k in range(np.uint64(begins[rows[s]]), np.uint64(ends[rows[s]])):
            e = filled[columns[k]]
            places[e], numbers[e] = LINE_NUMBERS * s, values[k]
            filled[columns[k]] = e + 1
    for strip in numba.prange((users + LINE_NUMBERS - 1) // LINE_NUMBERS):
        first = strip * LINE_NUMBERS
        turned = np.zeros(LINE_NUMBERS * len(rows), values.dtype)
        lines = np.empty(LINE_NUMBERS * TILE, values.dtype)
        _turned(slopes, first, turned)
        for begin in range(0, dim, TILE):
            end = min(begin + TILE, dim)
            lines[:] = 0
            for c in range(begin, end):
                add_lines(
                    numbers, places, bounds[c], bounds[c + 1], 0, turned, lines, (c - begin) * LINE_NUMBERS
                )
            for u in range(min(LINE_NUMBERS, users - first)):
                for c in range(begin, end):
                    out[first + u, c] += lines[(c - begin) * LINE_NUMBERS + u]


@parallel
def pull_pairs(
    full: Any,
    members: Any,
    starts: Any,
    rows: Any,
    slopes: Any,
    owners: Any,
    table: Any,
    active: Any,
    explored: Any,
) -> None:
    begins, ends, columns, _ = table
    slots, sums = explored
    dim = full.shape[1]
    for g in numba.prange(len(rows)):
        first, last = begins[rows[g]], ends[rows[g]]
        slot = slots[rows[g]]
        for m in range(starts[g], starts[g + 1]):
            slope, source = slopes[members[m]], full[owners[members[m]]]
            for k in range(np.uint64(first), np.uint64(last)):
                active[k] += slope * source[columns[k]]
            if slot >= 0:
                for c in range(dim):
                    sums[slot, c] += slope * source[c]


@parallel
def turn(block: Any, out: Any) -> None:
    rows, width = block.shape
    for tile in numba.prange((width + TILE - 1) // TILE):
        begin, end = tile * TILE, min((tile + 1) * TILE, width)
        for first in range(0, rows, TILE):
            last = min(first + TILE, rows)
            for c in range(begin, end):
                for r in range(first, last):
                    out[c, r] = block[r, c]


@parallel
def pull_block(by_column: Any, rows: Any, slopes: Any, table: Any, active: Any, explored: Any) -> None:
    begins, ends, columns, values = table
    slots, sums = explored
    dim, users = by_column.shape
    for s in numba.prange(len(rows)):
        slot = slots[rows[s]]
        own = slopes[s]
        for k in range(np.uint64(begins[rows[s]]), np.uint64(ends[rows[s]])):
            active[k] += dot(own, by_column[columns[k]])
        if slot >= 0:
            for c in range(dim):
                sums[slot, c] += dot(own, by_column[c])
