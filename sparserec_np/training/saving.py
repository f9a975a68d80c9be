"""Saving and loading: from a trained model to one that is served, and back."""

from __future__ import annotations

import json
from typing import Any, cast

import numpy as np

from sparserec_np.data.interactions import Interactions, encode_ids
from sparserec_np.data.recency import ages_of
from sparserec_np.data.table import Array, stacked
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.evaluation.ranker import Ranker
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.models.fism import RowsOfItems
from sparserec_np.models.model import Model
from sparserec_np.models.user_rows import USER_ROWS
from sparserec_np.runtime import SEEN_LEFT_OUT, ArtifactError, Recommender, row_entries, served_as
from sparserec_np.serving.loss import DeviceRanker
from sparserec_np.serving.model_file import ServedModel, empty_users, id_bytes
from sparserec_np.sparsity.budget import Budget
from sparserec_np.training.fitted import SELECT_BY, Fitted, Record, validation_metrics
from sparserec_np.training.plan import model_over
from sparserec_np.training.settings import SETTINGS, Config


class InteractionsMissingError(DataError):
    """A model file does not say what users had, and nobody else does."""


def served_model(fitted: Fitted, log: Interactions) -> ServedModel:
    """Makes the model that is served: its tables, the ids, and the items that each user had."""
    table, dim, config = fitted.model.served(), fitted.model.dim, fitted.config.resolved()
    base = BASE_MODELS[config.model]
    n_stored, seen = (log.n_users if base.stores_users else 0), log.hidden
    metadata = {
        "model": config.model,
        "budget": str(fitted.budget.nnz),
        **base.way(config.method, config.loss),
        "seed": str(config.seed),
        "train_digest": log.digest(),
        **_said_of_rows(fitted, log),
        **_said(config),
        **({} if log.n_users else {"seen": SEEN_LEFT_OUT}),  # what nobody has told
        "metrics": json.dumps(validation_metrics(fitted)),
    }
    return ServedModel(
        users=table.slice_rows(0, n_stored) if base.stores_users else empty_users(log.n_users, dim),
        items=table.slice_rows(n_stored, table.rows),
        dim=dim,
        user_ids=log.user_ids,
        item_ids=log.item_ids,
        seen_indptr=seen.indptr,
        seen_items=seen.items,
        seen_ages=_seen_ages(log, seen) if _depends_on_order(config, log) else np.empty(0, np.uint8),
        weights=fitted.model.served_weights,
        metadata=metadata,
        held_out=_places_without(seen, fitted.log) if base.graph else np.empty(0, np.int32),
        disliked=np.empty(0, np.int32) if log.disliked is None else _places_without(seen, log),
        seen_weights=_seen_weights(log, seen),
    )


def _depends_on_order(config: Config, log: Interactions) -> bool:
    """Tells whether rows of users, or of items that an update makes, depend on an order of time."""
    rows = config.user_rows
    return log.times is not None and (
        bool(config.recency) or (rows is not None and USER_ROWS[rows].marks_items)
    )


def _said_of_rows(fitted: Fitted, log: Interactions) -> dict[str, str]:
    """Writes how users' rows are cut, and which columns stand for items, where they are made of items."""
    config = fitted.config.resolved()
    if config.user_rows is None:
        return {}
    entries = cast(RowsOfItems, fitted.model).row_entries or row_entries(config.dim)
    said = {"row_entries": str(entries)}
    if USER_ROWS[config.user_rows].marks_items:
        said |= {"item_columns": str(log.n_items), "mark_power": str(config.neighbour_popularity)}
    return said


def _said(config: Config) -> dict[str, str]:
    """Writes what a model file tells of the settings that its model is scored with."""
    base = BASE_MODELS[config.model]
    values = {name: getattr(config, name) for name in base.saved}
    return {
        name: str(value)
        for name, value in values.items()
        if name not in base.unsaid or value != base.unsaid[name]
    }


def _places_without(log: Interactions, other: Interactions) -> Array:
    """Finds the pairs of ``log`` that are not in ``other``; returns their places, ascending."""
    ours, theirs = (some.pair_users() * np.int64(some.n_items) + some.items for some in (log, other))
    return np.flatnonzero(~np.isin(ours, theirs, assume_unique=True))


def _seen_weights(log: Interactions, seen: Interactions) -> Array:
    """Returns the weights of what users had in training, as they lie in ``seen``, where dislikes are, too.

    Dislikes weigh 1, which means nothing. Where all weights are the same there are none.
    """
    if log.weights is None or log.weight_scale is None:
        return np.empty(0, np.float32)
    return _spread_over(seen, log, log.weights, 1)


def _seen_ages(log: Interactions, seen: Interactions) -> Array:
    """Returns the ages of what users had in training, as they lie in ``seen``; those of dislikes are 0."""
    return _spread_over(seen, log, ages_of(log), 0)


def _spread_over(seen: Interactions, log: Interactions, numbers: Array, other: int) -> Array:
    """Puts the numbers of the pairs of ``log`` where these lie in ``seen``; the rest becomes ``other``."""
    if log.disliked is None:
        return numbers
    spread = np.full(seen.n_interactions, other, numbers.dtype)
    touched = np.ones(seen.n_interactions, dtype=bool)
    touched[_places_without(seen, log)] = False
    spread[touched] = numbers
    return spread


