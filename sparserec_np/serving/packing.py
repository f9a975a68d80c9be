"""The exported file: a model cut down to what a device needs, in as few bytes as it can be had.

It is a model file like any other (docs/model-file.md), in its smaller forms: values in float32, float16 or int8, the
lengths of the rows in place of their bounds, seen items as gaps. int8 has one scale for each dimension and table, our
choice: on Gowalla it loses as little NDCG as a scale for each row, and that would take four bytes a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.data.table import SparseTable, index_dtype
from sparserec_np.runtime import (
    EXPORTED,
    SEEN_LEFT_OUT,
    Array,
    Artifact,
    ArtifactError,
    Path,
    Recommender,
    count_bytes,
    decode_model,
    served_as,
)
from sparserec_np.serving.model_file import ServedModel

# -- what goes in


def keep_users(model: ServedModel, rows: Array) -> ServedModel:
    """The model with the users ``rows`` (m,) alone, ascending; none at all leaves one for folding in."""
    # What a user's row may hold is known from the users that training had.
    average = -(-model.users.nnz // max(model.users.rows, 1))
    seen = _take_rows(SparseTable(model.seen_indptr, model.seen_items, model.seen_items), rows)
    return replace(
        model,
        users=_take_rows(model.users, rows),
        user_ids=model.user_ids[rows],
        seen_indptr=seen.indptr.astype(np.int64),
        seen_items=seen.columns,
        metadata={"row_entries": str(max(average, 1)), **model.metadata},
    )


def keep_items(model: ServedModel, rows: Array) -> ServedModel:
    """The model with the items ``rows`` (m,) alone, ascending."""
    place = np.full(model.items.rows, -1, dtype=np.int32)
    place[rows] = np.arange(len(rows), dtype=np.int32)
    placed = place[model.seen_items]
    before = np.concatenate(([0], np.cumsum(placed >= 0)))
    return replace(
        model,
        items=_take_rows(model.items, rows),
        item_ids=model.item_ids[rows],
        seen_indptr=before[model.seen_indptr],
        seen_items=placed[placed >= 0],
    )


def without_seen(model: ServedModel) -> ServedModel:
    """The model without the items that users had in training; who asks it for a list has to name them."""
    return replace(
        model,
        seen_indptr=np.zeros(model.users.rows + 1, dtype=np.int64),
        seen_items=np.zeros(0, dtype=np.int32),
        metadata={**model.metadata, "seen": SEEN_LEFT_OUT},
    )


def _take_rows(table: SparseTable, rows: Array) -> SparseTable:
    lengths = np.diff(table.indptr)[rows]
    indptr = np.zeros(len(rows) + 1, dtype=index_dtype(table.nnz))
    np.cumsum(lengths, out=indptr[1:])
    places = np.arange(indptr[-1]) + np.repeat(table.indptr[rows] - indptr[:-1], lengths)
    return SparseTable(indptr, table.columns[places], table.values[places])


# -- how it is stored


def pack(model: ServedModel, dtype: str) -> Artifact:
    """The arrays and metadata of the exported file.

    Args:
        model: what it shall hold.
        dtype: of the stored values, a key of ``VALUES``.

    Raises ArtifactError, naming the field, for a model that no reader would accept, and for values that the dtype
    cannot hold.
    """
    if not served_as(model.metadata["model"]).exports:
        raise ArtifactError(
            f"metadata model is {model.metadata['model']!r}: of it no list is made from the stored rows alone, so there"
            f" is nothing to export; a model of {', '.join(EXPORTED)} can be"
        )
    plain = model.encode()
    arrays = dict(plain.arrays)
    for name in ("users", "items"):
        arrays[f"{name}.lengths"] = _narrowest(np.diff(arrays.pop(f"{name}.indptr")))
        table = SparseTable(*(getattr(model, name)))
        arrays |= {f"{name}.{part}": array for part, array in VALUES[dtype](name, table, model.dim).items()}
    if model.has_seen:
        arrays["seen.lengths"] = _narrowest(np.diff(arrays.pop("seen.indptr")))
        del arrays["seen.items"]
        arrays["seen.gaps"] = encode_varints(_gaps(model.seen_indptr, model.seen_items))
    artifact = Artifact(arrays, plain.metadata, file_bytes=0)
    decode_model(artifact)
    return artifact


def write_export(path: Path, artifact: Artifact) -> int:
    """Writes the file, atomically, and returns its size in bytes; equal models give equal bytes."""
    return write_artifact(path, artifact.arrays, artifact.metadata)


def _float32(name: str, table: SparseTable, dim: int) -> dict[str, Array]:
    return {"values": np.asarray(table.values, np.float32)}


def _float16(name: str, table: SparseTable, dim: int) -> dict[str, Array]:
    most = float(np.finfo(np.float16).max)
    if np.abs(table.values).max(initial=0) > most:
        raise ArtifactError(
            f"{name}.values reach beyond {most:,.0f}, the most of float16; use int8 or float32"
        )
    return {"values": table.values.astype(np.float16)}


def _int8(name: str, table: SparseTable, dim: int) -> dict[str, Array]:
    """``round(value / scale)``, where a dimension's scale is its largest magnitude over 127."""
    scales = np.zeros(dim, dtype=np.float32)
    np.maximum.at(scales, table.columns, np.abs(table.values))
    scales /= 127
    # A scale that underflowed to zero stands for values too small to matter.
    own = scales[table.columns]
    numbers = np.divide(table.values, own, out=np.zeros_like(own), where=own > 0)
    return {"values": np.clip(np.rint(numbers), -127, 127).astype(np.int8), "scales": scales}


