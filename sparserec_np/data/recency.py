"""How much each interaction of a user counts: the later, the more.

Of a user's interactions in the order of their times, the k-th from the last counts ``k ** -power``.
All from the 256th on count as that one does, so that a byte holds what there is to know. A power of
0 lets all count alike. That it is a power of the place, and not of the time that has gone by, is
our choice: it asks for an order alone, and means the same for busy and for quiet users.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.interactions import FEW_PAIRS, Interactions
from sparserec_np.runtime import AGES, recency_levels

Array = npt.NDArray[Any]


def ages_of(log: Interactions) -> Array:
    """Counts how many of a user's interactions came after each: ``(n,)`` uint8, 255 for more.

    Of equal times, the later in item order counts as the later. Without times all are 0.

    >>> ages_of(Interactions.from_pairs([0, 0, 0, 1], [0, 1, 2, 0], times=[5, 9, 7, 1])).tolist()
    [2, 0, 1, 0]
    """
    return np.minimum(later_ones(log), AGES - 1).astype(np.uint8)


def later_ones(log: Interactions) -> Array:
    """Counts how many of a user's interactions came after each: ``(n,)`` int32; see :func:`ages_of`."""
    counts = np.zeros(log.n_interactions, dtype=np.int32)
    if log.times is None:
        return counts
    for first, last in log.user_blocks(FEW_PAIRS):
        bounds = log.indptr[first : last + 1]
        ends = np.repeat(bounds[1:] - bounds[0], np.diff(bounds))
        order = np.lexsort((log.times[bounds[0] : bounds[-1]], ends))
        own = counts[bounds[0] : bounds[-1]]
        own[order] = ends - 1 - np.arange(order.size)  # sorting moves nobody out of their row
    return counts


class Touched:
    """What users touched, and how much each of it counts in their rows.

    Attributes:
        log: the interactions.
        power: of recency; 0 where all count alike.
        ages: ``(n,)`` uint8; see :func:`ages_of`.
    """

    def __init__(self, log: Interactions, power: float = 0.0) -> None:
        self.log = log
        self.power = power
        nothing = np.broadcast_to(np.uint8(0), log.n_interactions)  # which is a byte
        self.ages = ages_of(log) if power else nothing
        self._levels = recency_levels(power)

    @property
    def nbytes(self) -> int:
        """Bytes of the ages."""
        return int(self.ages.nbytes) if self.power else 0

    def of_users(self, users: Array) -> tuple[Array, Array, Array]:
        """Gathers what ``users`` (m,) touched, one user after another.

        Returns:
            starts ``(m + 1,)`` int64, items ``(n,)`` int32, and shares ``(n,)`` float32: how much
            each counts, by its age, times its weight among the user's own (``own_weights``).
        """
        bounds = self.log.indptr
        lengths = bounds[users + 1] - bounds[users]
        starts = np.zeros(len(users) + 1, dtype=np.int64)
        np.cumsum(lengths, out=starts[1:])
        places = np.arange(starts[-1]) + np.repeat(bounds[users] - starts[:-1], lengths)
        shares = self._levels[self.ages[places]]
        if self.log.own_weights is not None:
            shares *= self.log.own_weights[places]
        return starts, self.log.items[places], shares
