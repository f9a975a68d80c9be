"""From a model file back to its base recommender, which scores and ranks as it did when it was saved."""

from __future__ import annotations

import numpy as np

from sparserec_np.base_models import BASE_MODELS
from sparserec_np.config import Config
from sparserec_np.errors import ConfigError
from sparserec_np.interactions import Interactions
from sparserec_np.model_file import ServedModel
from sparserec_np.models.model import Model
from sparserec_np.runtime import ArtifactError
from sparserec_np.table import SparseTable, index_dtype


def restore(model: ServedModel) -> Model:
    """The base recommender that a model file names, over the file's tables and settings.

    The interactions it is given are the seen ones of the file that it was trained on: for LightGCN, the graph.

    Raises:
        ArtifactError: the file names no base recommender, or settings that it cannot have.
    """
    seen = Interactions(model.seen_indptr, model.seen_items, model.user_ids, model.item_ids)
    if len(model.held_out):
        trained = np.ones(seen.n_interactions, dtype=bool)
        trained[model.held_out] = False
        seen = seen.subset(trained)
    restored = saved_config(model.metadata).model_over(stacked(model.users, model.items), model.dim, seen)
    restored.weights[:] = model.weights
    return restored


def saved_config(metadata: dict[str, str]) -> Config:
    """The settings of the base recommender that a file's metadata tell; the others at their defaults.

    Raises:
        ArtifactError: see :func:`restore`.
    """
    name = metadata["model"]
    if name not in BASE_MODELS:
        raise ArtifactError(
            f"metadata model is {name!r}, but only {', '.join(BASE_MODELS)} are known here: update sparserec_np"
        )
    defaults = Config(model=name).resolved()
    settings = {}
    for setting in BASE_MODELS[name].saved:
        if setting not in metadata:
            raise ArtifactError(f"metadata {setting} is missing, which the model {name} is scored with")
        kind = type(getattr(defaults, setting))
        try:
            settings[setting] = kind(metadata[setting])
        except ValueError:
            raise ArtifactError(
                f"metadata {setting} is {metadata[setting]!r}, expected a value of type {kind.__name__}"
            ) from None
    try:
        return Config(model=name, **settings)
    except ConfigError as error:
        raise ArtifactError(f"metadata: {error}") from error


def stacked(users: SparseTable, items: SparseTable) -> SparseTable:
    """One table, the users' rows first; a copy."""
    indptr = np.concatenate([users.indptr[:-1], users.nnz + items.indptr.astype(np.int64)])
    return SparseTable(
        indptr.astype(index_dtype(users.nnz + items.nnz)),
        np.concatenate([users.columns, items.columns]),
        np.concatenate([users.values, items.values]),
    )
