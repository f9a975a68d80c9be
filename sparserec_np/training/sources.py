"""Where training begins: from the interactions alone, or from a model that was trained before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.learning.losses import Loss, Objective
from sparserec_np.starts import starts_of
from sparserec_np.starts.start import Start
from sparserec_np.training.settings import Config


class Source(Protocol):
    """What training starts from and learns from, besides the interactions."""

    @property
    def fresh(self) -> bool:
        """Whether there is a choice of starts, and the start is laid out for the model it begins."""
        ...

    @property
    def scaled(self) -> bool:
        """Whether the start may be scaled, to the mean score that the settings ask for."""
        ...

    def check(self, config: Config) -> None:
        """Raises ConfigError where these settings do not go with the source."""
        ...

    def start(self, name: str, stores_users: bool) -> tuple[str, Start]:
        """The start that the settings name, or the only one there is; and what records call it."""
        ...

    def objective(self, loss: Loss) -> Objective:
        """What is minimised, given the loss that the settings name."""
        ...

    def hold_out(
        self, log: Interactions, fraction: float, rng: np.random.Generator
    ) -> tuple[Interactions, Interactions | None]:
        """The part of ``log`` to train on, and a held-out one; None where there is nothing to hold out."""
        ...


@dataclass(frozen=True)
class FromData:
    """The interactions alone: a start by name, the loss as it is."""

    fresh: bool = True
    scaled: bool = True

    def check(self, config: Config) -> None:
        """Any settings do."""

    def start(self, name: str, stores_users: bool) -> tuple[str, Start]:
        """The start of that name."""
        return name, starts_of(stores_users)[name]

    def objective(self, loss: Loss) -> Objective:
        """The loss."""
        return loss

    def hold_out(
        self, log: Interactions, fraction: float, rng: np.random.Generator
    ) -> tuple[Interactions, Interactions | None]:
        """A random part of each user's items; see :func:`~sparserec_np.data.splitting.split_random`."""
        return split_random(log, fraction, rng)


FROM_DATA = FromData()
TRAINED_BEFORE = "model"  # what records call a start that comes from a trained model
