"""Pairs of items that stand once in a table, and speak both ways: as a table of all directions."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.table import Array, SparseTable, column_dtype, index_dtype


class BothWays:
    """The pairs of a table with an entry for each direction, and the way back.

    With ``q`` the value of a pair of items i and j, and ``m`` a factor for each item, the entry of
    row i in column j is ``m_j q``, and that of row j in column i ``m_i q``.

    Attributes:
        table: (n_items) rows and as many columns, which rise in each row.
        sources: (entries,) int32 or int64 where the value of each stands among those of the pairs.
        gradient: (entries,) zeros, for the gradient of the table's values.
    """

    def __init__(
        self, rows: Array, columns: Array, places: Array, n_items: int, dtype: np.dtype[Any]
    ) -> None:
        """Lays the pairs (n,) of ``rows`` and ``columns`` out, whose values stand at ``places``."""
        owners, others = np.concatenate([rows, columns]), np.concatenate([columns, rows])
        order = np.lexsort((others, owners))
        kind = index_dtype(max(len(order), int(places.max(initial=0)) + 1))
        self.sources = np.concatenate([places, places])[order].astype(kind)
        indptr = np.zeros(n_items + 1, kind)
        np.cumsum(np.bincount(owners, minlength=n_items), out=indptr[1:])
        self.gradient: Array = np.zeros(len(order), dtype)
        self.table = SparseTable(
            indptr, others[order].astype(column_dtype(max(n_items, 1))), np.zeros(len(order), dtype)
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.table.nbytes + self.sources.nbytes + self.gradient.nbytes

    def read(self, rows: Array, values: Array, factors: Array) -> SparseTable:
        """Makes ``rows`` (m,) of the pairs' ``values``, in their places, and ``factors`` (n_items,).

        Returns the table, whose other rows are as they were.
        """
        kernels.fism.spread_pairs(self.table, rows, self.sources, values, factors)
        return self.table

    def pull(self, rows: Array, values: Array, factors: Array, active: Array) -> Array:
        """Adds the gradient of ``rows`` (m,) to that of the pairs, ``active``, and sets it to zero.

        Returns the gradient by the factors, (n_items,).
        """
        of_factors = np.zeros_like(factors)
        kernels.fism.gather_pairs(
            self.table, rows, self.sources, self.gradient, values, factors, active, of_factors
        )
        return of_factors
