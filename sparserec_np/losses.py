"""Losses: what a batch's scores cost, and the slope of that cost at each score.

A loss is a row of a table: its name, and the kernel of its slopes for each way of drawing negatives. The
equations stand in ``kernels/reference/slopes.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sparserec_np.batches import Batch
from sparserec_np.errors import ConfigError
from sparserec_np.table import Array


class Scores(NamedTuple):
    """Scores of a batch, which :func:`slopes` overwrites with the slopes of the loss.

    Attributes:
        positives: (b,) score of each pair.
        negatives: (b,) score of each pair's negative; or (groups, s), each user's scores of the shared block,
            -inf where the user touched the item.
        valid: (groups,) int32 number of shared negatives that count for each user; empty where negatives are
            not shared.
    """

    positives: Array
    negatives: Array
    valid: Array


@dataclass(frozen=True)
class Loss:
    """A loss of pairs against their negatives.

    Attributes:
        name: as on the command line.
        block: name of the slope kernel for a shared block of negatives.
        pairs: name of the one for a negative each, or None where the loss makes no sense there.
        decay: L2 weight by default; the slopes of one loss are far smaller than those of another.
    """

    name: str
    block: str
    pairs: str | None
    decay: float

    def slopes(self, batch: Batch, scores: Scores) -> Array:
        """(b,) losses of the pairs; ``scores`` are overwritten with slopes, summed over a user's pairs where shared.

        Raises:
            ConfigError: the loss wants a block of negatives, and each pair of the batch has one of its own.
        """
        from sparserec_np.kernels.compiled import slopes

        kernel = self.block if batch.shared else self.pairs
        if kernel is None:
            raise ConfigError(f"The loss {self.name} needs a block of negatives, found one for each pair")
        losses = np.empty_like(scores.positives)
        if batch.shared:
            getattr(slopes, kernel)(
                batch.users.starts, scores.positives, scores.negatives, scores.valid, losses
            )
        else:
            getattr(slopes, kernel)(scores.positives, scores.negatives, losses)
        return losses


LOSSES = {
    "bpr": Loss("bpr", block="bpr_block", pairs="bpr_pairs", decay=0.001),
    "softmax": Loss("softmax", block="softmax_block", pairs=None, decay=0.03),
}
