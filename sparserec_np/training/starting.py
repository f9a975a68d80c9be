"""The table that a training begins with: made, laid out for its model, and scaled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.factorization.pruning import strongest_first
from sparserec_np.machine.memory import give_back_freed
from sparserec_np.models.model import NO_WEIGHTS, Model, OfParts
from sparserec_np.starts import ITEM_STARTS
from sparserec_np.starts.shelf import NO_SHELF, Shelf
from sparserec_np.training.memory_estimate import check_memory
from sparserec_np.training.plan import Plan


class Beginning(NamedTuple):
    """The table that one training starts from, and how it was made.

    Attributes:
        name: the name of the start in ``STARTS``, or "model" where a trained model is the start.
        table: users and items, scaled; not written to.
        seconds: the time it took to make.
        from_data: whether the values know the data; see :class:`~sparserec_np.starts.start.Start`.
        weights: dense weights to begin with, as a model file holds them; empty for the model's own.
    """

    name: str
    table: SparseTable
    seconds: float
    from_data: bool
    weights: Array = NO_WEIGHTS


class MadeOnce:
    """A start that is made when it is first asked for, and kept from then on."""

    def __init__(self, make: Callable[[], Beginning]) -> None:
        self._make: Callable[[], Beginning] | None = make
        self._made: Beginning | None = None

    def __call__(self) -> Beginning:
        """Returns the start."""
        if self._made is None:
            assert self._make is not None
            self._made, self._make = self._make(), None  # and what it was made of may go
        return self._made


def make_start(log: Interactions, plan: Plan, threads: int, shelf: Shelf = NO_SHELF) -> Beginning:
    """Makes the table that ``plan`` starts from, of parts on a ``shelf`` where there are some.

    It is full for a while for methods that prune later.

    Raises:
        SparseRecError: it needs more memory than there may be.
    """
    check_memory(log, plan, threads)
    clock = time.perf_counter()
    assert plan.settings.start is not None
    name, start = plan.source.start(plan.settings.start, plan.base.stores_users)
    if plan.source.fresh and not plan.base.stores_users:
        start = ITEM_STARTS[name].fitted_to(plan.settings.item_wishes).looking_in(shelf)
    give_back_freed()  # what reading, or an earlier training, has left
    rng = np.random.default_rng([plan.settings.seed, 2])
    table = start(log, plan.budget.dim, plan.first_entries, rng, threads)
    give_back_freed()  # before the kernels are loaded beside it
    if start.from_data and plan.source.fresh and plan.base.first_columns is not None:
        table = strongest_first(table, plan.budget.dim)
    if start.from_data and plan.source.scaled:
        scale(plan.model_over(table, log), plan.settings.start_score)
    weights = plan.source.weights(log)
    return Beginning(name, table, time.perf_counter() - clock, start.from_data, weights)


def levelled(log: Interactions, plan: Plan, start: Beginning) -> Beginning:
    """Returns the start with stored values of one size, where rates are counted in it."""
    if not plan.settings.relative_rate:
        return start
    model = plan.model_over(start.table.copy(), log)
    if not isinstance(model, OfParts):
        return start
    if len(start.weights):
        model.load_weights(start.weights)
    model.level()
    return start._replace(table=model.table, weights=model.served_weights)


def scale(model: Model, score: float) -> None:
    """Scales the table in place so that training pairs score ``score`` on average.

    It does so where they score above zero.
    """
    mean = model.mean_product() if score > 0 else 0.0
    if mean > 0:
        model.scale_scores(score / mean)
