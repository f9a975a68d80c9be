"""Rows whose columns are bits: compiled, from Python, and plain."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from sparserec_np.kernels.compiled import unfolding as compiled
from sparserec_np.kernels.reference import unfolding as reference
from tests.makers.kernel_cases import PRECISIONS, Array, random_table

ROOT = Path(__file__).parents[2]

# No column, the first, the last, neighbours over all borders of registers, every column, and some
# at random.
BITS = [0, 1, 1 << 63, 0x0001_8001_8001_8180, 2**64 - 1, 0xB7E1_5162_8AED_2A6B]


@numba.njit
def unfold_in_a_kernel(values: Any, begin: Any, bits: Any, out: Any, first: Any) -> None:
    compiled.unfold(values, begin, bits, out, first)


@numba.njit
def pick_in_a_kernel(columns: Any, begin: Any, bits: Any, dense: Any, at: Any, out: Any, first: Any) -> None:
    compiled.pick_row(columns, begin, bits, dense, at, out, first)


@numba.njit
def dot_in_a_kernel(values: Any, columns: Any, rows: Any, k: Any, dense: Any, at: Any, picked: Any) -> Any:
    return compiled.dot_apart(values, columns, rows, k, dense, at, picked)


@numba.njit
def step_in_a_kernel(
    values: Any,
    begin: Any,
    bits: Any,
    weight: Any,
    picked: Any,
    first: Any,
    numbers: Any,
    origin: Any,
    squares: Any,
    out: Any,
) -> None:
    compiled.step_row(values, begin, bits, weight, picked, first, numbers, origin, squares, out)


@numba.njit
def add_in_a_kernel(sums: Any, row: Any, weight: Any, line: Any, at: Any) -> None:
    compiled.add_line(sums, row, weight, line, at)


every_row = pytest.mark.parametrize("bits", BITS, ids=hex)
both_types = pytest.mark.parametrize("dtype", PRECISIONS)


def a_row(dtype: Any, bits: int) -> tuple[Array, int, np.uint64, Array]:
    """Values with a row in them, where it is, its columns, and a dense row."""
    rng = np.random.default_rng(bits % 1000)
    return (
        rng.standard_normal(80).astype(dtype),
        7,
        np.uint64(bits),
        rng.standard_normal(64).astype(dtype),
    )


def its_columns(begin: int, bits: int) -> Array:
    """An array that ends with the row, so that nothing may be read beyond."""
    own = [c for c in range(64) if bits >> c & 1]
    return np.concatenate([np.full(begin, 99), own]).astype(np.uint8)


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dim", [1, 12, 64])
def test_bits_are_the_columns(dim: int, density: float) -> None:
    table = random_table(np.random.default_rng(1), 30, dim, density, np.float32)
    bits = reference.row_bits(table.indptr, table.columns, dim)
    assert len(bits) == 30
    for row, found in enumerate(bits):
        columns = table.columns[table.indptr[row] : table.indptr[row + 1]].tolist()
        assert [c for c in range(64) if int(found) >> c & 1] == columns
    fast = compiled.row_bits(table.indptr, table.columns, dim)
    if len(fast):  # on a processor that unfolds
        np.testing.assert_array_equal(fast, bits)


@pytest.mark.parametrize("row_bits", [compiled.row_bits, reference.row_bits])
def test_wide_rows_are_not_unfolded(row_bits: Any) -> None:
    table = random_table(np.random.default_rng(1), 30, 65, 0.3, np.float32)
    assert len(row_bits(table.indptr, table.columns, 65)) == 0


@both_types
@every_row
@pytest.mark.parametrize("unfold", [unfold_in_a_kernel, compiled.unfold, reference.unfold])
def test_unfolded_rows_hold_every_entry(unfold: Any, bits: int, dtype: Any) -> None:
    values, begin, row, _ = a_row(dtype, bits)
    out = np.full(80, 7, dtype)
    unfold(values, begin, row, out, 9)
    rest = iter(values[begin:])
    expected = [next(rest) if bits >> c & 1 else 0 for c in range(64)]
    assert out.tolist() == [7] * 9 + expected + [7] * 7


@both_types
@every_row
@pytest.mark.parametrize("pick_row", [pick_in_a_kernel, compiled.pick_row, reference.pick_row])
def test_picked_numbers_are_those_of_the_columns(pick_row: Any, bits: int, dtype: Any) -> None:
    _, begin, row, dense = a_row(dtype, bits)
    out = np.full(70, 7, dtype)
    pick_row(its_columns(begin, bits), begin, row, np.append(np.ones(3, dtype), dense), 3, out, 6)
    assert out[:6].tolist() == [7] * 6
    assert out[6:][: bits.bit_count()].tolist() == [dense[c] for c in range(64) if bits >> c & 1]


@both_types
@every_row
@pytest.mark.parametrize("dot_apart", [dot_in_a_kernel, compiled.dot_apart, reference.dot_apart])
@pytest.mark.parametrize("second", [False, True])
def test_products_are_those_of_unfolded_rows(dot_apart: Any, second: bool, bits: int, dtype: Any) -> None:
    """One of the two rows stores column 5 alone."""
    values, begin, row, dense = a_row(dtype, bits)
    columns, picked = its_columns(begin, bits), np.full(5 * 64, 7, dtype)
    columns[2] = 5
    rows = (np.array([0, 0, 2, begin]), np.array([0, 0, 1 << 5, row], np.uint64))
    if not second:
        rows = tuple(each[[0, 0, 3, 2]] for each in rows)
    whole = np.empty(64, dtype)
    reference.unfold(values, begin, row, whole, 0)
    product = float(whole.astype(np.float64) @ dense) - float(values[2]) * float(dense[5])
    expected = product if second else -product
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    found = dot_apart(values, columns, rows, 2, np.append(np.ones(3, dtype), dense), 3, picked)
    assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)
    at, other = (192, 128) if second else (128, 192)
    assert picked[at:][: bits.bit_count()].tolist() == dense[columns[begin:]].tolist()
    assert picked[other] == dense[5]
    assert picked[:128].tolist() == [7] * 128 and picked[256:].tolist() == [7] * 64


@both_types
@every_row
@pytest.mark.parametrize("origin", [False, True])
@pytest.mark.parametrize("adagrad", [False, True])
@pytest.mark.parametrize("step_row", [step_in_a_kernel, compiled.step_row])
def test_steps_are_the_same_to_the_last_bit(
    step_row: Any, adagrad: bool, origin: bool, bits: int, dtype: Any
) -> None:
    values, begin, row, gradient = a_row(dtype, bits)
    picked = np.concatenate([np.zeros(6, dtype), gradient])
    rng = np.random.default_rng(2)
    towards = rng.standard_normal(80 * origin).astype(dtype)
    numbers = (dtype(0.3), dtype(0.01))
    ends = []
    for step in (step_row, reference.step_row):
        now, squares = values.copy(), np.full(80 * adagrad, 0.25, dtype)
        out = np.ones(64, dtype)
        step(now, begin, row, dtype(-0.7), picked, 6, numbers, towards, squares, out)
        ends.append((now, squares, out))
    for found, expected in zip(*ends, strict=True):
        np.testing.assert_array_equal(found, expected)
    moved = np.flatnonzero(ends[0][0] != values)
    assert moved.tolist() == list(range(begin, begin + bits.bit_count()))


@pytest.mark.parametrize("step_row", [step_in_a_kernel, compiled.step_row, reference.step_row])
def test_a_step_without_a_sum_is_the_same_step(step_row: Any) -> None:
    values, begin, row, gradient = a_row(np.float32, BITS[-1])
    nothing, numbers = np.zeros(0, np.float32), (np.float32(0.3), np.float32(0.01))
    ends = []
    for out in (np.zeros(64, np.float32), nothing):
        now = values.copy()
        step_row(now, begin, row, np.float32(-0.7), gradient, 0, numbers, nothing, nothing, out)
        ends.append(now)
    np.testing.assert_array_equal(*ends)


@both_types
@pytest.mark.parametrize("dim", [1, 12, 16, 64, 70])
@pytest.mark.parametrize("add_line", [add_in_a_kernel, compiled.add_line, reference.add_line])
def test_a_line_is_added_to_its_row_alone(add_line: Any, dim: int, dtype: Any) -> None:
    rng = np.random.default_rng(dim)
    sums = rng.standard_normal((3, dim)).astype(dtype)
    line = rng.standard_normal(dim + 4).astype(dtype)
    expected = sums.copy()
    expected[1] += dtype(0.3) * line[4:]
    add_line(sums, 1, dtype(0.3), line, 4)
    np.testing.assert_array_equal(sums, expected)


def test_a_step_by_hand() -> None:
    """x = 2 in column 3, drawn to 1, against half a gradient of 4 and a decay of 0.1: g = 2.1, s = 4 + 4.41."""
    values, squares, out = np.array([9.0, 2.0, 9.0]), np.full(3, 4.0), np.zeros(64)
    reference.step_row(values, 1, np.uint64(8), 0.5, np.array([4.0]), 0, (0.2, 0.1), np.ones(3), squares, out)
    assert values == pytest.approx([9, 2 - 0.2 * 2.1 / (8.41**0.5 + 1e-10), 9])
    assert squares == pytest.approx([4, 8.41, 4])
    assert np.flatnonzero(out).tolist() == [3]
    assert out[3] == 1


WITHOUT_EXTENSIONS = """
import numba, numpy as np
from sparserec_np.kernels.compiled import unfolding
from tests.kernels.test_unfolding import (
    add_in_a_kernel, dot_in_a_kernel, pick_in_a_kernel, step_in_a_kernel, unfold_in_a_kernel
)

