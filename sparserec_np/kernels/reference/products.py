"""Products with the matrix of interactions, in plain NumPy.

The specification of ``kernels.compiled.products``.

Some arguments recur:

* ``indptr`` (users + 1,) int64 and ``items`` (n,) int32: user u touched ``items[indptr[u]:indptr[u
  + 1]]``, none twice. In the matrix R (users, items) there is a one for each of these pairs.
* ``block`` (items, 16): 16 columns of a matrix that R is multiplied with.

All floats have one dtype, float32 or float64. Sums are made in the order of users, and of a user's
items.
"""

from __future__ import annotations

from sparserec_np.data.table import Array
from sparserec_np.kernels.arguments import STRIP_COLUMNS


def add_gram_product(indptr: Array, items: Array, weights: Array, block: Array, out: Array) -> None:
    """Adds a product with R and its transpose: ``out += R^T diag(weights) R block``.

    The transpose of R is not made.

    Args:
        indptr, items: see above.
        weights: (users,) one for each user.
        block: see above.
        out: (items, 16) added to; must not overlap ``block``.
    """
    for user in range(len(weights)):
        own = items[indptr[user] : indptr[user + 1]]
        out[own] += weights[user] * block[own].sum(axis=0)


def sum_items(indptr: Array, items: Array, users: Array, block: Array, first: int, out: Array) -> None:
    """Makes some rows of ``R block``.

    ``out[t, first:first + 16] = sum of block[i] over the items i of users[t]``.

    Args:
        indptr, items: see above.
        users: (m,) int64.
        block: see above.
        first: number of the block's first column.
        out: (m, columns) of which these 16 columns are overwritten; columns is a multiple of 16.
    """
    for t, user in enumerate(users):
        out[t, first : first + STRIP_COLUMNS] = block[items[indptr[user] : indptr[user + 1]]].sum(axis=0)
