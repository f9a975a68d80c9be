"""Rankers: what lists items for users, and can be evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from sparserec_np.interactions import Interactions
from sparserec_np.table import Array, SparseTable


class Ranker(Protocol):
    """What can be evaluated."""

    def rank(self, users: Array, n: int, seen: Interactions) -> tuple[Array, Array]:
        """The best items not in ``seen`` of ``users`` (m,): items (m, n), and scores (m, n), best first.

        Equal scores come in the order of the items. A list that has ended goes on with -1 and -inf.
        """
        ...


@dataclass(frozen=True)
class TableRanker:
    """Ranks by the inner products of two sparse tables.

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
        """See ``Ranker.rank``: items int32, scores of the tables' dtype. Uses the threads Numba is set to."""
        from sparserec_np.kernels.compiled.ranking import top_items  # imports Numba

        items = np.empty((len(users), n), dtype=np.int32)
        scores = np.empty((len(users), n), dtype=self.users.values.dtype)
        # Read-only or unaligned arrays, as those of a mapped file, would be compiled for anew.
        table = SparseTable(*(np.require(array, requirements=["C", "A", "W"]) for array in self.users))
        top_items(
            table,
            self.items_by_dimension,
            self.items.rows,
            seen.indptr,
            seen.items,
            np.asarray(users, dtype=np.int32),
            items,
            scores,
        )
        return items, scores


def table_ranker(stacked: SparseTable, n_users: int, dim: int) -> TableRanker:
    """Ranks by the inner products of a stacked table's user rows with its item rows."""
    return TableRanker(stacked.slice_rows(0, n_users), stacked.slice_rows(n_users, stacked.rows), dim)
