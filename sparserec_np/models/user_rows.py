"""Ways to make a user's row of the rows of the items they touched, by name in :data:`USER_ROWS`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable, column_dtype, index_dtype
from sparserec_np.runtime import RidgeTerms, Table, ridge_terms, row_entries


class UserRows(Protocol):
    """A way to make users' rows, as lists are made with them."""

    def made_by(self, items: SparseTable, dim: int) -> RowMaker:
        """Gets ready to make rows of ``items`` (n_items, dim), which stay as they are meanwhile."""
        ...


class RowMaker(Protocol):
    """A way to make users' rows, with all that depends on the items alone."""

    def rows_of(self, users: Array, log: Interactions) -> SparseTable:
        """Makes the rows of ``users`` (m,) int32 of what they touched in ``log``: m rows, float32."""
        ...


@dataclass(frozen=True)
class SumOfRows:
    """Rows that are weighted sums of the touched ones, of which the largest entries are kept.

    Attributes:
        weights: (n_items,) the numbers ``c``.
        row_entries: of a user's row, those of largest magnitude, of equals the lower column; None
            for as many as :func:`~sparserec_np.runtime.row_entries` says.
    """

    weights: Array
    row_entries: int | None = None

    summary: ClassVar[str] = "the sum of the touched items' rows, each times a number of the item's"
    trained: ClassVar[bool] = True
    item_bytes: ClassVar[int] = 4  # beside its row, in the model file

    def made_by(self, items: SparseTable, dim: int) -> RowMaker:
        """Gets ready to make rows; see :class:`UserRows`."""
        return _Sums(self, items, dim)


@dataclass(frozen=True)
class _Sums:
    """The sums of rows of a table."""

    kind: SumOfRows
    items: SparseTable
    dim: int

    def rows_of(self, users: Array, log: Interactions) -> SparseTable:
        full = full_rows(self.items, self.kind.weights, log, users, self.dim)
        return cut_rows(full, self.kind.row_entries or row_entries(self.dim))


@dataclass(frozen=True)
class RidgeSolve:
    """Rows that least squares give: near 1 on what was touched, near 0 elsewhere, and short.

    See :func:`~sparserec_np.runtime.solved_row`, of which this is the compiled form.

    Attributes:
        untouched: weight of an item that was not touched, against 1 of one that was.
        ridge: weight of the row's own length, in parts of the items' mean squared length.
        row_entries: the most that a user's row has; None as for sums.
    """

    untouched: float
    ridge: float
    row_entries: int | None = None

    summary: ClassVar[str] = "solved for by ridge regression, as in folding in; not trained further"
    trained: ClassVar[bool] = False
    item_bytes: ClassVar[int] = 0

    def made_by(self, items: SparseTable, dim: int) -> RowMaker:
        """Gets ready to make rows; see :class:`UserRows`.

        Memory: (dim, dim) float64 at most.
        """
        terms = ridge_terms(Table(*items), dim, self.untouched, self.ridge)
        # Read-only arrays, as those of a mapped file, would be compiled for anew.
        table = SparseTable(*(np.require(array, requirements=["C", "A", "W"]) for array in items))
        return _Solutions(table, terms, min(self.row_entries or row_entries(dim), dim))


@dataclass(frozen=True)
class _Solutions:
    """The solutions from rows of a table."""

    items: SparseTable
    terms: RidgeTerms
    most: int

    def rows_of(self, users: Array, log: Interactions) -> SparseTable:
        columns = np.empty((len(users), self.most), np.int32)
        values = np.empty(columns.shape, np.float32)
        counts = np.empty(len(users), np.int32)
        kernels.ridge.solve_users(
            self.items, *self.terms, log.indptr, log.items, users, columns, values, counts
        )
        there = np.arange(self.most) < counts[:, None]
        indptr = np.zeros(len(users) + 1, index_dtype(int(counts.sum())))
        np.cumsum(counts, out=indptr[1:])
        return SparseTable(indptr, columns[there].astype(column_dtype(len(self.terms.places))), values[there])


# What --user-rows names.
USER_ROWS: dict[str, type[SumOfRows] | type[RidgeSolve]] = {"sum": SumOfRows, "ridge": RidgeSolve}


def full_rows(table: SparseTable, weights: Array, log: Interactions, users: Array, dim: int) -> Array:
    """Makes every entry of the sums of ``users`` (m,) int32: (m, dim) of the table's dtype."""
    rows = np.empty((len(users), dim), dtype=table.values.dtype)
    kernels.fism.sum_rows(table, weights, log.indptr, log.items, users, rows)
    return rows


def cut_rows(full: Array, entries: int) -> SparseTable:
    """Keeps the ``entries`` entries of largest magnitude of each of ``full`` (m, dim); of equals the lower column.

    >>> cut_rows(np.array([[1.0, -3.0, 0.0, 2.0], [0.0, 0.0, 0.0, 1.0]]), 2).to_dense(4).tolist()
    [[0.0, -3.0, 0.0, 2.0], [0.0, 0.0, 0.0, 1.0]]
    """
    keep = full != 0
    if full.shape[1] > entries:
        best = np.argsort(-np.abs(full), axis=1, kind="stable")[:, :entries]
        kept = np.zeros_like(keep)
        np.put_along_axis(kept, best, True, axis=1)
        keep &= kept
    return SparseTable.from_dense(full, keep)
