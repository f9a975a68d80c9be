"""Propagation: compiled, plain and dense products agree, for any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.kernels.arguments import Graph, Strip
from sparserec_np.kernels.compiled import elementary
from sparserec_np.kernels.compiled import propagation as compiled
from sparserec_np.kernels.reference import elementary as plain_elementary
from sparserec_np.kernels.reference import propagation as reference
from tests.makers import oracles
from tests.makers.kernel_cases import (
    PRECISIONS,
    Array,
    assert_close,
    assert_threads_change_nothing,
    needs_two_threads,
    random_explored,
    random_rows,
    random_table,
)
from tests.makers.small import small_log

DIM = 37
LOG = small_log(40, 30, 200)
ROWS = LOG.n_users + LOG.n_items
GRAPH = Graph.of(LOG)
CHUNKS = np.array([0, 0, 3, 40, 41, ROWS], np.int32)


def adjacency() -> Array:
    dense = np.zeros((ROWS, ROWS))
    for user, item in zip(LOG.pair_users(), LOG.items, strict=True):
        dense[user, LOG.n_users + item] = dense[LOG.n_users + item, user] = 1
    return dense


def bounds_of(table: Any, order: Array) -> Any:
    """Where the rows of a table begin and end, in an order."""
    return zip(table.indptr[order], table.indptr[order + 1], strict=True)


def run(kernel: Any, seed: int, dtype: Any, first: int = 32, part: float = 0.5) -> dict[str, Array]:
    """What every function makes of one random case."""
    rng = np.random.default_rng(seed)
    table = random_table(rng, ROWS, DIM, 0.3, dtype)
    rows = random_rows(rng, ROWS, int(part * ROWS))
    block, factors = rng.standard_normal((ROWS, 32)).astype(dtype), rng.random(ROWS).astype(dtype)
    local = rng.standard_normal((len(rows), 48)).astype(dtype)
    lines = rng.standard_normal((len(rows), 32)).astype(dtype)
    order = rng.permutation(ROWS).astype(np.int32)
    begins = table.indptr[order] + [np.sum(table.columns[a:b] < first) for a, b in bounds_of(table, order)]
    read, pulled = (Strip(first, order, begins.astype(table.indptr.dtype)) for _ in range(2))
    found: dict[str, Array] = {}
    for name, arguments, changed in (
        ("read_rows", (table, rows, local.copy()), [2]),
        ("read_columns", (CHUNKS, table, read, factors, np.full_like(block, 77)), [4]),
        ("propagate", (GRAPH, CHUNKS, block, factors, np.full_like(block, 77)), [4]),
        ("spread_rows", (GRAPH, LOG.n_users, rows, lines, factors, np.full_like(block, 77)), [5]),
        ("add_lines", (rows, lines, block.copy()), [2]),
        ("add_rows", (rows, block, factors, first, local.copy()), [4]),
        ("add_propagated", (GRAPH, rows, block, factors, first, local.copy()), [5]),
        (
            "pull_rows",
            (table, rows, local, np.ones(table.nnz, dtype), random_explored(rng, ROWS, DIM, 0.3, dtype)),
            [3, 4],
        ),
        (
            "pull_columns",
            (
                *(GRAPH, CHUNKS, table, pulled, block, factors, np.ones(table.nnz, dtype)),
                random_explored(rng, ROWS, DIM, 0.3, dtype),
            ),
            [6, 7],
        ),
    ):
        getattr(kernel, name)(*arguments)
        for place in changed:
            result: Any = arguments[place]
            found[f"{name} {place}"] = result[1] if isinstance(result, tuple) else result
    found |= {"read up to": read.begins, "pulled up to": pulled.begins}
    return found


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(PRECISIONS),
    first=st.sampled_from([0, 32]),
    part=st.sampled_from([0.0, 0.4, 1.0]),
)
def test_twins_agree(seed: int, dtype: Any, first: int, part: float) -> None:
    expected = run(reference, seed, dtype, first, part)
    for name, found in run(compiled, seed, dtype, first, part).items():
        assert found.dtype == expected[name].dtype, name
        if found.dtype.kind == "i":
            np.testing.assert_array_equal(found, expected[name])
        else:
            assert_close(found, expected[name], scale=10)


@pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])
def test_steps_are_products_with_the_adjacency(kernel: Any) -> None:
    rng = np.random.default_rng(0)
    block, factors = rng.standard_normal((ROWS, 32)), rng.random(ROWS)
    out, local = np.empty_like(block), np.zeros((5, 32))
    wanted = factors[:, None] * oracles.product(adjacency(), block)
    kernel.propagate(GRAPH, CHUNKS, block, factors, out)
    np.testing.assert_allclose(out, wanted, rtol=1e-12)
    rows = np.array([3, 60, 0, 41, 7], np.int32)
    kernel.add_propagated(GRAPH, rows, block, factors, 0, local)
    np.testing.assert_allclose(local, wanted[rows], rtol=1e-12)
    some = np.zeros_like(block)
    some[rows] = block[rows]
    kernel.spread_rows(GRAPH, LOG.n_users, rows, block[rows], factors, out)
    np.testing.assert_allclose(
        out, factors[:, None] * oracles.product(adjacency(), some), rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("kernel", [elementary, plain_elementary], ids=["compiled", "reference"])
def test_sums_of_no_rows_are_zero(kernel: Any) -> None:
    out = np.ones(16)
    kernel.sum_rows(np.ones((3, 16)), np.array([0, 1], np.int32), 1, 1, out)
    assert not out.any()


@pytest.mark.parametrize("kernel", [elementary, plain_elementary], ids=["compiled", "reference"])
def test_wide_sums_are_scaled(kernel: Any) -> None:
    out, block = np.ones(32), np.arange(96.0).reshape(3, 32)
    kernel.sum_wide_rows(block, np.array([0, 2, 1], np.int32), 1, 3, 0.5, out)
    np.testing.assert_array_equal(out, (block[2] + block[1]) / 2)


@needs_two_threads
def test_threads_change_nothing() -> None:
    assert_threads_change_nothing(lambda: list(run(compiled, 4, np.float32).values()))
