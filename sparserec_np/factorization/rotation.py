"""The rotation of factors to their sparsest axes."""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array
from sparserec_np.factorization.pruning import ROWS_AT_ONCE
from sparserec_np.machine.threads import made_in_order

WIDE = 256  # columns from which on singular values take long
LEAST_SQUARE = 1e-10  # of the largest: below it the smallest has few exact digits


def varimax(loadings: Array, iterations: int, tolerance: float = 1e-5, threads: int = 1) -> Array:
    """Finds the rotation that makes ``loadings`` (rows, dim) sparsest (Kaiser 1958).

    Returns (dim, dim) float32, orthogonal.

    Call it with one BLAS thread; the bits are then the same for any ``threads``.

    Maximises the variance of the squared loadings, column by column, by projected gradient steps: T
    becomes the orthogonal polar factor of ``L^T B^3 - L^T L T diag(mean B^2)`` with ``B = L T``, of
    which each thread makes a block of rows at a time.
    """
    rows, dim = loadings.shape
    gram = loadings.T @ loadings
    rotation = np.eye(dim, dtype=np.float32)
    blocks = [loadings[start : start + ROWS_AT_ONCE] for start in range(0, rows, ROWS_AT_ONCE)]
    before = 0.0

    def slopes(some: Array) -> tuple[Array, Array]:
        turned = some @ rotation
        powers = turned * turned
        sums = powers.sum(axis=0)
        powers *= turned
        return sums, some.T @ powers

    for _ in range(iterations):
        squares, gradient = np.zeros(dim, dtype=np.float32), np.zeros((dim, dim), dtype=np.float32)
        for sums, products in made_in_order(slopes, blocks, threads):
            squares += sums
            gradient += products
        gradient -= (gram @ rotation) * (squares / np.float32(rows))
        rotation, strength = polar_factor(gradient)
        if strength <= before * (1 + tolerance):
            break
        before = strength
    return rotation


def polar_factor(matrix: Array) -> tuple[Array, float]:
    """Finds the orthogonal matrix next to ``matrix`` (dim, dim) float32, and the sum of its singular values.

    Returns (dim, dim) float32 ``M (M'M)^-1/2``. Eigenvalues in float64 give it in half of the time
    of singular values, which are taken where the matrix is small, or too near to a singular one for
    the squares.
    """
    if len(matrix) >= WIDE:
        exact = matrix.astype(np.float64)
        squares, axes = np.linalg.eigh(exact.T @ exact)
        if squares[0] > LEAST_SQUARE * squares[-1]:
            strengths = np.sqrt(squares)
            return (((exact @ axes) / strengths) @ axes.T).astype(np.float32), float(strengths.sum())
    left, strengths, right = np.linalg.svd(matrix)
    return (left @ right).astype(np.float32), float(strengths.sum())


def of_length_one(rows: Array) -> Array:
    """Divides each of ``rows`` (m, dim) float32 by its length, in place; zeros stay."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows /= np.maximum(lengths, np.float32(1e-12))[:, None]
    return rows
