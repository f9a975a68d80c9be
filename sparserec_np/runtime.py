"""Serve a trained model: open its file, recommend items to a user.

This file needs Python and NumPy and nothing else: copy it next to your own code, and the rest of the library
can stay at home. The model file is a valid safetensors file (an 8-byte length, a JSON header, raw
little-endian arrays) which is memory-mapped; every field is checked before it is used, so that a damaged or
hostile file ends in an ``ArtifactError``.

    recommender = Recommender.open("run")
    items, scores = recommender.recommend(42, n=10)
"""

from __future__ import annotations

import json
import math
import mmap
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Path = str | os.PathLike[str]

FORMAT = "sparserec_np"
FORMAT_VERSION = "1"
MODEL_NAME = "model.safetensors"
MAX_HEADER_BYTES = 1 << 20

# safetensors' names of the types a file may hold; little-endian, whatever the machine.
DTYPES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
INDEX_TYPES = ("I32", "I64")
ID_TYPES = ("U8", "I8", "U16", "I16", "U32", "I32", "I64")


class ArtifactError(ValueError):
    """The file is no model, is damaged, or was written by a later version; the message names the field."""


class UnknownUserError(KeyError):
    """The user was not among the users the model was trained on."""

    def __str__(self) -> str:  # KeyError would print the repr of the sentence
        return str(self.args[0])


# -- the file


class Artifact(NamedTuple):
    """Named arrays and text metadata.

    Attributes:
        arrays: name -> read-only array; views of the mapped file.
        metadata: name -> text.
        file_bytes: size of the whole file.
    """

    arrays: dict[str, Array]
    metadata: dict[str, str]
    file_bytes: int


def locate(path: Path) -> str:
    """The model file of a run directory, or the path itself when it is no directory.

    Raises ArtifactError for a directory that holds no model.
    """
    name = os.fspath(path)
    if not os.path.isdir(name):
        return name
    inside = os.path.join(name, MODEL_NAME)
    if not os.path.isfile(inside):
        raise ArtifactError(
            f"{name} is a directory without a {MODEL_NAME}: expected a run that `sparserec train -o` has finished"
        )
    return inside


