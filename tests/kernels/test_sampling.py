"""Groups, masked scores and picked negatives: compiled and plain agree, and both do what they are for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.kernels.compiled import sampling as compiled
from sparserec_np.kernels.reference import sampling as reference
from tests.makers.kernel_cases import (
    PRECISIONS,
    Array,
    assert_threads_change_nothing,
    needs_two_threads,
    random_rows,
    random_seen,
)

KERNELS = pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])


def grouped(kernel: Any, keys: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Order, starts and rows."""
    n = len(keys)
    counts = np.zeros(41, dtype=np.int32)
    order, starts, rows = np.full(n, 77, np.int32), np.full(n + 1, 77, np.int32), np.full(n, 77, np.int32)
    groups = kernel.group_by_row(np.array(keys, dtype=np.int32), counts, order, starts, rows)
    assert not counts.any()
    return order.tolist(), starts[: groups + 1].tolist(), rows[:groups].tolist()


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=60))
def test_groups(keys: list[int]) -> None:
    order, starts, rows = grouped(reference, keys)
    assert grouped(compiled, keys) == (order, starts, rows)
    assert rows == list(dict.fromkeys(keys))
    assert starts[0] == 0
    assert starts[-1] == len(keys)
    for g, row in enumerate(rows):
        assert order[starts[g] : starts[g + 1]] == [m for m, key in enumerate(keys) if key == row]


@KERNELS
def test_groups_by_hand(kernel: Any) -> None:
    assert grouped(kernel, [5, 2, 5, 0, 2, 5]) == ([0, 2, 5, 1, 4, 3], [0, 3, 5, 6], [5, 2, 0])
    assert grouped(kernel, [3, 3, 3]) == ([0, 1, 2], [0, 3], [3])
    assert grouped(kernel, []) == ([], [0], [])


def masked(
    kernel: Any, rows: Array, seen: tuple[Array, Array], places: Array, scores: Array
) -> tuple[Array, Array]:
    scores = scores.copy()
    valid = np.full(len(rows), 77, dtype=np.int32)
    kernel.mask_seen(rows, *seen, places, scores, valid)
    return scores, valid


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(1, 9),
    n_items=st.integers(1, 30),
    size=st.integers(1, 30),
    part=st.sampled_from([0.0, 0.2, 1.0]),
    dtype=st.sampled_from(PRECISIONS),
)
def test_masks(seed: int, users: int, n_items: int, size: int, part: float, dtype: Any) -> None:
    rng = np.random.default_rng(seed)
    indptr, items = random_seen(rng, users, n_items, part)
    block = random_rows(rng, n_items, size)
    places = np.full(n_items, -1, dtype=np.int32)
    places[block] = np.arange(len(block))
    rows = random_rows(rng, users, 5)
    before = rng.standard_normal((len(rows), len(block))).astype(dtype)
    scores, valid = masked(reference, rows, (indptr, items), places, before)
    for found, wanted in zip(
        masked(compiled, rows, (indptr, items), places, before), (scores, valid), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
    for g, row in enumerate(rows):
        touched = set(items[indptr[row] : indptr[row + 1]].tolist())
        free = [item not in touched for item in block.tolist()]
        assert valid[g] == sum(free)
        np.testing.assert_array_equal(scores[g], np.where(free, before[g], -np.inf))


def picks(kernel: Any, users: Array, draws: Array, n_items: int, seen: tuple[Array, Array]) -> tuple[Array]:
    picked = np.full(len(users), 77, dtype=np.int32)
    kernel.pick_unseen(users, draws, n_items, *seen, picked)
    return (picked,)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_items=st.integers(1, 30),
    tries=st.integers(1, 5),
    part=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
)
def test_picks(seed: int, n_items: int, tries: int, part: float) -> None:
    rng = np.random.default_rng(seed)
    indptr, items = random_seen(rng, 6, n_items, part)
    users = rng.integers(6, size=40).astype(np.int32)
    draws = rng.integers(n_items, size=(40, tries), dtype=np.int32)
    (picked,) = picks(reference, users, draws, n_items, (indptr, items))
    np.testing.assert_array_equal(picks(compiled, users, draws, n_items, (indptr, items))[0], picked)
    for m, user in enumerate(users):
        touched = set(items[indptr[user] : indptr[user + 1]].tolist())
        free = [item for item in draws[m].tolist() if item not in touched]
        if free:
            assert picked[m] == free[0]
        elif len(touched) < n_items:
            assert picked[m] not in touched
        else:
            assert picked[m] == draws[m, -1]


@KERNELS
def test_picks_by_hand(kernel: Any) -> None:
    """User 0 has touched 0, 1 and 4 of five items; user 1 all; user 2 none."""
    seen = np.array([0, 3, 8, 8]), np.array([0, 1, 4, 0, 1, 2, 3, 4], dtype=np.int32)
    users = np.array([0, 0, 0, 0, 1, 2], dtype=np.int32)
    draws = np.array([[3, 2], [1, 2], [2, 0], [1, 4], [2, 3], [4, 4]], dtype=np.int32)
    assert picks(kernel, users, draws, 5, seen)[0].tolist() == [3, 2, 2, 2, 3, 4]


@needs_two_threads
def test_the_number_of_threads_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    seen = random_seen(rng, 300, 200, 0.3)
    users, places = np.arange(300, dtype=np.int32), rng.permutation(200).astype(np.int32)
    draws = rng.integers(200, size=(300, 3), dtype=np.int32)
    scores = rng.standard_normal((300, 200)).astype(np.float32)
    assert_threads_change_nothing(lambda: masked(compiled, users, seen, places, scores))
    assert_threads_change_nothing(lambda: picks(compiled, users, draws, 200, seen))
