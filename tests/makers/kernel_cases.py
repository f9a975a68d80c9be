"""Random tables, groups and touched items for the kernels, and what it means that two results agree.

Types are those with which the library itself calls: a kernel is compiled anew for any other, a
plain tuple in place of one with names among them, and that takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.arguments import Explored

Array = npt.NDArray[Any]
PRECISIONS = [np.float32, np.float64]

NARROW = 256  # columns, whose numbers take one byte

needs_two_threads = pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")


def assert_close(found: Array, expected: Array, scale: float = 1.0) -> None:
    """float64 agrees to 1e-12 and float32 to 3e-6, relative, or absolute for sums of numbers of about ``scale``."""
    tolerance = 1e-12 if found.dtype == np.float64 else 3e-6
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


def columns_and_dtype(*dims: int) -> st.SearchStrategy[tuple[int, Any]]:
    """Draws a number of columns and a precision; where columns take two bytes, it is float32.

    Whole models are float32, and float64 is what they are checked in, in few columns.
    """
    return st.sampled_from([(dim, dtype) for dim in dims for dtype in PRECISIONS[: 1 + (dim <= NARROW)]])


def random_table(rng: np.random.Generator, rows: int, dim: int, density: float, dtype: Any) -> SparseTable:
    """Normal values; about one row in five is empty."""
    keep = (rng.random((rows, dim)) < density) & (rng.random((rows, 1)) < 0.8)
    return SparseTable.from_dense(rng.standard_normal((rows, dim)).astype(dtype), keep)


def random_rows(rng: np.random.Generator, n_rows: int, count: int) -> Array:
    """(count or fewer,) int32, none twice."""
    return rng.permutation(n_rows)[:count].astype(np.int32)


def random_starts(rng: np.random.Generator, groups: int, most: int) -> Array:
    """(groups + 1,) int32 for groups of 0 to ``most`` members."""
    return np.concatenate([[0], np.cumsum(rng.integers(0, most + 1, groups))]).astype(np.int32)


def random_explored(rng: np.random.Generator, n_rows: int, dim: int, part: float, dtype: Any) -> Explored:
    """Slots of about ``part`` of all rows, in any order, and sums that are not zero."""
    rows = random_rows(rng, n_rows, int(round(part * n_rows)))
    slots = np.full(n_rows, -1, dtype=np.int32)
    slots[rows] = np.arange(len(rows))
    return Explored(slots, rng.standard_normal((len(rows), dim)).astype(dtype))


def random_seen(rng: np.random.Generator, users: int, n_items: int, part: float) -> tuple[Array, Array]:
    """CSR of about ``part`` of all pairs."""
    mask = rng.random((users, n_items)) < part
    indptr = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int64)
    return indptr, np.nonzero(mask)[1].astype(np.int32)


def assert_threads_change_nothing(run: Callable[[], Sequence[Array]]) -> None:
    """``run`` gives arrays with the same bits on one and on two threads."""
    before = numba.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            results.append(run())
    finally:
        numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
