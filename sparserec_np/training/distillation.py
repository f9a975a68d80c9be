"""Distillation: a small table learns the rankings of a model that is already trained.

The student starts from the teacher's own rows (:mod:`~sparserec_np.starts.teacher`), and then
learns two things from each batch: what the data's loss says, and how the teacher ranks the block of
negatives. Which items are compared, and that both are weighed against each other for each pair, is
our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError
from sparserec_np.learning.batches import Batch
from sparserec_np.learning.losses import Loss, Scores
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.models.inner_products import InnerProducts
from sparserec_np.models.model import NO_WEIGHTS
from sparserec_np.starts.start import Start
from sparserec_np.starts.teacher import Teacher
from sparserec_np.training.settings import Config
from sparserec_np.training.sources import TRAINED_BEFORE


@dataclass(frozen=True)
class Imitation:
    """The data's loss, and the cross-entropy against the teacher's softmax.

    The softmax is over the shared negatives.
    """

    loss: Loss
    teacher: Teacher
    products: InnerProducts

    def slopes(self, batch: Batch, scores: Scores) -> Array:
        """Computes losses and slopes of both parts together.

        See :meth:`~sparserec_np.learning.losses.Loss.slopes`.

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


@dataclass(frozen=True)
class FromTeacher:
    """A trained model over the same users and items, to start from and to imitate.

    What it was trained on may hold the validation part: the epochs chosen then are those that
    imitate best.
    """

    teacher: Teacher
    fresh: ClassVar[bool] = False
    scaled: ClassVar[bool] = False  # a teacher's scores are to be met, at the size they have

    def check(self, config: Config) -> None:
        """Raises ConfigError for settings that cannot learn from a teacher.

        Start and scores are products of stored rows.
        """
        similarity = config.resolved().similarity or "dot"  # a baseline has none to choose
        base = BASE_MODELS[config.model]
        if base.counted or not base.stored_rows or similarity != "dot":
            raise ConfigError(
                "A student is a matrix factorisation scored by inner products, model mf and similarity dot; found model"
                f" {config.model} and similarity {similarity}"
            )

    def start(self, name: str, stores_users: bool) -> tuple[str, Start]:
        """Makes the start from the teacher's rows, whatever the name."""
        return TRAINED_BEFORE, self.teacher.start()

    def weights(self, log: Interactions) -> Array:
        """Returns none: the student begins with its own."""
        return NO_WEIGHTS

    def objective(self, loss: Loss) -> Imitation:
        """Adds the imitation of the teacher to the data's loss.

        Raises:
            ConfigError: a weight below zero.
        """
        teacher = self.teacher
        if not 0 <= teacher.weight < np.inf:
            raise ConfigError(f"The weight of the imitation must be 0 or more, found {teacher.weight!r}")
        return Imitation(loss, teacher, InnerProducts(teacher.dim, teacher.table.values.dtype))

    def hold_out(
        self, log: Interactions, fraction: float, rng: np.random.Generator, way: str | None
    ) -> tuple[Interactions, Interactions | None]:
        """Holds out a random part of each user's items."""
        return split_random(log, fraction, rng)
