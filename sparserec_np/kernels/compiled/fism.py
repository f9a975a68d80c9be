"""Users as weighted sums of item rows, and the way back.

The specification of each function is its twin's in ``kernels/reference/fism.py``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.compiled.elementary import dot
from sparserec_np.kernels.doors import inner, kernel, parallel

# Groups are handed to threads in runs of this many, so that a run's scratch row is allocated once.
RUN = 64


@parallel
def sum_rows(table: Any, weights: Any, starts: Any, items: Any, shares: Any, out: Any) -> None:
    bounds, columns, values = table
    for t in numba.prange(len(out)):
        own = out[t]
        own[:] = 0
        for m in range(starts[t], starts[t + 1]):
            weight = shares[m] * weights[items[m]]
            for k in range(np.uint64(bounds[items[m]]), np.uint64(bounds[items[m] + 1])):
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
    bounds, stored, numbers = table
    full, sizes = np.empty(dim, dtype=numbers.dtype), np.empty(dim, dtype=numbers.dtype)
    most = columns.shape[1]
    for t in range(len(counts)):
        full[:] = 0
        for m in range(starts[t], starts[t + 1]):
            counted = shares[m] * weights[items[m]]
            for k in range(np.uint64(bounds[items[m]]), np.uint64(bounds[items[m] + 1])):
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
    indptr, _, values = table
    for t in numba.prange(len(rows)):
        square = values.dtype.type(0)
        for k in range(np.uint64(indptr[rows[t]]), np.uint64(indptr[rows[t] + 1])):
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
        for k in range(np.uint64(indptr[row]), np.uint64(indptr[row + 1])):
            square += values[k] * values[k]
            active[k] += twice * values[k]
            if slot >= 0:
                sums[slot, columns[k]] += twice * values[k]
        weight_gradient[row] -= slope * square


@parallel
def score_pairs(full: Any, starts: Any, partners: Any, table: Any, out: Any) -> None:
    indptr, columns, values = table
    for t in numba.prange(len(full)):
        own = full[t]
        for m in range(starts[t], starts[t + 1]):
            score = values.dtype.type(0)
            for k in range(np.uint64(indptr[partners[m]]), np.uint64(indptr[partners[m] + 1])):
                score += own[columns[k]] * values[k]
            out[m] = score


@parallel
def score_block(full: Any, rows: Any, table: Any, out: Any) -> None:
    indptr, columns, values = table
    for t in numba.prange(len(full)):
        own = full[t]
        for s in range(len(rows)):
            score = values.dtype.type(0)
            for k in range(np.uint64(indptr[rows[s]]), np.uint64(indptr[rows[s] + 1])):
                score += own[columns[k]] * values[k]
            out[t, s] = score


@parallel
def add_partners(partners: Any, starts: Any, slopes: Any, table: Any, out: Any) -> None:
    indptr, columns, values = table
    for t in numba.prange(len(out)):
        own = out[t]
        for m in range(starts[t], starts[t + 1]):
            for k in range(np.uint64(indptr[partners[m]]), np.uint64(indptr[partners[m] + 1])):
                own[columns[k]] += slopes[m] * values[k]


@parallel
def add_block(rows: Any, slopes: Any, table: Any, out: Any) -> None:
    indptr, columns, values = table
    for t in numba.prange(len(out)):
        own = out[t]
        for s in range(len(rows)):
            slope = slopes[t, s]
            if slope == 0:  # of an item that the user touched
                continue
            for k in range(np.uint64(indptr[rows[s]]), np.uint64(indptr[rows[s] + 1])):
                own[columns[k]] += slope * values[k]


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
    indptr, columns, _ = table
    slots, sums = explored
    dim = full.shape[1]
    for g in numba.prange(len(rows)):
        first, last = indptr[rows[g]], indptr[rows[g] + 1]
        slot = slots[rows[g]]
        for m in range(starts[g], starts[g + 1]):
            slope, source = slopes[members[m]], full[owners[members[m]]]
            for k in range(np.uint64(first), np.uint64(last)):
                active[k] += slope * source[columns[k]]
            if slot >= 0:
                for c in range(dim):
                    sums[slot, c] += slope * source[c]


@parallel
def pull_block(by_column: Any, rows: Any, slopes: Any, table: Any, active: Any, explored: Any) -> None:
    indptr, columns, values = table
    slots, sums = explored
    dim, users = by_column.shape
    for s in numba.prange(len(rows)):
        slot = slots[rows[s]]
        own = slopes[s]
        for k in range(np.uint64(indptr[rows[s]]), np.uint64(indptr[rows[s] + 1])):
            active[k] += dot(own, by_column[columns[k]])
        if slot >= 0:
            for c in range(dim):
                sums[slot, c] += dot(own, by_column[c])


@parallel
def add_marked_pairs(
    touched_starts: Any, touched: Any, shares: Any, starts: Any, partners: Any, table: Any, out: Any
) -> None:
    indptr, columns, values = table
    users = len(starts) - 1
    for run in numba.prange((users + RUN - 1) // RUN):
        marks = np.zeros(len(indptr) - 1, dtype=values.dtype)
        for t in range(run * RUN, min(users, (run + 1) * RUN)):
            for m in range(touched_starts[t], touched_starts[t + 1]):
                marks[touched[m]] = shares[m]
            for m in range(starts[t], starts[t + 1]):
                score = values.dtype.type(0)
                for k in range(np.uint64(indptr[partners[m]]), np.uint64(indptr[partners[m] + 1])):
                    score += marks[columns[k]] * values[k]
                out[m] += score
            for m in range(touched_starts[t], touched_starts[t + 1]):
                marks[touched[m]] = 0


@parallel
def add_marked_block(touched_starts: Any, touched: Any, shares: Any, rows: Any, table: Any, out: Any) -> None:
    indptr, columns, values = table
    users = len(out)
    for run in numba.prange((users + RUN - 1) // RUN):
        marks = np.zeros(len(indptr) - 1, dtype=values.dtype)
        for t in range(run * RUN, min(users, (run + 1) * RUN)):
            for m in range(touched_starts[t], touched_starts[t + 1]):
                marks[touched[m]] = shares[m]
            for s in range(len(rows)):
                score = values.dtype.type(0)
                for k in range(np.uint64(indptr[rows[s]]), np.uint64(indptr[rows[s] + 1])):
                    score += marks[columns[k]] * values[k]
                out[t, s] += score
            for m in range(touched_starts[t], touched_starts[t + 1]):
                marks[touched[m]] = 0


@parallel
def copy_part(table: Any, bounds: Any, rows: Any, own: Any) -> None:
    indptr, _, values = table
    for t in numba.prange(len(rows)):
        row = rows[t]
        shift = indptr[row] - bounds[row]
        for k in range(bounds[row], bounds[row + 1]):
            own[k] = values[k + shift]


@parallel
def move_part(indptr: Any, bounds: Any, rows: Any, gradient: Any, active: Any) -> None:
    for t in numba.prange(len(rows)):
        row = rows[t]
        shift = indptr[row] - bounds[row]
        for k in range(bounds[row], bounds[row + 1]):
            active[k + shift] += gradient[k]
            gradient[k] = 0


@parallel
def spread_pairs(table: Any, rows: Any, sources: Any, values: Any, factors: Any) -> None:
    indptr, columns, out = table
    for t in numba.prange(len(rows)):
        for k in range(indptr[rows[t]], indptr[rows[t] + 1]):
            out[k] = factors[columns[k]] * values[sources[k]]


@kernel
def gather_pairs(
    table: Any,
    rows: Any,
    sources: Any,
    gradient: Any,
    values: Any,
    factors: Any,
    active: Any,
    of_factors: Any,
) -> None:
    indptr, columns, _ = table
    for row in rows:
        for k in range(indptr[row], indptr[row + 1]):
            if gradient[k] != 0:
                active[sources[k]] += factors[columns[k]] * gradient[k]
                of_factors[columns[k]] += gradient[k] * values[sources[k]]
                gradient[k] = 0


@kernel
def replies(
    table: Any, starts: Any, items: Any, marks: Any, begins: Any, columns: Any, values: Any, counts: Any
) -> None:
    indptr, others, numbers = table
    sums = np.zeros(len(indptr) - 1, dtype=numbers.dtype)
    there = np.zeros(len(sums), dtype=np.bool_)
    for t in range(len(counts)):
        count = 0
        own = columns[begins[t] : begins[t + 1]]
        for m in range(starts[t], starts[t + 1]):
            for k in range(np.uint64(indptr[items[m]]), np.uint64(indptr[items[m] + 1])):
                other = others[k]
                if not there[other]:
                    there[other] = True
                    own[count] = other
                    count += 1
                sums[other] += marks[m] * numbers[k]
        own[:count].sort()
        for m in range(count):
            values[begins[t] + m] = sums[own[m]]
            sums[own[m]] = 0
            there[own[m]] = False
        counts[t] = count


@parallel
def pull_marked_pairs(pairs: Any, of_users: Any, table: Any, active: Any) -> None:
    members, starts, rows, slopes, owners = pairs
    bounds, touched, shares = of_users
    indptr, columns, _ = table
    for g in numba.prange(len(rows)):
        for m in range(starts[g], starts[g + 1]):
            slope, user = slopes[members[m]], owners[members[m]]
            place, end = np.int64(bounds[user]), np.int64(bounds[user + 1])
            for k in range(indptr[rows[g]], indptr[rows[g] + 1]):
                wanted = np.int32(columns[k])
                last = end
                # The first that is not below it lies behind the one before, as columns rise.
                while place < last:
                    middle = (place + last) // 2
                    if touched[middle] < wanted:
                        place = middle + 1
                    else:
                        last = middle
                if place == end:
                    break
                if touched[place] == wanted:
                    active[k] += slope * shares[place]


@parallel
def pull_marked_block(rows: Any, slopes: Any, touched_by: Any, table: Any, active: Any) -> None:
    places, touching, shares, bounds = touched_by
    indptr, columns, values = table
    for s in numba.prange(len(rows)):
        own = slopes[s]
        for k in range(indptr[rows[s]], indptr[rows[s] + 1]):
            place = places[columns[k]]
            if place >= 0:
                total = values.dtype.type(0)
                for m in range(bounds[place], bounds[place + 1]):
                    total += shares[m] * own[touching[m]]
                active[k] += total
