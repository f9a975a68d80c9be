"""How close the hot kernels come to what the machine's memory gives.

Bytes are counted from the shapes: each read and each write that a kernel's loops make of its arguments counts once,
whether or not a cache answers it; scratch that stays in registers or next to the core does not count. An entry is a
column of one byte and a value of four; the bounds of a row are two of four. Calls go round a number of batches, so that
what a batch reads has left the core's caches when its turn comes again, as in training.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import sparserec_np
from benchmarks.figures import number, prose, spread, table
from benchmarks.side_by_side.contender import OURS, Contender, Record, Setting
from benchmarks.timing import median_seconds

TITLE = "Kernels beside the machine's limits"
REPEAT = (3, 1)
BATCHES, BATCH, NEGATIVES, DIM, DENSITY = 32, 2048, 256, 64, 0.1
ENTRY, BOUNDS = 5, 8
LIMITS = {
    "stream, 400 MB": "STREAM triad, arrays of 400 MB",
    "stream, 1 MB": "the same, arrays of 1 MB",
    "gather, 1 MB": "rows of 64 bytes at random, table of 1 MB",
    "gather, 10 MB": "the same, table of 10 MB",
    "gather, 200 MB": "the same, table of 200 MB",
}
HERE_AND_THERE, NEAR = "gather, 10 MB", "stream, 1 MB"


class Work(NamedTuple):
    """Calls of a kernel.

    Attributes:
        name: the kernel, and what it is given.
        kernel: what is called.
        arguments: of the calls, which go round.
        moved: bytes of all these calls together, as counted from the shapes.
        limit: which of the machine's limits fits the way it reads.
        reset: makes good what a call has changed, if another call would find something else.
    """

    name: str
    kernel: Callable[..., Any]
    arguments: Sequence[tuple[Any, ...]]
    moved: int
    limit: str
    reset: Callable[[], Any] | None = None

    def measure(self, least: float) -> Record:
        """The median seconds of a call, and its bytes."""
        turns = itertools.cycle(self.arguments)
        seconds = median_seconds(lambda: self.kernel(*next(turns)), self.reset, least)
        return {"seconds": seconds, "bytes": self.moved / len(self.arguments), "limit": self.limit}


def bytes_of_pairs(read: int, pairs: int, own: int, groups: int) -> int:
    """``score_pairs``: entries ``read`` of partners, ``own`` ones of the rows that the pairs are grouped by."""
    return ENTRY * (read + own) + pairs * (4 + BOUNDS + 4) + groups * (4 + 4 + BOUNDS)


def bytes_of_pair_gradients(read: int, pairs: int, own: int, groups: int) -> int:
    """``pair_gradients``: as above, but of own entries the columns are read, and gradients read and written."""
    return ENTRY * read + pairs * (4 + 4 + BOUNDS) + (1 + 8) * own + groups * (4 + 4 + BOUNDS + 4)


def bytes_of_fill(drawn: int, size: int, dim: int) -> int:
    """``fill_block``: the block is zeroed, and entries ``drawn`` are copied into it."""
    return 4 * dim * size + size * (4 + BOUNDS) + drawn * (ENTRY + 4)


def bytes_of_block(own: int, groups: int, size: int) -> int:
    """``score_block``: for each entry a row of the block is read, and one of the scores read and written."""
    return own * (ENTRY + 12 * size) + groups * (4 + BOUNDS + 4 * size)


def bytes_of_row_gradients(own: int, groups: int, size: int) -> int:
    """``row_gradients``: for each entry a row of the block and one of the slopes are read."""
    return own * (1 + 8 * size + 8) + groups * (4 + BOUNDS)


def bytes_of_block_gradients(own: int, groups: int, size: int, parts: int, dim: int) -> int:
    """``block_gradients``: for each entry a row of slopes is read and one of a part read and written; then the sum."""
    return own * (ENTRY + 12 * size) + groups * (4 + BOUNDS) + parts * dim * size * 8


def bytes_of_spread(drawn: int, size: int) -> int:
    """``spread_block``: for each entry a number of the block is read and a gradient read and written."""
    return size * (4 + BOUNDS + 4) + drawn * (1 + 4 + 8)


def bytes_of_step(own: int, rows: int, state: int) -> int:
    """An optimizer's step: values, gradients and ``state`` numbers an entry, all read and written."""
    return own * 8 * (2 + state) + rows * (4 + BOUNDS)


