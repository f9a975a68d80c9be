"""Items that users have together, and how near to each other, in plain NumPy.

This is the specification of ``kernels.compiled.co_occurrence``.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array


def pair_weights(
    indptr: Array,
    items: Array,
    owners: Array,
    later: Array,
    norms: Array,
    bounds: Array,
    places: Array,
    nearness: Array,
    first: int,
    out: Array,
) -> None:
    """Weighs the pairs of some items with all items before them, over the users who touched both.

    Row r is item ``first + r``. For each user who touched it, at place p, and each item j below it
    that this user touched, at place q, ``out[r, j]`` gets ``nearness[g] * norms[p] * norms[q]``, g
    being the number of interactions from one to the other. From the last of ``nearness`` on, it
    stays the same. Of an item itself, and of those behind it, ``out`` is 0.

    Args:
        indptr: (n_users + 1,) bounds of the users' interactions.
        items: (n,) int32 item of each, rising for each user.
        owners: (n,) int32 user of each.
        later: (n,) int32 how many of the user's came later.
        norms: (n,) float32.
        bounds: (n_items + 1,) bounds of the items' interactions.
        places: (n,) where each of these stands in ``items``, ascending for each item.
        nearness: (m,) float32, m 1 or more.
        first: item of the first row.
        out: (rows, n_items) float32, overwritten. Terms are added in the order of the places.
    """
    most = len(nearness) - 1
    for r, row in enumerate(out):
        row[:] = 0
        for place in places[bounds[first + r] : bounds[first + r + 1]]:
            before = slice(indptr[owners[place]], place)
            gaps = np.abs(later[before] - later[place])
            row[items[before]] += nearness[np.minimum(gaps, most)] * norms[place] * norms[before]
