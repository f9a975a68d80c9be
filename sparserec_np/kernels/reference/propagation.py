"""Propagation over the graph of interactions, in plain NumPy.

The specification of ``kernels.compiled.propagation``.

Some arguments recur:

* ``graph = (indptr, neighbours)``: the neighbours of row r, users' items and items' users, as rows
  of the stacked table, are ``neighbours[indptr[r]:indptr[r + 1]]``, int32. Every edge is there
  twice, once from each end.
* ``block`` (rows, 32): 32 columns of a table, every entry of them; ``first`` is the number of the
  first one.
* ``strip``: these columns where a table's rows go in another order, see
  :class:`~sparserec_np.kernels.arguments.Strip`. Then the number of a row in graph, block and
  factors is its place in that order.
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
from sparserec_np.kernels.arguments import BLOCK_COLUMNS, Strip


def read_rows(table: SparseTable, rows: Array, local: Array) -> None:
    """Reads every entry of some rows, 0 where none is stored: ``local[t, c] = table[rows[t], c]``.

    Args:
        table: read only.
        rows: (m,) int32.
        local: (m, columns) overwritten; columns is at least the table's.
    """
    local[:] = table.to_dense(local.shape[1])[rows]


def read_columns(chunks: Array, table: SparseTable, strip: Strip, factors: Array, block: Array) -> None:
    """Reads every entry of 32 columns: ``block[p, c] = factors[p] * table[order[p], first + c]``.

    Args:
        chunks: see above.
        table: read only; it may end before the last column.
        strip: see above; ``begins`` are moved on to the next 32 columns.
        factors: (rows,)
        block: (rows, 32) overwritten.
    """
    block[:] = 0
    for place in range(len(block)):
        for k in _of_strip(table, strip, place):
            block[place, table.columns[k] - strip.first] = table.values[k] * factors[place]


def _of_strip(table: SparseTable, strip: Strip, place: int) -> range:
    """Finds a row's entries in the columns of the strip, and moves its begin to their end."""
    first, order, begins = strip
    start, end = begins[place], table.indptr[order[place] + 1]
    columns = table.columns[start:end].astype(np.int64)
    stop = start + int((columns < first + BLOCK_COLUMNS).sum())
    begins[place] = stop
    return range(start, stop)


def propagate(graph: tuple[Array, Array], chunks: Array, block: Array, factors: Array, out: Array) -> None:
    """Takes one step over all edges of the graph.

    ``out[r] = factors[r] * sum of block[n] over the neighbours n of r``.

    Args:
        graph: see above; neighbours may be numbers of rows of ``block`` that are not rows of the
            graph.
        chunks: see above.
        block: (any, 32)
        factors: (rows,)
        out: (rows, 32) overwritten.
    """
    indptr, neighbours = graph
    for row in range(len(out)):
        out[row] = factors[row] * block[neighbours[indptr[row] : indptr[row + 1]]].sum(axis=0)


def add_rows(rows: Array, block: Array, factors: Array, first: int, local: Array) -> None:
    """Takes rows out of a block: ``local[t, first + c] += factors[rows[t]] * block[rows[t], c]``.

    Args:
        rows: (m,) int32.
        block: (rows, 32)
        factors: (rows,)
        first: number of the block's first column.
        local: (m, columns) added to.
    """
    own = local[:, first : first + BLOCK_COLUMNS]
    own += (factors[rows, None] * block[rows])[:, : own.shape[1]]


def add_propagated(
    graph: tuple[Array, Array], rows: Array, block: Array, factors: Array, first: int, local: Array
) -> None:
    """Adds one step over the edges to some rows.

    ``local[t, first:first + 32] += factors[rows[t]] * sum of block[n]``, n next to rows[t].

    Args:
        graph: see above.
        rows: (m,) int32.
        block: (rows, 32)
        factors: (rows,)
        first: number of the block's first column.
        local: (m, columns) added to.
    """
    indptr, neighbours = graph
    for t, row in enumerate(rows):
        line = block[neighbours[indptr[row] : indptr[row + 1]]].sum(axis=0)
        own = local[t, first : first + BLOCK_COLUMNS]
        own += factors[row] * line[: len(own)]


def spread_rows(
    graph: tuple[Array, Array], middle: int, rows: Array, given: Array, factors: Array, out: Array
) -> None:
    """Takes one step over the edges that start in some rows.

    ``out[n] = factors[n] * sum of given[t] over all t for which n is a neighbour of rows[t]``,
    summed in the order of t.

    Args:
        graph: see above.
        middle: number of users; a row below it has neighbours from it on, and the other way round.
        rows: (m,) int32, none twice.
        given: (m, 32)
        factors: (rows,)
        out: (rows, 32) overwritten.
    """
    indptr, neighbours = graph
    out[:] = 0
    for t, row in enumerate(rows):
        out[neighbours[indptr[row] : indptr[row + 1]]] += given[t]
    out *= factors[:, None]


def add_lines(rows: Array, given: Array, out: Array) -> None:
    """Adds lines to rows: ``out[rows[t]] += given[t]``.

    Args:
        rows: (m,) int32, none twice.
        given: (m, 32)
        out: (any, 32) added to.
    """
    out[rows] += given


def pull_columns(
    graph: tuple[Array, Array],
    chunks: Array,
    table: SparseTable,
    strip: Strip,
    block: Array,
    factors: Array,
    gradient: Array,
    explored: tuple[Array, Array],
) -> None:
    """Takes one step into the stored entries of 32 columns, and into all of explored rows.

    ``d[order[p], first + c] = factors[p] * sum of block[n, c] over the neighbours n of p``; d is
    added where it is asked for, and not made for a row that neither stores an entry in these
    columns nor is explored.

    Args:
        graph: see above.
        chunks: see above.
        table: whose entries get a gradient.
        strip: see above; ``begins`` are moved on to the next 32 columns.
        block: (rows, 32)
        factors: (rows,)
        gradient: (nnz,) added to.
        explored: (slots, sums), as in ``gradients``; sums are added to.
    """
    indptr, neighbours = graph
    slots, sums = explored
    first = strip.first
    width = min(BLOCK_COLUMNS, sums.shape[1] - first)
    for place, row in enumerate(strip.order):
        line = factors[place] * block[neighbours[indptr[place] : indptr[place + 1]]].sum(axis=0)
        for k in _of_strip(table, strip, place):
            gradient[k] += line[table.columns[k] - first]
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
