"""The model file: what a trained model is saved as, and what ``runtime.Recommender`` serves from.

name                                  type                   what
====================================  =====================  ==========================================================
``users.indptr``, ``items.indptr``    I32 or I64             (rows + 1,) bounds of the rows
``users.columns``, ``items.columns``  U8 or U16              (nnz,) dimension of an entry; U8 up to 256 dimensions
``users.values``, ``items.values``    F32                    (nnz,)
``user_ids``, ``item_ids``            U8 ... I64             (rows,) outside ids, where the kind is ``int``
``user_ids.text``, ``.offsets``       U8, I32 or I64         UTF-8 and (rows + 1,) bounds, where the kind is ``text``
``seen.indptr``, ``seen.items``       I32 or I64, U8 to U32  each user's items in training, ascending
``seen.ages``                         U8                     how many of a user's came later than each, 255 for more,
                                                             where a user's row depends on it
``seen.disliked``                     I32 or I64             which of these the user dislikes, if any
``seen.weights``                      F32                    (n,) weights of the seen items, if they differ
``seen.held_out``                     I32 or I64             which of these a lightgcn was not trained on, if any
``weights``                           F32                    dense weights of neumf; one for each item of fism
====================================  =====================  ==========================================================

A fism model has no ``users.*`` arrays: its users are made of their seen items when lists are made.
Where their rows are solved for, there are no ``weights`` either.
Ids of the kind ``range`` are the row numbers and take no bytes. Metadata are text: ``format``,
``format_version``, ``model``, ``method``, ``dim``, ``density``, ``budget``, ``n_users``,
``n_items``, ``user_id_kind``, ``item_id_kind``, ``library_version``, what the training adds
(``loss``, ``seed``, ``metrics`` as JSON, ``train_digest``), and the settings that the base model
scores with (``layers``, ...). docs/model-file.md describes it field by field. This module writes it
as training leaves it: values in float32 and the bounds of the rows, so that all of it is read where
it lies in the mapped file. ``export`` writes the smaller forms of the same arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import IO, Any

import numpy as np

from sparserec_np import __version__
from sparserec_np.data.ids import are_texts, text_array
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.data.table import SparseTable, column_dtype, index_dtype
from sparserec_np.runtime import (
    AGES,
    DTYPES,
    FORMAT,
    FORMAT_VERSION,
    ID_TYPES,
    SEEN_LEFT_OUT,
    Array,
    Artifact,
    ArtifactError,
    Ids,
    Path,
    Source,
    count_bytes,
    decode_model,
    empty_rows,
    made_rows,
    name_of,
    read_artifact,
    served_as,
)


@dataclass(frozen=True)
class ServedModel:
    """A trained model as it is served.

    Attributes:
        users, items: the embedding tables, one row per user and per item; float32 values. Where
            the model does not store users, theirs are ``empty_users``.
        dim: number of columns of both tables.
        user_ids, item_ids: (n_users,), (n_items,) int64 or unicode outside ids, none twice.
        seen_indptr: (n_users + 1,) integer bounds into ``seen_items``.
        seen_items: (n,) integer item rows that a user had in training, ascending for each user, and
            those that the user dislikes; never recommended.
        held_out: (m,) ascending places in ``seen_items`` of what a lightgcn was not trained on, and
            does not propagate over: what was held out to validate by, where it was not trained
            again on all.
        seen_ages: (n,) uint8 how many of a user's interactions came later than each of
            ``seen_items``, 255 for more; empty where nothing depends on it.
        disliked: (m,) ascending places in ``seen_items`` of what users dislike.
        seen_weights: (n,) float32 weights of ``seen_items``, above 0; empty where all count alike.
        weights: (n,) float32 dense weights; one for each item where users are sums of rows; empty
            for a model that has none.
        metadata: text; ``model``, ``method`` and ``budget`` (number of entries allowed) must be
            there. Where ``seen`` is ``left out``, the seen items are empty because nobody knows
            them.
    """

    users: SparseTable
    items: SparseTable
    dim: int
    user_ids: Array
    item_ids: Array
    seen_indptr: Array
    seen_items: Array
    metadata: dict[str, str] = field(default_factory=dict)
    weights: Array = field(default_factory=lambda: np.empty(0, np.float32))
    held_out: Array = field(default_factory=lambda: np.empty(0, np.int32))
    seen_ages: Array = field(default_factory=lambda: np.empty(0, np.uint8))
    disliked: Array = field(default_factory=lambda: np.empty(0, np.int32))
    seen_weights: Array = field(default_factory=lambda: np.empty(0, np.float32))

    @property
    def stores_users(self) -> bool:
        """Whether users have rows in the file; else they are made from what they touched."""
        return served_as(self.metadata.get("model", "")).stores_users

    @property
    def has_numbers(self) -> bool:
        """Whether each item has a number beside its row, of which users' rows are made."""
        return not self.stores_users and made_rows(self.metadata).has_numbers

    @property
    def tables(self) -> dict[str, SparseTable]:
        """The tables that the file stores, by name."""
        return {"users": self.users, "items": self.items} if self.stores_users else {"items": self.items}

    @property
    def has_seen(self) -> bool:
        """Whether it is known what users had in training: a file can be exported without."""
        return self.metadata.get("seen") != SEEN_LEFT_OUT

    @property
    def seen(self) -> Interactions:
        """What users had in training, in its order of time if that is known, with dislikes.

        No interactions where it was left out.
        """
        ages, weights = self.seen_ages, self.seen_weights if len(self.seen_weights) else None
        times = AGES - 1 - ages.astype(np.int32) if len(ages) else None
        ids = self.user_ids, self.item_ids
        log = Interactions(
            self.seen_indptr, self.seen_items, *ids, times, dated=times is None, weights=weights
        )
        if not len(self.disliked):
            return log
        touched = np.ones(log.n_interactions, dtype=bool)
        touched[self.disliked] = False
        disliked = replace(log.subset(~touched), times=None, dated=True, weights=None)
        return replace(log.subset(touched), disliked=disliked)

    def encode(self) -> Artifact:
        """Makes the arrays, in their narrowest types, and the metadata of the model file.

        Raises ArtifactError, naming the field, for a model that no reader would accept: a table
        that is not sound, a value that is not finite, an id that occurs twice.
        """
        user_kind, user_arrays = _encode_ids("user_ids", self.user_ids)
        item_kind, item_arrays = _encode_ids("item_ids", self.item_ids)
        arrays = {**user_arrays, **item_arrays}
        for name, table in self.tables.items():
            arrays[f"{name}.indptr"] = np.asarray(table.indptr, index_dtype(table.nnz))
            arrays[f"{name}.columns"] = _narrowed(f"{name}.columns", table.columns, column_dtype(self.dim))
            arrays[f"{name}.values"] = np.asarray(table.values, np.float32)
        if len(self.weights) or self.has_numbers:
            arrays["weights"] = np.asarray(self.weights, np.float32)
        if self.has_seen:
            arrays["seen.indptr"] = np.asarray(self.seen_indptr, index_dtype(len(self.seen_items)))
            item_dtype = np.min_scalar_type(max(self.items.rows - 1, 0))
            arrays["seen.items"] = _narrowed("seen.items", self.seen_items, item_dtype)
            if len(self.seen_ages):
                arrays["seen.ages"] = self.seen_ages
            if len(self.held_out):
                arrays["seen.held_out"] = np.asarray(self.held_out, index_dtype(len(self.seen_items)))
            if len(self.disliked):
                arrays["seen.disliked"] = np.asarray(self.disliked, index_dtype(len(self.seen_items)))
            if len(self.seen_weights):
                arrays["seen.weights"] = np.asarray(self.seen_weights, np.float32)
        entries = sum(table.rows for table in self.tables.values()) * self.dim
        stored = sum(table.nnz for table in self.tables.values())
        metadata = {
            **self.metadata,
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "library_version": __version__,
            "dim": str(self.dim),
            "density": repr(stored / max(entries, 1)),
            "n_users": str(self.users.rows),
            "n_items": str(self.items.rows),
            "user_id_kind": user_kind,
            "item_id_kind": item_kind,
        }
        artifact = Artifact(arrays, metadata, file_bytes=0)
        decode_model(artifact)
        return artifact

    def bytes_account(self) -> dict[str, int]:
        """Counts the bytes of the stored arrays by purpose; see ``runtime.count_bytes``."""
        return count_bytes(self.encode().arrays)


