"""NeuMF's towers: compiled and plain agree, for odd shapes too; threads change no bit; lists are exact.

The whole gradient is held against central differences in ``tests/models/test_neumf.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.arguments import Explored, Head
from sparserec_np.kernels.compiled import towers as compiled
from sparserec_np.kernels.reference import towers as reference
from tests.makers.kernel_cases import (
    PRECISIONS,
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

FIRST, BATCH_PARTS = 3, 3


class Case(NamedTuple):
    """A table whose columns from ``FIRST`` on meet layers, rows, pairs of halves, and room for results."""

    table: SparseTable
    dim: int
    rows: Array
    factors: Array
    weights: Array
    left: Array
    right: Array
    users: Array
    items: Array
    head: Head
    slopes: Array
    steps: Array
    gradient: Array
    explored: Explored
    starts: Array
    order: Array


def random_case(
    seed: int,
    n_rows: int = 12,
    size: tuple[int, Any] = (7, np.float64),
    density: float = 0.5,
    pairs: int = 150,
    width: int = 6,
    part: float = 0.5,
) -> Case:
    dim, dtype = size
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(dtype)

    table = random_table(rng, n_rows, dim, density, dtype)
    rows = random_rows(rng, n_rows, n_rows)
    narrow = width // 2
    starts = random_starts(rng, len(rows), 4)
    return Case(
        table=table,
        dim=dim,
        rows=rows,
        factors=normal(2, dim),
        weights=normal(dim - FIRST, width),
        left=normal(5, width),
        right=normal(9, width),
        users=rng.integers(5, size=pairs).astype(np.int32),
        items=rng.integers(9, size=pairs).astype(np.int32),
        head=Head(normal(width, narrow), normal(narrow), normal(narrow)),
        slopes=normal(pairs),
        steps=normal(len(rows), width),
        gradient=normal(table.nnz),
        explored=random_explored(rng, n_rows, dim, part, dtype),
        starts=starts,
        order=rng.integers(len(rows), size=starts[-1]).astype(np.int32),
    )


ODD_CASES = st.builds(
    random_case,
    seed=st.integers(0, 2**32 - 1),
    n_rows=st.integers(1, 40),
    size=columns_and_dtype(FIRST, FIRST + 1, 7, 257),
    density=st.sampled_from([0.0, 0.3, 1.0]),
    pairs=st.sampled_from([0, 1, 63, 64, 65, 200]),
    width=st.sampled_from([2, 3, 16]),
    part=st.sampled_from([0.0, 0.4, 1.0]),
)


def scale(kernels: Any, case: Case) -> list[Array]:
    scaled = np.ones_like(case.table.values)
    kernels.scale_columns(case.table, case.rows[::2].copy(), len(case.rows) // 2, case.factors, scaled)
    in_place = case.table._replace(values=case.table.values.copy())
    kernels.scale_columns(in_place, case.rows, 3, case.factors, in_place.values)
    return [scaled, in_place.values]


def project(kernels: Any, case: Case) -> list[Array]:
    out = np.full((len(case.rows), case.weights.shape[1]), np.nan, case.gradient.dtype)
    kernels.project_rows(case.table, case.rows, FIRST, case.weights, out)
    return [out]


def pull(kernels: Any, case: Case) -> list[Array]:
    gradient, sums = case.gradient.copy(), case.explored[1].copy()
    partial = np.full((BATCH_PARTS, *case.weights.shape), np.nan, gradient.dtype)
    explored = Explored(case.explored.slots, sums)
    kernels.pull_projection(
        case.table, case.rows, FIRST, case.weights, case.steps, gradient, explored, partial
    )
    return [gradient, sums, partial]


def score(kernels: Any, case: Case) -> list[Array]:
    scores = case.slopes.copy()
    kernels.add_scores(case.left, case.right, case.users, case.items, case.head, scores)
    return [scores]


def differentiate(kernels: Any, case: Case) -> list[Array]:
    width, narrow = case.head[0].shape
    steps = np.full((len(case.users), width), np.nan, case.slopes.dtype)
    partial = np.full((BATCH_PARTS, width * narrow + 2 * narrow), np.nan, case.slopes.dtype)
    kernels.head_gradients(
        case.left, case.right, case.users, case.items, case.head, case.slopes, steps, partial
    )
    return [steps, partial]


def add_up(kernels: Any, case: Case) -> list[Array]:
    sums = np.full_like(case.steps, 7)
    some = case.rows[: len(case.rows) // 2]
    kernels.sum_steps(some, case.starts[: len(some) + 1], case.order, case.steps, sums)
    return [sums]


EVERY_FUNCTION = pytest.mark.parametrize("run", [scale, project, pull, score, differentiate, add_up])


@EVERY_FUNCTION
@settings(max_examples=40, deadline=None)
@given(case=ODD_CASES)
def test_compiled_and_plain_agree(run: Callable[[Any, Case], list[Array]], case: Case) -> None:
    for found, expected in zip(run(compiled, case), run(reference, case), strict=True):
        assert found.dtype == expected.dtype
        assert_close(found, expected, scale=100)


@needs_two_threads
@EVERY_FUNCTION
def test_threads_change_no_bit(run: Callable[[Any, Case], list[Array]]) -> None:
    case = random_case(0, n_rows=300, pairs=5000, size=(7, np.float32))
    assert_threads_change_nothing(lambda: run(compiled, case))


def test_the_scores_are_those_of_loops() -> None:
    case = random_case(3, pairs=20)
    hidden, bias, out = case.head
    (found,) = score(compiled, case)
    for pair, (user, item) in enumerate(zip(case.users, case.items, strict=True)):
        first = [max(0.0, float(a + b)) for a, b in zip(case.left[user], case.right[item], strict=True)]
        total = float(case.slopes[pair])
        for n in range(len(out)):
            total += out[n] * max(0.0, bias[n] + sum(first[j] * hidden[j, n] for j in range(len(first))))
        assert found[pair] == pytest.approx(total, rel=1e-12)


def ranked(kernels: Any, seed: int, dtype: Any, n_items: int, k: int, dim: int) -> list[Array]:
    """Lists over tables of whole numbers, which are summed without rounding, and make many equal scores."""
    rng = np.random.default_rng(seed)

    def whole(*shape: int) -> Array:
        return rng.integers(-2, 3, shape).astype(dtype)

    users = SparseTable.from_dense(whole(40, dim), rng.random((40, dim)) < 0.4)
    items = SparseTable.from_dense(whole(n_items, dim), rng.random((n_items, dim)) < 0.4).by_column(dim)
    left, right = whole(40, 4), whole(4, n_items)
    head = Head(whole(4, 2), whole(2), whole(2))
    seen = random_seen(rng, 40, n_items, 0.3)
    rows = random_rows(rng, 40, 30)
    best, scores = np.full((30, k), 77, np.int32), np.full((30, k), 77, dtype)
    kernels.top_items(users, items, left, right, head, *seen, rows, best, scores)
    return [best, scores]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(PRECISIONS),
    n_items=st.sampled_from([1, 5, 64, 65, 130]),
    k=st.sampled_from([1, 3, 20, 200]),
    dim=st.sampled_from([1, 5]),
)
def test_lists_agree_to_the_last_tie(seed: int, dtype: Any, n_items: int, k: int, dim: int) -> None:
    found, expected = (ranked(kernels, seed, dtype, n_items, k, dim) for kernels in (compiled, reference))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@needs_two_threads
def test_threads_change_no_list() -> None:
    assert_threads_change_nothing(lambda: ranked(compiled, 0, np.float32, 130, 5, 5))
