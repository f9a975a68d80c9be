"""The way from the factors of a factorisation to a sparse table: the largest entries of both sides.

A factorisation hands over its factors in row blocks: a user's row is pruned as soon as it is made,
and no (users, dim) array exists.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.factorization.largest_entries import LargestEntries, keys_with_floor, table_of

ROWS_AT_ONCE = 1024  # that are made, turned or cubed together: they stay in the cache

RowsBetween = Callable[[int, int], Array]  # rows start to stop of one side, (stop - start, dim) float32


class Factors(NamedTuple):
    """User and item factors that are made in row blocks, each time they are asked for.

    Attributes:
        users, items: what makes the factors of some rows.
        n_users, n_items: the number of rows of each.
    """

    users: RowsBetween
    items: RowsBetween
    n_users: int
    n_items: int


def balance(factors: Factors) -> float:
    """Finds the number to multiply items by for equal sums of squares on both sides.

    1 where one has none.

    To multiply them changes no list, but it changes which entries of all are the largest.
    """
    users, items, n_users, n_items = factors
    own, theirs = (
        sum(float(np.square(some(*block), dtype=np.float64).sum()) for block in row_ranges(rows))
        for some, rows in ((users, n_users), (items, n_items))
    )
    return float(np.float32(np.sqrt(own / theirs))) if own > 0 and theirs > 0 else 1.0


def prune_factors(factors: Factors, nnz: int, floor: int, scale: float = 1) -> SparseTable:
    """Makes the stacked table of the ``nnz`` largest magnitudes among all factors, users first.

    Args:
        factors: asked for once, block by block.
        nnz: entries of the table.
        floor: entries that every row keeps, where the budget allows it.
        scale: what items are multiplied by before all are compared.

    Memory: a block of factors, and what is kept.
    """
    users, items, n_users, n_items = factors
    parts = (
        (np.arange(first + start, first + stop), some(start, stop) * factor)
        for some, first, count, factor in ((users, 0, n_users, 1), (items, n_users, n_items, scale))
        for start, stop in row_ranges(count)
    )
    begin = next(parts)
    dim = begin[1].shape[1]
    if nnz == (n_users + n_items) * dim:  # nothing to choose
        return SparseTable.full(np.concatenate([begin[1], *(values for _, values in parts)]))
    floor = min(floor, nnz // (n_users + n_items))
    best = LargestEntries(nnz)
    for rows, values in itertools.chain([begin], parts):
        best.offer(rows, values, keys_with_floor(np.abs(values), floor))
    return table_of(*best.take(), n_users + n_items, dim)


def row_ranges(rows: int) -> list[tuple[int, int]]:
    """Divides rows into ranges ``start, stop`` of ``ROWS_AT_ONCE``, the last of what is left."""
    return [(start, min(start + ROWS_AT_ONCE, rows)) for start in range(0, rows, ROWS_AT_ONCE)]


def strongest_first(table: SparseTable, dim: int) -> SparseTable:
    """Reorders the columns of a table by falling sum of squares, of equals the lower first.

    >>> table = SparseTable.from_dense(np.array([[1.0, 0, 3.0], [0, 2.0, 0]]))
    >>> strongest_first(table, 3).to_dense(3).tolist()
    [[3.0, 0.0, 1.0], [0.0, 2.0, 0.0]]
    """
    squares = np.bincount(table.columns, table.values.astype(np.float64) ** 2, minlength=dim)
    place = np.empty(dim, dtype=table.columns.dtype)
    place[np.argsort(-squares, kind="stable")] = np.arange(dim)
    columns = place[table.columns]
    order = np.lexsort((columns, table.row_numbers()))
    return SparseTable(table.indptr, columns[order], table.values[order])


def widened(factors: Array, dim: int) -> Array:
    """Adds columns of zeros to ``factors`` up to ``dim``, where the data have a lower rank."""
    return factors if factors.shape[1] == dim else np.pad(factors, ((0, 0), (0, dim - factors.shape[1])))
