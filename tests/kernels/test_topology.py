"""Topology kernels: compiled and plain agree to the last bit, and both do what they are for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.arguments import Explored
from sparserec_np.kernels.compiled import topology as compiled
from sparserec_np.kernels.reference import topology as reference
from tests.makers.kernel_cases import PRECISIONS, Array, random_explored, random_table

KERNELS = pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])
many = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32 - 1)

# Magnitudes whose upper bits are the same and whose lower ones are not, numbers that are equal, the
# very small, zeros.
CLOSE = [1.0, 1.0000001, 1.0000002, -1.0000001, 1.5, -2.0, 0.0, -0.0, 1e-42, -3e-42, 1e30, 3e38]


def coarse(rng: np.random.Generator, shape: Any) -> Array:
    return rng.choice(np.array(CLOSE, np.float32), shape)


def a_table(rng: np.random.Generator, dtype: Any) -> SparseTable:
    table = random_table(rng, int(rng.integers(1, 12)), int(rng.integers(1, 8)), rng.random(), dtype)
    return table._replace(values=coarse(rng, table.nnz).astype(dtype)) if rng.random() < 0.7 else table


def marked(kernel: Any, table: SparseTable, inside: Array, floor: int) -> tuple[int, list[bool]]:
    kept = rng_of(0).random(table.nnz) < 0.5  # overwritten
    free = kernel.mark_prunable(table, inside, floor, kept)
    return free, kept.tolist()


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@many
@given(seeds, st.integers(0, 4), st.sampled_from(PRECISIONS))
def test_the_same_entries_may_go(seed: int, floor: int, dtype: Any) -> None:
    rng = rng_of(seed)
    table = a_table(rng, dtype)
    inside = rng.random(table.rows) < 0.7
    free, kept = marked(reference, table, inside, floor)
    assert marked(compiled, table, inside, floor) == (free, kept)
    sizes = np.diff(table.indptr)
    assert free == kept.count(False) == np.maximum(sizes - floor, 0)[inside].sum()


@KERNELS
@pytest.mark.parametrize(
    ("floor", "free"),
    [(0, [0, 1, 2, 3, 4, 5, 6]), (1, [1, 2, 4, 6]), (2, [2, 4]), (3, [4]), (4, []), (9, [])],
)
def test_a_row_keeps_its_largest_and_of_equal_ones_the_first(
    kernel: Any, floor: int, free: list[int]
) -> None:
    sizes, values = [0, 1, 4, 0, 2], [-5, 1, -1, 2, 0, 3, -3]
    indptr = np.append(0, np.cumsum(sizes)).astype(np.int32)
    columns = np.concatenate([np.arange(size) for size in sizes]).astype(np.uint8)
    table = SparseTable(indptr, columns, np.array(values, np.float32))
    count, kept = marked(kernel, table, np.ones(5, bool), floor)
    assert np.flatnonzero(~np.array(kept)).tolist() == free
    assert count == len(free)


@many
@given(seeds, st.integers(0, 60), st.data(), st.sampled_from(PRECISIONS))
def test_the_smallest_go(seed: int, n: int, data: st.DataObject, dtype: Any) -> None:
    rng = rng_of(seed)
    values = (coarse(rng, n) if data.draw(st.booleans()) else rng.standard_normal(n)).astype(dtype)
    before = rng.random(n) < 0.4
    count = data.draw(st.integers(0, int(np.count_nonzero(~before))))
    ends = []
    for kernel in (compiled, reference):
        kept = before.copy()
        ends.append((kernel.keep_larger(values, count, kept), kept.tolist()))
    assert ends[0] == ends[1]
    kept = np.array(ends[0][1], dtype=bool)
    assert np.count_nonzero(~kept) == count and not np.any(before & ~kept)
    size = np.abs(values.astype(np.float32))
    stayed = size[kept & ~before]
    assert not count or not len(stayed) or size[~kept].max() <= stayed.min()
    assert ends[0][0] == (np.abs(values[~kept]).max() if count else 0)


@KERNELS
def test_of_equal_ones_the_first_go(kernel: Any) -> None:
    kept = np.zeros(6, dtype=bool)
    assert kernel.keep_larger(np.array([2, -1, 1, -2, 1, 1], np.float32), 3, kept) == 1
    assert kept.tolist() == [True, False, False, True, False, True]


def largest(
    kernel: Any, table: SparseTable, explored: Explored, count: int
) -> tuple[list[int], list[int], list[float]]:
    found = np.empty(count, np.int32), np.empty(count, table.columns.dtype), np.empty(count, np.float32)
    kept = kernel.largest_inactive(table, explored, count, *found)
    rows, columns, gradients = (array[:kept].tolist() for array in found)
    return rows, columns, gradients


@pytest.mark.parametrize("factor", [1, 1e-3, 1e3], ids=["like others", "smaller", "larger"])
@pytest.mark.parametrize("count", [1, 100, 1200, 4000])
def test_the_largest_inactive_sums_where_some_rows_tell_of_all(factor: float, count: int) -> None:
    """Every eighth explored row is asked first, and may be unlike the others."""
    rng = rng_of(0)
    table = random_table(rng, 500, 8, 0.2, np.float32)
    slots, sums = random_explored(rng, 500, 8, 0.9, np.float32)
    sums[slots[np.flatnonzero(slots >= 0)[7::8]]] *= np.float32(factor)
    explored = Explored(slots, sums)
    assert largest(compiled, table, explored, count) == largest(reference, table, explored, count)


@many
@given(seeds, st.integers(0, 70), st.booleans(), st.sampled_from(PRECISIONS))
def test_the_largest_inactive_sums(seed: int, count: int, close: bool, dtype: Any) -> None:
    """As a full sort of a dense array finds them."""
    rng = rng_of(seed)
    rows, dim = int(rng.integers(1, 12)), int(rng.integers(1, 8))
    table = random_table(rng, rows, dim, rng.random(), np.float32)
    slots, sums = random_explored(rng, rows, dim, 0.6, dtype)
    sums[:] = coarse(rng, sums.shape) if close else sums
    before = sums.copy()
    explored = Explored(slots, sums)
    found = largest(reference, table, explored, count)
    assert largest(compiled, table, explored, count) == found
    assert np.array_equal(sums, before)
    inactive = {
        (row, c): float(np.float32(sums[slots[row], c]))
        for row in np.flatnonzero(slots >= 0).tolist()
        for c in set(range(dim)) - set(table.columns[table.indptr[row] : table.indptr[row + 1]].tolist())
    }
    ranked = sorted(
        (place for place in inactive if inactive[place]), key=lambda place: (-abs(inactive[place]), place)
    )
    wanted = sorted(ranked[:count])
    assert list(zip(found[0], found[1], strict=True)) == wanted
    assert found[2] == [inactive[place] for place in wanted]


@KERNELS
def test_nobody_explored_finds_nothing(kernel: Any) -> None:
    table = random_table(rng_of(0), 5, 4, 0.5, np.float32)
    assert largest(kernel, table, Explored.of(np.empty(0, np.int32), 5, 4), 3) == ([], [], [])


@many
@given(seeds, st.sampled_from(PRECISIONS))
def test_new_entries_find_their_places(seed: int, dtype: Any) -> None:
    """What is merged and moved is what a dense table would hold; the places rise."""
    rng = rng_of(seed)
    rows, dim = int(rng.integers(1, 12)), int(rng.integers(1, 8))
    table = random_table(rng, rows, dim, rng.random(), dtype)
    dense = np.zeros((rows, dim), bool)
    dense[table.row_numbers(), table.columns] = True
    inactive = np.flatnonzero(~dense)
    change = int(rng.integers(0, min(table.nnz, len(inactive)) + 1))
    kept = np.ones(table.nnz, bool)
    kept[rng.choice(table.nnz, change, replace=False)] = False
    new_rows, new_columns = np.divmod(np.sort(rng.choice(inactive, change, replace=False)), dim)
    new_rows, new_columns = new_rows.astype(np.int32), new_columns.astype(table.columns.dtype)
    grown = rng.standard_normal(len(new_rows)).astype(dtype)
    ends = []
    for kernel in (compiled, reference):
        indptr, places = np.full_like(table.indptr, -7), np.full(len(grown), -7, np.int64)
        kernel.merge(table, kept, new_rows, new_columns, indptr, places)
        after, beside = table.copy(), table.values.copy()
        kernel.rewrite(after, kept, places, new_columns, grown, indptr)
        kernel.move(beside, kept, places, grown)
        assert np.array_equal(beside, after.values)
        ends.append((places, *after))
    for found, expected in zip(*ends, strict=True):
        np.testing.assert_array_equal(found, expected)
    places, *arrays = ends[0]
    after = SparseTable(*arrays)
    after.validate(dim)
    whole = table.to_dense(dim)
    whole[table.row_numbers()[~kept], table.columns[~kept]] = 0
    whole[new_rows, new_columns] = grown
    assert np.array_equal(after.to_dense(dim), whole)
    assert np.array_equal(after.values[places], grown)


@many
@given(seeds, st.sampled_from(PRECISIONS))
def test_means_of_rows(seed: int, dtype: Any) -> None:
    rng = rng_of(seed)
    table = random_table(rng, int(rng.integers(1, 12)), int(rng.integers(1, 8)), rng.random(), dtype)
    rows = np.sort(rng.integers(table.rows, size=int(rng.integers(0, 20)))).astype(np.int32)
    ends = []
    for kernel in (compiled, reference):
        means = np.full(len(rows), np.nan, dtype)
        kernel.row_means(table.indptr, table.values, rows, means)
        ends.append(means)
    np.testing.assert_array_equal(*ends)
    each = [table.values[table.indptr[r] : table.indptr[r + 1]].astype(float) for r in rows]
    assert ends[0] == pytest.approx([part.mean() if len(part) else 0 for part in each], rel=1e-6, abs=1e-7)
