"""Baselines whose tables are counted, not trained, and then scored and served as any other.

Both are what a learnt model has to beat (Dacrema et al. 2019).
"""

from __future__ import annotations

import itertools

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.matrices import matrix_of_ones
from sparserec_np.data.table import Array, SparseTable, column_dtype, index_dtype
from sparserec_np.errors import DataError
from sparserec_np.machine.threads import made_in_order, shared_threads

ITEMS_AT_ONCE = 256  # items whose similarities to all others exist at once
MOST_ITEMS = 65_536  # as many columns as a table can have


def popularity(log: Interactions) -> tuple[SparseTable, int]:
    """Ranks by how many users an item has: a stacked table of dimension 1, and that 1.

    A user's row is 1, an item's its number of users over that of the most popular item.
    """
    degrees = log.item_degrees / max(int(log.item_degrees.max(initial=0)), 1)
    values = np.concatenate([np.ones(log.n_users), degrees]).astype(np.float32)
    return SparseTable.full(values[:, None]), 1


def item_neighbours(log: Interactions, neighbours: int, shrinkage: float) -> tuple[SparseTable, int]:
    """Ranks by how similar an item is to those a user had.

    Returns a stacked table and its columns, one for each item.

    A user's row is 1 in the columns of the user's items. An item's row holds its similarities to
    the ``neighbours`` other items most similar to it,

        s(i, j) = |U_i and U_j| / (sqrt(|U_i| |U_j|) + shrinkage)

    where U_i are the users of item i: the cosine, with a shrinkage term against items of few users
    (Dacrema et al. 2019, section 3). Of equally similar items the lower is kept.

    Raises:
        DataError: more items than a table can have columns.
    """
    if log.n_items > MOST_ITEMS:
        raise DataError(
            f"The model itemknn needs a column for each item, at most {MOST_ITEMS:,}; found {log.n_items:,} items:"
            " train mf, or leave out rare items"
        )
    matrix = matrix_of_ones(log)
    by_item = matrix.T.tocsr()
    roots = np.sqrt(log.item_degrees)

    def of_some(start: int) -> tuple[Array, Array, Array]:
        shared = by_item[start : start + ITEMS_AT_ONCE] @ matrix
        shared.sort_indices()
        owners = np.repeat(np.arange(shared.shape[0]), np.diff(shared.indptr))
        similar = shared.data / (roots[start + owners] * roots[shared.indices] + shrinkage)
        similar[shared.indices == start + owners] = 0
        kept = [
            begin + _largest(similar[begin:end], neighbours)
            for begin, end in itertools.pairwise(shared.indptr)
        ]
        places = np.concatenate(kept)
        return np.array([len(some) for some in kept]), shared.indices[places], similar[places]

    parts = [(np.diff(log.indptr), log.items, matrix.data)]
    parts += made_in_order(of_some, range(0, log.n_items, ITEMS_AT_ONCE), shared_threads())
    lengths, columns, values = zip(*parts, strict=True)
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    table = SparseTable(
        indptr.astype(index_dtype(int(indptr[-1]))),
        np.concatenate(columns).astype(column_dtype(log.n_items)),
        np.concatenate(values).astype(np.float32),
    )
    return table, log.n_items


def _largest(numbers: Array, count: int) -> Array:
    """Finds ascending positions of the ``count`` largest ``numbers`` (m,) above 0.

    Of equal ones the first.
    """
    over = len(numbers) - count
    if over <= 0:
        return np.flatnonzero(numbers > 0)
    least = np.partition(numbers, over)[over]
    kept = numbers > max(least, 0)
    if least > 0:
        kept[np.flatnonzero(numbers == least)[: count - np.count_nonzero(kept)]] = True
    return np.flatnonzero(kept)
