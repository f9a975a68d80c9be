"""Users as weighted sums of item rows, and the way back, in plain NumPy.

This is the specification of ``kernels.compiled.fism``. A user u is ``x_u = sum_j r_uj c_j w_j``
over the items j that they touched, with w_j a row of a table of items alone, c_j its weight, and
r_uj the share with which u's touching of j counts. A user's score with one of these items leaves
that item's own part out: it is ``x_u . w_i - r_ui c_i w_i . w_i``.

Arguments that recur:

* ``table`` of n_items rows and ``dim`` columns, values float32 or float64, finite; read only. All
  other floats have the dtype of its values.
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

from typing import Any

import numpy as np

from sparserec_np.data.table import Array, SparseTable


def sum_rows(
    table: SparseTable, weights: Array, starts: Array, items: Array, shares: Array, out: Array
) -> None:
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
    dense = table.to_dense(out.shape[1])
    for t in range(len(out)):
        part = slice(starts[t], starts[t + 1])
        own = items[part]
        out[t] = (shares[part] * weights[own]) @ dense[own]


def cut_sums(
    table: SparseTable,
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


def own_products(table: SparseTable, rows: Array, out: Array) -> None:
    """Multiplies rows with themselves: ``out[t] = sum_c table[rows[t], c] ** 2``.

    Args:
        table: see above.
        rows: (m,) int32, any row, any number of times.
        out: (m,) of the values' dtype, overwritten.
    """
    for t, row in enumerate(rows):
        own = table.values[table.indptr[row] : table.indptr[row + 1]]
        out[t] = own @ own


def spread_rows(
    table: SparseTable,
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
    dense = table.to_dense(local.shape[1])
    for g, row in enumerate(rows):
        part = slice(starts[g], starts[g + 1])
        total = shares[part] @ local[members[part]]
        _add(table, row, weights[row] * total, active, explored)
        weight_gradient[row] += dense[row] @ total


def leave_out(
    table: SparseTable,
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
    dense = table.to_dense(explored[1].shape[1])
    for g, row in enumerate(rows):
        slope = slopes[members[starts[g] : starts[g + 1]]].sum()
        _add(table, row, -2 * slope * weights[row] * dense[row], active, explored)
        weight_gradient[row] -= slope * (dense[row] @ dense[row])


def score_pairs(full: Array, starts: Array, partners: Array, table: SparseTable, out: Array) -> None:
    """Scores users' pairs: ``out[m] = full[t] . table[partners[m]]`` for ``starts[t] <= m < starts[t + 1]``.

    Args:
        full: (m, dim) every entry of the users' rows.
        starts: (m + 1,) int32 bounds of each user's pairs.
        partners: (pairs,) int32 items.
        table: see above.
        out: (pairs,) overwritten.
    """
    dense = table.to_dense(full.shape[1])
    for t, own in enumerate(full):
        pairs = slice(starts[t], starts[t + 1])
        out[pairs] = dense[partners[pairs]] @ own


def score_block(full: Array, rows: Array, table: SparseTable, out: Array) -> None:
    """Scores all users with a block of items: ``out[t, s] = full[t] . table[rows[s]]``.

    Args:
        full: (m, dim) every entry of the users' rows.
        rows: (s,) int32 items.
        table: see above.
        out: (m, s) overwritten.
    """
    out[:] = full @ table.to_dense(full.shape[1])[rows].T


def add_partners(partners: Array, starts: Array, slopes: Array, table: SparseTable, out: Array) -> None:
    """Adds the gradients of users' rows by their pairs: ``out[t] += sum_m slopes[m] * table[partners[m]]``.

    m goes over ``starts[t] <= m < starts[t + 1]``.

    Args:
        partners: (pairs,) int32 items.
        starts: (m + 1,) int32.
        slopes: (pairs,) derivative of the loss by each pair's score.
        table: see above.
        out: (m, dim) added to.
    """
    dense = table.to_dense(out.shape[1])
    for t in range(len(out)):
        pairs = slice(starts[t], starts[t + 1])
        out[t] += slopes[pairs] @ dense[partners[pairs]]


def add_block(rows: Array, slopes: Array, table: SparseTable, out: Array) -> None:
    """Adds the gradients of users' rows by a block: ``out[t] += sum_s slopes[t, s] * table[rows[s]]``.

    Args:
        rows: (s,) int32 items.
        slopes: (m, s) derivative of the loss by each score, 0 where an item does not count.
        table: see above.
        out: (m, dim) added to.
    """
    out += slopes @ table.to_dense(out.shape[1])[rows]


def pull_pairs(
    full: Array,
    members: Array,
    starts: Array,
    rows: Array,
    slopes: Array,
    owners: Array,
    table: SparseTable,
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


def pull_block(
    by_column: Array,
    rows: Array,
    slopes: Array,
    table: SparseTable,
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


def _add(table: SparseTable, row: int, dense: Array, active: Array, explored: tuple[Array, Array]) -> None:
    """Adds ``dense`` (dim,), the gradient of a whole ``row``, to both places that ask for it."""
    own = slice(table.indptr[row], table.indptr[row + 1])
    active[own] += dense[table.columns[own]]
    slots, sums = explored
    if slots[row] >= 0:
        sums[slots[row]] += dense


def add_marked_pairs(
    touched_starts: Array,
    touched: Array,
    shares: Array,
    starts: Array,
    partners: Array,
    table: SparseTable,
    out: Array,
) -> None:
    """Adds what the touched items say of a partner: ``out[m] += sum_j share_j table[partners[m], j]``.

    j goes over ``touched[k]`` and ``shares[k]`` for ``touched_starts[t] <= k < touched_starts[t +
    1]``, t being the user with ``starts[t] <= m < starts[t + 1]``.

    Args:
        touched_starts: (users + 1,) int64.
        touched: int32, none twice for a user.
        shares: float32, one for each of them.
        starts: (users + 1,) int32 or int64.
        partners: (pairs,) int32 rows of the table.
        table: n_items rows and as many columns.
        out: (pairs,) of the values' dtype, added to.
    """
    dense = table.to_dense(table.rows)
    for t in range(len(starts) - 1):
        own = slice(touched_starts[t], touched_starts[t + 1])
        part = slice(starts[t], starts[t + 1])
        out[part] += dense[partners[part]][:, touched[own]] @ shares[own]


def add_marked_block(
    touched_starts: Array, touched: Array, shares: Array, rows: Array, table: SparseTable, out: Array
) -> None:
    """Adds what the touched items say of a block: ``out[t, s] += sum_j share_j table[rows[s], j]``.

    As :func:`add_marked_pairs`, with all ``rows`` (m,) int32 for each user. ``out`` is (users, m).
    """
    dense = table.to_dense(table.rows)[rows]
    for t in range(len(out)):
        own = slice(touched_starts[t], touched_starts[t + 1])
        out[t] += dense[:, touched[own]] @ shares[own]


def copy_part(table: SparseTable, bounds: Array, rows: Array, own: Array) -> None:
    """Copies the first values of ``rows`` (m,), none twice.

    Of row r the first ``bounds[r + 1] - bounds[r]`` go to ``own[bounds[r]:bounds[r + 1]]``.

    Args:
        table: see above.
        bounds: (n_items + 1,) integers, rising, from 0.
        rows: see above.
        own: (``bounds[-1]``,) of the values' dtype; those of other rows stay as they are.
    """
    for row in rows:
        first = slice(bounds[row], bounds[row + 1])
        own[first] = table.values[table.indptr[row] :][: bounds[row + 1] - bounds[row]]


def spread_pairs(table: SparseTable, rows: Array, sources: Array, values: Array, factors: Array) -> None:
    """Makes the values of some rows of a table of pairs that speak both ways, each times its column's factor.

    ``table[r, c] = factors[c] * values[sources[k]]``, k being the entry's place.

    Args:
        table: n_items rows and as many columns; the values of the rows are overwritten.
        rows: (m,) int32, none twice.
        sources: (entries,) integers, places in ``values``.
        values: (n,) of the table's dtype.
        factors: (n_items,) likewise.
    """
    for row in rows:
        own = slice(table.indptr[row], table.indptr[row + 1])
        table.values[own] = factors[table.columns[own]] * values[sources[own]]


def gather_pairs(
    table: SparseTable,
    rows: Array,
    sources: Array,
    gradient: Array,
    values: Array,
    factors: Array,
    active: Array,
    of_factors: Array,
) -> None:
    """Adds the gradient of what :func:`spread_pairs` makes to those of the values and of the factors.

    That of the rows is set to zero.

    Args:
        table: see there; its values are not read.
        rows: see there.
        sources: see there.
        gradient: (entries,) by the table's values.
        values, factors: see there.
        active: (n,) by the values, added to.
        of_factors: (n_items,) by the factors, added to.
    """
    for row in rows:
        own = slice(table.indptr[row], table.indptr[row + 1])
        np.add.at(active, sources[own], factors[table.columns[own]] * gradient[own])
        np.add.at(of_factors, table.columns[own], gradient[own] * values[sources[own]])
        gradient[own] = 0


def replies(
    table: SparseTable,
    starts: Array,
    items: Array,
    marks: Array,
    begins: Array,
    columns: Array,
    values: Array,
    counts: Array,
) -> None:
    """Sums up what the rows of users' items hold: ``sum over m of marks[m] * table[items[m], c]``.

    Row t gets the sums of ``starts[t] <= m < starts[t + 1]``, in that order, in all columns that
    any of these rows has an entry in, ascending.

    Args:
        table: n_items rows and as many columns.
        starts: (users + 1,) integers.
        items: (n,) int32.
        marks: (n,) of the values' dtype.
        begins: (users + 1,) integers, rising from 0: row t has room from ``begins[t]`` on, for as
            many entries as its items have together.
        columns: (``begins[-1]``,) int32; the first ``counts[t]`` of row t are overwritten.
        values: (``begins[-1]``,) of the values' dtype, likewise.
        counts: (users,) int32, overwritten by the number of columns.
    """
    for t in range(len(counts)):
        sums: dict[int, Any] = {}
        for m in range(starts[t], starts[t + 1]):
            for k in range(table.indptr[items[m]], table.indptr[items[m] + 1]):
                column = int(table.columns[k])
                sums[column] = sums.get(column, table.values.dtype.type(0)) + marks[m] * table.values[k]
        own = slice(begins[t], begins[t] + len(sums))
        counts[t], columns[own], values[own] = len(sums), sorted(sums), [sums[c] for c in sorted(sums)]


def move_part(indptr: Array, bounds: Array, rows: Array, gradient: Array, active: Array) -> None:
    """Adds ``gradient`` of the first entries of ``rows`` (m,), none twice, to ``active``, and sets it to zero.

    Args:
        indptr: (n_items + 1,) integers, where the rows begin in ``active``.
        bounds: (n_items + 1,) where the first entries of each row begin in ``gradient``.
        rows: see above.
        gradient: (``bounds[-1]``,)
        active: (nnz,)
    """
    for row in rows:
        own = slice(bounds[row], bounds[row + 1])
        active[indptr[row] : indptr[row] + bounds[row + 1] - bounds[row]] += gradient[own]
        gradient[own] = 0


def pull_marked_pairs(
    pairs: tuple[Array, Array, Array, Array, Array],
    of_users: tuple[Array, Array, Array],
    table: SparseTable,
    active: Array,
) -> None:
    """Adds the gradients of what touched items say of partners, as :func:`add_marked_pairs` adds it.

    The entry j of row ``rows[g]`` gets ``sum_m slopes[m] share_j``, over the pairs m of the group
    whose users touched j.

    Args:
        pairs: (members, starts, rows, slopes, owners); rows ``rows`` (groups,) int32, none twice,
            have the pairs ``members[starts[g]:starts[g + 1]]``, places in ``slopes``, the
            derivatives of the loss by each pair's score, and in ``owners``, int32 places of users.
        of_users: (starts, touched, shares) of users, as in :func:`add_marked_pairs`, rising.
        table: n_items rows and as many columns, which rise in each row.
        active: see above.
    """
    members, starts, rows, slopes, owners = pairs
    bounds, touched, shares = of_users
    for g, row in enumerate(rows):
        dense = np.zeros(table.rows, dtype=active.dtype)
        for m in members[starts[g] : starts[g + 1]]:
            own = slice(bounds[owners[m]], bounds[owners[m] + 1])
            dense[touched[own]] += slopes[m] * shares[own]
        _add_marked(table, row, dense, active)


def pull_marked_block(
    rows: Array,
    slopes: Array,
    touched_by: tuple[Array, Array, Array, Array],
    table: SparseTable,
    active: Array,
) -> None:
    """Adds the gradients of what touched items say of a block, as :func:`add_marked_block` adds it.

    The entry j of row ``rows[s]`` gets ``sum_u slopes[s, u] share_j`` over the users who touched j.

    Args:
        rows: (s,) int32, none twice.
        slopes: (s, users) derivative of the loss by each score, 0 where an item does not count.
        touched_by: (places, members, shares, bounds): item j was touched by the users
            ``members[bounds[p]:bounds[p + 1]]`` with those ``shares``, p being ``places[j]``, or by
            nobody where that is -1. ``places`` is (n_items,) int32.
        table: n_items rows and as many columns.
        active: see above.
    """
    places, members, shares, bounds = touched_by
    for row, own in zip(rows, slopes, strict=True):
        dense = np.zeros(table.rows, dtype=active.dtype)
        for item in np.flatnonzero(places >= 0):
            part = slice(bounds[places[item]], bounds[places[item] + 1])
            dense[item] = own[members[part]] @ shares[part]
        _add_marked(table, row, dense, active)


def _add_marked(table: SparseTable, row: int, dense: Array, active: Array) -> None:
    """Adds the stored part of ``dense`` (n_items,), the gradient of a whole ``row``."""
    own = slice(table.indptr[row], table.indptr[row + 1])
    active[own] += dense[table.columns[own]]
