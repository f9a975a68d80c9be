"""Users as sums of item rows: compiled, plain and float64 loops agree, and the way back is the way there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable, column_dtype
from sparserec_np.kernels.arguments import Explored, Rows
from sparserec_np.kernels.compiled import fism as compiled
from sparserec_np.kernels.reference import fism as reference
from tests.makers import oracles
from tests.makers.kernel_cases import (
    Array,
    assert_close,
    assert_threads_change_nothing,
    columns_and_dtype,
    needs_two_threads,
    random_explored,
    random_rows,
    random_seen,
    random_starts,
    random_table,
)

BOTH = pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])


def rows_of(table: SparseTable, ends: Array | None) -> Rows:
    rows = Rows.of(table)
    return rows if ends is None else rows._replace(ends=ends)


def first_parts(table: SparseTable) -> tuple[Array, SparseTable, Array]:
    """Ends of a random part of each row, the table of these parts alone, and where its entries stand."""
    lengths = np.diff(table.indptr)
    ends = table.indptr[:-1] + (np.random.default_rng(4).random(len(lengths)) * (lengths + 1)).astype(
        np.int32
    )
    kept = np.arange(table.nnz) < ends[table.row_numbers()]
    before = np.append(0, np.cumsum(kept)).astype(table.indptr.dtype)
    part = SparseTable(before[table.indptr], table.columns[kept], table.values[kept])
    return ends.astype(table.indptr.dtype), part, kept


class Case(NamedTuple):
    """Item rows with weights, users with the items they touched, and groups with gradients that are not zero."""

    table: SparseTable
    dim: int
    weights: Array
    sums_of: tuple[Array, Array, Array]  # starts, items and shares of users
    rows: Array
    starts: Array
    members: Array
    shares: Array
    local: Array
    slopes: Array
    active: Array
    explored: Explored
    weight_gradient: Array
    ends: Array | None = None

    @property
    def own(self) -> Rows:
        """The table's rows, or what stands before ``ends``."""
        return rows_of(self.table, self.ends)


def random_case(
    seed: int,
    n_items: int = 12,
    size: tuple[int, Any] = (7, np.float64),
    density: float = 0.5,
    users: int = 9,
    touched: float = 0.3,
    groups: int = 9,
    part: float = 0.5,
) -> Case:
    dim, dtype = size
    rng = np.random.default_rng(seed)
    table = random_table(rng, n_items, dim, density, dtype)
    indptr, items = random_seen(rng, 11, n_items, touched)
    rows = random_rows(rng, n_items, groups)
    starts = random_starts(rng, len(rows), 4)

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(dtype)

    return Case(
        table=table,
        dim=dim,
        weights=normal(n_items),
        sums_of=(indptr[: min(users, 11) + 1].astype(np.int64), items, rng.random(len(items), np.float32)),
        rows=rows,
        starts=starts,
        members=rng.integers(6, size=starts[-1]).astype(np.int32),
        shares=rng.random(starts[-1], np.float32),
        local=normal(6, dim),
        slopes=normal(6),
        active=normal(table.nnz),
        explored=random_explored(rng, n_items, dim, part, dtype),
        weight_gradient=normal(n_items),
    )


ODD_CASES = st.builds(
    random_case,
    seed=st.integers(0, 2**32 - 1),
    n_items=st.integers(1, 80),
    size=columns_and_dtype(1, 2, 7, 257),
    density=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    users=st.integers(0, 20),
    touched=st.sampled_from([0.0, 0.1, 1.0]),
    groups=st.integers(0, 70),
    part=st.sampled_from([0.0, 0.4, 1.0]),
)


def sums(kernel: Any, case: Case) -> Array:
    out = np.full((len(case.sums_of[0]) - 1, case.dim), 77, dtype=case.table.values.dtype)
    kernel.sum_rows(case.own, case.weights, *case.sums_of, out)
    return out


def cut(kernel: Any, case: Case, most: int) -> SparseTable:
    users, kind = len(case.sums_of[0]) - 1, case.table.values.dtype
    columns, values = np.full((users, most), 77, np.int32), np.full((users, most), 77, kind)
    counts = np.full(users, 77, np.int32)
    kernel.cut_sums(case.own, case.weights, *case.sums_of, case.dim, columns, values, counts)
    there = np.arange(most) < counts[:, None]
    indptr = np.append(0, np.cumsum(counts))
    return SparseTable(indptr, columns[there].astype(column_dtype(case.dim)), values[there])


