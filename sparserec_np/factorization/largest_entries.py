"""Streaming selection of the largest entries of a matrix that comes in blocks of rows."""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array, SparseTable, column_dtype, index_dtype

# Entries looked at together: what is made of them stays small beside what is kept, and uint16
# numbers them.
PIECE = 1 << 16


class LargestEntries:
    """A streaming top-k: the ``count`` entries with the largest keys among all that are offered.

    Rows are offered in ascending order, each of them once. Of equal keys those offered first are
    kept.

    Memory: ``1.125 * count`` entries of 10 bytes, as far as so many are offered, and two pieces; 4
    bytes an entry more while they are thinned out.

    >>> best = LargestEntries(2)
    >>> best.offer(np.array([0, 1]), np.array([[1.0, -5.0], [3.0, 2.0]]))
    >>> rows, columns, values = best.take()
    >>> rows.tolist(), columns.tolist(), values.tolist()
    ([0, 1], [1, 0], [-5.0, 3.0])
    """

    def __init__(self, count: int) -> None:
        """Makes room for ``count`` entries, 1 or more."""
        self.count = count
        self.threshold = -np.inf
        self.held = 0
        self.dim = 1
        self.pieces: list[tuple[Array, int]] = []  # row numbers, and where what is held of them ends
        room = count + count // 8 + PIECE
        self.places = np.empty(room, np.uint16)  # in the piece, row after row
        self.values, self.keys = np.empty(room, np.float32), np.empty(room, np.float32)

    def offer(self, rows: Array, values: Array, keys: Array | None = None) -> None:
        """Takes in the entries of some rows.

        Args:
            rows: (m,) row numbers, ascending, above those offered before.
            values: (m, dim) what the entries hold; dim is the same each time, at most 65,536.
            keys: (m, dim) what ranks them, NaN-free; by default the magnitude of the values. -inf
                is never kept.
        """
        self.dim = max(1, values.shape[1])
        step = PIECE // self.dim
        for start in range(0, len(values), step):
            piece = slice(start, start + step)
            some = values[piece]
            self._take_in(rows[piece], some, np.abs(some) if keys is None else keys[piece])

    def _take_in(self, rows: Array, values: Array, keys: Array) -> None:
        places = np.flatnonzero(keys > self.threshold)
        if not places.size:
            return
        start, self.held = self.held, self.held + len(places)
        self.places[start : self.held] = places
        self.values[start : self.held] = values.reshape(-1)[places]
        self.keys[start : self.held] = keys.reshape(-1)[places]
        self.pieces.append((rows.astype(np.int32), self.held))
        if self.held > self.count + self.count // 8:
            self._shrink()

    def _shrink(self) -> None:
        """Drops all but the ``count`` largest entries, piece by piece, in place."""
        if self.held <= self.count:
            return
        keys = self.keys[: self.held].copy()
        keys.partition(self.held - self.count)
        kth = keys[self.held - self.count]
        # Those above the count-th largest are all on its right; the places that are left go to
        # ties, first come.
        ties = self.count - int(np.count_nonzero(keys[self.held - self.count :] > kth))
        del keys
        start = end = 0
        for number, (rows, stop) in enumerate(self.pieces):
            some = self.keys[start:stop]
            keep = some > kth
            equal = np.flatnonzero(some == kth)[:ties]
            keep[equal] = True
            ties -= len(equal)
            kept = start + np.flatnonzero(keep)
            for field in (self.places, self.values, self.keys):
                field[end : end + len(kept)] = field[kept]
            start, end = stop, end + len(kept)
            self.pieces[number] = rows, end
        self.threshold = float(kth)
        self.held = self.count

    def take(self) -> tuple[Array, Array, Array]:
        """Returns rows int32, columns uint16 and values float32 of the entries kept, each (kept,).

        They are in the order of rows and then of columns.

        ``kept`` is ``count``, or the number of entries offered if that is less. Called once, at the
        end.
        """
        self._shrink()
        del self.keys
        rows, columns = np.empty(self.held, np.int32), np.empty(self.held, np.uint16)
        start = 0
        for numbers, stop in self.pieces:
            at, columns[start:stop] = np.divmod(self.places[start:stop].astype(np.int32), self.dim)
            rows[start:stop] = numbers[at]
            start = stop
        del self.places
        values = self.values[: self.held].copy()
        del self.values
        return rows, columns, values


def keys_with_floor(keys: Array, floor: int) -> Array:
    """Puts the ``floor`` largest ``keys`` (rows, dim) of each row before all others, in place.

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
    """Makes the table of ``n_rows`` rows of entries that are given by row and then by column."""
    indptr = np.zeros(n_rows + 1, dtype=index_dtype(len(rows)))
    indptr[:] = np.searchsorted(rows, np.arange(n_rows + 1, dtype=rows.dtype))
    return SparseTable(indptr, columns.astype(column_dtype(dim)), values)
