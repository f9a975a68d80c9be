"""The start of two parts: rows of items, and beside them each item's strongest neighbours.

Few columns say what whole groups of items have in common, and nothing of two items that the same
few users have. Neighbours say just that, a pair an entry. Both together rank better than either for
all of the budget, by 7 percent of the NDCG@20 on Gowalla. Our choice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable, column_dtype, index_dtype
from sparserec_np.errors import ConfigError
from sparserec_np.factorization.co_occurrence import Nearness, Pairs, ranked_pairs
from sparserec_np.factorization.own_share import OwnShareFit
from sparserec_np.machine.memory import give_back_freed
from sparserec_np.runtime import MOST_COLUMNS
from sparserec_np.starts.items import FittedItems, ItemWishes, SpectralItems
from sparserec_np.starts.shelf import NO_SHELF, Shelf

NEIGHBOUR_SHARE = 0.5
NEIGHBOUR_WEIGHT = 3.0
NEIGHBOUR_POPULARITY = 0.125


@dataclass(frozen=True)
class NeighbourItems:
    """Rows of a few columns, and a column for each item that holds what it says of others.

    The table has ``dim`` columns of spectral rows, fitted to the interactions, and one more for
    each item: column ``dim + j`` holds in row i what items i and j say of each other, once, i being
    the higher item (:func:`~sparserec_np.factorization.co_occurrence.strongest_pairs`). How that is
    read says :class:`~sparserec_np.models.user_rows.SumAndItems`.

    To who touched item j, a pair says ``weight c_ij (d_i / d)^popularity`` of item i, d_i being the
    number of its users, and d the mean of that. Marks have their part of it, ``d_j^-popularity``,
    so ``weight c_ij (d_i d_j / d)^popularity`` is stored. GF-CF (Shen et al. 2021) has a weight of
    1 / 0.3.

    Attributes:
        first: makes the rows of the first columns.
        weight: how much neighbours say beside the rows.
        popularity: how much more they say of an item that many users have; one of
            :data:`~sparserec_np.runtime.MARK_POWERS`.
        nearness: how much more is said of what a user touched one soon after the other, where the
            log has times; None for no more.
        share: of the budget, for neighbours. Where there are fewer pairs, the rest goes to rows.
        shelf: where both parts are looked for.
    """

    first: SpectralItems | FittedItems = FittedItems(fit=OwnShareFit(steps=6))
    weight: float = NEIGHBOUR_WEIGHT
    popularity: float = NEIGHBOUR_POPULARITY
    nearness: Nearness | None = Nearness()
    share: float = NEIGHBOUR_SHARE
    shelf: Shelf = field(default=NO_SHELF, compare=False)
    from_data: bool = True

    user_rows: ClassVar[str] = "neighbours"

    def fitted_to(self, wishes: ItemWishes) -> NeighbourItems:
        """Returns the start whose neighbours say as much as is asked for."""
        asked: dict[str, Any] = {
            "share": wishes.neighbour_share,
            "weight": wishes.neighbour_weight,
            "popularity": wishes.neighbour_popularity,
        }
        return replace(self, **{name: value for name, value in asked.items() if value is not None})

    def looking_in(self, shelf: Shelf) -> NeighbourItems:
        """Returns the start that looks there for both parts."""
        return replace(self, shelf=shelf, first=self.first.looking_in(shelf))

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes a table of ``log.n_items`` rows; see :class:`~sparserec_np.starts.start.Start`.

        Raises ConfigError for more columns than a table can have.
        """
        columns = dim + log.n_items
        if columns > MOST_COLUMNS:
            raise ConfigError(
                f"The start neighbours needs a column for each item beside the {dim:,}, {MOST_COLUMNS:,} in all; found"
                f" {log.n_items:,} items: set start to spectral, or leave out rare items"
            )
        # Where the rows are full, neighbours get what is left.
        most = max(round(self.share * nnz), nnz - dim * log.n_items)
        pairs = self.shelf.pairs(self.nearness, most, lambda count: ranked_pairs(log, count, self.nearness))
        told = told_of_items(log, self.weight, self.popularity)
        pairs.values[:] *= told[pairs.items] * told[pairs.others]
        give_back_freed()
        rows = self.first(log, dim, nnz - len(pairs.items), rng, threads)
        return _beside(rows, pairs, dim)


def told_of_items(log: Interactions, weight: float, popularity: float) -> Array:
    """Says what a pair is multiplied by for each of its two items: (n_items,) float32."""
    degrees = np.maximum(log.item_degrees, 1).astype(np.float64)
    numbers: Array = (np.sqrt(weight) * (degrees / np.sqrt(degrees.mean())) ** popularity).astype(np.float32)
    return numbers


def told_anew(table: SparseTable, dim: int, told: Array) -> SparseTable:
    """Multiplies each pair of a table by a number for each of its two items, (n_items,)."""
    values, pairs = table.values.copy(), table.columns >= dim
    values[pairs] *= told[table.row_numbers()[pairs]] * told[table.columns[pairs] - dim]
    return table._replace(values=values)


def _beside(rows: SparseTable, pairs: Pairs, dim: int) -> SparseTable:
    """Puts pairs into the columns behind those of ``rows`` (n_items, dim)."""
    kind = column_dtype(dim + rows.rows)
    owners = np.concatenate([rows.row_numbers(), pairs.items])
    order = np.argsort(owners, kind="stable")  # of each row first its own columns, then its pairs
    columns = np.concatenate([rows.columns.astype(kind), (pairs.others + dim).astype(kind)])
    values = np.concatenate([rows.values, pairs.values])
    indptr = np.zeros(rows.rows + 1, index_dtype(len(values)))
    np.cumsum(np.bincount(owners, minlength=rows.rows), out=indptr[1:])
    return SparseTable(indptr, columns[order], values[order])