def squares(kernel: Any, case: Case) -> Array:
    out = np.full(len(case.rows), 77, dtype=case.table.values.dtype)
    kernel.own_products(case.own, case.rows, out)
    return out


def added(kernel: Any, name: str, case: Case) -> tuple[Array, Array, Array]:
    """Gradients of stored entries, explored rows and weights after what the kernel added to those of the case."""
    active, weight_gradient = case.active.copy(), case.weight_gradient.copy()
    slots, explored = case.explored[0], case.explored[1].copy()
    spreads = name == "spread_rows"
    members = (case.members, case.shares) if spreads else (case.members,)
    getattr(kernel, name)(
        *(case.own, case.weights, *members, case.starts, case.rows, case.local if spreads else case.slopes),
        *(active, Explored(slots, explored), weight_gradient),
    )
    return active, explored, weight_gradient


def exact_sums(case: Case) -> Array:
    """(m, dim) float64, item by item."""
    dense = case.table.to_dense(case.dim).astype(np.float64)
    starts, items, shares = case.sums_of
    out = np.zeros((len(starts) - 1, case.dim))
    for t in range(len(out)):
        for m in range(starts[t], starts[t + 1]):
            out[t] += float(shares[m]) * float(case.weights[items[m]]) * dense[items[m]]
    return out


def exact_gradients(name: str, case: Case) -> tuple[Array, Array]:
    """(n_items, dim) and (n_items,) float64, member by member: what is added for every entry and every weight."""
    dense = case.table.to_dense(case.dim).astype(np.float64)
    rows, weights = np.zeros_like(dense), np.zeros(len(dense))
    for g, item in enumerate(case.rows):
        weight = float(case.weights[item])
        for k in range(case.starts[g], case.starts[g + 1]):
            m, share = case.members[k], float(case.shares[k])
            if name == "spread_rows":
                rows[item] += weight * share * case.local[m].astype(np.float64)
                weights[item] += share * oracles.inner(dense[item], case.local[m])
            else:
                rows[item] -= 2 * float(case.slopes[m]) * weight * dense[item]
                weights[item] -= float(case.slopes[m]) * oracles.inner(dense[item], dense[item])
    return rows, weights


@settings(max_examples=40, deadline=None)
@given(case=ODD_CASES)
def test_sums_of_rows(case: Case) -> None:
    scale = 4 * (1 + len(case.weights)) ** 0.5
    expected = sums(reference, case)
    assert_close(sums(compiled, case), expected, scale=scale)
    assert_close(expected, exact_sums(case), scale=scale)


@settings(max_examples=40, deadline=None)
@given(case=ODD_CASES)
def test_rows_with_themselves(case: Case) -> None:
    expected = squares(reference, case)
    assert_close(squares(compiled, case), expected)
    dense = case.table.to_dense(case.dim)
    assert_close(expected, np.array([oracles.inner(dense[row], dense[row]) for row in case.rows]))


@pytest.mark.parametrize("name", ["spread_rows", "leave_out"])
@settings(max_examples=40, deadline=None)
@given(case=ODD_CASES)
def test_gradients(name: str, case: Case) -> None:
    scale = 10 * case.dim**0.5
    expected = added(reference, name, case)
    for found, wanted in zip(added(compiled, name, case), expected, strict=True):
        assert found.dtype == case.active.dtype
        assert_close(found, wanted, scale=scale)
    rows, weights = exact_gradients(name, case)
    active, explored, weight_gradient = expected
    places = case.table.row_numbers(), case.table.columns
    assert_close(active - case.active, rows[places], scale=scale)
    slots, before = case.explored
    items = np.flatnonzero(slots >= 0)
    assert_close((explored - before)[slots[items]], rows[items], scale=scale)
    assert_close(weight_gradient - case.weight_gradient, weights, scale=scale)


