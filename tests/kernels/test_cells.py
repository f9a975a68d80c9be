"""Sweeps over single pairs: compiled and plain agree, and both do what their equations say."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.arguments import Cells, Explored, Shared, Single, Steps
from sparserec_np.kernels.compiled import cells as compiled
from sparserec_np.kernels.reference import cells as reference
from sparserec_np.learning import cells as learning_cells
from sparserec_np.learning.cells import BLOCK_LOSSES, CellDivision
from tests.makers.kernel_cases import (
    PRECISIONS,
    Array,
    assert_close,
    assert_threads_change_nothing,
    needs_two_threads,
    random_explored,
    random_table,
)

# As plain Python, with NUMBA_DISABLE_JIT=1, the random numbers of these kernels warn of wrapping
# around.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in scalar:RuntimeWarning")
DIM = 12
WIDE = 70  # columns: more than rows that unfold have
KERNELS = pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])


def log_of(users: Any, items: Any, n_users: int, n_items: int) -> Interactions:
    return Interactions.from_codes(
        np.asarray(users), np.asarray(items), np.arange(n_users), np.arange(n_items)
    )


def weighted(log: Interactions) -> Interactions:
    """The same pairs, with a weight each."""
    weights = np.random.default_rng(1).uniform(0.2, 3, log.n_interactions)
    return replace(log, weights=weights.astype(np.float32))


def random_log(rng: np.random.Generator, n_users: int, n_items: int, part: float) -> Interactions:
    """One user in ten has no item, the first has all of them but one."""
    mask = (rng.random((n_users, n_items)) < part) & (rng.random((n_users, 1)) < 0.9)
    mask[0] = True
    mask[0, n_items // 2] = False
    return log_of(*np.nonzero(mask), n_users, n_items)


def a_problem(
    density: float, dtype: Any, dim: int = DIM
) -> tuple[np.random.Generator, Interactions, SparseTable]:
    """Interactions and a table for them; at density 1 it is full, for the sweep that looks up no columns."""
    rng = np.random.default_rng(5)
    log = random_log(rng, 30, 150, 0.1)
    rows = log.n_users + log.n_items
    table = random_table(rng, rows, dim, density, dtype)
    if density == 1:
        table = SparseTable.full(rng.standard_normal((rows, dim)).astype(dtype))
    return rng, log, table


def random_steps(rng: np.random.Generator, table: SparseTable, parts: int, rule: str) -> Steps:
    kind = table.values.dtype
    drawn = table.nnz if "origin" in rule else 0
    adapts = table.nnz if "adagrad" in rule else 0
    return Steps(
        rng.random(parts).astype(kind) / 10,
        np.array([0.01, 0.02, 0.04], dtype=kind),
        rng.standard_normal(drawn).astype(kind),
        rng.random(adapts).astype(kind),
    )


def single(seed: int, group: int = 3) -> Single:
    return Single(np.uint64(seed), group)


def copied(table: SparseTable, steps: Steps, explored: Explored) -> tuple[SparseTable, Steps, Explored]:
    return (
        table._replace(values=table.values.copy()),
        steps._replace(squares=steps.squares.copy()),
        explored._replace(sums=explored.sums.copy()),
    )


WEIGHTED = pytest.mark.parametrize("has_weights", [False, True], ids=["alike", "weighted"])


@WEIGHTED
@pytest.mark.parametrize("size", [(7, 3), (40, 200), (60, 1000)])
def test_cells(size: tuple[int, int], has_weights: bool) -> None:
    log = random_log(np.random.default_rng(3), *size, 0.2)
    log = weighted(log) if has_weights else log
    division = CellDivision(log)
    cells = division.cells(np.random.default_rng(4))
    twin = Cells(*(array.copy() for array in cells))
    for array in (*twin[1:3], twin.weights):
        array[:] = 77
    relative = log.relative_weights() if has_weights else cells.weights
    reference.fill_cells(log.indptr, log.items, relative, division._part_of, twin)
    for found, expected in zip(cells, twin, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert division.parts == {3: 1, 200: 3, 1000: 8}[size[1]]
    found_users = cells.users + np.repeat(cells.ranges[:-1], np.diff(cells.bounds[:: division.parts]))
    pairs = set(zip(found_users.tolist(), cells.positives.tolist(), strict=True))
    assert pairs == set(zip(log.pair_users().tolist(), log.items.tolist(), strict=True))
    if has_weights:
        told = zip(found_users.tolist(), cells.positives.tolist(), cells.weights, strict=True)
        assert set(told) == set(zip(log.pair_users().tolist(), log.items.tolist(), relative, strict=True))
    assert sorted(cells.members.tolist()) == list(range(log.n_items))
    for turn in range(division.parts):  # no user and no item is in two cells of a turn
        users: list[int] = []
        items: list[int] = []
        for p in range(division.parts):
            q = (p + turn) % division.parts
            inside = slice(*cells.bounds[p * division.parts + q :][:2])
            users += np.unique(found_users[inside]).tolist()
            items += cells.members[cells.starts[q] : cells.starts[q + 1]].tolist()
            assert set(cells.positives[inside]) <= set(cells.members[cells.starts[q] : cells.starts[q + 1]])
        assert len(users) == len(set(users))
        assert len(items) == len(set(items))


@pytest.mark.parametrize("shared", [None, Shared(1, 16, 9, 3)])
def test_two_bytes_number_pairs_as_well_as_four(
    shared: Shared | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, log, table = a_problem(0.3, np.float32)
    found = []
    for limit, kind in ((learning_cells.NARROW, np.uint16), (149, np.int32)):
        monkeypatch.setattr(learning_cells, "NARROW", limit)
        rng = np.random.default_rng(8)
        division = CellDivision(log)
        cells = division.cells(rng)
        assert cells.users.dtype == cells.positives.dtype == kind
        steps = random_steps(rng, table, division.parts, "adagrad")
        explored = random_explored(rng, table.rows, DIM, 0.4, np.float32)
        now, losses = table._replace(values=table.values.copy()), np.empty((division.parts, division.parts))
        if shared:
            compiled.sweep_blocks(now, cells, shared, steps, explored, losses)
        else:
            compiled.sweep_pairs(now, cells, single(5), steps, explored, losses)
        found.append((cells.positives.astype(int), now.values, explored.sums, losses))
    for narrow, wide in zip(*found, strict=True):
        np.testing.assert_array_equal(narrow, wide)


def test_items_are_divided_anew() -> None:
    division = CellDivision(random_log(np.random.default_rng(3), 40, 1000, 0.2))
    rng = np.random.default_rng(4)
    firsts = [set(division.cells(rng).members[:125].tolist()) for _ in range(21)]
    assert 5 < np.mean([len(one & other) for one, other in itertools.pairwise(firsts)]) < 40


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("dim", [DIM, WIDE])
@pytest.mark.parametrize("density", [0.3, 1.0])
@pytest.mark.parametrize("rule", ["sgd", "sgd, origin", "adagrad", "adagrad, origin"])
@pytest.mark.parametrize("part", [0.0, 0.4])
@WEIGHTED
def test_twins_agree(dtype: Any, dim: int, density: float, rule: str, part: float, has_weights: bool) -> None:
    rng, log, table = a_problem(density, dtype, dim)
    log = weighted(log) if has_weights else log
    rows = table.rows
    if density == 1:
        part = 0.0
    division = CellDivision(log)
    steps = random_steps(rng, table, division.parts, rule)
    explored = random_explored(rng, rows, dim, part, dtype)
    cells = division.cells(rng)
    ends = []
    for kernel in (compiled, reference):
        now, way, sums = copied(table, steps, explored)
        losses = np.full((division.parts, division.parts), np.nan)
        kernel.sweep_pairs(now, cells, single(2**63 + 11), way, sums, losses)
        ends.append((now.values, way.squares, sums.sums, losses))
    tolerance = 1e-10 if dtype == np.float64 else 2e-3  # 2,000 steps, one upon another
    for found, expected in zip(*ends, strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    assert np.abs(ends[0][0] - table.values).max() > 0.01


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("density", [0.3, 1.0])
@pytest.mark.parametrize("rule", ["sgd, origin", "adagrad", "adagrad, origin"])
@pytest.mark.parametrize("shared", [Shared(0, 7, 20, 3), Shared(1, 16, 9, 3), Shared(1, 1000, 1000, 3)])
@WEIGHTED
def test_twins_agree_on_blocks(
    dtype: Any, density: float, rule: str, shared: Shared, has_weights: bool
) -> None:
    rng, log, table = a_problem(density, dtype)
    log = weighted(log) if has_weights else log
    rows, dim = table.rows, DIM
    division = CellDivision(log)
    steps = random_steps(rng, table, division.parts, rule)
    explored = random_explored(rng, rows, dim, 0.4, dtype)
    cells = division.cells(rng)
    ends = []
    for kernel in (compiled, reference):
        now, way, sums = copied(table, steps, explored)
        losses = np.full((division.parts, division.parts), np.nan)
        kernel.sweep_blocks(now, cells, shared, way, sums, losses)
        ends.append((now.values, way.squares, sums.sums, losses))
    tolerance = 1e-10 if dtype == np.float64 else 2e-3
    for found, expected in zip(*ends, strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    assert np.abs(ends[0][0] - table.values).max() > 0.01


def softmax_loss(u: Array, items: Array, i: int, block: Array) -> float:
    return float(np.log(np.exp(items[i] @ u) + np.exp(items[block] @ u).sum()) - items[i] @ u)


def bpr_loss(u: Array, items: Array, i: int, block: Array) -> float:
    return float(np.log(1 + np.exp(items[block] @ u - items[i] @ u)).mean())


@KERNELS
@pytest.mark.parametrize("loss", [bpr_loss, softmax_loss], ids=BLOCK_LOSSES)
def test_a_block_by_finite_differences(kernel: Any, loss: Any) -> None:
    """Users of one item, all in one block of all items: each step is along the loss, with the block as it was."""
    n_users, n_items, dim = 3, 6, 4
    log = log_of(range(n_users), range(n_users), n_users, n_items)
    rng = np.random.default_rng(2)
    dense = rng.standard_normal((n_users + n_items, dim))
    table = SparseTable.full(dense.copy())
    rate, d = 0.01, np.array([0.1, 0.2, 0.3])
    steps = Steps(np.array([rate]), d, np.empty(0), np.empty(0))
    explored = Explored(np.arange(n_users + n_items, dtype=np.int32), np.zeros((n_users + n_items, dim)))
    losses = np.empty((1, 1))
    cells = CellDivision(log).cells(np.random.default_rng(0))
    kind = [bpr_loss, softmax_loss].index(loss)
    kernel.sweep_blocks(table, cells, Shared(kind, 100, 100, 3), steps, explored, losses)

    items = dense[n_users:].copy()
    frozen, pulls, total = items.copy(), np.zeros_like(items), 0.0
    for user in range(n_users):
        u, block = dense[user], np.delete(np.arange(n_items), user)

        def cost(u: Array, i: Array, others: Array, user: int = user, block: Array = block) -> float:
            every = others.copy()
            every[user] = i
            return loss(u, every, user, block)

        now = (u, items[user].copy(), frozen)
        total += cost(*now)
        slopes = []
        for which in range(3):
            slope = np.zeros_like(now[which])
            for at in np.ndindex(*slope.shape):
                moved = [array.copy() for array in now]
                ends = []
                for side in (1e-6, -2e-6):
                    moved[which][at] += side
                    ends.append(cost(*moved))
                slope[at] = (ends[0] - ends[1]) / 2e-6
            slopes.append(slope)
        items[user] -= rate * (slopes[1] + d[1] * items[user])
        pulls += slopes[2]
        np.testing.assert_allclose(table.to_dense(dim)[user], u - rate * (slopes[0] + d[0] * u), atol=1e-9)
        np.testing.assert_allclose(explored.sums[user], slopes[0], atol=1e-7)
    items -= rate * (pulls + d[2] * n_users / n_items * items)
    np.testing.assert_allclose(table.to_dense(dim)[n_users:], items, atol=1e-8)
    assert losses[0, 0] == pytest.approx(total, rel=1e-12)


@KERNELS
@pytest.mark.parametrize("group", [1, 2, 8])
def test_one_pair_after_another_by_hand(kernel: Any, group: int) -> None:
    """One user with two items of three: the third is the only negative, and each step is one on dense rows."""
    log = log_of([0, 0], [0, 1], 1, 3)
    dense = np.array([[0.5, 1.0], [0.2, 0.0], [-1.0, 2.0], [0.3, 0.7]])
    table = SparseTable.from_dense(dense)
    rate, d = 0.1, (0.01, 0.02, 0.03)
    steps = Steps(np.array([rate]), np.array(d), np.empty(0), np.empty(0))
    losses = np.empty((1, 1))
    cells = CellDivision(log).cells(np.random.default_rng(0))
    explored = Explored(np.array([1, 0, -1, 2], np.int32), np.zeros((3, 2)))
    kernel.sweep_pairs(table, cells, single(1, group), steps, explored, losses)

    u, i, j = dense[0].copy(), dense[1:3].copy(), dense[3].copy()
    mask = dense[1:3] != 0
    expected = 0.0
    pull, pairs, wanted = np.zeros(2), 0, np.zeros((3, 2))
    first_j = j.copy()
    for pair in range(2):
        margin = u @ i[pair] - u @ (j if group == 1 else first_j)  # a group is scored before anything moves
        expected += np.log(1 + np.exp(-margin))
        a = 1 / (1 + np.exp(margin))
        pull += a * (j - i[pair])
        wanted[1] += a * (j - i[pair])
        wanted[2] += a * u
        if pair == 0:
            wanted[0] -= a * u
        i[pair] -= rate * (-a * u + d[1] * i[pair]) * mask[pair]
        j = j - rate * (a * u + d[2] * j)
        pairs += 1
        if pairs == group or pair == 1:
            u = u - rate * (pull + pairs * d[0] * u)
            pull, pairs = np.zeros(2), 0
    np.testing.assert_allclose(table.to_dense(2), np.vstack([u, i, j]), rtol=1e-12)
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    np.testing.assert_allclose(explored.sums, wanted, rtol=1e-12)


@KERNELS
@pytest.mark.parametrize("density", [0.5, 1.0])
@pytest.mark.parametrize("group", [1, 2])
def test_users_of_a_group_are_scored_before_its_items_move(kernel: Any, group: int, density: float) -> None:
    """Two users have the first of two items: the second is the negative of both."""
    log = log_of([0, 1], [0, 0], 2, 2)
    rng = np.random.default_rng(3)
    dense = rng.standard_normal((4, 6)) * (rng.random((4, 6)) < density)
    table = SparseTable.from_dense(dense)
    rate = 0.1
    steps = Steps(np.array([rate]), np.zeros(3), np.empty(0), np.empty(0))
    explored, losses = Explored(np.full(4, -1, np.int32), np.zeros((0, 6))), np.empty((1, 1))
    kernel.sweep_pairs(
        table, CellDivision(log).cells(np.random.default_rng(0)), single(1, group), steps, explored, losses
    )
    now, mask, expected = dense.copy(), dense != 0, 0.0
    scored = dense
    for user in range(2):
        scored = dense if group == 2 else now.copy()
        margin = scored[user] @ (scored[2] - scored[3])
        expected += np.log(1 + np.exp(-margin))
        a = 1 / (1 + np.exp(margin))
        u, pull = now[user].copy(), a * (now[3] - now[2])
        now[2] += rate * a * u * mask[2]
        now[3] -= rate * a * u * mask[3]
        now[user] -= rate * pull * mask[user]
    np.testing.assert_allclose(table.to_dense(6), now, rtol=1e-12)
    np.testing.assert_allclose(losses, expected, rtol=1e-12)


@KERNELS
@pytest.mark.parametrize("shared", [None, Shared(0, 8, 8, 3), Shared(1, 8, 8, 3)], ids=str)
def test_a_pair_of_twice_the_weight_moves_its_rows_twice_as_far(kernel: Any, shared: Shared | None) -> None:
    """By plain descent without L2 terms, users of one item each: of what hangs on the pair alone."""
    log = replace(log_of([0, 1], [0, 1], 2, 3), weights=np.array([2, 4], np.float32))
    dense = np.random.default_rng(0).standard_normal((5, 4))
    moved = []
    for some in (log, replace(log, weights=None)):
        table = SparseTable.full(dense.copy())
        steps = Steps(np.array([0.01]), np.zeros(3), np.empty(0), np.empty(0))
        explored, losses = Explored(np.full(5, -1, np.int32), np.zeros((0, 4))), np.empty((1, 1))
        cells = CellDivision(some).cells(np.random.default_rng(0))
        if shared:
            kernel.sweep_blocks(table, cells, shared, steps, explored, losses)
        else:
            kernel.sweep_pairs(table, cells, single(1), steps, explored, losses)
        moved.append(table.to_dense(4) - dense)
    with_weights, alike = moved
    np.testing.assert_allclose(with_weights[0], alike[0] * 2 / 3, rtol=1e-5)  # the first pair, by 2 / mean
    assert np.linalg.norm(with_weights[1]) == pytest.approx(np.linalg.norm(alike[1]) * 4 / 3, rel=0.05)


@KERNELS
def test_a_user_of_all_items_is_passed_over(kernel: Any) -> None:
    log = log_of([0, 0, 0, 1], [0, 1, 2, 0], 2, 3)
    table = SparseTable.full(np.arange(10.0).reshape(5, 2) / 10)
    before = table.values.copy()
    losses = np.empty((1, 1))
    steps = Steps(np.array([0.1]), np.zeros(3), np.empty(0), np.empty(0))
    explored = Explored(np.full(5, -1, np.int32), np.zeros((0, 2)))
    cells = CellDivision(log).cells(np.random.default_rng(0))
    kernel.sweep_pairs(table, cells, single(1), steps, explored, losses)
    np.testing.assert_array_equal(table.values[:2], before[:2])
    assert (table.values[2:4] != before[2:4]).all()
    assert 0 < losses[0, 0] < 1


@KERNELS
def test_scores_far_apart_stay_finite(kernel: Any) -> None:
    log = log_of([0], [0], 1, 2)
    for sign, slope in ((1, 0.0), (-1, 1.0)):
        table = SparseTable.full(np.array([[30.0], [sign * 30.0], [-sign * 30.0]], dtype=np.float32))
        steps = Steps(*(np.array(a, np.float32) for a in ([0.5], [0, 0, 0], [], [])))
        explored = Explored(np.full(3, -1, np.int32), np.zeros((0, 1), np.float32))
        losses = np.empty((1, 1))
        cells = CellDivision(log).cells(np.random.default_rng(0))
        kernel.sweep_pairs(table, cells, single(1), steps, explored, losses)
        assert losses[0, 0] == pytest.approx(80 * slope, abs=1e-6)
        assert table.values[1] == pytest.approx(sign * 30 + slope * 15, abs=1e-4)


@KERNELS
def test_negatives_are_even_and_none_of_the_users(kernel: Any) -> None:
    """Their number is the count of an item's moves: each moves it by the same step, as slopes are 1/2 at 0."""
    n_items, sweeps = 20, 300
    log = log_of([0] * 5, range(5), 1, n_items)
    division, rng = CellDivision(log), np.random.default_rng(1)
    counts = np.zeros(n_items)
    for sweep in range(sweeps):
        rows = np.zeros((1 + n_items, 1))
        rows[0] = 1e-9  # a user this small leaves all scores at 0
        table = SparseTable.full(rows)
        steps = Steps(np.array([2e9]), np.zeros(3), np.empty(0), np.empty(0))
        explored = Explored(np.full(1 + n_items, -1, np.int32), np.zeros((0, 1)))
        cells = division.cells(rng)
        kernel.sweep_pairs(table, cells, single(sweep, 8), steps, explored, np.empty((1, 1)))
        counts += np.round(-table.values[1:])
    assert (counts[:5] == -sweeps).all()
    assert counts[5:].sum() == 5 * sweeps
    assert abs(counts[5:] - 100).max() < 45  # 4.5 standard deviations


