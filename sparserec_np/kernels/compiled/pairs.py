"""What the items that users touched say of others, by stored pairs of items, and the way back.

The specification of each function is its twin's in ``kernels/reference/pairs.py``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.doors import kernel, parallel

# Users are handed to threads in runs of this many, so that a run's marks are allocated once.
RUN = 32


@parallel
def find(pairs: Any, of_users: Any, starts: Any, partners: Any, found: Any) -> None:
    bounds, others, _ = pairs
    touched_starts, touched, counted = of_users
    begins, counts, places, shares = found
    users = len(starts) - 1
    for run in numba.prange((users + RUN - 1) // RUN):
        marks = np.zeros(len(bounds) - 1, dtype=counted.dtype)
        for t in range(run * RUN, min(users, (run + 1) * RUN)):
            for m in range(touched_starts[t], touched_starts[t + 1]):
                marks[touched[m]] = counted[m]
            for m in range(starts[t], starts[t + 1]):
                at = begins[m]
                for k in range(np.uint64(bounds[partners[m]]), np.uint64(bounds[partners[m] + 1])):
                    mark = marks[others[k]]
                    if mark != 0:
                        places[at], shares[at] = k, mark
                        at += 1
                counts[m] = at - begins[m]
            for m in range(touched_starts[t], touched_starts[t + 1]):
                marks[touched[m]] = 0


@parallel
def add_found(pairs: Any, found: Any, values: Any, factors: Any, out: Any) -> None:
    _, others, sources = pairs
    begins, counts, places, shares = found
    for m in numba.prange(len(out)):
        score = values.dtype.type(0)
        for at in range(np.uint64(begins[m]), np.uint64(begins[m] + counts[m])):
            k = places[at]
            score += shares[at] * factors[others[k]] * values[sources[k]]
        out[m] += score


@kernel
def pull_found(
    pairs: Any, found: Any, slopes: Any, values: Any, factors: Any, active: Any, of_factors: Any
) -> None:
    _, others, sources = pairs
    begins, counts, places, shares = found
    for m in range(len(slopes)):
        for at in range(np.uint64(begins[m]), np.uint64(begins[m] + counts[m])):
            k = places[at]
            slope = slopes[m] * shares[at]
            active[sources[k]] += slope * factors[others[k]]
            of_factors[others[k]] += slope * values[sources[k]]


@parallel
def add_block(pairs: Any, rows: Any, touched_by: Any, values: Any, factors: Any, out: Any) -> None:
    bounds, others, sources = pairs
    groups, members, shares, starts = touched_by
    for s in numba.prange(len(rows)):
        for k in range(np.uint64(bounds[rows[s]]), np.uint64(bounds[rows[s] + 1])):
            group = groups[others[k]]
            if group >= 0:
                value = factors[others[k]] * values[sources[k]]
                for m in range(starts[group], starts[group + 1]):
                    out[members[m], s] += shares[m] * value


@kernel
def pull_block(
    pairs: Any,
    rows: Any,
    touched_by: Any,
    slopes: Any,
    values: Any,
    factors: Any,
    active: Any,
    of_factors: Any,
) -> None:
    bounds, others, sources = pairs
    groups, members, shares, starts = touched_by
    for s in range(len(rows)):
        for k in range(np.uint64(bounds[rows[s]]), np.uint64(bounds[rows[s] + 1])):
            group = groups[others[k]]
            if group >= 0:
                slope = values.dtype.type(0)
                for m in range(starts[group], starts[group + 1]):
                    slope += shares[m] * slopes[members[m], s]
                active[sources[k]] += slope * factors[others[k]]
                of_factors[others[k]] += slope * values[sources[k]]


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