VALUES: dict[str, Callable[[str, SparseTable, int], dict[str, Array]]] = {
    "float32": _float32,
    "float16": _float16,
    "int8": _int8,
}


def _narrowest(lengths: Array) -> Array:
    return lengths.astype(np.min_scalar_type(int(lengths.max(initial=0))))


def _gaps(indptr: Array, items: Array) -> Array:
    """(n,) int64: each item as its distance from the user's item before, less one; the first from item 0."""
    gaps = np.diff(items.astype(np.int64), prepend=-1) - 1
    firsts = indptr[:-1][np.diff(indptr) > 0]
    gaps[firsts] = items[firsts]
    return gaps


def encode_varints(numbers: Array) -> Array:
    """(m,) uint8: ``numbers`` (n,), none negative, in seven bits a byte, the lowest first (LEB128).

    >>> encode_varints(np.array([5, 300])).tolist()
    [5, 172, 2]
    """
    numbers = np.asarray(numbers, dtype=np.int64)
    widths = np.ones(len(numbers), dtype=np.int64)
    for place in range(1, 5):
        widths += numbers >> (7 * place) > 0
    starts = np.cumsum(widths) - widths
    data = np.zeros(int(widths.sum()), dtype=np.uint8)
    for place in range(int(widths.max(initial=0))):
        some = np.flatnonzero(widths > place)
        more = np.where(widths[some] > place + 1, 128, 0)
        data[starts[some] + place] = (numbers[some] >> (7 * place) & 127) | more
    return data


# -- what it is worth


def count_tables(artifact: Artifact) -> int:
    """Bytes of both tables: values with their scales, columns, and lengths or bounds; neither ids nor seen items."""
    counts = count_bytes(artifact.arrays)
    return counts["values"] + counts["columns"] + counts["indptr"]


@dataclass(frozen=True)
class DeviceRanker:
    """Ranks as a device does that holds the file: through ``Recommender``, one user after another.

    Attributes:
        recommender: the file.
        folds_in: make each user's row from their seen items, as where the file holds no users.
    """

    recommender: Recommender
    folds_in: bool = False

    def rank(self, users: Array, n: int, seen: Interactions) -> tuple[Array, Array]:
        """Items (m, n) and scores (m, n) of ``users`` (m,); see ``evaluation.Ranker``."""
        items = np.full((len(users), n), -1, dtype=np.int32)
        scores = np.full((len(users), n), -np.inf, dtype=np.float32)
        for place, user in enumerate(users.tolist()):
            known = seen.item_ids[seen.items[seen.indptr[user] : seen.indptr[user + 1]]].tolist()
            if not self.folds_in:
                found = self.recommender.recommend(seen.user_ids[user], n, exclude=known, filter_seen=False)
            elif known:
                found = self.recommender.recommend_for_items(known, n)
            else:  # nothing to make a row from, and so no list
                continue
            rows = map(self.recommender.item_ids.find, found.items)
            items[place, : len(found.items)] = np.array(list(rows), dtype=np.int32)
            scores[place, : len(found.items)] = found.scores
        return items, scores


def overlap(one: Array, other: Array) -> float:
    """The part of the items in lists ``one`` (m, n) that are in the same row of ``other``, too; -1 is no item.

    >>> overlap(np.array([[1, 2], [3, -1]]), np.array([[2, 5], [3, -1]]))
    0.6666666666666666
    """
    shared = sum(np.intersect1d(a[a >= 0], b[b >= 0]).size for a, b in zip(one, other, strict=True))
    return float(shared / max(int(np.count_nonzero(one >= 0)), 1))
