"""Numbers that threads take: compiled, from Python, and plain."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from sparserec_np.kernels.compiled import taking as compiled
from sparserec_np.kernels.reference import taking as reference
from tests.makers.kernel_cases import needs_two_threads


@numba.njit
def take_in_a_kernel(taken: Any) -> Any:
    return compiled.take(taken)


@numba.njit(parallel=True)
def take_all(taken: Any, found: Any) -> None:
    for _ in numba.prange(64):
        number = compiled.take(taken)
        while number < len(found):
            found[number] += 1
            number = compiled.take(taken)


@pytest.mark.parametrize("take", [take_in_a_kernel, compiled.take, reference.take])
def test_numbers_come_one_after_the_other(take: Any) -> None:
    taken = np.array([5, 70])
    assert [take(taken) for _ in range(3)] == [5, 6, 7]
    assert taken.tolist() == [8, 70]


@needs_two_threads
def test_threads_take_each_number_once() -> None:
    found = np.zeros(200_000, np.int64)
    take_all(np.zeros(1, np.int64), found)
    assert (found == 1).all()
