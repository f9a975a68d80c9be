"""The sources of training: the interactions alone, or a model that was trained before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import hold_out
from sparserec_np.data.table import Array
from sparserec_np.learning.losses import Loss, Objective
from sparserec_np.models.model import NO_WEIGHTS
from sparserec_np.starts import starts_of
from sparserec_np.starts.start import Start
from sparserec_np.training.settings import Config


class Source(Protocol):
    """What training starts from and learns from, besides the interactions."""

    @property
    def fresh(self) -> bool:
        """Whether a start can be chosen, and is laid out for the model it begins."""
        ...

    @property
    def scaled(self) -> bool:
        """Whether the start may be scaled, to the mean score that the settings ask for."""
        ...

    def check(self, config: Config) -> None:
        """Raises ConfigError where these settings do not go with the source."""
        ...

    def start(self, name: str, stores_users: bool) -> tuple[str, Start]:
        """Returns the start that the settings name, or the only one; and what records call it."""
        ...

    def weights(self, log: Interactions) -> Array:
        """Makes the dense weights that a model of ``log`` begins with, as a model file holds them.

        Empty where it begins with its own.
        """
        ...

    def objective(self, loss: Loss) -> Objective:
        """Makes what is minimised, given the loss that the settings name."""
        ...

    def hold_out(
        self, log: Interactions, fraction: float, rng: np.random.Generator, way: str | None
    ) -> tuple[Interactions, Interactions | None]:
        """Splits ``log`` into the part to train on and a held-out one, in a way that settings name.

        The latter is None where there is nothing to hold out.
        """
        ...


@dataclass(frozen=True)
class FromData:
    """The interactions alone: a start by name, the loss as it is."""

    fresh: ClassVar[bool] = True
    scaled: ClassVar[bool] = True

    def check(self, config: Config) -> None:
        """Accepts any settings."""

    def start(self, name: str, stores_users: bool) -> tuple[str, Start]:
        """Returns the start of that name."""
        return name, starts_of(stores_users)[name]

    def weights(self, log: Interactions) -> Array:
        """Returns none: the model begins with its own."""
        return NO_WEIGHTS

    def objective(self, loss: Loss) -> Objective:
        """Returns the loss as it is."""
        return loss

    def hold_out(
        self, log: Interactions, fraction: float, rng: np.random.Generator, way: str | None
    ) -> tuple[Interactions, Interactions | None]:
        """Holds out a part of each user's items.

        See :func:`~sparserec_np.data.splitting.hold_out`.
        """
        return hold_out(log, fraction, rng, way)


FROM_DATA = FromData()
TRAINED_BEFORE = "model"  # what records call a start that comes from a trained model
