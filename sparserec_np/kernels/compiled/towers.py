"""NeuMF's towers over CSR.

The specification of each function is its twin's in ``kernels/reference/towers.py``.

Pairs are worked on side by side, ``PAIR_LANES`` at a time: an array of a block has a row for each
unit and a column for each pair, so that inner loops run over neighbours in memory. Sums over units
are made in their order, one addition after the other, as the runtime makes them: both score alike
to the last bit. (No ``fastmath`` there.)
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.compiled.elementary import dot, total
from sparserec_np.kernels.compiled.ranking import _sift_down, _sort_heap
from sparserec_np.kernels.doors import inner, parallel

PAIR_LANES = 64
GROUP_USERS = 16  # users that a thread ranks between two looks for more work


@parallel
def scale_columns(table: Any, rows: Any, n_users: int, factors: Any, scaled: Any) -> None:
    indptr, columns, values = table
    for t in numba.prange(len(rows)):
        own = factors[0] if rows[t] < n_users else factors[1]
        for k in range(indptr[rows[t]], indptr[rows[t] + 1]):
            scaled[k] = values[k] * own[columns[k]]


@parallel
def project_rows(table: Any, rows: Any, first: int, weights: Any, out: Any) -> None:
    indptr, columns, values = table
    width = weights.shape[1]
    for t in numba.prange(len(rows)):
        own = out[t]
        own[:] = 0
        for k in range(indptr[rows[t]], indptr[rows[t] + 1]):
            c = np.int64(columns[k]) - first
            if c >= 0:
                value = values[k]
                source = weights[c]
                for j in range(width):
                    own[j] += value * source[j]


@parallel
def pull_projection(
    table: Any, rows: Any, first: int, weights: Any, steps: Any, gradient: Any, explored: Any, partial: Any
) -> None:
    indptr, columns, values = table
    slots, sums = explored
    parts, width = partial.shape[0], weights.shape[1]
    each = (len(rows) + parts - 1) // parts
    for part in numba.prange(parts):
        own = partial[part]
        own[:] = 0
        for t in range(part * each, min(len(rows), (part + 1) * each)):
            row = rows[t]
            step = steps[t]
            for k in range(indptr[row], indptr[row + 1]):
                c = np.int64(columns[k]) - first
                if c >= 0:
                    gradient[k] += dot(weights[c], step)
                    value = values[k]
                    target = own[c]
                    for j in range(width):
                        target[j] += value * step[j]
            if slots[row] >= 0:
                every = sums[slots[row], first:]
                for m in range(len(weights)):
                    every[m] += dot(weights[m], step)


@inner
def _second_layer(layer: Any, hidden: Any, bias: Any, second: Any) -> None:
    """Computes the second layer of a block, not yet rectified, from the rectified first."""
    for n in range(hidden.shape[1]):
        own = second[n]
        own[:] = bias[n]
        for j in range(hidden.shape[0]):
            weight = hidden[j, n]
            source = layer[j]
            for x in range(PAIR_LANES):
                own[x] += weight * source[x]


@inner
def _first_layer(left: Any, right: Any, users: Any, items: Any, layer: Any) -> None:
    """Computes the rectified first layer of a block of up to PAIR_LANES pairs."""
    zero = layer.dtype.type(0)
    for x in range(len(users)):
        one, other = left[users[x]], right[items[x]]
        for j in range(len(one)):
            layer[j, x] = max(one[j] + other[j], zero)


@inner
def _add_block(second: Any, out: Any, scores: Any) -> None:
    """Adds what the second layer of a block comes to, once rectified, to its pairs' scores."""
    zero = second.dtype.type(0)  # a plain 0 would make float64 of it all
    for n in range(len(out)):
        weight = out[n]
        source = second[n]
        for x in range(len(scores)):
            scores[x] += weight * max(source[x], zero)


