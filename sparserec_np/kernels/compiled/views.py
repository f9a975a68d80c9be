"""Rows read at another length.

The specification of each function is its twin's in ``kernels/reference/views.py``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.doors import parallel


@parallel
def unit_rows(table: Any, rows: Any, length: Any, lengths: Any, unit: Any) -> None:
    indptr, _, values = table
    kind = values.dtype.type
    for t in numba.prange(len(rows)):
        row = rows[t]
        square = kind(0)
        for k in range(indptr[row], indptr[row + 1]):
            square += values[k] * values[k]
        lengths[t] = np.sqrt(square)
        factor = length / lengths[t] if lengths[t] > 0 else kind(0)
        for k in range(indptr[row], indptr[row + 1]):
            unit[k] = values[k] * factor


@parallel
def unit_gradients(unit: Any, rows: Any, length: Any, lengths: Any, gradient: Any) -> None:
    indptr, _, values = unit
    kind = values.dtype.type
    for t in numba.prange(len(rows)):
        row = rows[t]
        along = kind(0)
        for k in range(indptr[row], indptr[row + 1]):
            along += gradient[k] * values[k]
        factor = length / lengths[t] if lengths[t] > 0 else kind(0)
        along /= length * length
        for k in range(indptr[row], indptr[row + 1]):
            gradient[k] = factor * (gradient[k] - along * values[k])