@BOTH
def test_the_way_back_is_that_of_the_sums(kernel: Any) -> None:
    """One loss of all users' sums: its gradient is the difference that a small change of an item makes."""
    case = random_case(0, density=1.0, users=6)
    bounds, items, shares = case.sums_of
    item = int(np.bincount(items[: bounds[6]]).argmax())
    places = np.flatnonzero(items[: bounds[6]] == item)
    fans = np.searchsorted(bounds, places, side="right") - 1
    assert 1 < len(fans) < 6
    case = case._replace(
        rows=np.array([item], np.int32),
        starts=np.array([0, len(fans)], np.int32),
        members=fans.astype(np.int32),
        shares=shares[places],
    )
    active, _, weight_gradient = added(kernel, "spread_rows", case)
    places = slice(case.table.indptr[item], case.table.indptr[item + 1])

    def loss(values: Array) -> float:
        moved = case.table.values.copy()
        moved[places] = values
        return float(
            (sums(kernel, case._replace(table=case.table._replace(values=moved))) * case.local).sum()
        )

    expected = oracles.central_differences(loss, case.table.values[places])
    np.testing.assert_allclose((active - case.active)[places], expected, rtol=1e-6)
    more = case.weights.copy()
    more[item] += 1
    rise = ((sums(kernel, case._replace(weights=more)) - sums(kernel, case)) * case.local).sum()
    assert weight_gradient[item] - case.weight_gradient[item] == pytest.approx(rise, rel=1e-9)


@BOTH
@settings(deadline=None)  # the first call compiles
@given(case=ODD_CASES, most=st.sampled_from([1, 2, 3, 64]), rounded=st.booleans())
def test_cut_sums_keep_the_largest_entries(kernel: Any, case: Case, most: int, rounded: bool) -> None:
    most = min(most, case.dim)
    if rounded:  # sums of small whole numbers are exact, and many are equal
        table = case.table._replace(values=np.round(2 * case.table.values))
        starts, items, shares = case.sums_of
        ones = np.ones_like(case.weights), (starts, items, np.ones_like(shares))
        case = case._replace(table=table, weights=ones[0], sums_of=ones[1])
    table = cut(kernel, case, most)
    table.validate(case.dim)
    for row, made in zip(sums(kernel, case), table.to_dense(case.dim), strict=True):
        order = sorted((c for c in range(case.dim) if row[c]), key=lambda c: (-abs(row[c]), c))[:most]
        expected = np.zeros_like(row)
        expected[order] = row[order]
        np.testing.assert_array_equal(made, expected)


@needs_two_threads
def test_the_number_of_threads_changes_nothing() -> None:
    case = random_case(1, 500, (40, np.float32), 0.3, users=300, touched=0.2, groups=400)

    def run() -> list[Array]:
        gradients = [added(compiled, name, case) for name in ("spread_rows", "leave_out")]
        return [sums(compiled, case), squares(compiled, case), *gradients[0], *gradients[1]]

    assert_threads_change_nothing(run)


class Batch(NamedTuple):
    """Rows of users, items that each is paired with, a block of items for all, and gradients that are not zero."""

    table: SparseTable
    full: Array
    starts: Array
    partners: Array
    slopes: Array
    rows: Array
    block_slopes: Array
    of_users: Array
    active: Array
    explored: Explored
    ends: Array | None = None

    @property
    def own(self) -> Rows:
        """The table's rows, or what stands before ``ends``."""
        return rows_of(self.table, self.ends)


def random_batch(
    seed: int,
    n_items: int = 12,
    size: tuple[int, Any] = (7, np.float64),
    density: float = 0.5,
    users: int = 9,
    most: int = 4,
    block: int = 8,
    part: float = 0.5,
) -> Batch:
    """Some users have no pairs, some rows no entries, and of the block some slopes are 0, as of touched items."""
    dim, dtype = size
    rng = np.random.default_rng(seed)
    table = random_table(rng, n_items, dim, density, dtype)
    starts = random_starts(rng, users, most)
    rows = random_rows(rng, n_items, block)

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(dtype)

    return Batch(
        table=table,
        full=normal(users, dim),
        starts=starts,
        partners=rng.integers(n_items, size=starts[-1]).astype(np.int32),
        slopes=normal(starts[-1]),
        rows=rows,
        block_slopes=normal(users, len(rows)) * (rng.random((users, len(rows))) < 0.7),
        of_users=normal(users, dim),
        active=normal(table.nnz),
        explored=random_explored(rng, n_items, dim, part, dtype),
    )


