"""Distillation: a small table learns the rankings of a model that is already trained.

The student starts from the teacher's own rows (:mod:`~sparserec_np.starts.teacher`), and then learns two things from
each batch: what the data's loss says, and how the teacher ranks the block of negatives. Which items are compared, and
that both are weighed against each other for each pair, is our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError
from sparserec_np.learning.batches import Batch
from sparserec_np.learning.losses import Loss, Scores
from sparserec_np.models.inner_products import InnerProducts
from sparserec_np.starts.teacher import Teacher


@dataclass(frozen=True)
class Imitation:
    """The data's loss, and the cross-entropy against the teacher's softmax over the shared negatives."""

    loss: Loss
    teacher: Teacher
    products: InnerProducts

    def slopes(self, batch: Batch, scores: Scores) -> Array:
        """See :meth:`~sparserec_np.learning.losses.Loss.slopes`.

        Raises:
            ConfigError: each pair has a negative of its own; there is no block to rank.
        """
        if not batch.shared:
            raise ConfigError("A teacher ranks a block of negatives; set negatives above 1")
        _, theirs = self.products.forward(self.teacher.table, batch)
        own = scores.negatives.copy()
        np.copyto(theirs, -np.inf, where=np.isneginf(own))
        losses = self.loss.slopes(batch, scores)
        kernels.slopes.imitation_block(
            batch.users.starts, own, theirs, scores.valid, self.teacher.weight, scores.negatives, losses
        )
        return losses


def imitating(loss: Loss, teacher: Teacher) -> Imitation:
    """The data's loss and the imitation of a teacher.

    Raises:
        ConfigError: a weight below zero.
    """
    if not 0 <= teacher.weight < np.inf:
        raise ConfigError(f"The weight of the imitation must be 0 or more, found {teacher.weight!r}")
    return Imitation(loss, teacher, InnerProducts(teacher.dim, teacher.table.values.dtype))
