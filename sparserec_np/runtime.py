"""Serve a trained model: open its file, recommend items to a user.

This file needs Python and NumPy and nothing else: copy it next to your own code, and the rest of
the library can stay at home. The model file is a valid safetensors file (an 8-byte length, a JSON
header, raw little-endian arrays) which is memory-mapped; every field is checked before it is used,
so that a damaged or hostile file ends in an ``ArtifactError``. docs/model-file.md describes it
field by field.

    recommender = Recommender.open("run")
    items, scores = recommender.recommend(42, n=10)
    items, scores = recommender.recommend_for_items([7, 11, 13])  # the model has never seen them
    items, scores = recommender.similar_items(7, n=10)
    items, scores = recommender.recommend([42, 7], n=10)  # several at once: arrays of (2, 10)
    recommender.explain(42, 7)  # which of what 42 touched speaks for item 7
"""

from __future__ import annotations

import json
import math
import mmap
import operator
import os
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import IO, Any, ClassVar, NamedTuple, overload

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Path = str | os.PathLike[str]
Source = Path | IO[bytes] | bytes | bytearray | memoryview  # a file, by its path or open, or its content

FORMAT = "sparserec_np"
FORMAT_VERSION = "1"
MODEL_NAME = "model.safetensors"
COMPLETE_NAME = (
    ".complete"  # where a run's files are while they take their places, or if a crash prevents that
)
MAPS_FILES = os.name != "nt"  # Windows replaces and removes no file that is mapped
MAX_HEADER_BYTES = 1 << 20
MAX_TEXT_BYTES = 1 << 30  # of ids as an array

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
LENGTH_TYPES = ("U8", "U16", "U32")
WEIGHT_TYPES = ("F32", "F16")  # of a number for each item
VALUE_TYPES = ("F32", "F16", "I8")
SIMILARITIES = ("dot", "cosine")
ON_UNKNOWN = ("raise", "popular", "skip")  # what is done about an id that the model does not know
# Metadata seen: of a file without the items that users had, and of one of some users or items.
SEEN_LEFT_OUT, SEEN_IN_PART = "left out", "in part"

# Of Recommender.fold_in; our choice, on interactions held out from LastFM's and Gowalla's training
# parts.
UNTOUCHED = 0.1  # weight of an item that is not in the list, against 1 of one that is
RIDGE = 0.6  # weight of the row's own length, in parts of the mean column's
# Users by whom folded-in rows are brought to the scale of stored ones: fewer where solving takes
# long.
FEWEST_COMPARED, MOST_COMPARED, COMPARED_PRODUCTS = 8, 64, 1 << 24
WIDEST_SCALE, MOST_POWER = 1e6, 0.5
LARGEST_SCORE = 3e38
TOWER_BYTES = 1 << 30  # most that the items' part of a neumf's first layer may take
MADE_ENTRIES = 1 << 25  # most that all users' rows may have where they are made to be compared: 0.5 GB
LEAST_RIDGE, MOST_RIDGE = 1e-3, 1e6  # between them sums in float64 are exact enough for rows of any file
PAIR_BLOCK = 1 << 15  # pairs of entries whose products are added together, or those of one entry
ROW_ENTRIES = 64  # that a user's row of a fism model is cut to, in up to 512 columns
MOST_COLUMNS = 65_536  # of a table
AGES = 256  # places from a user's last interaction that are told apart
MOST_RECENCY = 4.0
FOLDED_DIMENSIONS = 4096  # most that the products of all pairs of columns are made for: 134 MB
# So much is checked, decoded and laid out at once: an allocator that has seen larger temporary
# arrays keeps megabytes.
BLOCK = 1 << 13  # entries
VARINT_BLOCK = 1 << 13  # bytes
# Entries whose products are added to scores at once, about, which takes a megabyte; and those of a
# list that is long enough to go alone.
GATHERED, LONG_LIST = 1 << 16, 1 << 11
FEW_ROWS = 64  # whose entries are read row after row
SMALLEST_SQUARE = 1e-30  # below it values are damage, and their reciprocals would overflow float32
ID_TYPES = ("U8", "I8", "U16", "I16", "U32", "I32", "I64")


class ArtifactError(ValueError):
    """Refusal of a file that is no model, is damaged or of a later version; it names the field."""

    def __init__(self, sentence: str) -> None:  # what a hostile file says may be as long as a file
        super().__init__(sentence if len(sentence) <= 800 else f"{sentence[:500]} ... {sentence[-250:]}")


class UnknownIdError(KeyError):
    """Refusal of an id that the model has no row for."""

    def __str__(self) -> str:  # KeyError would print the repr of the sentence
        return str(self.args[0])


class UnknownUserError(UnknownIdError):
    """Refusal of a user who was not among those that the model was trained on."""


class UnknownItemError(UnknownIdError):
    """Refusal of an item that was not among those that the model was trained on."""


class SeenItemsMissingError(ValueError):
    """Refusal to leave out what a user has seen, where the file does not say what that is."""


# -- the file


class Artifact(NamedTuple):
    """Content of a safetensors file: named arrays and text metadata.

    Attributes:
        arrays: name -> read-only array; views of the mapped file.
        metadata: name -> text.
        file_bytes: size of the whole file.
    """

    arrays: dict[str, Array]
    metadata: dict[str, str]
    file_bytes: int


