"""The exported file: a model in as few bytes as it can be had.

It is a model file like any other (docs/model-file.md), in its smaller forms: values in float32,
float16 or int8, the lengths of the rows in place of their bounds, seen items as gaps; the items'
weights of a fism model stay in float32. int8 has one
scale for each dimension and table, our choice: on Gowalla it loses as little NDCG as a scale for
each row, and that would take four bytes a row. ``slices`` leaves out what a device does not need,
and ``loss`` measures what that, and the smaller values, cost.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.data.table import SparseTable
from sparserec_np.runtime import (
    EXPORTED,
    Array,
    Artifact,
    ArtifactError,
    Path,
    count_bytes,
    decode_model,
    served_as,
)
from sparserec_np.serving.model_file import ServedModel


def pack(model: ServedModel, dtype: str) -> Artifact:
    """Makes the arrays and metadata of the exported file.

    Args:
        model: what it shall hold.
        dtype: of the stored values, a key of ``VALUES``.

    Raises ArtifactError, naming the field, for a model that no reader would accept, for one that
    scores by more than its stored rows, and for values that the dtype cannot hold.
    """
    if not served_as(model.metadata["model"]).exports:
        raise ArtifactError(
            f"metadata model is {model.metadata['model']!r}: of it no list is made from the stored rows alone, so there"
            f" is nothing to export; a model of {', '.join(EXPORTED)} can be"
        )
    plain = model.encode()
    arrays = dict(plain.arrays)
    for name, table in model.tables.items():
        arrays[f"{name}.lengths"] = narrowest(np.diff(arrays.pop(f"{name}.indptr")))
        arrays |= {f"{name}.{part}": array for part, array in VALUES[dtype](name, table, model.dim).items()}
    if model.has_seen:
        arrays["seen.lengths"] = narrowest(np.diff(arrays.pop("seen.indptr")))
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
    """Rounds ``value / scale``, where a dimension's scale is its largest magnitude over 127."""
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


def narrowest(numbers: Array) -> Array:
    """Converts non-negative numbers to the narrowest unsigned type."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))


def _gaps(indptr: Array, items: Array) -> Array:
    """Turns each user's ascending items into gaps, (n,) int64.

    A gap is the distance from the item before, less one; the first is the item itself.
    """
    gaps = np.diff(items.astype(np.int64), prepend=-1) - 1
    firsts = indptr[:-1][np.diff(indptr) > 0]
    gaps[firsts] = items[firsts]
    return gaps


def encode_varints(numbers: Array) -> Array:
    """Spells ``numbers`` (n,), none negative, in seven bits a byte, the lowest first (LEB128).

    Returns (m,) uint8.

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


def count_tables(artifact: Artifact) -> int:
    """Counts the bytes of both tables: values with scales, columns, and lengths or bounds."""
    counts = count_bytes(artifact.arrays)
    return counts["values"] + counts["columns"] + counts["indptr"]
