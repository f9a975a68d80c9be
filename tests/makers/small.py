"""Small logs and tables for the tests of the method's parts."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.synthetic import generate
from sparserec_np.data.table import SparseTable

Array = npt.NDArray[Any]

needs_compiler = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="plain Python kernels would take minutes, or have nothing to show"
)


def small_log(n_users: int = 60, n_items: int = 40, n_interactions: int = 700, seed: int = 1) -> Interactions:
    """A generated log with groups that a model can find."""
    return generate(n_users, n_items, n_interactions, groups=5, seed=seed)


def random_table(
    rng: np.random.Generator, rows: int, dim: int, nnz: int, dtype: npt.DTypeLike = np.float32
) -> SparseTable:
    """Exactly ``nnz`` normal values at random places; rows may be empty."""
    keep = np.zeros(rows * dim, dtype=bool)
    keep[rng.choice(rows * dim, nnz, replace=False)] = True
    values = rng.standard_normal((rows, dim)).astype(dtype)
    return SparseTable.from_dense(values, keep.reshape(rows, dim))


def places(table: SparseTable, dim: int) -> Array:
    """Every stored entry as one number, ``row * dim + column``."""
    return table.row_numbers().astype(np.int64) * dim + table.columns


def same_bits(one: SparseTable, other: SparseTable) -> bool:
    """Whether two tables are equal to the last bit."""
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


def peak_of(call: Callable[[], Any]) -> int:
    """Bytes that a call allocates at once, by Python's own account; it is called once before, to compile."""
    call()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
