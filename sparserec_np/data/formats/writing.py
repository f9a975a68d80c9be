"""Writing interactions into a file: whole or not at all.

The text is written beside its place and moved there when complete, so that nobody ever finds half a
file.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import os
import re
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.detect import format_of_name
from sparserec_np.data.formats.fields import MISSING
from sparserec_np.data.formats.mapped import write_mapped
from sparserec_np.data.formats.matrices import write_matrix
from sparserec_np.data.formats.packed import ENDINGS
from sparserec_np.data.ids import are_texts
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.machine.files import replacing

Array = npt.NDArray[Any]

WRITABLE = ("adjacency", "csv", "tsv", "inter", "npz", "mtx", "safetensors")

_PAIRS_AT_ONCE = 1 << 18
_HEADERS = {
    "csv": ("user", "item", "rating", "weight", "timestamp"),
    "tsv": ("user", "item", "rating", "weight", "timestamp"),
    "inter": ("user_id:token", "item_id:token", "rating:float", "weight:float", "timestamp:float"),
}
# What a reader would trim, split at, or not take: control characters, and blanks at the rim.
_UNWRITABLE = re.compile(r"[\x00-\x1f]|^\s|\s$|^$")


def format_to_write(path: str | os.PathLike[str], format: str | None = None) -> str:
    """Returns the grammar to write ``path`` in: ``format`` if given, else what the ending says.

    Raises:
        ConfigError: neither names a grammar that can be written.
    """
    name = os.path.basename(os.fspath(path))
    if name.lower().endswith(tuple(set(ENDINGS) - {".gz"})):
        raise ConfigError(f"What is written is compressed by gzip alone, found {name!r}; let it end in .gz.")
    kind = format or format_of_name(os.fspath(path))
    if kind not in WRITABLE:
        found = f"format {kind!r}" if kind else f"the name {name!r}"
        raise ConfigError(f"Cannot tell what to write from {found}; choose one of {', '.join(WRITABLE)}.")
    if kind == "safetensors" and os.fspath(path).lower().endswith(".gz"):
        raise ConfigError(
            "A safetensors file is mapped into memory, so it cannot be compressed; leave out .gz."
        )
    return kind


def write_interactions(
    interactions: Interactions, path: str | os.PathLike[str], format: str | None = None
) -> str:
    """Writes a file, atomically; with the ending ``.gz`` compressed, always into the same bytes.

    What each grammar keeps: ``adjacency`` users without items, and of times the order; ``csv``,
    ``tsv`` and ``inter`` times, but no users without items; ``npz`` and ``mtx`` users and items
    without pairs, but only ids that count up from 0 or 1; ``safetensors`` everything. Weights and
    dislikes are kept by all but ``adjacency``: as columns ``weight`` and ``rating`` (1, and -1 of a
    dislike), or as values of a matrix (a dislike is -1). Whoever reads these asks for them with
    ``weight_col`` and ``dislike_below=0``.

    Args:
        interactions: what to write.
        path: where to; an existing file is replaced.
        format: one of :data:`WRITABLE`, by default what the ending says (``.txt`` is adjacency).

    Returns:
        The format written.

    Raises:
        ConfigError: the format is unknown or cannot be written.
        DataError: an id cannot be written in this format so that it can be read back.
        OSError: the place cannot be written to.
    """
    kind = format_to_write(path, format)
    if kind == "safetensors":
        write_mapped(interactions, path)
        return kind
    with replacing(path) as target, _compressed(os.fspath(path), target) as stream:
        if kind in ("npz", "mtx"):
            write_matrix(interactions, stream, kind)
        else:
            _check_ids(interactions, kind)
            text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
            (_write_adjacency if kind == "adjacency" else _write_delimited)(interactions, text, kind)
            text.flush()
            text.detach()
    return kind


@contextlib.contextmanager
def _compressed(path: str, stream: IO[bytes]) -> Iterator[IO[bytes]]:
    if not path.lower().endswith(".gz"):
        yield stream
        return
    with gzip.GzipFile(filename="", mode="wb", fileobj=stream, compresslevel=6, mtime=0) as packed:
        yield packed  # type: ignore[misc]


def _check_ids(interactions: Interactions, kind: str) -> None:
    """Refuses ids that would come back changed when they are read."""
    for ids, noun in ((interactions.user_ids, "user"), (interactions.item_ids, "item")):
        if not are_texts(ids):
            if kind == "adjacency" and ids.size and ids[0] < 0:
                raise DataError(
                    f"The {noun} id {ids[0]} cannot be written as adjacency, which has no negative ids; write csv."
                )
            continue
        blank = re.compile(r"\s") if kind == "adjacency" else None
        for one in ids.tolist():
            unreadable = _UNWRITABLE.search(one) or one.encode("utf-8", "replace") in MISSING
            if unreadable or (blank and blank.search(one)):
                advice = "; write csv" if blank and not unreadable else ""
                raise DataError(
                    f"The {noun} id {one!r} cannot be written as {kind}{advice}: it would not be read back the same."
                )


def _as_text(ids: Array) -> list[str]:
    return ids.tolist() if are_texts(ids) else [str(one) for one in ids.tolist()]


def _write_adjacency(interactions: Interactions, text: io.TextIOBase, _: str) -> None:
    users, items = _as_text(interactions.user_ids), _as_text(interactions.item_ids)
    bounds, times = interactions.indptr.tolist(), interactions.times
    for user, start, stop in zip(users, bounds[:-1], bounds[1:], strict=True):
        own = interactions.items[start:stop]
        numbers = (own if times is None else own[np.argsort(times[start:stop], kind="stable")]).tolist()
        text.write(" ".join([user, *[items[number] for number in numbers]]) + "\n")


def _write_delimited(interactions: Interactions, text: io.TextIOBase, kind: str) -> None:
    users, items = _as_text(interactions.user_ids), _as_text(interactions.item_ids)
    times = interactions.times if interactions.dated else None
    if kind == "inter":  # RecBole knows no quotes: they are plain characters there
        writer = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
    else:
        writer = csv.writer(text, delimiter="," if kind == "csv" else "\t", lineterminator="\n")
    disliked = interactions.disliked
    values = [None if disliked is None else 1, interactions.weights, times]
    there = [True, True, *(value is not None for value in values)]
    writer.writerow([name for name, is_there in zip(_HEADERS[kind], there, strict=True) if is_there])
    for log, told in ((interactions, values), (disliked, [-1, 1, 0])):
        if log is None:
            continue
        owners = log.pair_users()
        for start in range(0, log.n_interactions, _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            columns: list[Any] = [
                [users[number] for number in owners[part].tolist()],
                [items[number] for number in log.items[part].tolist()],
            ]
            columns += [_column(value, len(columns[0]), part) for value in told]
            kept = [column for column, is_there in zip(columns, there, strict=True) if is_there]
            writer.writerows(zip(*kept, strict=True))


def _column(values: Any, n: int, part: slice) -> list[Any]:
    """Returns the values of some rows, as Python's numbers; float32 in the digits that are its own."""
    if not isinstance(values, np.ndarray):
        return [values] * n
    some = values[part]
    return [float(str(one)) for one in some] if some.dtype == np.float32 else some.tolist()
