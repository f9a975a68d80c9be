"""Sixty-four numbers at a time: masks and sums, compiled, from Python, and plain."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from sparserec_np.kernels.compiled import lanes as compiled
from sparserec_np.kernels.reference import lanes as reference
from tests.makers.kernel_cases import Array


@numba.njit
def reaching_in_a_kernel(values: Any, start: Any, floor: Any) -> Any:
    return compiled.reaching(values, start, floor)


@numba.njit
def lowest_bit_in_a_kernel(mask: Any) -> Any:
    return compiled.lowest_bit(mask)


@numba.njit
def add_lines_in_a_kernel(
    weights: Any, begins: Any, first: Any, last: Any, offset: Any, values: Any, out: Any, at: Any
) -> None:
    compiled.add_lines(weights, begins, first, last, offset, values, out, at)


both_types = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@both_types
@pytest.mark.parametrize("reaching", [reaching_in_a_kernel, compiled.reaching, reference.reaching])
def test_a_mask_tells_which_values_reach_the_floor(reaching: Any, dtype: type) -> None:
    values = np.random.default_rng(0).standard_normal(80).astype(dtype)
    values[10:14] = 0.25, np.nan, np.inf, -np.inf
    for floor in (dtype(0.25), dtype(np.inf), dtype(-np.inf)):
        for start in (0, 7, 16):
            mask = int(reaching(values, start, floor))
            assert [mask >> i & 1 for i in range(64)] == (values[start : start + 64] >= floor).tolist()


@pytest.mark.parametrize("lowest_bit", [lowest_bit_in_a_kernel, compiled.lowest_bit, reference.lowest_bit])
def test_the_lowest_bit_of_any_mask(lowest_bit: Any) -> None:
    for place in range(64):
        above = (0xB7E15162_8AED2A6B << (place + 1)) & (2**64 - 1)
        assert lowest_bit(np.uint64(1 << place | above)) == place


def sum_of_lines(
    add_lines: Any, weights: Array, begins: Array, first: int, last: int, offset: int, values: Array
) -> Array:
    out = np.arange(100, dtype=values.dtype)
    add_lines(weights, begins, first, last, offset, values, out, 20)
    return out


@both_types
@pytest.mark.parametrize("add_lines", [add_lines_in_a_kernel, compiled.add_lines])
@pytest.mark.parametrize(("first", "last"), [(0, 9), (2, 7), (4, 4)])
def test_lines_are_added_in_order_to_the_last_bit(add_lines: Any, dtype: type, first: int, last: int) -> None:
    rng = np.random.default_rng(1)
    weights, values = rng.standard_normal(9).astype(dtype), rng.standard_normal(400).astype(dtype)
    begins = rng.integers(0, 300, 9)
    arguments = weights, begins, first, last, 30, values
    found = sum_of_lines(add_lines, *arguments)
    np.testing.assert_array_equal(found, sum_of_lines(reference.add_lines, *arguments))
    expected = [
        number + sum(float(weights[u]) * float(values[begins[u] + 30 + i]) for u in range(first, last))
        for i, number in enumerate(range(20, 84))
    ]
    np.testing.assert_allclose(found[20:84], expected, rtol=1e-5 if dtype == np.float32 else 1e-13)
    np.testing.assert_array_equal(np.delete(found, range(20, 84)), [*range(20), *range(84, 100)])
