"""Items that users have together, and how near to each other.

The specification of each function is its twin's in ``kernels/reference/co_occurrence.py``.
"""

from __future__ import annotations

from typing import Any

import numba

from sparserec_np.kernels.doors import parallel


@parallel
def pair_weights(
    indptr: Any,
    items: Any,
    owners: Any,
    later: Any,
    norms: Any,
    bounds: Any,
    places: Any,
    nearness: Any,
    first: Any,
    out: Any,
) -> None:
    most = len(nearness) - 1
    for r in numba.prange(len(out)):
        row = out[r]
        row[:] = 0
        for m in range(bounds[first + r], bounds[first + r + 1]):
            place = places[m]
            for q in range(indptr[owners[place]], place):
                gap = abs(later[q] - later[place])
                row[items[q]] += nearness[min(gap, most)] * norms[place] * norms[q]