ODD_BATCHES = st.builds(
    random_batch,
    seed=st.integers(0, 2**32 - 1),
    n_items=st.integers(1, 80),
    size=columns_and_dtype(1, 2, 7, 257),
    density=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    users=st.sampled_from([0, 1, 9, 20, 70, 130]),
    most=st.sampled_from([0, 1, 6]),
    block=st.integers(0, 70),
    part=st.sampled_from([0.0, 0.4, 1.0]),
)


def owners_of(batch: Batch) -> Array:
    """(pairs,) int32 place of each pair's user."""
    return np.repeat(np.arange(len(batch.full), dtype=np.int32), np.diff(batch.starts))


def by_item(batch: Batch) -> tuple[Array, Array, Array]:
    """Pairs by item, the bounds of each item's, and the items, the last first."""
    rows, sizes = np.unique(batch.partners, return_counts=True)
    members = np.argsort(-batch.partners, kind="stable").astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(sizes[::-1])]).astype(np.int32)
    return members, starts, rows[::-1].astype(np.int32)


def scored(kernel: Any, name: str, batch: Batch) -> list[Array]:
    """Scores of the pairs, or of the block."""
    shape = (len(batch.partners),) if name == "score_pairs" else batch.block_slopes.shape
    out = np.full(shape, 77, dtype=batch.full.dtype)
    if name == "score_pairs":
        kernel.score_pairs(batch.full, batch.starts, batch.partners, batch.own, out)
    else:
        kernel.score_block(batch.full, batch.rows, batch.own, out)
    return [out]


def added_to_users(kernel: Any, name: str, batch: Batch) -> list[Array]:
    """Gradients of the users' rows, after what the kernel added to those of the batch."""
    out = batch.of_users.copy()
    if name == "add_partners":
        kernel.add_partners(batch.partners, batch.starts, batch.slopes, batch.own, out)
    else:
        kernel.add_block(batch.rows, batch.block_slopes, batch.own, out)
    return [out]


def pulled(kernel: Any, name: str, batch: Batch) -> list[Array]:
    """Gradients of stored entries and of explored rows, after what the kernel added to those of the batch."""
    active, slots, explored = batch.active.copy(), batch.explored[0], batch.explored[1].copy()
    places = (batch.own, active, Explored(slots, explored))
    if name == "pull_pairs":
        kernel.pull_pairs(batch.full, *by_item(batch), batch.slopes, owners_of(batch), *places)
    else:
        by_column, slopes = (np.ascontiguousarray(of.T) for of in (batch.full, batch.block_slopes))
        kernel.pull_block(by_column, batch.rows, slopes, *places)
    return [active, explored]


WAYS = {
    "score_pairs": scored,
    "score_block": scored,
    "add_partners": added_to_users,
    "add_block": added_to_users,
    "pull_pairs": pulled,
    "pull_block": pulled,
}


def exact(name: str, batch: Batch) -> Sequence[Array]:
    """What the kernel of this name makes, in float64, one pair of a user and an item after another."""
    full = batch.full.astype(np.float64)
    dense = batch.table.to_dense(full.shape[1]).astype(np.float64)
    if name.endswith("pairs") or name == "add_partners":
        owners, slopes = owners_of(batch), batch.slopes
        pairs = [(u, i, (m,)) for m, (u, i) in enumerate(zip(owners, batch.partners, strict=True))]
    else:
        slopes = batch.block_slopes
        pairs = [(u, i, (u, s)) for u in range(len(full)) for s, i in enumerate(batch.rows)]
    scores, of_users, of_items = (
        np.zeros(slopes.shape),
        batch.of_users.astype(np.float64),
        np.zeros_like(dense),
    )
    for user, item, place in pairs:
        scores[place] = oracles.inner(full[user], dense[item])
        of_users[user] += float(slopes[place]) * dense[item]
        of_items[item] += float(slopes[place]) * full[user]
    active = batch.active + of_items[batch.table.row_numbers(), batch.table.columns]
    slots, explored = batch.explored[0], batch.explored[1].astype(np.float64)
    explored[slots[slots >= 0]] += of_items[slots >= 0]
    made = {scored: [scores], added_to_users: [of_users], pulled: [active, explored]}
    return made[WAYS[name]]


