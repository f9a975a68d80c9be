"""Gradients of stored entries, and of all entries of explored rows, in plain NumPy.

This is the specification of ``kernels.compiled.gradients``. Slopes are derivatives of the loss by
scores; scores are inner products of two rows, so the gradient of a row is the sum of its partners'
rows, each times the slope of their score.

Three arguments recur:

* ``table`` of ``dim`` columns, values float32 or float64, finite; read only. All other floats have
  the dtype of its values.
* ``gradient`` (nnz,), the gradient of each stored entry, is added to: a row's part is
  ``gradient[indptr[r]:indptr[r + 1]]``.
* ``explored = (slots, sums)``: ``slots`` (rows,) int32 is the place of a row in ``sums`` (m, dim),
  or -1. For rows that have a place, the gradient of *every* entry of the row, stored or not, is
  added to ``sums[slots[r]]``. m may be 0.

``rows`` name no row twice: each row has one writer, and so the bits do not depend on the number of
threads.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Rows


def pair_gradients(
    table: SparseTable,
    rows: Array,
    starts: Array,
    partners: Array,
    slopes: Array,
    gradient: Array,
    explored: tuple[Array, Array],
) -> None:
    """Adds the gradients of the rows that pairs are grouped by.

    ``d[rows[g], c] = sum_m slopes[m] * table[partners[m], c]`` over ``starts[g] <= m < starts[g +
    1]``.

    Args:
        table: see above.
        rows: (groups,) int32, none twice.
        starts: (groups + 1,) int32; a group may be empty.
        partners: (pairs,) int32, the other row of each pair; any row, any number of times.
        slopes: (pairs,) derivative of the loss by the score of each pair.
        gradient: (nnz,) added to.
        explored: (slots, sums); sums are added to.
    """
    dense = table.to_dense(explored[1].shape[1])
    for g, row in enumerate(rows):
        pairs = slice(starts[g], starts[g + 1])
        _add(table, row, slopes[pairs] @ dense[partners[pairs]], gradient, explored)


def row_gradients(
    table: SparseTable,
    rows: Array,
    slopes: Array,
    block: Array,
    gradient: Array,
    explored: tuple[Array, Array],
) -> None:
    """Adds the gradients of rows that were scored against a block.

    ``d[rows[g], c] = sum_s block[c, s] * slopes[g, s]``.

    Args:
        table: see above.
        rows: (groups,) int32, none twice.
        slopes: (groups, s) derivative of the loss by the score of each row with each column of the
            block.
        block: (dim, s) as ``fill_block`` left it; finite.
        gradient: (nnz,) added to.
        explored: (slots, sums); sums are added to.
    """
    for g, row in enumerate(rows):
        _add(table, row, block @ slopes[g], gradient, explored)


def block_gradients(table: SparseTable, rows: Array, slopes: Array, partial: Array) -> None:
    """Sums the gradient of a block that rows were scored against.

    ``partial[0][c, s] = sum_g table[rows[g], c] * slopes[g, s]``.

    Args:
        table: see above.
        rows: (groups,) int32.
        slopes: (groups, s) derivative of the loss by the score of each row with each column of the
            block.
        partial: (parts, dim, s), parts >= 1, overwritten. ``partial[0]`` is the result; the others
            are room to work in and hold sums over parts of the groups afterwards. The result's last
            bits depend on ``parts``, not on threads.
    """
    dense = table.to_dense(partial.shape[1])
    each = -(-len(rows) // len(partial))
    for part in range(len(partial)):
        groups = slice(part * each, (part + 1) * each)
        partial[part] = dense[rows[groups]].T @ slopes[groups]
    for part in range(1, len(partial)):
        partial[0] += partial[part]


def spread_block(
    table: SparseTable, rows: Array, block: Array, gradient: Array, explored: tuple[Array, Array]
) -> None:
    """Adds the gradient of a block to the rows it was filled from: ``d[rows[s], c] = block[c, s]``.

    Args:
        table: see above.
        rows: (s,) int32, none twice.
        block: (dim, s) a gradient of what ``fill_block`` made of these rows.
        gradient: (nnz,) added to.
        explored: (slots, sums); sums are added to.
    """
    for s, row in enumerate(rows):
        _add(table, row, block[:, s], gradient, explored)


def decay_gradients(table: Rows, rows: Array, weights: Array, origin: Array, gradient: Array) -> None:
    """Adds the gradients of L2 terms.

    They are ``sum_g weights[g] / 2 * |table[rows[g]] - origin[rows[g]]|^2``.

    ``d[rows[g], c] = weights[g] * (table[rows[g], c] - origin[rows[g], c])``, which is 0 where
    nothing is stored: this adds nothing to the sums of explored rows. With the start of training as
    the origin this is L2-SP (Li, Grandvalet and Davoine 2018).

    Args:
        table: the rows of one, or the part of each that has L2 terms.
        rows: (groups,) int32, none twice.
        weights: (groups,) L2 weight of each row.
        origin: (nnz,) what the values are drawn towards, or empty for zero.
        gradient: (nnz,) added to.
    """
    for row, weight in zip(rows, weights, strict=True):
        own = slice(table.starts[row], table.ends[row])
        away = table.values[own] - origin[own] if len(origin) else table.values[own]
        gradient[own] += weight * away


def add_row_norms(indptr: Array, rows: Array, gradient: Array, norms: Array) -> None:
    """Adds the length of each row's gradient to its norm.

    ``norms[rows[t]] += sqrt(sum_k gradient[k]^2)``, k in the row.

    Args:
        indptr: (all rows + 1,) of the table.
        rows: (t,) int32, none twice.
        gradient: (nnz,) float32 or float64.
        norms: (all rows,) of the gradient's dtype, added to at ``rows``.
    """
    for row in rows:
        own = gradient[indptr[row] : indptr[row + 1]]
        norms[row] += np.sqrt((own * own).sum())


def _add(table: SparseTable, row: int, dense: Array, gradient: Array, explored: tuple[Array, Array]) -> None:
    """Adds ``dense`` (dim,), the gradient of a whole ``row``, to both places that ask for it."""
    own = slice(table.indptr[row], table.indptr[row + 1])
    gradient[own] += dense[table.columns[own]]
    slots, sums = explored
    if slots[row] >= 0:
        sums[slots[row]] += dense