def restore(model: ServedModel, known: Interactions | None = None) -> Model:
    """Makes the base recommender that a model file names, over its tables and settings.

    The interactions it is given, for LightGCN the graph, are those ``known``, or else the seen ones
    of the file that it was trained on.

    Raises:
        ArtifactError: the file names no base recommender, or settings that it cannot have.
    """
    log = trained_on(model) if known is None else known
    settings = saved_config(model.metadata).resolved()
    table = stacked(model.users, model.items) if model.stores_users else model.items.copy()
    restored = model_over(settings, table, model.dim, log)
    restored.load_weights(model.weights)
    if not model.stores_users:
        cast(RowsOfItems, restored).cut_rows_to(max(int(model.metadata["row_entries"]), 1))
    return restored


def trained_on(model: ServedModel) -> Interactions:
    """Returns the interactions in a model file that were not held out."""
    if not len(model.held_out):
        return model.seen
    seen = Interactions(model.seen_indptr, model.seen_items, model.user_ids, model.item_ids)
    kept = np.ones(seen.n_interactions, dtype=bool)
    kept[model.held_out] = False
    return seen.subset(kept).disliking(model.seen.disliked)


def ids_known_to(model: ServedModel, known: Interactions) -> Interactions:
    """Returns the users and items of a model file, without interactions, to align others to.

    Of a file that holds no rows of users they are those of ``known`` as well, what somebody
    touched: their rows are made from it.
    """
    stored = model.stores_users and model.users.rows
    user_ids = model.user_ids if stored else encode_ids(model.user_ids, known.user_ids)[1]
    return Interactions.from_codes([], [], user_ids, model.item_ids)


def ranker_for(model: ServedModel, seen: Interactions) -> Ranker:
    """Makes what ranks the users of ``seen`` by a model file.

    Users are their stored rows. Where the model makes them from what they touched, that is
    ``seen``; and where the file was exported without them, each is folded in from it, as on a
    device. The graph of a lightgcn is the one in the file.

    Args:
        model: the file's content.
        seen: what users touched, over its users and items (:func:`ids_known_to`).

    Raises:
        ArtifactError: see :func:`restore`; or there are no users, and nobody can be folded in.
    """
    if model.stores_users and not model.users.rows:
        return DeviceRanker(Recommender(model.encode()), folds_in=True)
    own_graph = model.has_seen and served_as(model.metadata["model"]).seen_is_graph
    return restore(model, None if own_graph else seen).ranker()


def fitted_from(
    model: ServedModel, config: Config, history: list[Record], known: Interactions | None = None
) -> Fitted:
    """Puts a trained model together from its file, settings and records; see :func:`load_run`."""
    if known is not None:
        if model.stores_users and not model.users.rows:
            raise DataError("The model file was exported without users: load the run it came from")
        log, _ = known.aligned_to(ids_known_to(model, known))
        if not log.n_interactions:
            raise DataError(
                "None of the interactions that are said to be known is between a user and an item of the model;"
                " expected those it was trained on"
            )
    elif model.has_seen:
        log = model.seen
    else:
        raise InteractionsMissingError(
            "The model file does not hold the interactions it was trained on, as it was exported without: give them"
            " besides"
        )
    restored = restore(model, None if known is None else log)
    best = max(history, key=lambda record: record.get(SELECT_BY, -1.0), default={"epoch": 0})
    table = restored.table
    marks = BASE_MODELS[config.model].marks(log, config.resolved().user_rows)
    ids = id_bytes(log.user_ids, log.item_ids)
    budget = Budget(table.rows, model.dim - marks, table.nnz, ids, marks)
    return Fitted(restored, log, budget, config, history, best["epoch"], False, {})


def saved_config(metadata: dict[str, str]) -> Config:
    """Reads the settings of the base recommender from a file's metadata.

    The others are at their defaults.

    Raises:
        ArtifactError: see :func:`restore`.
    """
    name = metadata["model"]
    if name not in BASE_MODELS:
        raise ArtifactError(
            f"metadata model is {name!r}, but only {', '.join(BASE_MODELS)} are known here: update sparserec_np"
        )
    base, settings = BASE_MODELS[name], {}
    for setting in base.saved:
        if setting not in metadata:
            if setting in base.unsaid:
                continue
            raise ArtifactError(f"metadata {setting} is missing, which the model {name} is scored with")
        settings[setting] = _read(metadata, setting, setting)
    if "mark_power" in metadata:  # which is named after what it does to a file
        settings["neighbour_popularity"] = _read(metadata, "mark_power", "neighbour_popularity")
    try:
        return Config(model=name, **settings)
    except ConfigError as error:
        raise ArtifactError(f"metadata: {error}") from error


def _read(metadata: dict[str, str], field: str, setting: str) -> Any:
    """Reads a field as the kind of value that a setting is. Raises ArtifactError for another."""
    kind = SETTINGS[setting].kind
    try:
        return kind(metadata[field])
    except ValueError:
        raise ArtifactError(
            f"metadata {field} is {metadata[field]!r}, expected a value of type {kind.__name__}"
        ) from None
