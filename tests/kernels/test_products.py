"""Products with the interactions: compiled, plain and dense agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.kernels.compiled import products as compiled
from sparserec_np.kernels.reference import products as reference
from tests.makers import oracles
from tests.makers.kernel_cases import PRECISIONS, Array, assert_close, random_rows, random_seen

BOTH = pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])


def run(kernel: Any, seed: int, users: int, n_items: int, part: float, dtype: Any) -> tuple[Array, Array]:
    """What both functions make of one random case."""
    rng = np.random.default_rng(seed)
    log = random_seen(rng, users, n_items, part)
    block, out = (rng.standard_normal((n_items, 16)).astype(dtype) for _ in range(2))
    kernel.add_gram_product(*log, rng.random(users).astype(dtype), block, out)
    some = random_rows(rng, users, users // 2).astype(np.int64)
    sums = np.full((len(some), 48), 77, dtype)
    kernel.sum_items(*log, some, block, 16, sums)
    return out, sums


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(0, 40),
    n_items=st.integers(1, 30),
    part=st.sampled_from([0.0, 0.1, 0.7]),
    dtype=st.sampled_from(PRECISIONS),
)
def test_twins_agree(seed: int, users: int, n_items: int, part: float, dtype: Any) -> None:
    case = seed, users, n_items, part, dtype
    for found, expected in zip(run(compiled, *case), run(reference, *case), strict=True):
        assert found.dtype == dtype
        assert_close(found, expected, scale=100)


@BOTH
def test_products_are_those_of_a_dense_matrix(kernel: Any) -> None:
    rng = np.random.default_rng(0)
    mask = (rng.random((25, 14)) < 0.3) & (np.arange(25) != 7)[:, None]  # user 7 has nothing
    indptr, items = np.append(0, np.cumsum(mask.sum(axis=1))), np.nonzero(mask)[1].astype(np.int32)
    block, weights = rng.standard_normal((14, 16)), rng.random(25)
    by_user = oracles.product(mask.astype(np.float64), block)
    out = np.ones((14, 16))
    kernel.add_gram_product(indptr, items, weights, block, out)
    wanted = 1 + oracles.product(mask.T.astype(np.float64), weights[:, None] * by_user)
    np.testing.assert_allclose(out, wanted, rtol=1e-12, atol=1e-12)
    users = np.array([3, 7, 24, 0])
    sums = np.full((4, 32), 77.0)
    kernel.sum_items(indptr, items, users, block, 16, sums)
    np.testing.assert_allclose(sums[:, 16:], by_user[users], rtol=1e-12, atol=1e-12)
    assert np.all(sums[:, :16] == 77)
