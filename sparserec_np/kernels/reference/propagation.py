"""Propagation over the graph of interactions, in plain NumPy.

The specification of ``kernels.compiled.propagation``.

Some arguments recur:

* ``graph = (indptr, neighbours)``: the neighbours of row r, users' items and items' users, as rows
  of the stacked table, are ``neighbours[indptr[r]:indptr[r + 1]]``, int32. Every edge is there
  twice, once from each end.
* ``block`` (rows, 16): 16 columns of a table, every entry of them; ``first`` is the number of the
  first one.
* ``local`` (m, columns): every entry of the rows ``rows`` (m,), in their order; columns is a
  multiple of 16.
* ``factors`` (rows,): one for each row.
* ``chunks`` (any,) int32 ascending from 0 to the number of rows: bounds of the parts that threads
  share out among themselves. They change no result.

All floats have one dtype, float32 or float64.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import STRIP_COLUMNS


def read_rows(table: SparseTable, rows: Array, local: Array) -> None:
    """Reads every entry of some rows, 0 where none is stored: ``local[t, c] = table[rows[t], c]``.

    Args:
        table: read only.
        rows: (m,) int32.
        local: (m, columns) overwritten; columns is at least the table's.
    """
    local[:] = table.to_dense(local.shape[1])[rows]


def read_columns(table: SparseTable, first: int, factors: Array, block: Array) -> None:
    """Reads every entry of 16 columns: ``block[r, c] = factors[r] * table[r, first + c]``.

    Args:
        table: read only.
        first: number of the first column; the table may end before the last.
        factors: (rows,)
        block: (rows, 16) overwritten.
    """
    columns = table.columns.astype(np.int64) - first
    here = (columns >= 0) & (columns < STRIP_COLUMNS)
    rows = table.row_numbers()[here]
    block[:] = 0
    block[rows, columns[here]] = table.values[here] * factors[rows]


def propagate(graph: tuple[Array, Array], chunks: Array, block: Array, factors: Array, out: Array) -> None:
    """Takes one step over all edges of the graph.

    ``out[r] = factors[r] * sum of block[n] over the neighbours n of r``.

    Args:
        graph: see above; neighbours may be numbers of rows of ``block`` that are not rows of the
            graph.
        chunks: see above.
        block: (any, 16)
        factors: (rows,)
        out: (rows, 16) overwritten.
    """
    indptr, neighbours = graph
    for row in range(len(out)):
        out[row] = factors[row] * block[neighbours[indptr[row] : indptr[row + 1]]].sum(axis=0)


def add_rows(rows: Array, block: Array, factors: Array, first: int, local: Array) -> None:
    """Takes rows out of a block: ``local[t, first + c] += factors[rows[t]] * block[rows[t], c]``.

    Args:
        rows: (m,) int32.
        block: (rows, 16)
        factors: (rows,)
        first: number of the block's first column.
        local: (m, columns) added to.
    """
    local[:, first : first + STRIP_COLUMNS] += factors[rows, None] * block[rows]


def add_propagated(
    graph: tuple[Array, Array], rows: Array, block: Array, factors: Array, first: int, local: Array
) -> None:
    """Adds one step over the edges to some rows.

    ``local[t, first:first + 16] += factors[rows[t]] * sum of block[n]``, n next to rows[t].

    Args:
        graph: see above.
        rows: (m,) int32.
        block: (rows, 16)
        factors: (rows,)
        first: number of the block's first column.
        local: (m, columns) added to.
    """
    indptr, neighbours = graph
    for t, row in enumerate(rows):
        line = block[neighbours[indptr[row] : indptr[row + 1]]].sum(axis=0)
        local[t, first : first + STRIP_COLUMNS] += factors[row] * line


def edges_from(graph: tuple[Array, Array], rows: Array, indptr: Array, sources: Array) -> int:
    """Lists the edges that start in ``rows`` by where they end.

    Row r has an edge from ``rows[t]`` for each t in ``sources[indptr[r]:indptr[r + 1]]``,
    ascending.

    Args:
        graph: see above.
        rows: (m,) int32, none twice.
        indptr: (rows + 1,) int32 or int64, overwritten.
        sources: (at least as many as there are such edges,) int32, overwritten that far.

    Returns:
        The number of edges.
    """
    bounds, neighbours = graph
    ends = [neighbours[bounds[row] : bounds[row + 1]] for row in rows]
    starts = np.repeat(np.arange(len(rows)), [len(some) for some in ends])
    targets = np.concatenate([*ends, np.empty(0, np.int32)])
    order = np.lexsort((starts, targets))
    sources[: len(starts)] = starts[order]
    indptr[0] = 0
    indptr[1:] = np.cumsum(np.bincount(targets, minlength=len(indptr) - 1))
    return len(starts)


def pull_columns(
    graph: tuple[Array, Array],
    chunks: Array,
    table: SparseTable,
    first: int,
    block: Array,
    factors: Array,
    gradient: Array,
    explored: tuple[Array, Array],
) -> None:
    """Takes one step into the stored entries of 16 columns, and into all of explored rows.

    ``d[r, first + c] = factors[r] * sum of block[n, c] over the neighbours n of r``; d is added
    where it is asked for, and not made for a row that neither stores an entry in these columns nor
    is explored.

    Args:
        graph: see above.
        chunks: see above.
        table: whose entries get a gradient.
        first: number of the block's first column.
        block: (rows, 16)
        factors: (rows,)
        gradient: (nnz,) added to.
        explored: (slots, sums), as in ``gradients``; sums are added to.
    """
    indptr, neighbours = graph
    slots, sums = explored
    width = min(STRIP_COLUMNS, sums.shape[1] - first)
    for row in range(table.rows):
        line = factors[row] * block[neighbours[indptr[row] : indptr[row + 1]]].sum(axis=0)
        for k in range(table.indptr[row], table.indptr[row + 1]):
            column = int(table.columns[k]) - first
            if 0 <= column < STRIP_COLUMNS:
                gradient[k] += line[column]
        if slots[row] >= 0:
            sums[slots[row], first : first + width] += line[:width]


def pull_rows(
    table: SparseTable, rows: Array, local: Array, gradient: Array, explored: tuple[Array, Array]
) -> None:
    """Adds the gradient of every entry of some rows where it is asked for.

    That is ``d[rows[t], c] = local[t, c]``.

    Args:
        table: whose entries get a gradient.
        rows: (m,) int32, none twice.
        local: (m, columns)
        gradient: (nnz,) added to.
        explored: (slots, sums), as in ``gradients``; sums are added to.
    """
    slots, sums = explored
    for t, row in enumerate(rows):
        own = slice(table.indptr[row], table.indptr[row + 1])
        gradient[own] += local[t, table.columns[own]]
        if slots[row] >= 0:
            sums[slots[row]] += local[t, : sums.shape[1]]
