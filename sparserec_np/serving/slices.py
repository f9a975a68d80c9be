"""Models cut down to what a device needs: some users, some items, no list of what was seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sparserec_np.data.recency import ages_of
from sparserec_np.data.table import SparseTable, index_dtype
from sparserec_np.runtime import SEEN_IN_PART, SEEN_LEFT_OUT, Array
from sparserec_np.serving.model_file import ServedModel


def keep_users(model: ServedModel, rows: Array) -> ServedModel:
    """Leaves out all users but those in ``rows`` (m,), ascending; none leaves folding in."""
    # What a user's row may hold is known from the users that training had.
    average = -(-model.users.nnz // max(model.users.rows, 1))
    ages = model.seen_ages if len(model.seen_ages) else model.seen_items  # which go along, or nothing does
    seen = _take_rows(SparseTable(model.seen_indptr, model.seen_items, ages), rows)
    return replace(
        model,
        users=_take_rows(model.users, rows),
        user_ids=model.user_ids[rows],
        seen_indptr=seen.indptr.astype(np.int64),
        seen_items=seen.columns,
        seen_ages=seen.values if len(model.seen_ages) else model.seen_ages,
        metadata={
            "row_entries": str(max(average, 1)),
            **model.metadata,
            **_in_part(model, model.users, rows),
        },
    )


def keep_items(model: ServedModel, rows: Array) -> ServedModel:
    """Leaves out all items but those in ``rows`` (m,), ascending, also of what users have seen.

    A user who is made of what they touched is then made of what is left of it.
    """
    place = np.full(model.items.rows, -1, dtype=np.int32)
    place[rows] = np.arange(len(rows), dtype=np.int32)
    placed = place[model.seen_items]
    kept = placed >= 0
    before = np.concatenate(([0], np.cumsum(kept)))
    return replace(
        model,
        items=_take_rows(model.items, rows),
        item_ids=model.item_ids[rows],
        weights=model.weights[rows] if model.has_numbers else model.weights,
        seen_indptr=before[model.seen_indptr],
        seen_items=placed[kept],
        seen_ages=ages_of(model.seen.subset(kept)) if len(model.seen_ages) else model.seen_ages,
        metadata={**model.metadata, **_in_part(model, model.items, rows)},
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
        seen_ages=np.zeros(0, dtype=np.uint8),
        metadata={**model.metadata, "seen": SEEN_LEFT_OUT},
    )


def _in_part(model: ServedModel, table: SparseTable, rows: Array) -> dict[str, str]:
    """Says of seen items that they are no longer all: nobody may take what is not there for untouched."""
    return {"seen": SEEN_IN_PART} if model.has_seen and len(rows) < table.rows else {}


def _take_rows(table: SparseTable, rows: Array) -> SparseTable:
    lengths = np.diff(table.indptr)[rows]
    indptr = np.zeros(len(rows) + 1, dtype=index_dtype(table.nnz))
    np.cumsum(lengths, out=indptr[1:])
    places = np.arange(indptr[-1]) + np.repeat(table.indptr[rows] - indptr[:-1], lengths)
    return SparseTable(indptr, table.columns[places], table.values[places])
