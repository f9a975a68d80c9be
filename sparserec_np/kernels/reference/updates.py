"""Optimizer steps on the stored entries of touched rows, in plain NumPy.

The specification of ``kernels.compiled.updates``.

All steps are lazy: entries of rows that are not named keep their values, their gradient and their
state. Of a row that is named, every stored entry makes a step, also one whose gradient is 0.
``rows`` (t,) int32 name no row twice. All floats have the dtype of ``table.values``, float32 or
float64, unless said otherwise.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array, SparseTable


def sgd(table: SparseTable, rows: Array, gradient: Array, rate: float) -> None:
    """Steps by stochastic gradient descent: ``x <- x - rate * g``.

    Args:
        table: values of ``rows`` are changed in place.
        rows: (t,) int32, none twice.
        gradient: (nnz,) g; set to 0 in ``rows``.
        rate: step length, a scalar of the values' dtype.
    """
    for row in rows:
        own = slice(table.indptr[row], table.indptr[row + 1])
        table.values[own] -= rate * gradient[own]
        gradient[own] = 0


def adagrad(
    table: SparseTable, rows: Array, gradient: Array, squares: Array, rate: float, epsilon: float
) -> None:
    """Steps by Adagrad (Duchi et al. 2011).

    ``s <- s + g^2``, then ``x <- x - rate * g / (sqrt(s) + epsilon)``.

    Args:
        table: values of ``rows`` are changed in place.
        rows: (t,) int32, none twice.
        gradient: (nnz,) g; set to 0 in ``rows``.
        squares: (nnz,) s >= 0; changed in place.
        rate: step length, a scalar of the values' dtype.
        epsilon: > 0, a scalar of the values' dtype.
    """
    for row in rows:
        own = slice(table.indptr[row], table.indptr[row + 1])
        squares[own] += gradient[own] ** 2
        table.values[own] -= rate * gradient[own] / (np.sqrt(squares[own]) + epsilon)
        gradient[own] = 0


def adam(
    table: SparseTable,
    rows: Array,
    gradient: Array,
    moments: tuple[Array, Array, Array],
    rate: float,
    betas: tuple[float, float],
    epsilon: float,
    corrections: Array,
) -> None:
    """Steps by Adam (Kingma and Ba 2015).

    A step count for each row instead of one for all is our choice.

    ``t <- t + 1``, ``m <- b1 m + (1 - b1) g``, ``v <- b2 v + (1 - b2) g^2``, then ``x <- x - rate *
    m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon)``. The quotients of 1 by the powers
    are given, as a power takes longer than an entry.

    Args:
        table: values of ``rows`` are changed in place.
        rows: (t,) int32, none twice.
        gradient: (nnz,) g; set to 0 in ``rows``.
        moments: (m, v, t): m and v >= 0 are (nnz,), t is (table.rows,) int32; all changed in place
            for ``rows``.
        rate: step length, a Python float.
        betas: (b1, b2), Python floats from 0 to below 1.
        epsilon: > 0, a Python float.
        corrections: (n, 2) float64, ``1 / (1 - b1^t)`` and ``1 / (1 - b2^t)`` in row t; the last
            row, of which both are 1, stands for all t behind it, and row 0 for none.
    """
    first, second, steps = moments
    beta1, beta2 = betas
    for row in rows:
        own = slice(table.indptr[row], table.indptr[row + 1])
        steps[row] += 1
        first[own] = beta1 * first[own] + (1 - beta1) * gradient[own]
        second[own] = beta2 * second[own] + (1 - beta2) * gradient[own] ** 2
        scale1, scale2 = corrections[min(int(steps[row]), len(corrections) - 1)]
        mean = first[own] * table.values.dtype.type(scale1)
        square = second[own] * table.values.dtype.type(scale2)
        table.values[own] -= rate * mean / (np.sqrt(square) + epsilon)
        gradient[own] = 0
