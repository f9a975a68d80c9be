"""Exact top-k lists over all items, straight from sparse tables; the twin is in ``kernels.reference.ranking``.

Most items cannot enter a user's list, and it is cheap to know which. Items are put in blocks of 64 with the
same strongest dimension, the largest values first. For each block and dimension the largest and the smallest
value are kept, so that a user's row gives an upper bound of every score in a block. Blocks are scored in two
passes, the promising ones first, and only while their bound can still beat the user's k-th best.

This changes the time and never the lists. A bound is summed over the user's stored dimensions in the same
order as a score, in the same precision; rounding is monotone, so a rounded bound is never below a rounded
score of its block. (That needs multiplications and additions to be rounded one by one: no ``fastmath`` here.)
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from sparserec_np.table import Array, SparseTable

BLOCK_ITEMS = 64  # an item's place in its block fits uint8, and a block of scores fits four cache lines
GROUP_USERS = 64  # users that a thread ranks between two looks for more work
SCAN = 64  # bounds compared with the user's k-th best in one vector loop, before any is looked at singly
LANES = 16  # running maxima held side by side, because a single one is not vectorised
PROMISING = 0.5  # the first pass takes blocks whose bound is at least this part of the user's largest


class ItemBlocks(NamedTuple):
    """The items of ``items_by_dimension``, reordered into blocks.

    Attributes:
        order: (n_items,) int32, item numbers in block order: block b holds ``order[64 * b : 64 * (b + 1)]``.
        least: (blocks,) int32, the lowest item number of each block.
        begins: (blocks * dim + 1,) the entries of block b and dimension c start at ``begins[b * dim + c]``.
        places: (nnz,) uint8, each entry's item as a place in its block.
        values: (nnz,) each entry's value; in order of place where a block's 64 items all have the dimension.
        high, low: (dim, blocks) the largest and smallest value of a block in a dimension, an absent entry
            counting as zero.
    """

    order: Array
    least: Array
    begins: Array
    places: Array
    values: Array
    high: Array
    low: Array


@numba.njit(cache=True, nogil=True)
def _block_order(lists, n_items):  # type: ignore[no-untyped-def]
    """(n_items,) int32: items by strongest dimension, there by falling magnitude; the empty ones last."""
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


@numba.njit(cache=True, nogil=True)
def _block_items(lists, n_items):  # type: ignore[no-untyped-def]
    """The ItemBlocks of (dim rows) ``lists``."""
    dim = len(lists.indptr) - 1
    blocks = (n_items + BLOCK_ITEMS - 1) // BLOCK_ITEMS
    order = _block_order(lists, n_items)
    position = np.empty(n_items, dtype=np.int32)
    least = np.full(blocks, n_items, dtype=np.int32)
    for p in range(n_items):
        position[order[p]] = p
        least[p // BLOCK_ITEMS] = min(least[p // BLOCK_ITEMS], order[p])

    counts = np.zeros((blocks, dim), dtype=np.int32)
    high = np.zeros((dim, blocks), dtype=lists.values.dtype)
    low = np.zeros((dim, blocks), dtype=lists.values.dtype)
    for c in range(dim):
        for e in range(lists.indptr[c], lists.indptr[c + 1]):
            b = position[lists.columns[e]] // BLOCK_ITEMS
            value = lists.values[e]
            if counts[b, c] == 0:
                high[c, b] = value
                low[c, b] = value
            else:
                high[c, b] = max(high[c, b], value)
                low[c, b] = min(low[c, b], value)
            counts[b, c] += 1

    begins = np.zeros(blocks * dim + 1, dtype=lists.indptr.dtype)
    for b in range(blocks):
        for c in range(dim):
            begins[b * dim + c + 1] = begins[b * dim + c] + counts[b, c]
            if counts[b, c] < BLOCK_ITEMS:
                high[c, b] = max(high[c, b], 0)
                low[c, b] = min(low[c, b], 0)

    places = np.empty(len(lists.values), dtype=np.uint8)
    values = np.empty(len(lists.values), dtype=lists.values.dtype)
    cursor = begins[:-1].copy()
    for c in range(dim):
        for e in range(lists.indptr[c], lists.indptr[c + 1]):
            p = position[lists.columns[e]]
            b = p // BLOCK_ITEMS
            place = p - b * BLOCK_ITEMS
            at = cursor[b * dim + c]
            if counts[b, c] == BLOCK_ITEMS:
                at = begins[b * dim + c] + place
            cursor[b * dim + c] += 1
            places[at] = place
            values[at] = lists.values[e]
    return ItemBlocks(order, least, begins, places, values, high, low)


@numba.njit(cache=True, nogil=True)
def _worse(score_a, item_a, score_b, item_b):  # type: ignore[no-untyped-def]
    return score_a < score_b or (score_a == score_b and item_a > item_b)


@numba.njit(cache=True, nogil=True)
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


@numba.njit(cache=True, nogil=True)
def _contains(sorted_items, item):  # type: ignore[no-untyped-def]
    low, high = 0, len(sorted_items)
    while low < high:
        middle = (low + high) >> 1
        if sorted_items[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low < len(sorted_items) and sorted_items[low] == item


@numba.njit(cache=True, nogil=True)
def _bound_blocks(columns, values, blocks, bounds):  # type: ignore[no-untyped-def]
    """Fills ``bounds`` with what no score of a block exceeds, -inf past the blocks; returns the largest."""
    n_blocks = blocks.high.shape[1]
    bounds[:n_blocks] = 0
    bounds[n_blocks:] = -np.inf
    for u in range(len(columns)):
        value = values[u]
        extreme = blocks.high[columns[u]] if value > 0 else blocks.low[columns[u]]
        for b in range(n_blocks):
            bounds[b] += value * extreme[b]
    largest = bounds[:LANES].copy()
    for start in range(0, len(bounds), LANES):
        part = bounds[start : start + LANES]
        for lane in range(LANES):
            largest[lane] = part[lane] if part[lane] > largest[lane] else largest[lane]
    return largest.max()


@numba.njit(cache=True, nogil=True)
def _score_block(b, columns, values, blocks, scores):  # type: ignore[no-untyped-def]
    dim = len(blocks.high)
    for i in range(BLOCK_ITEMS):
        scores[i] = 0
    for u in range(len(columns)):
        value = values[u]
        segment = b * dim + np.int64(columns[u])
        begin, end = np.uint64(blocks.begins[segment]), np.uint64(blocks.begins[segment + 1])
        if end - begin == np.uint64(BLOCK_ITEMS):
            whole = blocks.values[begin:end]
            for i in range(BLOCK_ITEMS):
                scores[i] += value * whole[i]
        else:
            for e in range(begin, end):
                scores[blocks.places[e]] += value * blocks.values[e]


@numba.njit(cache=True, nogil=True)
def _offer_block(b, blocks, block_scores, seen, items, scores):  # type: ignore[no-untyped-def]
    """Takes a block's unseen items into the user's heap (items, scores)."""
    floor = scores[0]
    reached = False
    for i in range(BLOCK_ITEMS):
        reached |= block_scores[i] >= floor
    if not reached:
        return
    first = b * BLOCK_ITEMS
    for i in range(min(BLOCK_ITEMS, len(blocks.order) - first)):
        if block_scores[i] >= scores[0]:
            item = blocks.order[first + i]
            if _worse(scores[0], items[0], block_scores[i], item) and not _contains(seen, item):
                _sift_down(items, scores, len(items), item, block_scores[i])


@numba.njit(cache=True, nogil=True)
def _sort_heap(items, scores):  # type: ignore[no-untyped-def]
    """Sorts a heap best first, and marks with -1 the places that no item took."""
    for last in range(len(items) - 1, 0, -1):
        item, score = items[last], scores[last]
        items[last], scores[last] = items[0], scores[0]
        _sift_down(items, scores, last, item, score)
    for place in range(len(items)):
        if scores[place] == -np.inf:
            items[place] = -1


@numba.njit(cache=True, nogil=True)
def _rank_rows(users, blocks, seen_indptr, seen_items, rows, out_items, out_scores):  # type: ignore[no-untyped-def]
    n_blocks = blocks.high.shape[1]
    bounds = np.empty(max(1, (n_blocks + SCAN - 1) // SCAN) * SCAN, dtype=blocks.values.dtype)
    block_scores = np.empty(BLOCK_ITEMS, dtype=blocks.values.dtype)
    for r in range(len(rows)):
        row = rows[r]
        columns = users.columns[users.indptr[row] : users.indptr[row + 1]]
        values = users.values[users.indptr[row] : users.indptr[row + 1]]
        seen = seen_items[seen_indptr[row] : seen_indptr[row + 1]]
        items, scores = out_items[r], out_scores[r]
        items[:] = len(blocks.order)  # any item is better than an empty place
        scores[:] = -np.inf
        promising = PROMISING * _bound_blocks(columns, values, blocks, bounds)
        for rest in range(2):
            for start in range(0, len(bounds), SCAN):
                needed = max(scores[0], promising) if rest == 0 else scores[0]
                reached = False
                for b in range(start, start + SCAN):
                    reached |= bounds[b] >= needed
                if not reached:
                    continue
                for b in range(start, min(start + SCAN, n_blocks)):
                    bound = bounds[b]
                    reaches = bound >= needed and bound >= scores[0]
                    if not reaches or (bound == scores[0] and blocks.least[b] > items[0]):
                        continue
                    bounds[b] = np.nan  # done: fails every comparison, even with the -inf of an open place
                    _score_block(b, columns, values, blocks, block_scores)
                    _offer_block(b, blocks, block_scores, seen, items, scores)
        _sort_heap(items, scores)


@numba.njit(parallel=True, cache=True, nogil=True)
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
    """The lists of ``kernels.reference.ranking.top_items``, bit for bit, for any number of threads."""
    blocks = _block_items(items_by_dimension, n_items)
    # Only plain arrays may enter the loop: for a NamedTuple, Numba runs it on one thread and says nothing.
    indptr, columns, values = users
    order, least, begins, places, block_values, high, low = blocks
    m = len(rows)
    for group in numba.prange((m + GROUP_USERS - 1) // GROUP_USERS):
        start = group * GROUP_USERS
        stop = min(start + GROUP_USERS, m)
        _rank_rows(
            SparseTable(indptr, columns, values),
            ItemBlocks(order, least, begins, places, block_values, high, low),
            seen_indptr,
            seen_items,
            rows[start:stop],
            out_items[start:stop],
            out_scores[start:stop],
        )