@needs_two_threads
@pytest.mark.parametrize("dim", [8, WIDE])
@pytest.mark.parametrize("density", [0.3, 1.0])
@pytest.mark.parametrize("shared", [None, Shared(1, 64, 32, 3)])
def test_threads_change_nothing(dim: int, density: float, shared: Shared | None) -> None:
    rng = np.random.default_rng(6)
    log = random_log(rng, 80, 700, 0.1)
    rows = log.n_users + log.n_items
    table = random_table(rng, rows, dim, density, np.float32)
    if density == 1:
        table = SparseTable.full(rng.standard_normal((rows, dim)).astype(np.float32))
    division = CellDivision(log)
    assert division.parts == 8
    steps = random_steps(rng, table, division.parts, "adagrad, origin")
    explored = random_explored(rng, rows, dim, 0.3, np.float32)
    cells = division.cells(rng)

    def run() -> list[Array]:
        now, way, sums = copied(table, steps, explored)
        losses = np.empty((division.parts, division.parts))
        if shared is None:
            compiled.sweep_pairs(now, cells, single(5), way, sums, losses)
        else:
            compiled.sweep_blocks(now, cells, shared, way, sums, losses)
        return [now.values, way.squares, sums.sums, losses]

    assert_threads_change_nothing(run)


def test_loss_of_many_pairs_is_the_sum_of_logarithms() -> None:
    """The compiled sweep multiplies first: beyond 1e200 more than once."""
    rng = np.random.default_rng(7)
    log = random_log(rng, 20, 60, 0.5)
    table = SparseTable.full(rng.standard_normal((80, 4)) * 5)
    division = CellDivision(log)
    steps = Steps(np.zeros(1), np.zeros(3), np.empty(0), np.empty(0))
    explored = Explored(np.full(80, -1, np.int32), np.zeros((0, 4)))
    losses = [np.empty((1, 1)) for _ in range(2)]
    cells = division.cells(rng)
    for kernel, out in zip((compiled, reference), losses, strict=True):
        kernel.sweep_pairs(table, cells, single(5), steps, explored, out)
    assert losses[1][0, 0] > 3 * 200 * np.log(10)
    assert_close(*losses)
