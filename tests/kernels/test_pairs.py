"""What pairs of items say to users: compiled, plain and float64 loops agree, and the way back is the way there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.kernels.arguments import Found, Pairs
from sparserec_np.kernels.compiled import pairs as compiled
from sparserec_np.kernels.reference import pairs as reference
from sparserec_np.models.both_ways import both_ways
from tests.makers import oracles
from tests.makers.kernel_cases import (
    Array,
    assert_close,
    assert_threads_change_nothing,
    needs_two_threads,
    random_rows,
    random_seen,
    random_starts,
    random_table,
)

BOTH = pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])


class Case(NamedTuple):
    """Pairs that stand once, users with what they touched, items each is paired with, and a block for all."""

    pairs: Pairs
    dense: Array  # (n_items, n_items) where the value of each pair stands, or -1
    values: Array
    factors: Array
    of_users: tuple[Array, Array, Array]
    starts: Array
    partners: Array
    rows: Array
    slopes: Array
    block_slopes: Array


def random_case(
    seed: int,
    n_items: int = 12,
    users: int = 9,
    density: float = 0.3,
    touched: float = 0.3,
    dtype: Any = np.float64,
) -> Case:
    """Values stand at random among others; some users touched nothing, and some are paired with nothing."""
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(np.tril(rng.random((n_items, n_items)) < density, -1))
    places = rng.permutation(2 * len(rows) + 5)[: len(rows)]
    dense = np.full((n_items, n_items), -1)
    dense[rows, columns] = dense[columns, rows] = places
    bounds, items = random_seen(rng, users, n_items, touched)
    starts = random_starts(rng, users, 3)
    block = random_rows(rng, n_items, 6)

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(dtype)

    return Case(
        both_ways(rows, columns, places, n_items),
        dense,
        normal(2 * len(rows) + 5),
        normal(n_items),
        (bounds, items, rng.random(len(items), np.float32) + np.float32(0.1)),
        starts,
        rng.integers(n_items, size=starts[-1]).astype(np.int32),
        block,
        normal(starts[-1]),
        normal(users, len(block)) * (rng.random((users, len(block))) < 0.7),
    )


ODD_CASES = st.builds(
    random_case,
    seed=st.integers(0, 2**32 - 1),
    n_items=st.integers(1, 40),
    users=st.sampled_from([0, 1, 9, 40]),
    density=st.sampled_from([0.0, 0.1, 1.0]),
    touched=st.sampled_from([0.0, 0.2, 1.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
)


def found_by(kernel: Any, case: Case) -> Found:
    most = 2 * np.repeat(np.diff(case.of_users[0]), np.diff(case.starts))
    rooms = np.minimum(np.diff(case.pairs.bounds)[case.partners], most)
    begins = np.append(0, np.cumsum(rooms)).astype(np.int64)
    count, room = len(case.partners), int(begins[-1])
    found = Found(
        begins, np.full(count, 77, np.int32), np.full(room, -1, np.int32), np.zeros(room, np.float32)
    )
    kernel.find(case.pairs, case.of_users, case.starts, case.partners, found)
    return found


def users_of_items(case: Case) -> tuple[Array, Array, Array, Array]:
    bounds, items, shares = case.of_users
    order = np.argsort(items, kind="stable")
    rows, counts = np.unique(items, return_counts=True)
    groups = np.full(len(case.factors), -1, np.int32)
    groups[rows] = np.arange(len(rows))
    owners = np.repeat(np.arange(len(bounds) - 1, dtype=np.int32), np.diff(bounds))
    return groups, owners[order], shares[order], np.append(0, np.cumsum(counts)).astype(np.int32)


def scores(kernel: Any, case: Case) -> list[Array]:
    """Those of the pairs of users and items, and of the block, added to 2."""
    out = np.full(len(case.partners), 2, case.values.dtype)
    block = np.full(case.block_slopes.shape, 2, case.values.dtype)
    kernel.add_found(case.pairs, found_by(kernel, case), case.values, case.factors, out)
    kernel.add_block(case.pairs, case.rows, users_of_items(case), case.values, case.factors, block)
    return [out, block]


def gradients(kernel: Any, case: Case) -> list[Array]:
    """By values and factors, of the pairs and of the block, each added to 2."""
    ends = []
    for block in (False, True):
        active, of_factors = np.full_like(case.values, 2), np.full_like(case.factors, 2)
        places = case.values, case.factors, active, of_factors
        if block:
            kernel.pull_block(case.pairs, case.rows, users_of_items(case), case.block_slopes, *places)
        else:
            kernel.pull_found(case.pairs, found_by(kernel, case), case.slopes, *places)
        ends += [active, of_factors]
    return ends


def exact(case: Case) -> tuple[list[Array], list[Array]]:
    """Scores and gradients in float64, one touched item after another."""
    pairs = [
        (t, int(case.partners[m]), float(case.slopes[m]), (0, m))
        for t in range(len(case.starts) - 1)
        for m in range(case.starts[t], case.starts[t + 1])
    ]
    pairs += [
        (t, int(item), float(case.block_slopes[t, s]), (1, (t, s)))
        for t in range(len(case.block_slopes))
        for s, item in enumerate(case.rows)
    ]
    made = [np.full(len(case.partners), 2.0), np.full(case.block_slopes.shape, 2.0)]
    found = [np.full(len(one), 2.0) for one in (case.values, case.factors) * 2]
    bounds, items, shares = case.of_users
    for t, partner, slope, (which, place) in pairs:
        for m in range(bounds[t], bounds[t + 1]):
            source = case.dense[partner, items[m]]
            if source >= 0:
                value, factor = float(case.values[source]), float(case.factors[items[m]])
                made[which][place] += float(shares[m]) * factor * value
                found[2 * which][source] += slope * float(shares[m]) * factor
                found[2 * which + 1][items[m]] += slope * float(shares[m]) * value
    return made, found


@settings(max_examples=40, deadline=None)
@given(case=ODD_CASES)
def test_what_is_found(case: Case) -> None:
    ours, plain = (found_by(kernel, case) for kernel in (compiled, reference))
    np.testing.assert_array_equal(ours.counts, plain.counts)
    bounds, items, shares = case.of_users
    owners = np.repeat(np.arange(len(case.starts) - 1), np.diff(case.starts))
    for m, (owner, partner) in enumerate(zip(owners, case.partners, strict=True)):
        said = dict(zip(items[bounds[owner] : bounds[owner + 1]], shares[bounds[owner] :], strict=False))
        expected = {item: share for item, share in said.items() if case.dense[partner, item] >= 0}
        for found in (ours, plain):
            own = slice(found.begins[m], found.begins[m] + found.counts[m])
            others = case.pairs.others[found.places[own]]
            assert dict(zip(others, found.shares[own], strict=True)) == expected
            assert (np.diff(found.places[own]) > 0).all()
            np.testing.assert_array_equal(case.pairs.sources[found.places[own]], case.dense[partner, others])


@settings(max_examples=40, deadline=None)
@given(case=ODD_CASES)
def test_scores_and_gradients(case: Case) -> None:
    scale = 40 * len(case.factors) ** 0.5
    exact_scores, exact_gradients = exact(case)
    for kernel in (compiled, reference):
        for found, wanted in zip(scores(kernel, case), exact_scores, strict=True):
            assert found.dtype == case.values.dtype
            assert_close(found, wanted, scale=scale)
        for found, wanted in zip(gradients(kernel, case), exact_gradients, strict=True):
            assert_close(found, wanted, scale=scale)


@BOTH
def test_the_way_back_is_that_of_the_scores(kernel: Any) -> None:
    case = random_case(0, 14, 11, 0.6, 0.5)

    def loss(values: Array, factors: Array) -> float:
        of_pairs, of_block = scores(kernel, case._replace(values=values, factors=factors))
        return float((of_pairs * case.slopes).sum() + (of_block * case.block_slopes).sum())

    by_value, by_factor, *of_block = (found - 2 for found in gradients(kernel, case))
    expected = oracles.central_differences(lambda values: loss(values, case.factors), case.values)
    np.testing.assert_allclose(by_value + of_block[0], expected, rtol=1e-6, atol=1e-7)
    expected = oracles.central_differences(lambda factors: loss(case.values, factors), case.factors)
    np.testing.assert_allclose(by_factor + of_block[1], expected, rtol=1e-6, atol=1e-7)


@needs_two_threads
def test_the_number_of_threads_changes_nothing() -> None:
    case = random_case(1, 300, 200, 0.2, 0.2, np.float32)
    assert_threads_change_nothing(lambda: [*scores(compiled, case), *gradients(compiled, case)])


@settings(max_examples=30, deadline=None)
@given(case=ODD_CASES)
def test_replies_are_the_sums_of_what_rows_hold(case: Case) -> None:
    items, (starts, touched, shares) = len(case.factors), case.of_users
    kind = case.values.dtype
    table = random_table(np.random.default_rng(0), items, items, 0.3, kind)
    marks, users = shares.astype(kind), len(starts) - 1
    begins = np.append(0, np.cumsum(np.diff(table.indptr)[touched]))[starts]
    found = []
    for kernel in (compiled, reference):
        columns, values = np.full(begins[-1], -1, np.int32), np.zeros(begins[-1], kind)
        counts = np.zeros(users, np.int32)
        kernel.replies(table, starts, touched, marks, begins, columns, values, counts)
        dense = np.zeros((users, items), kind)
        for t in range(users):
            own = slice(begins[t], begins[t] + counts[t])
            assert (np.diff(columns[own]) > 0).all()
            dense[t, columns[own]] = values[own]
        found.append((counts, dense))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])  # sums are in the order that is told
    stored = table.to_dense(items).astype(float)
    for t in range(users):
        own = slice(starts[t], starts[t + 1])
        expected = marks[own].astype(float) @ stored[touched[own]]
        np.testing.assert_allclose(found[0][1][t], expected, rtol=1e-4, atol=1e-4)
        assert found[0][0][t] == np.count_nonzero(stored[touched[own]].any(axis=0))
