"""Interactions as SciPy's sparse matrices, and other people's matrices, checked when converted."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparserec_np.data.interactions import Interactions


def matrix_of_ones(log: Interactions) -> Any:
    """Makes SciPy's CSR matrix (n_users, n_items) of ones, float32, of the interactions.

    Items and bounds are the log's own arrays where they may be.
    """
    from scipy.sparse import csr_matrix

    return csr_matrix(
        (np.ones(log.n_interactions, np.float32), log.items, log.indptr), shape=(log.n_users, log.n_items)
    )


def coordinates(matrix: Any) -> Any:
    """Converts a SciPy sparse matrix, in any of its forms, to coordinate form; duplicates stay.

    SciPy converts a matrix whose bounds or column numbers lead out of its arrays by reading, and
    writing, there. They are checked first.

    Raises:
        ValueError: its bounds or its row or column numbers lead out of it.

    >>> from scipy.sparse import csr_matrix
    >>> coordinates(csr_matrix([[0, 2.0], [1.0, 0]])).row.tolist()
    [0, 1]
    """
    from scipy import sparse

    if hasattr(matrix, "check_format"):  # of the forms with bounds
        matrix.check_format(full_check=True)
    found = sparse.coo_matrix(matrix)
    for axis, numbers, size in (("row", found.row, found.shape[0]), ("column", found.col, found.shape[1])):
        if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < size:
            raise ValueError(
                f"{axis} numbers reach from {numbers.min()} to {numbers.max()}, expected 0 to {size - 1}"
            )
    return found