@parallel
def add_scores(left: Any, right: Any, users: Any, items: Any, head: Any, scores: Any) -> None:
    hidden, bias, out = head
    pairs = len(users)
    run = 16 * PAIR_LANES
    for start in numba.prange((pairs + run - 1) // run):
        layer = np.zeros((hidden.shape[0], PAIR_LANES), dtype=scores.dtype)
        second = np.zeros((hidden.shape[1], PAIR_LANES), dtype=scores.dtype)
        for begin in range(start * run, min(pairs, (start + 1) * run), PAIR_LANES):
            end = min(pairs, begin + PAIR_LANES)
            _first_layer(left, right, users[begin:end], items[begin:end], layer)
            _second_layer(layer, hidden, bias, second)
            _add_block(second, out, scores[begin:end])


@inner
def _block_gradients(
    layer: Any, second: Any, hidden: Any, out: Any, slopes: Any, back: Any, line: Any, sums: Any, steps: Any
) -> None:
    """Adds a block's gradient of the head to ``sums``, and writes its steps.

    ``second`` is rectified on the way.
    """
    width, narrow = hidden.shape
    zero = line.dtype.type(0)
    for n in range(narrow):
        weight, source, own = out[n], second[n], back[n]
        for x in range(PAIR_LANES):
            own[x] = slopes[x] * weight if source[x] > zero else zero
            source[x] = max(source[x], zero)
        sums[width * narrow + n] += total(own)
        sums[width * narrow + narrow + n] += dot(source, slopes)
    for j in range(width):
        source = layer[j]
        line[:] = 0
        for n in range(narrow):
            own = back[n]
            sums[j * narrow + n] += dot(source, own)
            weight = hidden[j, n]
            for x in range(PAIR_LANES):
                line[x] += weight * own[x]
        for x in range(len(steps)):
            steps[x, j] = line[x] if source[x] > zero else zero


@parallel
def head_gradients(
    left: Any, right: Any, users: Any, items: Any, head: Any, slopes: Any, steps: Any, partial: Any
) -> None:
    hidden, bias, out = head
    pairs, parts = len(users), len(partial)
    each = (pairs + parts - 1) // parts
    for part in numba.prange(parts):
        kind = slopes.dtype
        layer = np.zeros((hidden.shape[0], PAIR_LANES), dtype=kind)
        second = np.zeros((hidden.shape[1], PAIR_LANES), dtype=kind)
        back = np.zeros((hidden.shape[1], PAIR_LANES), dtype=kind)
        line, given = np.zeros(PAIR_LANES, dtype=kind), np.zeros(PAIR_LANES, dtype=kind)
        partial[part] = 0
        stop = min(pairs, (part + 1) * each)
        for begin in range(part * each, stop, PAIR_LANES):
            end = min(stop, begin + PAIR_LANES)
            _first_layer(left, right, users[begin:end], items[begin:end], layer)
            _second_layer(layer, hidden, bias, second)
            given[:] = 0  # what a shorter block leaves of the last one then counts for nothing
            given[: end - begin] = slopes[begin:end]
            _block_gradients(layer, second, hidden, out, given, back, line, partial[part], steps[begin:end])


@parallel
def sum_steps(rows: Any, starts: Any, order: Any, steps: Any, sums: Any) -> None:
    width = steps.shape[1]
    for g in numba.prange(len(rows)):
        own = sums[rows[g]]
        own[:] = 0
        for m in range(starts[g], starts[g + 1]):
            step = steps[order[m]]
            for j in range(width):
                own[j] += step[j]


@inner
def _rank_rows(  # type: ignore[no-untyped-def]
    indptr, columns, values, bounds, numbers, weights, left, right, hidden, bias, out,
    seen_indptr, seen_items, rows, out_items, out_scores,
):  # fmt: skip
    n_items = right.shape[1]
    scores = np.empty((n_items + PAIR_LANES - 1) // PAIR_LANES * PAIR_LANES, dtype=left.dtype)
    layer = np.zeros((hidden.shape[0], PAIR_LANES), dtype=left.dtype)
    second = np.zeros((hidden.shape[1], PAIR_LANES), dtype=left.dtype)
    zero = left.dtype.type(0)
    for r in range(len(rows)):
        row = rows[r]
        scores[:] = 0
        for k in range(indptr[row], indptr[row + 1]):
            for e in range(bounds[columns[k]], bounds[columns[k] + 1]):
                scores[numbers[e]] += values[k] * weights[e]
        for begin in range(0, n_items, PAIR_LANES):
            count = min(PAIR_LANES, n_items - begin)
            for j in range(len(layer)):
                given, own, source = left[row, j], layer[j], right[j, begin : begin + count]
                for x in range(count):
                    own[x] = max(given + source[x], zero)
            _second_layer(layer, hidden, bias, second)
            _add_block(second, out, scores[begin : begin + PAIR_LANES])
        for s in range(seen_indptr[row], seen_indptr[row + 1]):
            scores[seen_items[s]] = -np.inf
        best, reached = out_items[r], out_scores[r]
        best[:] = n_items  # any item is better than an empty place
        reached[:] = -np.inf
        for item in range(n_items):
            if scores[item] > reached[0]:  # a later item of the same score ranks behind
                _sift_down(best, reached, len(best), item, scores[item])
        _sort_heap(best, reached)


@parallel
def top_items(
    users: Any,
    items_by_dimension: Any,
    left: Any,
    right: Any,
    head: Any,
    seen_indptr: Any,
    seen_items: Any,
    rows: Any,
    out_items: Any,
    out_scores: Any,
) -> None:
    # Only plain arrays may enter the loop: for a NamedTuple, Numba runs it on one thread and says
    # nothing.
    indptr, columns, values = users
    bounds, numbers, weights = items_by_dimension
    hidden, bias, out = head
    for group in numba.prange((len(rows) + GROUP_USERS - 1) // GROUP_USERS):
        start = group * GROUP_USERS
        stop = min(start + GROUP_USERS, len(rows))
        _rank_rows(
            indptr, columns, values, bounds, numbers, weights, left, right, hidden, bias, out,
            seen_indptr, seen_items, rows[start:stop], out_items[start:stop], out_scores[start:stop],
        )  # fmt: skip
