"""The largest of many entries that are seen block by block, in the memory of those that are kept."""

from __future__ import annotations

import numpy as np

from sparserec_np.table import Array, SparseTable, column_dtype, index_dtype

PIECE = 1 << 16  # entries looked at together: what is made of them stays small beside what is kept


class LargestEntries:
    """Keeps the ``count`` entries with the largest keys among those offered, whatever the number offered.

    Memory: up to ``1.5 * count`` entries of 14 bytes and one piece, and 4 bytes an entry more while they are
    thinned out. Of equal keys those offered first are kept.

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
        step = max(1, PIECE // max(1, values.shape[1]))
        for start in range(0, len(values), step):
            piece = slice(start, start + step)
            some = values[piece]
            self._take_in(rows[piece], some, np.abs(some) if keys is None else keys[piece])

    def _take_in(self, rows: Array, values: Array, keys: Array) -> None:
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
        if self.held > self.count + self.count // 2:
            self._shrink()

    def _shrink(self) -> None:
        """Thins out part by part, so that no second copy of all entries is made."""
        if self.held <= self.count:
            return
        keys = np.concatenate([part[3] for part in self.parts])
        keys.partition(self.held - self.count)
        kth = keys[self.held - self.count]
        # Those above the count-th largest are all on its right; the places that are left go to ties, first come.
        ties = self.count - int(np.count_nonzero(keys[self.held - self.count :] > kth))
        del keys
        for number, part in enumerate(self.parts):
            keep = part[3] > kth
            equal = np.flatnonzero(part[3] == kth)[:ties]
            keep[equal] = True
            ties -= len(equal)
            self.parts[number] = (part[0][keep], part[1][keep], part[2][keep], part[3][keep])
        self.threshold = float(kth)
        self.held = self.count

    def take(self) -> tuple[Array, Array, Array]:
        """Rows int32, columns uint16 and values float32 of the entries kept, each (kept,), by row and then by column.

        ``kept`` is ``count``, or the number of entries offered if that is less.
        """
        if not self.parts:
            return np.empty(0, np.int32), np.empty(0, np.uint16), np.empty(0, np.float32)
        self._shrink()
        rows, columns, values = (np.concatenate([part[field] for part in self.parts]) for field in range(3))
        self.parts = []
        order = np.lexsort((columns, rows))
        return rows[order], columns[order], values[order]


def keys_with_floor(keys: Array, floor: int) -> Array:
    """``keys`` (rows, dim), of which the ``floor`` largest of each row now go before all others; written to.

    >>> keys_with_floor(np.array([[3.0, 1.0], [0.0, 2.0]]), 1).tolist()
    [[inf, 1.0], [0.0, inf]]
    """
    if floor == 1:
        keys[np.arange(len(keys)), keys.argmax(axis=1)] = np.inf
    elif floor:
        top = np.argpartition(-keys, floor - 1, axis=1)[:, :floor]
        np.put_along_axis(keys, top, np.inf, axis=1)
    return keys


def table_of(rows: Array, columns: Array, values: Array, n_rows: int, dim: int) -> SparseTable:
    """The table of ``n_rows`` rows that holds these entries, given by row and then by column."""
    indptr = np.zeros(n_rows + 1, dtype=index_dtype(len(rows)))
    np.cumsum(np.bincount(rows, minlength=n_rows), out=indptr[1:])
    return SparseTable(indptr, columns.astype(column_dtype(dim)), values)
