"""Descent on one pair after another, in cells that threads share out.

Specified in ``kernels/reference/cells.py``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.compiled import slopes
from sparserec_np.kernels.compiled.elementary import dot, exp_into
from sparserec_np.kernels.compiled.turns import begin, end
from sparserec_np.kernels.compiled.unfolding import (
    BIT_COLUMNS,
    _bits_of_row,
    _unfolding_rows,
    add_line,
    dot_apart,
    pick_row,
    step_row,
    unfold,
)
from sparserec_np.kernels.doors import parallel

FAR = 80.0  # exp of a larger difference of scores would overflow in float32
FULL_PRODUCT = 1e200


@parallel
def fill_cells(indptr: Any, items: Any, weights: Any, part_of: Any, cells: Any) -> None:
    bounds, users, positives, _, starts, ranges, own_weights = cells
    parts = len(starts) - 1
    for p in numba.prange(parts):  # the cells of a range of users lie together
        # Unsigned, as Numba asks of other numbers whether they count from the end.
        places = bounds[p * parts : (p + 1) * parts].astype(np.uint64)
        for user in range(ranges[p], ranges[p + 1]):
            for k in range(np.uint64(indptr[user]), np.uint64(indptr[user + 1])):
                item = np.uint64(items[k])
                part = np.uint64(part_of[item])
                at = places[part]
                users[at] = user - ranges[p]
                positives[at] = item
                if len(own_weights):
                    own_weights[at] = weights[k]
                places[part] = at + np.uint64(1)


@numba.njit(nogil=True)
def _mixed(number: Any) -> Any:
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@numba.njit(nogil=True)
def _draw_negatives(
    pairs: Any, first_user: Any, members: Any, seed: Any, first: int, picked: Any, marks: Any
) -> None:
    """Draws the negatives of a cell's pairs from ``members``, the items of its part.

    ``first`` pairs are in cells before. ``marks`` (items,) hold no user of the cell yet, each
    counted from 1. Threads share them, as cells of a turn have no item in common.
    """
    users, positives = pairs
    size = np.uint64(len(members))
    start = 0
    while start < len(users):
        mark = np.int32(first_user + users[start] + 1)
        stop = start
        while stop < len(users) and users[stop] == users[start]:
            marks[positives[stop]] = mark
            stop += 1
        for m in range(start, stop):
            picked[m] = -1
            if stop - start < len(members):
                number = _mixed(seed + np.uint64(first + m) * np.uint64(0x9E3779B97F4A7C15))
                item = members[np.int64(((number >> np.uint64(32)) * size) >> np.uint64(32))]
                while marks[item] == mark:
                    number = _mixed(number + np.uint64(1))
                    item = members[np.int64(((number >> np.uint64(32)) * size) >> np.uint64(32))]
                picked[m] = item
        start = stop


@numba.njit(nogil=True)
def _moved(value: Any, gradient: Any, squares: Any, k: int, rate: Any) -> Any:
    """Computes an entry after its step; ``squares`` may be empty."""
    if len(squares):
        squares[k] += gradient * gradient
        gradient /= np.sqrt(squares[k]) + squares.dtype.type(1e-10)
    return value - rate * gradient


@numba.njit(nogil=True)
def _slopes(apart: Any, weights: Any, first: Any, last: Any, slopes: Any, losses: Any) -> None:
    """Makes the slopes of a group's pairs of the differences ``apart`` of their scores.

    Args:
        apart: (group,), -FAR where there is no pair; clipped in place.
        weights: of all pairs, those from ``first`` to before ``last`` are the group's; or empty.
        slopes: (group,), overwritten.
        losses: a sum of losses that grows, and a product whose logarithm belongs to it.
    """
    one, far = apart.dtype.type(1), apart.dtype.type(FAR)
    for k in range(len(apart)):
        apart[k] = min(max(apart[k], -far), far)
    exp_into(apart, slopes)  # in SIMD lanes
    if len(weights):
        for k in range(last - first):
            losses[0] += weights[first + k] * np.log(1.0 + np.float64(slopes[k]))
    else:
        # The sum of log(1 + e) is taken as the logarithm of a product, now and then.
        product = losses[1]
        for k in range(len(slopes)):
            product *= 1.0 + np.float64(slopes[k])
            if product > FULL_PRODUCT:
                losses[0] += np.log(product)
                product = 1.0
        losses[1] = product
    for k in range(len(slopes)):
        slopes[k] /= one + slopes[k]
    if len(weights):
        for k in range(last - first):
            slopes[k] *= weights[first + k]


@numba.njit(nogil=True)
def _descend(table: Any, cell: Any, rate: Any, steps: Any, explored: Any) -> float:
    """Goes through the pairs of one cell; returns the sum of their losses."""
    indptr, columns, values = table
    users, positives, negatives, first_user, n_users, weights = cell
    decay, origin, squares, group = steps
    slots, sums = explored
    dim = sums.shape[1]
    zero, one, epsilon = values.dtype.type(0), values.dtype.type(1), values.dtype.type(1e-10)
    # What `_moved` does is written out here: called, it takes a third more time.
    adapts, drawn, explores = len(squares) > 0, len(origin) > 0, len(sums) > 0
    own = np.zeros(group * dim, dtype=values.dtype)  # dense rows of a group's users
    pull = np.zeros(dim, dtype=values.dtype)
    apart = np.zeros(group, dtype=values.dtype)
    slopes = np.zeros(group, dtype=values.dtype)
    starts = np.zeros(group + 1, dtype=np.int64)  # of the users' runs
    losses = np.array([0.0, 1.0])
    for first in range(0, len(users), group):
        last = min(first + group, len(users))
        apart[:] = -FAR
        runs = at = 0
        for m in range(first, last):
            if m == first or users[m] != users[m - 1]:
                user = first_user + users[m]
                at = runs * dim
                for k in range(indptr[user], indptr[user + 1]):
                    own[at + columns[k]] = values[k]
                starts[runs] = m
                runs += 1
            if negatives[m] >= 0:
                positive, negative = n_users + positives[m], n_users + negatives[m]
                score, score2 = zero, zero
                for k in range(indptr[positive], indptr[positive + 1]):
                    score += own[at + columns[k]] * values[k]
                for k in range(indptr[negative], indptr[negative + 1]):
                    score2 += own[at + columns[k]] * values[k]
                apart[m - first] = score2 - score
        starts[runs] = last
        _slopes(apart, weights, first, last, slopes, losses)
        for run in range(runs):
            start, stop = starts[run], starts[run + 1]
            user, at = first_user + users[start], run * dim
            pull[:] = 0
            for m in range(start, stop):
                if negatives[m] < 0:
                    continue
                slope = slopes[m - first]
                positive, negative = n_users + positives[m], n_users + negatives[m]
                for k in range(indptr[positive], indptr[positive + 1]):
                    c = columns[k]
                    value = values[k]
                    pull[c] -= slope * value
                    g = decay[1] * (value - origin[k] if drawn else value) - slope * own[at + c]
                    if adapts:
                        squares[k] += g * g
                        g /= np.sqrt(squares[k]) + epsilon
                    values[k] = value - rate * g
                for k in range(indptr[negative], indptr[negative + 1]):
                    c = columns[k]
                    value = values[k]
                    pull[c] += slope * value
                    g = decay[2] * (value - origin[k] if drawn else value) + slope * own[at + c]
                    if adapts:
                        squares[k] += g * g
                        g /= np.sqrt(squares[k]) + epsilon
                    values[k] = value - rate * g
                if explores and slots[positive] >= 0:
                    add_line(sums, slots[positive], -slope, own, at)
                if explores and slots[negative] >= 0:
                    add_line(sums, slots[negative], slope, own, at)
            if explores and slots[user] >= 0:
                add_line(sums, slots[user], one, pull, 0)
            each = decay[0] * values.dtype.type(stop - start)
            moves = negatives[start] >= 0  # or else all of the user's pairs here are without
            for k in range(indptr[user], indptr[user + 1]):
                c = columns[k]
                own[at + c] = 0
                if moves:
                    value = values[k]
                    g = pull[c] + each * (value - origin[k] if drawn else value)
                    if adapts:
                        squares[k] += g * g
                        g /= np.sqrt(squares[k]) + epsilon
                    values[k] = value - rate * g
    return losses[0] + np.log(losses[1])


@numba.njit(nogil=True)
def _move(values: Any, gradient: Any, weight: Any, rate: Any, decay: Any, origin: Any, squares: Any) -> None:
    """Moves a full row one step against ``weight * gradient``.

    ``origin`` and ``squares`` may be empty.
    """
    epsilon = values.dtype.type(1e-10)
    n = len(values)
    if len(origin):
        for c in range(n):
            gradient[c] = weight * gradient[c] + decay * (values[c] - origin[c])
    else:
        for c in range(n):
            gradient[c] = weight * gradient[c] + decay * values[c]
    if len(squares):
        for c in range(n):
            squares[c] += gradient[c] * gradient[c]
            values[c] -= rate * gradient[c] / (np.sqrt(squares[c]) + epsilon)
    else:
        for c in range(n):
            values[c] -= rate * gradient[c]


@numba.njit(nogil=True)
def _descend_full(table: Any, cell: Any, rate: Any, steps: Any, dim: int) -> float:
    """Goes through the pairs of one cell where rows are full; returns the sum of their losses.

    Does what :func:`_descend` does, and looks no column up.
    """
    _, _, values = table
    users, positives, negatives, first_user, n_users, weights = cell
    decay, origin, squares, group = steps
    one = values.dtype.type(1)
    pull = np.zeros(dim, dtype=values.dtype)
    gradient = np.zeros(dim, dtype=values.dtype)
    apart = np.zeros(group, dtype=values.dtype)
    slopes = np.zeros(group, dtype=values.dtype)
    losses = np.array([0.0, 1.0])
    for first in range(0, len(users), group):
        last = min(first + group, len(users))
        apart[:] = -FAR
        for m in range(first, last):
            if negatives[m] >= 0:
                at = np.int64(first_user + users[m]) * dim
                a = np.int64(n_users + positives[m]) * dim
                b = np.int64(n_users + negatives[m]) * dim
                own = values[at : at + dim]
                apart[m - first] = dot(own, values[b : b + dim]) - dot(own, values[a : a + dim])
        _slopes(apart, weights, first, last, slopes, losses)
        start = first
        while start < last:
            stop = start + 1
            while stop < last and users[stop] == users[start]:
                stop += 1
            at = np.int64(first_user + users[start]) * dim
            own = values[at : at + dim]
            pull[:] = 0
            for m in range(start, stop):
                if negatives[m] < 0:
                    continue
                slope = slopes[m - first]
                a = np.int64(n_users + positives[m]) * dim
                b = np.int64(n_users + negatives[m]) * dim
                positive, negative = values[a : a + dim], values[b : b + dim]
                for c in range(dim):
                    pull[c] += slope * (negative[c] - positive[c])
                for c in range(dim):
                    gradient[c] = own[c]
                _move(positive, gradient, -slope, rate, decay[1], origin[a : a + dim], squares[a : a + dim])
                for c in range(dim):
                    gradient[c] = own[c]
                _move(negative, gradient, slope, rate, decay[2], origin[b : b + dim], squares[b : b + dim])
            if negatives[start] >= 0:
                each = decay[0] * values.dtype.type(stop - start)
                _move(own, pull, one, rate, each, origin[at : at + dim], squares[at : at + dim])
            start = stop
    return losses[0] + np.log(losses[1])


@numba.njit(nogil=True)
def _descend_unfolded(table: Any, cell: Any, rate: Any, steps: Any, explored: Any) -> float:
    """Goes through the pairs of one cell where rows unfold into registers.

    Returns the sum of their losses.

    Does what :func:`_descend` does, and no loop is as long as a row. Numbers that are never
    negative are unsigned: Numba counts others from the end of an array where they are.
    """
    indptr, columns, bits, values = table
    users, positives, negatives, first_user, n_users, weights = cell
    decay, origin, squares, size = steps
    slots, sums = explored
    first_user, n_users, group = np.uint64(first_user), np.uint64(n_users), np.uint64(size)
    one, next_one, line = values.dtype.type(1), np.uint64(1), np.uint64(BIT_COLUMNS)
    explores = len(sums) > 0
    own = np.zeros(size * BIT_COLUMNS, dtype=values.dtype)
    pull = np.zeros(BIT_COLUMNS, dtype=values.dtype)
    picked = np.zeros(2 * size * BIT_COLUMNS, dtype=values.dtype)
    apart = np.zeros(size, dtype=values.dtype)
    slopes = np.zeros(size, dtype=values.dtype)
    starts = np.zeros(size + 1, dtype=np.uint64)  # of the users' runs
    nothing = pull[:0]
    rows = np.zeros(2 * size, dtype=np.uint64)  # of a group's pairs, the positive of each first
    begins = np.zeros(2 * size, dtype=np.int64)
    places = np.zeros(2 * size, dtype=np.uint64)
    losses = np.array([0.0, 1.0])
    for first in range(np.uint64(0), np.uint64(len(users)), group):
        last = min(first + group, np.uint64(len(users)))
        apart[:] = -FAR
        runs = np.uint64(0)
        for m in range(first, last):
            if m == first or users[m] != users[m - next_one]:
                user = first_user + np.uint64(users[m])
                unfold(values, indptr[user], bits[user], own, runs * line)
                starts[runs] = m
                runs += next_one
            if negatives[m] >= 0:
                k = np.uint64(2) * (m - first)
                row, row2 = n_users + np.uint64(positives[m]), n_users + np.uint64(negatives[m])
                rows[k], begins[k], places[k] = row, indptr[row], bits[row]
                k2 = k + next_one
                rows[k2], begins[k2], places[k2] = row2, indptr[row2], bits[row2]
                at = (runs - next_one) * line
                apart[m - first] = dot_apart(values, columns, (begins, places), k, own, at, picked)
        starts[runs] = last
        _slopes(apart, weights, first, last, slopes, losses)
        for run in range(runs):
            start, stop = starts[run], starts[run + next_one]
            if negatives[start] < 0:  # all of the user's pairs in this cell are without
                continue
            user = first_user + np.uint64(users[start])
            pull[:] = 0
            for m in range(start, stop):
                slope = slopes[m - first]
                k = np.uint64(2) * (m - first)
                for j, weight, d in ((k, -slope, decay[1]), (k + next_one, slope, decay[2])):
                    now = (rate, d)
                    step_row(
                        values, begins[j], places[j], weight, picked, j * line, now, origin, squares, pull
                    )
                    if explores and slots[rows[j]] >= 0:
                        add_line(sums, slots[rows[j]], weight, own, run * line)
            if explores and slots[user] >= 0:
                add_line(sums, slots[user], one, pull, 0)
            now = (rate, decay[0] * values.dtype.type(stop - start))
            pick_row(columns, indptr[user], bits[user], pull, 0, picked, 0)
            step_row(values, indptr[user], bits[user], one, picked, 0, now, origin, squares, nothing)
    return losses[0] + np.log(losses[1])


@parallel
def sweep_pairs(table: Any, cells: Any, single: Any, steps: Any, explored: Any, losses: Any) -> None:
    # A tuple from outside keeps a parallel loop on one thread: all are taken apart here, and put
    # together within.
    indptr, columns, values = table
    bounds, users, positives, members, starts, ranges, weights = cells
    rates, decay, origin, squares = steps
    seed, group = single
    slots, sums = explored
    parts = len(starts) - 1
    n_users = len(indptr) - 1 - len(members)
    dim = sums.shape[1]
    full = len(values) == (len(indptr) - 1) * dim
    # As row_bits, which is a parallel kernel itself, and not to be called here.
    bits = np.zeros(_unfolding_rows(indptr, dim), dtype=np.uint64)
    for row in numba.prange(len(bits)):
        bits[row] = _bits_of_row(columns, indptr[row], indptr[row + 1])
    marks = np.zeros(len(members), dtype=np.int32)
    done = np.zeros(parts * parts + 1, dtype=np.int64)
    for _ in numba.prange(parts):  # each thread takes cells until there is none
        number = begin(done, parts)
        while number < parts * parts:
            turn, p = divmod(number, parts)
            q = (p + turn) % parts
            first, last = bounds[p * parts + q], bounds[p * parts + q + 1]
            own_users, own_positives = users[first:last], positives[first:last]
            negatives = np.empty(last - first, dtype=np.int32)
            inside = members[starts[q] : starts[q + 1]]
            _draw_negatives((own_users, own_positives), ranges[p], inside, seed, first, negatives, marks)
            own_weights = weights[first:last] if len(weights) else weights
            cell = (own_users, own_positives, negatives, ranges[p], n_users, own_weights)
            way = (decay, origin, squares, group)
            table_now, explored_now = (indptr, columns, values), (slots, sums)
            if len(bits):
                loss = _descend_unfolded(
                    (indptr, columns, bits, values), cell, rates[turn], way, explored_now
                )
            elif full:
                loss = _descend_full(table_now, cell, rates[turn], way, dim)
            else:
                loss = _descend(table_now, cell, rates[turn], way, explored_now)
            losses[turn, p] = loss
            end(done, number)
            number = begin(done, parts)


@numba.njit(nogil=True)
def _descend_blocks(table: Any, cell: Any, rate: Any, steps: Any, explored: Any) -> float:
    """Goes through one cell with blocks of negatives; returns the sum of its losses."""
    indptr, columns, values = table
    users, positives, inside, places, first_user, n_users, loss, batch, negatives, most, weights = cell
    decay, origin, squares = steps
    if len(weights):  # what negatives are pulled by is that of a single pair
        most = 1
    slots, sums = explored
    dim = sums.shape[1]
    kind = values.dtype.type
    drawn, explores = len(origin) > 0, len(sums) > 0
    size = min(negatives, len(inside))
    block = np.empty((dim, size), dtype=values.dtype)
    pulls = np.empty((dim, size), dtype=values.dtype)
    scores = np.empty(size, dtype=values.dtype)
    room = np.empty((3, size), dtype=values.dtype)
    own = np.zeros(dim, dtype=values.dtype)
    pull = np.empty(dim, dtype=values.dtype)
    near = np.empty(most, dtype=values.dtype)
    losses = np.empty(most, dtype=values.dtype)
    total = 0.0
    offset = start = last = 0
    first = 0
    while start < len(users):
        block[:] = 0
        pulls[:] = 0
        for s in range(size):
            item = inside[(offset + s) % len(inside)]
            places[item] = s
            for k in range(indptr[n_users + item], indptr[n_users + item + 1]):
                block[columns[k], s] = values[k]
        end = min(start + batch, len(users))
        pairs = kind(end - start)
        while start < end:
            user = first_user + users[start]
            if start >= last:
                first, last = start, start + 1
                while last < len(users) and users[last] == users[start]:
                    last += 1
            stop = min(start + most, end, last)
            run = kind(stop - start)
            scores[:] = 0
            for k in range(indptr[user], indptr[user + 1]):
                value = values[k]
                own[columns[k]] = value
                source = block[columns[k]]
                for s in range(size):
                    scores[s] += value * source[s]
            valid = size
            for m in range(first, last):
                place = places[positives[m]]
                if place >= 0:
                    scores[place] = -np.inf
                    valid -= 1
            for m in range(start, stop):
                score = kind(0)
                for k in range(indptr[n_users + positives[m]], indptr[n_users + positives[m] + 1]):
                    score += own[columns[k]] * values[k]
                near[m - start] = score
            if loss == 0:
                slopes._bpr_group(near[: stop - start], scores, valid, losses[: stop - start], room)
            else:
                slopes._softmax_group(near[: stop - start], scores, valid, losses[: stop - start], room)
            if len(weights):
                near[0] *= weights[start]
                losses[0] *= weights[start]
                for s in range(size):
                    scores[s] *= weights[start]
            pull[:] = 0
            for m in range(start, stop):
                row = n_users + positives[m]
                slope = near[m - start]
                total += losses[m - start]
                if explores and slots[row] >= 0:
                    more = sums[slots[row]]
                    for c in range(dim):
                        more[c] += slope * own[c]
                for k in range(indptr[row], indptr[row + 1]):
                    value = values[k]
                    pull[columns[k]] += slope * value
                    g = slope * own[columns[k]] + decay[1] * (value - origin[k] if drawn else value)
                    values[k] = _moved(value, g, squares, k, rate)
            if explores and slots[user] >= 0:
                more = sums[slots[user]]
                for c in range(dim):
                    more[c] += pull[c] + dot(block[c], scores)
            for k in range(indptr[user], indptr[user + 1]):
                c = columns[k]
                value = own[c]
                own[c] = 0
                g = pull[c] + dot(block[c], scores) + decay[0] * run * (value - origin[k] if drawn else value)
                out = pulls[c]
                for s in range(size):
                    out[s] += value * scores[s]
                values[k] = _moved(value, g, squares, k, rate)
            start = stop
        share = decay[2] * pairs / kind(size)
        for s in range(size):
            item = inside[(offset + s) % len(inside)]
            places[item] = -1
            row = n_users + item
            if explores and slots[row] >= 0:
                more = sums[slots[row]]
                for c in range(dim):
                    more[c] += pulls[c, s]
            for k in range(indptr[row], indptr[row + 1]):
                value = values[k]
                g = pulls[columns[k], s] + share * (value - origin[k] if drawn else value)
                values[k] = _moved(value, g, squares, k, rate)
        offset = (offset + size) % len(inside)
    return total


@parallel
def sweep_blocks(table: Any, cells: Any, shared: Any, steps: Any, explored: Any, losses: Any) -> None:
    indptr, columns, values = table
    bounds, users, positives, members, starts, ranges, weights = cells
    loss, batch, negatives, run = shared
    rates, decay, origin, squares = steps
    slots, sums = explored
    parts = len(starts) - 1
    n_users = len(indptr) - 1 - len(members)
    done = np.zeros(parts * parts + 1, dtype=np.int64)
    for _ in numba.prange(parts):
        number = begin(done, parts)
        while number < parts * parts:
            turn, p = divmod(number, parts)
            q = (p + turn) % parts
            first, last = bounds[p * parts + q], bounds[p * parts + q + 1]
            places = np.full(len(members), -1, dtype=np.int32)
            inside = members[starts[q] : starts[q + 1]]
            pairs = (users[first:last], positives[first:last])
            own_weights = weights[first:last] if len(weights) else weights
            cell = (*pairs, inside, places, ranges[p], n_users, loss, batch, negatives, run, own_weights)
            way = (decay, origin, squares)
            losses[turn, p] = _descend_blocks(
                (indptr, columns, values), cell, rates[turn], way, (slots, sums)
            )
            end(done, number)
            number = begin(done, parts)