def bytes_of_sweep(own: int, read: int, pairs: int, compared: int, state: int) -> int:
    """``sweep``: entries of users (``own``, once a run) and of items (``read``) are read, then moved with their state.

    Besides: the pairs, their negatives and all bounds, and the user's items that negatives are ``compared`` with.
    """
    return (own + read) * (ENTRY + 1 + 8 + 4 + 8 * state) + pairs * (4 + 4 + 8 + 2 * BOUNDS) + 4 * compared


def bytes_of_lists(user_entries: Sequence[int], item_entries: Sequence[int], blocks: int) -> int:
    """``top_items``, were nothing skipped: bounds of all blocks, and all products of entries of one dimension.

    >>> bytes_of_lists([2, 1], [10, 0], blocks=1)
    296
    """
    products = sum(u * i for u, i in zip(user_entries, item_entries, strict=True))
    return 12 * blocks * sum(user_entries) + (1 + 4 + 8) * products


def bytes_of_marks(nnz: int, inside: int, rows: int) -> int:
    """``mark_prunable`` with a floor of 1: a flag for each entry, and the values of those ``inside`` explored rows."""
    return nnz + 4 * inside + rows * (BOUNDS + 1)


def bytes_of_smallest(nnz: int, free: int) -> int:
    """``keep_larger``: three times all flags, and the values of those ``free`` to go, whose flags are then written."""
    return 3 * (nnz + 4 * free) + free


def bytes_of_largest(explored: int, inside: int, dim: int, rows: int) -> int:
    """``largest_inactive``: twice the slots of all rows, and sums, bounds and columns of those ``explored``."""
    return 2 * (4 * rows + explored * (4 * dim + BOUNDS) + inside)


def bytes_of_rewrite(nnz: int, grown: int, rows: int) -> int:
    """``rewrite``: by a flag each, columns and values move to the front, and then to their places; and the bounds."""
    return nnz * (2 + 4 * ENTRY) + grown * (2 * 8 + ENTRY) + 2 * 4 * (rows + 1)


def bytes_of_gram_product(pairs: int, users: int, line: int) -> int:
    """``add_gram_product``: for each pair, twice its item; a line is read, and one of the result read and written."""
    return pairs * (2 * 4 + 3 * 4 * line) + users * (2 * 8 + 4)


