"""The largest of many entries that are seen block by block, in the memory of those that are kept."""

from __future__ import annotations

import numpy as np

from sparserec_np.table import Array, SparseTable, column_dtype, index_dtype


class LargestEntries:
    """Keeps the ``count`` entries with the largest keys among those offered, whatever the number offered.

    Memory: up to ``2 * count`` entries of 14 bytes and one block, and as much again while they are thinned
    out. Of equal keys those offered first are kept.

    >>> best = LargestEntries(2)
    >>> best.offer(np.array([0, 1]), np.array([[1.0, -5.0], [3.0, 2.0]]))
    >>> rows, columns, values = best.take()
    >>> rows.tolist(), columns.tolist(), values.tolist()
    ([0, 1], [1, 0], [-5.0, 3.0])
    """

    def __init__(self, count: int) -> None:
        """``count`` is 1 or more."""
        self.count = count
        self.threshold = -np.inf
        self.held = 0
        self.parts: list[tuple[Array, Array, Array, Array]] = []

    def offer(self, rows: Array, values: Array, keys: Array | None = None) -> None:
        """Takes in the entries of some rows.

        Args:
            rows: (m,) row numbers.
            values: (m, dim) what the entries hold.
            keys: (m, dim) what ranks them, NaN-free; by default the magnitude of the values. -inf is never kept.
        """
        keys = np.abs(values) if keys is None else keys
        places = np.flatnonzero(keys > self.threshold)
        if not places.size:
            return
        at, columns = np.divmod(places, values.shape[1])
        self.parts.append(
            (
                rows[at].astype(np.int32),
                columns.astype(np.uint16),
                values[at, columns].astype(np.float32, copy=False),
                keys[at, columns].astype(np.float32, copy=False),
            )
        )
        self.held += len(places)
        if self.held > 2 * self.count:
            self._shrink()

    def _shrink(self) -> None:
        rows, columns, values, keys = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        if self.held > self.count:
            kth = np.partition(keys, self.held - self.count)[self.held - self.count]
            keep = keys > kth
            ties = np.flatnonzero(keys == kth)[: self.count - int(np.count_nonzero(keep))]
            keep[ties] = True
            rows, columns, values, keys = rows[keep], columns[keep], values[keep], keys[keep]
            self.threshold = float(kth)
        self.parts = [(rows, columns, values, keys)]
        self.held = len(rows)

    def take(self) -> tuple[Array, Array, Array]:
        """Rows int32, columns uint16 and values float32 of the entries kept, each (kept,), by row and then by column.

        ``kept`` is ``count``, or the number of entries offered if that is less.
        """
        if not self.parts:
            return np.empty(0, np.int32), np.empty(0, np.uint16), np.empty(0, np.float32)
        self._shrink()
        rows, columns, values, _ = self.parts[0]
        order = np.lexsort((columns, rows))
        return rows[order], columns[order], values[order]


def table_of(rows: Array, columns: Array, values: Array, n_rows: int, dim: int) -> SparseTable:
    """The table of ``n_rows`` rows that holds these entries, given by row and then by column."""
    indptr = np.zeros(n_rows + 1, dtype=index_dtype(len(rows)))
    np.cumsum(np.bincount(rows, minlength=n_rows), out=indptr[1:])
    return SparseTable(indptr, columns.astype(column_dtype(dim)), values)
