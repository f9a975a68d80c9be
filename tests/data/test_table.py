"""SparseTable against dense arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sparserec_np.data.table import SparseTable, column_dtype, index_dtype, row_blocks

dense_arrays = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 7), st.integers(1, 9)),
    elements=st.sampled_from([0.0, 0.0, 1.0, -2.5, 0.125]),
)


@given(dense_arrays)
def test_dense_and_back(dense: npt.NDArray[Any]) -> None:
    dim = dense.shape[1]
    table = SparseTable.from_dense(dense)
    table.validate(dim)
    assert (table.rows, table.nnz) == (len(dense), np.count_nonzero(dense))
    assert (table.indptr.dtype, table.columns.dtype, table.values.dtype) == (np.int32, np.uint8, np.float32)
    assert table.nbytes == 4 * (len(dense) + 1) + 5 * table.nnz
    assert np.array_equal(table.to_dense(dim), dense)
    assert np.array_equal(table.row_numbers(), np.nonzero(dense)[0])


@given(dense_arrays)
def test_the_transpose_lists_rows_by_column(dense: npt.NDArray[Any]) -> None:
    turned = SparseTable.from_dense(dense).by_column(dense.shape[1])
    assert turned.columns.dtype == np.int32
    turned.validate(len(dense))
    assert np.array_equal(turned.to_dense(len(dense)), dense.T)


@given(dense_arrays, st.data())
def test_slices_are_views_of_rows(dense: npt.NDArray[Any], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(dense)))
    stop = data.draw(st.integers(start, len(dense)))
    table = SparseTable.from_dense(dense)
    part = table.slice_rows(start, stop)
    part.validate(dense.shape[1])
    assert np.array_equal(part.to_dense(dense.shape[1]), dense[start:stop])
    assert part.nnz == 0 or np.shares_memory(part.values, table.values)


def test_zeros_can_be_stored() -> None:
    table = SparseTable.from_dense(np.zeros((2, 3)), np.array([[True, False, True], [False, True, False]]))
    assert table.nnz == 3 and not table.values.any()


def test_columns_are_as_narrow_as_they_may() -> None:
    assert [column_dtype(dim) for dim in (1, 256, 257, 65_536)] == [np.uint8, np.uint8, np.uint16, np.uint16]
    assert [index_dtype(nnz) for nnz in (0, 2**31 - 1, 2**31)] == [np.int32, np.int32, np.int64]
    wide = np.zeros((2, 300))
    wide[1, 299] = 1
    table = SparseTable.from_dense(wide)
    assert table.columns.dtype == np.uint16 and table.columns.tolist() == [299]
    for dim in (0, 65_537):
        with pytest.raises(ValueError, match="between 1 and 65,536"):
            column_dtype(dim)


@pytest.mark.parametrize(
    ("indptr", "columns", "values", "sentence"),
    [
        ([1, 2], [0, 1], [1, 1], "indptr must start at 0"),
        ([0, 2, 1, 2], [0, 1], [1, 1], "never fall"),
        ([0, 1], [0, 1], [1, 1], "end at the number of stored entries"),
        ([0, 2], [0], [1, 1], "one column and one value each"),
        ([0, 2], [0, 3], [1, 1], "below dim = 3"),
        ([0, 2], [1, 0], [1, 1], "sorted and unique"),
        ([0, 0, 2, 2], [1, 1], [1, 1], "sorted and unique"),
        ([0, 2], [0, 1], [1, np.nan], "finite"),
        ([0, 2], [0, 1], [np.inf, 1], "finite"),
    ],
)
def test_unsound_tables_are_refused(
    indptr: list[int], columns: list[int], values: list[float], sentence: str
) -> None:
    table = SparseTable(np.array(indptr, np.int32), np.array(columns, np.uint8), np.array(values, np.float32))
    with pytest.raises(ValueError, match=sentence):
        table.validate(3)


def test_a_column_may_fall_from_one_row_to_the_next() -> None:
    SparseTable(np.array([0, 1, 1, 2, 2]), np.array([2, 0]), np.ones(2)).validate(3)


@pytest.mark.parametrize("dim", [3, 300])
def test_a_full_table_stores_every_entry(dim: int) -> None:
    dense = np.random.default_rng(0).standard_normal((5, dim))
    dense[2] = 0
    full = SparseTable.full(dense)
    full.validate(dim)
    assert full.nnz == 5 * dim
    np.testing.assert_array_equal(full.to_dense(dim), dense)
    assert SparseTable.full(np.empty((0, dim))).rows == 0


def test_dense_rows_may_repeat_and_come_in_any_order() -> None:
    table = SparseTable.from_dense(np.array([[0, 2.0, 0], [0, 0, 0], [1.0, 0, 3.0]]))
    rows = np.array([2, 1, 0, 2])
    np.testing.assert_array_equal(table.dense_rows(rows, 3), table.to_dense(3)[rows])
    assert table.dense_rows(rows[:0], 3).shape == (0, 3)


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 20), st.none() | st.integers(1, 8))
def test_blocks_of_rows_are_as_long_as_they_may_be(sizes: list[int], most: int, rows: int | None) -> None:
    blocks = list(row_blocks(np.cumsum([0, *sizes], dtype=np.int32), most, rows))
    assert [row for block in blocks for row in range(*block)] == list(range(len(sizes)))
    for first, last in blocks:
        assert last - first == 1 or (sum(sizes[first:last]) <= most and last - first <= (rows or last))
        grown = sum(sizes[first : last + 1]) > most or last - first == rows or last == len(sizes)
        assert grown


def test_blocks_of_rows_near_the_largest_bound() -> None:
    most = np.iinfo(np.int32).max
    assert list(row_blocks(np.array([0, 5, most], dtype=np.int32), most)) == [(0, 2)]
    assert list(row_blocks(np.array([0, most - 5, most], dtype=np.int32), most - 1)) == [(0, 1), (1, 2)]
