"""Exchanges that pay: what is weighed against what, and where it stops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.optimizers import SGD, Adagrad
from sparserec_np.sparsity.exchange import best_exchanges, divide_by_roots, spans
from sparserec_np.sparsity.growth import AccumulatedGrowth, LastBatchGrowth
from sparserec_np.sparsity.topology import TopologyUpdate
from tests.makers.small import Array, places, random_table, same_bits

ROWS, DIM, NNZ = 9, 7, 30
WORTHS = st.lists(st.integers(0, 6), max_size=9)


def test_sums_are_divided_by_the_roots_of_row_means() -> None:
    random = np.random.default_rng(0)
    table = random_table(random, ROWS, DIM, NNZ)
    empty = np.diff(table.indptr) == 0
    curvature = random.random(NNZ).astype(np.float32)
    curvature[table.row_numbers() == 3] = 0
    explored = Explored.of(np.array([7, 0, 3, 5]), ROWS, DIM)
    explored.sums[:] = random.standard_normal(explored.sums.shape)
    before = explored.sums.astype(np.float64)
    divide_by_roots(table, explored, curvature)
    means = {
        row: float(curvature[table.indptr[row] : table.indptr[row + 1]].astype(np.float64).mean())
        for row in (7, 0, 5)
    }
    assert not empty[[7, 0, 5]].any()
    means[3] = float(np.median(list(means.values())))  # it has no curvature
    for slot, row in enumerate(explored.rows):
        assert explored.sums[slot] == pytest.approx(before[slot] / np.sqrt(means[row]), rel=1e-5)


def test_without_any_curvature_sums_stay() -> None:
    table = random_table(np.random.default_rng(0), ROWS, DIM, NNZ)
    explored = Explored.of(np.arange(4), ROWS, DIM)
    explored.sums[:] = 2
    divide_by_roots(table, explored, np.zeros(NNZ, np.float32))
    assert np.all(explored.sums == 2)


@given(sizes=WORTHS, gains=WORTHS, margin=st.sampled_from([0.5, 1.0, 3.0]))
def test_exchanges_are_those_that_one_by_one_would_find(
    sizes: list[int], gains: list[int], margin: float
) -> None:
    going, coming = best_exchanges(np.array(sizes, float), np.array(gains, float), margin)
    low, high = list(enumerate(sizes)), list(enumerate(gains))
    gone, come = [], []
    while high and low:
        least, most = min(low, key=lambda one: one[1]), max(high, key=lambda one: one[1])
        if most[1] <= margin * least[1]:
            break
        low.remove(least)
        high.remove(most)
        gone.append(least[0])
        come.append(most[0])
    assert going.tolist() == sorted(gone) and coming.tolist() == sorted(come)


def explored_rows(random: np.random.Generator) -> Explored:
    explored = Explored.of(np.arange(0, ROWS, 2), ROWS, DIM)
    explored.sums[:] = random.standard_normal(explored.sums.shape)
    return explored


@pytest.mark.parametrize("margin", [0.3, 1.0, 3.0])
def test_an_update_exchanges_what_pays_and_no_more(margin: float) -> None:
    """Against a loop over dense float64 arrays."""
    random = np.random.default_rng(4)
    table, explored = random_table(random, ROWS, DIM, NNZ), explored_rows(random)
    optimizer = Adagrad(NNZ, ROWS)
    optimizer.squares[:] = random.random(NNZ) + 0.1
    weights, squares, sums = (np.zeros((ROWS, DIM)) for _ in range(3))
    at = table.row_numbers(), table.columns
    active = np.zeros((ROWS, DIM), bool)
    weights[at], squares[at], active[at] = table.values, optimizer.squares, True
    sums[explored.rows] = explored.sums
    may_go, may_come = [], []
    for row in explored.rows:
        curvature = squares[row][active[row]].mean()
        largest = max(np.flatnonzero(active[row]), key=lambda c: abs(weights[row, c]), default=-1)
        for c in range(DIM):
            if not active[row, c]:
                may_come.append((abs(sums[row, c]) / np.sqrt(curvature), row, c))
            elif c != largest:  # the floor is one entry
                may_go.append((abs(weights[row, c]) * np.sqrt(squares[row, c]), row, c))
    pairs = [
        (go, come)
        for go, come in zip(sorted(may_go), sorted(may_come, reverse=True), strict=False)
        if come[0] > margin * go[0]
    ]
    before = places(table, DIM)
    changed = TopologyUpdate(1, 0.5, margin)(
        table, AccumulatedGrowth(), explored, 1.0, optimizer, np.random.default_rng()
    )
    after = places(table, DIM)
    table.validate(DIM)
    assert changed == len(pairs) > 0
    assert set(np.setdiff1d(before, after)) == {row * DIM + c for (_, row, c), _ in pairs}
    assert set(np.setdiff1d(after, before)) == {row * DIM + c for _, (_, row, c) in pairs}
    largest = max(abs(weights[row, c]) for (_, row, c), _ in pairs)
    size = min(largest, np.median(np.abs(weights[active])))
    new = ~np.isin(after, before)
    assert np.abs(table.values[new]) == pytest.approx(0.5 * size)
    assert np.array_equal(np.sign(table.values[new]), -np.sign(sums.ravel()[after[new]]))


def test_entries_are_exchanged_within_a_kind() -> None:
    """As if each kind of columns were a table of its own, of which nothing else is known."""
    random = np.random.default_rng(4)
    table, explored = random_table(random, ROWS, DIM, NNZ), explored_rows(random)
    optimizer = Adagrad(NNZ, ROWS)
    optimizer.squares[:] = (random.random(NNZ) + 0.1) * np.where(table.columns < 4, 1, 1e-6)
    sums, before = explored.sums.copy(), places(table, DIM) % DIM < 4
    divide_by_roots(table, explored, optimizer.squares, (4,))
    for first, last in spans((4,), DIM):
        inside = (table.columns >= first) & (table.columns < last)
        for slot, row in enumerate(explored.rows):
            own = inside & (table.row_numbers() == row)
            if own.any():
                expected = sums[slot, first:last] / np.sqrt(optimizer.squares[own].mean())
                assert explored.sums[slot, first:last] == pytest.approx(expected, rel=1e-5)
    explored.sums[:] = sums
    old, multiplied = places(table, DIM), np.abs(table.values[before])
    changed = TopologyUpdate(0, 0.5, 0.2, (4,))(
        table, AccumulatedGrowth(), explored, 0.9, optimizer, np.random.default_rng()
    )
    after = places(table, DIM) % DIM < 4
    assert changed > 0 and after.sum() == before.sum()
    new = ~np.isin(places(table, DIM), old)
    gone = multiplied[~np.isin(old[before], places(table, DIM))]
    assert 0 < (new & after).sum() < new.sum()
    assert np.abs(table.values[new & after]) == pytest.approx(0.5 * min(gone.max(), np.median(multiplied)))
    assert not table.values[new & ~after].any()


def test_a_row_without_entries_of_a_kind_is_as_it_is_in_the_other() -> None:
    """Row 2 has no entry in the last columns, and is three times the median in the first."""
    dense = np.ones((3, 4))
    dense[2, 2:] = 0
    table = SparseTable.from_dense(dense)
    curvature = np.array([1, 1, 5, 5, 3, 3, 7, 7, 9, 9], np.float32)
    explored = Explored.of(np.arange(3), 3, 4)
    explored.sums[:] = 1
    divide_by_roots(table, explored, curvature, (2,))
    expected = [[1, 1, 5, 5], [3, 3, 7, 7], [9, 9, 18, 18]]
    assert explored.sums == pytest.approx(1 / np.sqrt(expected))


def test_a_great_margin_leaves_the_mask() -> None:
    random = np.random.default_rng(1)
    table, explored = random_table(random, ROWS, DIM, NNZ), explored_rows(random)
    optimizer, before = Adagrad(NNZ, ROWS), table.copy()
    optimizer.squares[:] = 1
    update = TopologyUpdate(margin=1e9)
    assert update(table, AccumulatedGrowth(), explored, 0.9, optimizer, np.random.default_rng()) == 0
    assert same_bits(table, before)


@pytest.mark.parametrize("case", ["no squares", "last batch"])
def test_nothing_is_weighed_without_both_sums(case: str) -> None:
    """Where nobody sums squared gradients, or gradients, as many change as without a margin."""
    growth = LastBatchGrowth() if case == "last batch" else AccumulatedGrowth()
    results: list[tuple[int, Array]] = []
    for margin in (0.0, 1e9):
        random = np.random.default_rng(1)
        table, explored = random_table(random, ROWS, DIM, NNZ), explored_rows(random)
        optimizer = SGD(NNZ, ROWS) if case == "no squares" else Adagrad(NNZ, ROWS)
        update = TopologyUpdate(margin=margin)
        changed = update(table, growth, explored, 0.5, optimizer, np.random.default_rng())
        results.append((changed, places(table, DIM)))
    assert results[0][0] == results[1][0] > 0
    assert np.array_equal(results[0][1], results[1][1])
