"""Rows read at another length, in plain NumPy: the specification of ``kernels.compiled.views``.

``rows`` (t,) int32 name no row twice; only their entries are read and written. All floats have the
dtype of the table's values, float32 or float64.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array, SparseTable


def unit_rows(table: SparseTable, rows: Array, length: float, lengths: Array, unit: Array) -> None:
    """Brings rows to one length: ``unit = length * row / |row|``. A row of zeros stays one.

    Args:
        table: read only.
        rows: (t,) int32, none twice.
        length: > 0, a scalar of the values' dtype.
        lengths: (t,) overwritten with ``|row|``.
        unit: (nnz,) overwritten at the entries of ``rows``.
    """
    for t, row in enumerate(rows):
        own = slice(table.indptr[row], table.indptr[row + 1])
        lengths[t] = np.sqrt((table.values[own] ** 2).sum())
        unit[own] = table.values[own] * (length / lengths[t] if lengths[t] > 0 else 0)


def unit_gradients(unit: SparseTable, rows: Array, length: float, lengths: Array, gradient: Array) -> None:
    """Takes the gradient by what :func:`unit_rows` made back to that by the rows themselves.

    With ``h = unit / length`` of length 1: ``d = length / |row| * (g - (g . h) h)``, and 0 for a
    row of zeros. The inner product needs the stored entries alone, ``h`` being 0 elsewhere; for an
    entry that is not stored, ``d = length / |row| * g``.

    Args:
        unit: the table with the values that :func:`unit_rows` made.
        rows, length, lengths: as they were there.
        gradient: (nnz,) g; overwritten with d at the entries of ``rows``.
    """
    for t, row in enumerate(rows):
        own = slice(unit.indptr[row], unit.indptr[row + 1])
        along = (gradient[own] * unit.values[own]).sum() / length**2
        factor = length / lengths[t] if lengths[t] > 0 else 0
        gradient[own] = factor * (gradient[own] - along * unit.values[own])
