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
ROWS_APART = 8  # rows of which one tells how large the largest of all are


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
    high, ties = _first_reaching(counts, count)
    near = np.empty(counts[high], dtype=np.int64)  # the places that the upper bits leave, as a rule few
    found = 0
    largest = np.float64(0)
    for k in range(len(values)):
        if kept[k]:
            continue
        upper = _bits(values[k]) >> LOW_BITS
        goes = upper < high  # no branch: which way it goes is nobody's to foresee
        kept[k] = not goes
        largest = max(largest, np.float64(abs(values[k])) if goes else largest)
        if upper == high:
            near[found] = k
            found += 1
    counts[: LOW + 1] = 0
    for k in near:
        counts[_bits(values[k]) & LOW] += 1
    low, ties = _first_reaching(counts[: LOW + 1], ties)
    for k in near:
        bits = _bits(values[k]) & LOW
        if bits < low or (bits == low and ties > 0):
            ties -= bits == low
            kept[k] = False
            largest = max(largest, np.float64(abs(values[k])))
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


@inner
def _limit(table: Any, explored: Any, count: Any, every: int, own: Any) -> Any:
    """Finds bits that the ``count`` largest inactive sums reach, and how many reach them.

    Only one row of ``every`` is looked at: both are then guesses of what all rows have.
    """
    slots, _ = explored
    counts = np.zeros(HIGH_COUNTS, dtype=np.int64)  # of the largest magnitudes first
    there = seen = 0
    for row in range(len(slots)):
        if slots[row] < 0:
            continue
        seen += 1
        if seen % every == 0:
            _inactive(table, explored, row, own)
            for c in range(len(own)):
                bits = _bits(own[c])
                there += bits != 0
                counts[HIGH_COUNTS - 1 - (bits >> LOW_BITS)] += 1
    if there == 0 or there * every <= count:
        return 1, there * every
    wanted = max(count // every, 1)
    place, rest = _first_reaching(counts, wanted)
    many = (wanted - rest + counts[place]) * every
    return max((HIGH_COUNTS - 1 - place) << LOW_BITS, 1), many


@inner
def _reaching(table: Any, explored: Any, limit: Any, rows: Any, columns: Any, own: Any) -> int:
    """Lists the inactive entries whose bits reach ``limit``; returns how many, -1 for want of room."""
    slots, _ = explored
    found, dim = 0, len(own)
    for row in range(len(slots)):
        if slots[row] >= 0:
            if found + dim > len(rows):
                return -1
            _inactive(table, explored, row, own)
            for c in range(dim):  # no branch: what does not reach it is overwritten
                rows[found], columns[found] = row, c
                found += _bits(own[c]) >= limit
    return found


@kernel
def largest_inactive(table: Any, explored: Any, count: int, rows: Any, columns: Any, gradients: Any) -> int:
    slots, sums = explored
    own = np.empty(sums.shape[1], dtype=np.float32)
    near_rows, near_columns = rows[:0], columns[:0]
    found = -1
    for every in (ROWS_APART, 1):  # as a rule a part of the rows tells of all
        wanted = count if every == 1 else count + count // 4
        limit, many = _limit(table, explored, wanted, every, own)
        room = len(own) + (many if every == 1 else 2 * many)
        near_rows, near_columns = np.empty(room, dtype=rows.dtype), np.empty(room, dtype=columns.dtype)
        found = _reaching(table, explored, limit, near_rows, near_columns, own)
        if found >= count:
            break
    count = min(count, found)
    if count == 0:
        return 0
    near = np.empty(found, dtype=np.float32)
    counts = np.zeros(HIGH_COUNTS, dtype=np.int64)  # of the largest magnitudes first, as in `_limit`
    for k in range(found):
        near[k] = sums[slots[near_rows[k]], near_columns[k]]
        counts[HIGH_COUNTS - 1 - (_bits(near[k]) >> LOW_BITS)] += 1
    place, ties = _first_reaching(counts, count)
    high = HIGH_COUNTS - 1 - place
    counts[: LOW + 1] = 0
    for k in range(found):
        if _bits(near[k]) >> LOW_BITS == high:
            counts[LOW - (_bits(near[k]) & LOW)] += 1
    place, ties = _first_reaching(counts[: LOW + 1], ties)
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
    # Unsigned, as Numba asks of other numbers whether they count from the end.
    stay, one = np.uint64(0), np.uint64(1)
    for k in range(np.uint64(len(state))):  # those that stay move to the front, without a branch,
        state[stay] = state[k]
        stay += np.uint64(kept[k])
    at = np.uint64(len(state))
    for g in range(len(places) - 1, -1, -1):  # and from the last one on to where they belong
        above = np.uint64(places[g]) + one
        while at > above:
            at -= one
            stay -= one
            state[at] = state[stay]
        at -= one
        state[at] = grown[g]


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
