"""C source of models whose users have rows: items by dimension, and a cursor for each entry of a user.

Items are scored in blocks of ``BLOCK_ITEMS``: the memory to work in depends on the longest row, and
not on the number of items.
"""

from __future__ import annotations

from string import Template

import numpy as np

from sparserec_np.data.table import SparseTable
from sparserec_np.runtime import Array, ArtifactError
from sparserec_np.serving.c.source import (
    C_TYPES,
    Source,
    id_arrays,
    none_empty,
    read_source,
    seen_arrays,
    strangers_of,
)
from sparserec_np.serving.model_file import ServedModel
from sparserec_np.serving.packing import narrowest

# Rows of users without interactions are left empty, and so these users are told by them.
IS_STRANGER = (
    "sparserec_user_starts[user] == sparserec_user_starts[user + 1]\n"
    "        && sparserec_seen_starts[user] == sparserec_seen_starts[user + 1]"
)
BLOCK_ITEMS = 256  # a kilobyte of scores: little for a microcontroller, and enough to hide the loop around it


def of_stored_rows(model: ServedModel, stored: dict[str, Array], dtype: str) -> Source:
    """Makes the parts of a model whose users have rows.

    Args:
        model: what to write.
        stored: the arrays of its file.
        dtype: of the values; float32 alone.

    Raises ArtifactError for a model without users or what they have seen, and for another dtype.
    """
    if dtype != "float32":
        raise ArtifactError(
            f"values are asked for in {dtype}, but C source holds users' rows in float32 alone"
        )
    if not model.has_seen:
        raise ArtifactError(
            "the items that users have seen were left out, and the C function would recommend them again:"
            " write the model with them"
        )
    if not model.users.rows:
        raise ArtifactError("the model has no users, so there is nothing to write as C")
    strangers = strangers_of(model, IS_STRANGER)
    users = _emptied(model.users, strangers.rows)
    by_dimension = model.items.by_column(model.dim)
    groups = {
        "users": {
            "user_starts": narrowest(users.indptr),
            "user_dimensions": narrowest(users.columns),
            "user_values": users.values.astype(np.float32),
        },
        "items": {
            "item_starts": narrowest(by_dimension.indptr),
            "item_numbers": narrowest(by_dimension.columns),
            "item_values": by_dimension.values.astype(np.float32),
        },
        "seen": seen_arrays(model),
        **strangers.groups,
        "ids": {**id_arrays("user", stored), **id_arrays("item", stored)},
    }
    entry = groups["items"]["item_starts"].dtype
    longest = int(np.diff(users.indptr).max())
    cursors = -(-max(longest, 1) * entry.itemsize // 4) * 4 // entry.itemsize  # no padding after them
    scratch = 4 * BLOCK_ITEMS + cursors * entry.itemsize
    ranking = Template(read_source("stored_rows.h")).substitute(
        block=BLOCK_ITEMS, cursors=cursors, entry=C_TYPES[entry], **strangers.ranking
    )
    return Source(none_empty(groups), scratch, ranking, ("user",), "main.c", strangers.told)


def _emptied(table: SparseTable, rows: list[int]) -> SparseTable:
    """Leaves out the entries of some rows, which stay as empty ones."""
    kept = ~np.isin(table.row_numbers(), rows)
    before = np.concatenate([[0], np.cumsum(kept)])
    return SparseTable(before[table.indptr], table.columns[kept], table.values[kept])
