"""The variants of a comparison: every model, method, budget and start, as the settings of its runs.

A variant is trained with several seeds, each of which is a run of its own. Variants that cannot be
are told with the reason, so that a plan can say so before anything is trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import ConfigError
from sparserec_np.models.base_models import BASE_MODELS, MODEL_SETTINGS
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.training.plan import budget_of
from sparserec_np.training.settings import Config

BUDGETS = ("density", "entries", "memory_budget")  # settings that name one
COUNTED = "counted"  # the method of a baseline


class Axes(NamedTuple):
    """What is combined.

    Attributes:
        models, methods: names.
        budgets: pairs of a setting that names a budget, and its value.
        starts: names; None for the one that validation chooses.
    """

    models: Sequence[str]
    methods: Sequence[str]
    budgets: Sequence[tuple[str, Any]]
    starts: Sequence[str | None]


@dataclass(frozen=True)
class Variant:
    """One combination of a model, a method, a budget and a start.

    Attributes:
        method: ``"counted"`` for a baseline.
        budget: as in :class:`Axes`; None where all entries are stored, or counted.
        start: None where validation chooses it, or where there is none.
        config: the settings of its first seed, before anything is tuned.
        entries: entries that are stored; None of a baseline, where counting tells.
        bytes: of the served tables and ids, likewise.
    """

    model: str
    method: str
    budget: tuple[str, Any] | None
    start: str | None
    config: Config
    entries: int | None = None
    bytes: int | None = None

    @property
    def name(self) -> str:
        """The name of its files, which no other variant of a comparison has."""
        budget = "-".join(map(str, self.budget)).replace("_", "-") if self.budget else None
        return "-".join(part for part in (self.model, self.method, budget, self.start) if part)

    @property
    def setting(self) -> tuple[str, tuple[str, Any] | None, str | None]:
        """What the methods that are set against each other have in common."""
        return self.model, self.budget, self.start

    def run(self, seed: int) -> str:
        """Names the run of a seed."""
        return f"{self.name}-seed-{seed}"

    def with_seed(self, seed: int) -> Config:
        """Returns the settings of another seed."""
        return replace(self.config, seed=seed)


class Impossible(NamedTuple):
    """A combination that is no variant, and why."""

    name: str
    reason: str


def variants_of(
    axes: Axes, common: Mapping[str, Any], log: Interactions
) -> tuple[list[Variant], list[Impossible]]:
    """Makes the variants over ``log``, and lists what cannot be.

    Args:
        axes: what is combined.
        common: settings that all have, by name. One that belongs to some models is left out of the
            others.
        log: the interactions that all are trained on, which the budgets are of.
    """
    made: dict[str, Variant] = {}
    impossible: dict[str, str] = {}
    for variant in _combinations(axes):
        if variant.name in made or variant.name in impossible:
            continue
        try:
            made[variant.name] = _settled(variant, common, log)
        except ConfigError as error:
            impossible[variant.name] = str(error)
    return list(made.values()), [Impossible(name, reason) for name, reason in impossible.items()]


def _combinations(axes: Axes) -> Iterator[Variant]:
    """Yields all combinations, whose settings are still to be made.

    Where a method stores all entries no budget counts, and for a baseline nothing but the model.
    """
    for model, start, budget, method in product(axes.models, axes.starts, axes.budgets, axes.methods):
        if BASE_MODELS[model].counted:
            yield Variant(model, COUNTED, None, None, Config(model=model))
        else:
            yield Variant(model, method, None if METHODS[method].full else budget, start, Config())


def _settled(variant: Variant, common: Mapping[str, Any], log: Interactions) -> Variant:
    """Fills in the settings and what is stored. Raises ConfigError where that cannot be."""
    base = BASE_MODELS[variant.model]
    given = {name: value for name, value in common.items() if name not in MODEL_SETTINGS or base.takes(name)}
    if base.counted:
        given = {name: value for name, value in given.items() if base.takes(name)}
        return replace(variant, config=Config(**{**given, "model": variant.model}))
    own: dict[str, Any] = {"model": variant.model, "method": variant.method, "start": variant.start}
    config = Config(**{**given, **own, **dict([variant.budget] if variant.budget else [])})
    config.resolved()
    budget = METHODS[variant.method].spend(budget_of(log, config))
    return replace(variant, config=config, entries=budget.nnz, bytes=budget.total_bytes)
