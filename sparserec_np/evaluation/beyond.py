"""Figures of lists beyond accuracy: how well known, how alike and how unevenly spread their items are.

Lists are ``top`` (m, length) item numbers, best first, -1 where a list has ended. Only the first k
places count. A figure of a user's list is a mean over the items that are there, and NaN where there
are none; means over users leave such lists out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparserec_np.data.interactions import Interactions, positions_of
from sparserec_np.data.table import Array, SparseTable

LISTS_AT_ONCE = 512  # whose item rows are gathered together
SUMS_AT_ONCE = 1 << 20  # entries of their sums, every column of which exists: 8 MB


@dataclass(frozen=True)
class Catalogue:
    """What is known of the items that lists are made of.

    Attributes:
        item_ids: (n_items,) outside ids, sorted.
        touched_by: (n_items,) how many users touched each item in training.
        users: how many users touched anything.
        rows: (n_items, any columns) the items' rows, float64, each divided by its length, those
            without entries empty; None where nothing describes the items.
    """

    item_ids: Array
    touched_by: Array
    users: int
    rows: SparseTable | None = None

    @classmethod
    def of(cls, seen: Interactions, rows: SparseTable | None = None) -> Catalogue:
        """Counts who touched what in ``seen``.

        ``rows`` (n_items, any columns) are what items are compared by, if anything.
        """
        unit = None if rows is None else _unit_rows(rows)
        return cls(seen.item_ids, seen.item_degrees, int(np.count_nonzero(seen.user_degrees)), unit)

    def aligned_to(self, item_ids: Array) -> Catalogue:
        """Tells the same of other items, by their outside ids.

        Of an item that is not in the catalogue nothing is known: nobody touched it, and its row is
        empty.
        """
        if np.array_equal(item_ids, self.item_ids):
            return self
        places = positions_of(item_ids, self.item_ids)
        known = places >= 0
        touched_by = np.where(known, self.touched_by[places], 0)
        rows = None if self.rows is None else _rows_at(self.rows, places)
        return Catalogue(item_ids, touched_by, self.users, rows)

    def measure(self, top: Array, k: int) -> dict[str, Array]:
        """Computes the figures of lists by name, (m,) float64 each.

        Similarity is left out where nothing describes the items.
        """
        figures = {
            "novelty": novelty(top, self.touched_by, self.users, k),
            "mean_popularity": mean_popularity(top, self.touched_by, k),
        }
        if self.rows is not None:
            figures["intra_list_similarity"] = intra_list_similarity(top, self.rows, k)
        return figures


def _unit_rows(table: SparseTable) -> SparseTable:
    """Divides each row by its length, in float64; rows of zeros lose their entries."""
    values, rows = table.values.astype(np.float64), table.row_numbers()
    lengths = np.sqrt(np.bincount(rows, values**2, minlength=table.rows))
    kept = lengths[rows] > 0
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[kept], minlength=table.rows))])
    return SparseTable(indptr, table.columns[kept], values[kept] / lengths[rows[kept]])


def _rows_at(table: SparseTable, places: Array) -> SparseTable:
    """Returns the rows at ``places`` (n,); a place below 0 gives an empty row."""
    lengths = np.where(places >= 0, np.diff(table.indptr)[places], 0)
    found = table.places(places[places >= 0])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return SparseTable(indptr, table.columns[found], table.values[found])


def _mean_in_lists(numbers: Array, top: Array, k: int) -> Array:
    """Computes the mean of the items' ``numbers`` (n_items,) over the first k places, (m,) float64."""
    first = top[:, :k]
    there = first >= 0
    count = there.sum(axis=1)
    total = np.where(there, numbers[first], 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def novelty(top: Array, touched_by: Array, users: int, k: int) -> Array:
    """Computes the mean self-information of the items of each list, in bits.

    That of item i is ``-log2(touched_by_i / users)``, the share of users who touched it in training
    (Zhou et al. 2010). An item nobody touched counts as if one user had.

    >>> novelty(np.array([[0, 1], [2, -1]]), np.array([8, 2, 0]), 8, 2)
    array([1., 3.])
    """
    shares = np.maximum(touched_by, 1) / max(users, 1)
    return _mean_in_lists(-np.log2(shares), top, k)


def mean_popularity(top: Array, touched_by: Array, k: int) -> Array:
    """Computes the mean number of users who touched the items of each list in training.

    RecBole calls it average popularity.

    >>> mean_popularity(np.array([[0, 1], [2, -1]]), np.array([8, 2, 0]), 2)
    array([5., 0.])
    """
    return _mean_in_lists(touched_by, top, k)


def intra_list_similarity(top: Array, rows: SparseTable, k: int) -> Array:
    """Computes the mean cosine of all pairs of items of each list (Ziegler et al. 2005).

    With unit rows ``u_i`` and L items in the list, that is ``(|sum u_i|^2 - L) / (L (L - 1))``; an
    item without a row has cosine 0 with all others. Where there are fewer than two items there is
    no pair, and the result is NaN. Memory: the rows of some lists, and their sums.

    Args:
        top: (m, length) lists.
        rows: (n_items, any columns) of rows of length 1, or empty ones.
        k: only the first k places count.

    >>> rows = SparseTable.from_dense(np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))
    >>> intra_list_similarity(np.array([[0, 1, 2], [0, 1, -1], [2, -1, -1]]), rows, 3).round(4)
    array([0.4667, 0.6   ,    nan])
    """
    columns = int(rows.columns.max(initial=0)) + 1
    block = max(1, min(LISTS_AT_ONCE, SUMS_AT_ONCE // columns))
    blocks = (top[start : start + block, :k] for start in range(0, len(top), block))
    return np.concatenate([np.zeros(0), *(_similarity(first, rows, columns) for first in blocks)])


def _similarity(top: Array, rows: SparseTable, columns: int) -> Array:
    """Computes the same for a few lists (m, k), of rows of so many columns."""
    there = top >= 0
    items, owners = top[there], np.nonzero(there)[0]
    lengths = rows.indptr[items + 1] - rows.indptr[items]
    found = rows.places(items)
    keys = np.repeat(owners, lengths) * columns + rows.columns[found]
    sums = np.bincount(keys, rows.values[found], minlength=len(top) * columns).reshape(len(top), columns)
    described = np.bincount(owners[lengths > 0], minlength=len(top))
    count = there.sum(axis=1)
    pairs = count * (count - 1)
    return np.where(pairs > 0, ((sums**2).sum(axis=1) - described) / np.maximum(pairs, 1), np.nan)


def gini(counts: Array) -> float:
    """Computes the Gini coefficient of how often each item of the catalogue is recommended.

    With counts ``x_1 <= ... <= x_n`` it is ``sum (2 i - n - 1) x_i / (n sum x)``: 0 where all items
    are recommended equally often, ``1 - 1 / n`` where one item is all that is. NaN without any.

    Args:
        counts: (n,) of each item, those that are in no list included.

    >>> gini(np.array([3, 3, 3])), gini(np.array([0, 0, 0, 9]))
    (0.0, 0.75)
    """
    ordered, n = np.sort(counts), len(counts)
    total = int(ordered.sum())
    if not total:
        return float("nan")
    return float(((2 * np.arange(1, n + 1) - n - 1) * ordered).sum() / (n * total))


def count_items(top: Array, n_items: int, k: int) -> Array:
    """Counts in how many of the lists each item of the catalogue is, (n_items,) int64.

    >>> count_items(np.array([[2, 0], [0, -1]]), 4, 2)
    array([2, 0, 1, 0])
    """
    first = top[:, :k]
    return np.bincount(first[first >= 0], minlength=n_items)
