"""Models cut down to what a device needs: some users, some items, no list of what was seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sparserec_np.data.recency import ages_of
from sparserec_np.data.table import SparseTable, column_dtype, index_dtype
from sparserec_np.runtime import SEEN_IN_PART, SEEN_LEFT_OUT, Array, item_columns
from sparserec_np.serving.model_file import ServedModel


def keep_users(model: ServedModel, rows: Array) -> ServedModel:
    """Leaves out all users but those in ``rows`` (m,), ascending; none leaves folding in."""
    # What a user's row may hold is known from the users that training had.
    average = -(-model.users.nnz // max(model.users.rows, 1))
    taken = np.arange(len(model.seen_items))
    seen = _take_rows(SparseTable(model.seen_indptr, model.seen_items, taken), rows)
    return replace(
        model,
        users=_take_rows(model.users, rows),
        user_ids=model.user_ids[rows],
        seen_indptr=seen.indptr.astype(np.int64),
        seen_items=seen.columns,
        metadata={
            "row_entries": str(max(average, 1)),
            **model.metadata,
            **_in_part(model, model.users, rows),
        },
        **_said_of(model, seen.values),
    )


def keep_items(model: ServedModel, rows: Array) -> ServedModel:
    """Leaves out all items but those in ``rows`` (m,), ascending, also of what users have seen.

    A user who is made of what they touched is then made of what is left of it. Columns that stand
    for items go with them.
    """
    place = np.full(model.items.rows, -1, dtype=np.int32)
    place[rows] = np.arange(len(rows), dtype=np.int32)
    placed = place[model.seen_items]
    kept = placed >= 0
    before = np.concatenate(([0], np.cumsum(kept)))
    items, dim, told = _marked_columns_left(model, _take_rows(model.items, rows), rows)
    return replace(
        model,
        items=items,
        dim=dim,
        item_ids=model.item_ids[rows],
        weights=model.weights[rows] if model.has_numbers else model.weights,
        seen_indptr=before[model.seen_indptr],
        seen_items=placed[kept],
        metadata={**model.metadata, **told, **_in_part(model, model.items, rows)},
        **_said_of(model, np.flatnonzero(kept)) | _ages_left(model, np.flatnonzero(kept)),
    )


def without_seen(model: ServedModel) -> ServedModel:
    """Leaves out what users had in training; who asks for a list has to name it then.

    Users who are made of what they touched are left out with it.
    """
    if not model.stores_users:
        model = keep_users(model, np.zeros(0, dtype=np.intp))
    return replace(
        model,
        seen_indptr=np.zeros(model.users.rows + 1, dtype=np.int64),
        seen_items=np.zeros(0, dtype=np.int32),
        metadata={**model.metadata, "seen": SEEN_LEFT_OUT},
        **_said_of(model, np.zeros(0, dtype=np.intp)),
    )


def _said_of(model: ServedModel, places: Array) -> dict[str, Any]:
    """Keeps what is said of the seen items at some places (m,): dislikes, weights and ages."""
    disliked = np.flatnonzero(np.isin(places, model.disliked)).astype(model.disliked.dtype)
    return {
        "disliked": disliked,
        "seen_weights": model.seen_weights[places] if len(model.seen_weights) else model.seen_weights,
        "seen_ages": model.seen_ages[places] if len(model.seen_ages) else model.seen_ages,
    }


def _ages_left(model: ServedModel, places: Array) -> dict[str, Array]:
    """Counts anew, of the seen items at some places (m,), how many of a user's came later, if it matters.

    Dislikes are 0, as in the whole model.
    """
    if not len(model.seen_ages):
        return {}
    kept, touched = (np.zeros(len(model.seen_items), dtype=bool) for _ in range(2))
    kept[places] = True
    touched[:] = True
    touched[model.disliked] = False
    ages = np.zeros(len(model.seen_items), np.uint8)
    ages[touched & kept] = ages_of(model.seen.subset(kept[touched]))
    return {"seen_ages": ages[kept]}


def _marked_columns_left(
    model: ServedModel, items: SparseTable, rows: Array
) -> tuple[SparseTable, int, dict[str, str]]:
    """Leaves out the columns of items that are not in ``rows`` (m,), where columns stand for items.

    Returns the table, its number of columns and what metadata say of them.
    """
    marked = item_columns(model.metadata)
    if not marked:
        return items, model.dim, {}
    first = model.dim - marked
    columns = np.concatenate([np.arange(first), first + rows])  # those that stay
    place = np.full(model.dim, -1, dtype=np.int32)
    place[columns] = np.arange(len(columns))
    placed = place[items.columns]
    before = np.concatenate(([0], np.cumsum(placed >= 0))).astype(items.indptr.dtype)
    kept = SparseTable(
        before[items.indptr],
        placed[placed >= 0].astype(column_dtype(len(columns))),
        items.values[placed >= 0],
    )
    return kept, len(columns), {"item_columns": str(len(rows))}


def _in_part(model: ServedModel, table: SparseTable, rows: Array) -> dict[str, str]:
    """Says of seen items that they are no longer all: nobody may take what is not there for untouched."""
    return {"seen": SEEN_IN_PART} if model.has_seen and len(rows) < table.rows else {}


def _take_rows(table: SparseTable, rows: Array) -> SparseTable:
    lengths = np.diff(table.indptr)[rows]
    indptr = np.zeros(len(rows) + 1, dtype=index_dtype(table.nnz))
    np.cumsum(lengths, out=indptr[1:])
    places = np.arange(indptr[-1]) + np.repeat(table.indptr[rows] - indptr[:-1], lengths)
    return SparseTable(indptr, table.columns[places], table.values[places])
