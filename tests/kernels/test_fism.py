"""Users as sums of item rows: compiled, plain and float64 loops agree, and the way back is the way there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.compiled import fism as compiled
from sparserec_np.kernels.reference import fism as reference
from tests.makers import oracles
from tests.makers.kernel_cases import (
    PRECISIONS,
    Array,
    assert_close,
    assert_threads_change_nothing,
    needs_two_threads,
    random_explored,
    random_rows,
    random_seen,
    random_starts,
    random_table,
)

BOTH = pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])


class Case(NamedTuple):
    """Item rows with weights, users with the items they touched, and groups with gradients that are not zero."""

    table: SparseTable
    dim: int
    weights: Array
    indptr: Array
    items: Array
    users: Array
    rows: Array
    starts: Array
    members: Array
    local: Array
    slopes: Array
    active: Array
    explored: tuple[Array, Array]
    weight_gradient: Array


def random_case(
    seed: int,
    n_items: int = 12,
    dim: int = 7,
    density: float = 0.5,
    users: int = 9,
    touched: float = 0.3,
    groups: int = 9,
    part: float = 0.5,
    dtype: Any = np.float64,
) -> Case:
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
        indptr=indptr,
        items=items,
        users=rng.integers(11, size=users).astype(np.int32),
        rows=rows,
        starts=starts,
        members=rng.integers(6, size=starts[-1]).astype(np.int32),
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
    dim=st.sampled_from([1, 2, 7, 257]),
    density=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    users=st.integers(0, 20),
    touched=st.sampled_from([0.0, 0.1, 1.0]),
    groups=st.integers(0, 70),
    part=st.sampled_from([0.0, 0.4, 1.0]),
    dtype=st.sampled_from(PRECISIONS),
)


def sums(kernel: Any, case: Case) -> Array:
    out = np.full((len(case.users), case.dim), 77, dtype=case.table.values.dtype)
    kernel.sum_rows(case.table, case.weights, case.indptr, case.items, case.users, out)
    return out


def squares(kernel: Any, case: Case) -> Array:
    out = np.full(len(case.rows), 77, dtype=case.table.values.dtype)
    kernel.own_products(case.table, case.rows, out)
    return out


def added(kernel: Any, name: str, case: Case) -> tuple[Array, Array, Array]:
    """Gradients of stored entries, explored rows and weights after what the kernel added to those of the case."""
    active, weight_gradient = case.active.copy(), case.weight_gradient.copy()
    slots, explored = case.explored[0], case.explored[1].copy()
    given_rows = case.local if name == "spread_rows" else case.slopes
    getattr(kernel, name)(
        *(case.table, case.weights, case.members, case.starts, case.rows, given_rows),
        *(active, (slots, explored), weight_gradient),
    )
    return active, explored, weight_gradient


def exact_sums(case: Case) -> Array:
    """(m, dim) float64, item by item."""
    dense = case.table.to_dense(case.dim).astype(np.float64)
    out = np.zeros((len(case.users), case.dim))
    for t, user in enumerate(case.users):
        for item in case.items[case.indptr[user] : case.indptr[user + 1]]:
            out[t] += float(case.weights[item]) * dense[item]
    return out


def exact_gradients(name: str, case: Case) -> tuple[Array, Array]:
    """(n_items, dim) and (n_items,) float64, member by member: what is added for every entry and every weight."""
    dense = case.table.to_dense(case.dim).astype(np.float64)
    rows, weights = np.zeros_like(dense), np.zeros(len(dense))
    for g, item in enumerate(case.rows):
        weight = float(case.weights[item])
        for m in case.members[case.starts[g] : case.starts[g + 1]]:
            if name == "spread_rows":
                rows[item] += weight * case.local[m].astype(np.float64)
                weights[item] += oracles.inner(dense[item], case.local[m])
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
    case = random_case(0, density=1.0, users=0)
    users = np.arange(6, dtype=np.int32)
    item = int(np.bincount(case.items[: case.indptr[6]]).argmax())
    fans = [u for u in users if item in case.items[case.indptr[u] : case.indptr[u + 1]]]
    assert 1 < len(fans) < 6
    case = case._replace(
        users=users,
        rows=np.array([item], np.int32),
        starts=np.array([0, len(fans)], np.int32),
        members=np.array(fans, np.int32),
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


@needs_two_threads
def test_the_number_of_threads_changes_nothing() -> None:
    case = random_case(1, 500, 40, 0.3, users=300, touched=0.2, groups=400, dtype=np.float32)

    def run() -> list[Array]:
        gradients = [added(compiled, name, case) for name in ("spread_rows", "leave_out")]
        return [sums(compiled, case), squares(compiled, case), *gradients[0], *gradients[1]]

    assert_threads_change_nothing(run)