def row_entries(dim: int) -> int:
    """Returns the entries that a user's row of ``dim`` columns is cut to: an eighth of them, 64 or more.

    On Gowalla that loses nothing, where 64 of 1,024 columns lose one percent of the NDCG@20.
    """
    return max(ROW_ENTRIES, dim // 8)


# What a mark's factor may be of an item's number.
MARK_POWERS = (0.0, 0.125, 0.25, 0.375)


def recency_levels(power: float) -> Array:
    """Lists how much an interaction counts by its age, the number of later ones: (256,) float32.

    >>> recency_levels(1.0)[:3].tolist(), set(recency_levels(0.0).tolist())
    ([1.0, 0.5, 0.3333333432674408], {1.0})
    """
    return np.array([float(place) ** -power for place in range(1, AGES + 1)], dtype=np.float32)


def mark_factors(weights: Array, power: float) -> Array:
    """Says how much a touched item's mark counts: ``max(c, 0) ** power`` of its number c, (n_items,).

    It is made of square roots, each rounded, so that it is the same to the last bit on any machine.
    ``power`` is one of ``MARK_POWERS``.

    >>> mark_factors(np.array([16, -1, 0.0625], np.float32), 0.25).tolist()
    [2.0, 0.0, 0.5]
    """
    if not power:
        return np.ones_like(weights)
    fourth = np.sqrt(np.sqrt(np.maximum(weights, 0)))
    eighth: Array = np.sqrt(fourth)
    return {0.125: eighth, 0.25: fourth, 0.375: fourth * eighth}[power]


def locate(path: Path) -> str:
    """Finds the model file of a run directory; a path that is no directory is returned as it is.

    Raises ArtifactError for a directory that holds no model.
    """
    name = os.fspath(path)
    if not os.path.isdir(name):
        return name
    for folder in (os.path.join(name, COMPLETE_NAME), name):
        inside = os.path.join(folder, MODEL_NAME)
        if os.path.isfile(inside):
            return inside
    raise ArtifactError(
        f"{name} is a directory without a {MODEL_NAME}: expected a run that `sparserec train -o` has finished"
    )


def read_artifact(source: Source) -> Artifact:
    """Maps a safetensors file (or the one in a run directory) into memory and checks its layout.

    One that is open is read from where it is to its end; content is taken as it is. Raises
    ArtifactError, naming the file and the field; OSError when the file cannot be opened; TypeError
    for a file that was opened as text.
    """
    name, buffer = _content_of(source)
    try:
        return parse_artifact(buffer)
    except ArtifactError as error:
        raise ArtifactError(f"{name} is not a sound model file: {error}") from None


def _map_model(path: Path) -> tuple[str, mmap.mmap | bytes]:
    """Maps the model file of a run directory, or the file itself; returns its name, too."""
    name = locate(path)
    try:
        return name, _map_file(name)
    except FileNotFoundError:  # a run that has just ended has moved it
        name = locate(path)
        return name, _map_file(name)


def _content_of(source: Source) -> tuple[str, mmap.mmap | bytes]:
    """Opens a file, or reads one that is open: returns what messages call it, and its content."""
    if isinstance(source, (str, os.PathLike)):
        return _map_model(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return name_of(source), bytes(source)
    content = source.read()
    if not isinstance(content, bytes):
        raise TypeError(
            f"expected a file that was opened in binary mode, found one of {type(content).__name__}:"
            " say open(path, 'rb')"
        )
    return name_of(source), content


def name_of(source: Source) -> str:
    """Says what messages call a file: its path, if it has one."""
    if isinstance(source, (str, os.PathLike)):
        return locate(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"the content given ({memoryview(source).nbytes:,} bytes)"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "the file given"


def _map_file(name: str) -> mmap.mmap | bytes:
    """Maps a file into memory, read-only; reads it on Windows, which replaces no file that is mapped.

    Raises ArtifactError for what is no file, or too short; OSError.
    """
    if not stat.S_ISREG(os.stat(name).st_mode):
        raise ArtifactError(f"{name} is not a regular file, so it cannot be mapped into memory")
    with open(name, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise ArtifactError(f"{name} holds {size} bytes: too short to be a model file")
        if not MAPS_FILES:
            return file.read()
        mapped = MappedFile(file.fileno(), 0, access=mmap.ACCESS_READ)
        mapped.watch(name, file.fileno())
        return mapped


class MappedFile(mmap.mmap):
    """A file that is mapped into memory, and knows whether it was changed since."""

    _descriptor = -1

    def watch(self, name: str, descriptor: int) -> None:
        """Remembers what the file is now; messages call it ``name``."""
        self._name, self._descriptor = name, os.dup(descriptor)
        status = os.fstat(descriptor)
        self._size, self._time = status.st_size, status.st_mtime_ns

    def check(self) -> None:
        """Raises ArtifactError where the file was written to or cut in place; takes a microsecond."""
        status = os.fstat(self._descriptor)
        if status.st_mtime_ns != self._time or status.st_size != self._size:
            raise ArtifactError(
                f"{self._name} was changed in place while it was open, so nothing in it can be relied on: open it"
                " again, and replace such files by renaming, or open them with copy=True"
            )

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def parse_artifact(buffer: bytes | bytearray | mmap.mmap) -> Artifact:
    """Reads a safetensors file that is in ``buffer``: its arrays, as views, and its metadata.

    Raises ArtifactError unless the header is sound and the arrays fill the rest of the file without
    gap or overlap.
    """
    size = len(buffer)
    if size < 8:
        raise ArtifactError(f"{size} bytes are too short for a header length")
    header_bytes = int.from_bytes(buffer[:8], "little")
    if not 2 <= header_bytes <= min(size - 8, MAX_HEADER_BYTES):
        text = bytes(buffer[:8]).isascii() and bytes(buffer[:8]).decode().replace("\n", " ").isprintable()
        raise ArtifactError(
            f"the header length is {header_bytes:,}, expected 2 to {min(size - 8, MAX_HEADER_BYTES):,} (the file"
            + (
                " is text, as a table of interactions is: expected a model that was trained on one)"
                if text
                else " may be cut short, or is no safetensors file)"
            )
        )
    header = _parse_json(bytes(buffer[8 : 8 + header_bytes]), "the header")
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
    """Reads an array's entry in the header: dtype, shape, first byte, end."""
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
    """Reads strict JSON: UTF-8, no name twice in an object, no NaN or Infinity."""

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
    """Outside ids of the rows 0, 1, ... of a table, looked up in both directions.

    ``values`` is ``range(n)`` (rows are their own ids), an array of integers, or a list of text; no
    id occurs twice.

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

    @classmethod
    def from_array(cls, ids: Array) -> Ids:
        """Makes ids of an array (n,) of integers or unicode, as :meth:`to_array` gives it."""
        return cls(ids.tolist() if ids.dtype.kind in "UO" else ids)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> int | str:
        value = self.values[row]
        return value if isinstance(value, str) else int(value)

    def of_rows(self, rows: list[Any]) -> list[int | str]:
        """Looks up the ids of several rows; ``rows`` itself where they are the ids."""
        if isinstance(self.values, range):
            return rows
        if isinstance(self.values, np.ndarray):
            return list(self.values[rows].tolist())
        return [self.values[row] for row in rows]

    @property
    def are_text(self) -> bool:
        """Whether the ids are text; they are integers otherwise."""
        return not isinstance(self.values, (range, np.ndarray))

    def find(self, wanted: object) -> int | None:
        """Finds the row of an id, None if there is none.

        ``"12"`` finds the integer 12, and 12 the text ``"12"``.
        """
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
        """Tells whether no id occurs twice."""
        return isinstance(self.values, range) or self._ascending or len(self._by_name()) == len(self.values)

    @property
    def resident_bytes(self) -> int:
        """Bytes that decoded text takes; integers stay in the mapped file."""
        if not self.are_text:
            return 0
        return sys.getsizeof(self.values) + sum(map(sys.getsizeof, self.values))

    def to_array(self) -> Array:
        """Makes an array of the ids: (n,) int64, or unicode as wide as the longest.

        Raises ArtifactError where that takes too much memory.
        """
        if self.are_text:
            array_bytes = 4 * len(self) * max(map(len, self.values), default=0)
            if array_bytes > MAX_TEXT_BYTES:
                raise ArtifactError(
                    f"an id is so long that an array of all {len(self):,} would take {array_bytes:,} bytes,"
                    f" expected at most {MAX_TEXT_BYTES:,}"
                )
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
        indptr: (rows + 1,) integer bounds of the rows.
        columns: (nnz,) uint8 up to 256 dimensions, uint16 beyond.
        values: (nnz,) as stored: float32, float16, or int8.
        scales: (dim,) float32 where values are int8: an entry is ``scales[column] * value``.
    """

    indptr: Array
    columns: Array
    values: Array
    scales: Array | None = None

    def row(self, number: int) -> tuple[Array, Array]:
        """Reads the columns and float32 values of one row."""
        first, last = self.indptr[number : number + 2].tolist()
        return self.columns[first:last], self.floats(first, last)

    def dense_row(self, number: int, dim: int) -> Array:
        """Reads every entry of one row: (dim,) float64."""
        columns, values = self.row(number)
        row = np.zeros(dim)
        row[columns] = values
        return row

    def column(self, number: int) -> tuple[Array, Array]:
        """Reads the rows and float32 values of one column, for which it looks through all entries."""
        places = np.flatnonzero(self.columns == number)
        rows = np.searchsorted(self.indptr, places.astype(self.indptr.dtype), side="right") - 1
        values = self.values[places].astype(np.float32, copy=False)
        return rows, values if self.scales is None else values * self.scales[number]

    def floats(self, first: int = 0, last: int | None = None) -> Array:
        """Reads values ``first`` to before ``last`` in float32; a view where stored so."""
        values = self.values[first:last].astype(np.float32, copy=False)
        return values if self.scales is None else values * self.scales[self.columns[first:last]]

    def entries_of(self, rows: Array) -> tuple[Array, Array, Array]:
        """Reads ``rows`` (m,), one after the other: the number of entries of each, columns, values.

        Values are float32.
        """
        starts, ends = self.indptr[rows], self.indptr[rows + 1]
        lengths = ends - starts
        if 0 < len(rows) <= FEW_ROWS:  # slices are sooner joined than every entry's place is made
            parts = [slice(*bounds) for bounds in zip(starts.tolist(), ends.tolist(), strict=True)]
            columns = np.concatenate([self.columns[part] for part in parts])
            values = np.concatenate([self.values[part] for part in parts])
        else:
            before = np.cumsum(lengths) - lengths
            places = np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
            columns, values = self.columns[places], self.values[places]
        values = values.astype(np.float32, copy=False)
        return lengths, columns, values if self.scales is None else values * self.scales[columns]

    def largest(self) -> float:
        """Finds the largest magnitude of an entry, 0 without any."""
        blocks = range(0, len(self.values), BLOCK)
        return max((_largest(self.floats(first, first + BLOCK)) for first in blocks), default=0.0)

    def blocks(self, size: int) -> Iterator[tuple[Array, Array, Array]]:
        """Walks the entries, ``size`` at a time: their rows, columns and float32 values."""
        for first in range(0, len(self.columns), size):
            last = min(first + size, len(self.columns))
            row, starts = _rows_that_begin(self.indptr, first, last)
            lengths = np.diff(starts, prepend=0, append=last - first)
            rows = np.repeat(np.arange(row - 1, row + len(starts)), lengths)
            yield rows, self.columns[first:last], self.floats(first, last)

    def row_numbers(self) -> Array:
        """Lists the row of every entry: (nnz,) int32."""
        return np.repeat(np.arange(len(self.indptr) - 1, dtype=np.int32), np.diff(self.indptr))


def full_rows(values: Array) -> Table:
    """Makes a table of every entry of ``values`` (rows, dim), in float32."""
    rows, dim = values.shape
    columns = np.tile(np.arange(dim, dtype=np.uint8 if dim <= 256 else np.uint16), rows)
    return Table(np.arange(rows + 1) * dim, columns, values.astype(np.float32).ravel())


def empty_rows(rows: int, dim: int) -> Table:
    """Makes a table of ``rows`` rows without entries, which takes no memory: all bounds are one."""
    columns = np.zeros(0, dtype=np.uint8 if dim <= 256 else np.uint16)
    return Table(np.broadcast_to(np.int32(0), (rows + 1,)), columns, np.zeros(0, dtype=np.float32))


class StoredModel(NamedTuple):
    """A model file's content, checked.

    Attributes:
        dim: number of columns of both tables.
        row_entries: entries that a user's row has on average, rounded up: what folding in may
            spend; in a fism model, the most that a user's row is cut to.
        users, items: the tables; users of a fism model, which stores none, have rows without
            entries.
        user_ids, item_ids: the outside ids of their rows.
        has_seen: whether the file says what users had in training.
        seen_indptr, seen_items: item rows that each user had, ascending, as a CSR matrix; without
            entries where ``has_seen`` is false.
        seen_ages: how many of a user's came later than each of ``seen_items``, 255 for more; empty
            where nothing depends on it.
        held_out: where in ``seen_items`` the pairs are that a lightgcn was not trained on,
            ascending: they are no edges of its graph.
        disliked: where in ``seen_items`` the pairs are that users dislike, ascending: no user's row
            is made of them, and they are never recommended.
        seen_weights: (n,) float32 weights of the seen items, or none, where all count alike.
        weights: (n,) float32 dense weights of neumf; one for each item of a fism whose users' rows
            are sums; empty for the others.
        metadata: the file's text.
        metrics: what the training measured.
    """

    dim: int
    row_entries: int
    users: Table
    items: Table
    user_ids: Ids
    item_ids: Ids
    has_seen: bool
    seen_indptr: Array
    seen_items: Array
    seen_ages: Array
    held_out: Array
    disliked: Array
    seen_weights: Array
    weights: Array
    metadata: dict[str, str]
    metrics: dict[str, Any]

    @property
    def has_all_seen(self) -> bool:
        """Whether the file says what everybody had in training, and not some of it alone."""
        return self.has_seen and self.metadata.get("seen") != SEEN_IN_PART

    def disliked_by(self, user: int) -> Array:
        """Returns the item rows that the user in row ``user`` dislikes, (m,)."""
        if not len(self.disliked):
            return self.seen_items[:0]
        first, last = np.searchsorted(self.disliked, self.seen_indptr[user : user + 2]).tolist()
        return self.seen_items[self.disliked[first:last]]

    def touched_by(self, user: int) -> tuple[Array, Array, Array]:
        """Says what the user in row ``user`` touched, dislikes left out.

        Returns:
            item rows (m,), ascending; how many of them came later than each, 255 for more, or 0
            where the file does not say; and float32 weights divided by their mean, or 1.
        """
        first, last = self.seen_indptr[user : user + 2].tolist()
        places = np.arange(first, last)
        if len(self.disliked):
            begin, end = np.searchsorted(self.disliked, [first, last]).tolist()
            places = np.delete(places, self.disliked[begin:end] - first)
        items = self.seen_items[places].astype(np.intp)
        ages = self.seen_ages[places] if len(self.seen_ages) else np.zeros(len(places), np.uint8)
        if not (len(self.seen_weights) and len(places)):
            return items, ages, np.ones(len(places), np.float32)
        weights = self.seen_weights[places]
        # A sum in the order that the library sums in, which trains with the same shares.
        mean = np.add.reduceat(weights.astype(np.float64), [0])[0] / len(weights)
        return items, ages, weights / np.float32(mean)

    def user_degrees(self) -> Array:
        """Counts the items that each user touched, as far as the file says: (n_users,)."""
        return np.diff(self.seen_indptr - np.searchsorted(self.disliked, self.seen_indptr))

    def item_degrees(self) -> Array:
        """Counts the users who touched each item, as far as the file says: (n_items,)."""
        counts = np.zeros(len(self.item_ids), dtype=np.intp)
        for first in range(0, len(self.seen_items), BLOCK):
            np.add.at(counts, self.seen_items[first : first + BLOCK].astype(np.intp), 1)
        np.subtract.at(counts, self.seen_items[self.disliked].astype(np.intp), 1)
        return counts


def decode_model(artifact: Artifact) -> StoredModel:
    """Reads and checks the model in an artifact.

    Raises ArtifactError, naming the field, if anything is not as it must be.
    """
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
    if not 1 <= dim <= MOST_COLUMNS:
        raise ArtifactError(f"metadata dim is {dim}, expected 1 to {MOST_COLUMNS:,}")
    n_users, n_items = _read_integer(metadata, "n_users"), _read_integer(metadata, "n_items")
    kind = served_as(metadata["model"])
    users = (_decode_table if kind.stores_users else _no_table)(artifact, "users", n_users, dim)
    items = _decode_table(artifact, "items", n_items, dim)
    # So large a value comes from damage or from a training that diverged; refused here, no score
    # can overflow later.
    if dim * max(users.largest(), items.largest()) ** 2 > 1e38:
        raise ArtifactError("users.values times items.values would overflow float32: the training diverged")
    has_seen = metadata.get("seen") != SEEN_LEFT_OUT
    seen_indptr, seen_items = _decode_seen(artifact, n_users, n_items, has_seen)
    metrics = _read_metrics(metadata)
    user_ids, item_ids = _decode_ids(artifact, "user", n_users), _decode_ids(artifact, "item", n_items)
    row_entries = -(-len(users.values) // max(n_users, 1))
    if "row_entries" in metadata:
        row_entries = _read_integer(metadata, "row_entries")
    model = StoredModel(
        dim,
        min(max(row_entries, 1), dim),
        users,
        items,
        user_ids,
        item_ids,
        has_seen,
        seen_indptr,
        seen_items,
        _decode_ages(artifact, len(seen_items)),
        _decode_places(artifact, "seen.held_out", len(seen_items)),
        _decode_places(artifact, "seen.disliked", len(seen_items)),
        _decode_seen_weights(artifact, len(seen_items)),
        np.empty(0, np.float32),
        metadata,
        metrics,
    )
    return kind.decode(artifact, model)


def count_bytes(arrays: Mapping[str, Array]) -> dict[str, int]:
    """Counts the bytes of a model file's arrays by purpose.

    These are values (with their scales), columns (or steps), indptr (or lengths, or ends), ids,
    weights, and their total; seen, apart.
    """
    purposes = {
        "values": "values",
        "scales": "values",
        "columns": "columns",
        "steps": "columns",
        "indptr": "indptr",
        "lengths": "indptr",
        "ends": "indptr",
    }
    counts = dict.fromkeys(("values", "columns", "indptr", "ids", "weights", "seen"), 0)
    for name, array in arrays.items():
        owner, _, part = name.partition(".")
        if owner in ("user_ids", "item_ids"):
            counts["ids"] += array.nbytes
        elif owner in ("seen", "weights"):
            counts[owner] += array.nbytes
        elif part in purposes:
            counts[purposes[part]] += array.nbytes
    seen = counts.pop("seen")
    return {**counts, "total": sum(counts.values()), "seen": seen}


def _read_metrics(metadata: Mapping[str, str]) -> dict[str, Any]:
    metrics = _parse_json(metadata.get("metrics", "{}"), "metadata metrics")
    # type(), because true is no number; NaN and infinity, which 1e999 is read as, fail the
    # comparison.
    if not isinstance(metrics, dict) or not all(
        name.isprintable() and type(number) in (int, float) and abs(number) <= 1e300
        for name, number in metrics.items()
    ):
        raise ArtifactError("metadata metrics must be a JSON object of finite numbers by name")
    return metrics


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
    if f"{name}.steps" in artifact.arrays:
        columns = decode_steps(f"{name}.steps", _take(artifact, f"{name}.steps", ("U8",)), dim)
        indptr = _decode_bounds(artifact, name, rows, len(columns), f"{name}.steps")
        _add_up_gaps(f"{name}.steps lead to column", indptr, columns, dim)
    else:
        columns = _take(artifact, f"{name}.columns", ("U8" if dim <= 256 else "U16",))
        indptr = _decode_bounds(artifact, name, rows, len(columns), f"{name}.columns")
        _check_rising(f"{name}.columns", indptr, columns, dim)
    values = _take(artifact, f"{name}.values", VALUE_TYPES)
    if len(values) != len(columns):
        raise ArtifactError(f"{name}.values holds {len(values):,} numbers for {len(columns):,} columns")
    if not math.isfinite(_largest(values)):
        raise ArtifactError(f"{name}.values holds NaN or infinity")
    if values.dtype != DTYPES["I8"]:
        return Table(indptr, columns, values)
    scales = _take(artifact, f"{name}.scales", ("F32",))
    # One is for all dimensions that stand for items.
    expected = min(max(dim - item_columns(artifact.metadata), 0) + 1, dim)
    if len(scales) != expected:
        raise ArtifactError(
            f"{name}.scales holds {len(scales):,} numbers, expected {expected:,}, one a dimension"
        )
    if expected < dim:
        scales = np.append(scales, np.full(dim - expected, scales[-1]))
    # 128 times as much must be finite, too.
    if not _largest(scales) < 1e36:
        raise ArtifactError(f"{name}.scales holds NaN, infinity or a number that values would overflow with")
    return Table(indptr, columns, values, scales)


def _no_table(artifact: Artifact, name: str, rows: int, dim: int) -> Table:
    """Makes the table of users who are not stored, where nothing in the file says otherwise."""
    model = artifact.metadata["model"]
    for stored in artifact.arrays:
        if stored.startswith(f"{name}."):
            raise ArtifactError(f"{stored} is there, but a {model} model stores no {name}: expected none")
    # Their number is believed only where there is something for each of them in the file.
    if rows and artifact.metadata.get("seen") == SEEN_LEFT_OUT:
        raise ArtifactError(
            f"metadata n_{name} is {rows:,}, expected 0: a {model} model makes its {name} of the seen items, and those"
            " were left out"
        )
    return empty_rows(rows, dim)


def _decode_bounds(artifact: Artifact, name: str, rows: int, end: int, target: str) -> Array:
    """Reads and checks a CSR matrix's bounds (rows + 1,): stored so, as lengths or as ends."""
    if f"{name}.ends" in artifact.arrays:
        return _decode_ends(f"{name}.ends", _take(artifact, f"{name}.ends", ("U8",)), rows, end, target)
    if f"{name}.lengths" not in artifact.arrays:
        indptr = _take(artifact, f"{name}.indptr", INDEX_TYPES)
        _check_bounds(f"{name}.indptr", indptr, rows, end, target)
        return indptr
    lengths = _take(artifact, f"{name}.lengths", LENGTH_TYPES)
    if len(lengths) != rows:
        raise ArtifactError(f"{name}.lengths holds {len(lengths):,} numbers, expected {rows:,}, one a row")
    if int(lengths.sum(dtype=np.uint64)) != end:
        raise ArtifactError(f"{name}.lengths must add up to {end:,}, the length of {target}")
    indptr = np.zeros(rows + 1, dtype=np.int32 if end < 2**31 else np.int64)
    np.cumsum(lengths, out=indptr[1:])
    return indptr


def _decode_ends(name: str, data: Array, rows: int, end: int, target: str) -> Array:
    """Reads a CSR matrix's bounds (rows + 1,) from bits: a zero for each entry, a one after each row.

    ``data`` is (n,) uint8, of which the lowest bit comes first.
    """
    expected = -(-(rows + end) // 8)
    if len(data) != expected:
        raise ArtifactError(
            f"{name} holds {len(data):,} bytes, expected {expected:,} for {rows:,} rows and {target} of {end:,}"
        )
    indptr = np.zeros(rows + 1, dtype=np.int32 if end < 2**31 else np.int64)
    row, size = 0, max(BLOCK // 8, 1)
    for first in range(0, expected, size):
        bits = np.unpackbits(data[first : first + size], bitorder="little")
        ones = 8 * first + np.flatnonzero(bits)
        ones = ones[: rows - row + 1]  # one too many is told below
        numbers = np.arange(row, row + len(ones))
        row += len(ones)
        if row > rows:
            break
        indptr[numbers + 1] = ones - numbers
    if row != rows or indptr[-1] != end:
        raise ArtifactError(
            f"{name} must hold {rows:,} ones, one a row, the last after {end:,} zeros, the length of {target}"
        )
    return indptr


def _check_rising(name: str, indptr: Array, columns: Array, limit: int) -> None:
    """Refuses columns of a CSR matrix unless they lie below ``limit`` and rise within a row."""
    if not len(columns):
        return
    if int(columns.max()) >= limit:
        raise ArtifactError(f"{name} holds {int(columns.max()):,}, expected less than {limit:,}")
    for first in range(1, len(columns), BLOCK):
        last = min(first + BLOCK, len(columns))
        rising = columns[first:last] > columns[first - 1 : last - 1]
        _, starts = _rows_that_begin(indptr, first, last)
        rising[starts] = True  # the first of a row may be smaller than the last of the row before
        if not rising.all():
            raise ArtifactError(f"{name} must rise within a row")


def _rows_that_begin(indptr: Array, first: int, last: int) -> tuple[int, Array]:
    """Finds the rows that begin among the entries from ``first`` to before ``last``.

    Returns the number of the first of them, and where each begins, counted from ``first``.

    >>> _rows_that_begin(np.array([0, 2, 5, 5, 7]), 1, 6)
    (1, array([1, 4, 4]))
    """
    # In the type of the bounds, or the search would convert them all.
    begin, end = np.searchsorted(indptr, np.array([first, last], dtype=indptr.dtype)).tolist()
    return begin, indptr[begin:end] - first


def _decode_seen(artifact: Artifact, n_users: int, n_items: int, has_seen: bool) -> tuple[Array, Array]:
    """Reads what users had in training, as bounds and items: stored so, as gaps or not at all."""
    if not has_seen:
        return np.zeros(n_users + 1, dtype=np.int32), np.zeros(0, dtype=np.uint8)
    if "seen.gaps" not in artifact.arrays:
        items = _take(artifact, "seen.items", LENGTH_TYPES)
        indptr = _decode_bounds(artifact, "seen", n_users, len(items), "seen.items")
        _check_rising("seen.items", indptr, items, n_items)
        return indptr, items
    items = decode_varints(_take(artifact, "seen.gaps", ("U8",)), n_items)
    indptr = _decode_bounds(artifact, "seen", n_users, len(items), "seen.gaps")
    _add_up_gaps("seen.gaps lead to item", indptr, items, n_items)
    return indptr, items


def _decode_ages(artifact: Artifact, n_seen: int) -> Array:
    """Reads how many of a user's interactions came later than each; empty where the file does not say."""
    if "seen.ages" not in artifact.arrays:
        return np.zeros(0, dtype=np.uint8)
    ages = _take(artifact, "seen.ages", ("U8",))
    if len(ages) != n_seen:
        raise ArtifactError(
            f"seen.ages hold {len(ages):,} numbers, expected one for each of {n_seen:,} seen items"
        )
    return ages


def _add_up_gaps(said: str, indptr: Array, numbers: Array, limit: int) -> None:
    """Turns gaps (n,) into the numbers that rise by them within each row of ``indptr``, in place.

    A gap is the distance from the number before, less one; the first of a row is the number itself.
    Raises ArtifactError, which begins with ``said``, for a number that is not below ``limit``.
    """
    after = 0  # the number after the last, in the row that goes on
    for first in range(0, len(numbers), BLOCK):
        part = numbers[first : first + BLOCK]
        sums = np.zeros(len(part) + 1, dtype=np.int64)
        np.cumsum(part, out=sums[1:])
        sums += np.arange(len(sums))  # from number to number it is a gap and a step
        _, starts = _rows_that_begin(indptr, first, first + len(part))
        before = np.concatenate(([-after], sums[starts]))
        found = sums[1:] - 1 - np.repeat(before, np.diff(starts, prepend=0, append=len(part)))
        if int(found.max()) >= limit:
            raise ArtifactError(f"{said} {int(found.max()):,}, expected less than {limit:,}")
        part[:] = found
        after = int(found[-1]) + 1


def step_limit(dim: int) -> int:
    """Finds the number from which on a step between columns takes two bytes; below, it takes one.

    The bytes from there to 255 are first halves, as few as it takes to spell ``dim - 1``.

    >>> step_limit(256), step_limit(512), step_limit(65_536)
    (256, 254, 0)
    """
    return 256 - max(0, -(-(dim - 256) // 255))


def decode_steps(name: str, data: Array, dim: int) -> Array:
    """Reads steps between columns, each of one byte or of two; see ``step_limit``.

    ``data`` is (n,) uint8: a byte below the limit is a step, any other the higher half of what a
    step is more than the limit, whose lower half comes next. Returns (m,) uint8, or uint16 for more
    than 256 dimensions. Raises ArtifactError where data end within a step, or one is not below
    ``dim``.

    >>> decode_steps("steps", np.array([7, 254, 0, 254, 255, 255, 1], np.uint8), 512).tolist()
    [7, 254, 509, 511]
    """
    limit = step_limit(dim)
    decoded = np.empty(len(data), dtype=np.uint8 if dim <= 256 else np.uint16)
    begin = done = 0
    while begin < len(data):
        part = data[begin : begin + max(BLOCK, 2)]
        places = np.arange(len(part))
        # Bytes from the limit on that stand together are first and second halves in turn: what
        # stands before them ends a step, whatever it is.
        last_short = np.maximum.accumulate(np.where(part < limit, places, -1))
        first_half = (places - last_short) % 2 == 1
        if first_half[-1]:
            part, first_half = part[:-1], first_half[:-1]
            if begin + len(part) + 1 == len(data):
                raise ArtifactError(f"{name} end within a step, expected another byte")
        starts = np.flatnonzero(~np.concatenate(([False], first_half[:-1])))
        steps, long = part[starts].astype(np.int32), first_half[starts]
        steps[long] = limit + 256 * (steps[long] - limit) + part[starts[long] + 1]
        if int(steps.max()) >= dim:
            raise ArtifactError(f"{name} hold {int(steps.max()):,}, expected less than {dim:,}")
        decoded[done : done + len(steps)] = steps
        done += len(steps)
        begin += len(part)
    # A copy, where some steps took two bytes, gives the room for these back.
    return decoded if done == len(decoded) else decoded[:done].copy()


def _decode_places(artifact: Artifact, name: str, n_seen: int) -> Array:
    """Reads where some of the seen items are, those the model was not trained on, say; mostly nowhere."""
    if name not in artifact.arrays:
        return np.zeros(0, dtype=np.int32)
    places = _take(artifact, name, INDEX_TYPES)
    steps_up = bool(np.all(places[1:] > places[:-1]))
    if len(places) and not (steps_up and places[0] >= 0 and places[-1] < n_seen):
        raise ArtifactError(f"{name} must rise, from 0 or more to less than {n_seen:,}, the seen items")
    return places


def _decode_seen_weights(artifact: Artifact, n_seen: int) -> Array:
    """Reads the weights of the seen items; mostly there are none."""
    if "seen.weights" not in artifact.arrays:
        return np.zeros(0, dtype=np.float32)
    weights = _take(artifact, "seen.weights", ("F32",))
    if len(weights) != n_seen:
        raise ArtifactError(
            f"seen.weights holds {len(weights):,} numbers, expected {n_seen:,}, one a seen item"
        )
    for first in range(0, n_seen, BLOCK):
        part = weights[first : first + BLOCK]
        if not (np.isfinite(part) & (part > 0)).all():
            raise ArtifactError("seen.weights must hold finite numbers above 0")
    return weights


def decode_varints(data: Array, limit: int) -> Array:
    """Reads numbers below ``limit`` that are spelt in seven bits a byte, the lowest first (LEB128).

    ``data`` is (n,) uint8; a byte of 128 or more has another after it. Returns (m,) unsigned, as
    wide as ``limit`` asks for.

    >>> decode_varints(np.array([5, 128 + 44, 2], np.uint8), limit=1000).tolist()
    [5, 300]
    """
    blocks = range(0, len(data), VARINT_BLOCK)
    count = sum(np.count_nonzero(data[begin : begin + VARINT_BLOCK] < 128) for begin in blocks)
    decoded = np.empty(count, dtype=np.min_scalar_type(max(limit - 1, 0)))
    begin = done = 0
    while begin < len(data):
        part = data[begin : begin + VARINT_BLOCK]
        ends = np.flatnonzero(part < 128)
        starts = np.zeros_like(ends)
        starts[1:] = ends[:-1] + 1
        more = ends - starts  # bytes after a number's first
        most = int(more.max()) if len(more) else 5
        if most > 4:
            raise ArtifactError("seen.gaps holds a number that does not end within 5 bytes")
        numbers = (part[starts] & 127).astype(np.int64)
        for place in range(1, most + 1):
            longer = np.flatnonzero(more >= place)
            numbers[longer] |= (part[starts[longer] + place] & 127).astype(np.int64) << (7 * place)
        if int(numbers.max()) >= limit:
            raise ArtifactError(f"seen.gaps holds {int(numbers.max()):,}, expected less than {limit:,}")
        decoded[done : done + len(numbers)] = numbers
        done += len(numbers)
        begin += int(ends[-1]) + 1
    return decoded


def _check_bounds(name: str, bounds: Array, rows: int, end: int, target: str) -> None:
    if len(bounds) != rows + 1:
        raise ArtifactError(f"{name} holds {len(bounds):,} numbers, expected {rows + 1:,} for {rows:,} rows")
    if bounds[0] != 0 or bounds[-1] != end or bool(np.any(bounds[1:] < bounds[:-1])):
        raise ArtifactError(f"{name} must start at 0, never fall, and end at {end:,}, the length of {target}")


def _largest(values: Array) -> float:
    """Finds the largest magnitude without a temporary array; NaN when there is one."""
    if not len(values):
        return 0.0
    with np.errstate(invalid="ignore"):  # a signalling NaN would warn
        return max(abs(float(values.min())), abs(float(values.max())))


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
            names = [encoded[bounds[row] : bounds[row + 1]].decode("utf-8") for row in range(rows)]
        except UnicodeDecodeError:
            raise ArtifactError(f"{name}.text is not UTF-8 at the bounds that {name}.offsets gives") from None
        if any(text.endswith("\0") for text in names):  # an array of text would drop it
            raise ArtifactError(f"{name}.text holds an id that ends in a zero character")
        ids = Ids(names)
    else:
        raise ArtifactError(f"metadata {owner}_id_kind is {kind!r}, expected 'range', 'int' or 'text'")
    if not ids.all_differ():
        raise ArtifactError(f"{name} holds the same id twice")
    return ids


def _as_integer(wanted: object) -> int | None:
    """Reads the integer that ``wanted`` is or spells, None when it is none."""
    if isinstance(wanted, (int, np.integer)):
        return int(wanted)
    try:
        return int(wanted) if isinstance(wanted, str) and "_" not in wanted else None
    except ValueError:
        return None


# -- the ranking


class Recommendation(NamedTuple):
    """A list of the best items, best first: outside ids, and their scores, as many."""

    items: list[int | str]
    scores: list[float]

    @property
    def personal(self) -> bool:
        """Whether the list was made for somebody, and is not everybody's: see :class:`PopularItems`."""
        return True


class PopularItems(Recommendation):
    """A list for a user without interactions: what most users touched, all with the score 0.

    It is empty for who is not known, and was to be skipped.
    """

    @property
    def personal(self) -> bool:
        """Whether the list was made for somebody: never."""
        return False


class _Arrays(NamedTuple):
    items: Array
    scores: Array


class Lists(_Arrays):
    """Lists of the best items for several, best first; it unpacks into ``items, scores``.

    Attributes:
        items: (m, n) outside ids, integers or text. A list that ends early goes on with -1, or with
            empty texts.
        scores: (m, n) float32; -inf where a list has ended.
        personal: (m,) bool, whether a list was made for somebody. It is not where it holds what
            most users touched, for want of interactions, or nothing.

    Of a single list, as :class:`~sparserec_np.estimator.SparseRec` returns it, the shapes are (n,),
    (n,) and ().
    """

    personal: Array

    def __new__(cls, items: Array, scores: Array, personal: Array) -> Lists:
        """Makes an answer of its parts."""
        lists = super().__new__(cls, items, scores)
        lists.personal = personal
        return lists

    def __getnewargs__(self) -> tuple[Array, Array, Array]:
        return self.items, self.scores, self.personal


class Explanation(Recommendation):
    """Which of the items that a user touched speak for another, and how much; unpacks as a list.

    Attributes:
        items: outside ids of what the user touched; what speaks most for the item comes first, what
            speaks against it last.
        scores: what each of them adds to the score, as many.
        score: the sum over all that the user touched, listed or not.
        exact: whether ``score`` is the one that lists hold. For a model that stores users it is
            that of the user's items, folded in.
    """

    score: float
    exact: bool

    def __new__(
        cls, items: list[int | str], scores: list[float], score: float = 0.0, exact: bool = True
    ) -> Explanation:
        """Makes an explanation of its parts."""
        explanation = super().__new__(cls, items, scores)
        explanation.score, explanation.exact = score, exact
        return explanation

    def __getnewargs__(self) -> tuple[list[int | str], list[float], float, bool]:
        return self.items, self.scores, self.score, self.exact


class Wish(NamedTuple):
    """What all lists of one call have in common.

    Attributes:
        n: items of a list.
        among: item rows (m,) to rank, ascending; None for all.
        excluded: item rows to leave out; None where nobody said which.
        filter_seen: whether what a user has seen is left out.
        on_unknown: one of ``ON_UNKNOWN``.
    """

    n: int
    among: Array | None
    excluded: list[int] | None
    filter_seen: bool
    on_unknown: str


class ByDimension:
    """Entries of a table listed by dimension, which makes a row's scores against all rows cheap.

    It is made when the file is opened: that takes milliseconds, and to store it would cost more
    bytes than the table itself.

    Attributes:
        table: the table; its rows are read where they lie in the mapped file.
        rows: number of its rows.
    """

    def __init__(self, table: Table, dim: int) -> None:
        self.table, self.rows = table, len(table.indptr) - 1
        size = max(BLOCK, dim)  # a block takes the time of ``dim`` steps, too
        counts = np.zeros(dim, dtype=np.intp)
        for first in range(0, len(table.columns), size):
            counts += np.bincount(table.columns[first : first + size], minlength=dim)
        ends = np.cumsum(counts)
        self._numbers = np.empty(len(table.columns), dtype=np.min_scalar_type(max(self.rows - 1, 0)))
        self._values = np.empty(len(table.columns), dtype=np.float32)
        free = ends - counts
        for rows, columns, values in table.blocks(size):
            order = np.argsort(columns, kind="stable")
            columns, counts = columns[order], np.bincount(columns, minlength=dim)
            places = np.arange(len(columns)) + (free - np.cumsum(counts) + counts)[columns]
            self._numbers[places], self._values[places] = rows[order], values[order]
            free += counts
        bounds = [0, *ends.tolist()]
        # None for a dimension without entries: a file of a kilobyte may claim to have thousands of
        # them.
        self._lists = {
            column: (self._numbers[first:last], self._values[first:last])
            for column, (first, last) in enumerate(zip(bounds[:-1], bounds[1:], strict=True))
            if first < last
        }

    def scores(self, columns: Array, values: Array) -> Array:
        """Multiplies every row with a sparse one: (rows,) float32, dimensions ascending.

        The order and the width of the sums are those of the compiled kernel, so both rank alike to
        the last bit.
        """
        scores = np.zeros(self.rows, dtype=np.float32)
        found = [self._lists.get(column) for column in columns.tolist()]
        lists = [one for one in found if one is not None]
        if len(lists) < len(found):
            values = values[[one is not None for one in found]]
        # Short lists, one after the other, would take most of their time to begin with each: many
        # go in one call, as far as they take little memory. The order of the sums stays.
        entries = sum([len(numbers) for numbers, _ in lists])
        together = 1
        if entries < LONG_LIST * len(lists):
            together = max(1, GATHERED * len(lists) // max(entries, 1))
        for first in range(0, len(lists), together):
            part = slice(first, first + together)
            numbers, products = _gather(lists[part], values[part])
            # Adds one after the other; it wants the machine's own index type, in which all the
            # numbers would take up to eight times their memory.
            np.add.at(scores, numbers.astype(np.intp), products)
        return scores

    @cached_property
    def norms(self) -> Array:
        """Lengths of the rows, (rows,) float32, made when they are first asked for."""
        squares = np.square(self._values, dtype=np.float64)
        norms: Array = np.sqrt(np.bincount(self._numbers, squares, minlength=self.rows)).astype(np.float32)
        return norms

    def cosines(self, row: int) -> Array:
        """Compares every row with ``row``: (rows,) float32 cosines, -inf where one is zero."""
        products = self.scores(*self.table.row(row))
        lengths = self.norms * self.norms[row]
        return np.divide(products, lengths, out=np.full_like(products, -np.inf), where=lengths > 0)

    @property
    def nbytes(self) -> int:
        """Bytes that the lists take."""
        return int(self._numbers.nbytes + self._values.nbytes)


def _gather(lists: list[tuple[Array, Array]], factors: Array) -> tuple[Array, Array]:
    """Joins lists of rows and float32 entries, the entries times the float32 number of each list."""
    if len(lists) == 1:
        numbers, entries = lists[0]
        return numbers, factors[0] * entries
    products = np.concatenate([entries for _, entries in lists])
    products *= factors.repeat([len(entries) for _, entries in lists])
    return np.concatenate([numbers for numbers, _ in lists]), products


class Scorer:
    """What makes the scores of one kind of model; the kinds are classes, ``SERVED`` has the models.

    A kind says in its class what its file has to hold, what is made when the file is opened, and
    what can be asked of it; no other code knows a model by its name. What a kind cannot do it
    leaves as it is here: refused, in a sentence.

    Attributes:
        folds_in: whether somebody can be folded in and rows can be compared.
        exports: whether rows are all that it scores by, so that smaller files can be made of it.
        stores_users: whether the file has a table of users; else users are made from what they
            touched.
        seen_is_graph: whether it scores by the seen items, which are then part of the model.
        explains_exactly: whether what :meth:`explain` finds adds up to the scores of lists.
        model: the checked file.
    """

    folds_in: ClassVar[bool] = False
    exports: ClassVar[bool] = False
    stores_users: ClassVar[bool] = True
    seen_is_graph: ClassVar[bool] = False
    explains_exactly: ClassVar[bool] = False

    def __init__(self, model: StoredModel) -> None:
        """Makes what every list needs, so that the first does not wait for it."""
        self.model = model

    @classmethod
    def decode(cls, artifact: Artifact, model: StoredModel) -> StoredModel:
        """Checks what this kind scores with besides the tables, and returns the model with it.

        Raises ArtifactError, naming the field.
        """
        return model

    def scores(self, user: int) -> Array:
        """Scores all items for the user in row ``user``: (n_items,) float32, to be overwritten."""
        raise self._refusal()

    def fold_in(self, items: Array, ages: Array) -> tuple[Array, Array]:
        """Makes a user's row of the item rows (m,) they touched: columns and float32 values.

        ``items`` ascend, and ``ages`` (m,) say how many of them came later than each.
        """
        raise self._refusal()

    def scores_of_row(self, columns: Array, values: Array) -> Array:
        """Scores all items for a user's row that :meth:`fold_in` made: (n_items,) float32."""
        raise self._refusal()

    def scores_of_items(self, items: Array, ages: Array) -> Array:
        """Scores all items for somebody who is folded in, see there: (n_items,) float32."""
        return self.scores_of_row(*self.fold_in(items, ages))

    def fold_scale(self, count: int) -> float:
        """Returns what scores of a row that is folded in from ``count`` items are multiplied by.

        It brings them to the scale of those of users who are known.
        """
        return 1.0

    def factors(self) -> tuple[Table, Table]:
        """Makes the rows of users and of items, (width), whose inner products are the scores."""
        raise self._refusal()

    @property
    def width(self) -> int:
        """Columns of the rows that :meth:`factors` makes."""
        return self.model.dim

    def explain(self, user: int, item: int) -> tuple[Array, Array]:
        """Finds what each item that a user touched adds to the score of another.

        Returns item rows (m,), ascending, and float64 parts of the score (m,).
        """
        raise self._refusal()

    def similar_items(self, item: int) -> Array:
        """Compares every item with the one in row ``item``: (n_items,) float32 cosines.

        They are -inf for one that has no row, or that nobody touched.
        """
        raise self._refusal()

    def similar_users(self, user: int) -> Array:
        """Compares every user with the one in row ``user``: (n_users,) float32 cosines.

        They are -inf for one who has no row, or touched nothing.
        """
        raise self._refusal()

    def knows(self, user: int) -> bool:
        """Tells whether the file holds anything that the user in row ``user`` touched, or is made of.

        In a file of some items alone, that is their stored row.
        """
        model = self.model
        first, last = model.seen_indptr[user : user + 2].tolist()
        touched = last - first - len(model.disliked_by(user))
        return touched > 0 or (not model.has_all_seen and bool(np.any(model.users.row(user)[1])))

    def popularity(self) -> Array | None:
        """Returns numbers that are the larger the more users touched an item: (n_items,).

        None where nothing in the file says so.
        """
        return self.model.item_degrees() if len(self.model.seen_items) else None

    @property
    def resident_bytes(self) -> dict[str, int]:
        """Counts the bytes made beside the file, if any: "items by dimension", "graph"."""
        return {}

    def _refusal(self) -> ArtifactError:
        """Says why nobody is folded in and no rows are compared."""
        able = ", ".join(name for name, kind in SERVED.items() if kind.folds_in)
        return ArtifactError(
            f"a {self.model.metadata['model']} model does not score by its stored rows alone, so nobody can be"
            f" folded in and no rows are compared; models of {able} can"
        )


class FoldScale(NamedTuple):
    """What scores of folded-in rows are multiplied by: ``factor`` times a power of the number of items.

    Training makes the rows of some people longer than least squares do, most often of those who
    touched few items. The number of items is taken to lie between ``least`` and ``most``, those of
    the people who were compared.
    """

    factor: float
    power: float
    least: float
    most: float

    @classmethod
    def fitted(cls, counts: Array, stored: Array, folded: Array) -> FoldScale:
        """Fits the scale to people, (m,) each: numbers of items, and sums of scores to be brought together.

        The power is the slope of the logarithm of ``stored / folded`` by that of the number; then
        the factor makes the sums over all people the same. Where they go different ways there is no
        scale.
        """
        power, bounds = 0.0, (float(counts.min()), float(counts.max()))
        usable = (stored > 0) & (folded > 0)
        logs = np.log(counts[usable])
        if np.count_nonzero(usable) >= FEWEST_COMPARED and np.ptp(logs) > 0:
            ratios = np.log(stored[usable] / folded[usable])
            slope = np.sum((logs - logs.mean()) * ratios) / np.square(logs - logs.mean()).sum()
            power = float(np.clip(slope, -MOST_POWER, MOST_POWER))
        total = float(np.sum(folded * counts**power))
        factor = float(stored.sum()) / total if total > 0 else 1.0
        return cls(factor, power, *bounds) if 1 / WIDEST_SCALE < factor < WIDEST_SCALE else NO_SCALE

    def of(self, count: int) -> float:
        """Returns what scores of a row of ``count`` items are multiplied by."""
        return float(self.factor * min(max(count, self.least), self.most) ** self.power)


NO_SCALE = FoldScale(1.0, 0.0, 1.0, 1.0)


class StoredRows(Scorer):
    """Scores of mf and popularity: inner products of a user's stored row with the items' rows.

    A row that is folded in solves least squares, in which touched items score near 1, while stored
    rows have the scale that training gave them. Both are brought together by :class:`FoldScale`.
    """

    folds_in = True
    exports = True

    def __init__(self, model: StoredModel) -> None:
        super().__init__(model)
        self._items = ByDimension(model.items, model.dim)

    def scores(self, user: int) -> Array:
        """Scores all items for the user in row ``user``; see :class:`Scorer`."""
        return self.scores_of_row(*self.model.users.row(user))

    def scores_of_row(self, columns: Array, values: Array) -> Array:
        """Scores all items for a user's row; see :class:`Scorer`."""
        return self._items.scores(columns, values)

    def similar_items(self, item: int) -> Array:
        """Compares every item with one; see :class:`Scorer`."""
        return self._among_known(self._items.cosines(item), item, self._touched)

    def similar_users(self, user: int) -> Array:
        """Compares every user with one; see :class:`Scorer`."""
        seen = self.model.seen_indptr
        return self._among_known(self._users.cosines(user), user, seen[1:] > seen[:-1])

    def _among_known(self, cosines: Array, row: int, known: Array) -> Array:
        """Takes from ``cosines`` to ``row`` those that rest on no interactions, but on chance.

        ``known`` (rows,) is true of rows with interactions; a file of some alone does not tell.
        """
        if self.model.has_all_seen:
            cosines[~known if known[row] else slice(None)] = -np.inf
        return cosines

    @cached_property
    def _touched(self) -> Array:
        touched: Array = self.model.item_degrees() > 0
        return touched

    def fold_in(self, items: Array, ages: Array) -> tuple[Array, Array]:
        """Solves for the row of a user of ``items`` (m,); see :meth:`Recommender.fold_in`."""
        kept, matrix, liked = self._equations(items)
        return kept, np.linalg.solve(matrix, liked.sum(axis=0)[kept]).astype(np.float32)

    def factors(self) -> tuple[Table, Table]:
        """Returns the stored rows; see :class:`Scorer`."""
        return self.model.users, self.model.items

    def explain(self, user: int, item: int) -> tuple[Array, Array]:
        """Folds the user's items in, and says what each adds; see :class:`Scorer`.

        With A the matrix of the equations, the folded row is A^-1 times the sum of the rows of the
        items, so each of these adds its row's product with A^-1 times the row of ``item``.
        """
        items, _, _ = self.model.touched_by(user)
        if not len(items):
            return items, np.zeros(0)
        kept, matrix, liked = self._equations(items)
        wanted = self.model.items.dense_row(item, self.model.dim)[kept]
        return items, self.fold_scale(len(items)) * (liked[:, kept] @ np.linalg.solve(matrix, wanted))

    def fold_scale(self, count: int) -> float:
        """Returns what brings a folded-in row to the scale of stored ones; see :class:`Scorer`."""
        return self._scale.of(count)

    @cached_property
    def _scale(self) -> FoldScale:
        """Compares the stored rows of some users with those that they fold in to.

        What is compared are the sums of the scores that each gives to the items the user touched.
        """
        model = self.model
        people = np.flatnonzero(model.user_degrees() > 0)
        if model.dim > FOLDED_DIMENSIONS or not len(people):
            return NO_SCALE
        count = min(max(COMPARED_PRODUCTS // model.dim**2, FEWEST_COMPARED), MOST_COMPARED, len(people))
        compared = []
        for user in people[np.linspace(0, len(people) - 1, count).astype(np.intp)].tolist():
            items, ages, _ = model.touched_by(user)
            _, columns, values = model.items.entries_of(items)
            own = np.bincount(columns, values, minlength=model.dim)
            rows = model.users.row(user), self.fold_in(items, ages)
            sums = [float(own[at] @ numbers.astype(np.float64)) for at, numbers in rows]
            compared.append((len(items), *sums))
        return FoldScale.fitted(*np.array(compared).T)

    def _equations(self, items: Array) -> tuple[Array, Array, Array]:
        """Makes the equations of the row of a user of ``items`` (m,).

        Returns the columns (k,) that are solved for, the matrix (k, k), and the items' rows
        (m, dim).
        """
        _check_any(items)
        model = self.model
        if model.dim > FOLDED_DIMENSIONS:
            raise ArtifactError(
                f"folding in takes the products of all pairs of columns, and the model has {model.dim:,} columns:"
                f" expected at most {FOLDED_DIMENSIONS:,}"
            )
        liked = np.zeros((len(items), model.dim))
        for place, row in enumerate(items.tolist()):
            columns, values = model.items.row(row)
            liked[place, columns] = values
        kept = np.flatnonzero(liked.any(axis=0))
        mean = float(np.trace(self._gram)) / model.dim
        if not mean > SMALLEST_SQUARE:
            return kept[:0], np.zeros((0, 0)), liked
        matrix = liked.T @ liked + UNTOUCHED * (self._gram + RIDGE * mean * np.eye(model.dim))
        if len(kept) > model.row_entries:
            solved = np.linalg.solve(matrix[np.ix_(kept, kept)], liked.sum(axis=0)[kept])
            # What an entry adds to a score is its value times a value of its column.
            reach = np.abs(solved) * np.sqrt(np.diag(self._gram)[kept])
            kept = np.sort(kept[np.argsort(-reach, kind="stable")[: model.row_entries]])
        return kept, matrix[np.ix_(kept, kept)], liked

    @cached_property
    def _users(self) -> ByDimension:
        return ByDimension(self.model.users, self.model.dim)

    @cached_property
    def _gram(self) -> Array:
        """Products of the item table's columns, (dim, dim) float64, summed in blocks of rows."""
        table, dim, size = self.model.items, self.model.dim, 1024
        gram = np.zeros((dim, dim))
        for start in range(0, len(self.model.item_ids), size):
            bounds = table.indptr[start : start + size + 1].astype(np.int64)
            block = np.zeros((len(bounds) - 1, dim))
            rows = np.repeat(np.arange(len(block)), np.diff(bounds))
            block[rows, table.columns[bounds[0] : bounds[-1]]] = table.floats(bounds[0], bounds[-1])
            gram += block.T @ block
        return gram

    @property
    def resident_bytes(self) -> dict[str, int]:
        """Counts the items' entries listed by dimension."""
        return {"items by dimension": self._items.nbytes}


class ItemNeighbours(StoredRows):
    """Scores of itemknn: inner products of stored rows, of a column for each item.

    A user's row is 1 in the columns of their items, and so folding in is to write it down.
    """

    explains_exactly = True
    _scale = NO_SCALE

    def explain(self, user: int, item: int) -> tuple[Array, Array]:
        """Looks up how similar each of the user's items is; see :class:`Scorer`."""
        columns, values = self.model.users.row(user)
        if self.model.dim != len(self.model.item_ids):
            raise self._nameless()
        similar = self.model.items.dense_row(item, self.model.dim)
        return columns.astype(np.intp), values * similar[columns]

    def fold_in(self, items: Array, ages: Array) -> tuple[Array, Array]:
        """Makes a row of ones in the columns of ``items`` (m,)."""
        _check_any(items)
        if self.model.dim != len(self.model.item_ids):
            raise self._nameless()
        return items, np.ones(len(items), dtype=np.float32)

    def _nameless(self) -> ArtifactError:
        return ArtifactError(
            "an itemknn model of some items alone does not tell which column is which item's, so nobody can be"
            " folded in; export it with all items"
        )


class TouchedItems(StoredRows):
    """Scores of fism: a user's row is made of the rows of the items they touched.

    No user is stored: the seen items are all that is known of one. How a row is made says the
    metadata's ``user_rows``, a key of ``MADE_ROWS``; folding in is the same.
    """

    stores_users = False
    explains_exactly = True
    _scale = NO_SCALE

    def __init__(self, model: StoredModel) -> None:
        super().__init__(model)
        self._made = made_rows(model.metadata)(model)
        self._levels = recency_levels(_recency(model.metadata))

    @classmethod
    def decode(cls, artifact: Artifact, model: StoredModel) -> StoredModel:
        """Takes what users' rows are made with. Raises ArtifactError, also where a score could overflow."""
        if "row_entries" not in model.metadata:
            raise ArtifactError("metadata row_entries is missing, which the model fism is scored with")
        return made_rows(model.metadata).decode(artifact, model)

    def scores(self, user: int) -> Array:
        """Scores all items for the user in row ``user``; see :class:`Scorer`."""
        items, ages, shares = self.model.touched_by(user)
        return self._made.scores(items, self._levels[ages] * shares, self._items)

    def fold_in(self, items: Array, ages: Array) -> tuple[Array, Array]:
        """Makes the row of a user of ``items`` (m,), ascending, as that of any other user."""
        _check_any(items)
        return self._made.row(items, self._levels[ages])

    def scores_of_items(self, items: Array, ages: Array) -> Array:
        """Scores all items for somebody who touched ``items``; see :class:`Scorer`."""
        _check_any(items)
        return self._made.scores(items, self._levels[ages], self._items)

    def scores_of_row(self, columns: Array, values: Array) -> Array:
        """Scores all items for a user's row; see :class:`Scorer`."""
        behind = int(np.searchsorted(columns, self.model.dim))  # there is one item for each column there
        scores = super().scores_of_row(columns[:behind], values[:behind])
        scores[columns[behind:] - self.model.dim] += values[behind:]
        return scores

    def factors(self) -> tuple[Table, Table]:
        """Makes the rows of all users, beside those of items; see :class:`Scorer`."""
        return self._users.table, self._made.item_rows()

    @property
    def width(self) -> int:
        """Columns of users' rows; see :class:`Scorer`."""
        return self._made.width

    def similar_items(self, item: int) -> Array:
        """Compares every item with one; see :class:`Scorer`."""
        row, lengths = self._made.compared_row(item), self._item_lengths
        products, lengths = self.scores_of_row(*row), lengths * lengths[item]
        cosines = np.divide(products, lengths, out=np.full_like(products, -np.inf), where=lengths > 0)
        return self._among_known(cosines, item, self._touched)

    def explain(self, user: int, item: int) -> tuple[Array, Array]:
        """Takes the score apart into what each touched item adds; see :class:`Scorer`."""
        items, ages, shares = self.model.touched_by(user)
        return items, self._made.parts(items, self._levels[ages] * shares, item)

    def popularity(self) -> Array | None:
        """Says how popular items are; see :class:`Scorer`.

        Where the seen items do not tell, the weights do: they began as 1 over an item's users.
        """
        model = self.model
        if model.has_all_seen or not self._made.has_numbers:
            return super().popularity()
        numbers = np.abs(model.weights).astype(np.float64)
        # Of items without entries a smaller file may hold no weights, unless they may have pairs.
        told = (model.items.indptr[1:] > model.items.indptr[:-1]) | (self.width > model.dim)
        return np.divide(1, numbers, out=np.zeros(len(numbers)), where=told & (numbers > 0))

    def _row_of_user(self, user: int) -> tuple[Array, Array]:
        items, ages, shares = self.model.touched_by(user)
        return self._made.row(items, self._levels[ages] * shares)

    @property
    def resident_bytes(self) -> dict[str, int]:
        """Counts the items' entries by dimension, and what users' rows are made with beside the file."""
        return {**super().resident_bytes, **self._made.resident_bytes}

    @cached_property
    def _item_lengths(self) -> Array:
        return self._made.item_lengths()

    @cached_property
    def _users(self) -> ByDimension:
        if (most := self._made.most_entries()) > MADE_ENTRIES:
            raise ArtifactError(
                f"to compare users all their rows are made, which may have {most:,} entries:"
                f" expected at most {MADE_ENTRIES:,}"
            )
        width = np.min_scalar_type(self.width - 1)
        made = [(np.zeros(0, width), np.zeros(0, np.float32))]
        for user in range(len(self.model.user_ids)):
            places, numbers = self._row_of_user(user)
            made.append((places.astype(width), numbers))
        bounds = np.cumsum([len(numbers) for _, numbers in made])
        columns, values = (np.concatenate(parts) for parts in zip(*made, strict=True))
        return ByDimension(Table(bounds, columns, values), self.width)


class MadeRows(ABC):
    """A way to make users' rows of the item rows they touched; the ways are classes.

    Attributes:
        has_numbers: whether the file holds a number for each item, as ``weights``.
        has_pairs: whether the last columns of the items' table stand for items.
        model: the checked file.
    """

    has_numbers: ClassVar[bool] = True
    has_pairs: ClassVar[bool] = False

    def __init__(self, model: StoredModel) -> None:
        self.model = model

    @classmethod
    @abstractmethod
    def decode(cls, artifact: Artifact, model: StoredModel) -> StoredModel:
        """Checks what rows are made with, and returns the model with it. Raises ArtifactError."""

    @abstractmethod
    def row(self, items: Array, shares: Array) -> tuple[Array, Array]:
        """Makes the row of a user of ``items`` (m,), ascending: its columns and float32 values.

        ``shares`` (m,) float32 say how much each of them counts.
        """

    def scores(self, items: Array, shares: Array, table: ByDimension) -> Array:
        """Scores all items of ``table``, the model's, for a user of ``items``: (n_items,) float32."""
        return table.scores(*self.row(items, shares))

    @abstractmethod
    def parts(self, items: Array, shares: Array, item: int) -> Array:
        """Finds what each of ``items`` adds to the row's score of ``item``: (m,) float64."""

    @property
    def width(self) -> int:
        """Columns of a row: those of the items' table, and behind them, if any, one for each item."""
        return self.model.dim

    def item_rows(self) -> Table:
        """Makes the rows of items whose products with users' rows are the scores, (n_items, width)."""
        return self.model.items

    def compared_row(self, item: int) -> tuple[Array, Array]:
        """Makes the row of an item as it is compared with others, of columns as those of users' rows."""
        columns, values = self.model.items.row(item)
        return columns.astype(np.intp), values

    def item_lengths(self) -> Array:
        """Makes the lengths of all items' rows as they are compared, (n_items,) float32."""
        items = self.model.items
        squares = np.square(items.floats(), dtype=np.float64)
        lengths: Array = np.sqrt(np.bincount(items.row_numbers(), squares, len(items.indptr) - 1))
        return lengths.astype(np.float32)

    def most_entries(self) -> int:
        """Bounds the number of entries of all users' rows."""
        return len(self.model.user_ids) * self.model.row_entries

    @property
    def resident_bytes(self) -> dict[str, int]:
        """Counts the bytes made beside the file, by purpose, if any."""
        return {}


class SummedRows(MadeRows):
    """Rows that are weighted sums of the touched ones.

    With w the items' rows and c their weights, the row of user u is the sum of ``r_uj c_j w_j``
    over the items j they touched (Kabbur, Ning and Karypis 2013), where r_uj is 1, or, with the
    metadata's ``recency``, falls with the number of later ones (:func:`recency_levels`). It is cut
    to its ``row_entries`` entries of largest magnitude, of equals the lower column. The cut is our
    choice: it takes most of the time away, and next to nothing from the lists. Items are added up
    in ascending order, and every product and every sum is rounded to float32.
    """

    @classmethod
    def decode(cls, artifact: Artifact, model: StoredModel) -> StoredModel:
        """Takes the items' weights. Raises ArtifactError, also where a score could overflow."""
        if _recency(model.metadata) and len(model.seen_ages) != len(model.seen_items):
            raise ArtifactError(
                "seen.ages are missing, on which the rows of users depend by metadata recency"
            )
        first, n_items = model.dim - item_columns(model.metadata), len(model.items.indptr) - 1
        weights = _decode_item_weights(artifact, model.items, first)
        # Nobody touches an item twice, and no mark factor is larger than 1 or the weight, so no
        # entry of a row, of users or of items, is larger than this.
        most = n_items * (2 + _largest(weights)) * (1 + model.items.largest())
        if not model.dim * most**2 < 5e37:
            raise ArtifactError(
                "weights hold NaN or infinity, or would overflow float32: the training diverged"
            )
        return model._replace(weights=weights)

    def row(self, items: Array, shares: Array) -> tuple[Array, Array]:
        """Adds up the weighted rows of ``items`` (m,), and cuts the sum; see :class:`MadeRows`."""
        lengths, columns, values = self.model.items.entries_of(items)
        numbers = np.repeat(shares * self.model.weights[items], lengths) * values
        return self._cut(_added_up(columns, numbers, self.model.dim))

    def parts(self, items: Array, shares: Array, item: int) -> Array:
        """Multiplies each weighted row, in the columns that the sum keeps; see :class:`MadeRows`."""
        return self._parts_of_sums(items, shares, item, self.row(items, shares)[0])

    def _parts_of_sums(self, items: Array, shares: Array, item: int, kept: Array) -> Array:
        wanted = self.model.items.dense_row(item, self.model.dim)
        reached = np.zeros_like(wanted)
        reached[kept] = wanted[kept]
        return shares * self.model.weights[items] * self._products(items, reached)

    def _products(self, items: Array, wanted: Array) -> Array:
        """Multiplies the rows of ``items`` (m,) with ``wanted`` (dim,): (m,) float64."""
        lengths, columns, values = self.model.items.entries_of(items)
        owners = np.repeat(np.arange(len(items)), lengths)
        products: Array = np.bincount(owners, values * wanted[columns], minlength=len(items))
        return products

    def _cut(self, row: Array) -> tuple[Array, Array]:
        """Keeps the largest of a row of sums (columns,): where they are, and they."""
        kept = row.nonzero()[0]
        if len(kept) > self.model.row_entries:
            kept = kept[_largest_places(np.abs(row[kept]), self.model.row_entries)]
        return kept, row[kept]


def _added_up(columns: Array, numbers: Array, dim: int) -> Array:
    """Adds up float32 ``numbers`` (n,) in their ``columns`` (n,), one after the other: (dim,) float32."""
    row = np.zeros(dim, dtype=np.float32)
    np.add.at(row, columns.astype(np.intp), numbers)  # it wants the machine's own index type
    return row


class SumsAndItems(SummedRows):
    """Rows of three parts: the sum of the touched rows, marks of the touched items, and replies.

    The last columns of the items' table are the items, one each; before them are ``summed`` others.
    An entry q in row i and column ``summed + j`` is a pair, which speaks both ways. A user's row is

    * the sum, as :class:`SummedRows` makes it, of the columns before ``summed`` alone;
    * in column ``summed + j`` of each touched item j its mark ``s_j = r_j m_j``, r_j being how much
      it counts and m_j its weight to the metadata's ``mark_power`` (:func:`mark_factors`);
    * in column ``dim + i`` of each item i its replies, the sum of ``s_j q`` over the entries q in
      column ``summed + i`` of the touched rows j, ascending.

    Items have a 1 in column ``dim + i``, which no file stores. So the score of item i is the sum of
    its row's products with the row, and then its replies.
    """

    has_pairs = True

    def __init__(self, model: StoredModel) -> None:
        super().__init__(model)
        self._factors = mark_factors(model.weights, _mark_power(model.metadata))
        self._n_items = len(model.items.indptr) - 1
        self._summed = model.dim - self._n_items

    @classmethod
    def decode(cls, artifact: Artifact, model: StoredModel) -> StoredModel:
        """Takes the items' weights. Raises ArtifactError also where columns are no items."""
        n_items, marked = len(model.items.indptr) - 1, item_columns(model.metadata)
        if marked != n_items or model.dim <= marked:
            raise ArtifactError(
                f"metadata item_columns is {marked:,} of dim {model.dim:,}, expected one for each of {n_items:,} items,"
                " behind others: a model of some items alone does not tell which column is which item's"
            )
        _mark_power(model.metadata)
        return super().decode(artifact, model)

    def row(self, items: Array, shares: Array) -> tuple[Array, Array]:
        """Makes the three parts of the row of a user of ``items``; see :class:`MadeRows`."""
        columns, values, replies = self._row_and_replies(items, shares)
        answered = (replies != 0).nonzero()[0]  # of truth values it is found eight times as fast
        return np.append(columns, answered + self.model.dim), np.append(values, replies[answered])

    def scores(self, items: Array, shares: Array, table: ByDimension) -> Array:
        """Adds the replies last, without a look at which there are; see :class:`MadeRows`."""
        columns, values, replies = self._row_and_replies(items, shares)
        scores = table.scores(columns, values)
        scores += replies
        return scores

    def _row_and_replies(self, items: Array, shares: Array) -> tuple[Array, Array, Array]:
        """Makes the columns and values of sums and marks, and the replies to all items."""
        lengths, columns, values = self.model.items.entries_of(items)
        weights, marks = shares * self.model.weights[items], self._marks(items, shares)
        factors = np.where(columns < self._summed, weights.repeat(lengths), marks.repeat(lengths))
        row = _added_up(columns, factors * values, self.model.dim)
        kept, sums = self._cut(row[: self._summed])
        return np.concatenate([kept, items + self._summed]), np.append(sums, marks), row[self._summed :]

    def parts(self, items: Array, shares: Array, item: int) -> Array:
        """Adds what marks and replies say to the parts of the sum; see :class:`MadeRows`."""
        columns = self.row(items, shares)[0]
        sums = self._parts_of_sums(items, shares, item, columns[columns < self._summed])
        marked = self.model.items.dense_row(item, self.model.dim)[self._summed + items]
        replied = self._products(items, np.arange(self.model.dim) == self._summed + item)
        return sums + self._marks(items, shares) * (marked + replied)

    def _marks(self, items: Array, shares: Array) -> Array:
        return shares * self._factors[items]

    @property
    def resident_bytes(self) -> dict[str, int]:
        """Counts the factors of marks."""
        return {"factors of marks": self._factors.nbytes}

    @property
    def width(self) -> int:
        """Columns of sums, marks and replies; see :class:`MadeRows`."""
        return self.model.dim + self._n_items

    def item_rows(self) -> Table:
        """Adds to each item's row the 1 that its replies count by; see :class:`MadeRows`."""
        indptr, columns, _, _ = items = self.model.items
        own, ends = np.arange(self._n_items), indptr[1:]
        wide = np.insert(columns.astype(np.min_scalar_type(self.width - 1)), ends, self.model.dim + own)
        return Table(
            np.append(indptr[:1], ends + own + 1), wide, np.insert(items.floats(), ends, np.float32(1))
        )

    def compared_row(self, item: int) -> tuple[Array, Array]:
        """Makes the row with each pair of the item in it, whichever row stores it; see :class:`MadeRows`.

        Its product with the row of another is made as a user's score is, with replies.
        """
        dim, items = self.model.dim, self.model.items
        row = items.dense_row(item, dim).astype(np.float32)
        owners, values = items.column(self._summed + item)
        row[self._summed + owners] += values
        others = (row[self._summed :] != 0).nonzero()[0]
        lengths, columns, values = items.entries_of(others)
        said = np.repeat(row[self._summed + others], lengths) * values
        replies = _added_up(columns, said, dim)[self._summed :]
        kept, answered = ((some != 0).nonzero()[0] for some in (row, replies))
        return np.append(kept, dim + answered), np.append(row[kept], replies[answered])

    def item_lengths(self) -> Array:
        """Counts each pair in the lengths of both its rows, and one that stands twice as two."""
        items = self.model.items
        owners = np.stack([items.row_numbers(), items.columns.astype(np.intp) - self._summed], axis=1).ravel()
        squares = np.repeat(np.square(items.floats(), dtype=np.float64), 2)
        sums = np.bincount(owners[owners >= 0], squares[owners >= 0], self._n_items)
        lengths: Array = np.sqrt(sums).astype(np.float32)
        return lengths

    def most_entries(self) -> int:
        """Bounds the number of entries of all users' rows; see :class:`MadeRows`."""
        most, seen = super().most_entries(), self.model.seen_items
        lengths = np.diff(self.model.items.indptr) + 1  # its replies at most, and its mark
        blocks = range(0, len(seen), BLOCK)
        return most + sum(int(lengths[seen[first : first + BLOCK]].sum()) for first in blocks)


def _largest_places(numbers: Array, most: int) -> Array:
    """Finds where the ``most`` largest are, fewer than there are, ascending: of equals the first.

    >>> _largest_places(np.array([2.0, 1.0, 3.0, 1.0]), 3).tolist()
    [0, 1, 2]
    """
    least = np.partition(numbers, -most)[-most]
    taken = numbers > least
    equals = (numbers == least).nonzero()[0]
    taken[equals[: most - np.count_nonzero(taken)]] = True
    return taken.nonzero()[0]


class SolvedRows(MadeRows):
    """Rows that are solved for from the touched ones, as folding in solves for somebody's.

    With Y the rows of what the user touched, V those of all items and m the mean squared length of
    a row of V, the row x solves ``(a V'V + Y'Y + l m I) x = Y'1``, a and l being the metadata's
    ``untouched_weight`` and ``ridge``: it scores near 1 on what was touched, near 0 elsewhere, and
    stays short (Hu, Koren and Volinsky 2008, equation 4). See :func:`solved_row`.
    """

    has_numbers = False

    def __init__(self, model: StoredModel) -> None:
        super().__init__(model)
        untouched, ridge = _ridge_settings(model.metadata)
        self._terms = ridge_terms(model.items, model.dim, untouched, ridge)

    @classmethod
    def decode(cls, artifact: Artifact, model: StoredModel) -> StoredModel:
        """Refuses what nothing can be solved with. Raises ArtifactError, naming the field."""
        if not artifact.arrays.keys().isdisjoint(("weights", "weights.codes", "weights.levels")):
            raise ArtifactError("weights are there, but rows that are solved for need none: expected none")
        if model.dim > FOLDED_DIMENSIONS:
            raise ArtifactError(
                f"metadata dim is {model.dim:,}, and rows are solved for with the products of all pairs of columns:"
                f" expected at most {FOLDED_DIMENSIONS:,}"
            )
        _ridge_settings(model.metadata)
        return model

    def row(self, items: Array, shares: Array) -> tuple[Array, Array]:
        """Solves for the row of a user of ``items`` (m,); see :func:`solved_row`."""
        return solved_row(self.model.items, items, self._terms, self.model.row_entries, shares)

    def parts(self, items: Array, shares: Array, item: int) -> Array:
        """Solves the equations for the item's row, and multiplies each with that; see :class:`MadeRows`.

        The matrix is symmetric, so the user's product with the item's row is the sum of these.
        """
        wanted = self.model.items.dense_row(item, self.model.dim)
        kept, _ = self.row(items, shares)
        lengths, columns, values = self.model.items.entries_of(items)
        rows = np.zeros((len(items), self.model.dim))
        rows[np.repeat(np.arange(len(items)), lengths), columns] = values
        rows, trusts = rows[:, kept], shares.astype(np.float64)
        shared = np.triu(self._terms.base[np.ix_(self._terms.places[kept], self._terms.places[kept])])
        matrix = shared + np.triu(shared, 1).T + (rows * trusts[:, None]).T @ rows
        parts: Array = trusts * (rows @ np.linalg.solve(matrix, wanted[kept]))
        return parts

    @property
    def resident_bytes(self) -> dict[str, int]:
        """Counts the products of the columns."""
        return {"products of columns": self._terms.nbytes}


# Metadata user_rows of a fism model -> what makes its users' rows; "sum" where it is missing.
MADE_ROWS: dict[str, type[MadeRows]] = {
    "sum": SummedRows,
    "ridge": SolvedRows,
    "neighbours": SumsAndItems,
}


def made_rows(metadata: Mapping[str, str]) -> type[MadeRows]:
    """Looks up what makes users' rows. Raises ArtifactError for a way that is not known here."""
    name = metadata.get("user_rows", "sum")
    if name not in MADE_ROWS:
        raise ArtifactError(f"metadata user_rows is {name!r}, expected {' or '.join(MADE_ROWS)}")
    return MADE_ROWS[name]


def _recency(metadata: Mapping[str, str]) -> float:
    """Reads how much more later interactions count; 0 where nothing is said."""
    try:
        power = float(metadata.get("recency", "0"))
    except ValueError:
        power = math.nan
    if not 0 <= power <= MOST_RECENCY:
        raise ArtifactError(
            f"metadata recency is {metadata['recency']!r}, expected a number from 0 to {MOST_RECENCY:g}"
        )
    return power


def _mark_power(metadata: Mapping[str, str]) -> float:
    """Reads the power of an item's weight that it marks with. Raises ArtifactError."""
    try:
        power = float(metadata.get("mark_power", "missing"))
    except ValueError:
        power = math.nan
    if power not in MARK_POWERS:
        raise ArtifactError(
            f"metadata mark_power is {metadata.get('mark_power')!r}, expected"
            f" {' or '.join(format(one, 'g') for one in MARK_POWERS)}"
        )
    return power


def _ridge_settings(metadata: Mapping[str, str]) -> tuple[float, float]:
    """Reads the weight of what was not touched, and of a row's own length."""
    found = []
    for key, least in (("untouched_weight", 0.0), ("ridge", LEAST_RIDGE)):
        try:
            number = float(metadata.get(key, "missing"))
        except ValueError:
            number = math.nan
        if not least <= number <= MOST_RIDGE:
            raise ArtifactError(
                f"metadata {key} is {metadata.get(key)!r}, expected a number from {least:g} to {MOST_RIDGE:g}"
            )
        found.append(number)
    return found[0], found[1]


class RidgeTerms(NamedTuple):
    """The part of the equations of users' rows that all of them share.

    Attributes:
        base: (used, used) float64 ``a V'V + l m I`` of the columns in which an item has an entry;
            the diagonal and what is right of it are read.
        least: ``l m``, below which no pivot can be; 0 where there is nothing to solve from.
        places: (dim,) int32, where in ``base`` each column is; 0 for those without entries.
    """

    base: Array
    least: float
    places: Array

    @property
    def nbytes(self) -> int:
        """Bytes of both arrays."""
        return int(self.base.nbytes + self.places.nbytes)


def ridge_terms(items: Table, dim: int, untouched: float, ridge: float) -> RidgeTerms:
    """Makes the shared part of all equations; the bits are the same on every machine.

    Args:
        items: (n_items, dim), V.
        dim: columns of it.
        untouched: a, 0 or more.
        ridge: l, above 0.
    """
    used = np.flatnonzero(np.bincount(items.columns, minlength=dim))
    places = np.zeros(dim, dtype=np.int32)
    places[used] = np.arange(len(used))
    base = np.zeros((len(used), len(used)))
    rows = len(items.indptr) - 1
    for start in range(0, rows, 1024):
        lengths, columns, values = items.entries_of(np.arange(start, min(start + 1024, rows)))
        exact = values.astype(np.float64)
        _add_products(lengths, places[columns], exact, exact, base)
    least = ridge * float(np.trace(base)) / max(rows, 1)
    base *= untouched
    base[np.diag_indices(len(used))] += least
    return RidgeTerms(base, least if least > ridge * SMALLEST_SQUARE else 0.0, places)


def solved_row(
    items: Table, touched: Array, terms: RidgeTerms, most: int, trusts: Array | None = None
) -> tuple[Array, Array]:
    """Solves for the row of a user: its columns and float32 values.

    Only columns in which a touched item has an entry are solved for. Where these are more than
    ``most``, those that matter most are kept, by the square of their value times their element on
    the diagonal of the shared part (of equals the lower column), and solved for once more. Sums are
    in float64 and in a fixed order, products of all pairs of entries before the rest, and nothing
    is left to a BLAS: the bits are the same on every machine, and those of the compiled kernel.

    Args:
        items: (n_items, dim)
        touched: (m,) rows of it, ascending.
        terms: of all users.
        most: entries of the result at most.
        trusts: (m,) float32, how much each of ``touched`` is to be trusted; None where all count 1.
    """
    lengths, columns, values = items.entries_of(touched)
    kept, places = np.unique(columns, return_inverse=True)
    kept = kept.astype(np.intp)
    if not terms.least:
        return kept[:0], values[:0]
    products = np.zeros((len(kept), len(kept)))
    exact = values.astype(np.float64)
    weighed = exact if trusts is None else np.repeat(trusts.astype(np.float64), lengths) * exact
    _add_products(lengths, places, weighed, exact, products)
    shared = terms.places[kept]
    products += terms.base[np.ix_(shared, shared)]
    target = np.bincount(places, weighed, len(kept))
    solved = _eliminated(products.copy(), target.copy(), terms.least)
    if len(kept) > most:
        worths = np.square(solved) * terms.base[shared, shared]
        best = np.sort((-worths).argsort(kind="stable")[:most])
        solved = _eliminated(products[np.ix_(best, best)], target[best], terms.least)
        kept = kept[best]
    return kept, solved.astype(np.float32)


def _add_products(lengths: Array, places: Array, left_values: Array, values: Array, sums: Array) -> None:
    """Adds the products of all pairs of entries of a row, row after row, to ``sums``.

    Args:
        lengths: (m,) number of entries of each row.
        places: (entries,) where each entry's products go, rising within a row.
        left_values: (entries,) float64, the first factors of products.
        values: (entries,) float64, the second.
        sums: (n, n) float64, written to on the diagonal and right of it.
    """
    flat, spots = sums.reshape(-1), places.astype(np.intp)
    pairs = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(values))  # of an entry and those after it
    ends = np.cumsum(pairs)
    first = 0
    while first < len(values):
        before = int(ends[first] - pairs[first])
        last = max(first + 1, int(np.searchsorted(ends, before + PAIR_BLOCK, side="right")))
        left = np.repeat(np.arange(first, last), pairs[first:last])
        right = (
            left
            + np.arange(before, ends[last - 1])
            - np.repeat((ends - pairs)[first:last], pairs[first:last])
        )
        np.add.at(flat, spots[left] * len(sums) + spots[right], left_values[left] * values[right])
        first = last


def _eliminated(matrix: Array, target: Array, least: float) -> Array:
    """Solves ``matrix x = target`` by elimination, and overwrites both.

    Args:
        matrix: (n, n) float64, symmetric with no eigenvalue below ``least``; what is left of the
            diagonal is not read.
        target: (n,) float64.
        least: above 0; rounding takes no pivot below it.

    >>> _eliminated(np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([3.0, 4.0]), 1.0).tolist()
    [1.0, 1.0]
    """
    for k in range(len(target)):
        matrix[k, k] = max(matrix[k, k], least)
        row = matrix[k, k + 1 :]
        factors = row / matrix[k, k]
        matrix[k + 1 :, k + 1 :] -= factors[:, None] * row
        target[k + 1 :] -= factors * target[k]
    for k in range(len(target) - 1, -1, -1):
        target[k] /= matrix[k, k]
        target[:k] -= matrix[:k, k] * target[k]
    return target


def item_columns(metadata: Mapping[str, str]) -> int:
    """Reads how many of the last columns stand for items, one each; 0 where rows are none of pairs.

    Raises ArtifactError for pairs that do not say it.
    """
    made = MADE_ROWS.get(metadata.get("user_rows", ""), SummedRows)
    return _read_integer(metadata, "item_columns") if made.has_pairs else 0


def weighed_items(items: Table, first: int) -> Array:
    """Tells which items have an entry in their row, or in their column behind ``first``: (n_items,) bool."""
    found: Array = items.indptr[1:] > items.indptr[:-1]
    columns = items.columns[items.columns >= first].astype(np.intp) - first
    found[columns] = True
    return found


def _decode_item_weights(artifact: Artifact, items: Table, first: int) -> Array:
    """Reads a weight for each item: (n_items,) float32, 0 where only those with entries have one.

    Those are told by :func:`weighed_items`. Weights are stored so, or as codes, which are places in
    a short list of levels.
    """
    name = "weights.codes" if "weights.codes" in artifact.arrays else "weights"
    if name == "weights":
        weights = _take(artifact, name, WEIGHT_TYPES).astype(np.float32, copy=False)
    else:
        codes, levels = _take(artifact, name, ("U8",)), _take(artifact, "weights.levels", ("F32",))
        if len(codes) and int(codes.max()) >= len(levels):
            raise ArtifactError(
                f"{name} hold {int(codes.max())}, expected less than {len(levels):,}, the number of weights.levels"
            )
        weights = levels[codes]
    n_items, filled = len(items.indptr) - 1, weighed_items(items, first)
    n_filled = int(np.count_nonzero(filled))
    if len(weights) == n_items:
        return weights
    if len(weights) != n_filled:
        raise ArtifactError(
            f"{name} hold {len(weights):,} numbers, expected {n_items:,}, one an item, or {n_filled:,}, one an item"
            " that has entries"
        )
    spread = np.zeros(n_items, dtype=np.float32)
    spread[filled] = weights
    return spread


def _check_any(items: Array) -> None:
    if not len(items):
        raise ValueError("a list of one item or more is needed to fold somebody in")


class GraphScores(Scorer):
    """Scores of a LightGCN model for one user at a time, from its stored rows and its graph.

    The graph are the seen items without those that were held out of training. With E the stored
    rows of users and items together, ``A = D^-1/2 B D^-1/2``, B the graph's adjacency and D its
    degrees, and ``P = (1 + A + ... + A^layers) / (layers + 1)``, the rows that are multiplied are
    ``P E`` (He et al. 2020), and user u scores the items' part of ``P E (P E)' e_u = P E E' P
    e_u``. From right to left that is vectors all the way: neither ``P E`` nor any other full table
    is made. The graph has no edges among users or among items, so a step is from one side to the
    other, and of each step only one side is needed.

    Attributes:
        layers: number of steps.
        temperature: scores are divided by it.
        cosine: whether the rows that are multiplied are brought to one length.
    """

    seen_is_graph = True

    def __init__(self, model: StoredModel) -> None:
        super().__init__(model)
        metadata = model.metadata
        self.layers, self.temperature = int(metadata["layers"]), float(metadata["temperature"])
        self.cosine = metadata["similarity"] == "cosine"
        self._tables, self._dim = (model.users, model.items), model.dim
        edges, self._bounds = model.seen_items, model.seen_indptr
        if len(model.held_out):
            kept = np.ones(len(edges), dtype=bool)
            kept[model.held_out] = False
            before = np.zeros(len(edges) + 1, dtype=np.int64)
            np.cumsum(kept, out=before[1:])
            edges, self._bounds = edges[kept], before[self._bounds]
        # In the machine's own index type: NumPy would convert any other at every use.
        self._edges = edges.astype(np.intp)
        self._user_degrees = np.diff(self._bounds)
        item_degrees = np.bincount(self._edges, minlength=len(model.item_ids))
        self._user_factors, self._item_factors = (
            np.divide(1, np.sqrt(degrees), out=np.zeros(len(degrees)), where=degrees > 0)
            for degrees in (self._user_degrees, item_degrees)
        )

    @classmethod
    def decode(cls, artifact: Artifact, model: StoredModel) -> StoredModel:
        """Refuses a file that does not say how it scores, or whose scores could overflow."""
        metadata = model.metadata
        for key in ("layers", "similarity", "temperature"):
            if key not in metadata:
                raise ArtifactError(f"metadata {key} is missing, which the model lightgcn is scored with")
        if metadata["layers"] not in ("1", "2", "3", "4"):
            raise ArtifactError(f"metadata layers is {metadata['layers']!r}, expected 1 to 4")
        if metadata["similarity"] not in SIMILARITIES:
            raise ArtifactError(
                f"metadata similarity is {metadata['similarity']!r}, expected {' or '.join(SIMILARITIES)}"
            )
        try:
            temperature = float(metadata["temperature"])
        except ValueError:
            temperature = math.nan
        if not 0 < temperature <= 1e6:
            raise ArtifactError(
                f"metadata temperature is {metadata['temperature']!r}, expected a number above 0 and at most 1e6"
            )
        if not model.has_seen:
            raise ArtifactError(
                "the seen items were left out, and they are the graph that a lightgcn model scores by"
            )
        # Propagation lengthens no vector, so a score is at most the sum of all squares of the
        # tables.
        squares = sum(len(table.values) * table.largest() ** 2 for table in (model.users, model.items))
        if max(1.0, squares) > 1e38 * temperature:
            raise ArtifactError("scores could overflow float32: users.values and items.values are too large")
        return model

    def scores(self, user: int) -> Array:
        """Scores all items for the user in row ``user``; see :class:`Scorer`."""
        mean = self._mean_row(user)
        scores = self._item_means(mean)
        if self.cosine:
            length = float(np.sqrt(mean @ mean))
            lengths = length * self._item_lengths
            scores = np.divide(scores, lengths, out=np.zeros_like(scores), where=lengths > 0)
        return (scores / self.temperature).astype(np.float32)

    def _mean_row(self, user: int) -> Array:
        """Makes the user's row as it is multiplied: ``E' P e_u``, (dim,) float64."""
        side = np.zeros(len(self._user_factors))
        side[user] = 1
        sums, on_items = [side, np.zeros(len(self._item_factors))], False
        for _ in range(self.layers):
            side = self._to_users(side) if on_items else self._to_items(side)
            on_items = not on_items
            sums[on_items] = sums[on_items] + side
        row = np.zeros(self._dim)
        for table, weights in zip(self._tables, sums, strict=True):
            products = table.floats() * np.repeat(weights, np.diff(table.indptr))
            row += np.bincount(table.columns, products, minlength=self._dim)
        return row / (self.layers + 1)

    def factors(self) -> tuple[Table, Table]:
        """Makes every entry of ``P E``, column after column; see :class:`Scorer`.

        For cosines rows are of one length, and the users' are divided by the temperature.
        """
        columns = np.eye(self._dim)
        users, items = (
            np.stack([means(one) for one in columns], 1) for means in (self._user_means, self._item_means)
        )
        if self.cosine:
            for rows in (users, items):
                lengths = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
                np.divide(rows, lengths, out=rows, where=lengths > 0)
        return full_rows(users / self.temperature), full_rows(items)

    def _item_means(self, row: Array) -> Array:
        """Multiplies the items' part of ``P E`` with ``row`` (dim,): (n_items,) float64."""
        return self._means(row, self.layers % 2 == 0)

    def _user_means(self, row: Array) -> Array:
        """Multiplies the users' part of ``P E`` with ``row`` (dim,): (n_users,) float64."""
        return self._means(row, self.layers % 2 == 1)

    def _means(self, row: Array, on_items: bool) -> Array:
        """Multiplies a part of ``P E`` with ``row``: that which begins on the items, or on the users."""
        # 1 + A + A^2 + ... by Horner's rule; it is known where the last step ends, and so where the
        # first begins.
        users, items = (
            _row_sums(table.indptr, table.floats() * row[table.columns]) for table in self._tables
        )
        side = items if on_items else users
        for _ in range(self.layers):
            side = users + self._to_users(side) if on_items else items + self._to_items(side)
            on_items = not on_items
        return side / (self.layers + 1)

    def _to_items(self, side: Array) -> Array:
        """Makes one step over the graph from ``side`` (n_users,): (n_items,)."""
        sent = np.repeat(side * self._user_factors, self._user_degrees)
        return self._item_factors * np.bincount(self._edges, sent, minlength=len(self._item_factors))

    def _to_users(self, side: Array) -> Array:
        """Makes one step over the graph from ``side`` (n_items,): (n_users,)."""
        return self._user_factors * _row_sums(self._bounds, (side * self._item_factors)[self._edges])

    @cached_property
    def _item_lengths(self) -> Array:
        """Lengths of the items' rows in ``P E``, (n_items,) float64; made when first needed."""
        squares = np.zeros(len(self._item_factors))
        for column in range(self._dim):
            squares += self._item_means(np.arange(self._dim) == column) ** 2
        lengths: Array = np.sqrt(squares)
        return lengths

    @property
    def resident_bytes(self) -> dict[str, int]:
        """Counts the graph."""
        return {"graph": self.nbytes}

    def _refusal(self) -> ArtifactError:
        return ArtifactError(
            "a lightgcn model's rows come from its graph, so nobody can be folded in and no rows are compared;"
            " `sparserec distill` makes an mf model of it, which can"
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the graph beside the file, and of the items' lengths, made or not."""
        lengths = self._item_factors.nbytes if self.cosine else 0
        own = (self._edges, self._user_degrees, self._user_factors, self._item_factors)
        return sum(array.nbytes for array in own) + lengths


def _row_sums(indptr: Array, numbers: Array) -> Array:
    """Adds up ``numbers`` (n,) over the rows that ``indptr`` (rows + 1,) bounds: (rows,) float64.

    >>> _row_sums(np.array([0, 2, 2, 3, 3]), np.array([1.0, 2.0, 4.0])).tolist()
    [3.0, 0.0, 4.0, 0.0]
    """
    sums = np.zeros(len(indptr) - 1)
    filled = np.flatnonzero(indptr[1:] > indptr[:-1])
    if len(filled):  # reduceat would give an empty row the number after it
        sums[filled] = np.add.reduceat(numbers, indptr[filled], dtype=np.float64)
    return sums


class Towers(Scorer):
    """Scores of NeuMF (He et al. 2017): products of some columns, two dense layers over others.

    Sums are made in the order of the compiled kernels, so that both rank alike to the last bit.
    """

    def __init__(self, model: StoredModel) -> None:
        super().__init__(model)
        shapes = _tower_shapes(model.dim, int(model.metadata["hidden"]))
        ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        user, item, bias, self._hidden, self._bias, self._out, products = (
            part.reshape(shape) for part, shape in zip(np.split(model.weights, ends), shapes, strict=True)
        )
        # The layers' columns count for nothing in the products.
        factors = np.zeros(model.dim, dtype=np.float32)
        factors[: len(products)] = products
        items = model.items
        scaled = Table(items.indptr, items.columns, items.floats() * factors[items.columns])
        self._products, self._dim = ByDimension(scaled, model.dim), model.dim
        self._user, self._bias1 = user, bias
        self._items = np.ascontiguousarray(_project(items, len(products), item).T)

    @classmethod
    def decode(cls, artifact: Artifact, model: StoredModel) -> StoredModel:
        """Takes the dense weights. Raises ArtifactError, also where a score could overflow."""
        width = _read_integer(model.metadata, "hidden")
        if not 2 <= width <= 1024:
            raise ArtifactError(f"metadata hidden is {width}, expected 2 to 1,024")
        weights = _take(artifact, "weights", ("F32",))
        expected = sum(math.prod(shape) for shape in _tower_shapes(model.dim, width))
        if len(weights) != expected:
            raise ArtifactError(f"weights hold {len(weights):,} numbers, expected {expected:,}")
        n_items = len(model.items.indptr) - 1
        if 4 * width * n_items > TOWER_BYTES:
            raise ArtifactError(
                f"metadata hidden is {width:,}: the first layer would take {4 * width * n_items:,} bytes for"
                f" {n_items:,} items, expected at most {TOWER_BYTES:,}"
            )
        most, largest = max(model.users.largest(), model.items.largest()), _largest(weights)
        first = largest * (2 * model.dim * most + 1)
        second = largest * (width * first + 1)
        if not model.dim * largest * most**2 + width * largest * second < 1e38:
            raise ArtifactError(
                "weights hold NaN or infinity, or would overflow float32: the training diverged"
            )
        return model._replace(weights=weights)

    def scores(self, user: int) -> Array:
        """Scores all items for the user in row ``user``; see :class:`Scorer`."""
        columns, values = self.model.users.row(user)
        scores = self._products.scores(columns, values)
        own = Table(np.array([0, len(columns)]), columns, values)
        unit_sums = _project(own, self._dim - len(self._user), self._user)[0] + self._bias1
        first = np.maximum(unit_sums[:, None] + self._items, 0)
        for unit in range(len(self._out)):
            second = np.full_like(scores, self._bias[unit])
            for weight, source in zip(self._hidden[:, unit], first, strict=True):
                second += weight * source
            scores += self._out[unit] * np.maximum(second, 0)
        return scores

    @property
    def resident_bytes(self) -> dict[str, int]:
        """Counts the items' entries listed by dimension, and their part of the first layer."""
        return {"items by dimension": self.nbytes}

    @property
    def nbytes(self) -> int:
        """Bytes of what is made beside the file."""
        return int(self._products.nbytes + self._items.nbytes)


def _tower_shapes(dim: int, width: int) -> tuple[tuple[int, ...], ...]:
    """Lists the shapes of neumf's dense weights, in their order."""
    gmf, narrow = dim - (dim + 2) // 4, width // 2
    columns = (dim - gmf, width)
    return columns, columns, (width,), (width, narrow), (narrow,), (narrow,), (gmf,)


def _project(table: Table, first: int, weights: Array) -> Array:
    """Multiplies each row's columns from ``first`` on with ``weights`` (columns, h1): (rows, h1).

    Products are added up in ascending order of the columns.
    """
    out = np.zeros((len(table.indptr) - 1, weights.shape[1]), dtype=np.float32)
    rows, values = table.row_numbers(), table.floats()
    for column in range(len(weights)):
        here = np.flatnonzero(table.columns == first + column)
        out[rows[here]] += values[here, None] * weights[column]  # no row twice
    return out


class Unserved(Scorer):
    """Refusal of all scores, for a model that is not known here: it can be inspected, no more."""

    def knows(self, user: int) -> bool:
        """Says so of everybody: what such a model knows cannot be told, so nobody gets other lists."""
        return True

    def _refusal(self) -> ArtifactError:
        return ArtifactError(
            f"a model {self.model.metadata['model']!r} is none of those that are served, {', '.join(SERVED)}: update"
            " sparserec_np"
        )


# Name of a model in its file -> what scores it.
SERVED: dict[str, type[Scorer]] = {
    "mf": StoredRows,
    "popularity": StoredRows,
    "itemknn": ItemNeighbours,
    "lightgcn": GraphScores,
    "neumf": Towers,
    "fism": TouchedItems,
}
EXPORTED = tuple(name for name, kind in SERVED.items() if kind.exports)


def served_as(name: str) -> type[Scorer]:
    """Looks up what scores models of a name; what refuses to, for a name that is not known here."""
    return SERVED.get(name, Unserved)


class Recommender:
    """A model ready to recommend; threads may share it: what is made on first use is the same.

    Attributes:
        model: the tables and the ids.
        user_ids, item_ids: the outside ids, see ``Ids``.

    LightGCN and NeuMF models list items for the users they know, and raise ArtifactError for what
    needs rows whose inner products are scores: folding in, and similar rows. A fism model makes a
    user's row of the items they have seen; of one that was exported without, SeenItemsMissingError
    is raised for what is asked about a user. A file of a base recommender that is not known here is
    opened and inspected, and raises ArtifactError when a list is asked for.
    """

    def __init__(self, artifact: Artifact) -> None:
        """Checks the artifact (raises ArtifactError) and makes what its scores need."""
        self.model = decode_model(artifact)
        self.user_ids, self.item_ids = self.model.user_ids, self.model.item_ids
        self._stored, self._file_bytes = artifact.arrays, artifact.file_bytes
        self._scorer = served_as(self.model.metadata["model"])(self.model)
        self._mapped: MappedFile | None = None

    @classmethod
    def open(cls, source: Source, copy: bool = False) -> Recommender:
        """Opens a run directory, or the model file itself: by its path, open in binary mode, or as bytes.

        A file at a path is mapped into memory, or read as a whole to ``copy`` it, so that what
        happens to the file no longer matters; one that is open is read from where it is to its end.
        Raises ArtifactError for a directory without a model or a file that is none; OSError
        when it cannot be read; TypeError for a file that was opened as text.
        """
        name, buffer = _content_of(source)
        mapped = buffer if isinstance(buffer, MappedFile) else None
        if copy and mapped is not None:
            buffer = bytes(mapped)
            mapped.check()
            mapped = None
        try:
            recommender = cls(parse_artifact(buffer))
        except ArtifactError as error:
            raise ArtifactError(f"{name} is not a sound model file: {error}") from None
        recommender._mapped = mapped
        if isinstance(buffer, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            # The checks have read it all, and a list needs a few rows: only those come back into
            # this process's memory.
            with suppress(OSError):  # memory may be locked
                buffer.madvise(mmap.MADV_DONTNEED)
        return recommender

    @overload
    def recommend(  # type: ignore[overload-overlap]  # a text is one id, though a list of letters, too
        self,
        users: int | str,
        n: int = 10,
        items: Iterable[int | str] | None = None,
        exclude: Iterable[int | str] | None = None,
        filter_seen: bool = True,
        on_unknown: str = "raise",
    ) -> Recommendation: ...
    @overload
    def recommend(
        self,
        users: Iterable[int | str],
        n: int = 10,
        items: Iterable[int | str] | None = None,
        exclude: Iterable[int | str] | None = None,
        filter_seen: bool = True,
        on_unknown: str = "raise",
    ) -> Lists: ...
    def recommend(
        self,
        users: int | str | Iterable[int | str],
        n: int = 10,
        items: Iterable[int | str] | None = None,
        exclude: Iterable[int | str] | None = None,
        filter_seen: bool = True,
        on_unknown: str = "raise",
    ) -> Recommendation | Lists:
        """Lists the ``n`` items of highest score for one user, or for each of several.

        Args:
            users: an outside id, or (m,) of them.
            n: how many items; where fewer are left, one user's lists are shorter, never padded.
            items: rank these outside ids only; all by default.
            exclude: outside ids to leave out; those the model does not know need no leaving out.
            filter_seen: leave out the items that the user had in training. What the file says that
                the user dislikes is left out in any case.
            on_unknown: "raise", or what a user who is not known gets: the "popular" items, or
                nothing, to "skip". ``items`` that are not known are then left out.

        Returns:
            For one user a :class:`Recommendation`, ready for JSON; for several :class:`Lists`,
            whose arrays are (m, n), in the order of ``users``. Both unpack into items and scores.

        Items of equal score come in the order of the item table. A user without interactions gets
        those that most users touched, as :class:`PopularItems`, and ``personal`` is false; where
        the file does not say which these are (``popularity_known``), in the order of the table.
        Raises UnknownUserError or UnknownItemError (both a KeyError) for an id the model was not
        trained on; SeenItemsMissingError where seen items are to be left out, the file does not
        hold them, and ``exclude`` does not stand in for them; ValueError for ``n`` below 1.
        """
        wish = self._wish(n, items, exclude, filter_seen, on_unknown)
        people: Any = [users] if is_one(users) else users
        several = [self._list_for(user, wish) for user in people]
        self._expect_unchanged()
        return several[0] if is_one(users) else _joined(several, n, self.item_ids.are_text)

    @overload
    def recommend_for_items(  # type: ignore[overload-overlap]  # texts are lists of letters, too
        self,
        liked: Iterable[int | str],
        n: int = 10,
        items: Iterable[int | str] | None = None,
        exclude: Iterable[int | str] | None = None,
        filter_seen: bool = True,
        on_unknown: str = "raise",
    ) -> Recommendation: ...
    @overload
    def recommend_for_items(
        self,
        liked: Iterable[Iterable[int | str]],
        n: int = 10,
        items: Iterable[int | str] | None = None,
        exclude: Iterable[int | str] | None = None,
        filter_seen: bool = True,
        on_unknown: str = "raise",
    ) -> Lists: ...
    def recommend_for_items(
        self,
        liked: Iterable[Any],
        n: int = 10,
        items: Iterable[int | str] | None = None,
        exclude: Iterable[int | str] | None = None,
        filter_seen: bool = True,
        on_unknown: str = "raise",
    ) -> Recommendation | Lists:
        """Lists the ``n`` best items for somebody unknown to the model, or for each of several.

        The row is made by :meth:`fold_in`, of the items in the order of time, the latest last.

        Args:
            liked: outside ids of the items that somebody touched, or a list of such lists.
            n, items, exclude: as in :meth:`recommend`.
            filter_seen: leave out the items in ``liked``.
            on_unknown: "raise", or what is done about ``liked`` items that are not known: they are
                left out, and of whom nothing is left gets the "popular" items, or nothing ("skip").

        Returns as :meth:`recommend` does, and on the same scale: where users have stored rows,
        scores are multiplied by a number (:meth:`fold_scale`) that depends on how many items the
        list has, and brings the scores of folded-in rows nearest to those of stored ones, as far as
        the file holds users and what they have seen. Where users are made of what they touched,
        both are the same computation.
        """
        wish = self._wish(n, items, exclude, filter_seen, on_unknown)
        told: list[Any] = list(listed(liked))
        are_several = bool(told) and not any(map(is_one, told))
        several = [self._list_for_items(one, wish) for one in (told if are_several else [told])]
        self._expect_unchanged()
        return _joined(several, n, self.item_ids.are_text) if are_several else several[0]

    def fold_scale(self, count: int) -> float:
        """Returns what scores of a row that is folded in from ``count`` items are multiplied by in lists.

        See :meth:`recommend_for_items`.
        """
        return self._scorer.fold_scale(count)

    def fold_in(self, liked: Iterable[int | str]) -> tuple[Array, Array]:
        """Makes the row of a user who touched the items ``liked``: its columns and float32 values.

        It is as training might have made it. With X the rows of these items, V those of all items
        and m the mean of the diagonal of V'V, the row u solves ``(X'X + c (V'V + r m I)) u = X'1``:
        it scores near 1 on the items of the list, near 0 on all others, and stays short (least
        squares with a weight for what was not touched: Hu, Koren and Volinsky 2008, equation 4).
        Then only the ``row_entries`` dimensions that matter most for the scores are kept, as many
        as a user's row has on average, and solved for once more. Where to prune, c and r are our
        choice, made on data held out from training. For an itemknn model the row is 1 in the
        columns of the items, and for a fism model the row that a known user's is, which gives the
        lists that such a user gets. Items told twice count once, where they come last. The same
        list in any order gives the same row, but of a fism model with ``recency``: there the list
        is in the order of time, and its last items count most.

        Raises UnknownItemError, ValueError for an empty list, and ArtifactError for a model of more
        than ``FOLDED_DIMENSIONS`` columns.
        """
        return self._scorer.fold_in(*self._rows_in_order(liked))

    @overload
    def similar_items(self, items: int | str, n: int = 10, on_unknown: str = "raise") -> Recommendation: ...  # type: ignore[overload-overlap]
    @overload
    def similar_items(self, items: Iterable[int | str], n: int = 10, on_unknown: str = "raise") -> Lists: ...
    def similar_items(
        self, items: int | str | Iterable[int | str], n: int = 10, on_unknown: str = "raise"
    ) -> Recommendation | Lists:
        """Lists the ``n`` other items whose rows are nearest by cosine, to one item or to each of several.

        An item that nobody touched is near to nothing. In a file of some users or items alone, or
        without what users have seen, that is known of items without entries only. What is returned
        is as in :meth:`recommend`; ``on_unknown`` is "raise" or "skip", which gives an id that is
        not known an empty list.
        """
        compare = self._scorer.similar_items
        return self._similar(items, n, on_unknown, self.item_ids, self._item_row, compare)

    @overload
    def similar_users(self, users: int | str, n: int = 10, on_unknown: str = "raise") -> Recommendation: ...  # type: ignore[overload-overlap]
    @overload
    def similar_users(self, users: Iterable[int | str], n: int = 10, on_unknown: str = "raise") -> Lists: ...
    def similar_users(
        self, users: int | str | Iterable[int | str], n: int = 10, on_unknown: str = "raise"
    ) -> Recommendation | Lists:
        """Lists, in the field ``items``, the ``n`` other users nearest by cosine, to one or to each of several.

        A user who touched nothing is near to nobody. All else is as in :meth:`similar_items`.
        """
        compare = self._scorer.similar_users
        return self._similar(users, n, on_unknown, self.user_ids, self._user_row, compare)

    def score_items(
        self,
        users: int | str | Iterable[int | str],
        items: int | str | Iterable[int | str],
        on_unknown: str = "raise",
    ) -> Any:
        """Scores items for users, seen or not, as lists score them.

        Args:
            users: an outside id, or (m,) of them.
            items: an outside id, or (n,) of them.
            on_unknown: "raise"; or "skip", and scores of whom and what is not known are NaN; or
                "popular", and those of users who are not known are 0, as in lists of popular items.

        Returns:
            float32 of the shape of ``users`` followed by that of ``items``: (m, n) for several
            users and items, a single number for one user and one item. Users without interactions
            score 0 everywhere.

        Raises UnknownUserError, UnknownItemError (both a KeyError).
        """
        expect_way(on_unknown, ON_UNKNOWN)
        self._expect_unchanged()
        several: list[list[Any]] = [[ids] if is_one(ids) else list(ids) for ids in (users, items)]  # type: ignore[arg-type]
        people, wanted = several
        strict = on_unknown == "raise"
        places = np.array([self._item_row(item, strict) for item in wanted], np.intp)
        scores = np.full((len(people), len(wanted)), np.nan, dtype=np.float32)
        for place, user in enumerate(people):
            row = self._user_row(user, strict)
            if row >= 0 and self._scorer.knows(row):
                scores[place] = self._scorer.scores(row)[places]
            elif row >= 0 or on_unknown == "popular":
                scores[place] = 0
        scores[:, places < 0] = np.nan
        self._expect_unchanged()
        shape = [len(ids) for ids, given in zip(several, (users, items), strict=True) if not is_one(given)]
        return scores.reshape(shape)[()]

    def score(self, user: int | str, items: Iterable[int | str]) -> list[float]:
        """Scores each of ``items`` for a user, in their order: :meth:`score_items` as a plain list."""
        return [float(score) for score in self.score_items(user, listed(items))]  # type: ignore[arg-type]

    def user_factors(self, dense: bool = False) -> Any:
        """Returns the rows of all users, in the order of ``user_ids``; see :meth:`item_factors`."""
        return self._factors(self._scorer.factors()[0], dense)

    def item_factors(self, dense: bool = False) -> Any:
        """Returns the rows of all items whose inner products with those of users are the scores.

        A SciPy CSR matrix of float32, (n_items, columns), or the same as a dense array, which needs
        no SciPy. An index of nearest neighbours over them gives the lists of :meth:`recommend`, but
        for what that leaves out (seen and disliked items) and puts in (popular items for users
        without interactions). Columns are the model's dimensions. A fism model's users are made of
        what they touched, cut as for lists; one with neighbours has two columns more for each item,
        so that it is better kept sparse. In the first a user's row marks what they touched, and an
        item's row holds its pairs. In the second a user's row holds what the pairs of touched rows
        say of the item, and the item's row is 1. Of lightgcn they are the rows after propagation,
        which are full, the users' divided by the temperature.

        Raises ArtifactError for a model whose scores are no inner products, as of neumf; and where
        making the rows of all users would take too much memory.
        """
        return self._factors(self._scorer.factors()[1], dense)

    def explain(self, user: int | str, item: int | str, n: int | None = 10) -> Explanation:
        """Says which of the items that a user touched speak for an item: the ``n`` that say most.

        Each adds its part to the score, and all parts together are ``score`` of what is returned.
        Of fism and itemknn models that is the score in lists, as exactly as float32 adds up. A
        model that stores users cannot tell where a trained row came from: its parts are those of
        the row that the user's items are folded in to, on the scale of lists, and add up to the
        score of :meth:`recommend_for_items` of these items; ``exact`` is false then.

        Args:
            user, item: outside ids.
            n: how many of the items at most; None for all.

        Raises UnknownUserError, UnknownItemError, ValueError for ``n`` below 1;
        SeenItemsMissingError for a file that does not hold what users have seen; ArtifactError for
        a model that neither adds up items nor folds in, as lightgcn and neumf.
        """
        row = self._user_row(user)
        wanted = self._item_row(item)
        if not self.model.has_seen:
            raise SeenItemsMissingError(
                "the model file was exported without the items that users have seen, and so nothing tells what speaks"
                " for an item: explain it with the whole model"
            )
        items, parts = self._scorer.explain(row, wanted)
        order = (-parts).argsort(kind="stable")[: None if n is None else expect_count(n)]
        return Explanation(
            self.item_ids.of_rows(items[order].tolist()),
            parts[order].tolist(),
            float(parts.sum()),
            self._scorer.explains_exactly,
        )

    @cached_property
    def popular_items(self) -> Array:
        """The rows of all items, (n_items,): those first that most users touched; of equals the first.

        They are known by the seen items or, of some users alone, by a fism's weights.
        """
        found = self._scorer.popularity()
        return np.arange(len(self.item_ids)) if found is None else np.argsort(-found, kind="stable")

    @property
    def popularity_known(self) -> bool:
        """Whether the file says which items most users touched."""
        return self._scorer.popularity() is not None

    def strangers(self) -> list[int]:
        """Lists the rows of users without interactions, ascending."""
        idle = np.flatnonzero(self.model.user_degrees() == 0)
        return [row for row in idle.tolist() if not self._scorer.knows(row)]

    def inspect(self) -> dict[str, Any]:
        """Tells what the model is and what it weighs, ready for JSON.

        ``bytes`` and ``seen_bytes`` are bytes as stored in the file; the seen items of a LightGCN
        model are its graph, and among the former. ``file_bytes`` is all of it, and
        ``resident_bytes`` the arrays and texts that opening it makes beside the mapped file.
        """
        model, metadata = self.model, self.model.metadata
        tables = self._tables()
        nnz = sum(len(table.values) for table in tables)
        entries = sum(len(table.indptr) - 1 for table in tables) * model.dim
        empty = sum(int(np.count_nonzero(np.diff(table.indptr) == 0)) for table in tables)
        sizes = count_bytes(self._stored)
        seen_bytes = sizes.pop("seen")
        if self._scorer.seen_is_graph:  # without it there are no scores
            sizes = {**sizes, "graph": seen_bytes, "total": sizes["total"] + seen_bytes}
            seen_bytes = 0
        resident = self._resident_bytes()
        return {
            "model": metadata["model"],
            "method": metadata["method"],
            "dim": model.dim,
            "users": len(model.user_ids),
            "items": len(model.item_ids),
            "budget": int(metadata["budget"]),
            "nnz": nnz,
            "density": nnz / entries if entries else 0.0,
            "rows_without_entries": empty,
            "bytes": sizes,
            "seen_bytes": seen_bytes,
            "file_bytes": self._file_bytes,
            "resident_bytes": {**resident, "total": sum(resident.values())},
            "values": str(model.items.values.dtype),
            "has_seen": model.has_seen,
            "user_id_kind": metadata["user_id_kind"],
            "item_id_kind": metadata["item_id_kind"],
            "format_version": metadata["format_version"],
            "library_version": metadata.get("library_version"),
            "loss": metadata.get("loss"),
            "seed": int(metadata["seed"]) if "seed" in metadata else None,
            "train_digest": metadata.get("train_digest"),
            "metrics": model.metrics,
        }

    # -- ids to rows

    def _item_row(self, item: object, strict: bool = True) -> int:
        return find_row(self.item_ids, item, UnknownItemError, "item", strict)

    def _user_row(self, user: object, strict: bool = True) -> int:
        if not (self.model.has_seen or self._scorer.stores_users):
            raise SeenItemsMissingError(
                "the model file was exported without the items that users have seen, and its users are made of nothing"
                " else: give somebody's items to recommend_for_items"
            )
        return find_row(self.user_ids, user, UnknownUserError, "user", strict)

    def _item_rows(self, items: Iterable[object], strict: bool = True) -> Array:
        """Looks up the rows of items: (m,) ascending, each once. Raises UnknownItemError, if ``strict``."""
        found = {self._item_row(item, strict) for item in listed(items)}
        return np.array(sorted(found - {-1}), dtype=np.intp)

    def _rows_in_order(self, items: Iterable[object], strict: bool = True) -> tuple[Array, Array]:
        """Looks up the rows of items (m,), ascending, each once, and how many come after each.

        That is 255 for more. Raises UnknownItemError, if ``strict``.
        """
        last: dict[int, int] = {}
        for item in listed(items):
            row = self._item_row(item, strict)
            last.pop(row, None)  # the later one counts
            last[row] = len(last)
        last.pop(-1, None)
        rows = np.array(list(last), dtype=np.intp)
        order = rows.argsort()
        return rows[order], np.minimum(len(rows) - 1 - order, AGES - 1)

    def _wish(
        self,
        n: int,
        items: Iterable[int | str] | None,
        exclude: Iterable[int | str] | None,
        filter_seen: bool,
        on_unknown: str,
    ) -> Wish:
        """Checks and looks up what all lists of one call have in common."""
        self._expect_unchanged()
        expect_way(on_unknown, ON_UNKNOWN)
        among = None if items is None else self._item_rows(items, on_unknown == "raise")
        excluded = None
        if exclude is not None:
            found = map(self.item_ids.find, listed(exclude))
            excluded = [row for row in found if row is not None]
        return Wish(expect_count(n), among, excluded, filter_seen, on_unknown)

    # -- rows to lists

    def _list_for(self, user: object, wish: Wish) -> Recommendation:
        """Lists the best items for one user."""
        row = self._user_row(user, wish.on_unknown == "raise")
        if row < 0:
            return self._impersonal(wish, [])
        known = self._scorer.knows(row)
        scores = self._scorer.scores(row) if known else self._popular_first()
        hidden: list[Any] = [self.model.disliked_by(row)]
        if wish.filter_seen and not self.model.has_seen and wish.excluded is None:
            raise SeenItemsMissingError(
                "the model file was exported without the items that users have seen:"
                " give them to exclude, or set filter_seen to False"
            )
        if wish.filter_seen:
            first, last = self.model.seen_indptr[row : row + 2].tolist()
            hidden.append(self.model.seen_items[first:last])
        if wish.excluded:
            hidden.append(wish.excluded)
        found = self._list(scores, wish.n, hidden, wish.among)
        return found if known else PopularItems(found.items, [0.0] * len(found.items))

    def _list_for_items(self, liked: Iterable[object], wish: Wish) -> Recommendation:
        """Lists the best items for somebody who touched the items ``liked``."""
        rows, ages = self._rows_in_order(liked, wish.on_unknown == "raise")
        hidden = [rows if wish.filter_seen else rows[:0], wish.excluded or []]
        if not len(rows) and wish.on_unknown != "raise":
            return self._impersonal(wish, hidden)
        scores = self._scorer.scores_of_items(rows, ages)
        if (scale := self._scorer.fold_scale(len(rows))) != 1:
            scores = np.clip(scores * scale, -LARGEST_SCORE, LARGEST_SCORE).astype(np.float32)
        return self._list(scores, wish.n, hidden, wish.among)

    def _impersonal(self, wish: Wish, hidden: list[Any]) -> PopularItems:
        """Lists what most users touched, or nothing, for somebody of whom nothing is known."""
        if wish.on_unknown == "skip":
            return PopularItems([], [])
        found = self._list(self._popular_first(), wish.n, [*hidden, wish.excluded or []], wish.among)
        return PopularItems(found.items, [0.0] * len(found.items))

    def _similar(
        self,
        wanted: Any,
        n: int,
        on_unknown: str,
        ids: Ids,
        find: Callable[[object, bool], int],
        compare: Callable[[int], Array],
    ) -> Recommendation | Lists:
        """Lists the nearest to one, or to several, of those with ``ids``."""
        expect_way(on_unknown, ("raise", "skip"))
        expect_count(n)

        def nearest(one: object) -> Recommendation:
            row = find(one, on_unknown == "raise")
            return PopularItems([], []) if row < 0 else self._list(compare(row), n, [row], ids=ids)

        self._expect_unchanged()
        several = [nearest(one) for one in ([wanted] if is_one(wanted) else wanted)]
        self._expect_unchanged()
        return several[0] if is_one(wanted) else _joined(several, n, ids.are_text)

    def _expect_unchanged(self) -> None:
        """Raises ArtifactError where the mapped file was changed in place: before work, and after it."""
        if self._mapped is not None:
            self._mapped.check()

    def _factors(self, table: Table, dense: bool) -> Any:
        """Makes a SciPy CSR matrix of a table, or a dense array."""
        shape = len(table.indptr) - 1, self._scorer.width
        if dense:
            rows = np.zeros(shape, dtype=np.float32)
            rows[table.row_numbers(), table.columns] = table.floats()
            return rows
        try:
            from scipy.sparse import csr_matrix  # on request: a device has NumPy alone
        except ImportError as error:
            raise ImportError("a sparse matrix needs SciPy; say dense=True for a NumPy array") from error
        # Copies, whose owner may write to them; the model's may be a mapped file.
        return csr_matrix((table.floats(), table.columns.astype(np.int32), table.indptr), shape, copy=True)

    def _popular_first(self) -> Array:
        """Makes scores that fall from item to item, the most popular first: (n_items,) float64."""
        scores = np.empty(len(self.item_ids))
        scores[self.popular_items] = -np.arange(len(scores))
        return scores

    def _list(
        self, scores: Array, n: int, hidden: list[Any], among: Array | None = None, ids: Ids | None = None
    ) -> Recommendation:
        """Lists the best ``n`` of ``scores``, which it overwrites, but for rows in ``hidden``."""
        for rows in hidden:
            scores[rows] = -np.inf
        if among is not None:
            scores = scores[among]
        best = _best(scores, min(n, len(scores)))
        values = scores[best].tolist()
        left = len(values) - values.count(-math.inf)  # what is hidden comes last
        rows = best[:left] if among is None else among[best[:left]]
        ids = self.item_ids if ids is None else ids
        return Recommendation(ids.of_rows(rows.tolist()), values[:left])

    def _tables(self) -> list[Table]:
        """Lists the tables that the file stores: of users, where it does, and of items."""
        model = self.model
        return [model.users, model.items] if self._scorer.stores_users else [model.items]

    def _resident_bytes(self) -> dict[str, int]:
        """Counts the bytes that serving holds beside the mapped file, by purpose."""

        def made(*arrays: Array) -> int:
            return sum(
                array.nbytes
                for array in arrays
                if not any(array is stored for stored in self._stored.values())
            )

        model = self.model
        return {
            "items by dimension": 0,
            "graph": 0,
            **self._scorer.resident_bytes,
            "row bounds": made(*(table.indptr for table in self._tables())),
            "unpacked": made(model.weights, *(table.columns for table in self._tables())),
            "seen": made(model.seen_indptr, model.seen_items),
            "ids": self.user_ids.resident_bytes + self.item_ids.resident_bytes,
        }


def find_row(ids: Ids, wanted: object, error: type[UnknownIdError], noun: str, strict: bool = True) -> int:
    """Looks up the row of an id; -1 for one that is not known, unless that is to be ``strict``."""
    row = ids.find(wanted)
    if row is not None:
        return row
    if not strict:
        return -1
    hint = "" if isinstance(wanted, (int, str, np.integer)) else "; ids are whole numbers or texts"
    raise error(f"unknown {noun} {wanted!r}: the model knows {len(ids):,} {noun}s{hint}")


def lists_of(found: Recommendation | Lists, n: int, ids: Ids) -> Lists:
    """Makes arrays (n,) of one list of ``ids``; those of several are returned as they are."""
    if isinstance(found, Lists):
        return found
    made = _joined([found], n, ids.are_text)
    return Lists(made.items[0], made.scores[0], made.personal[0])


def _joined(found: list[Recommendation], n: int, texts: bool) -> Lists:
    """Makes arrays (m, n) of lists, of which those that end early go on with no id."""
    missing: Any = "" if texts else -1
    names = [[*one.items, *[missing] * (n - len(one.items))] for one in found]
    scores = np.full((len(found), n), -np.inf, dtype=np.float32)
    for place, one in enumerate(found):
        scores[place, : len(one.scores)] = one.scores
    items = np.array(names, dtype=np.str_ if texts else np.int64).reshape(scores.shape)
    return Lists(items, scores, np.array([one.personal for one in found], dtype=bool))


def is_one(wanted: object) -> bool:
    """Tells whether this is one id, and not several; a text is one.

    >>> is_one("ann"), is_one(np.int64(3)), is_one(["ann"]), is_one(np.array([3]))
    (True, True, False, False)
    """
    return (
        isinstance(wanted, (str, bytes))
        or not isinstance(wanted, Iterable)
        or getattr(wanted, "ndim", 1) == 0
    )


def expect_way(given: str, ways: Sequence[str]) -> str:
    """Returns what is done about ids that are not known. Raises ValueError for what is none of ``ways``."""
    if given not in ways:
        raise ValueError(f"on_unknown must be one of {', '.join(ways)}, found {given!r}")
    return given


def expect_count(n: int) -> int:
    """Returns ``n``, if it is a number of items.

    Raises ValueError for one below 1, TypeError for what is no whole number.
    """
    if operator.index(n) < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    return n


def listed(ids: Iterable[object]) -> Iterable[object]:
    """Refuses a text, which would count as a list of its letters; returns any other list of ids."""
    if isinstance(ids, (str, bytes)):
        raise TypeError(f"expected a list of ids, not the text {ids!r}")
    return ids


def _best(scores: Array, n: int) -> Array:
    """Finds the positions (n,) of the ``n`` largest scores: largest first, equals as they stand.

    >>> _best(np.array([1.0, 3.0, 1.0, 2.0, 1.0]), 4).tolist()
    [1, 3, 0, 2]
    """
    if n < 1:
        return np.zeros(0, dtype=np.intp)
    # Each of the n largest maxima of disjoint groups is a score of its own, so no list of n ends
    # below the smallest of them. Small groups give many maxima to choose from, large ones many
    # candidates; groups of one are exact. A quarter of each group bounds the list nearly as well as
    # all of it, and is read in a quarter of the time.
    size = max(1, min(128, len(scores) // (4 * n)))
    maxima = scores[: len(scores) // size * size].reshape(size, -1)[::4].max(axis=0)
    maxima.sort()  # so few are not worth selecting from
    floor = maxima[-n]
    candidates = (scores > floor).nonzero()[0]
    if (
        len(candidates) < n
    ):  # the first of the equals, which may be most of a catalogue that a user has no entries for
        equals = (scores == floor).nonzero()[0]
        candidates = np.concatenate((candidates, equals[: n - len(candidates)]))
    return candidates[(-scores[candidates]).argsort(kind="stable")[:n]]
