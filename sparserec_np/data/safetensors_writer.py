"""Writing a model file: a safetensors file, whole or not at all, always in the same bytes.

The reader is ``runtime.read_artifact``, so that it can be taken along without this module.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import nullcontext
from typing import IO, Any

import numpy as np

from sparserec_np.machine.files import replacing
from sparserec_np.runtime import DTYPES, MAX_HEADER_BYTES, Array, ArtifactError, Path

KINDS = {dtype: kind for kind, dtype in DTYPES.items()}


def write_artifact(path: Path | IO[bytes], arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> int:
    """Writes named arrays and text metadata as a safetensors file, and returns its size in bytes.

    It is written to a path, or to a file that is open in binary mode.

    The bytes depend on the contents alone: wide types come first and names are sorted, so that
    every array is aligned to its own width. At a path, the file appears whole, in place of an older
    one, or not at all.

    Raises ArtifactError for a dtype or a text that the format cannot hold.
    """
    entries: dict[str, Any] = {
        "__metadata__": {key: _checked_text(key, metadata[key]) for key in sorted(metadata)}
    }
    parts: list[Array] = []
    end = 0
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        array = np.ascontiguousarray(arrays[name])
        kind = KINDS.get(array.dtype.newbyteorder("<"))
        if kind is None or _checked_text(name, name) == "__metadata__":
            raise ArtifactError(f"{name}: {array.dtype} is not one of {', '.join(DTYPES)}")
        entries[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        parts.append(array.astype(DTYPES[kind], copy=False))
        end += array.nbytes
    header = json.dumps(entries, separators=(",", ":")).encode("ascii")
    header += b" " * (-len(header) % 8)
    if len(header) > MAX_HEADER_BYTES:
        raise ArtifactError(f"the metadata take {len(header):,} bytes, expected at most {MAX_HEADER_BYTES:,}")
    opened = replacing(path) if isinstance(path, (str, os.PathLike)) else nullcontext(path)
    with opened as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for part in parts:
            file.write(part.data)
    return 8 + len(header) + end


def _checked_text(key: str, value: str) -> str:
    if not (isinstance(value, str) and key.isprintable() and value.isprintable()):
        raise ArtifactError(f"metadata {key!r} must be printable text on one line")
    return value