assert not unfolding.UNFOLDS
values, columns = np.arange(1, 9, dtype=np.float32), np.zeros(8, np.uint8)
bits, out, picked = np.uint64(0b1011), np.ones(64, np.float32), np.zeros(128, np.float32)
unfold_in_a_kernel(values, 2, bits, out, 0)
assert out.tolist() == [3, 4, 0, 5] + [0] * 60
pick_in_a_kernel(columns, 2, bits, out, 0, picked, 1)
assert picked[:5].tolist() == [0, 3, 4, 5, 0]
rows = np.array([2, 0]), np.array([0b1011, 1], np.uint64)
assert dot_in_a_kernel(values, columns, rows, 0, out, 0, picked) == 3 - 50
assert picked[64] == 3
none = np.zeros(0, np.float32)
half, nothing = np.float32(0.5), np.float32(0)
step_in_a_kernel(values, 2, bits, half, picked, 0, (half, nothing), none, none, out)
assert values.tolist() == [1, 2, 2.25, 3, 3.75, 6, 7, 8] and out[:4].tolist() == [4.5, 6, 0, 7.5]
sums = np.ones((2, 3), np.float32)
add_in_a_kernel(sums, 1, half, values, 1)
assert sums.tolist() == [[1, 1, 1], [2, 2.125, 2.5]]
assert not len(unfolding.row_bits(np.array([0, 1]), columns, 8))
"""


@pytest.mark.parametrize("name", ["generic", "x86-64-v3"])
def test_a_processor_without_the_instructions_gets_loops(name: str) -> None:
    """LLVM ends the process where it is asked for an instruction that the processor lacks."""
    if platform.machine() not in ("x86_64", "AMD64") or numba.config.DISABLE_JIT:
        pytest.skip("there is nothing else to make code for")
    environment = {**os.environ, "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTENSIONS], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
