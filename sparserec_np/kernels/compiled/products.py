"""Products with the matrix of interactions.

Specified by the twins in ``kernels/reference/products.py``.

The matrix is never made: its rows are read as lists of items, and a line of 16 columns is summed in
a register.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparserec_np.kernels.arguments import STRIP_COLUMNS
from sparserec_np.kernels.compiled.elementary import add_to_rows, sum_rows
from sparserec_np.kernels.doors import kernel


@kernel
def add_gram_product(indptr: Any, items: Any, weights: Any, block: Any, out: Any) -> None:
    line = np.empty(STRIP_COLUMNS, dtype=block.dtype)
    for user in range(len(weights)):
        sum_rows(block, items, indptr[user], indptr[user + 1], line)
        for c in range(STRIP_COLUMNS):
            line[c] *= weights[user]
        add_to_rows(line, items, indptr[user], indptr[user + 1], out, 0)


@kernel
def sum_items(indptr: Any, items: Any, users: Any, block: Any, first: Any, out: Any) -> None:
    for t in range(len(users)):
        own = out[t, first : first + STRIP_COLUMNS]
        sum_rows(block, items, indptr[users[t]], indptr[users[t] + 1], own)
