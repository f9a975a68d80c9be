"""Top-k lists: compiled, plain and dense float64 agree, whatever the tables look like."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.compiled import ranking as compiled
from sparserec_np.kernels.reference import ranking as reference
from tests.makers import oracles

Array = npt.NDArray[Any]
KERNELS = pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])


def random_table(
    rng: np.random.Generator, rows: int, dim: int, density: float, dtype: type, whole: bool
) -> SparseTable:
    """A table of normal values; ``whole`` numbers are summed without rounding, and make many equal scores."""
    values = rng.integers(-2, 3, (rows, dim)) if whole else rng.standard_normal((rows, dim))
    return SparseTable.from_dense(values.astype(dtype), rng.random((rows, dim)) < density)


def random_seen(rng: np.random.Generator, users: int, n_items: int, part: float) -> tuple[Array, Array]:
    mask = rng.random((users, n_items)) < part
    indptr = np.zeros(users + 1, dtype=np.int64)
    np.cumsum(mask.sum(axis=1), out=indptr[1:])
    return indptr, np.nonzero(mask)[1].astype(np.int32)


def rank(
    kernel: Any,
    users: SparseTable,
    items: SparseTable,
    dim: int,
    seen: tuple[Array, Array],
    rows: Any,
    k: int,
) -> Any:
    rows = np.asarray(rows, dtype=np.int32)
    out_items = np.full((len(rows), k), 77, dtype=np.int32)
    out_scores = np.full((len(rows), k), 77, dtype=users.values.dtype)
    kernel.top_items(users, items.by_column(dim), items.rows, *seen, rows, out_items, out_scores)
    return out_items, out_scores


def assert_same(first: Any, second: Any) -> None:
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_items=st.integers(1, 260),
    dim=st.integers(1, 9),
    densities=st.tuples(*[st.sampled_from([0.0, 0.05, 0.3, 0.8, 1.0])] * 2),
    whole=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
    part_seen=st.sampled_from([0.0, 0.1, 0.95, 1.0]),
    k=st.integers(1, 25),
)
def test_compiled_equals_reference_bit_for_bit(
    seed: int, n_items: int, dim: int, densities: Any, whole: bool, dtype: type, part_seen: float, k: int
) -> None:
    rng = np.random.default_rng(seed)
    users = random_table(rng, 4, dim, densities[0], dtype, whole)
    items = random_table(rng, n_items, dim, densities[1], dtype, whole)
    seen = random_seen(rng, 4, n_items, part_seen)
    rows = [3, 0, 2, 2]
    assert_same(
        rank(compiled, users, items, dim, seen, rows, k), rank(reference, users, items, dim, seen, rows, k)
    )


@KERNELS
@pytest.mark.parametrize("whole", [True, False], ids=["ties", "no ties"])
@pytest.mark.parametrize("density", [0.2, 1.0])
def test_lists_are_those_of_the_dense_oracle(kernel: Any, whole: bool, density: float) -> None:
    rng = np.random.default_rng(5)
    dim, k = 6, 12
    users = random_table(rng, 5, dim, density, np.float64, whole)
    items = random_table(rng, 150, dim, density, np.float64, whole)
    indptr, seen = random_seen(rng, 5, 150, 0.2)
    tops, scores = rank(kernel, users, items, dim, (indptr, seen), range(5), k)
    for u in range(5):
        expected = oracles.rank(
            users.to_dense(dim)[u], items.to_dense(dim), set(seen[indptr[u] : indptr[u + 1]].tolist()), k
        )
        assert tops[u].tolist() == [item for item, _ in expected]
        np.testing.assert_allclose(scores[u], [score for _, score in expected], rtol=1e-12, atol=1e-12)


@KERNELS
def test_equal_scores_come_in_item_order(kernel: Any) -> None:
    users = SparseTable.from_dense(np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32))
    items = np.zeros((200, 2), dtype=np.float32)
    items[[150, 70, 3], 0] = 1.0
    items[:, 1] = 2.0
    nothing = np.zeros(3, dtype=np.int64), np.zeros(0, dtype=np.int32)
    tops, _ = rank(kernel, users, SparseTable.from_dense(items), 2, nothing, [0, 1], 6)
    assert tops.tolist() == [[3, 70, 150, 0, 1, 2], [0, 1, 2, 3, 4, 5]]


@KERNELS
def test_a_user_without_entries_gets_the_first_unseen_items(kernel: Any) -> None:
    rng = np.random.default_rng(0)
    users = SparseTable.from_dense(np.zeros((1, 4), dtype=np.float32))
    items = random_table(rng, 300, 4, 0.5, np.float32, False)
    seen = np.array([0, 3]), np.array([0, 2, 3], dtype=np.int32)
    tops, scores = rank(kernel, users, items, 4, seen, [0], 5)
    assert tops.tolist() == [[1, 4, 5, 6, 7]]
    assert scores.tolist() == [[0.0] * 5]


@KERNELS
@pytest.mark.parametrize("k", [7, 100])
def test_a_short_list_ends_with_marks_and_holds_no_item_twice(kernel: Any, k: int) -> None:
    rng = np.random.default_rng(1)
    n_items = 90
    users, items = (random_table(rng, n, 3, 0.7, np.float32, False) for n in (1, n_items))
    seen = np.array([0, n_items - 5]), np.arange(n_items - 5, dtype=np.int32)
    tops, scores = rank(kernel, users, items, 3, seen, [0], k)
    assert sorted(tops[0, :5].tolist()) == list(range(n_items - 5, n_items))
    assert np.all(np.diff(scores[0, :5]) <= 0)
    assert tops[0, 5:].tolist() == [-1] * (k - 5)
    assert np.all(np.isneginf(scores[0, 5:]))


@KERNELS
def test_no_rows_and_no_items(kernel: Any) -> None:
    users = SparseTable.from_dense(np.ones((2, 3), dtype=np.float32))
    nothing = np.zeros(3, dtype=np.int64), np.zeros(0, dtype=np.int32)
    tops, _ = rank(kernel, users, users, 3, nothing, [], 4)
    assert tops.shape == (0, 4)
    tops, _ = rank(
        kernel, users, SparseTable.from_dense(np.ones((0, 3), dtype=np.float32)), 3, nothing, [1], 2
    )
    assert tops.tolist() == [[-1, -1]]


def test_negative_scores_of_a_full_table() -> None:
    """Every bound is below zero here, also that of the last block, which is not full."""
    rng = np.random.default_rng(2)
    users = SparseTable.from_dense(np.ones((1, 4), dtype=np.float32))
    items = SparseTable.from_dense(-1 - rng.random((200, 4), dtype=np.float32))
    nothing = np.zeros(2, dtype=np.int64), np.zeros(0, dtype=np.int32)
    assert_same(
        rank(compiled, users, items, 4, nothing, [0], 150),
        rank(reference, users, items, 4, nothing, [0], 150),
    )


def test_a_large_catalogue() -> None:
    """More blocks than are looked at in one vector loop, as a trained model has them: a few large values in a row."""
    rng = np.random.default_rng(3)
    n_items, dim = 9000, 40
    values = (rng.standard_normal((n_items + 3, dim)) ** 5).astype(np.float32)
    keep = np.abs(values) > 4
    table = SparseTable.from_dense(values, keep)
    users, items = table.slice_rows(0, 3), table.slice_rows(3, n_items + 3)
    seen = random_seen(rng, 3, n_items, 0.01)
    for k in (1, 20, 300):
        assert_same(
            rank(compiled, users, items, dim, seen, [0, 1, 2], k),
            rank(reference, users, items, dim, seen, [0, 1, 2], k),
        )


def is_scored_one_by_one(items: SparseTable, dim: int) -> bool:
    """Whether the compiled kernel does without blocks, as it does where entries are few."""
    lists = items.by_column(dim)
    return compiled.BOUNDED * lists.indptr[compiled._bounded(lists, items.rows)] < lists.nnz


@pytest.mark.parametrize("density", [0.02, 0.002])
def test_more_than_256_dimensions(density: float) -> None:
    rng = np.random.default_rng(4)
    users, items = (random_table(rng, n, 300, d, np.float32, False) for n, d in ((3, 0.1), (150, density)))
    assert users.columns.dtype == np.uint16
    assert is_scored_one_by_one(items, 300) == (density < 0.01)
    seen = random_seen(rng, 3, 150, 0.1)
    assert_same(
        rank(compiled, users, items, 300, seen, [0, 1, 2], 20),
        rank(reference, users, items, 300, seen, [0, 1, 2], 20),
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_items=st.integers(1, 260),
    whole=st.booleans(),
    part_seen=st.sampled_from([0.0, 0.1, 0.95, 1.0]),
    k=st.integers(1, 300),
)
def test_few_entries_in_many_dimensions(
    seed: int, n_items: int, whole: bool, part_seen: float, k: int
) -> None:
    """As a table with a column for each item has them: most scores are 0, and equal."""
    rng = np.random.default_rng(seed)
    dim = 2000
    users = random_table(rng, 4, dim, 0.3, np.float32, whole)
    items = random_table(rng, n_items, dim, 0.001, np.float32, whole)
    assume(is_scored_one_by_one(items, dim))  # one item may have too many by chance
    seen = random_seen(rng, 4, n_items, part_seen)
    rows = [3, 0, 2, 2]
    assert_same(
        rank(compiled, users, items, dim, seen, rows, k), rank(reference, users, items, dim, seen, rows, k)
    )


@pytest.mark.parametrize("beyond", [0, 1, 70])
def test_few_entries_of_more_items_than_are_scored_at_a_time(beyond: int) -> None:
    rng, n_items, dim = np.random.default_rng(6), 2 * compiled.SCORED + beyond, 1500
    columns = np.sort(rng.integers(0, 500, (n_items, 3)) * 3 + np.arange(3), axis=1).astype(np.uint16)
    values = rng.standard_normal(columns.size).astype(np.float32)
    items = SparseTable(np.arange(n_items + 1, dtype=np.int32) * 3, columns.reshape(-1), values)
    assert is_scored_one_by_one(items, dim)
    users = random_table(rng, 3, dim, 0.3, np.float32, False)
    seen = random_seen(rng, 3, n_items, 0.1)
    for k in (20, n_items):
        assert_same(
            rank(compiled, users, items, dim, seen, [1, 0, 2], k),
            rank(reference, users, items, dim, seen, [1, 0, 2], k),
        )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_items=st.integers(200, 400),
    whole=st.booleans(),
    part_seen=st.sampled_from([0.0, 0.1, 0.95]),
    k=st.sampled_from([1, 7, 500]),
)
def test_short_lists_and_own_columns_behind_bounded_ones(
    seed: int, n_items: int, whole: bool, part_seen: float, k: int
) -> None:
    """As rows with neighbours have them: a few wide dimensions, a column for each item, and one more."""
    rng = np.random.default_rng(seed)
    wide, marks = 12, random_table(rng, n_items, n_items, 0.003, np.float32, whole)
    first = random_table(rng, n_items, wide, 0.5, np.float32, whole).to_dense(wide)
    items = SparseTable.from_dense(np.hstack([first, marks.to_dense(n_items)]))
    dim = wide + n_items
    assume(compiled._bounded(items.by_column(dim), n_items) < dim)  # as it is but for chance
    assume(not is_scored_one_by_one(items, dim))
    users = random_table(rng, 6, dim + n_items, 0.1, np.float32, whole)
    seen = random_seen(rng, 6, n_items, part_seen)
    rows = [5, 0, 3, 3, 1]
    assert_same(
        rank(compiled, users, items, dim, seen, rows, k), rank(reference, users, items, dim, seen, rows, k)
    )


@pytest.mark.parametrize("dim", [1, 64])
@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["positive", "negative"])
def test_blocks_stored_whole_and_in_part(dim: int, sign: float) -> None:
    """Dimensions that a block lists in full, in good part, and hardly at all, taken in turns by one row."""
    rng = np.random.default_rng(8)
    densities = np.resize([1.0, 0.6, 0.05, 0.3], dim)
    values = (sign * rng.random((500, dim)) * densities).astype(np.float32)
    items = SparseTable.from_dense(values, rng.random((500, dim)) < densities)
    users = random_table(rng, 6, dim, 0.8, np.float32, False)
    seen = random_seen(rng, 6, 500, 0.2)
    for k in (1, 20, 600):
        assert_same(
            rank(compiled, users, items, dim, seen, range(6), k),
            rank(reference, users, items, dim, seen, range(6), k),
        )


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize(("dim", "density"), [(8, 0.4), (4000, 0.0004)])
def test_the_number_of_threads_changes_nothing(dim: int, density: float) -> None:
    rng = np.random.default_rng(6)
    users, items = (random_table(rng, n, dim, density, np.float32, True) for n in (300, 500))
    assert is_scored_one_by_one(items, dim) == (density < 0.01)
    seen = random_seen(rng, 300, 500, 0.05)
    before = numba.get_num_threads()
    lists = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            lists.append(rank(compiled, users, items, dim, seen, range(300), 10))
    finally:
        numba.set_num_threads(before)
    assert_same(*lists)
