"""C source of models that store no users: a user's row is made of the items that they touched.

The items' table lies as in the exported file, in steps and ends, and is read from end to end: once
to make the row, and once to score. So its entries are there once, in few bytes, and the memory to
work in depends on the number of dimensions alone; where items have dimensions, in which pairs of
them stand, there is a bit more for each item.
"""

from __future__ import annotations

from string import Template

import numpy as np

from sparserec_np.runtime import (
    Array,
    ArtifactError,
    Table,
    item_columns,
    mark_factors,
    recency_levels,
    step_limit,
    weighed_items,
)
from sparserec_np.serving.c.source import (
    Source,
    id_arrays,
    none_empty,
    read_source,
    seen_arrays,
    strangers_of,
)
from sparserec_np.serving.model_file import ServedModel
from sparserec_np.serving.packing import VALUES, WEIGHTS, encode_ends, encode_steps, used_weights

IS_STRANGER = "sparserec_seen_starts[user] == sparserec_seen_starts[user + 1]"
# Type of the values -> how C reads the value at a place, the weight that stands at a number, and
# what is made of that weight as the factor of marks.
READ = {
    "float32": (
        "sparserec_item_values[place->entry]",
        "sparserec_weights[{}]",
        "sparserec_weights_marks[{}]",
    ),
    "int8": (
        "sparserec_item_scales[dimension < SPARSEREC_SUMMED ? dimension : SPARSEREC_SUMMED]"
        " * (float)sparserec_item_values[place->entry]",
        "sparserec_weights_levels[sparserec_weights_codes[{}]]",
        "sparserec_weights_marks[sparserec_weights_codes[{}]]",
    ),
}


# What is said of the list that somebody's row is made of.
ANY_ORDER = """and others count for nothing. `touched` may be in any order, and told twice; it comes back in order, from
 * where the next call is faster."""
TIME_ORDER = """and others count for nothing. `touched` is in the order of time, the latest last; of one told twice the
 * later telling counts. It comes back in another order, and `ages`, of `count` places, filled: list it anew for the
 * next call."""


def _weights(model: ServedModel, numbers: Array, dtype: str, summed: int) -> dict[str, Array]:
    """Makes the weights that the exported file has; with pairs over all items, each at its number."""
    weights = WEIGHTS[dtype](used_weights(model, numbers))
    if summed < model.dim:
        name = next(iter(weights))  # of the weights themselves, or their codes
        spread = np.zeros(model.items.rows, weights[name].dtype)
        spread[weighed_items(Table(*model.items), summed)] = weights[name]
        weights[name] = spread
    return weights


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
    users = model.has_seen and model.users.rows > 0
    if users and (len(model.disliked) or len(model.seen_weights)):
        raise ArtifactError(
            "users' rows are made in C of seen items that all count alike, and these have weights or dislikes: leave"
            " them out with --drop seen"
        )
    table, dim = model.items, model.dim
    summed = dim - item_columns(model.metadata)
    recency = float(model.metadata.get("recency", 0))
    values = VALUES[dtype]("items", table, min(summed + 1, dim))
    pairs, power = summed < dim, float(model.metadata.get("mark_power", 0))
    weights = _weights(model, stored["weights"], dtype, summed)
    if power:  # roots, which C would need a library for
        numbers = weights["weights.levels"] if "weights.levels" in weights else weights["weights"]
        weights["weights_marks"] = mark_factors(numbers, power)
    strangers = strangers_of(model, IS_STRANGER)
    groups = {
        "items": {
            "item_ends": encode_ends(table.indptr),
            "item_steps": encode_steps(table.indptr, table.columns, dim),
            **{f"item_{name}": array for name, array in values.items()},
        },
        "weights": {name.replace(".", "_"): array for name, array in weights.items()},
        "recency": {"levels": recency_levels(recency)} if recency else {},
        "seen": seen_arrays(model) if users else {},
        **strangers.groups,
        "ids": {**(id_arrays("user", stored) if users else {}), **id_arrays("item", stored)},
    }
    value, weight, mark = READ[dtype]
    row_entries = min(max(int(model.metadata["row_entries"]), 1), summed)
    ranking = Template(read_source("touched_items.h")).substitute(
        summed=summed,
        recency=int(recency > 0),
        order=TIME_ORDER if recency else ANY_ORDER,
        ages="uint8_t *ages, " if recency else "",
        given="ages, " if recency else "",
        row_entries=row_entries,
        limit=step_limit(dim),
        value=value,
        weight=weight.format("place->item" if pairs else "place->filled"),
        mark=mark.format("item") if power else "1.0f",
        whose="for each item" if pairs else "for each item that has entries",
        pairs=int(pairs),
        of_users=Template(read_source("touched_users.h")).substitute(strangers.ranking) if users else "",
    )
    finds, program = (("user", "item"), "main.c") if users else (("item",), "main_items.c")
    scratch = 4 * dim + 8 * row_entries + (4 * -(-table.rows // 32) if pairs else 0)
    return Source(none_empty(groups), scratch, ranking, finds, program, strangers.told)
