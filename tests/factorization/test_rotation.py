"""The rotation to the sparsest axes."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.factorization.rotation import WIDE, polar_factor, varimax
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


@pytest.mark.parametrize("dim", [3, WIDE - 1, WIDE, WIDE + 40])
@pytest.mark.parametrize("least", [1e-4, 1e-7, 0.0])
def test_the_polar_factor_is_that_of_the_singular_values(dim: int, least: float) -> None:
    left, right = (np.linalg.qr(rng(seed).standard_normal((dim, dim)))[0] for seed in (4, 5))
    strengths = np.geomspace(1, 1e-4, dim)
    strengths[-1] = least
    matrix = ((left * strengths) @ right).astype(np.float32)
    found, strength = polar_factor(matrix)
    assert found.dtype == np.float32
    assert np.allclose(found.T @ found, np.eye(dim), atol=1e-5)
    assert strength == pytest.approx(strengths.sum(), rel=1e-5)
    # What it leaves of the matrix is symmetric with no eigenvalue below zero.
    rest = found.T.astype(np.float64) @ matrix
    assert np.allclose(rest, rest.T, atol=1e-6)
    assert np.linalg.eigvalsh((rest + rest.T) / 2)[0] > -1e-6
