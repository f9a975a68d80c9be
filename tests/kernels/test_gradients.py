"""Gradients: compiled, plain and dense float64 loops agree; the whole chain is held in ``test_whole_gradient.py``."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.arguments import Explored, Rows
from sparserec_np.kernels.compiled import gradients as compiled
from sparserec_np.kernels.reference import gradients as reference
from tests.makers import oracles
from tests.makers.kernel_cases import (
    Array,
    assert_close,
    assert_threads_change_nothing,
    columns_and_dtype,
    needs_two_threads,
    random_explored,
    random_rows,
    random_starts,
    random_table,
)


class Case(NamedTuple):
    """A table, gradients that are not zero, rows with a group each, and a block."""

    table: SparseTable
    dim: int
    gradient: Array
    explored: Explored
    rows: Array
    starts: Array
    partners: Array
    pair_slopes: Array
    block: Array
    block_slopes: Array
    others: Array
    parts: int


def random_case(
    seed: int,
    n_rows: int = 12,
    size: tuple[int, Any] = (7, np.float64),
    density: float = 0.5,
    groups: int = 9,
    others: int = 5,
    part: float = 0.5,
    parts: int = 3,
) -> Case:
    dim, dtype = size
    rng = np.random.default_rng(seed)
    table = random_table(rng, n_rows, dim, density, dtype)
    rows, block = random_rows(rng, n_rows, groups), random_rows(rng, n_rows, others)
    starts = random_starts(rng, len(rows), 3)

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(dtype)

    return Case(
        table=table,
        dim=dim,
        gradient=normal(table.nnz),
        explored=random_explored(rng, n_rows, dim, part, dtype),
        rows=rows,
        starts=starts,
        partners=rng.integers(n_rows, size=starts[-1]).astype(np.int32),
        pair_slopes=normal(starts[-1]),
        block=normal(dim, len(block)),
        block_slopes=normal(len(rows), len(block)),
        others=block,
        parts=parts,
    )


ODD_CASES = st.builds(
    random_case,
    seed=st.integers(0, 2**32 - 1),
    n_rows=st.integers(1, 80),
    size=columns_and_dtype(1, 2, 7, 257),
    density=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    groups=st.integers(0, 70),
    others=st.sampled_from([1, 2, 17]),
    part=st.sampled_from([0.0, 0.4, 1.0]),
    parts=st.sampled_from([1, 3, 8]),
)


def gradients(kernel: Any, name: str, case: Case) -> tuple[Array, Array]:
    """(nnz,) and (m, dim) after what the kernel added to those of the case."""
    gradient, (slots, sums) = case.gradient.copy(), case.explored
    sums = sums.copy()
    table, explored = case.table, Explored(slots, sums)
    if name == "pair_gradients":
        kernel.pair_gradients(
            table, case.rows, case.starts, case.partners, case.pair_slopes, gradient, explored
        )
    elif name == "row_gradients":
        kernel.row_gradients(table, case.rows, case.block_slopes, case.block, gradient, explored)
    elif name == "spread_block":
        kernel.spread_block(table, case.others, case.block, gradient, explored)
    else:
        kernel.decay_gradients(
            Rows.of(table), case.rows, case.block_slopes[:, 0].copy(), case.gradient, gradient
        )
    return gradient, sums


def exact_gradients(name: str, case: Case) -> Array:
    """(rows, dim) float64: the gradient of every entry, without what was there before."""
    dense = case.table.to_dense(case.dim).astype(np.float64)
    origin = case.table._replace(values=case.gradient.astype(np.float64)).to_dense(case.dim)
    result = np.zeros(dense.shape)
    for g, row in enumerate(case.rows):
        if name == "pair_gradients":
            for m in range(case.starts[g], case.starts[g + 1]):
                result[row] += float(case.pair_slopes[m]) * dense[case.partners[m]]
        elif name == "row_gradients":
            result[row] = oracles.product(case.block, case.block_slopes[g][:, None])[:, 0]
        elif name == "decay_gradients":
            result[row] = float(case.block_slopes[g, 0]) * (dense[row] - origin[row])
    if name == "spread_block":
        for s, row in enumerate(case.others):
            result[row] = case.block[:, s]
    return result


NAMES = pytest.mark.parametrize(
    "name", ["pair_gradients", "row_gradients", "spread_block", "decay_gradients"]
)


@NAMES
@settings(max_examples=40, deadline=None)
@given(case=ODD_CASES)
def test_gradients_of_rows(name: str, case: Case) -> None:
    expected = gradients(reference, name, case)
    for found, wanted in zip(gradients(compiled, name, case), expected, strict=True):
        assert found.dtype == case.gradient.dtype
        assert_close(found, wanted, scale=10)
    exact = exact_gradients(name, case)
    places = case.table.row_numbers(), case.table.columns
    assert_close(expected[0] - case.gradient, exact[places], scale=10)
    slots, before = case.explored
    if name == "decay_gradients":
        np.testing.assert_array_equal(expected[1], before)
    else:
        added = expected[1] - before
        for row in np.flatnonzero(slots >= 0):
            assert_close(added[slots[row]], exact[row], scale=10)


@pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])
@settings(max_examples=10, deadline=None)
@given(case=ODD_CASES)
def test_no_origin_is_zero(kernel: Any, case: Case) -> None:
    ends = []
    for origin in (case.gradient[:0], np.zeros_like(case.gradient)):
        gradient = case.gradient.copy()
        kernel.decay_gradients(
            Rows.of(case.table), case.rows, case.block_slopes[:, 0].copy(), origin, gradient
        )
        ends.append(gradient)
    np.testing.assert_array_equal(*ends)


def block_sums(kernel: Any, case: Case) -> Array:
    partial = np.full((case.parts, *case.block.shape), 77, dtype=case.gradient.dtype)
    kernel.block_gradients(case.table, case.rows, case.block_slopes, partial)
    return partial[0]


@settings(max_examples=40, deadline=None)
@given(case=ODD_CASES)
def test_gradients_of_a_block(case: Case) -> None:
    expected = block_sums(reference, case)
    assert_close(block_sums(compiled, case), expected, scale=10)
    dense = case.table.to_dense(case.dim)
    assert_close(expected, oracles.product(dense[case.rows].T, case.block_slopes), scale=10)


@settings(max_examples=40, deadline=None)
@given(case=ODD_CASES)
def test_row_norms(case: Case) -> None:
    norms = np.linspace(0, 1, case.table.rows, dtype=case.gradient.dtype)
    found, expected = norms.copy(), norms.copy()
    compiled.add_row_norms(case.table.indptr, case.rows, case.gradient, found)
    reference.add_row_norms(case.table.indptr, case.rows, case.gradient, expected)
    assert_close(found, expected)
    exact = norms.astype(np.float64)
    for row in case.rows:
        own = case.gradient[case.table.indptr[row] : case.table.indptr[row + 1]]
        exact[row] += sum(float(g) ** 2 for g in own) ** 0.5
    assert_close(expected, exact)


@needs_two_threads
def test_the_number_of_threads_changes_nothing() -> None:
    case = random_case(7, n_rows=400, size=(40, np.float32), density=0.3, groups=300, others=50, parts=8)
    for name in ("pair_gradients", "row_gradients", "spread_block", "decay_gradients"):
        assert_threads_change_nothing(lambda name=name: gradients(compiled, name, case))  # type: ignore[misc]
    assert_threads_change_nothing(lambda: [block_sums(compiled, case)])

    def norms() -> list[Array]:
        sums = np.zeros(case.table.rows, dtype=np.float32)
        compiled.add_row_norms(case.table.indptr, case.rows, case.gradient, sums)
        return [sums]

    assert_threads_change_nothing(norms)