@pytest.mark.parametrize("name", WAYS)
@settings(max_examples=40, deadline=None)
@given(batch=ODD_BATCHES)
def test_users_with_pairs_and_blocks(name: str, batch: Batch) -> None:
    scale = 10 * (batch.full.shape[1] + len(batch.rows)) ** 0.5
    expected = WAYS[name](reference, name, batch)
    for found, wanted in zip(WAYS[name](compiled, name, batch), expected, strict=True):
        assert found.dtype == batch.full.dtype
        assert_close(found, wanted, scale=scale)
    for found, wanted in zip(expected, exact(name, batch), strict=True):
        assert_close(found, wanted, scale=scale)


@BOTH
def test_who_has_no_pairs_and_items_without_entries_change_nothing(kernel: Any) -> None:
    batch = random_batch(2, part=1.0)
    alone = np.flatnonzero(np.diff(batch.starts) == 0)
    empty = np.flatnonzero(np.diff(batch.table.indptr) == 0)
    assert (
        len(alone) and len(np.intersect1d(empty, batch.partners)) and len(np.intersect1d(empty, batch.rows))
    )
    (pairs,), (block,) = (scored(kernel, name, batch) for name in ("score_pairs", "score_block"))
    assert not pairs[np.isin(batch.partners, empty)].any()
    assert not block[:, np.isin(batch.rows, empty)].any()
    (of_users,) = added_to_users(kernel, "add_partners", batch)
    np.testing.assert_array_equal(of_users[alone], batch.of_users[alone])
    others = np.setdiff1d(np.arange(batch.table.rows), batch.partners)
    _, explored = pulled(kernel, "pull_pairs", batch)
    slots, before = batch.explored
    np.testing.assert_array_equal(explored[slots[others]], before[slots[others]])
    # Of an empty row nothing is stored, but what it could store is asked for.
    touched = slots[np.intersect1d(empty, batch.partners)]
    assert (explored[touched] != before[touched]).all()


@needs_two_threads
@pytest.mark.parametrize("name", WAYS)
def test_threads_change_nothing_for_pairs_and_blocks(name: str) -> None:
    batch = random_batch(1, 500, (40, np.float32), 0.3, users=300, block=400)
    assert_threads_change_nothing(lambda: WAYS[name](compiled, name, batch))


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_first_parts_of_rows_are_as_a_table_of_them_alone(kernel: Any, dtype: Any) -> None:
    case = random_case(3, 40, (9, dtype), 0.6)
    ends, part, kept = first_parts(case.table)
    assert 0 < part.nnz < case.table.nnz
    ours = case._replace(ends=ends)
    alone = case._replace(table=part, active=case.active[kept])
    for make in (sums, squares):
        np.testing.assert_array_equal(make(kernel, ours), make(kernel, alone))
    assert cut(kernel, ours, 3).to_dense(9).tobytes() == cut(kernel, alone, 3).to_dense(9).tobytes()
    for name in ("spread_rows", "leave_out"):
        (found, *beside), (wanted, *others) = (added(kernel, name, one) for one in (ours, alone))
        np.testing.assert_array_equal(found[kept], wanted)
        np.testing.assert_array_equal(found[~kept], case.active[~kept])
        for one, other in zip(beside, others, strict=True):
            np.testing.assert_array_equal(one, other)


@BOTH
@pytest.mark.parametrize("name", WAYS)
def test_pairs_and_blocks_read_the_first_parts_of_rows(kernel: Any, name: str) -> None:
    batch = random_batch(3, 40, (9, np.float32), 0.6, users=70)
    ends, part, kept = first_parts(batch.table)
    found = WAYS[name](kernel, name, batch._replace(ends=ends))
    wanted = WAYS[name](kernel, name, batch._replace(table=part, active=batch.active[kept]))
    if WAYS[name] is pulled:
        np.testing.assert_array_equal(found[0][~kept], batch.active[~kept])
        found[0] = found[0][kept]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@BOTH
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (16, 16), (17, 40), (70, 15)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_become_rows(kernel: Any, shape: tuple[int, int], dtype: type) -> None:
    block = np.random.default_rng(0).normal(size=shape).astype(dtype)
    turned = np.full(shape[::-1], 77, dtype=dtype)
    kernel.turn(block, turned)
    np.testing.assert_array_equal(turned, block.T)
