"""Users as weighted sums of item rows, and the way back, in plain NumPy.

This is the specification of ``kernels.compiled.fism``. A user u is ``x_u = sum_j r_uj c_j w_j``
over the items j that they touched, with w_j a row of a table of items alone, c_j its weight, and
r_uj the share with which u's touching of j counts. A user's score with one of these items leaves
that item's own part out: it is ``x_u . w_i - r_ui c_i w_i . w_i``.

Arguments that recur:

* ``table``, the n_items rows (:class:`~sparserec_np.kernels.arguments.Rows`), of ``dim`` columns,
  values float32 or float64, finite; read only. All other floats have the dtype of its values.
* ``weights`` (n_items,): c.
* ``active`` (nnz,), the gradient of each stored entry, is added to.
* ``explored = (slots, sums)``: ``slots`` (n_items,) int32 is the place of a row in ``sums`` (m,
  dim), or -1. For rows that have a place, the gradient of every entry of the row, stored or not, is
  added to ``sums[slots[row]]``. m may be 0.
* ``weight_gradient`` (n_items,), the gradient of the weights, is added to.

``rows`` name no item twice: each item has one writer, sums over members go in their order, and so
the bits do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array
from sparserec_np.kernels.arguments import Rows


def sum_rows(table: Rows, weights: Array, starts: Array, items: Array, shares: Array, out: Array) -> None:
    """Sums each user's weighted item rows: ``out[t] = sum_m shares[m] * weights[j] * table[j]``.

    j is ``items[m]``, and m goes over ``starts[t] <= m < starts[t + 1]``, in this order.

    Args:
        table: see above.
        weights: see above.
        starts: (users + 1,) int64.
        items: (n,) int32 rows of the table; a user may have none.
        shares: (n,) float32.
        out: (users, dim) of the values' dtype, overwritten; a user without items gets zeros.
    """
    dense = _dense(table, out.shape[1])
    for t in range(len(out)):
        part = slice(starts[t], starts[t + 1])
        own = items[part]
        out[t] = (shares[part] * weights[own]) @ dense[own]


def cut_sums(
    table: Rows,
    weights: Array,
    starts: Array,
    items: Array,
    shares: Array,
    dim: int,
    columns: Array,
    values: Array,
    counts: Array,
) -> None:
    """Keeps of each user's sum, as :func:`sum_rows` makes it, the entries of largest magnitude.

    Of equals those of the lower columns are kept, and zeros never. They are in the order of their
    columns.

    Args:
        table: see above.
        weights: see above.
        starts, items, shares: those of :func:`sum_rows`.
        dim: number of columns of the table.
        columns: (users, most) int32, most >= 1; the first ``counts[t]`` of row t are overwritten.
        values: (users, most) of the values' dtype, likewise.
        counts: (users,) int32, overwritten by the number of entries that are kept.
    """
    full = np.empty((len(counts), dim), dtype=table.values.dtype)
    sum_rows(table, weights, starts, items, shares, full)
    for t, row in enumerate(full):
        best = np.argsort(-np.abs(row), kind="stable")[: columns.shape[1]]
        kept = np.sort(best[row[best] != 0])
        counts[t] = len(kept)
        columns[t, : len(kept)], values[t, : len(kept)] = kept, row[kept]


def own_products(table: Rows, rows: Array, out: Array) -> None:
    """Multiplies rows with themselves: ``out[t] = sum_c table[rows[t], c] ** 2``.

    Args:
        table: see above.
        rows: (m,) int32, any row, any number of times.
        out: (m,) of the values' dtype, overwritten.
    """
    for t, row in enumerate(rows):
        own = table.values[table.starts[row] : table.ends[row]]
        out[t] = own @ own


def spread_rows(
    table: Rows,
    weights: Array,
    members: Array,
    shares: Array,
    starts: Array,
    rows: Array,
    local: Array,
    active: Array,
    explored: tuple[Array, Array],
    weight_gradient: Array,
) -> None:
    """Adds the gradients of what ``sum_rows`` summed, item by item.

    With ``s = sum_m shares[m] * local[members[m]]`` over ``starts[g] <= m < starts[g + 1]``, the
    row ``rows[g]`` gets ``weights[rows[g]] * s``, and its weight ``table[rows[g]] . s``.

    Args:
        table: see above.
        weights: see above.
        members: (pairs,) int32, places in ``local``, by item: of the users that touched it.
        shares: (pairs,) float32, how much that counts for each of them.
        starts: (groups + 1,) int32; a group may be empty.
        rows: (groups,) int32 items, none twice.
        local: (m, dim) gradient of each user's sum.
        active, explored, weight_gradient: see above.
    """
    dense = _dense(table, local.shape[1])
    for g, row in enumerate(rows):
        part = slice(starts[g], starts[g + 1])
        total = shares[part] @ local[members[part]]
        _add(table, row, weights[row] * total, active, explored)
        weight_gradient[row] += dense[row] @ total


def leave_out(
    table: Rows,
    weights: Array,
    members: Array,
    starts: Array,
    rows: Array,
    slopes: Array,
    active: Array,
    explored: tuple[Array, Array],
    weight_gradient: Array,
) -> None:
    """Adds the gradients of the own parts that scores leave out, ``-c_i w_i . w_i``, item by item.

    With ``S = sum_m slopes[members[m]]`` over ``starts[g] <= m < starts[g + 1]``, the row
    ``rows[g]`` gets ``-2 * S * weights[rows[g]] * table[rows[g]]``, which is 0 where nothing is
    stored, and its weight ``-S * table[rows[g]] . table[rows[g]]``.

    Args:
        table: see above.
        weights: see above.
        members: (pairs,) int32, places in ``slopes``, by item.
        starts: (groups + 1,) int32; a group may be empty.
        rows: (groups,) int32 items, none twice.
        slopes: (n,) derivative of the loss by each score that leaves its own item out; 0 for a
            score that leaves nothing out.
        active, explored, weight_gradient: see above.
    """
    dense = _dense(table, explored[1].shape[1])
    for g, row in enumerate(rows):
        slope = slopes[members[starts[g] : starts[g + 1]]].sum()
        _add(table, row, -2 * slope * weights[row] * dense[row], active, explored)
        weight_gradient[row] -= slope * (dense[row] @ dense[row])


def score_pairs(full: Array, starts: Array, partners: Array, table: Rows, out: Array) -> None:
    """Scores users' pairs: ``out[m] = full[t] . table[partners[m]]`` for ``starts[t] <= m < starts[t + 1]``.

    Args:
        full: (m, dim) every entry of the users' rows.
        starts: (m + 1,) int32 bounds of each user's pairs.
        partners: (pairs,) int32 items.
        table: see above.
        out: (pairs,) overwritten.
    """
    dense = _dense(table, full.shape[1])
    for t, own in enumerate(full):
        pairs = slice(starts[t], starts[t + 1])
        out[pairs] = dense[partners[pairs]] @ own


def score_block(full: Array, rows: Array, table: Rows, out: Array) -> None:
    """Scores all users with a block of items: ``out[t, s] = full[t] . table[rows[s]]``.

    Args:
        full: (m, dim) every entry of the users' rows.
        rows: (s,) int32 items.
        table: see above.
        out: (m, s) overwritten.
    """
    out[:] = full @ _dense(table, full.shape[1])[rows].T


def add_partners(partners: Array, starts: Array, slopes: Array, table: Rows, out: Array) -> None:
    """Adds the gradients of users' rows by their pairs: ``out[t] += sum_m slopes[m] * table[partners[m]]``.

    m goes over ``starts[t] <= m < starts[t + 1]``.

    Args:
        partners: (pairs,) int32 items.
        starts: (m + 1,) int32.
        slopes: (pairs,) derivative of the loss by each pair's score.
        table: see above.
        out: (m, dim) added to.
    """
    dense = _dense(table, out.shape[1])
    for t in range(len(out)):
        pairs = slice(starts[t], starts[t + 1])
        out[t] += slopes[pairs] @ dense[partners[pairs]]


def add_block(rows: Array, slopes: Array, table: Rows, out: Array) -> None:
    """Adds the gradients of users' rows by a block: ``out[t] += sum_s slopes[t, s] * table[rows[s]]``.

    Args:
        rows: (s,) int32 items.
        slopes: (m, s) derivative of the loss by each score, 0 where an item does not count.
        table: see above.
        out: (m, dim) added to.
    """
    out += slopes @ _dense(table, out.shape[1])[rows]


def pull_pairs(
    full: Array,
    members: Array,
    starts: Array,
    rows: Array,
    slopes: Array,
    owners: Array,
    table: Rows,
    active: Array,
    explored: tuple[Array, Array],
) -> None:
    """Adds the gradients of items' rows by the pairs they are in, item by item.

    The row ``rows[g]`` gets ``sum_m slopes[m] * full[owners[m]]`` over the pairs m in
    ``members[starts[g]:starts[g + 1]]``.

    Args:
        full: (m, dim) every entry of the users' rows.
        members: (pairs,) int32 pairs, by item.
        starts: (groups + 1,) int32.
        rows: (groups,) int32 items, none twice.
        slopes: (pairs,) derivative of the loss by each pair's score.
        owners: (pairs,) int32 place of each pair's user in ``full``.
        table, active, explored: see above.
    """
    for g, row in enumerate(rows):
        pairs = members[starts[g] : starts[g + 1]]
        _add(table, row, slopes[pairs] @ full[owners[pairs]], active, explored)


def turn(block: Array, out: Array) -> None:
    """Writes the columns of ``block`` (m, n) as the rows of ``out`` (n, m)."""
    out[:] = block.T


def pull_block(
    by_column: Array,
    rows: Array,
    slopes: Array,
    table: Rows,
    active: Array,
    explored: tuple[Array, Array],
) -> None:
    """Adds the gradients of a block of items' rows: ``rows[s]`` gets ``by_column @ slopes[s]``.

    Args:
        by_column: (dim, m) every entry of the users' rows, column by column.
        rows: (s,) int32 items, none twice.
        slopes: (s, m) derivative of the loss by each score, 0 where an item does not count.
        table, active, explored: see above.
    """
    for row, own in zip(rows, slopes, strict=True):
        _add(table, row, by_column @ own, active, explored)


def _dense(table: Rows, dim: int) -> Array:
    """Spreads the rows out: (n_items, dim)."""
    dense = np.zeros((len(table.starts), dim), dtype=table.values.dtype)
    for row, (start, end) in enumerate(zip(table.starts, table.ends, strict=True)):
        dense[row, table.columns[start:end]] = table.values[start:end]
    return dense


def _add(table: Rows, row: int, dense: Array, active: Array, explored: tuple[Array, Array]) -> None:
    """Adds ``dense`` (dim,), the gradient of a whole ``row``, to both places that ask for it."""
    own = slice(table.starts[row], table.ends[row])
    active[own] += dense[table.columns[own]]
    slots, sums = explored
    if slots[row] >= 0:
        sums[slots[row]] += dense
