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
Where such dimensions stand behind others, as those of neighbours do, no bound knows of them. What
they list for a user, and what the user's row holds in columns behind the dimensions, is chained up
for each item that it concerns, and raises the bound that the item has by its block. The items are
offered to the user's list before any block, each scored by itself where its bound asks for it, and
are no more of their blocks then.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Chains, ItemBlocks, ShortLists
from sparserec_np.kernels.compiled.lanes import LINE_NUMBERS, add_lines, lowest_bit, reaching
from sparserec_np.kernels.doors import inner, kernel
from sparserec_np.machine.threads import made_together, shared_threads

BLOCK_BITS = 6
BLOCK_ITEMS = (
    LINE_NUMBERS  # an item's place in its block fits uint8, and a block's items are the bits of a mask
)
GROUP_USERS = 64  # least users that a thread ranks between two looks for more work
PARTS = 16  # most parts a thread that users are handed out in
WHOLE = 16  # entries from which on a block stores its 64 places of a dimension: faster to add than to scatter
MAXIMA = 16  # running maxima held side by side, because a single one is not vectorised
LEVELS = (
    0.8,
    0.6,
    0.4,
    -np.inf,
)  # a pass takes blocks whose bound is at least this part of the user's largest
SCORED = 8192  # items in a range, where all are scored: whole lines that stay in the first cache
FEW = 4  # dimensions are bounded as long as blocks are no more than this many times what each lists
BOUNDED = 3  # all items are scored where fewer than one of so many entries would be bounded


def _block_order(lists: SparseTable, n_items: int) -> Array:
    """Orders items by strongest dimension, there by falling magnitude: (n_items,) int32.

    Empty ones come last.
    """
    dim = lists.rows
    strength = np.zeros(n_items, dtype=np.float32)  # lists do not depend on what rounding makes equal
    strongest = np.full(n_items, dim, dtype=np.uint64)
    for c in range(dim):
        items = lists.columns[lists.indptr[c] : lists.indptr[c + 1]]
        magnitudes = np.abs(lists.values[lists.indptr[c] : lists.indptr[c + 1]])
        stronger = magnitudes > strength[items]
        strength[items[stronger]] = magnitudes[stronger]
        strongest[items[stronger]] = c
    falling = np.uint32(0xFFFFFFFF) - strength.view(np.uint32)  # bits of a positive number rise with it
    return np.argsort((strongest << np.uint64(32)) | falling).astype(np.int32)


