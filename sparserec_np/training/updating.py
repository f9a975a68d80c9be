"""Updating: a trained model learns on with new interactions, within its budget.

Users and items may be new. What the model's rows say about all interactions is the start
(:mod:`~sparserec_np.starts.previous`); from there the training loop goes on for a few epochs.
Interactions held out of the new ones choose how many; the start counts as epoch 0. A model that
stores items alone keeps its rows, gets rows of new items
(:mod:`~sparserec_np.starts.previous_items`), and is trained only where epochs are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from sparserec_np.data.conversion import as_more, as_placed
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.learning.losses import Loss, Objective
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.models.user_rows import USER_ROWS
from sparserec_np.runtime import FOLDED_DIMENSIONS
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.starts import starts_of
from sparserec_np.starts.condensed import Condensed
from sparserec_np.starts.previous import Previous, PreviousModel, hold_out_new
from sparserec_np.starts.previous_items import PreviousItems, PreviousSolved, StartedAnew, StoredItems
from sparserec_np.starts.start import Start
from sparserec_np.training.checkpoints import NO_CHECKPOINTS, Checkpoints, digest_of
from sparserec_np.training.fitted import Fitted, Report
from sparserec_np.training.plan import budget_of
from sparserec_np.training.settings import FIRST_START, RATES, SETTINGS, Config
from sparserec_np.training.sources import TRAINED_BEFORE
from sparserec_np.training.train import train

# Settings that an update may change; the others belong to the model and its budget.
CHANGEABLE = tuple(name for name, row in SETTINGS.items() if row.update is not None)
# What differs from the settings the model was trained with; our choice, on data held out from
# LastFM's training part.
UPDATE_DEFAULTS: dict[str, Any] = {
    name: row.update.default
    for name, row in SETTINGS.items()
    if row.update is not None and row.update.default is not None
}


@dataclass(frozen=True)
class FromPrevious:
    """A model trained on a part of the interactions, to go on from.

    None of that part is held out: the model knows it; and where no user has other items to spare,
    all epochs are trained.
    """

    previous: Previous
    fresh: ClassVar[bool] = False

    @property
    def scaled(self) -> bool:
        """Whether the start may be scaled, which the model's rows decide."""
        return self.previous.scaled

    def check(self, config: Config) -> None:
        """Accepts any settings that :func:`update_settings` made."""

    def start(self, name: str, stores_users: bool) -> tuple[str, Start]:
        """Makes the start from the model's rows, solved for anew, whatever the name."""
        return TRAINED_BEFORE, self.previous.start()

    def weights(self, log: Interactions) -> Array:
        """Makes the dense weights to go on from."""
        return self.previous.weights(log)

    def objective(self, loss: Loss) -> Objective:
        """Returns the loss as it is."""
        return loss

    def hold_out(
        self, log: Interactions, fraction: float, rng: np.random.Generator, way: str | None
    ) -> tuple[Interactions, Interactions | None]:
        """Holds out a part of what the model does not know yet."""
        return hold_out_new(self.previous.log, log, fraction, rng)


