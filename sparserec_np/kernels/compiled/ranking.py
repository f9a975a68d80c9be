"""Exact top-k lists over all items, straight from sparse tables.

The twin is in ``kernels.reference.ranking``.

Most items cannot enter a user's list, and it is cheap to know which. Items are put in blocks of 64
with the same strongest dimension, the largest values first. For each block and dimension the
largest and the smallest value are kept, so that a user's row gives an upper bound of every score in
a block. Blocks are scored in passes, the most promising ones first, and only while their bound can
still beat the user's k-th best.

This changes the time and never the lists. A bound is summed over the user's stored dimensions in
the same order as a score, in the same precision; rounding is monotone, so a rounded bound is never
below a rounded score of its block. (That needs multiplications and additions to be rounded one by
one: no ``fastmath`` here.)

Bounds are as many as blocks times dimensions. Where entries are much fewer, as in a table with a
column for each item, all items are scored instead: what a user's dimensions list is little then.
"""

from __future__ import annotations

import numba
import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import ItemBlocks
from sparserec_np.kernels.compiled.lanes import LINE_NUMBERS, add_lines, lowest_bit, reaching
from sparserec_np.kernels.doors import kernel, parallel

BLOCK_ITEMS = (
    LINE_NUMBERS  # an item's place in its block fits uint8, and a block's items are the bits of a mask
)
GROUP_USERS = 64  # users that a thread ranks between two looks for more work
WHOLE = 16  # entries from which on a block stores its 64 places of a dimension: faster to add than to scatter
MAXIMA = 16  # running maxima held side by side, because a single one is not vectorised
LEVELS = (
    0.8,
    0.6,
    0.4,
    -np.inf,
)  # a pass takes blocks whose bound is at least this part of the user's largest
FEW = 4  # all items are scored where blocks times dimensions are more than this many times the entries


@kernel
def _block_order(lists, n_items):  # type: ignore[no-untyped-def]
    """Orders items by strongest dimension, there by falling magnitude: (n_items,) int32.

    Empty ones come last.
    """
    dim = len(lists.indptr) - 1
    strength = np.zeros(n_items, dtype=lists.values.dtype)
    strongest = np.full(n_items, dim, dtype=np.int32)
    for c in range(dim):
        for e in range(lists.indptr[c], lists.indptr[c + 1]):
            item = lists.columns[e]
            magnitude = abs(lists.values[e])
            if magnitude > strength[item]:
                strength[item] = magnitude
                strongest[item] = c
    starts = np.zeros(dim + 2, dtype=np.int64)
    for item in range(n_items):
        starts[strongest[item] + 1] += 1
    for c in range(dim + 1):
        starts[c + 1] += starts[c]
    order = np.empty(n_items, dtype=np.int32)
    cursor = starts.copy()
    for item in range(n_items):
        order[cursor[strongest[item]]] = item
        cursor[strongest[item]] += 1
    for c in range(dim):
        same = order[starts[c] : starts[c + 1]].copy()
        order[starts[c] : starts[c + 1]] = same[np.argsort(-strength[same])]
    return order


