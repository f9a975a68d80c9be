"""Rows of one length, and the way back: compiled, plain and finite differences agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.kernels.compiled import views as compiled
from sparserec_np.kernels.reference import views as reference
from tests.makers import oracles
from tests.makers.kernel_cases import PRECISIONS, Array, assert_close, random_rows, random_table

KERNELS = pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])


def unit(kernel: Any, table: Any, rows: Array, length: float) -> tuple[Array, Array]:
    lengths = np.full(len(rows), 77, table.values.dtype)
    values = np.full_like(table.values, 77)
    kernel.unit_rows(table, rows, table.values.dtype.type(length), lengths, values)
    return lengths, values


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    part=st.sampled_from([0.0, 0.5, 1.0]),
    length=st.sampled_from([0.5, 1.0, 3.0]),
    dtype=st.sampled_from(PRECISIONS),
)
def test_twins_agree(seed: int, part: float, length: float, dtype: Any) -> None:
    rng = np.random.default_rng(seed)
    table = random_table(rng, 30, 7, 0.4, dtype)
    table.values[table.indptr[3] : table.indptr[4]] = 0  # a row of stored zeros
    rows = random_rows(rng, 30, int(part * 30))
    expected = unit(reference, table, rows, length)
    found = unit(compiled, table, rows, length)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)
    gradient = rng.standard_normal(table.nnz).astype(dtype)
    results = []
    for kernel in (compiled, reference):
        mine = gradient.copy()
        kernel.unit_gradients(table._replace(values=expected[1]), rows, dtype(length), expected[0], mine)
        results.append(mine)
    assert_close(results[0], results[1], scale=20)
    untouched = np.setdiff1d(np.arange(30), rows)
    np.testing.assert_array_equal(results[0][table.places(untouched)], gradient[table.places(untouched)])
    assert (expected[1][table.places(untouched)] == 77).all()


@KERNELS
def test_the_way_back_is_the_derivative(kernel: Any) -> None:
    rng = np.random.default_rng(1)
    table = random_table(rng, 8, 5, 0.6, np.float64)
    rows = np.arange(8, dtype=np.int32)
    weights = rng.standard_normal(table.nnz)

    def weighted(values: Array) -> float:
        return float(weights @ unit(reference, table._replace(values=values), rows, 2.0)[1])

    lengths, values = unit(kernel, table, rows, 2.0)
    mine = weights.copy()
    kernel.unit_gradients(table._replace(values=values), rows, 2.0, lengths, mine)
    np.testing.assert_allclose(mine, oracles.central_differences(weighted, table.values), atol=1e-8)


@KERNELS
def test_a_row_of_zeros_stays_one(kernel: Any) -> None:
    table = random_table(np.random.default_rng(0), 3, 4, 1.0, np.float32)
    table.values[:] = 0
    rows = np.arange(3, dtype=np.int32)
    lengths, values = unit(kernel, table, rows, 1.0)
    assert not lengths.any() and not values.any()
    gradient = np.ones_like(values)
    kernel.unit_gradients(table._replace(values=values), rows, np.float32(1), lengths, gradient)
    assert not gradient.any()
