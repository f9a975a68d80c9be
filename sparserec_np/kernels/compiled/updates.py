"""Optimizer steps on the stored entries of touched rows.

Specified by the twins in ``kernels/reference/updates.py``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.doors import inner, parallel

# Rows are handed to threads in runs of this many.
RUN = 64


@parallel
def sgd(table: Any, rows: Any, gradient: Any, rate: Any) -> None:
    indptr, _, values = table
    for t in numba.prange(len(rows)):
        for k in range(indptr[rows[t]], indptr[rows[t] + 1]):
            values[k] -= rate * gradient[k]
            gradient[k] = 0


@parallel
def adagrad(table: Any, rows: Any, gradient: Any, squares: Any, rate: Any, epsilon: Any) -> None:
    indptr, _, values = table
    for t in numba.prange(len(rows)):
        for k in range(indptr[rows[t]], indptr[rows[t] + 1]):
            squares[k] += gradient[k] * gradient[k]
            values[k] -= rate * gradient[k] / (np.sqrt(squares[k]) + epsilon)
            gradient[k] = 0


@inner
def _adam(
    values: Any, gradient: Any, first: Any, second: Any, start: Any, stop: Any, keeps: Any, scales: Any
) -> None:
    old1, new1, old2, new2 = keeps
    scale1, scale2, rate, epsilon = scales
    for k in range(np.uint64(start), np.uint64(stop)):
        mean = old1 * first[k] + new1 * gradient[k]
        square = old2 * second[k] + new2 * gradient[k] * gradient[k]
        # Not "/", which looks whether it divides by 0, and so takes one entry at a time.
        values[k] -= np.divide(rate * mean * scale1, np.sqrt(square * scale2) + epsilon)
        first[k], second[k], gradient[k] = mean, square, 0


@parallel
def adam(
    table: Any,
    rows: Any,
    gradient: Any,
    moments: Any,
    rate: Any,
    betas: Any,
    epsilon: Any,
    corrections: Any,
) -> None:
    indptr, _, values = table
    first, second, steps = moments
    beta1, beta2 = betas
    kind = values.dtype.type
    keeps = kind(beta1), kind(1 - beta1), kind(beta2), kind(1 - beta2)
    for run in numba.prange((len(rows) + RUN - 1) // RUN):
        t, end = run * RUN, min(len(rows), (run + 1) * RUN)
        while t < end:
            row = rows[t]
            steps[row] += 1
            made = steps[row]
            known = min(made, len(corrections) - 1)
            t += 1
            # Rows that follow each other, of as many steps, are one stretch of entries.
            last = row
            while t < end and rows[t] == last + 1 and steps[last + 1] + 1 == made:
                last += 1
                steps[last] += 1
                t += 1
            scales = kind(corrections[known, 0]), kind(corrections[known, 1]), kind(rate), kind(epsilon)
            _adam(values, gradient, first, second, indptr[row], indptr[last + 1], keeps, scales)
