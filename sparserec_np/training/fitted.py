"""The outcome of training: the model, and how it came about."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sparserec_np.data.interactions import Interactions
from sparserec_np.models.model import Model
from sparserec_np.sparsity.budget import Budget
from sparserec_np.training.settings import Config

SELECT_BY = "ndcg@20"  # what epochs, starts and learning rates are chosen by, on held-out interactions
LOOKED = "choice"  # the phase of records of what was looked at, and not trained
Record = dict[str, Any]
Report = Callable[[Record], bool | None]  # true ends the training that the record is of


@dataclass
class Fitted:
    """A trained model and how it came about.

    Attributes:
        model: the model, in its best state.
        log: the interactions it was trained on.
        budget: entries it may store.
        config: the settings it was trained with.
        history: one record for each epoch, epoch 0 being the start.
        best_epoch: the epoch whose state is kept.
        interrupted: whether Ctrl-C ended the training.
        bytes: what was held in memory while training, by name.
    """

    model: Model
    log: Interactions
    budget: Budget
    config: Config
    history: list[Record]
    best_epoch: int
    interrupted: bool
    bytes: dict[str, int]

    @property
    def reached(self) -> float:
        """The best NDCG@20 on held-out interactions; -1 where it was never measured."""
        return reached_in(self.history)


def reached_in(history: list[Record]) -> float:
    """Returns the best NDCG@20 in records; -1 where none was measured."""
    return max((record[SELECT_BY] for record in history if SELECT_BY in record), default=-1.0)


def validation_metrics(fitted: Fitted) -> dict[str, float]:
    """Returns what the best epoch reached on the validation part; empty where there was none."""
    measured = [record for record in fitted.history if SELECT_BY in record]
    if not measured:
        return {}
    best = max(measured, key=lambda record: record[SELECT_BY])
    return {
        f"validation_{name}": best[name] for name in ("recall@20", SELECT_BY) if math.isfinite(best[name])
    }