def empty_users(rows: int, dim: int) -> SparseTable:
    """Makes the users' table of a model that stores none: ``rows`` empty rows, which take no memory."""
    return SparseTable(*empty_rows(rows, dim)[:3])


def save_model(path: Path | IO[bytes], model: ServedModel) -> int:
    """Writes the model file and returns its size; equal models give equal bytes.

    At a path it appears whole or not at all; it may also go into a file that is open in binary
    mode.

    Raises ArtifactError as ``ServedModel.encode`` does, OSError when the file cannot be written.
    """
    artifact = model.encode()
    return write_artifact(path, artifact.arrays, artifact.metadata)


def load_model(path: Source) -> ServedModel:
    """Reads a model file, or that of a run directory; its tables are views of the mapped file.

    The file may also be open in binary mode, or given as its bytes.

    ``seen_indptr`` is int64 and ``seen_items`` int32, as in ``Interactions``. Raises ArtifactError,
    naming the field, for a file that is no sound model; OSError when it cannot be read.
    """
    artifact = read_artifact(path)
    try:
        return served_from(artifact)
    except ArtifactError as error:
        raise ArtifactError(f"{name_of(path)} is not a sound model file: {error}") from None


def served_from(artifact: Artifact) -> ServedModel:
    """Reads the model in an artifact, its values in float32.

    Raises ArtifactError, naming the field, if it is not sound.
    """
    model = decode_model(artifact)
    users, items = (
        SparseTable(table.indptr, table.columns, table.floats()) for table in (model.users, model.items)
    )
    return ServedModel(
        users=users,
        items=items,
        dim=model.dim,
        user_ids=_array_of(model.user_ids),
        item_ids=_array_of(model.item_ids),
        seen_indptr=model.seen_indptr.astype(np.int64),
        seen_items=model.seen_items.astype(np.int32),
        metadata=dict(model.metadata),
        weights=model.weights,
        held_out=model.held_out,
        seen_ages=model.seen_ages,
        disliked=model.disliked,
        seen_weights=model.seen_weights,
    )


