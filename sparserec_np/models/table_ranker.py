"""The ranker of models whose scores are inner products of two sparse tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable


@dataclass(frozen=True)
class TableRanker:
    """A ranker by the inner products of two sparse tables.

    Attributes:
        users: (n_users, dim)
        items: (n_items, dim)
        dim: number of columns of both.
    """

    users: SparseTable
    items: SparseTable
    dim: int

    @cached_property
    def items_by_dimension(self) -> SparseTable:
        """The items' entries listed by dimension."""
        return self.items.by_column(self.dim)

    def rank(self, users: Array, n: int, seen: Interactions) -> tuple[Array, Array]:
        """Ranks as ``Ranker.rank`` says, on the threads that Numba is set to.

        Items are int32, scores of the tables' dtype.
        """
        items = np.empty((len(users), n), dtype=np.int32)
        scores = np.empty((len(users), n), dtype=self.users.values.dtype)
        # Read-only or unaligned arrays, as those of a mapped file, would be compiled for anew.
        table = SparseTable(*(np.require(array, requirements=["C", "A", "W"]) for array in self.users))
        kernels.ranking.top_items(
            table,
            self.items_by_dimension,
            self.items.rows,
            seen.hidden.indptr,
            seen.hidden.items,
            np.asarray(users, dtype=np.int32),
            items,
            scores,
        )
        return items, scores

    def item_rows(self) -> SparseTable:
        """Returns the items' rows, as they are multiplied."""
        return self.items


def table_ranker(stacked: SparseTable, n_users: int, dim: int) -> TableRanker:
    """Makes a ranker of a stacked table: by the products of user rows with item rows."""
    return TableRanker(stacked.slice_rows(0, n_users), stacked.slice_rows(n_users, stacked.rows), dim)
