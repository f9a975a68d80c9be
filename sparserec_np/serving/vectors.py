"""Vectors of items, for an index of nearest neighbours: dense rows whose inner products with a user's are scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparserec_np.machine.files import replacing
from sparserec_np.runtime import ArtifactError, Path, Recommender
from sparserec_np.serving.model_file import ServedModel

MOST_BYTES = 1 << 31  # of dense rows


def write_vectors(model: ServedModel, path: Path) -> dict[str, int]:
    """Writes the rows of items, and of users where the file stores them, as an npz file.

    It holds ``item_ids`` (n_items,) and ``item_vectors`` (n_items, columns) float32, and
    ``user_ids`` and ``user_vectors`` where users have rows. The nearest items by inner product are
    the lists, but for what these leave out. Of somebody else ``Recommender.fold_in`` makes the row.

    Returns rows and columns: ``items``, ``users`` and ``columns``. Raises ArtifactError for a model
    whose scores are no inner products, and for rows that would take more than 2 GiB; OSError.
    """
    recommender = Recommender(model.encode())
    users = model.users.rows if model.stores_users else 0
    columns = recommender._scorer.width
    taken = 4 * columns * (model.items.rows + users)
    if taken > MOST_BYTES:
        raise ArtifactError(
            f"dense rows of {columns:,} columns would take {taken:,} bytes, expected at most {MOST_BYTES:,}:"
            " Recommender.item_factors gives sparse ones"
        )
    arrays: dict[str, Any] = {"item_ids": model.item_ids, "item_vectors": _dense(recommender.item_factors)}
    if users:
        arrays |= {"user_ids": model.user_ids, "user_vectors": _dense(recommender.user_factors)}
    with replacing(path) as file:
        np.savez(file, **arrays)
    return {"items": model.items.rows, "users": users, "columns": columns}


def _dense(factors: Any) -> Any:
    return factors(dense=True)
