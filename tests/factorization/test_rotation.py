"""The rotation to the sparsest axes."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.factorization.rotation import varimax
from sparserec_np.machine.threads import one_blas_thread
from tests.makers.small import Array


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def criterion(loadings: Array) -> float:
    """Kaiser's: the variance of the squared loadings, summed over columns."""
    return float(np.square(loadings).var(axis=0).sum())


@pytest.mark.parametrize("dim", [1, 2, 10])
def test_varimax_turns_and_raises_the_criterion(dim: int) -> None:
    rows = 2500  # more than are turned together
    sparse = rng().standard_normal((rows, dim)) * (rng(1).random((rows, dim)) < 0.2)
    turn = np.linalg.qr(rng(2).standard_normal((dim, dim)))[0]
    mixed = (sparse @ turn).astype(np.float32)
    rotation = varimax(mixed, 100)
    assert rotation.dtype == np.float32 and rotation.shape == (dim, dim)
    assert np.allclose(rotation.T @ rotation, np.eye(dim), atol=1e-5)
    if dim > 1:
        assert criterion(mixed @ rotation) > 1.2 * criterion(mixed)
        assert criterion(mixed @ rotation) > 0.98 * criterion(sparse)  # the axes that had been hidden


def test_varimax_of_columns_of_zeros() -> None:
    loadings = np.pad(rng().standard_normal((40, 3)), ((0, 0), (0, 2))).astype(np.float32)
    rotation = varimax(loadings, 30)
    assert np.allclose(rotation.T @ rotation, np.eye(5), atol=1e-5)


def test_threads_change_no_bit() -> None:
    loadings = rng(3).standard_normal((4500, 20), dtype=np.float32)  # blocks of rows for several threads
    with one_blas_thread():
        one, two, many = (varimax(loadings, 8, threads=threads) for threads in (1, 2, 9))
    assert one.tobytes() == two.tobytes() == many.tobytes()