def _block_items(lists: SparseTable, n_items: int) -> ItemBlocks:
    """Reorders the items of ``lists``, a table by dimension, into ItemBlocks."""
    dim, blocks = lists.rows, -(-n_items // BLOCK_ITEMS)
    order = _block_order(lists, n_items)
    position = np.empty(n_items, dtype=np.int32)
    position[order] = np.arange(n_items, dtype=np.int32)
    least = np.minimum.reduceat(order, np.arange(0, n_items, BLOCK_ITEMS)) if blocks else order

    counts = np.zeros((blocks, dim), dtype=np.int32)
    extremes = np.zeros((2 * dim, _width(blocks)), dtype=lists.values.dtype)
    _find_extremes(lists.indptr, lists.columns, lists.values, position, counts, extremes)
    begins = np.zeros(blocks * dim + 1, dtype=np.int64)
    np.cumsum(np.where(counts < WHOLE, counts, BLOCK_ITEMS).ravel(), out=begins[1:])
    places = np.empty(begins[-1], dtype=np.uint8)
    values = np.zeros(begins[-1], dtype=lists.values.dtype)
    _fill_blocks(lists.indptr, lists.columns, lists.values, position, begins, counts, places, values)
    return ItemBlocks(order, position, least, begins, places, values, extremes.ravel())


def _width(blocks: int) -> int:
    """Counts the places that bounds of so many blocks take: whole lines, and one or more."""
    return max(1, -(-blocks // LINE_NUMBERS)) * LINE_NUMBERS


@kernel
def _find_extremes(indptr, columns, values, position, counts, extremes):  # type: ignore[no-untyped-def]
    """Counts the entries of each block and dimension, and finds the largest and the smallest."""
    for c in range(len(indptr) - 1):
        high, low = extremes[2 * c], extremes[2 * c + 1]
        for e in range(indptr[c], indptr[c + 1]):
            b = position[columns[e]] >> BLOCK_BITS
            if counts[b, c] == 0:
                high[b] = values[e]
                low[b] = values[e]
            elif values[e] > high[b]:
                high[b] = values[e]
            elif values[e] < low[b]:
                low[b] = values[e]
            counts[b, c] += 1
        for b in range(len(counts)):
            if counts[b, c] < BLOCK_ITEMS:  # an absent entry counts as zero
                if high[b] < 0:
                    high[b] = 0
                if low[b] > 0:
                    low[b] = 0


@kernel
def _fill_blocks(indptr, columns, values, position, begins, counts, places, out):  # type: ignore[no-untyped-def]
    """Moves the entries to their blocks; ``counts`` are those left to move, and zero in the end."""
    dim = len(indptr) - 1
    for c in range(dim):
        for e in range(indptr[c], indptr[c + 1]):
            p = position[columns[e]]
            segment = (p >> BLOCK_BITS) * dim + c
            at, end = begins[segment], begins[segment + 1]
            if end - at == BLOCK_ITEMS:  # stored whole
                at += p & (BLOCK_ITEMS - 1)
            else:
                at = end - counts[p >> BLOCK_BITS, c]
                counts[p >> BLOCK_BITS, c] -= 1
            places[at] = p & (BLOCK_ITEMS - 1)
            out[at] = values[e]


def _bounded(lists: SparseTable, n_items: int) -> int:
    """Counts the first dimensions of a table by dimension that are to be bounded.

    They are so many that entries are most beyond a ``FEW``-th of their bounds.
    """
    lengths = np.diff(lists.indptr).astype(np.int64)
    spared = np.cumsum(FEW * lengths - -(-n_items // BLOCK_ITEMS))
    return int(np.argmax(spared)) + 1 if spared.max(initial=0) > 0 else 0


def _behind(
    lists: SparseTable, n_items: int, dims: int, blocks: ItemBlocks
) -> tuple[SparseTable, ShortLists]:
    """Makes what is read behind ``blocks`` of the first dimensions of a table by dimension.

    Returns rows of the items in the first dimensions, and the others as short lists.
    """
    last = lists.slice_rows(dims, lists.rows)
    short = ShortLists(last.indptr, blocks.position[last.columns], last.values)
    return lists.slice_rows(0, dims).by_column(n_items), short


@inner
def _worse(score_a, item_a, score_b, item_b):  # type: ignore[no-untyped-def]
    return score_a < score_b or (score_a == score_b and item_a > item_b)


@inner
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


@inner
def _sort_heap(items, scores):  # type: ignore[no-untyped-def]
    """Sorts a heap best first, and marks with -1 the places that no item took."""
    for last in range(len(items) - 1, 0, -1):
        item, score = items[last], scores[last]
        items[last], scores[last] = items[0], scores[0]
        _sift_down(items, scores, last, item, score)
    for place in range(len(items)):
        if scores[place] == -np.inf:
            items[place] = -1


@inner
def _bound_blocks(columns, values, blocks, begins, bounds, maxima):  # type: ignore[no-untyped-def]
    """Fills ``bounds`` with what no score of a block exceeds, -inf past the blocks.

    Returns the largest.
    """
    width = len(bounds)
    for u in range(len(columns)):
        begins[u] = (2 * np.int64(columns[u]) + (values[u] <= 0)) * width
    bounds[:] = 0
    for start in range(0, width, LINE_NUMBERS):
        add_lines(values, begins, 0, len(columns), start, blocks.extremes, bounds, start)
    bounds[len(blocks.least) :] = -np.inf
    maxima[:] = -np.inf
    for start in range(0, width, MAXIMA):
        part = bounds[start : start + MAXIMA]
        for lane in range(MAXIMA):
            maxima[lane] = part[lane] if part[lane] > maxima[lane] else maxima[lane]
    largest = maxima[0]
    for lane in range(MAXIMA):
        largest = maxima[lane] if maxima[lane] > largest else largest
    return largest


@inner
def _score_item(item, full, table):  # type: ignore[no-untyped-def]
    """Scores an item of a table for a user's row that is ``full`` with all bounded dimensions."""
    score = full.dtype.type(0)
    for k in range(np.uint64(table.indptr[item]), np.uint64(table.indptr[item + 1])):
        score += full[table.columns[k]] * table.values[k]
    return score


@inner
def _score_block(b, columns, values, blocks, begins, scores):  # type: ignore[no-untyped-def]
    scores[:] = 0
    first = b * np.int64(len(begins))
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


@inner
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


@inner
def _bit(position):  # type: ignore[no-untyped-def]
    return np.uint64(1) << np.uint64(position & (BLOCK_ITEMS - 1))


@inner
def _most_links(users, rows, turns, short, bounded):  # type: ignore[no-untyped-def]
    """Counts the links that a user's columns behind the ``bounded`` ones make, for the user with most."""
    lists = len(short.indptr) - 1
    most = 0
    for turn in turns:
        links = 0
        for u in range(users.indptr[rows[turn]], users.indptr[rows[turn] + 1]):
            c = np.int64(users.columns[u]) - bounded
            if c >= lists:
                links += 1
            elif c >= 0:
                links += short.indptr[c + 1] - short.indptr[c]
        most = max(most, links)
    return most


@inner
def _chains(links, n_items, values):  # type: ignore[no-untyped-def]
    """Makes room for chains of so many links."""
    items = min(links, n_items)
    return Chains(
        np.empty(n_items, dtype=np.int32),
        np.empty(items, dtype=np.int32),
        np.empty(items + LINE_NUMBERS, dtype=values.dtype),
        np.empty(items, dtype=np.int32),
        np.empty(items, dtype=np.int32),
        np.empty(links, dtype=np.int32),
        np.empty(links, dtype=values.dtype),
    )


@inner
def _add_link(p, number, link, count, bound, chains):  # type: ignore[no-untyped-def]
    """Adds a number to the chain of the item at place p, the next of ``count`` where it is below 0.

    Returns how many chains there are.
    """
    t = chains.numbers[p]
    if t < 0:
        t = chains.numbers[p] = count
        chains.places[t], chains.bounds[t], chains.first[t] = p, bound, link
        count += 1
    else:
        chains.next[chains.last[t]] = link
    chains.bounds[t] += number
    chains.last[t], chains.next[link], chains.added[link] = link, -1, number
    return count


@inner
def _gather(columns, values, bounded, blocks, short, bounds, hidden, chains):  # type: ignore[no-untyped-def]
    """Makes a chain for each item that is not ``hidden`` and that a user's last columns are about.

    Returns how many there are.
    """
    lists = len(short.indptr) - 1
    count = links = 0
    for u in range(len(columns)):
        c = np.int64(columns[u]) - bounded
        if c >= lists:  # an item's own
            p = blocks.position[c - lists]
            if not hidden[p >> BLOCK_BITS] & _bit(p):
                count = _add_link(p, values[u], links, count, bounds[p >> BLOCK_BITS], chains)
                links += 1
            continue
        for e in range(np.uint64(short.indptr[c]), np.uint64(short.indptr[c + 1])):
            p = short.places[e]
            if not hidden[p >> BLOCK_BITS] & _bit(p):
                number = values[u] * short.values[e]
                count = _add_link(p, number, links, count, bounds[p >> BLOCK_BITS], chains)
                links += 1
    return count


@inner
def _offer_chained(count, order, table, full, hidden, chains, items, scores):  # type: ignore[no-untyped-def]
    """Takes the items of so many chains into the user's heap, the most promising first, and hides them."""
    largest = scores.dtype.type(-np.inf)
    for t in range(count):
        largest = max(largest, chains.bounds[t])
        p = chains.places[t]
        hidden[p >> BLOCK_BITS] |= _bit(p)
        chains.numbers[p] = -1
    chains.bounds[count : count + LINE_NUMBERS] = np.nan
    for level in LEVELS:
        promising = scores.dtype.type(level * largest) if largest > 0 else scores.dtype.type(-np.inf)
        for start in range(0, count, LINE_NUMBERS):
            reach = reaching(chains.bounds, start, max(scores[0], promising))
            while reach:
                t = start + lowest_bit(reach)
                reach &= reach - np.uint64(1)
                if chains.bounds[t] < scores[0]:  # beaten since
                    continue
                chains.bounds[t] = np.nan
                item = order[chains.places[t]]
                score = _score_item(item, full, table)
                link = chains.first[t]
                while link >= 0:
                    score += chains.added[link]
                    link = chains.next[link]
                if _worse(scores[0], items[0], score, item):
                    _sift_down(items, scores, len(items), item, score)


@inner
def _offer_blocks(columns, values, largest, blocks, begins, bounds, block_scores, hidden, items, scores):  # type: ignore[no-untyped-def]
    """Scores blocks, the most promising first, and takes what is not ``hidden`` into the user's heap."""
    n_blocks = len(blocks.least)
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


@inner
def _turn_bits(items, position, masks):  # type: ignore[no-untyped-def]
    """Turns the bits of items."""
    for item in items:
        masks[position[item] >> BLOCK_BITS] ^= _bit(position[item])


@inner
def _room(blocks, width):  # type: ignore[no-untyped-def]
    """Makes what ranking by blocks writes to: begins, bounds, a block's scores, maxima, hidden items."""
    kind, n_blocks = blocks.values.dtype, len(blocks.least)
    hidden = np.zeros(n_blocks, dtype=np.uint64)
    for p in range(len(blocks.order), n_blocks * BLOCK_ITEMS):  # places that no item has
        hidden[p // BLOCK_ITEMS] |= _bit(p)
    begins = np.empty(len(blocks.extremes) // (2 * width), dtype=np.int64)
    return begins, np.empty(width, kind), np.empty(BLOCK_ITEMS, kind), np.empty(MAXIMA, kind), hidden


@kernel
def _rank_by_blocks(users, blocks, width, seen_indptr, seen_items, rows, turns, out_items, out_scores):  # type: ignore[no-untyped-def]
    begins, bounds, block_scores, maxima, hidden = _room(blocks, width)
    for turn in turns:
        row = rows[turn]
        columns = users.columns[users.indptr[row] : users.indptr[row + 1]]
        values = users.values[users.indptr[row] : users.indptr[row + 1]]
        seen = seen_items[seen_indptr[row] : seen_indptr[row + 1]]
        _turn_bits(seen, blocks.position, hidden)
        items, scores = out_items[turn], out_scores[turn]
        items[:] = len(blocks.order)  # any item is better than an empty place
        scores[:] = -np.inf
        largest = _bound_blocks(columns, values, blocks, begins, bounds, maxima)
        _offer_blocks(columns, values, largest, blocks, begins, bounds, block_scores, hidden, items, scores)
        _turn_bits(seen, blocks.position, hidden)
        _sort_heap(items, scores)


@kernel
def _rank_chained(users, blocks, width, behind, seen_indptr, seen_items, rows, turns, out_items, out_scores):  # type: ignore[no-untyped-def]
    table, short = behind
    begins, bounds, block_scores, maxima, hidden = _room(blocks, width)
    full = np.zeros(len(begins), dtype=blocks.values.dtype)
    chains = _chains(_most_links(users, rows, turns, short, len(full)), len(blocks.order), blocks.values)
    chains.numbers[:] = -1
    for turn in turns:
        row = rows[turn]
        columns = users.columns[users.indptr[row] : users.indptr[row + 1]]
        values = users.values[users.indptr[row] : users.indptr[row + 1]]
        known = 0
        while known < len(columns) and columns[known] < len(full):
            full[columns[known]] = values[known]
            known += 1
        seen = seen_items[seen_indptr[row] : seen_indptr[row + 1]]
        _turn_bits(seen, blocks.position, hidden)
        items, scores = out_items[turn], out_scores[turn]
        items[:] = len(blocks.order)
        scores[:] = -np.inf
        some, weights = columns[:known], values[:known]
        largest = _bound_blocks(some, weights, blocks, begins, bounds, maxima)
        count = _gather(columns[known:], values[known:], len(full), blocks, short, bounds, hidden, chains)
        _offer_chained(count, blocks.order, table, full, hidden, chains, items, scores)
        _offer_blocks(some, weights, largest, blocks, begins, bounds, block_scores, hidden, items, scores)
        for t in range(count):
            hidden[chains.places[t] >> BLOCK_BITS] ^= _bit(chains.places[t])
        _turn_bits(seen, blocks.position, hidden)
        for c in some:
            full[c] = 0
        _sort_heap(items, scores)


def _in_ranges(lists: SparseTable, n_items: int) -> tuple[Array, Array, Array]:
    """Divides each list of ``lists``, a table by dimension, into ranges of SCORED items.

    Returns where the entries of each dimension and range begin, flat with one more at the end; and
    their places in the range, uint16, and values.
    """
    ranges = max(1, -(-n_items // SCORED))
    owners = lists.row_numbers() * np.int64(ranges) + lists.columns // SCORED
    begins = np.zeros(lists.rows * ranges + 1, dtype=lists.indptr.dtype)
    np.cumsum(np.bincount(owners, minlength=lists.rows * ranges), out=begins[1:])
    return begins, (lists.columns % SCORED).astype(np.uint16), lists.values


@kernel
def _rank_one_by_one(users, ranged, n_items, seen_indptr, seen_items, rows, out_items, out_scores):  # type: ignore[no-untyped-def]
    begins, places, values = ranged
    ranges = (n_items + SCORED - 1) // SCORED
    dims = (len(begins) - 1) // ranges
    range_scores = np.empty(SCORED, dtype=values.dtype)
    for r in range(len(rows)):
        row = rows[r]
        seen, seen_end = seen_indptr[row], seen_indptr[row + 1]
        own, own_end = users.indptr[row + 1], users.indptr[row + 1]
        while own > users.indptr[row] and users.columns[own - 1] >= dims:
            own -= 1
        dims_end = own
        items, scores = out_items[r], out_scores[r]
        items[:] = n_items
        scores[:] = -np.inf
        for number in range(ranges):
            first = number * SCORED
            range_scores[:] = 0
            for u in range(users.indptr[row], dims_end):
                segment = np.int64(users.columns[u]) * ranges + number
                for e in range(np.uint64(begins[segment]), np.uint64(begins[segment + 1])):
                    range_scores[places[e]] += users.values[u] * values[e]
            while own < own_end and users.columns[own] < dims + first + SCORED:
                range_scores[users.columns[own] - dims - first] += users.values[own]
                own += 1
            range_scores[n_items - first :] = -np.inf  # places that no item has
            while seen < seen_end and seen_items[seen] < first + SCORED:
                range_scores[seen_items[seen] - first] = -np.inf
                seen += 1
            for start in range(0, min(SCORED, n_items - first), LINE_NUMBERS):
                reach = reaching(range_scores, start, scores[0])
                while reach:
                    place = start + lowest_bit(reach)
                    reach &= reach - np.uint64(1)
                    if range_scores[place] > scores[0]:  # of equal scores the lower item, which came before
                        _sift_down(items, scores, len(items), first + place, range_scores[place])
        _sort_heap(items, scores)


@kernel
def _find_strongest(users, rows, strongest):  # type: ignore[no-untyped-def]
    """Finds the dimension in which each user's row is strongest; 0 for a row without entries."""
    for r in range(len(rows)):
        strongest[r] = 0
        strength = users.values.dtype.type(0)
        for e in range(users.indptr[rows[r]], users.indptr[rows[r] + 1]):
            if abs(users.values[e]) > strength:
                strength = abs(users.values[e])
                strongest[r] = users.columns[e]


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
    """Fills in the lists of the plain twin, bit for bit, for any number of threads.

    This is plain Python that hands users out to threads: a loop that Numba shares out takes more
    than twice as long to compile.
    """
    seen, dims = (seen_indptr, seen_items), _bounded(items_by_dimension, n_items)
    if BOUNDED * items_by_dimension.indptr[dims] < items_by_dimension.nnz:
        ranged = _in_ranges(items_by_dimension, n_items)

        def rank(part: slice) -> None:
            _rank_one_by_one(users, ranged, n_items, *seen, rows[part], out_items[part], out_scores[part])

    else:
        blocks = _block_items(items_by_dimension.slice_rows(0, dims), n_items)
        width = _width(len(blocks.least))
        # Those who score the same blocks follow each other: the blocks of one are then in the cache
        # for the next.
        strongest = np.empty(len(rows), dtype=np.int32)
        _find_strongest(users, rows, strongest)
        turns = np.argsort(strongest, kind="stable")

        if users.columns.max(initial=0) < dims:

            def rank(part: slice) -> None:
                _rank_by_blocks(users, blocks, width, *seen, rows, turns[part], out_items, out_scores)

        else:
            behind = _behind(items_by_dimension, n_items, dims, blocks)

            def rank(part: slice) -> None:
                _rank_chained(users, blocks, width, behind, *seen, rows, turns[part], out_items, out_scores)

    threads = shared_threads()
    size = max(GROUP_USERS, -(-len(rows) // (PARTS * threads)))
    made_together(rank, [slice(start, start + size) for start in range(0, len(rows), size)], threads)
