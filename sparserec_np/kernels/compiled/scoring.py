"""Forward scoring over CSR.

The specification of each function is its twin's in ``kernels/reference/scoring.py``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.doors import parallel

# Groups are handed to threads in runs of this many, so that a run's scratch row is allocated once.
RUN = 64


@parallel
def score_pairs(table: Any, rows: Any, starts: Any, partners: Any, scores: Any) -> None:
    indptr, columns, values = table
    groups = len(rows)
    for run in numba.prange((groups + RUN - 1) // RUN):
        scratch = np.zeros(65_536 if columns.itemsize > 1 else 256, dtype=values.dtype)
        for g in range(run * RUN, min(groups, (run + 1) * RUN)):
            first, last = indptr[rows[g]], indptr[rows[g] + 1]
            for k in range(first, last):
                scratch[columns[k]] = values[k]
            for m in range(starts[g], starts[g + 1]):
                total = values.dtype.type(0)
                for k in range(indptr[partners[m]], indptr[partners[m] + 1]):
                    total += scratch[columns[k]] * values[k]
                scores[m] = total
            for k in range(first, last):
                scratch[columns[k]] = 0


@parallel
def fill_block(table: Any, rows: Any, block: Any) -> None:
    indptr, columns, values = table
    for c in numba.prange(block.shape[0]):
        block[c, :] = 0
    for s in range(len(rows)):
        for k in range(indptr[rows[s]], indptr[rows[s] + 1]):
            block[columns[k], s] = values[k]


@parallel
def score_block(table: Any, rows: Any, block: Any, scores: Any) -> None:
    indptr, columns, values = table
    size = block.shape[1]
    for g in numba.prange(len(rows)):
        out = scores[g]
        out[:] = 0
        for k in range(indptr[rows[g]], indptr[rows[g] + 1]):
            value = values[k]
            source = block[columns[k]]
            for s in range(size):
                out[s] += value * source[s]