def read_artifact(path: Path) -> Artifact:
    """Maps a safetensors file (or the one in a run directory) into memory and checks its layout.

    Raises ArtifactError, naming the file and the field; OSError when the file cannot be opened.
    """
    name = locate(path)
    if not stat.S_ISREG(os.stat(name).st_mode):
        raise ArtifactError(f"{name} is not a regular file, so it cannot be mapped into memory")
    with open(name, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise ArtifactError(f"{name} holds {size} bytes: too short to be a model file")
        buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return parse_artifact(buffer)
    except ArtifactError as error:
        raise ArtifactError(f"{name} is not a sound model file: {error}") from None


def parse_artifact(buffer: bytes | mmap.mmap) -> Artifact:
    """The arrays (views) and the metadata of a safetensors file that is in ``buffer``.

    Raises ArtifactError unless the header is sound and the arrays fill the rest of the file without gap or
    overlap.
    """
    size = len(buffer)
    if size < 8:
        raise ArtifactError(f"{size} bytes are too short for a header length")
    header_bytes = int.from_bytes(buffer[:8], "little")
    if not 2 <= header_bytes <= min(size - 8, MAX_HEADER_BYTES):
        raise ArtifactError(
            f"the header length is {header_bytes:,}, expected 2 to {min(size - 8, MAX_HEADER_BYTES):,}"
            " (the file may be cut short, or is no safetensors file)"
        )
    header = _parse_json(buffer[8 : 8 + header_bytes], "the header")
    if not isinstance(header, dict):
        raise ArtifactError("the header must be a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise ArtifactError("__metadata__ must be a JSON object")
    for key, value in metadata.items():
        if not (isinstance(value, str) and key.isprintable() and value.isprintable()):
            raise ArtifactError(f"__metadata__: {key!r} must be printable text")
    start = 8 + header_bytes
    arrays: dict[str, Array] = {}
    spans = []
    for name, entry in header.items():
        dtype, shape, first, last = _read_entry(name, entry, size - start)
        try:
            flat = np.frombuffer(buffer, dtype, (last - first) // dtype.itemsize, start + first)
            arrays[name] = flat.reshape(shape)
        except (ValueError, OverflowError):
            raise ArtifactError(f"{name!r}: no array can have the shape {shape}") from None
        spans.append((first, last, name))
    end = 0
    for first, last, name in sorted(spans):
        if first != end:
            raise ArtifactError(
                f"{name!r}: data_offsets start at {first:,}, expected {end:,}, where the last array ends"
            )
        end = last
    if end != size - start:
        raise ArtifactError(
            f"the arrays end at byte {end:,} of the data, but {size - start:,} bytes are there"
        )
    return Artifact(arrays, metadata, size)


def _read_entry(name: str, entry: Any, available: int) -> tuple[np.dtype[Any], tuple[int, ...], int, int]:
    """dtype, shape, first and last byte of one array, from its entry in the header."""
    if not (
        name.isprintable() and isinstance(entry, dict) and set(entry) == {"dtype", "shape", "data_offsets"}
    ):
        raise ArtifactError(f"{name!r}: expected an object of dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in DTYPES:
        raise ArtifactError(f"{name!r}: dtype {kind!r} is not one of {', '.join(DTYPES)}")
    for field, numbers in (("shape", shape), ("data_offsets", offsets)):
        # type(), not isinstance(): true and false are integers to Python, and are none here
        if not isinstance(numbers, list) or not all(
            type(number) is int and number >= 0 for number in numbers
        ):
            raise ArtifactError(f"{name!r}: {field} must be a list of non-negative integers")
    if len(offsets) != 2 or not offsets[0] <= offsets[1] <= available:
        raise ArtifactError(
            f"{name!r}: data_offsets {offsets} do not lie inside the file's {available:,} bytes of data"
        )
    dtype = DTYPES[kind]
    if len(shape) > 8 or math.prod(shape) * dtype.itemsize != offsets[1] - offsets[0]:
        raise ArtifactError(f"{name!r}: shape {shape} of {kind} does not fill its data_offsets {offsets}")
    return dtype, tuple(shape), offsets[0], offsets[1]


def _parse_json(text: bytes | str, field: str) -> Any:
    """Strict JSON: UTF-8, no name twice in an object, no NaN or Infinity."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = dict(pairs)
        if len(names) != len(pairs):
            raise ArtifactError(f"{field} holds the same name twice")
        return names

    def refuse(constant: str) -> None:
        raise ArtifactError(f"{field} holds {constant}, which is not JSON")

    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except ArtifactError:
        raise
    except (ValueError, RecursionError):
        raise ArtifactError(f"{field} is not valid JSON in UTF-8") from None


# -- the model


class Ids:
    """The outside ids of rows 0, 1, ...: looked up in both directions.

    ``values`` is ``range(n)`` (rows are their own ids), an array of integers, or a list of text; no id occurs
    twice.

    >>> ids = Ids(["ann", "bob"])
    >>> ids.find("bob"), ids.find("eve"), ids[0]
    (1, None, 'ann')
    >>> Ids(np.array([10, 20])).find("20")
    1
    """

    def __init__(self, values: Sequence[str] | range | Array) -> None:
        self.values = values
        self._ascending = isinstance(values, np.ndarray) and bool(np.all(values[1:] > values[:-1]))
        self._rows: dict[Any, int] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> int | str:
        value = self.values[row]
        return value if isinstance(value, str) else int(value)

    @property
    def are_text(self) -> bool:
        """True for text, False for integers."""
        return not isinstance(self.values, (range, np.ndarray))

    def find(self, wanted: object) -> int | None:
        """The row of an id, None if there is none. ``"12"`` finds the integer 12, and 12 the text ``"12"``."""
        if self.are_text and isinstance(wanted, str):
            return self._by_name().get(wanted)
        number = _as_integer(wanted)
        if number is None:
            return None
        if isinstance(self.values, range):
            return number if number in self.values else None
        if not isinstance(self.values, np.ndarray):
            return self._by_name().get(str(number))
        if not self._ascending:
            return self._by_name().get(number)
        if not len(self.values) or not int(self.values[0]) <= number <= int(self.values[-1]):
            return None
        row = int(np.searchsorted(self.values, self.values.dtype.type(number)))
        return row if int(self.values[row]) == number else None

    def all_differ(self) -> bool:
        """True when no id occurs twice."""
        return isinstance(self.values, range) or self._ascending or len(self._by_name()) == len(self.values)

    def to_array(self) -> Array:
        """(n,) int64, or unicode."""
        if self.are_text:
            return np.array(self.values, dtype=np.str_)
        return np.array(self.values, dtype=np.int64)

    def _by_name(self) -> dict[Any, int]:
        if self._rows is None:
            values = self.values.tolist() if isinstance(self.values, np.ndarray) else self.values
            self._rows = {value: row for row, value in enumerate(values)}
        return self._rows


class Table(NamedTuple):
    """An embedding table in compressed sparse row form; columns are sorted and unique in a row.

    Attributes:
        indptr: (rows + 1,) int32 or int64.
        columns: (nnz,) uint8 up to 256 dimensions, uint16 beyond.
        values: (nnz,) float32.
    """

    indptr: Array
    columns: Array
    values: Array


class Model(NamedTuple):
    """What a model file says, checked; what each user has already seen is a CSR matrix over users."""

    dim: int
    users: Table
    items: Table
    user_ids: Ids
    item_ids: Ids
    seen_indptr: Array
    seen_items: Array
    weights: Array
    metadata: dict[str, str]
    metrics: dict[str, Any]


def decode_model(artifact: Artifact) -> Model:
    """The model in an artifact. Raises ArtifactError, naming the field, if anything is not as it must be."""
    metadata = artifact.metadata
    if metadata.get("format") != FORMAT:
        raise ArtifactError(
            f"metadata format is {metadata.get('format')!r}, expected {FORMAT!r}: this is another program's file"
        )
    if metadata.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"metadata format_version is {metadata.get('format_version')!r}, but only {FORMAT_VERSION!r}"
            " is known here: update sparserec_np"
        )
    for key in ("model", "method"):
        if not metadata.get(key):
            raise ArtifactError(f"metadata {key} is missing")
    for key in ("budget", "seed") if "seed" in metadata else ("budget",):
        _read_integer(metadata, key)
    dim = _read_integer(metadata, "dim")
    if not 1 <= dim <= 65_536:
        raise ArtifactError(f"metadata dim is {dim}, expected 1 to 65,536")
    n_users, n_items = _read_integer(metadata, "n_users"), _read_integer(metadata, "n_items")
    users = _decode_table(artifact, "users", n_users, dim)
    items = _decode_table(artifact, "items", n_items, dim)
    # So large a value comes from damage or from a training that diverged; refused here, no score can overflow
    # later.
    if dim * _largest(users.values) * _largest(items.values) > 1e38:
        raise ArtifactError("users.values times items.values would overflow float32: the training diverged")
    seen_indptr, seen_items = _decode_rows(
        artifact, "seen.indptr", "seen.items", n_users, n_items, ("U8", "U16", "U32")
    )
    metrics = _parse_json(metadata.get("metrics", "{}"), "metadata metrics")
    if not isinstance(metrics, dict):
        raise ArtifactError("metadata metrics must be a JSON object")
    user_ids, item_ids = _decode_ids(artifact, "user", n_users), _decode_ids(artifact, "item", n_items)
    weights = _decode_weights(artifact, users, items, dim)
    return Model(dim, users, items, user_ids, item_ids, seen_indptr, seen_items, weights, metadata, metrics)


def count_bytes(arrays: Mapping[str, Array]) -> dict[str, int]:
    """Bytes of a model file's arrays by purpose: values, columns, indptr, ids, weights, their total; seen, apart."""
    counts = dict.fromkeys(("values", "columns", "indptr", "ids", "weights", "seen"), 0)
    for name, array in arrays.items():
        owner, _, part = name.partition(".")
        purpose = "ids" if owner in ("user_ids", "item_ids") else part
        purpose = owner if owner in ("seen", "weights") else purpose
        if purpose in counts:
            counts[purpose] += array.nbytes
    seen = counts.pop("seen")
    return {**counts, "total": sum(counts.values()), "seen": seen}


def _read_integer(metadata: Mapping[str, str], key: str) -> int:
    text = metadata.get(key, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise ArtifactError(f"metadata {key} is {text!r}, expected a number")
    return int(text)


def _take(artifact: Artifact, name: str, kinds: Sequence[str]) -> Array:
    array = artifact.arrays.get(name)
    if array is None:
        raise ArtifactError(f"{name} is missing")
    if array.ndim != 1 or array.dtype not in [DTYPES[kind] for kind in kinds]:
        raise ArtifactError(
            f"{name} is {array.ndim}-dimensional {array.dtype}, expected 1-dimensional {' or '.join(kinds)}"
        )
    return array


def _decode_table(artifact: Artifact, name: str, rows: int, dim: int) -> Table:
    kind = "U8" if dim <= 256 else "U16"
    indptr, columns = _decode_rows(artifact, f"{name}.indptr", f"{name}.columns", rows, dim, (kind,))
    values = _take(artifact, f"{name}.values", ("F32",))
    if len(values) != len(columns):
        raise ArtifactError(f"{name}.values holds {len(values):,} numbers for {len(columns):,} columns")
    if not math.isfinite(_largest(values)):
        raise ArtifactError(f"{name}.values holds NaN or infinity")
    return Table(indptr, columns, values)


def _decode_rows(
    artifact: Artifact, indptr_name: str, columns_name: str, rows: int, limit: int, kinds: Sequence[str]
) -> tuple[Array, Array]:
    """indptr (rows + 1,) and columns of a CSR matrix; columns lie below ``limit`` and rise within a row."""
    indptr, columns = _take(artifact, indptr_name, INDEX_TYPES), _take(artifact, columns_name, kinds)
    _check_bounds(indptr_name, indptr, rows, len(columns), columns_name)
    if len(columns):
        if int(columns.max()) >= limit:
            raise ArtifactError(f"{columns_name} holds {int(columns.max()):,}, expected less than {limit:,}")
        rising = columns[1:] > columns[:-1]
        starts = indptr[(indptr > 0) & (indptr < len(columns))]
        rising[starts - 1] = True  # the first of a row may be smaller than the last of the row before
        if not rising.all():
            raise ArtifactError(f"{columns_name} must rise within a row")
    return indptr, columns


def _check_bounds(name: str, bounds: Array, rows: int, end: int, target: str) -> None:
    if len(bounds) != rows + 1:
        raise ArtifactError(f"{name} holds {len(bounds):,} numbers, expected {rows + 1:,} for {rows:,} rows")
    if bounds[0] != 0 or bounds[-1] != end or bool(np.any(bounds[1:] < bounds[:-1])):
        raise ArtifactError(f"{name} must start at 0, never fall, and end at {end:,}, the length of {target}")


def _largest(values: Array) -> float:
    """The largest magnitude, without a temporary array; NaN when there is one."""
    if not len(values):
        return 0.0
    with np.errstate(invalid="ignore"):  # a signalling NaN would warn
        return max(abs(float(values.min())), abs(float(values.max())))


def _decode_weights(artifact: Artifact, users: Table, items: Table, dim: int) -> Array:
    """The dense weights, which only neumf has. Refused where a score could overflow, as above."""
    if artifact.metadata["model"] != "neumf":
        return np.empty(0, np.float32)
    width = _read_integer(artifact.metadata, "hidden")
    if not 2 <= width <= 1024:
        raise ArtifactError(f"metadata hidden is {width}, expected 2 to 1,024")
    weights = _take(artifact, "weights", ("F32",))
    expected = sum(math.prod(shape) for shape in _tower_shapes(dim, width))
    if len(weights) != expected:
        raise ArtifactError(f"weights hold {len(weights):,} numbers, expected {expected:,}")
    most, largest = max(_largest(users.values), _largest(items.values)), _largest(weights)
    first = largest * (2 * dim * most + 1)
    second = largest * (width * first + 1)
    if not dim * largest * most**2 + width * largest * second < 1e38:
        raise ArtifactError("weights hold NaN or infinity, or would overflow float32: the training diverged")
    return weights


def _tower_shapes(dim: int, width: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of neumf's dense weights, in their order."""
    gmf, narrow = dim - dim // 4, width // 2
    columns = (dim - gmf, width)
    return columns, columns, (width,), (width, narrow), (narrow,), (narrow,), (gmf,)


def _decode_ids(artifact: Artifact, owner: str, rows: int) -> Ids:
    kind, name = artifact.metadata.get(f"{owner}_id_kind"), f"{owner}_ids"
    if kind == "range":
        return Ids(range(rows))
    if kind == "int":
        numbers = _take(artifact, name, ID_TYPES)
        if len(numbers) != rows:
            raise ArtifactError(f"{name} holds {len(numbers):,} ids, expected {rows:,}")
        ids = Ids(numbers)
    elif kind == "text":
        text = _take(artifact, f"{name}.text", ("U8",))
        offsets = _take(artifact, f"{name}.offsets", INDEX_TYPES)
        _check_bounds(f"{name}.offsets", offsets, rows, len(text), f"{name}.text")
        encoded, bounds = text.tobytes(), offsets.tolist()
        try:
            ids = Ids([encoded[bounds[row] : bounds[row + 1]].decode("utf-8") for row in range(rows)])
        except UnicodeDecodeError:
            raise ArtifactError(f"{name}.text is not UTF-8 at the bounds that {name}.offsets gives") from None
    else:
        raise ArtifactError(f"metadata {owner}_id_kind is {kind!r}, expected 'range', 'int' or 'text'")
    if not ids.all_differ():
        raise ArtifactError(f"{name} holds the same id twice")
    return ids


def _as_integer(wanted: object) -> int | None:
    """The integer that ``wanted`` is or spells, None when it is none."""
    if isinstance(wanted, (int, np.integer)):
        return int(wanted)
    try:
        return int(wanted) if isinstance(wanted, str) and "_" not in wanted else None
    except ValueError:
        return None


# -- the ranking


class Recommendation(NamedTuple):
    """The best items, best first: outside ids, and their scores. Unpacks into two lists of one length."""

    items: list[int | str]
    scores: list[float]


class Recommender:
    """A model ready to recommend. Safe to share between threads: nothing changes after it is made.

    Attributes:
        model: the tables and the ids.
        user_ids, item_ids: the outside ids, see ``Ids``.
    """

    def __init__(self, artifact: Artifact) -> None:
        """Checks the artifact (raises ArtifactError) and lays the item table out by dimension."""
        self.model = decode_model(artifact)
        self.user_ids, self.item_ids = self.model.user_ids, self.model.item_ids
        self._stored_bytes, self._file_bytes = count_bytes(artifact.arrays), artifact.file_bytes
        indptr, columns, values = self.model.items
        self._towers = _Towers(self.model) if self.model.metadata["model"] == "neumf" else None
        if self._towers:
            values = values * self._towers.factors[columns]
        order = np.argsort(columns, kind="stable")
        numbers = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
        self._items, self._values = numbers[order], values[order]
        counts = np.bincount(columns, minlength=self.model.dim)
        self._starts = [0, *np.cumsum(counts).tolist()]

    @classmethod
    def open(cls, path: Path) -> Recommender:
        """Opens a run directory, or the model file itself.

        Raises ArtifactError for a directory without a model or a file that is none; OSError when it cannot be
        read.
        """
        artifact = read_artifact(path)
        try:
            return cls(artifact)
        except ArtifactError as error:
            raise ArtifactError(f"{locate(path)} is not a sound model file: {error}") from None

    def recommend(self, user: int | str, n: int = 20, *, filter_seen: bool = True) -> Recommendation:
        """The ``n`` items of highest score for one user.

        Args:
            user: an outside id.
            n: how many items; where fewer are left the lists are shorter, never padded.
            filter_seen: leave out the items that the user had in training.

        Items of equal score come in the order of the item table. Raises UnknownUserError (a KeyError) for a
        user the model was not trained on, ValueError for ``n`` below 1.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}")
        row = self.user_ids.find(user)
        if row is None:
            raise UnknownUserError(f"unknown user {user!r}: the model knows {len(self.user_ids):,} users")
        scores = self._score_items(row)
        left = len(scores)
        if filter_seen:
            first, last = self.model.seen_indptr[row : row + 2].tolist()
            scores[self.model.seen_items[first:last]] = -np.inf
            left -= last - first
        best = _best(scores, min(n, left))
        return Recommendation([self.item_ids[item] for item in best.tolist()], scores[best].tolist())

    def inspect(self) -> dict[str, Any]:
        """What the model is and what it weighs, ready for JSON; sizes are bytes as stored in the file."""
        model, metadata = self.model, self.model.metadata
        n_users, n_items = len(model.user_ids), len(model.item_ids)
        nnz = len(model.users.values) + len(model.items.values)
        entries = (n_users + n_items) * model.dim
        empty = sum(int(np.count_nonzero(np.diff(table.indptr) == 0)) for table in (model.users, model.items))
        sizes = dict(self._stored_bytes)
        seen_bytes = sizes.pop("seen")
        return {
            "model": metadata["model"],
            "method": metadata["method"],
            "dim": model.dim,
            "users": n_users,
            "items": n_items,
            "budget": int(metadata["budget"]),
            "nnz": nnz,
            "density": nnz / entries if entries else 0.0,
            "rows_without_entries": empty,
            "bytes": sizes,
            "seen_bytes": seen_bytes,
            "file_bytes": self._file_bytes,
            "user_id_kind": metadata["user_id_kind"],
            "item_id_kind": metadata["item_id_kind"],
            "format_version": metadata["format_version"],
            "library_version": metadata.get("library_version"),
            "loss": metadata.get("loss"),
            "seed": int(metadata["seed"]) if "seed" in metadata else None,
            "train_digest": metadata.get("train_digest"),
            "metrics": model.metrics,
        }

    def _score_items(self, row: int) -> Array:
        """(n_items,) float32 scores; only the dimensions that the user stores are visited, ascending.

        The order and the width of the sums are those of the compiled kernel, so both rank alike to the last
        bit.
        """
        indptr, columns, values = self.model.users
        first, last = indptr[row : row + 2].tolist()
        scores = np.zeros(len(self.item_ids), dtype=np.float32)
        for column, value in zip(columns[first:last].tolist(), values[first:last], strict=True):
            part = slice(self._starts[column], self._starts[column + 1])
            # An item occurs once in a dimension; add.at is the faster way of `scores[items] += ...` there.
            np.add.at(scores, self._items[part], value * self._values[part])
        if self._towers:
            self._towers.add_scores(row, scores)
        return scores


class _Towers:
    """What NeuMF's scores are made of besides inner products (He et al. 2017).

    ``factors`` (dim,) scale the items' columns, and are 0 in those that the layers read instead. Sums are made in the
    order of the compiled kernels, so that both rank alike to the last bit.
    """

    def __init__(self, model: Model) -> None:
        shapes = _tower_shapes(model.dim, int(model.metadata["hidden"]))
        ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        parts = [
            part.reshape(shape) for part, shape in zip(np.split(model.weights, ends), shapes, strict=True)
        ]
        user, item, bias, self._hidden, self._bias, self._out, products = parts
        self.factors = np.zeros(model.dim, dtype=np.float32)
        self.factors[: len(products)] = products
        self._users = _project(model.users, len(products), user) + bias
        self._items = np.ascontiguousarray(_project(model.items, len(products), item).T)

    def add_scores(self, row: int, scores: Array) -> None:
        """Adds the layers' part of a user's scores (n_items,), in place."""
        first = np.maximum(self._users[row][:, None] + self._items, 0)
        for unit in range(len(self._out)):
            second = np.full_like(scores, self._bias[unit])
            for weight, source in zip(self._hidden[:, unit], first, strict=True):
                second += weight * source
            scores += self._out[unit] * np.maximum(second, 0)


def _project(table: Table, first: int, weights: Array) -> Array:
    """(rows, h1) each row's columns from ``first`` on times ``weights`` (columns, h1), added up in ascending order."""
    out = np.zeros((len(table.indptr) - 1, weights.shape[1]), dtype=np.float32)
    rows = np.repeat(np.arange(len(out)), np.diff(table.indptr))
    for column in range(len(weights)):
        here = np.flatnonzero(table.columns == first + column)
        out[rows[here]] += table.values[here, None] * weights[column]  # no row twice
    return out


def _best(scores: Array, n: int) -> Array:
    """(n,) positions of the ``n`` largest scores, largest first; equals in the order of their positions.

    >>> _best(np.array([1.0, 3.0, 1.0, 2.0, 1.0]), 4).tolist()
    [1, 3, 0, 2]
    """
    if n < 1:
        return np.zeros(0, dtype=np.intp)
    # Each of the n largest block maxima is a score of its own, so no list of n ends below the smallest of them.
    # With short blocks there are many maxima to choose from, with long ones many candidates; blocks of one are exact.
    block = max(1, min(128, len(scores) // (4 * n)))
    maxima = scores[: len(scores) // block * block].reshape(-1, block).max(axis=1)
    floor = np.partition(maxima, len(maxima) - n)[len(maxima) - n]
    candidates = np.flatnonzero(scores >= floor)
    return candidates[np.argsort(-scores[candidates], kind="stable")[:n]]
