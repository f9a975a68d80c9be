"""Exact top-k lists over all items, in plain NumPy.

The specification of ``kernels.compiled.ranking``.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array, SparseTable


def top_items(
    users: SparseTable,
    items_by_dimension: SparseTable,
    n_items: int,
    seen_indptr: Array,
    seen_items: Array,
    rows: Array,
    out_items: Array,
    out_scores: Array,
) -> None:
    """Fills, for each of ``rows``, the k best items that the user has not seen, best first.

    The score of item i for user u is ``sum_c users[u, c] * items[i, c]`` over the dimensions stored
    in row u, added up from zero in ascending order in the precision of the tables. Column
    ``items_by_dimension.rows + i`` of a user's row is item i's own, where that has a 1. Of equal
    scores the lower item comes first. Where fewer than k items are left, the list ends with items
    -1 and scores -inf.

    Args:
        users: one row for each user; columns ascending, values finite.
        items_by_dimension: one row for each dimension, which lists item numbers (int32, ascending)
            and their values, of the dtype of ``users.values``; finite, and so small that no score
            overflows.
        n_items: number of items, those without entries included.
        seen_indptr: (users.rows + 1,) int64, indexed by user row like ``users.indptr``.
        seen_items: item numbers (int32), ascending within a user.
        rows: (m,) int32, the user rows to rank, in any order.
        out_items: (m, k) int32, k >= 1, overwritten.
        out_scores: (m, k) of the values' dtype, overwritten.
    """
    k = out_items.shape[1]
    out_items[:] = -1
    out_scores[:] = -np.inf
    for place, row in enumerate(rows):
        scores = np.zeros(n_items, dtype=users.values.dtype)
        for entry in range(users.indptr[row], users.indptr[row + 1]):
            c = int(users.columns[entry])
            if c >= items_by_dimension.rows:
                scores[c - items_by_dimension.rows] += users.values[entry]
                continue
            begin, end = items_by_dimension.indptr[c], items_by_dimension.indptr[c + 1]
            scores[items_by_dimension.columns[begin:end]] += (
                users.values[entry] * items_by_dimension.values[begin:end]
            )
        unseen = np.ones(n_items, dtype=bool)
        unseen[seen_items[seen_indptr[row] : seen_indptr[row + 1]]] = False
        candidates = np.flatnonzero(unseen)
        best = candidates[np.argsort(-scores[candidates], kind="stable")[:k]]
        out_items[place, : len(best)] = best
        out_scores[place, : len(best)] = scores[best]
