"""Users as weighted sums of item rows, and the way back, in plain NumPy.

This is the specification of ``kernels.compiled.fism``. A user u is ``x_u = sum_j c_j w_j`` over the
items j that they touched, with w_j a row of a table of items alone, and c_j its weight. A user's
score with one of these items leaves that item's own part out: it is ``x_u . w_i - c_i w_i . w_i``.

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

from sparserec_np.data.table import Array, SparseTable


def sum_rows(
    table: SparseTable, weights: Array, indptr: Array, items: Array, users: Array, out: Array
) -> None:
    """Sums each user's weighted item rows: ``out[t] = sum_j weights[j] * table[j]``.

    j goes over the items of ``users[t]`` in the order in which they lie there.

    Args:
        table: see above.
        weights: see above.
        indptr: (n + 1,) int32 or int64; ``items[indptr[u]:indptr[u + 1]]`` are those of user u.
        items: int32 rows of the table; a user may have none.
        users: (m,) int32, any user, any number of times.
        out: (m, dim) of the values' dtype, overwritten; a user without items gets zeros.
    """
    dense = table.to_dense(out.shape[1])
    for t, user in enumerate(users):
        own = items[indptr[user] : indptr[user + 1]]
        out[t] = weights[own] @ dense[own]


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
    starts: Array,
    rows: Array,
    local: Array,
    active: Array,
    explored: tuple[Array, Array],
    weight_gradient: Array,
) -> None:
    """Adds the gradients of what ``sum_rows`` summed, item by item.

    With ``s = sum_m local[members[m]]`` over ``starts[g] <= m < starts[g + 1]``, the row
    ``rows[g]`` gets ``weights[rows[g]] * s``, and its weight ``table[rows[g]] . s``.

    Args:
        table: see above.
        weights: see above.
        members: (pairs,) int32, places in ``local``, by item: of the users that touched it.
        starts: (groups + 1,) int32; a group may be empty.
        rows: (groups,) int32 items, none twice.
        local: (m, dim) gradient of each user's sum.
        active, explored, weight_gradient: see above.
    """
    dense = table.to_dense(local.shape[1])
    for g, row in enumerate(rows):
        total = local[members[starts[g] : starts[g + 1]]].sum(axis=0)
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


def _add(table: SparseTable, row: int, dense: Array, active: Array, explored: tuple[Array, Array]) -> None:
    """Adds ``dense`` (dim,), the gradient of a whole ``row``, to both places that ask for it."""
    own = slice(table.indptr[row], table.indptr[row + 1])
    active[own] += dense[table.columns[own]]
    slots, sums = explored
    if slots[row] >= 0:
        sums[slots[row]] += dense
