"""Changes of which entries are stored, and of where they lie, in plain NumPy.

The specification of ``kernels.compiled.topology``.

Magnitudes are compared as float32. Flags ``kept`` (nnz,) bool say which entries of a table stay.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Explored


def mark_prunable(table: SparseTable, inside: Array, floor: int, kept: Array) -> int:
    """Marks entries that may be pruned: all but the ``floor`` largest of each row ``inside``.

    Of equal magnitudes the first count as larger.

    Args:
        table: (rows, dim).
        inside: (rows,) bool, rows that may lose entries.
        floor: 0 or more.
        kept: (nnz,) bool, overwritten: False for entries that may go.

    Returns:
        How many these are.
    """
    kept[:] = True
    for row in np.flatnonzero(inside):
        own = slice(table.indptr[row], table.indptr[row + 1])
        order = np.argsort(-np.abs(table.values[own].astype(np.float32)), kind="stable")
        kept[own] = np.isin(np.arange(len(order)), order[:floor])
    return int(np.count_nonzero(~kept))


def keep_larger(values: Array, count: int, kept: Array) -> float:
    """Keeps all but the ``count`` smallest of the entries that may be pruned.

    Of equal magnitudes the first go.

    Args:
        values: (nnz,) float32 or float64.
        count: at most the number of False in ``kept``.
        kept: (nnz,) bool; True afterwards for all but the ``count`` that go.

    Returns:
        The largest magnitude among those that go, not rounded; 0 where none does.
    """
    places = np.flatnonzero(~kept)
    magnitudes = np.abs(values[places].astype(np.float32))
    gone = places[np.argsort(magnitudes, kind="stable")[:count]]
    kept[:] = True
    kept[gone] = False
    return float(np.abs(values[gone]).max(initial=0))


def largest_inactive(
    table: SparseTable, explored: Explored, count: int, rows: Array, columns: Array, gradients: Array
) -> int:
    """Finds the inactive entries of explored rows with the largest sums in magnitude.

    None whose sum is 0.

    Of equal ones the first by row and then by column.

    Args:
        table: (n, dim), which says what is active.
        explored: slots (n,) int32 and sums (m, dim).
        count: most entries to find.
        rows: (count,) int32, overwritten by the entries' rows, ascending.
        columns: (count,) of the dtype of the table's, overwritten by their columns, ascending in a
            row.
        gradients: (count,) float32, overwritten by their sums.

    Returns:
        How many there are; what lies beyond in the last three is not specified.
    """
    dim = explored.sums.shape[1]
    dense = np.zeros((table.rows, dim), dtype=np.float32)
    looked_at = explored.slots >= 0
    dense[looked_at] = explored.sums[explored.slots[looked_at]]
    dense[table.row_numbers(), table.columns] = 0
    order = np.argsort(-np.abs(dense).ravel(), kind="stable")[: min(count, np.count_nonzero(dense))]
    found = np.sort(order)
    rows[: len(found)], columns[: len(found)] = np.divmod(found, dim)
    gradients[: len(found)] = dense.ravel()[found]
    return len(found)


def merge(table: SparseTable, kept: Array, rows: Array, columns: Array, indptr: Array, places: Array) -> None:
    """Finds where new entries lie among those that stay, by row and then by column.

    Args:
        table: (n, dim).
        kept: (nnz,) bool.
        rows: (g,) int32, ascending, the rows of the new entries.
        columns: (g,) their columns, of the dtype of the table's, ascending in a row; none is active
            already.
        indptr: (n + 1,) of the dtype of the table's, overwritten by that of the table afterwards.
        places: (g,) int64, overwritten by the new entries' places in the table afterwards.
    """
    dim = 1 + max(int(table.columns.max(initial=0)), int(columns.max(initial=0)))
    before = (table.row_numbers().astype(np.int64) * dim + table.columns)[kept]
    new = rows.astype(np.int64) * dim + columns
    places[:] = np.searchsorted(before, new) + np.arange(len(new))
    sizes = np.bincount(table.row_numbers()[kept], minlength=table.rows)
    indptr[0] = 0
    indptr[1:] = np.cumsum(sizes + np.bincount(rows, minlength=table.rows))


def move(state: Array, kept: Array, places: Array, grown: Array) -> None:
    """Takes an array of a value per entry through the change of :func:`merge`, in place.

    Args:
        state: (nnz,) overwritten.
        kept: (nnz,) bool, False for g entries.
        places: (g,) int64, ascending.
        grown: (g,) what the new entries get, of the dtype of ``state``.
    """
    new = np.zeros(len(state), dtype=bool)
    new[places] = True
    stay = state[kept]
    state[new] = grown
    state[~new] = stay


def rewrite(
    table: SparseTable, kept: Array, places: Array, columns: Array, values: Array, indptr: Array
) -> None:
    """Takes a table through a change of entries, in place.

    Compiled, nothing can interrupt it half-way.

    Args:
        table: (n, dim), overwritten.
        kept, places, indptr: as :func:`merge` took and found them.
        columns: (g,) of the new entries, of the dtype of the table's.
        values: (g,) theirs, of the dtype of the table's.
    """
    move(table.columns, kept, places, columns)
    move(table.values, kept, places, values)
    table.indptr[:] = indptr


def row_means(indptr: Array, state: Array, rows: Array, means: Array) -> None:
    """Computes means over the entries of rows, summed in float64 from the first entry on.

    0 for rows without.

    Args:
        indptr: (n + 1,) where rows begin.
        state: (nnz,) one value per entry.
        rows: (g,) int32, ascending, some more than once.
        means: (g,) of the dtype of ``state``, overwritten by the mean of each row.
    """
    sizes = np.diff(indptr)
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    sums = np.bincount(numbers, weights=state, minlength=len(sizes))
    means[:] = (sums / np.maximum(sizes, 1))[rows]
