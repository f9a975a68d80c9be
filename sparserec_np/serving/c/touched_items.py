"""C source of models that store no users: a user's row is made of the items that they touched.

The items' table lies as in the exported file, in steps and ends, and is read from end to end: once
to make the row, and once to score. So its entries are there once, in few bytes, and the memory to
work in depends on the number of dimensions alone.
"""

from __future__ import annotations

from string import Template

import numpy as np

from sparserec_np.runtime import Array, ArtifactError, step_limit
from sparserec_np.serving.c.source import (
    Source,
    id_arrays,
    none_empty,
    read_source,
    seen_arrays,
    strangers_of,
)
from sparserec_np.serving.model_file import ServedModel
from sparserec_np.serving.packing import VALUES, WEIGHTS, encode_ends, encode_steps

IS_STRANGER = "sparserec_seen_starts[user] == sparserec_seen_starts[user + 1]"
# Type of the values -> how C reads the value, and the weight of the item, at a place.
READ = {
    "float32": ("sparserec_item_values[place->entry]", "sparserec_weights[place->filled]"),
    "int8": (
        "sparserec_item_scales[dimension] * (float)sparserec_item_values[place->entry]",
        "sparserec_weights_levels[sparserec_weights_codes[place->filled]]",
    ),
}


def of_touched_items(model: ServedModel, stored: dict[str, Array], dtype: str) -> Source:
    """Makes the parts of a model that stores no users.

    Takes what ``of_stored_rows`` takes; ``dtype`` may be int8, too. Where the model tells what
    users have seen, they are written, and lists are made for them as well. Raises ArtifactError for
    another dtype.
    """
    if dtype not in READ:
        raise ArtifactError(
            f"values are asked for in {dtype}, which C has no type for: expected {' or '.join(READ)}"
        )
    table, dim = model.items, model.dim
    values = VALUES[dtype]("items", table, dim)
    weights = WEIGHTS[dtype](stored["weights"][np.diff(table.indptr) > 0])
    users = model.has_seen and model.users.rows > 0
    strangers = strangers_of(model, IS_STRANGER)
    groups = {
        "items": {
            "item_ends": encode_ends(table.indptr),
            "item_steps": encode_steps(table.indptr, table.columns, dim),
            **{f"item_{name}": array for name, array in values.items()},
        },
        "weights": {name.replace(".", "_"): array for name, array in weights.items()},
        "seen": seen_arrays(model) if users else {},
        **strangers.groups,
        "ids": {**(id_arrays("user", stored) if users else {}), **id_arrays("item", stored)},
    }
    value, weight = READ[dtype]
    row_entries = min(max(int(model.metadata["row_entries"]), 1), dim)
    ranking = Template(read_source("touched_items.h")).substitute(
        row_entries=row_entries,
        limit=step_limit(dim),
        value=value,
        weight=weight,
        of_users=Template(read_source("touched_users.h")).substitute(strangers.ranking) if users else "",
    )
    finds, program = (("user", "item"), "main.c") if users else (("item",), "main_items.c")
    return Source(none_empty(groups), 4 * dim + 8 * row_entries, ranking, finds, program, strangers.told)
