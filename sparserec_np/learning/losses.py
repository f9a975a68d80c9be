"""Losses: what a batch's scores cost, and the slope of that cost at each score.

A loss is a row of a table: its name, and the kernel of its slopes for each way of drawing
negatives. The equations stand in ``kernels/reference/slopes.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError
from sparserec_np.learning.batches import Batch


class Scores(NamedTuple):
    """Scores of a batch, which :func:`slopes` overwrites with the slopes of the loss.

    Attributes:
        positives: (b,) score of each pair.
        negatives: (b,) score of each pair's negative; or (groups, s), each user's scores of the
            shared block, -inf where the user touched the item.
        valid: (groups,) int32 number of shared negatives that count for each user; empty where
            negatives are not shared.
    """

    positives: Array
    negatives: Array
    valid: Array


class Objective(Protocol):
    """Anything that turns the scores of a batch into slopes."""

    def slopes(self, batch: Batch, scores: Scores) -> Array:
        """Turns scores into slopes, in place; see :meth:`Loss.slopes`."""
        ...


@dataclass(frozen=True)
class Loss:
    """A loss of pairs against their negatives.

    Attributes:
        name: as on the command line.
        source: who proposed it.
        block: name of the slope kernel for a shared block of negatives.
        pairs: name of the one for a negative each, or None where the loss makes no sense there.
        decay: L2 weight by default; the slopes of one loss are far smaller than those of another.
        cosine: whether it makes sense for cosines alone.
        temperature: that cosines are divided by, by default.
        settings: what both kernels are given after the arrays, by name, and its default.
        joint: whether the pairs that a user has in a batch share one loss.
    """

    name: str
    source: str
    block: str
    pairs: str | None
    decay: float
    cosine: bool = False
    temperature: float = 0.1
    settings: tuple[tuple[str, float], ...] = ()
    joint: bool = False

    def with_settings(self, **values: float | None) -> Loss:
        """Makes the same loss with those of its settings that are given and not None.

        Raises:
            ConfigError: a setting that this loss does not have.
        """
        own = dict(self.settings)
        for name, value in values.items():
            if value is not None and name not in own:
                having = [loss.name for loss in LOSSES.values() if name in dict(loss.settings)]
                raise ConfigError(
                    f"{name} is no setting of the loss {self.name}, but of {', '.join(having)}; leave it out"
                )
        given = {name: value for name, value in values.items() if value is not None}
        return replace(self, settings=tuple((own | given).items()))

    def slopes(self, batch: Batch, scores: Scores) -> Array:
        """Computes the losses of the pairs, (b,), and overwrites ``scores`` with slopes.

        Where negatives are shared, their slopes are summed over a user's pairs. Where pairs have
        weights, the loss of each is multiplied by its own.

        Raises:
            ConfigError: the loss wants a block of negatives, and each pair of the batch has one of
                its own.
        """
        if batch.weights is None:
            return self._slopes(batch, batch.users.starts, scores)
        weights = batch.weights.astype(scores.positives.dtype)
        if not batch.shared:
            losses = self._slopes(batch, batch.users.starts, scores)
            scores.negatives[:] *= weights
        elif self.joint:
            losses = self._slopes(batch, batch.users.starts, scores)
            mean = np.add.reduceat(weights, batch.users.starts[:-1]) / batch.users.sizes
            scores.negatives[:] *= mean.astype(weights.dtype)[:, None]
            scores.positives[:] *= np.repeat(mean.astype(weights.dtype), batch.users.sizes)
            return losses * weights
        else:
            losses = self._slopes_apart(batch, scores, weights)
        scores.positives[:] *= weights
        return losses * weights

    def _slopes_apart(self, batch: Batch, scores: Scores, weights: Array) -> Array:
        """Computes losses and slopes of pairs whose shared negatives have slopes of other weights.

        Each pair is a group of its own for that. Memory: (b, s).
        """
        sizes = batch.users.sizes
        alone = Scores(
            scores.positives, np.repeat(scores.negatives, sizes, axis=0), np.repeat(scores.valid, sizes)
        )
        losses = self._slopes(batch, np.arange(batch.size + 1, dtype=np.int32), alone)
        alone.negatives[:] *= weights[:, None]
        scores.negatives[:] = np.add.reduceat(alone.negatives, batch.users.starts[:-1], axis=0)
        return losses

    def _slopes(self, batch: Batch, starts: Array, scores: Scores) -> Array:
        """Does what :meth:`slopes` does for pairs that weigh alike, in groups from ``starts`` on."""
        kernel = self.block if batch.shared else self.pairs
        if kernel is None:
            raise ConfigError(f"The loss {self.name} needs a block of negatives, found one for each pair")
        losses = np.empty_like(scores.positives)
        arrays = (scores.positives, scores.negatives)
        settings = (value for _, value in self.settings)
        if batch.shared:
            getattr(kernels.slopes, kernel)(starts, *arrays, scores.valid, losses, *settings)
        else:
            getattr(kernels.slopes, kernel)(*arrays, losses, *settings)
        return losses


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("bpr", "Rendle et al. 2009", block="bpr_block", pairs="bpr_pairs", decay=0.001),
        Loss("softmax", "sampled softmax", block="softmax_block", pairs=None, decay=0.03),
        Loss(
            "bce",
            "He et al. 2017",
            block="bce_block",
            pairs="bce_pairs",
            decay=0.001,
            settings=(("negative_weight", 4.0),),
        ),
        Loss(
            "bsl",
            "Wu et al. 2024",
            block="bsl_block",
            pairs=None,
            decay=0.0,
            cosine=True,
            settings=(("sharpness", 1.0),),
            joint=True,
        ),
        Loss(
            "ccl",
            "Mao et al. 2021",
            block="ccl_block",
            pairs="ccl_pairs",
            decay=0.0,
            cosine=True,
            temperature=1.0,
            settings=(("negative_weight", 100.0), ("margin", 0.4)),
        ),
    )
}
