"""Optimizer steps on the stored entries of touched rows.

Specified by the twins in ``kernels/reference/updates.py``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.doors import parallel

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


@parallel
def adam(table: Any, rows: Any, gradient: Any, moments: Any, rate: Any, betas: Any, epsilon: Any) -> None:
    indptr, _, values = table
    first, second, steps = moments
    beta1, beta2 = betas
    kind = values.dtype.type
    for run in numba.prange((len(rows) + RUN - 1) // RUN):
        made, scale1, scale2 = 0, kind(0), kind(0)
        for t in range(run * RUN, min(len(rows), (run + 1) * RUN)):
            row = rows[t]
            steps[row] += 1
            if steps[row] != made:  # powers take longer than an entry does, and rows often have one number
                made = steps[row]
                # In float64: 1 - beta2**t loses half its digits in float32 for the first steps.
                scale1 = kind(1 / (1 - np.float64(beta1) ** made))
                scale2 = kind(1 / (1 - np.float64(beta2) ** made))
            for k in range(np.uint64(indptr[row]), np.uint64(indptr[row + 1])):
                if gradient[k] == 0 and first[k] == 0 and second[k] == 0:
                    continue  # as of entries that are never trained: nothing would change
                first[k] = kind(beta1) * first[k] + kind(1 - beta1) * gradient[k]
                second[k] = kind(beta2) * second[k] + kind(1 - beta2) * gradient[k] * gradient[k]
                values[k] -= kind(rate) * first[k] * scale1 / (np.sqrt(second[k] * scale2) + kind(epsilon))
                gradient[k] = 0