def _array_of(ids: Ids) -> Array:
    """Makes an array of ids: (n,) int64, or text as :func:`text_array` makes it."""
    return text_array(list(map(str, ids.values))) if ids.are_text else ids.to_array()


def _narrowed(name: str, numbers: Array, dtype: np.dtype[Any]) -> Array:
    """Converts numbers to another type; one that does not fit is refused, not wrapped around."""
    narrow = numbers.astype(dtype)
    if not np.array_equal(narrow, numbers):
        raise ArtifactError(f"{name} holds numbers that do not fit {dtype}")
    return narrow


def id_bytes(*ids: Array) -> int:
    """Counts the bytes that outside ids take in the file: none where they are 0, 1, 2, ..."""
    return sum(array.nbytes for some in ids for array in _encode_ids("ids", some)[1].values())


def _encode_ids(name: str, ids: Array) -> tuple[str, dict[str, Array]]:
    """Finds the kind of outside ids, and the arrays that hold them in the fewest bytes."""
    if ids.dtype.kind in "iu":
        if np.array_equal(ids, np.arange(len(ids))):
            return "range", {}
        low, high = int(ids.min()), int(ids.max())
        for dtype in map(DTYPES.__getitem__, ID_TYPES):
            if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
                return "int", {name: ids.astype(dtype)}
        raise ArtifactError(f"{name} reach from {low} to {high}, expected 64-bit signed integers")
    if not are_texts(ids):
        raise ArtifactError(f"{name} are {ids.dtype}, expected integers or text")
    try:
        encoded = [text.encode("utf-8") for text in ids.tolist()]
    except UnicodeEncodeError:
        raise ArtifactError(f"{name} hold text that UTF-8 cannot encode") from None
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    text = np.frombuffer(b"".join(encoded), np.uint8)
    return "text", {f"{name}.text": text, f"{name}.offsets": offsets.astype(index_dtype(len(text)))}
