"""Topology updates: what is constant, what goes, what comes, and whether the optimizer's state follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.optimizers import SGD, Adagrad, Adam, Carry
from sparserec_np.sparsity.exploration import Exploration
from sparserec_np.sparsity.growth import AccumulatedGrowth, Growth, LastBatchGrowth, NoGrowth, RandomGrowth
from sparserec_np.sparsity.topology import TopologyUpdate, prune
from tests.makers.small import Array, places, random_table, same_bits

GROWTHS: dict[str, Growth] = {
    "local": AccumulatedGrowth(),
    "everywhere": AccumulatedGrowth(Exploration(1.0), prunes_explored_only=False),
    "last-batch": LastBatchGrowth(),
    "random": RandomGrowth(),
}


class Follower(SGD):
    """An optimizer whose state says which entry each place belongs to; -1 for regrown ones."""

    def __init__(self, table: SparseTable, dim: int) -> None:
        self.state = places(table, dim)

    def carry(self, move: Carry, row_means: Callable[[Array], Array]) -> None:
        self.state = move(self.state, np.full(len(row_means(self.state)), -1))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def random_explored(random: np.random.Generator, rows: int, dim: int) -> Explored:
    explored = Explored.of(np.flatnonzero(random.random(rows) < 0.6), rows, dim)
    explored.sums[:] = random.standard_normal(explored.sums.shape)
    explored.sums[random.random(explored.sums.shape) < 0.2] = 0
    return explored


@pytest.mark.parametrize("growth", GROWTHS.values(), ids=GROWTHS)
@settings(deadline=None)  # the first call may compile
@given(seed=st.integers(0, 2**32 - 1), data=st.data())
def test_every_promise_of_an_update(growth: Growth, seed: int, data: st.DataObject) -> None:
    random = rng(seed)
    rows, dim = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 7))
    before = random_table(random, rows, dim, data.draw(st.integers(0, rows * dim)))
    explored = random_explored(random, rows, dim)
    floor, fraction = data.draw(st.integers(0, 3)), data.draw(st.floats(0, 1))
    follower = Follower(before, dim)
    after = before.copy()
    changed = TopologyUpdate(floor, 0.5)(after, growth, explored, fraction, follower, random)

    after.validate(dim)
    assert [array.dtype for array in after] == [array.dtype for array in before]
    assert (after.rows, after.nnz) == (before.rows, before.nnz)

    old, new = places(before, dim), places(after, dim)
    pruned, regrown = np.setdiff1d(old, new), np.setdiff1d(new, old)
    assert len(pruned) == len(regrown) == changed  # an entry that was pruned is not regrown at once
    reach = (
        np.isin(old // dim, np.flatnonzero(explored.slots >= 0))
        if growth.prunes_explored_only
        else np.ones(len(old), bool)
    )
    assert changed <= fraction * np.count_nonzero(reach)
    if growth.prunes_explored_only:
        assert np.all(explored.slots[pruned // dim] >= 0)
        assert np.all(explored.slots[regrown // dim] >= 0)

    lengths = np.diff(before.indptr)
    left = np.bincount(np.intersect1d(old, new) // dim, minlength=rows)
    assert np.all(left >= np.minimum(lengths, floor))

    # What stays keeps its value, and the state follows its entry.
    kept = np.isin(new, old)
    assert np.array_equal(after.values[kept], before.values[np.isin(old, new)])
    assert np.array_equal(follower.state, np.where(kept, new, -1) if changed else old)

    # The pruned are the smallest of those within reach and above the floor.
    if changed:
        size = np.abs(before.values)
        rank = np.array(
            [np.count_nonzero((old // dim == o // dim) & (size > s)) for o, s in zip(old, size, strict=True)]
        )
        mine = np.isin(old, pruned)
        stayed = reach & (rank >= floor) & ~mine
        assert not stayed.any() or size[mine].max() <= size[stayed].min()
        assert np.abs(after.values[~kept]) == pytest.approx(0.5 * size[mine].max())
    if changed and growth is not GROWTHS["random"]:
        sums = np.zeros((rows, dim), np.float32)
        sums[explored.rows] = explored.sums
        assert np.array_equal(np.sign(after.values[~kept]), -np.sign(sums.ravel()[regrown]))


def test_random_growth_starts_in_both_directions() -> None:
    table = random_table(rng(), 30, 20, 300)
    nobody = Explored.of(np.empty(0, np.int32), 30, 20)
    after = table.copy()
    changed = TopologyUpdate()(after, RandomGrowth(), nobody, 0.3, Follower(table, 20), rng())
    new = ~np.isin(places(after, 20), places(table, 20))
    assert changed == 90 == np.count_nonzero(new)
    assert 20 < np.count_nonzero(after.values[new] > 0) < 70


def test_a_static_mask_stays() -> None:
    table = random_table(rng(), 5, 4, 10)
    explored = random_explored(rng(), 5, 4)
    before = table.copy()
    assert TopologyUpdate()(table, NoGrowth(), explored, 0.5, Follower(table, 4), rng()) == 0
    assert same_bits(table, before)


def test_ties_fall_the_same_way_each_time() -> None:
    table = random_table(rng(), 6, 5, 15)
    table.values[:] = rng(1).choice([-1, 1, 2], 15)
    explored = Explored.of(np.arange(6), 6, 5)
    explored.sums[:] = rng(2).choice([-3, 3], (6, 5))
    results = [table.copy(), table.copy()]
    for seed, result in enumerate(results):
        TopologyUpdate()(result, AccumulatedGrowth(), explored, 0.4, Follower(table, 5), rng(seed))
    assert same_bits(*results)
    ones = np.flatnonzero(np.abs(table.values) == 1)
    assert np.flatnonzero(~prune(table, 12, 0)[1]).tolist() == ones[:3].tolist()


def test_a_full_table_has_nothing_to_regrow() -> None:
    table = random_table(rng(), 4, 3, 12)
    for growth in GROWTHS.values():
        before = table.copy()
        explored = random_explored(rng(), 4, 3)
        assert TopologyUpdate()(table, growth, explored, 0.5, Follower(table, 3), rng()) == 0
        assert same_bits(table, before)


@pytest.mark.parametrize("kind", [Adam, Adagrad])
def test_real_optimizers_follow(kind: Any) -> None:
    """State marked with its entry's number is found at that entry afterwards; regrown ones start as documented."""
    dim, rows = 6, 20
    table, explored = random_table(rng(), rows, dim, 60), random_explored(rng(1), rows, dim)
    optimizer = kind(table.nnz, rows)
    old = places(table, dim)
    marked = optimizer.second if kind is Adam else optimizer.squares
    marked[:] = old
    if kind is Adam:
        optimizer.first[:] = -old
        optimizer.steps[:] = np.arange(rows)
    means = [
        marked[table.indptr[r] : table.indptr[r + 1]].mean() if lengths else 0
        for r, lengths in enumerate(np.diff(table.indptr))
    ]
    after = table.copy()
    changed = TopologyUpdate()(after, AccumulatedGrowth(), explored, 0.5, optimizer, rng())
    assert changed > 5
    new = places(after, dim)
    kept = np.isin(new, old)
    state = optimizer.second if kind is Adam else optimizer.squares
    assert state.dtype == np.float32 and len(state) == after.nnz
    assert np.array_equal(state[kept], new[kept])
    assert state[~kept] == pytest.approx(np.array(means)[new[~kept] // dim])
    if kind is Adam:
        assert np.array_equal(optimizer.first, np.where(kept, -new, 0))
        assert np.array_equal(optimizer.steps, np.arange(rows))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 6), st.integers(0, 4), st.data())
def test_pruning_once_keeps_the_largest_above_the_floor(
    seed: int, rows: int, dim: int, floor: int, data: st.DataObject
) -> None:
    table = random_table(rng(seed), rows, dim, data.draw(st.integers(0, rows * dim)))
    count = data.draw(st.integers(0, table.nnz))
    pruned, kept = prune(table, count, floor)
    pruned.validate(dim)
    assert pruned.nnz == count == np.count_nonzero(kept)
    assert [array.dtype for array in pruned] == [array.dtype for array in table]
    assert np.array_equal(places(pruned, dim), places(table, dim)[kept])
    assert np.array_equal(pruned.values, table.values[kept])
    floor = min(floor, count // rows)
    assert np.all(np.diff(pruned.indptr) >= np.minimum(floor, np.diff(table.indptr)))
    if not floor and 0 < count < table.nnz:
        assert np.abs(table.values[kept]).min() >= np.abs(table.values[~kept]).max()
