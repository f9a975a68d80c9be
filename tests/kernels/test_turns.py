"""Cells that threads take: compiled, from Python, and plain."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from sparserec_np.kernels.compiled import turns as compiled
from sparserec_np.kernels.reference import turns as reference
from tests.makers.kernel_cases import needs_two_threads


@numba.njit
def add_in_a_kernel(counter: Any, number: int) -> Any:
    return compiled.fetch_add(counter, number)


@numba.njit(parallel=True)
def take_all(taken: Any, found: Any) -> None:
    for _ in numba.prange(64):
        number = compiled.fetch_add(taken, 1)
        while number < len(found):
            found[number] += 1
            number = compiled.fetch_add(taken, 1)


@numba.njit
def work(users: Any, items: Any, cell: int, parts: int) -> None:
    """Changes what belongs to a cell, which depends on what was changed before, and takes its time."""
    turn, p = divmod(cell, parts)
    q = (p + turn) % parts
    for _ in range(1 + cell * 7919 % 3000):
        users[p], items[q] = (3 * users[p] + items[q] + cell) % 99_991, (users[p] + 5 * items[q]) % 99_989


@numba.njit(parallel=True)
def work_in_turns(done: Any, parts: int, users: Any, items: Any) -> None:
    for _ in numba.prange(parts):
        cell = compiled.begin(done, parts)
        while cell < parts * parts:
            work(users, items, cell, parts)
            compiled.end(done, cell)
            cell = compiled.begin(done, parts)


@pytest.mark.parametrize("fetch_add", [add_in_a_kernel, compiled.fetch_add, reference.fetch_add])
def test_a_sum_comes_back_as_it_was(fetch_add: Any) -> None:
    counter = np.array([5, 70])
    assert [fetch_add(counter, n) for n in (1, 3, 0)] == [5, 6, 9]
    assert counter.tolist() == [9, 70]


@pytest.mark.parametrize("turns", [compiled, reference], ids=["compiled", "reference"])
def test_cells_come_one_after_the_other(turns: Any) -> None:
    done = np.zeros(10, np.int64)
    for cell in range(9):
        assert turns.begin(done, 3) == cell
        turns.end(done, cell)
    assert turns.begin(done, 3) == 9
    assert done.tolist() == [1] * 9 + [10]


@needs_two_threads
def test_threads_take_each_number_once() -> None:
    found = np.zeros(200_000, np.int64)
    take_all(np.zeros(1, np.int64), found)
    assert (found == 1).all()


@needs_two_threads
@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_no_cell_begins_before_those_that_share_rows_with_it_are_done(parts: int) -> None:
    alone, together = np.ones((2, parts), np.int64), np.ones((2, parts), np.int64)
    for cell in range(parts * parts):
        work(*alone, cell, parts)
    for _ in range(50):
        together[:] = 1
        work_in_turns(np.zeros(parts * parts + 1, np.int64), parts, *together)
        np.testing.assert_array_equal(together, alone)
