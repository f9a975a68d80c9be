"""The rotation of factors to their sparsest axes."""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array
from sparserec_np.factorization.pruning import ROWS_AT_ONCE
from sparserec_np.machine.threads import made_in_order


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
        left, strengths, right = np.linalg.svd(gradient)
        rotation = (left @ right).astype(np.float32)
        if strengths.sum() <= before * (1 + tolerance):
            break
        before = float(strengths.sum())
    return rotation


def of_length_one(rows: Array) -> Array:
    """Divides each of ``rows`` (m, dim) float32 by its length, in place; zeros stay."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows /= np.maximum(lengths, np.float32(1e-12))[:, None]
    return rows