@kernel
def _block_items(lists, n_items):  # type: ignore[no-untyped-def]
    """Reorders the items of ``lists``, a table by dimension, into ItemBlocks."""
    dim = len(lists.indptr) - 1
    blocks = (n_items + BLOCK_ITEMS - 1) // BLOCK_ITEMS
    order = _block_order(lists, n_items)
    position = np.empty(n_items, dtype=np.int32)
    least = np.full(blocks, n_items, dtype=np.int32)
    for p in range(n_items):
        position[order[p]] = p
        least[p // BLOCK_ITEMS] = min(least[p // BLOCK_ITEMS], order[p])

    counts = np.zeros((blocks, dim), dtype=np.int32)
    extremes = np.zeros(
        (2 * dim, (blocks + LINE_NUMBERS - 1) // LINE_NUMBERS * LINE_NUMBERS), dtype=lists.values.dtype
    )
    for c in range(dim):
        high, low = extremes[2 * c], extremes[2 * c + 1]
        for e in range(lists.indptr[c], lists.indptr[c + 1]):
            b = position[lists.columns[e]] // BLOCK_ITEMS
            value = lists.values[e]
            if counts[b, c] == 0:
                high[b] = value
                low[b] = value
            else:
                high[b] = max(high[b], value)
                low[b] = min(low[b], value)
            counts[b, c] += 1

    begins = np.zeros(blocks * dim + 1, dtype=np.int64)
    for b in range(blocks):
        for c in range(dim):
            stored = counts[b, c] if counts[b, c] < WHOLE else BLOCK_ITEMS
            begins[b * dim + c + 1] = begins[b * dim + c] + stored
            if counts[b, c] < BLOCK_ITEMS:
                extremes[2 * c, b] = max(extremes[2 * c, b], 0)
                extremes[2 * c + 1, b] = min(extremes[2 * c + 1, b], 0)

    places = np.empty(begins[-1], dtype=np.uint8)
    values = np.zeros(begins[-1], dtype=lists.values.dtype)
    cursor = begins[:-1].copy()
    for c in range(dim):
        for e in range(lists.indptr[c], lists.indptr[c + 1]):
            p = position[lists.columns[e]]
            b = p // BLOCK_ITEMS
            place = p - b * BLOCK_ITEMS
            at = cursor[b * dim + c]
            if counts[b, c] >= WHOLE:
                at = begins[b * dim + c] + place
            cursor[b * dim + c] += 1
            places[at] = place
            values[at] = lists.values[e]
    return ItemBlocks(order, position, least, begins, places, values, extremes)


@kernel
def _worse(score_a, item_a, score_b, item_b):  # type: ignore[no-untyped-def]
    return score_a < score_b or (score_a == score_b and item_a > item_b)


@kernel
def _sift_down(items, scores, size, item, score):  # type: ignore[no-untyped-def]
    """Replaces the root of a heap, its worst entry, by (item, score)."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _worse(scores[child + 1], items[child + 1], scores[child], items[child]):
            child += 1
        if not _worse(scores[child], items[child], score, item):
            break
        scores[at] = scores[child]
        items[at] = items[child]
        at = child
    scores[at] = score
    items[at] = item


@kernel
def _sort_heap(items, scores):  # type: ignore[no-untyped-def]
    """Sorts a heap best first, and marks with -1 the places that no item took."""
    for last in range(len(items) - 1, 0, -1):
        item, score = items[last], scores[last]
        items[last], scores[last] = items[0], scores[0]
        _sift_down(items, scores, last, item, score)
    for place in range(len(items)):
        if scores[place] == -np.inf:
            items[place] = -1


@kernel
def _bound_blocks(columns, values, blocks, begins, bounds):  # type: ignore[no-untyped-def]
    """Fills ``bounds`` with what no score of a block exceeds, -inf past the blocks.

    Returns the largest.
    """
    width = blocks.extremes.shape[1]
    for u in range(len(columns)):
        begins[u] = (2 * np.int64(columns[u]) + (values[u] <= 0)) * width
    bounds[:] = 0
    for start in range(0, width, LINE_NUMBERS):
        add_lines(values, begins, 0, len(columns), start, blocks.extremes.ravel(), bounds, start)
    bounds[len(blocks.least) :] = -np.inf
    largest = bounds[:MAXIMA].copy()
    for start in range(0, width, MAXIMA):
        part = bounds[start : start + MAXIMA]
        for lane in range(MAXIMA):
            largest[lane] = part[lane] if part[lane] > largest[lane] else largest[lane]
    return largest.max()


@kernel
def _score_block(b, columns, values, blocks, begins, scores):  # type: ignore[no-untyped-def]
    scores[:] = 0
    first = b * (len(blocks.extremes) >> 1)
    n = len(columns)
    u = 0
    while u < n:
        since = u  # dimensions stored whole are added together
        while u < n:
            segment = first + np.int64(columns[u])
            begin, end = blocks.begins[segment], blocks.begins[segment + 1]
            if end - begin != BLOCK_ITEMS:
                break
            begins[u] = begin
            u += 1
        if u > since:
            add_lines(values, begins, since, u, 0, blocks.values, scores, 0)
        if u < n:
            for e in range(np.uint64(begin), np.uint64(end)):
                scores[blocks.places[e]] += values[u] * blocks.values[e]
            u += 1


@kernel
def _offer_block(b, blocks, block_scores, hidden, items, scores):  # type: ignore[no-untyped-def]
    """Takes a block's items but those ``hidden``, a mask, into the user's heap (items, scores)."""
    reach = reaching(block_scores, 0, scores[0]) & ~hidden
    while reach:
        place = lowest_bit(reach)
        reach &= reach - np.uint64(1)
        if block_scores[place] >= scores[0]:
            item = blocks.order[b * BLOCK_ITEMS + place]
            if _worse(scores[0], items[0], block_scores[place], item):
                _sift_down(items, scores, len(items), item, block_scores[place])


@kernel
def _bit(position):  # type: ignore[no-untyped-def]
    return np.uint64(1) << np.uint64(position & (BLOCK_ITEMS - 1))


@kernel
def _rank_by_blocks(users, blocks, seen_indptr, seen_items, rows, turns, out_items, out_scores):  # type: ignore[no-untyped-def]
    n_items, n_blocks = len(blocks.order), len(blocks.least)
    bounds = np.empty(max(LINE_NUMBERS, blocks.extremes.shape[1]), dtype=blocks.values.dtype)
    block_scores = np.empty(BLOCK_ITEMS, dtype=blocks.values.dtype)
    begins = np.empty(len(blocks.extremes) >> 1, dtype=np.int64)
    hidden = np.zeros(n_blocks, dtype=np.uint64)
    for p in range(n_items, n_blocks * BLOCK_ITEMS):  # places that no item has
        hidden[p // BLOCK_ITEMS] |= _bit(p)
    for turn in turns:
        row = rows[turn]
        columns = users.columns[users.indptr[row] : users.indptr[row + 1]]
        values = users.values[users.indptr[row] : users.indptr[row + 1]]
        seen = seen_items[seen_indptr[row] : seen_indptr[row + 1]]
        for item in seen:
            p = blocks.position[item]
            hidden[p // BLOCK_ITEMS] |= _bit(p)
        items, scores = out_items[turn], out_scores[turn]
        items[:] = n_items  # any item is better than an empty place
        scores[:] = -np.inf
        largest = _bound_blocks(columns, values, blocks, begins, bounds)
        for level in LEVELS:
            promising = scores.dtype.type(level * largest) if largest > 0 else scores.dtype.type(-np.inf)
            for start in range(0, len(bounds), LINE_NUMBERS):
                reach = reaching(bounds, start, max(scores[0], promising))
                while reach:
                    b = start + lowest_bit(reach)
                    reach &= reach - np.uint64(1)
                    beaten = bounds[b] < scores[0]  # by a block scored since
                    if b >= n_blocks or beaten or (bounds[b] == scores[0] and blocks.least[b] > items[0]):
                        continue
                    bounds[b] = np.nan  # done: fails every comparison, even with the -inf of an open place
                    _score_block(b, columns, values, blocks, begins, block_scores)
                    _offer_block(b, blocks, block_scores, hidden[b], items, scores)
        for item in seen:
            p = blocks.position[item]
            hidden[p // BLOCK_ITEMS] &= ~_bit(p)
        _sort_heap(items, scores)


@kernel
def _rank_one_by_one(users, lists, n_items, seen_indptr, seen_items, rows, out_items, out_scores):  # type: ignore[no-untyped-def]
    item_scores = np.full(
        (n_items + LINE_NUMBERS - 1) // LINE_NUMBERS * LINE_NUMBERS, -np.inf, dtype=lists.values.dtype
    )
    for r in range(len(rows)):
        row = rows[r]
        item_scores[:n_items] = 0
        for u in range(users.indptr[row], users.indptr[row + 1]):
            c, value = users.columns[u], users.values[u]
            for e in range(lists.indptr[c], lists.indptr[c + 1]):
                item_scores[lists.columns[e]] += value * lists.values[e]
        for item in seen_items[seen_indptr[row] : seen_indptr[row + 1]]:
            item_scores[item] = -np.inf
        items, scores = out_items[r], out_scores[r]
        items[:] = n_items
        scores[:] = -np.inf
        for start in range(0, len(item_scores), LINE_NUMBERS):
            reach = reaching(item_scores, start, scores[0])
            while reach:
                item = start + lowest_bit(reach)
                reach &= reach - np.uint64(1)
                if item_scores[item] > scores[0]:  # of equal scores the lower item, which came before
                    _sift_down(items, scores, len(items), item, item_scores[item])
        _sort_heap(items, scores)


@kernel
def _by_strongest_dimension(users, rows):  # type: ignore[no-untyped-def]
    """Orders users so that those who score the same blocks follow each other.

    Returns (m,) places in ``rows``.

    The blocks of one are then in the cache for the next.
    """
    strongest = np.zeros(len(rows), dtype=np.int32)
    for r in range(len(rows)):
        begin, end = users.indptr[rows[r]], users.indptr[rows[r] + 1]
        strength = users.values.dtype.type(0)
        for e in range(begin, end):
            if abs(users.values[e]) > strength:
                strength = abs(users.values[e])
                strongest[r] = users.columns[e]
    return np.argsort(strongest, kind="mergesort")


@parallel
def top_items(
    users: SparseTable,
    items_by_dimension: SparseTable,
    n_items: int,
    seen_indptr: Array,
    seen_items: Array,
    rows: Array,
    out_items: Array,
    out_scores: Array,
) -> None:
    """Fills in the lists of the plain twin, bit for bit, for any number of threads."""
    # Only plain arrays may enter the loops: for a NamedTuple, Numba runs them on one thread and
    # says nothing.
    indptr, columns, values = users
    m = len(rows)
    groups = (m + GROUP_USERS - 1) // GROUP_USERS
    dim = len(items_by_dimension.indptr) - 1
    if n_items * dim > FEW * BLOCK_ITEMS * len(items_by_dimension.values):
        list_indptr, list_columns, list_values = items_by_dimension
        for group in numba.prange(groups):
            start = group * GROUP_USERS
            stop = min(start + GROUP_USERS, m)
            _rank_one_by_one(
                SparseTable(indptr, columns, values),
                SparseTable(list_indptr, list_columns, list_values),
                n_items,
                seen_indptr,
                seen_items,
                rows[start:stop],
                out_items[start:stop],
                out_scores[start:stop],
            )
        return
    blocks = _block_items(items_by_dimension, n_items)
    order, position, least, begins, places, block_values, extremes = blocks
    turns = _by_strongest_dimension(users, rows)
    for group in numba.prange(groups):
        _rank_by_blocks(
            SparseTable(indptr, columns, values),
            ItemBlocks(order, position, least, begins, places, block_values, extremes),
            seen_indptr,
            seen_items,
            rows,
            turns[group * GROUP_USERS : (group + 1) * GROUP_USERS],
            out_items,
            out_scores,
        )
