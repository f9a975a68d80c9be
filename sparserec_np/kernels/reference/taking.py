"""Numbers that threads take one after the other: the specification of ``kernels.compiled.taking``."""

from __future__ import annotations

from sparserec_np.data.table import Array


def take(taken: Array) -> int:
    """Takes the next number; no two calls get the same, whatever threads they are on.

    Args:
        taken: (1,) int64, how many were taken before; one more afterwards.

    >>> import numpy as np
    >>> taken = np.zeros(1, np.int64)
    >>> take(taken), take(taken)
    (0, 1)
    """
    taken[0] += 1
    return int(taken[0]) - 1
