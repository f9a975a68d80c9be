"""Dense products that are needed at the stored entries of a table alone.

The specification of each function is its twin's in ``kernels/reference/at_entries.py``.
"""

from __future__ import annotations

from typing import Any

import numba

from sparserec_np.kernels.doors import kernel, parallel


@kernel
def add_user_rows(table: Any, indptr: Any, items: Any, users: Any, full: Any, out: Any) -> None:
    bounds, columns, _ = table
    for t in range(len(users)):
        row = full[t]
        for m in range(indptr[users[t]], indptr[users[t] + 1]):
            for k in range(bounds[items[m]], bounds[items[m] + 1]):
                out[k] += row[columns[k]]


@parallel
def add_products(table: Any, matrix: Any, out: Any) -> None:
    indptr, columns, values = table
    for row in numba.prange(len(indptr) - 1):
        for k in range(indptr[row], indptr[row + 1]):
            total = values.dtype.type(0)
            for j in range(indptr[row], indptr[row + 1]):
                total += values[j] * matrix[columns[j], columns[k]]
            out[k] += total