class Way(Protocol):
    """A way to update the models of one kind.

    Attributes:
        keeps_rows: whether rows of the model stay, or are what others are solved for from.
    """

    keeps_rows: bool

    def check(self, fitted: Fitted, log: Interactions) -> None:
        """Raises ConfigError for a model that cannot go on, with all interactions in ``log``."""
        ...

    def defaults(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what differs from the settings of the model, where ``changes`` do not say."""
        ...

    def previous(self, fitted: Fitted, start: Start) -> Previous:
        """Makes of a trained model what an update with a start goes on from."""
        ...


class AllRows:
    """The way of models whose users and items have rows: all are solved for anew, and trained."""

    keeps_rows = True

    def check(self, fitted: Fitted, log: Interactions) -> None:
        """Refuses rows that are not what is multiplied, and too many columns to solve in."""
        name = fitted.config.model
        if not BASE_MODELS[name].stored_rows:
            raise ConfigError(
                f"The stored rows of the model {name} are not what is multiplied, so rows of new users and items"
                " cannot be solved for from the others: train it anew, or update a model of mf or fism"
            )
        _check_columns(fitted)

    def defaults(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the same, whatever the changes."""
        return UPDATE_DEFAULTS

    def previous(self, fitted: Fitted, start: Start) -> PreviousModel:
        """Takes the rows that are multiplied."""
        condensed = start if isinstance(start, Condensed) else None
        return PreviousModel(fitted.model.factors(), fitted.model.dim, fitted.log, condensed)


class ItemsAlone:
    """The way of models that store items alone: rows stay, new items get theirs, nothing is trained.

    Where epochs are asked for, training goes on from there, and some of what is new chooses how
    many; else there is nothing to choose, and nothing is held out.
    """

    keeps_rows = True

    def check(self, fitted: Fitted, log: Interactions) -> None:
        """Refuses too many columns to solve in, where there are new items to solve for."""
        if log.n_items > fitted.log.n_items:
            _check_columns(fitted)

    def defaults(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Returns no epochs and no validation part; with epochs, the usual part."""
        settings = UPDATE_DEFAULTS | {"epochs": 0}
        return settings if changes.get("epochs") else settings | {"validation": 0.0}

    def previous(self, fitted: Fitted, start: Start) -> StoredItems:
        """Takes the rows and the numbers of items."""
        model = fitted.model
        return PreviousItems(model.table, model.dim, fitted.log, model.served_weights)


class SolvedFor(ItemsAlone):
    """The way of models whose users are solved for from the items: as before, and never trained."""

    def defaults(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Returns no epochs and no validation part: there is nothing to choose."""
        return super().defaults({})

    def previous(self, fitted: Fitted, start: Start) -> PreviousSolved:
        """Takes the rows of items, and the weights that users are solved for with."""
        model, penalties = fitted.model, fitted.config.resolved().row_penalties
        assert penalties is not None
        return PreviousSolved(model.table, model.dim, fitted.log, penalties)


class MadeAnew:
    """The way of models whose start takes seconds and is all there is: it is made of all interactions."""

    keeps_rows = False

    def check(self, fitted: Fitted, log: Interactions) -> None:
        """Accepts any model: the start says what it cannot make."""

    def defaults(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Returns no epochs and no validation part: there is nothing to choose."""
        return UPDATE_DEFAULTS | {"epochs": 0, "validation": 0.0}

    def previous(self, fitted: Fitted, start: Start) -> StartedAnew:
        """Takes the start alone."""
        return StartedAnew(fitted.log, start)


def _check_columns(fitted: Fitted) -> None:
    if fitted.model.dim > FOLDED_DIMENSIONS:
        raise ConfigError(
            f"An update solves for rows by the products of all pairs of columns, in at most {FOLDED_DIMENSIONS:,}"
            f" columns, and the model has {fitted.model.dim:,}: train it anew"
        )


def way_of(config: Config) -> Way:
    """Finds the way in which a model of these settings is updated."""
    if BASE_MODELS[config.model].stores_users:
        return AllRows()
    if config.solved:
        return SolvedFor()
    rows = config.resolved().user_rows
    return MadeAnew() if rows is not None and USER_ROWS[rows].marks_items else ItemsAlone()


def update(
    previous: Fitted,
    new: Any,
    *,
    validation: Any = None,
    threads: int | None = None,
    on_epoch: Report | None = None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
    **changes: Any,
) -> Fitted:
    """Goes on from a trained model with new interactions.

    Their users and items may be known to it or not. The budget stays: as many entries, or, where it
    was given in bytes, as many bytes; row bounds and ids of new rows leave room for fewer entries
    then. Where most rows have nothing to be solved from, fewer are made than it grants. A model
    that stores items alone keeps its rows: only what new items need leaves, the weakest first. The
    same inputs give the same bits for any number of threads.

    Args:
        previous: as :func:`~sparserec_np.training.train.train` or
            :func:`~sparserec_np.training.run_directory.load_run` gave it; its ``log`` is what the
            model knows. It is left as it is.
        new: more interactions, in any form that
            :func:`~sparserec_np.data.conversion.as_more` takes. Those that the model knows already
            are merged.
        validation: interactions to choose the epoch by, which the model does not know, or the part
            of each user's new ones to hold out for it; 0.1 by default, 0 for none. Where no user
            has any to spare, all epochs are trained.
        threads: threads to work on; by default all.
        on_epoch, checkpoints: see :func:`~sparserec_np.training.train.train`.
        changes: settings by name, see :class:`~sparserec_np.training.settings.Config`, of those in
            ``CHANGEABLE``. Without them, training takes 5 epochs at most, at the lower of the
            learning rates that training tries first, 0.003, and in cells 0.03; a model that stores
            items alone is not trained, and nothing is held out, unless ``epochs`` are given.

    Returns:
        The model over all users and items; its ``log`` holds all interactions.

    Raises:
        DataError: all of ``new`` is known.
        ConfigError: a model that cannot learn on, or a setting that cannot change.
        SparseRecError: training diverged.
    """
    log = previous.log.joined(as_more(new, previous.log))
    if isinstance(validation, (int, float)):
        changes, validation = {**changes, "validation": validation}, None
    config = update_settings(previous, log, **changes)
    base = BASE_MODELS[config.model]
    start = starts_of(base.stores_users)[config.start or FIRST_START]
    rows = way_of(config).previous(previous, start)
    if validation is not None:
        validation = as_placed(validation, log)
    checkpoints.expect("update", lambda: {"rows of the model": digest_of(previous.model.table._asdict())})
    how: dict[str, Any] = {"threads": threads, "on_epoch": on_epoch, "checkpoints": checkpoints}
    return train(log, config, validation=validation, source=FromPrevious(rows), **how)


def update_settings(previous: Fitted, log: Interactions, **changes: Any) -> Config:
    """Makes the settings with which :func:`update` trains on ``log``; they hold the budget.

    ``log`` holds the known and the new interactions.

    Raises:
        DataError, ConfigError: see :func:`update`.
    """
    config = previous.config.resolved()
    base = BASE_MODELS[config.model]
    if base.counted:
        raise ConfigError(
            f"The model {config.model} is counted, not trained: count it again over all interactions, with"
            " `sparserec train`"
        )
    way_of(config).check(previous, log)
    for name in changes:
        if name not in CHANGEABLE:
            raise ConfigError(
                f"{name} belongs to the model, which an update keeps; what may change: {', '.join(CHANGEABLE)}"
            )
    if log.n_interactions == previous.log.n_interactions:
        raise DataError("The model knows all of these interactions already, so there is nothing to learn")
    settings = way_of(config).defaults(changes) | {"learning_rate": RATES[config.order][1]}
    if METHODS[config.method].full_until > 0:
        settings["method"] = "static"  # what was full is pruned for good
    if config.memory_budget is None and config.entries is None:
        entries = budget_of(previous.log, config).nnz
        settings["density"] = entries / (base.rows(log) * config.dim)
    return replace(config, **settings | changes)
