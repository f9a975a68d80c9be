"""Products at stored entries: compiled, plain and dense float64 agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.kernels.compiled import at_entries as compiled
from sparserec_np.kernels.reference import at_entries as reference
from tests.makers.kernel_cases import (
    PRECISIONS,
    assert_close,
    assert_threads_change_nothing,
    needs_two_threads,
    random_seen,
    random_table,
)

BOTH = pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])


@BOTH
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), dtype=st.sampled_from(PRECISIONS))
def test_rows_of_users_are_added_where_their_items_have_entries(kernel, seed, dtype):
    rng = np.random.default_rng(seed)
    n_items, dim, n_users = 12, 7, 9
    table = random_table(rng, n_items, dim, 0.5, dtype)
    indptr, items = random_seen(rng, n_users, n_items, 0.3)
    users = rng.integers(0, n_users, 6).astype(np.int32)
    full, out = (rng.standard_normal(size).astype(dtype) for size in ((6, dim), table.nnz))
    touched = np.zeros((n_users, n_items))
    touched[np.repeat(np.arange(n_users), np.diff(indptr)), items] = 1
    dense = touched[users].T @ full.astype(np.float64)
    expected = out + dense[table.row_numbers(), table.columns]
    kernel.add_user_rows(table, indptr, items, users, full, out)
    assert out.dtype == dtype
    assert_close(out, expected, scale=10)


@BOTH
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), dtype=st.sampled_from(PRECISIONS))
def test_rows_times_a_matrix_are_added_at_entries(kernel, seed, dtype):
    rng = np.random.default_rng(seed)
    table, matrix = random_table(rng, 12, 7, 0.5, dtype), rng.standard_normal((7, 7)).astype(dtype)
    out = rng.standard_normal(table.nnz).astype(dtype)
    dense = table.to_dense(7).astype(np.float64) @ matrix
    expected = out + dense[table.row_numbers(), table.columns]
    kernel.add_products(table, matrix, out)
    assert_close(out, expected, scale=10)


@needs_two_threads
def test_threads_change_no_bit_of_products():
    rng = np.random.default_rng(0)
    table, matrix = random_table(rng, 300, 40, 0.3, np.float32), rng.standard_normal((40, 40), np.float32)

    def run():
        out = np.zeros(table.nnz, np.float32)
        compiled.add_products(table, matrix, out)
        return [out]

    assert_threads_change_nothing(run)
