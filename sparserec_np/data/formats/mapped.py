"""Files of interactions that are mapped into memory instead of read: valid safetensors files.

==========================================  ==========  ==========================================================
name                                        type        what
==========================================  ==========  ==========================================================
``indptr``                                  I64         (users + 1,) bounds of each user's items
``items``                                   I32         (n,) item numbers, ascending for each user
``user_ids``, ``item_ids``                  I64         outside ids, ascending, where they are integers
``user_ids.text``, ``user_ids.offsets``     U8, I64     the same in UTF-8 and (users + 1,) bounds, where they are text;
and those of ``item_ids``                               ascending by code point
``times``                                   I64 or F64  (n,), where there are times
``order``                                   I32 or I64  (n,) in their place, where only each user's order of items is
                                                        known
``weights``                                 F32         (n,), where there are weights
``disliked.indptr``, ``disliked.items``     I64, I32    bounds and numbers of each user's dislikes, where there are any
==========================================  ==========  ==========================================================

Metadata: ``format`` and ``format_version``. Pages of the file that are not looked at need no
memory, and the system takes back those that were, since nobody writes to them.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.source import Source
from sparserec_np.data.ids import text_array
from sparserec_np.data.interactions import PAIRS_AT_ONCE, Interactions
from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.errors import DataError
from sparserec_np.runtime import DTYPES, MAX_HEADER_BYTES, ArtifactError, parse_artifact

Array = npt.NDArray[Any]

FORMAT = "sparserec_np interactions"
FORMAT_VERSION = "1"


def looks_mapped(head: bytes) -> bool:
    """Tells whether ``head`` holds the first bytes of a safetensors file.

    The first eight bytes of a text would spell a larger number.
    """
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= MAX_HEADER_BYTES


def read_mapped(source: Source) -> Interactions:
    """Opens the interactions in a source, and leaves them where they lie if it is a plain file.

    Raises:
        DataError: the file is damaged, or holds something else; the message names the field.
    """
    try:
        return _decode(parse_artifact(source.mapped()))
    except (ArtifactError, DataError) as error:
        raise DataError(
            f"{source.name} is no sound file of interactions: {str(error).partition(';')[0].rstrip('.')}."
        ) from None


def write_mapped(interactions: Interactions, path: str | os.PathLike[str]) -> None:
    """Writes a file of interactions, whole or not at all; equal interactions give equal bytes.

    Raises:
        DataError: a text id cannot be encoded in UTF-8.
        OSError: the place cannot be written to.
    """
    arrays = {"indptr": interactions.indptr, "items": interactions.items}
    for name, ids in (("user_ids", interactions.user_ids), ("item_ids", interactions.item_ids)):
        if ids.dtype.kind == "i":
            arrays[name] = ids
            continue
        try:
            encoded = [text.encode("utf-8") for text in ids.tolist()]
        except UnicodeEncodeError as error:
            raise DataError(f"{name} hold text that UTF-8 cannot encode: {error.object!r}.") from error
        arrays[f"{name}.text"] = np.frombuffer(b"".join(encoded), np.uint8)
        arrays[f"{name}.offsets"] = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    if interactions.times is not None:
        arrays["times" if interactions.dated else "order"] = interactions.times
    if interactions.weights is not None:
        arrays["weights"] = interactions.weights
    if interactions.disliked is not None:
        arrays["disliked.indptr"] = interactions.disliked.indptr
        arrays["disliked.items"] = interactions.disliked.items
    write_artifact(path, arrays, {"format": FORMAT, "format_version": FORMAT_VERSION})


def _decode(artifact: Any) -> Interactions:
    for key, wanted in (("format", FORMAT), ("format_version", FORMAT_VERSION)):
        if artifact.metadata.get(key) != wanted:
            raise ArtifactError(f"metadata {key} is {artifact.metadata.get(key)!r}, expected {wanted!r}")
    arrays = dict(artifact.arrays)
    indptr, items = _take(arrays, "indptr", "I64"), _take(arrays, "items", "I32")
    user_ids, item_ids = (
        _text_ids(arrays, name) if f"{name}.text" in arrays else _take(arrays, name, "I64")
        for name in ("user_ids", "item_ids")
    )
    times = _take(arrays, "times", "I64", "F64") if "times" in arrays else None
    dated = "order" not in arrays or times is not None  # of both, the other is no array of such a file
    if not dated:
        times = _take(arrays, "order", "I32", "I64")
    weights = _take(arrays, "weights", "F32") if "weights" in arrays else None
    disliked = None
    if "disliked.indptr" in arrays:
        dislikes = _take(arrays, "disliked.indptr", "I64"), _take(arrays, "disliked.items", "I32")
        disliked = Interactions(*dislikes, user_ids, item_ids)
    if arrays:
        raise ArtifactError(f"{min(arrays)!r} is no array of such a file")
    if times is not None and times.dtype.kind == "f":
        for start in range(0, len(times), PAIRS_AT_ONCE):
            if not np.isfinite(times[start : start + PAIRS_AT_ONCE]).all():
                raise ArtifactError("times must be finite numbers")
    log = Interactions(
        indptr, items, user_ids, item_ids, times, dated=dated, weights=weights, disliked=disliked
    )
    if disliked is not None and log.shared_with(disliked):
        raise ArtifactError("disliked.items holds items that the user touched")
    return log


def _take(arrays: dict[str, Array], name: str, *kinds: str) -> Array:
    """Takes an array out of ``arrays``, in the machine's own byte order and aligned.

    Other writers need not have seen to that.
    """
    array = arrays.pop(name, None)
    if array is None:
        raise ArtifactError(f"{name} is missing")
    if array.ndim != 1 or array.dtype not in [DTYPES[kind] for kind in kinds]:
        raise ArtifactError(
            f"{name} is {array.ndim}-dimensional {array.dtype}, expected 1-dimensional {' or '.join(kinds)}"
        )
    return np.require(array.astype(array.dtype.newbyteorder("="), copy=False), requirements=["C", "A"])


def _text_ids(arrays: dict[str, Array], name: str) -> Array:
    encoded, offsets = _take(arrays, f"{name}.text", "U8").tobytes(), _take(arrays, f"{name}.offsets", "I64")
    if (
        not len(offsets)
        or offsets[0] != 0
        or offsets[-1] != len(encoded)
        or np.any(offsets[1:] < offsets[:-1])
    ):
        raise ArtifactError(f"{name}.offsets must rise from 0 to {len(encoded):,}, the length of {name}.text")
    bounds = offsets.tolist()
    try:
        texts = [encoded[start:stop].decode() for start, stop in zip(bounds[:-1], bounds[1:], strict=True)]
    except UnicodeDecodeError:
        raise ArtifactError(f"{name}.text is not UTF-8 at the bounds that {name}.offsets gives") from None
    if any(text.endswith("\0") for text in texts):  # an array of text would drop it
        raise ArtifactError(f"{name}.text holds an id that ends in a zero character")
    return text_array(texts)
