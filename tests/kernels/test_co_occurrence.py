"""Pairs of items weighed by how near they lie: compiled, plain and written out agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.recency import later_ones
from sparserec_np.kernels.compiled import co_occurrence as compiled
from sparserec_np.kernels.reference import co_occurrence as reference
from tests.makers.kernel_cases import Array, assert_threads_change_nothing, needs_two_threads


def some_pairs(seed: int, users: int, items: int, n: int) -> tuple[Interactions, tuple[Any, ...]]:
    rng = np.random.default_rng(seed)
    log = Interactions.from_pairs(rng.integers(0, users, n), rng.integers(0, items, n), rng.permutation(n))
    bounds = np.zeros(log.n_items + 1, np.int64)
    np.cumsum(log.item_degrees, out=bounds[1:])
    norms = rng.random(log.n_interactions, np.float32)
    places = np.argsort(log.items, kind="stable").astype(np.int32)
    return log, (log.indptr, log.items, log.pair_users(), later_ones(log), norms, bounds, places)


def weigh(
    kernel: Any, log: Interactions, arrays: tuple[Any, ...], nearness: Array, first: int, rows: int
) -> Array:
    out = np.full((rows, log.n_items), 7, np.float32)
    kernel.pair_weights(*arrays, nearness, first, out)
    return out


@pytest.mark.parametrize(("first", "rows"), [(0, 9), (3, 4), (8, 1)])
@pytest.mark.parametrize("steps", [1, 3, 50])
def test_weights_are_those_written_out(first: int, rows: int, steps: int) -> None:
    log, arrays = some_pairs(0, 7, 9, 45)
    nearness = np.random.default_rng(1).random(steps, np.float32)
    later, norms = arrays[3], arrays[4]
    expected = np.zeros((rows, 9))
    for p, (one, user) in enumerate(zip(log.items, log.pair_users(), strict=True)):
        for q in range(log.indptr[user], log.indptr[user + 1]):
            if first <= one < first + rows and log.items[q] < one:
                near = float(nearness[min(abs(int(later[q]) - int(later[p])), steps - 1)])
                expected[one - first, log.items[q]] += near * float(norms[p]) * float(norms[q])
    for kernel in (compiled, reference):
        np.testing.assert_allclose(weigh(kernel, log, arrays, nearness, first, rows), expected, rtol=1e-5)


@needs_two_threads
def test_the_number_of_threads_changes_nothing() -> None:
    log, arrays = some_pairs(1, 60, 90, 2000)
    nearness = np.linspace(1, 0.1, 9).astype(np.float32)
    assert_threads_change_nothing(lambda: [weigh(compiled, log, arrays, nearness, 0, 90)])
