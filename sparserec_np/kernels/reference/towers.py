"""NeuMF's towers over a sparse table, in plain NumPy.

The specification of ``kernels.compiled.towers``.

Columns of the table from ``first`` on belong to the tower of layers, those before to the tower of
products. For a user and an item with the halves a and b of the first layer (see ``project_rows``),
the tower of layers adds

``out . relu(hidden^T relu(a + b) + bias)``

to a score. ``head = (hidden, bias, out)`` has the shapes (h1, h2), (h2,) and (h2,). All floats have
the dtype of the table's values, float32 or float64. ``rows`` name no row twice, sums have one
writer and a fixed order: the bits do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array, SparseTable

Head = tuple[Array, Array, Array]


def scale_columns(table: SparseTable, rows: Array, n_users: int, factors: Array, scaled: Array) -> None:
    """Scales entries by the factors of their side and column.

    ``scaled[k] = table.values[k] * factors[side, columns[k]]`` for the entries k of ``rows``; the
    rest stays.

    Args:
        table: stacked, of ``dim`` columns.
        rows: (t,) int32, none twice.
        n_users: rows below are users, side 0; the others are items, side 1.
        factors: (2, dim)
        scaled: (nnz,) written to; may be ``table.values``.
    """
    places = table.places(rows)
    sides = np.repeat((rows >= n_users).astype(int), table.indptr[rows + 1] - table.indptr[rows])
    scaled[places] = table.values[places] * factors[sides, table.columns[places]]


def project_rows(table: SparseTable, rows: Array, first: int, weights: Array, out: Array) -> None:
    """Computes halves of the first layer.

    ``out[t, j] = sum_c table[rows[t], first + c] * weights[c, j]``, c ascending.

    Args:
        table: of ``first + m`` columns.
        rows: (t,) int32.
        first: column that the first row of ``weights`` belongs to.
        weights: (m, h1)
        out: (t, h1) overwritten.
    """
    out[:] = table.to_dense(first + len(weights))[rows, first:] @ weights


def pull_projection(
    table: SparseTable,
    rows: Array,
    first: int,
    weights: Array,
    steps: Array,
    gradient: Array,
    explored: tuple[Array, Array],
    partial: Array,
) -> None:
    """Adds gradients of rows and weights of :func:`project_rows`, from those of its result.

    ``d table[rows[t], first + c] = weights[c] . steps[t]``, and
    ``d weights[c] = sum_t table[rows[t], first + c] * steps[t]``.

    Args:
        table, rows, first, weights: as given to :func:`project_rows`; no row twice.
        steps: (t, h1) derivative of the loss by ``out``.
        gradient: (nnz,) of the stored entries, added to.
        explored: (slots, sums) as in ``kernels.reference.gradients``; sums are added to.
        partial: (parts, m, h1) overwritten with sums over parts of the rows, in order; their sum is
            the gradient of the weights. Its last bits depend on the number of parts, not on
            threads.
    """
    dense = table.to_dense(first + len(weights))
    slots, sums = explored
    each = -(-len(rows) // len(partial))
    for part in range(len(partial)):
        some = slice(part * each, (part + 1) * each)
        partial[part] = dense[rows[some], first:].T @ steps[some]
    by_column = np.zeros((len(rows), first + len(weights)), dtype=steps.dtype)
    by_column[:, first:] = steps @ weights.T
    for row, every in zip(rows, by_column, strict=True):
        own = slice(table.indptr[row], table.indptr[row + 1])
        gradient[own] += every[table.columns[own]]
        if slots[row] >= 0:
            sums[slots[row]] += every


def add_scores(left: Array, right: Array, users: Array, items: Array, head: Head, scores: Array) -> None:
    """Adds the tower of layers to the scores of pairs.

    Args:
        left: (n, h1) the users' halves, the bias of the first layer included.
        right: (m, h1) the items' halves.
        users, items: (pairs,) int32 rows of ``left`` and of ``right``.
        head: see the module.
        scores: (pairs,) added to.
    """
    hidden, bias, out = head
    layer = np.maximum(left[users] + right[items], 0)
    scores += np.maximum(layer @ hidden + bias, 0) @ out


def head_gradients(
    left: Array,
    right: Array,
    users: Array,
    items: Array,
    head: Head,
    slopes: Array,
    steps: Array,
    partial: Array,
) -> None:
    """Takes slopes back from the scores to the halves of each pair, and to the head.

    Args:
        left, right, users, items, head: as given to :func:`add_scores`.
        slopes: (pairs,) derivative of the loss by each score.
        steps: (pairs, h1) overwritten with that by ``left[users] + right[items]``.
        partial: (parts, h1 * h2 + 2 * h2) overwritten with sums over parts of the pairs, in order;
            their sum is the gradient of ``hidden``, row after row, then ``bias``, then ``out``.
    """
    hidden, bias, out = head
    each = -(-len(users) // len(partial))
    for part in range(len(partial)):
        some = slice(part * each, (part + 1) * each)
        layer = np.maximum(left[users[some]] + right[items[some]], 0)
        second = layer @ hidden + bias
        back = np.where(second > 0, slopes[some, None] * out, 0)
        steps[some] = np.where(layer > 0, back @ hidden.T, 0)
        partial[part] = np.concatenate(
            [(layer.T @ back).ravel(), back.sum(axis=0), slopes[some] @ np.maximum(second, 0)]
        )


def sum_steps(rows: Array, starts: Array, order: Array, steps: Array, sums: Array) -> None:
    """Sums steps by group.

    ``sums[rows[g]] = sum_m steps[order[m]]`` over ``starts[g] <= m < starts[g + 1]``.

    Args:
        rows: (groups,) int32, none twice.
        starts: (groups + 1,) int32.
        order: (pairs,) int32 places in ``steps``.
        steps: (pairs, h1)
        sums: (any, h1) written to.
    """
    for g, row in enumerate(rows):
        sums[row] = steps[order[starts[g] : starts[g + 1]]].sum(axis=0)


def top_items(
    users: SparseTable,
    items_by_dimension: SparseTable,
    left: Array,
    right: Array,
    head: Head,
    seen_indptr: Array,
    seen_items: Array,
    rows: Array,
    out_items: Array,
    out_scores: Array,
) -> None:
    """Fills, for each of ``rows``, the k best items that the user has not seen, best first.

    A score is the inner product of two rows, added up from zero in ascending order of the columns,
    and after it the tower of layers. Of equal scores the lower item comes first. Where fewer than k
    items are left, the list ends with items -1 and scores -inf.

    Args:
        users: the tower of products: one row for each user.
        items_by_dimension: one row for each dimension, which lists item numbers (int32, ascending)
            and their values.
        left: (n_users, h1) as in :func:`add_scores`.
        right: (h1, n_items) the items' halves, an item a column.
        head: see the module.
        seen_indptr, seen_items, rows, out_items, out_scores: as in
            ``kernels.reference.ranking.top_items``.
    """
    n_items = right.shape[1]
    every = np.arange(n_items)
    out_items[:] = -1
    out_scores[:] = -np.inf
    for place, row in enumerate(rows):
        scores = np.zeros(n_items, dtype=left.dtype)
        for entry in range(users.indptr[row], users.indptr[row + 1]):
            c = int(users.columns[entry])
            listed = slice(items_by_dimension.indptr[c], items_by_dimension.indptr[c + 1])
            scores[items_by_dimension.columns[listed]] += (
                users.values[entry] * items_by_dimension.values[listed]
            )
        add_scores(left, right.T, np.full(n_items, row), every, head, scores)
        unseen = np.ones(n_items, dtype=bool)
        unseen[seen_items[seen_indptr[row] : seen_indptr[row + 1]]] = False
        candidates = np.flatnonzero(unseen)
        best = candidates[np.argsort(-scores[candidates], kind="stable")[: out_items.shape[1]]]
        out_items[place, : len(best)] = best
        out_scores[place, : len(best)] = scores[best]
