"""Small models for the tests of saving, checking and serving."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.serving.model_file import ServedModel, empty_users


def make_towers_model(hidden: int = 6, seed: int = 0, **settings: Any) -> ServedModel:
    """A random neumf."""
    model = make_model(seed=seed, **settings)
    gmf, narrow = model.dim - (model.dim + 2) // 4, hidden // 2
    n = 2 * (model.dim - gmf) * hidden + hidden + hidden * narrow + 2 * narrow + gmf
    weights = np.random.default_rng(seed).normal(size=n).astype(np.float32)
    return replace(
        model, weights=weights, metadata={**model.metadata, "model": "neumf", "hidden": str(hidden)}
    )


def make_fism_model(
    row_entries: int = 5,
    seed: int = 0,
    *,
    recency: float = 0.0,
    marks: bool = False,
    mark_power: float = 0.25,
    **settings: Any,
) -> ServedModel:
    """A random fism, of which users 2 and 5 (if there are as many) have seen nothing.

    Of what others have seen the order of time is drawn, if there is ``recency``. With ``marks``, items have columns,
    and pairs stand at random: once, twice, and of an item with itself. Half of the weights are below 0.
    """
    told: dict[str, str] = {"recency": str(recency)} if recency else {}
    if marks:
        n_items = settings.get("n_items", 50)
        told |= {
            "user_rows": "neighbours",
            "item_columns": str(n_items),
            "mark_power": str(mark_power),
        }
        settings["dim"] = settings.get("dim", 8) + n_items
    model = make_model(seed=seed, **settings)
    users = np.repeat(np.arange(model.users.rows), np.diff(model.seen_indptr))
    kept = (users != 2) & (users != 5)
    before = np.concatenate(([0], np.cumsum(kept)))
    ages = np.zeros(0, np.uint8)
    if recency:
        own = np.diff(before[model.seen_indptr])
        rng = np.random.default_rng(seed)
        ages = np.concatenate([rng.permutation(size) for size in own]).clip(0, 255).astype(np.uint8)
    return replace(
        model,
        users=empty_users(model.users.rows, model.dim),
        weights=np.random.default_rng(seed).normal(size=model.items.rows).astype(np.float32),
        seen_indptr=before[model.seen_indptr],
        seen_items=model.seen_items[kept],
        seen_ages=ages,
        metadata={
            **model.metadata,
            "model": "fism",
            "budget": str(model.items.nnz),
            "row_entries": str(row_entries),
            **told,
        },
    )


def once(model: ServedModel) -> ServedModel:
    """The same model with each pair once, in the row of the higher item; the first have no other entries, or none."""
    dense = model.items.to_dense(model.dim).copy()
    summed = model.dim - model.items.rows
    dense[:, summed:] = np.tril(dense[:, summed:], -1)
    dense[:6, :summed] = 0
    items = SparseTable.from_dense(dense, dense != 0)
    return replace(model, items=items, metadata={**model.metadata, "budget": str(items.nnz)})


def make_ridge_model(
    row_entries: int = 64, seed: int = 0, untouched: float = 0.2, ridge: float = 1.0, **settings: Any
) -> ServedModel:
    """A random fism whose users' rows are solved for; users 2 and 5 have seen nothing."""
    model = make_fism_model(row_entries, seed, **settings)
    told = {"user_rows": "ridge", "untouched_weight": str(untouched), "ridge": str(ridge)}
    return replace(model, weights=np.empty(0, np.float32), metadata={**model.metadata, **told})


def make_model(
    n_users: int = 30,
    n_items: int = 50,
    dim: int = 8,
    density: float = 0.3,
    seed: int = 0,
    user_ids: Array | None = None,
    item_ids: Array | None = None,
    decimals: int = 8,
) -> ServedModel:
    """A random model; few ``decimals`` make many equal scores."""
    rng = np.random.default_rng(seed)

    def table(rows: int) -> SparseTable:
        values = rng.normal(size=(rows, dim)).round(decimals).astype(np.float32)
        return SparseTable.from_dense(values, rng.random((rows, dim)) < density)

    users, items = table(n_users), table(n_items)
    seen = rng.random((n_users, n_items)) < 0.2
    seen[:, 0] = True
    return ServedModel(
        users=users,
        items=items,
        dim=dim,
        user_ids=np.arange(n_users) if user_ids is None else user_ids,
        item_ids=np.arange(n_items) if item_ids is None else item_ids,
        seen_indptr=np.concatenate(([0], np.cumsum(seen.sum(axis=1)))),
        seen_items=np.nonzero(seen)[1].astype(np.int32),
        metadata={
            "model": "mf",
            "method": "sparserec",
            "budget": str(users.nnz + items.nnz),
            "loss": "bpr",
            "seed": str(seed),
            "metrics": json.dumps({"recall@20": 0.25}),
            "train_digest": "ab" * 32,
        },
    )


def as_lightgcn(
    model: ServedModel,
    layers: int = 2,
    similarity: str = "dot",
    temperature: float = 1.0,
    held_out: tuple[int, ...] = (),
) -> ServedModel:
    """The same tables as those of a LightGCN, with the seen items as its graph but for those at ``held_out``."""
    settings = {"layers": str(layers), "similarity": similarity, "temperature": str(temperature)}
    return replace(
        model,
        held_out=np.array(held_out, np.int32),
        metadata={**model.metadata, "model": "lightgcn", **settings},
    )


def touched_row(model: ServedModel, items: Iterable[int]) -> Array:
    """A fism user's row before it is cut: (dim,) float64, one entry after the other."""
    row = np.zeros(model.dim)
    for item in sorted(items):
        for entry in range(model.items.indptr[item], model.items.indptr[item + 1]):
            row[model.items.columns[entry]] += float(model.weights[item]) * float(model.items.values[entry])
    return row


def solved_row(model: ServedModel, items: Iterable[int]) -> Array:
    """A user's row that is solved for, by dense algebra: (dim,) float64."""
    dense = model.items.to_dense(model.dim).astype(float)
    own, most = dense[sorted(items)], min(int(model.metadata["row_entries"]), model.dim)
    weights = [float(model.metadata[name]) for name in ("untouched_weight", "ridge")]
    shared = weights[0] * dense.T @ dense + weights[1] * np.square(dense).sum() / len(dense) * np.eye(
        model.dim
    )
    kept, matrix = np.flatnonzero(own.any(axis=0)), shared + own.T @ own
    row = np.zeros(model.dim)
    for _ in range(2):
        row[:] = 0
        row[kept] = np.linalg.solve(matrix[np.ix_(kept, kept)], own.sum(axis=0)[kept])
        worths = row**2 * np.diag(shared)
        kept = np.array(sorted(sorted(kept, key=lambda k: (-worths[k], k))[:most]), dtype=int)
    return row


def largest_alone(row: Array, n: int) -> Array:
    """The row with zeros but for its ``n`` entries of largest magnitude, of equals the lower column."""
    kept = sorted(range(len(row)), key=lambda column: (-abs(row[column]), column))[:n]
    return np.array([value if column in kept else 0.0 for column, value in enumerate(row.tolist())])


def seen_sets(model: ServedModel) -> list[set[Any]]:
    """The outside ids that each user had."""
    bounds = model.seen_indptr.tolist()
    return [
        set(model.item_ids[model.seen_items[a:b]].tolist())
        for a, b in zip(bounds[:-1], bounds[1:], strict=True)
    ]
