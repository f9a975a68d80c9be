"""SparseTable: an embedding table in compressed sparse row form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def column_dtype(dim: int) -> np.dtype[Any]:
    """Returns the narrowest dtype for column numbers below ``dim``: uint8 up to 256, else uint16.

    ``dim`` may be up to 65,536.
    """
    if not 1 <= dim <= 65_536:
        raise ValueError(f"dim must be between 1 and 65,536, not {dim}")
    return np.dtype(np.uint8 if dim <= 256 else np.uint16)


def index_dtype(nnz: int) -> np.dtype[Any]:
    """Returns the dtype of ``indptr``: int32 while ``nnz`` fits, int64 beyond."""
    return np.dtype(np.int32 if nnz <= np.iinfo(np.int32).max else np.int64)


def row_blocks(indptr: Array, most: int, rows: int | None = None) -> Iterator[tuple[int, int]]:
    """Yields all rows as ranges ``first, last`` of at most ``most`` entries and ``rows`` rows each.

    A range of one row may hold more entries.

    Args:
        indptr: (n + 1,) integers, where rows begin, in compressed sparse row form.
        most: 1 or more.
        rows: 1 or more; by default any number.

    >>> list(row_blocks(np.array([0, 2, 3, 9, 9, 10]), 3)), list(row_blocks(np.array([0, 1, 2, 3]), 9, rows=2))
    ([(0, 2), (2, 3), (3, 5)], [(0, 2), (2, 3)])
    """
    end, first = len(indptr) - 1, 0
    while first < end:
        # Of the bounds' own type, or all of them would be converted for each block.
        limit = indptr.dtype.type(min(int(indptr[first]) + most, int(indptr[-1])))
        reach = int(np.searchsorted(indptr, limit, side="right")) - 1
        last = max(first + 1, min(reach, first + (rows or end)))
        yield first, last
        first = last


class SparseTable(NamedTuple):
    """An embedding table that stores its active entries only.

    Row ``r`` holds ``values[indptr[r]:indptr[r + 1]]`` in the columns ``columns[indptr[r]:indptr[r
    + 1]]``, which are sorted and unique; every other entry is zero. A row may be empty. The number
    of columns (``dim``) is the owner's to know.

    A NamedTuple of plain arrays goes straight into a compiled kernel.

    Attributes:
        indptr: (rows + 1,) int32 or int64, monotone, from 0 to ``nnz``.
        columns: (nnz,) uint8 (``dim`` <= 256) or uint16.
        values: (nnz,) float32 (float64 in tests).

    >>> table = SparseTable.from_dense(np.array([[0, 2.0, 0], [0, 0, 0], [1.0, 0, 3.0]]))
    >>> table.indptr.tolist(), table.columns.tolist(), table.values.tolist()
    ([0, 1, 1, 3], [1, 0, 2], [2.0, 1.0, 3.0])
    """

    indptr: Array
    columns: Array
    values: Array

    @property
    def rows(self) -> int:
        """Number of rows, the empty ones included."""
        return len(self.indptr) - 1

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return len(self.values)

    @property
    def nbytes(self) -> int:
        """Bytes of the three arrays together."""
        return int(self.indptr.nbytes + self.columns.nbytes + self.values.nbytes)

    def copy(self) -> SparseTable:
        """Copies the table into arrays of its own."""
        return SparseTable(*(array.copy() for array in self))

    def slice_rows(self, start: int, stop: int) -> SparseTable:
        """Returns rows ``start`` to ``stop`` as a table of their own.

        Its columns and values are views of this one's.
        """
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        return SparseTable(
            self.indptr[start : stop + 1] - self.indptr[start],
            self.columns[first:last],
            self.values[first:last],
        )

    def first_columns(self, count: int) -> SparseTable:
        """Keeps the entries of the first ``count`` columns.

        >>> SparseTable.from_dense(np.array([[0, 2.0, 5.0], [0, 0, 1.0]])).first_columns(2).to_dense(2)
        array([[0., 2.],
               [0., 0.]])
        """
        keep = self.columns < count
        before = np.concatenate([[0], np.cumsum(keep)])
        indptr = before[self.indptr].astype(index_dtype(int(before[-1])))
        return SparseTable(indptr, self.columns[keep], self.values[keep])

    def row_numbers(self) -> Array:
        """Returns the row of every stored entry, (nnz,) int32."""
        return np.repeat(np.arange(self.rows, dtype=np.int32), np.diff(self.indptr))

    def places(self, rows: Array) -> Array:
        """Finds where the entries of ``rows`` (m,) lie in ``values``, row after row.

        They are (entries of ``rows``,) int64.
        """
        lengths = self.indptr[rows + 1] - self.indptr[rows]
        ends = np.cumsum(lengths)
        total = int(ends[-1]) if len(ends) else 0
        return np.arange(total) + np.repeat(self.indptr[rows] - (ends - lengths), lengths)

    def by_column(self, dim: int) -> SparseTable:
        """Transposes the table.

        The result has ``dim`` rows, whose columns are this table's row numbers (int32, ascending).
        """
        order = np.argsort(self.columns, kind="stable")
        indptr = np.zeros(dim + 1, dtype=self.indptr.dtype)
        np.cumsum(np.bincount(self.columns, minlength=dim), out=indptr[1:])
        return SparseTable(indptr, self.row_numbers()[order], self.values[order])

    def to_dense(self, dim: int) -> Array:
        """Makes a (rows, dim) array of the values' dtype.

        It is for tests and small tables.
        """
        dense = np.zeros((self.rows, dim), dtype=self.values.dtype)
        dense[self.row_numbers(), self.columns] = self.values
        return dense

    def dense_rows(self, rows: Array, dim: int) -> Array:
        """Returns every entry of ``rows`` (m,), (m, dim) of the values' dtype.

        A row may be named twice.
        """
        dense = np.zeros((len(rows), dim), dtype=self.values.dtype)
        owners = np.repeat(np.arange(len(rows)), self.indptr[rows + 1] - self.indptr[rows])
        places = self.places(rows)
        dense[owners, self.columns[places]] = self.values[places]
        return dense

    @classmethod
    def from_dense(cls, dense: Array, keep: Array | None = None) -> SparseTable:
        """Makes the table of the entries marked in ``keep`` (rows, dim) bool.

        By default they are the non-zero ones of ``dense``.
        """
        keep = dense != 0 if keep is None else keep
        rows, columns = np.nonzero(keep)
        indptr = np.zeros(len(dense) + 1, dtype=index_dtype(len(rows)))
        np.cumsum(np.bincount(rows, minlength=len(dense)), out=indptr[1:])
        return cls(indptr, columns.astype(column_dtype(dense.shape[1])), dense[rows, columns])

    @classmethod
    def full(cls, dense: Array) -> SparseTable:
        """Makes the table that stores every entry of ``dense`` (rows, dim), zeros too.

        Its values are a view if possible.
        """
        rows, dim = dense.shape
        indptr = np.arange(rows + 1, dtype=index_dtype(dense.size)) * dim
        return cls(indptr, np.tile(np.arange(dim, dtype=column_dtype(dim)), rows), dense.reshape(-1))

    def validate(self, dim: int) -> None:
        """Raises ValueError, naming the field, unless this is a sound table of ``dim`` columns."""
        if (
            self.indptr.ndim != 1
            or len(self.indptr) < 1
            or self.indptr[0] != 0
            or np.any(np.diff(self.indptr) < 0)
        ):
            raise ValueError("indptr must start at 0 and never fall")
        if self.indptr[-1] != len(self.values) or len(self.columns) != len(self.values):
            raise ValueError("indptr must end at the number of stored entries, one column and one value each")
        if self.nnz and int(self.columns.max()) >= dim:
            raise ValueError(f"columns must lie below dim = {dim}")
        rising = np.diff(self.columns.astype(np.int64)) > 0
        starts = self.indptr[1:-1][(self.indptr[1:-1] > 0) & (self.indptr[1:-1] < self.nnz)]
        rising[starts - 1] = True
        if not rising.all():
            raise ValueError("columns must be sorted and unique within a row")
        if not np.isfinite(self.values).all():
            raise ValueError("values must be finite")


def stacked(users: SparseTable, items: SparseTable) -> SparseTable:
    """Copies two tables into one, the users' rows first."""
    indptr = np.concatenate([users.indptr[:-1], users.nnz + items.indptr.astype(np.int64)])
    return SparseTable(
        indptr.astype(index_dtype(users.nnz + items.nnz)),
        np.concatenate([users.columns, items.columns]),
        np.concatenate([users.values, items.values]),
    )
