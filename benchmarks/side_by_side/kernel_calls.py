"""Calls of the hot kernels, on batches of the interactions and on a table of random entries.

This module loads Numba: it is imported by the process that measures, and by no other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import sparserec_np
from benchmarks.side_by_side import moved_bytes as moved
from benchmarks.side_by_side.contender import Record
from benchmarks.side_by_side.kernels import BATCH, BATCHES, DENSITY, DIM, HERE_AND_THERE, NEAR, NEGATIVES
from benchmarks.timing import median_seconds
from sparserec_np.kernels.arguments import BLOCK_COLUMNS, STRIP_COLUMNS, Explored, Graph, Single, Steps
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
from sparserec_np.learning.cells import GROUP, CellDivision
from sparserec_np.learning.optimizers import corrections_of
from sparserec_np.models.batch_items import BatchItems
from sparserec_np.models.inner_products import BATCH_PARTS
from sparserec_np.models.neighbourhoods import even_chunks
from sparserec_np.runtime import Array
from sparserec_np.sparsity.exploration import Exploration
from sparserec_np.starts import STARTS


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
        """Measures the median seconds of a call; with its bytes."""
        turns = itertools.cycle(self.arguments)
        seconds = median_seconds(lambda: self.kernel(*next(turns)), self.reset, least)
        return {"seconds": seconds, "bytes": self.moved / len(self.arguments), "limit": self.limit}


class Material:
    """What the calls are made of: a table of random entries, and batches of the interactions.

    Attributes:
        log: the interactions.
        rng: draws everything.
        rows: of the table, users first.
        table: (rows, DIM) with random entries.
        stepped: the same entries in arrays of their own, which kernels may change.
        state: (nnz,) float32 of ones, the state of an optimizer.
        explored: no row's inactive gradients.
        gradient: (nnz,) float32, of the stored entries.
        batches: full ones, or the only one.
        pairs: of a batch.
        size: shared negatives of a batch.
        groups: users of each batch.
        own: entries of these users, for each batch.
        by_item: rows, starts and users of each batch's pairs, grouped by item.
        touched: rows that each batch touches.
        slope: (pairs,) float32.
        weights: (users, size) float32 of each batch.
        against: arrays of the same shapes, to be written to.
    """

    def __init__(self, train: str) -> None:
        self.log = sparserec_np.read_interactions(train)
        self.rng = np.random.default_rng(0)
        self.rows = self.log.n_users + self.log.n_items
        self.table = STARTS["uniform"](self.log, DIM, round(DENSITY * self.rows * DIM), self.rng)
        self.stepped = self.table._replace(values=self.table.values.copy())
        self.state = np.ones(self.table.nnz, np.float32)
        self.explored = Explored.of(np.empty(0, np.int32), self.rows, DIM)
        self.gradient = np.zeros(self.table.nnz, np.float32)
        sampler = PairSampler(self.log, BATCH, SharedBlock(NEGATIVES))
        batches = list(itertools.islice(sampler.epoch(self.rng), BATCHES))
        self.batches = [batch for batch in batches if batch.size == BATCH] or batches[:1]
        self.pairs, self.size = self.batches[0].size, len(self.batches[0].negatives)
        self.groups = [len(batch.users.rows) for batch in self.batches]
        self.own = [self.entries(batch.users.rows) for batch in self.batches]
        grouped = BatchItems(self.log)
        self.by_item, self.touched = [], []
        for batch in self.batches:
            order, items = grouped.by_item(batch)
            self.by_item.append((items.rows.copy(), items.starts.copy(), batch.user_of[order]))
            self.touched.append(grouped.touched(batch))
        self.slope = self.rng.standard_normal(self.pairs, dtype=np.float32)
        self.weights = [self.rng.standard_normal((g, self.size), dtype=np.float32) for g in self.groups]
        self.against = [np.empty_like(each) for each in self.weights]

    def entries(self, rows: Array) -> int:
        """Counts the stored entries of rows."""
        return int((self.table.indptr[rows + 1] - self.table.indptr[rows]).sum())


def pair_calls(m: Material) -> Iterator[Work]:
    """Calls kernels that go pair by pair."""
    t, explored, gradient = m.table, m.explored, m.gradient
    batches, groups, own, b = m.batches, m.groups, m.own, m.pairs
    slope, by_item, scores = m.slope, m.by_item, np.empty(b, np.float32)
    read = [m.entries(batch.positives) for batch in batches]
    yield Work(
        "scoring.score_pairs, users by positives",
        scoring.score_pairs,
        [(t, *batch.users, batch.positives, scores) for batch in batches],
        sum(moved.bytes_of_pairs(r, b, o, g) for r, o, g in zip(read, own, groups, strict=True)),
        HERE_AND_THERE,
    )
    yield Work(
        "gradients.pair_gradients, by user",
        gradients.pair_gradients,
        [(t, *batch.users, batch.positives, slope, gradient, explored) for batch in batches],
        sum(moved.bytes_of_pair_gradients(r, b, o, g) for r, o, g in zip(read, own, groups, strict=True)),
        HERE_AND_THERE,
    )
    yield Work(
        "gradients.pair_gradients, by item",
        gradients.pair_gradients,
        [(t, items, starts, users, slope, gradient, explored) for items, starts, users in by_item],
        sum(
            moved.bytes_of_pair_gradients(m.entries(users), b, m.entries(items), len(items))
            for items, _, users in by_item
        ),
        HERE_AND_THERE,
    )


def block_calls(m: Material) -> Iterator[Work]:
    """Calls kernels that score a block of shared negatives."""
    t, batches, groups, own, size = m.table, m.batches, m.groups, m.own, m.size
    drawn = [m.entries(batch.negatives) for batch in batches]
    blocks = [np.empty((DIM, size), np.float32) for _ in batches]
    both = list(zip(batches, blocks, strict=True))
    yield Work(
        "scoring.fill_block",
        scoring.fill_block,
        [(t, batch.negatives, block) for batch, block in both],
        sum(moved.bytes_of_fill(d, size, DIM) for d in drawn),
        NEAR,
    )
    for batch, block in both:
        scoring.fill_block(t, batch.negatives, block)
    yield Work(
        "scoring.score_block",
        scoring.score_block,
        [(t, batch.users.rows, block, out) for (batch, block), out in zip(both, m.against, strict=True)],
        sum(moved.bytes_of_block(o, g, size) for o, g in zip(own, groups, strict=True)),
        NEAR,
    )


def block_gradient_calls(m: Material) -> Iterator[Work]:
    """Calls kernels that make gradients by a block of shared negatives."""
    t, explored, gradient = m.table, m.explored, m.gradient
    batches, groups, own, size = m.batches, m.groups, m.own, m.size
    drawn = [m.entries(batch.negatives) for batch in batches]
    blocks = [np.empty((DIM, size), np.float32) for _ in batches]
    parts = np.empty((BATCH_PARTS, DIM, size), np.float32)
    both = list(zip(batches, blocks, strict=True))
    for batch, block in both:
        scoring.fill_block(t, batch.negatives, block)
    yield Work(
        "gradients.row_gradients",
        gradients.row_gradients,
        [
            (t, batch.users.rows, each, block, gradient, explored)
            for (batch, block), each in zip(both, m.weights, strict=True)
        ],
        sum(moved.bytes_of_row_gradients(o, g, size) for o, g in zip(own, groups, strict=True)),
        NEAR,
    )
    yield Work(
        "gradients.block_gradients",
        gradients.block_gradients,
        [(t, batch.users.rows, each, parts) for batch, each in zip(batches, m.weights, strict=True)],
        sum(
            moved.bytes_of_block_gradients(o, g, size, BATCH_PARTS, DIM)
            for o, g in zip(own, groups, strict=True)
        ),
        NEAR,
    )
    yield Work(
        "gradients.spread_block",
        gradients.spread_block,
        [(t, batch.negatives, block, gradient, explored) for batch, block in both],
        sum(moved.bytes_of_spread(d, size) for d in drawn),
        HERE_AND_THERE,
    )


def step_calls(m: Material) -> Iterator[Work]:
    """Calls the steps of optimizers."""
    gradient = m.gradient
    fresh = m.rng.standard_normal(m.table.nnz, dtype=np.float32)
    first, second, steps = np.zeros_like(fresh), m.state, np.zeros(m.rows, np.int32)
    for name, kernel, state, rest in (
        ("sgd", updates.sgd, 0, (np.float32(1e-6),)),
        ("adagrad", updates.adagrad, 1, (second, np.float32(1e-6), np.float32(1e-10))),
        (
            "adam",
            updates.adam,
            2,
            ((first, second, steps), 1e-6, (0.9, 0.999), 1e-8, corrections_of(0.9, 0.999)),
        ),
    ):
        counters = 8 if name == "adam" else 0
        yield Work(
            f"updates.{name}",
            kernel,
            [(m.stepped, some, gradient, *rest) for some in m.touched],
            sum(
                moved.bytes_of_step(m.entries(some), len(some), state) + counters * len(some)
                for some in m.touched
            ),
            HERE_AND_THERE,
            lambda: np.copyto(gradient, fresh),
        )


def sweep_calls(m: Material) -> Iterator[Work]:
    """Calls the sweep over an epoch of pairs."""
    log = m.log
    division = CellDivision(log)
    cells = division.cells(m.rng)
    users = cells.users + np.repeat(cells.ranges[:-1], np.diff(cells.bounds[:: division.parts]))
    groups = [np.arange(*each, GROUP) for each in zip(cells.bounds[:-1], cells.bounds[1:], strict=True)]
    turns = users[np.union1d(np.flatnonzero(np.diff(users, prepend=-1)), np.concatenate(groups))]
    # Every item row is about as long as any other, and a negative is drawn like any other item.
    drawn_read = round(log.n_interactions * m.entries(np.arange(log.n_users, m.rows)) / log.n_items)
    item_read = m.entries(cells.positives.astype(np.int64) + log.n_users) + drawn_read
    rates, decay = np.full(division.parts, 1e-6, np.float32), np.full(3, 1e-3, np.float32)
    sums = np.zeros((division.parts, division.parts))
    for name, state in (("SGD", 0), ("Adagrad", 1)):
        steps_of = Steps(rates, decay, m.table.values, m.state if state else m.state[:0])
        yield Work(
            f"cells.sweep_pairs, an epoch, {name}",
            cell_kernels.sweep_pairs,
            [(m.stepped, cells, Single(np.uint64(1), GROUP), steps_of, m.explored, sums)],
            moved.bytes_of_sweep(m.entries(turns), item_read, log.n_interactions, log.n_items, state),
            HERE_AND_THERE,
        )


def topology_calls(m: Material) -> Iterator[Work]:
    """Calls the kernels of a topology update."""
    t, log, rng, rows = m.table, m.log, m.rng, m.rows
    degrees = np.concatenate([log.user_degrees, log.item_degrees])
    chosen = Exploration(0.1).draw(degrees, np.empty(0), np.ones(rows, dtype=bool), rng)
    looked_at = Explored.of(chosen, rows, DIM)
    looked_at.sums[:] = rng.standard_normal(looked_at.sums.shape, dtype=np.float32)
    inside, kept = looked_at.slots >= 0, np.empty(t.nnz, bool)
    free = topology.mark_prunable(t, inside, 1, kept)
    prunable, grown = kept.copy(), min(free, round(0.3 * m.entries(chosen)))
    found = np.empty(grown, np.int32), np.empty(grown, np.uint8), np.empty(grown, np.float32)
    yield Work(
        "topology.mark_prunable, a tenth of the rows explored",
        topology.mark_prunable,
        [(t, inside, 1, kept)],
        moved.bytes_of_marks(t.nnz, m.entries(chosen), rows),
        NEAR,
    )
    yield Work(
        "topology.keep_larger, three tenths of their entries",
        topology.keep_larger,
        [(t.values, grown, kept)],
        moved.bytes_of_smallest(t.nnz, free),
        NEAR,
        lambda: np.copyto(kept, prunable),
    )
    yield Work(
        "topology.largest_inactive, as many",
        topology.largest_inactive,
        [(t, looked_at, grown, *found)],
        moved.bytes_of_largest(len(chosen), m.entries(chosen), DIM, rows),
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
        [(m.stepped.copy(), kept, places, *found[1:], bounds)],
        moved.bytes_of_rewrite(t.nnz, grown, rows),
        NEAR,
    )


def slope_calls(m: Material) -> Iterator[Work]:
    """Calls the slopes of losses."""
    size, b = m.size, m.pairs
    groups, weights, against = m.groups[0], m.weights[0], m.against[0]
    losses, positive, negative = np.empty(b, np.float32), m.slope.copy(), m.slope.copy()
    users, valid = m.batches[0].users, np.full(groups, size, np.int32)

    def rescore() -> None:
        positive[:], negative[:], against[:] = m.slope, m.slope[::-1], weights

    yield Work(
        "slopes.bpr_pairs",
        slopes.bpr_pairs,
        [(positive, negative, losses)],
        b * (8 + 8 + 4),
        NEAR,
        rescore,
    )
    for name, kernel, count in (
        ("bpr_block", slopes.bpr_block, 4 * size * (b + groups) + 12 * b),
        ("softmax_block", slopes.softmax_block, 16 * size * groups + 12 * b),
    ):
        arguments = [(users.starts, positive, against, valid, losses)]
        yield Work(f"slopes.{name}", kernel, arguments, count, NEAR, rescore)


def sampling_calls(m: Material) -> Iterator[Work]:
    """Calls the kernels that draw negatives."""
    log, batches, groups, size, b = m.log, m.batches, m.groups, m.size, m.pairs
    counts, room = np.zeros(m.rows, np.int32), [np.empty(b + 1, np.int32) for _ in range(3)]
    yield Work(
        "sampling.group_by_row",
        sampling.group_by_row,
        [(batch.positives, counts, *room) for batch in batches],
        sum(b * (4 + 8 + 4 + 8 + 4) + len(items) * (4 + 8 + 4 + 4 + 4) for items, _, _ in m.by_item),
        HERE_AND_THERE,
    )
    places = np.full(log.n_items, -1, np.int32)
    places[batches[0].negatives - log.n_users] = np.arange(size, dtype=np.int32)
    yield Work(
        "sampling.mask_seen",
        sampling.mask_seen,
        [
            (batch.users.rows, log.indptr, log.items, places, out, np.empty(g, np.int32))
            for batch, out, g in zip(batches, m.against, groups, strict=True)
        ],
        sum(
            g * (4 + 16 + 4) + int(log.user_degrees[batch.users.rows].sum()) * (4 + 4)
            for batch, g in zip(batches, groups, strict=True)
        ),
        HERE_AND_THERE,
    )
    draws, picked = (
        m.rng.integers(log.n_items, size=(b, OnePerPair.tries), dtype=np.int32),
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


def product_calls(m: Material) -> Iterator[Work]:
    """Calls products with the graph and with the interactions."""
    log, rng, rows = m.log, m.rng, m.rows
    graph = Graph.of(log)
    edges = len(graph.neighbours)
    chunks = even_chunks(graph)
    x, y = rng.random((rows, BLOCK_COLUMNS), dtype=np.float32), np.empty((rows, BLOCK_COLUMNS), np.float32)
    factors = np.full(rows, 0.1, np.float32)
    yield Work(
        "propagation.propagate, 32 columns of all rows",
        propagation.propagate,
        [((graph.indptr, graph.neighbours), chunks, x, factors, y)],
        edges * (4 + 4 * BLOCK_COLUMNS) + rows * (moved.BOUNDS + 4 + 4 * BLOCK_COLUMNS),
        HERE_AND_THERE,
    )

    of_items, shares = (
        rng.random((log.n_items, STRIP_COLUMNS), dtype=np.float32),
        np.full(log.n_users, 0.1, np.float32),
    )
    yield Work(
        "products.add_gram_product, 16 columns of all items",
        products.add_gram_product,
        [(log.indptr, log.items, shares, of_items, np.zeros_like(of_items))],
        moved.bytes_of_gram_product(log.n_interactions, log.n_users, STRIP_COLUMNS),
        HERE_AND_THERE,
    )


def ranking_calls(m: Material) -> Iterator[Work]:
    """Calls the kernel that ranks all items."""
    t, log, rows = m.table, m.log, m.rows
    listed = np.arange(min(log.n_users, 4096), dtype=np.int32)
    left = t.slice_rows(0, log.n_users)
    lists = t.slice_rows(log.n_users, rows).by_column(DIM)
    out = np.empty((len(listed), 20), np.int32), np.empty((len(listed), 20), np.float32)
    by_dimension = np.bincount(left.columns[: left.indptr[len(listed)]], minlength=DIM)
    yield Work(
        f"ranking.top_items, {len(listed):,} users (as if nothing were skipped)",
        ranking.top_items,
        [(left, lists, log.n_items, log.indptr, log.items, listed, *out)],
        moved.bytes_of_lists(by_dimension.tolist(), np.diff(lists.indptr).tolist(), -(-log.n_items // 64)),
        NEAR,
    )


CALLS = (
    pair_calls,
    block_calls,
    block_gradient_calls,
    step_calls,
    sweep_calls,
    topology_calls,
    slope_calls,
    sampling_calls,
    product_calls,
    ranking_calls,
)


def works(train: str) -> Iterator[Work]:
    """Makes the calls of all kernels, from a file of interactions."""
    material = Material(train)
    for calls in CALLS:
        yield from calls(material)
