"""Changes of which entries are stored. Specified by the twins in ``kernels/reference/topology.py``.

The smallest and the largest are selected, not sorted: a pass counts magnitudes by the upper half of
their bits, which rise with the number, another one the lower half where the limit falls, and a last
one takes what lies on its side. So the work is linear, and its memory that of the counts.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.doors import inner, kernel, parallel

LOW_BITS = 15  # of the 31 of a magnitude
LOW = (1 << LOW_BITS) - 1
HIGH_COUNTS = 1 << (31 - LOW_BITS)


@inner
def _bits(value: Any) -> Any:
    return np.int64(np.float32(abs(value)).view(np.int32))


@inner
def _first_reaching(counts: Any, wanted: int) -> Any:
    """Finds the place at which ``counts`` reach ``wanted``, and how much of it is wanted."""
    before = 0
    for k in range(len(counts)):
        if before + counts[k] >= wanted:
            return k, wanted - before
        before += counts[k]
    return len(counts), 0


@kernel
def mark_prunable(table: Any, inside: Any, floor: int, kept: Any) -> int:
    indptr, _, values = table
    free = 0
    for row in range(len(inside)):
        begin, end = indptr[row], indptr[row + 1]
        if not inside[row]:
            kept[begin:end] = True
            continue
        kept[begin:end] = False
        stay = min(floor, end - begin)
        for _ in range(stay):
            largest = begin - 1
            for k in range(begin, end):
                if not kept[k] and (largest < begin or _bits(values[k]) > _bits(values[largest])):
                    largest = k
            kept[largest] = True
        free += end - begin - stay
    return free


@kernel
def keep_larger(values: Any, count: int, kept: Any) -> float:
    if count == 0:
        kept[:] = True
        return 0.0
    counts = np.zeros(HIGH_COUNTS, dtype=np.int64)
    for k in range(len(values)):
        if not kept[k]:
            counts[_bits(values[k]) >> LOW_BITS] += 1
    high, wanted = _first_reaching(counts, count)
    counts[: LOW + 1] = 0
    for k in range(len(values)):
        if not kept[k] and _bits(values[k]) >> LOW_BITS == high:
            counts[_bits(values[k]) & LOW] += 1
    low, ties = _first_reaching(counts[: LOW + 1], wanted)
    limit = (high << LOW_BITS) + low
    largest = np.float64(0)
    for k in range(len(values)):
        if kept[k]:
            continue
        bits = _bits(values[k])
        goes = bits < limit
        if bits == limit and ties > 0:
            goes = True
            ties -= 1
        if goes:
            largest = max(largest, np.float64(abs(values[k])))
        kept[k] = not goes
    return largest


@inner
def _inactive(table: Any, explored: Any, row: int, out: Any) -> None:
    """Fills ``out`` (dim,) with the sums of a row, and zero in place of active entries."""
    indptr, columns, _ = table
    slots, sums = explored
    own = sums[slots[row]]
    for c in range(len(out)):
        out[c] = own[c]
    for k in range(indptr[row], indptr[row + 1]):
        out[columns[k]] = 0


@kernel
def largest_inactive(table: Any, explored: Any, count: int, rows: Any, columns: Any, gradients: Any) -> int:
    slots, sums = explored
    own = np.empty(sums.shape[1], dtype=np.float32)
    counts = np.zeros(HIGH_COUNTS, dtype=np.int64)  # of the largest magnitudes first
    there = 0
    for row in range(len(slots)):
        if slots[row] >= 0:
            _inactive(table, explored, row, own)
            for c in range(len(own)):
                bits = _bits(own[c])
                there += bits != 0
                counts[HIGH_COUNTS - 1 - (bits >> LOW_BITS)] += 1
    if there < count:
        count = there
    if count == 0:
        return 0
    place, wanted = _first_reaching(counts, count)
    high = HIGH_COUNTS - 1 - place
    many = count - wanted + counts[place]  # those that the upper bits leave, as a rule few more than wanted
    counts[: LOW + 1] = 0
    near_rows, near_columns = np.empty(many, dtype=rows.dtype), np.empty(many, dtype=columns.dtype)
    near = np.empty(many, dtype=np.float32)
    found = 0
    for row in range(len(slots)):
        if slots[row] >= 0:
            _inactive(table, explored, row, own)
            for c in range(len(own)):
                bits = _bits(own[c])
                if bits >> LOW_BITS < high or bits == 0:
                    continue
                near_rows[found], near_columns[found], near[found] = row, c, own[c]
                found += 1
                if bits >> LOW_BITS == high:
                    counts[LOW - (bits & LOW)] += 1
    place, ties = _first_reaching(counts[: LOW + 1], wanted)
    limit = (high << LOW_BITS) + LOW - place
    kept = 0
    for k in range(found):
        bits = _bits(near[k])
        if bits > limit or (bits == limit and ties > 0):
            ties -= bits == limit
            rows[kept], columns[kept], gradients[kept] = near_rows[k], near_columns[k], near[k]
            kept += 1
    return kept


@kernel
def merge(table: Any, kept: Any, rows: Any, columns: Any, indptr: Any, places: Any) -> None:
    old, stored, _ = table
    at, g = 0, 0
    indptr[0] = 0
    for row in range(len(old) - 1):
        for k in range(old[row], old[row + 1]):
            if not kept[k]:
                continue
            while g < len(rows) and rows[g] == row and columns[g] < stored[k]:
                places[g] = at
                at += 1
                g += 1
            at += 1
        while g < len(rows) and rows[g] == row:
            places[g] = at
            at += 1
            g += 1
        indptr[row + 1] = at


@kernel
def move(state: Any, kept: Any, places: Any, grown: Any) -> None:
    stay = 0
    for k in range(len(state)):  # those that stay move to the front,
        if kept[k]:
            state[stay] = state[k]
            stay += 1
    g = len(places) - 1
    for k in range(len(state) - 1, -1, -1):  # and from the last one on to where they belong
        if g < 0:
            break
        if places[g] == k:
            state[k] = grown[g]
            g -= 1
        else:
            stay -= 1
            state[k] = state[stay]


@parallel
def rewrite(table: Any, kept: Any, places: Any, columns: Any, values: Any, indptr: Any) -> None:
    old_indptr, old_columns, old_values = table
    for part in numba.prange(2):
        if part == 0:
            move(old_columns, kept, places, columns)
        else:
            move(old_values, kept, places, values)
    for row in range(len(indptr)):  # as a slice it would take ten times as long to compile
        old_indptr[row] = indptr[row]


@kernel
def row_means(indptr: Any, state: Any, rows: Any, means: Any) -> None:
    for g in range(len(rows)):
        if g > 0 and rows[g] == rows[g - 1]:
            means[g] = means[g - 1]
            continue
        total = np.float64(0)
        begin, end = indptr[rows[g]], indptr[rows[g] + 1]
        for k in range(begin, end):
            total += state[k]
        means[g] = total / max(end - begin, 1)
