"""Schedules of learning rates and of pruning over the course of training.

All of it is our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


def cosine(progress: float) -> float:
    """Falls from 1 at ``progress`` 0 to 0 at 1 and beyond, along half a cosine wave.

    >>> [round(cosine(x), 3) for x in (0, 0.5, 1, 2)]
    [1.0, 0.5, 0.0, 0.0]
    """
    return 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


@dataclass(frozen=True)
class DropSchedule:
    """The times at which the mask changes, and the fraction of entries that changes then.

    Attributes:
        start: drop fraction at first, in [0, 1); anneals to zero as :func:`cosine`.
        until: part of the training after which the mask stays.
        interval: epochs between topology updates.
    """

    start: float = 0.3
    until: float = 0.75
    interval: int = 1

    def fraction(self, epoch: int, epochs: int) -> float:
        """Computes the drop fraction after ``epoch`` (from 1) of ``epochs``.

        0 if the mask is to stay as it is.

        >>> [round(DropSchedule(0.4, 0.5).fraction(epoch, 8), 3) for epoch in (1, 2, 3, 4, 5)]
        [0.341, 0.2, 0.059, 0.0, 0.0]
        """
        if epoch % self.interval:
            return 0.0
        return self.start * cosine(epoch / (self.until * epochs)) if self.until > 0 else 0.0