def works(setting: Setting) -> Iterator[Work]:
    """All kernels, on batches of the interactions and on a table of random entries."""
    from sparserec_np.kernels.compiled import cells as cell_kernels
    from sparserec_np.kernels.compiled import (
        gradients,
        products,
        propagation,
        ranking,
        sampling,
        scoring,
        slopes,
        topology,
        updates,
    )
    from sparserec_np.learning.batches import OnePerPair, PairSampler, SharedBlock
    from sparserec_np.learning.cells import TOGETHER, Steps, Strata
    from sparserec_np.models.batch_items import Pairs
    from sparserec_np.models.inner_products import PARTS
    from sparserec_np.models.lightgcn import CHUNKS, LINE, Graph
    from sparserec_np.sparsity.exploration import Exploration
    from sparserec_np.sparsity.growth import Explored
    from sparserec_np.starts.masks import STARTS

    rng = np.random.default_rng(0)
    log = sparserec_np.read_interactions(setting.train)
    rows = log.n_users + log.n_items
    t = STARTS["uniform"](log, DIM, round(DENSITY * rows * DIM), rng)
    explored = Explored.of(np.empty(0, np.int32), rows, DIM)
    gradient = np.zeros(t.nnz, np.float32)

    def entries(some: Any) -> int:
        return int((t.indptr[some + 1] - t.indptr[some]).sum())

    batches = list(itertools.islice(PairSampler(log, BATCH, SharedBlock(NEGATIVES)).epoch(rng), BATCHES))
    batches = [batch for batch in batches if batch.size == BATCH] or batches[:1]
    size, b = len(batches[0].negatives), batches[0].size
    pairs = Pairs(log)
    by_item, touched = [], []
    for batch in batches:
        order, items = pairs.by_item(batch)
        by_item.append((items.rows.copy(), items.starts.copy(), batch.user_of[order]))
        touched.append(pairs.touched(batch))
    groups = [len(batch.users.rows) for batch in batches]
    own = [entries(batch.users.rows) for batch in batches]
    read = [entries(batch.positives) for batch in batches]
    drawn = [entries(batch.negatives) for batch in batches]
    slope, scores = rng.standard_normal(b, dtype=np.float32), np.empty(b, np.float32)

    yield Work(
        "scoring.score_pairs, users by positives",
        scoring.score_pairs,
        [(t, *batch.users, batch.positives, scores) for batch in batches],
        sum(bytes_of_pairs(r, b, o, g) for r, o, g in zip(read, own, groups, strict=True)),
        HERE_AND_THERE,
    )
    yield Work(
        "gradients.pair_gradients, by user",
        gradients.pair_gradients,
        [(t, *batch.users, batch.positives, slope, gradient, explored) for batch in batches],
        sum(bytes_of_pair_gradients(r, b, o, g) for r, o, g in zip(read, own, groups, strict=True)),
        HERE_AND_THERE,
    )
    yield Work(
        "gradients.pair_gradients, by item",
        gradients.pair_gradients,
        [(t, items, starts, users, slope, gradient, explored) for items, starts, users in by_item],
        sum(
            bytes_of_pair_gradients(entries(users), b, entries(items), len(items))
            for items, _, users in by_item
        ),
        HERE_AND_THERE,
    )

    blocks = [np.empty((DIM, size), np.float32) for _ in batches]
    parts = np.empty((PARTS, DIM, size), np.float32)
    weights = [rng.standard_normal((g, size), dtype=np.float32) for g in groups]
    against = [np.empty_like(each) for each in weights]
    both = list(zip(batches, blocks, strict=True))
    yield Work(
        "scoring.fill_block",
        scoring.fill_block,
        [(t, batch.negatives, block) for batch, block in both],
        sum(bytes_of_fill(d, size, DIM) for d in drawn),
        NEAR,
    )
    for batch, block in both:
        scoring.fill_block(t, batch.negatives, block)
    yield Work(
        "scoring.score_block",
        scoring.score_block,
        [(t, batch.users.rows, block, out) for (batch, block), out in zip(both, against, strict=True)],
        sum(bytes_of_block(o, g, size) for o, g in zip(own, groups, strict=True)),
        NEAR,
    )
    yield Work(
        "gradients.row_gradients",
        gradients.row_gradients,
        [
            (t, batch.users.rows, each, block, gradient, explored)
            for (batch, block), each in zip(both, weights, strict=True)
        ],
        sum(bytes_of_row_gradients(o, g, size) for o, g in zip(own, groups, strict=True)),
        NEAR,
    )
    yield Work(
        "gradients.block_gradients",
        gradients.block_gradients,
        [(t, batch.users.rows, each, parts) for batch, each in zip(batches, weights, strict=True)],
        sum(bytes_of_block_gradients(o, g, size, PARTS, DIM) for o, g in zip(own, groups, strict=True)),
        NEAR,
    )
    yield Work(
        "gradients.spread_block",
        gradients.spread_block,
        [(t, batch.negatives, block, gradient, explored) for batch, block in both],
        sum(bytes_of_spread(d, size) for d in drawn),
        HERE_AND_THERE,
    )

    fresh = rng.standard_normal(t.nnz, dtype=np.float32)
    stepped = t._replace(values=t.values.copy())
    first, second, steps = np.zeros_like(fresh), np.ones_like(fresh), np.zeros(rows, np.int32)
    for name, kernel, state, rest in (
        ("sgd", updates.sgd, 0, (np.float32(1e-6),)),
        ("adagrad", updates.adagrad, 1, (second, np.float32(1e-6), np.float32(1e-10))),
        ("adam", updates.adam, 2, ((first, second, steps), 1e-6, (0.9, 0.999), 1e-8)),
    ):
        counters = 8 if name == "adam" else 0
        yield Work(
            f"updates.{name}",
            kernel,
            [(stepped, some, gradient, *rest) for some in touched],
            sum(bytes_of_step(entries(some), len(some), state) + counters * len(some) for some in touched),
            HERE_AND_THERE,
            lambda: np.copyto(gradient, fresh),
        )

    strata = Strata(log)
    cells = strata.cells(rng)
    users = cells.users + np.repeat(cells.ranges[:-1], np.diff(cells.bounds[:: strata.parts]))
    heads = np.union1d(np.flatnonzero(np.diff(users, prepend=-1)), cells.bounds)
    lengths = np.diff(heads)  # of a user's pairs in a cell
    turns = np.repeat(users[heads[:-1]], -(-lengths // TOGETHER))
    # Every item row is about as long as any other, and a negative is drawn like any other item.
    drawn_read = round(log.n_interactions * entries(np.arange(log.n_users, rows)) / log.n_items)
    item_read = entries(cells.positives.astype(np.int64) + log.n_users) + drawn_read
    compared = int((lengths.astype(np.int64) ** 2).sum())
    rates, decay = np.full(strata.parts, 1e-6, np.float32), np.full(3, 1e-3, np.float32)
    sums = np.zeros((strata.parts, strata.parts))
    for name, state in (("SGD", 0), ("Adagrad", 1)):
        steps_of = Steps(rates, decay, t.values, second if state else second[:0], TOGETHER)
        yield Work(
            f"cells.sweep_pairs, an epoch, {name}",
            cell_kernels.sweep_pairs,
            [(stepped, cells, np.uint64(1), steps_of, explored, sums)],
            bytes_of_sweep(entries(turns), item_read, log.n_interactions, compared, state),
            HERE_AND_THERE,
        )

    degrees = np.concatenate([log.user_degrees, log.item_degrees])
    chosen = Exploration(0.1).draw(degrees, np.empty(0), rng)
    looked_at = Explored.of(chosen, rows, DIM)
    looked_at.sums[:] = rng.standard_normal(looked_at.sums.shape, dtype=np.float32)
    inside, kept = looked_at.slots >= 0, np.empty(t.nnz, bool)
    free = topology.mark_prunable(t, inside, 1, kept)
    prunable, grown = kept.copy(), min(free, round(0.3 * entries(chosen)))
    found = np.empty(grown, np.int32), np.empty(grown, np.uint8), np.empty(grown, np.float32)
    yield Work(
        "topology.mark_prunable, a tenth of the rows explored",
        topology.mark_prunable,
        [(t, inside, 1, kept)],
        bytes_of_marks(t.nnz, entries(chosen), rows),
        NEAR,
    )
    yield Work(
        "topology.keep_larger, three tenths of their entries",
        topology.keep_larger,
        [(t.values, grown, kept)],
        bytes_of_smallest(t.nnz, free),
        NEAR,
        lambda: np.copyto(kept, prunable),
    )
    yield Work(
        "topology.largest_inactive, as many",
        topology.largest_inactive,
        [(t, looked_at, grown, *found)],
        bytes_of_largest(len(chosen), entries(chosen), DIM, rows),
        NEAR,
    )
    kept[:] = prunable
    topology.keep_larger(t.values, grown, kept)
    topology.largest_inactive(t, looked_at, grown, *found)
    bounds, places = np.empty_like(t.indptr), np.empty(grown, np.int64)
    topology.merge(t, kept, *found[:2], bounds, places)
    yield Work(
        "topology.rewrite",
        topology.rewrite,
        [(stepped.copy(), kept, places, *found[1:], bounds)],
        bytes_of_rewrite(t.nnz, grown, rows),
        NEAR,
    )

    losses, positive, negative = np.empty(b, np.float32), slope.copy(), slope.copy()
    users, valid = batches[0].users, np.full(groups[0], size, np.int32)

    def rescore() -> None:
        positive[:], negative[:], against[0][:] = slope, slope[::-1], weights[0]

    yield Work(
        "slopes.bpr_pairs",
        slopes.bpr_pairs,
        [(positive, negative, losses)],
        b * (8 + 8 + 4),
        NEAR,
        rescore,
    )
    for name, kernel, moved in (
        ("bpr_block", slopes.bpr_block, 4 * size * (b + groups[0]) + 12 * b),
        ("softmax_block", slopes.softmax_block, 16 * size * groups[0] + 12 * b),
    ):
        arguments = [(users.starts, positive, against[0], valid, losses)]
        yield Work(f"slopes.{name}", kernel, arguments, moved, NEAR, rescore)

    counts, room = np.zeros(rows, np.int32), [np.empty(b + 1, np.int32) for _ in range(3)]
    yield Work(
        "sampling.group_by_row",
        sampling.group_by_row,
        [(batch.positives, counts, *room) for batch in batches],
        sum(b * (4 + 8 + 4 + 8 + 4) + len(items) * (4 + 8 + 4 + 4 + 4) for items, _, _ in by_item),
        HERE_AND_THERE,
    )
    places = np.full(log.n_items, -1, np.int32)
    places[batches[0].negatives - log.n_users] = np.arange(size, dtype=np.int32)
    yield Work(
        "sampling.mask_seen",
        sampling.mask_seen,
        [
            (batch.users.rows, log.indptr, log.items, places, out, np.empty(g, np.int32))
            for batch, out, g in zip(batches, against, groups, strict=True)
        ],
        sum(
            g * (4 + 16 + 4) + int(log.user_degrees[batch.users.rows].sum()) * (4 + 4)
            for batch, g in zip(batches, groups, strict=True)
        ),
        HERE_AND_THERE,
    )
    draws, picked = (
        rng.integers(log.n_items, size=(b, OnePerPair.tries), dtype=np.int32),
        np.empty(b, np.int32),
    )
    yield Work(
        "sampling.pick_unseen",
        sampling.pick_unseen,
        [(batch.user_of, draws, log.n_items, log.indptr, log.items, picked) for batch in batches],
        sum(
            b * (4 + 16 + 4 + 4) + 4 * int(np.ceil(np.log2(log.user_degrees[batch.user_of] + 1)).sum())
            for batch in batches
        ),
        HERE_AND_THERE,
    )

    graph = Graph.of(log)
    edges = len(graph.neighbours)
    chunks = np.searchsorted(graph.indptr, np.linspace(0, edges, CHUNKS + 1)).astype(np.int32)
    chunks[-1] = rows
    x, y = rng.random((rows, LINE), dtype=np.float32), np.empty((rows, LINE), np.float32)
    factors = np.full(rows, 0.1, np.float32)
    yield Work(
        "propagation.propagate, 16 columns of all rows",
        propagation.propagate,
        [((graph.indptr, graph.neighbours), chunks, x, factors, y)],
        edges * (4 + 4 * LINE) + rows * (BOUNDS + 4 + 4 * LINE),
        HERE_AND_THERE,
    )

    of_items, shares = (
        rng.random((log.n_items, LINE), dtype=np.float32),
        np.full(log.n_users, 0.1, np.float32),
    )
    yield Work(
        "products.add_gram_product, 16 columns of all items",
        products.add_gram_product,
        [(log.indptr, log.items, shares, of_items, np.zeros_like(of_items))],
        bytes_of_gram_product(log.n_interactions, log.n_users, LINE),
        HERE_AND_THERE,
    )

    listed = np.arange(min(log.n_users, 4096), dtype=np.int32)
    left = t.slice_rows(0, log.n_users)
    lists = t.slice_rows(log.n_users, rows).by_column(DIM)
    out = np.empty((len(listed), 20), np.int32), np.empty((len(listed), 20), np.float32)
    by_dimension = np.bincount(left.columns[: left.indptr[len(listed)]], minlength=DIM)
    yield Work(
        f"ranking.top_items, {len(listed):,} users (as if nothing were skipped)",
        ranking.top_items,
        [(left, lists, log.n_items, log.indptr, log.items, listed, *out)],
        bytes_of_lists(by_dimension.tolist(), np.diff(lists.indptr).tolist(), -(-log.n_items // 64)),
        NEAR,
    )


def measure(setting: Setting) -> Record:
    """The machine's limits, then each kernel."""
    import numba

    from benchmarks.side_by_side import limits

    numba.set_num_threads(setting.threads)
    least = setting.pick(0.3, 0.02)
    return {
        "limits": limits.measure(least),
        "kernels": {work.name: work.measure(least) for work in works(setting)},
    }


IMPORTS = (*OURS, "sparserec_np.models.lightgcn")
CONTENDERS = {
    "1 thread": Contender(measure, IMPORTS, ours=True, threads=1),
    "all threads": Contender(measure, IMPORTS, ours=True),
}


def section(runs: dict[str, list[Record]]) -> str:
    """The limits, and a row for each kernel."""

    def limit(records: list[Record], name: str) -> float:
        return spread(one["limits"][name] for one in records).median

    limits = [
        [text, *(number(limit(records, name) / 1e9) for records in runs.values())]
        for name, text in LIMITS.items()
    ]
    rows = []
    for name, work in next(iter(runs.values()))[0]["kernels"].items():
        row = [name, number(work["bytes"] / 1e6), work["limit"]]
        for records in runs.values():
            seconds = spread(one["kernels"][name]["seconds"] for one in records).median
            rate = work["bytes"] / seconds
            row += [
                number(seconds * 1e6),
                number(rate / 1e9),
                f"{rate / limit(records, work['limit']):.0%}",
            ]
        rows.append(row)
    heads = [head for name in runs for head in (f"µs, {name}", "GB/s", "of the limit")]
    words = (
        f"Batches of {BATCH} pairs, {NEGATIVES} shared negatives, {DIM} columns at density {DENSITY}, entries at"
        f" random; medians of many calls, which go round {BATCHES} batches. Bytes are counted from the shapes: each"
        " read and write of an argument once, whether or not a cache answers it; an entry is 5 bytes, the bounds of a"
        " row 8. So a kernel whose data stay next to the core passes its limit, and one that computes exponentials"
        " stays far below. Gathered rows count the bytes that are wanted, of the lines of 64 that have to come for"
        " them."
    )
    tables = (
        table(["limit", *(f"GB/s, {name}" for name in runs)], limits),
        table(["kernel", "MB", "limit", *heads], rows),
    )
    return "\n\n".join((prose(words), *tables))
