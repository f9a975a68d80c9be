"""The plan of a training: every name in the settings becomes the object it stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.learning.batches import (
    DislikesFirst,
    Negatives,
    OnePerPair,
    PairSampler,
    SharedBlock,
)
from sparserec_np.learning.losses import Objective
from sparserec_np.learning.optimizers import OPTIMIZERS, Optimizer
from sparserec_np.models.base_models import BASE_MODELS, BaseModel
from sparserec_np.models.model import Decay, Model
from sparserec_np.models.views import Dropout, View, similarity_views
from sparserec_np.runtime import MOST_COLUMNS
from sparserec_np.serving.model_file import id_bytes
from sparserec_np.sparsity.budget import Budget
from sparserec_np.sparsity.exploration import Exploration
from sparserec_np.sparsity.growth import Growth, NoGrowth
from sparserec_np.sparsity.methods import METHODS, Method
from sparserec_np.sparsity.schedules import DropSchedule
from sparserec_np.sparsity.topology import TopologyUpdate
from sparserec_np.training.order import BatchOrder, CellOrder, Order
from sparserec_np.training.settings import Config
from sparserec_np.training.sources import FROM_DATA, Source


@dataclass(frozen=True)
class Plan:
    """Everything that one training will do, as objects.

    Attributes:
        given: the settings as they were given.
        settings: the same with every default filled in.
        base: the base recommender.
        method: how the budget is spent.
        budget: the entries that the stored table has.
        source: what training starts from and learns from, besides the interactions.
        objective: what is minimised.
        growth: how inactive entries become active; none do beside neighbours of items.
        drops: when and how much the mask changes.
        topology: prunes and regrows.
        negatives: how they are drawn.
        optimizer: makes the state beside the entries, of their number and that of the rows.
        full_epochs: epochs that train a full table, before it is pruned to the budget.
        made: makes the start of a search, or has made it; None where settings alone say it.
    """

    given: Config
    settings: Config
    base: BaseModel
    method: Method
    budget: Budget
    source: Source
    objective: Objective
    growth: Growth
    drops: DropSchedule
    topology: TopologyUpdate
    negatives: Negatives
    optimizer: Callable[[int, int], Optimizer]
    full_epochs: int
    made: Callable[[], Any] | None = field(default=None, compare=False)

    @classmethod
    def of(cls, config: Config, log: Interactions, source: Source = FROM_DATA) -> Plan:
        """Makes the plan of a trained model's training on ``log``, or on a part of it.

        Raises:
            ConfigError: the budget is impossible, or the settings do not go with the source.
        """
        settings = config.resolved()
        method, base = METHODS[settings.method], BASE_MODELS[settings.model]
        exploration = Exploration(settings.explore, settings.importance)
        budget = method.spend(budget_of(log, settings))
        assert settings.negatives is not None and settings.optimizer is not None
        return cls(
            given=config,
            settings=settings,
            base=base,
            method=method,
            budget=budget,
            source=source,
            objective=source.objective(settings.objective),
            growth=NoGrowth() if budget.marks else method.growth_with(exploration),
            drops=DropSchedule(settings.drop_fraction, settings.drop_until, settings.drop_interval),
            topology=TopologyUpdate(settings.floor, settings.regrow_start, kinds=base.kinds(budget.dim)),
            negatives=_negatives(settings.negatives, settings.dislikes_first),
            optimizer=OPTIMIZERS[settings.optimizer],
            full_epochs=round(method.full_until * settings.epochs),
        )

    def with_trial(self, start: str, rate: float) -> Plan:
        """Makes the same plan with another start and learning rate."""
        return replace(self, settings=replace(self.settings, start=start, learning_rate=rate))

    @property
    def first_entries(self) -> int:
        """Stored entries of the start: all of them where a full table is trained first."""
        return self.budget.rows * self.budget.dim if self.full_epochs else self.budget.nnz

    def entries_after(self, epoch: int) -> int:
        """Returns how many entries may be left after an epoch, from 1."""
        part = epoch / self.full_epochs if self.full_epochs else 1.0
        return self.method.entries_after(part, self.first_entries, self.budget.nnz)

    @property
    def highest_rate(self) -> float:
        """The learning rate that training begins with."""
        assert self.settings.learning_rate is not None
        return self.settings.learning_rate

    def model_over(self, table: SparseTable, log: Interactions) -> Model:
        """Makes the base recommender over a table, users first."""
        return model_over(self.settings, table, self.budget.dim + self.budget.marks, log)

    def order(self, log: Interactions, weights: int) -> Order:
        """Makes the order of an epoch over the pairs of ``log``, for so many dense ``weights``."""
        assert self.settings.batch_size is not None and self.settings.negatives is not None
        if self.settings.order == "cells":
            return CellOrder(log, self.objective, self.settings.negatives, self.settings.batch_size)
        sampler = PairSampler(log, self.settings.batch_size, self.negatives, self.settings.pairs_together)
        return BatchOrder(sampler, self.objective, self.optimizer(weights, weights))

    def decay(self, origin: Array) -> Decay:
        """Returns the three L2 weights, and ``origin``, what they draw to.

        It is (nnz,), or empty for zero.
        """
        settings = self.settings
        assert settings.l2_positive is not None and settings.l2_negative is not None
        return Decay(settings.l2_user or 0.0, settings.l2_positive, settings.l2_negative, origin)

    def margin(self, from_data: bool) -> float:
        """Returns how many times as much as a pruned entry a regrown one has to be worth.

        Nothing is weighed where the values of the start do not come from the data: they are worth
        nothing, and look as if they were.
        """
        return self.settings.swap_margin if from_data else 0.0

    def keeps_near(self, from_data: bool) -> bool:
        """Tells whether L2 terms draw to the start, and not to zero.

        They do so only where the values of the start come from the data.
        """
        return from_data and self.settings.decay_to == "start" and any(self.decay(np.empty(0))[:3])


def _negatives(number: int, dislikes_first: float) -> Negatives:
    """Makes the way to draw so many negatives."""
    negatives: Negatives = OnePerPair() if number == 1 else SharedBlock(number)
    return DislikesFirst(negatives, dislikes_first) if dislikes_first else negatives


def budget_of(log: Interactions, config: Config) -> Budget:
    """Computes the budget that ``config`` grants a model of ``log``, before its method spends it.

    A density and bytes grant as many entries as ``config.dim`` columns make of them.

    Raises:
        ConfigError: there can be none.
    """
    base = BASE_MODELS[config.model]
    rows = base.rows(log)
    ids = id_bytes(log.user_ids, log.item_ids)
    user_rows = config.resolved().user_rows
    marks = base.marks(log, user_rows)
    if marks and config.dim + marks > MOST_COLUMNS:
        raise ConfigError(
            f"Users' rows of the kind {user_rows} need a column for each item beside the {config.dim:,},"
            f" {MOST_COLUMNS:,} in all; found {marks:,} items: set user_rows to sum, or leave out rare items"
        )
    if config.memory_budget is not None:
        weights = base.weight_bytes(log, user_rows)
        return Budget(rows, config.dim, 1, ids, marks).filled(config.memory_budget, weights)
    if config.entries is not None:
        return replace(Budget.of_entries(rows, config.dim, config.entries, ids), marks=marks)
    return replace(Budget.of_density(rows, config.dim, config.density, ids), marks=marks)


def model_over(settings: Config, table: SparseTable, dim: int, log: Interactions) -> Model:
    """Makes the base recommender of resolved settings over a table, users first."""
    base = BASE_MODELS[settings.model]
    own = {name: getattr(settings, name) for name in (*base.settings, *base.common)}
    return base.over(table, dim, log, _views(settings), **own)


def _views(settings: Config) -> tuple[View, ...]:
    """Makes what lies between stored entries and multiplied rows; nothing in a counted model."""
    if settings.similarity is None or settings.temperature is None:
        return ()
    views = similarity_views(settings.similarity, settings.temperature)
    if not settings.embedding_dropout:
        return tuple(views)
    return (Dropout(settings.embedding_dropout, np.random.default_rng([settings.seed, 5])), *views)
