"""The rotation of factors to their sparsest axes."""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array
from sparserec_np.factorization.pruning import ROWS_AT_ONCE


def varimax(loadings: Array, iterations: int, tolerance: float = 1e-5) -> Array:
    """Finds the rotation that makes ``loadings`` (rows, dim) sparsest (Kaiser 1958).

    Returns (dim, dim) float32, orthogonal.

    Maximises the variance of the squared loadings, column by column, by projected gradient steps: T
    becomes the orthogonal polar factor of ``L^T B^3 - L^T L T diag(mean B^2)`` with ``B = L T``, of
    which a block of rows is made at a time.
    """
    rows, dim = loadings.shape
    gram = loadings.T @ loadings
    rotation = np.eye(dim, dtype=np.float32)
    turned, cubes = (np.empty((min(ROWS_AT_ONCE, rows), dim), dtype=np.float32) for _ in range(2))
    before = 0.0
    for _ in range(iterations):
        squares, gradient = np.zeros(dim, dtype=np.float32), np.zeros((dim, dim), dtype=np.float32)
        for start in range(0, rows, ROWS_AT_ONCE):
            some = loadings[start : start + ROWS_AT_ONCE]
            b = np.matmul(some, rotation, out=turned[: len(some)])
            powers = np.multiply(b, b, out=cubes[: len(some)])
            squares += powers.sum(axis=0)
            powers *= b
            gradient += some.T @ powers
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
