"""The exported file: a model in as few bytes as it can be had.

It is a model file like any other (docs/model-file.md), in its smaller forms: values in float32,
float16 or int8, the lengths or the ends of the rows in place of their bounds, steps between columns
where a column would take two bytes, seen items as gaps. int8 has one scale for each dimension and
table, our choice: on Gowalla it loses as little NDCG as a scale for each row, and that would take
four bytes a row. The items' weights of a fism model are stored for items that have entries, in
their row or their column, in float32 or float16, and with int8 as codes of one byte. ``slices``
leaves out what a device does not need, and ``loss`` measures what that, and the smaller values,
cost.
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
    Table,
    count_bytes,
    decode_model,
    item_columns,
    served_as,
    step_limit,
    weighed_items,
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
        arrays |= _smaller_rows(name, arrays.pop(f"{name}.indptr"))
        steps = encode_steps(table.indptr, table.columns, model.dim)
        if steps.nbytes < arrays[f"{name}.columns"].nbytes:
            del arrays[f"{name}.columns"]
            arrays[f"{name}.steps"] = steps
        scaled = min(max(model.dim - item_columns(model.metadata), 0) + 1, model.dim)
        arrays |= {f"{name}.{part}": array for part, array in VALUES[dtype](name, table, scaled).items()}
    if model.has_numbers:
        arrays |= WEIGHTS[dtype](used_weights(model, arrays.pop("weights")))
    if model.has_seen:
        arrays |= _smaller_rows("seen", arrays.pop("seen.indptr"))
        del arrays["seen.items"]
        arrays["seen.gaps"] = encode_varints(_gaps(model.seen_indptr, model.seen_items))
    artifact = Artifact(arrays, plain.metadata, file_bytes=0)
    decode_model(artifact)
    return artifact


def write_export(path: Path, artifact: Artifact) -> int:
    """Writes the file, atomically, and returns its size in bytes; equal models give equal bytes."""
    return write_artifact(path, artifact.arrays, artifact.metadata)


def _float32(name: str, table: SparseTable, scaled: int) -> dict[str, Array]:
    return {"values": np.asarray(table.values, np.float32)}


def _float16(name: str, table: SparseTable, scaled: int) -> dict[str, Array]:
    return {"values": _halved(f"{name}.values", table.values)}


def _halved(name: str, values: Array) -> Array:
    """Converts values to float16. Raises ArtifactError for one that it does not reach to."""
    most = float(np.finfo(np.float16).max)
    if np.abs(values).max(initial=0) > most:
        raise ArtifactError(f"{name} reach beyond {most:,.0f}, the most of float16; use int8 or float32")
    return values.astype(np.float16)


def _int8(name: str, table: SparseTable, scaled: int) -> dict[str, Array]:
    """Rounds ``value / scale``, where a dimension's scale is its largest magnitude over 127.

    There are ``scaled`` scales: the last is that of all dimensions from there on.
    """
    places = np.minimum(table.columns, np.intp(scaled - 1))
    scales = np.zeros(scaled, dtype=np.float32)
    np.maximum.at(scales, places, np.abs(table.values))
    scales /= 127
    # A scale that underflowed to zero stands for values too small to matter.
    own = scales[places]
    numbers = np.divide(table.values, own, out=np.zeros_like(own), where=own > 0)
    return {"values": np.clip(np.rint(numbers), -127, 127).astype(np.int8), "scales": scales}


VALUES: dict[str, Callable[[str, SparseTable, int], dict[str, Array]]] = {
    "float32": _float32,
    "float16": _float16,
    "int8": _int8,
}


def _weight_codes(weights: Array) -> dict[str, Array]:
    """Rounds weights to 256 levels or fewer, and writes down which: a byte each.

    Where no more values differ they are the levels. Else the levels lie as evenly as they can on a
    logarithmic scale, for weights span several orders of magnitude and count by their proportions:
    weights are sorted into 256 cells of equal width in ``asinh(w / smallest)``, and the level of a
    cell is the mean of what is in it. Below a ten-thousandth of the largest weight the scale turns
    linear, and so it goes on through zero to negative weights. Our choice.
    """
    levels, codes = np.unique(weights, return_inverse=True)
    if len(levels) > LEVELS:
        largest = float(np.abs(weights).max())
        scale = np.arcsinh(weights.astype(np.float64) / (largest * SMALLEST_WEIGHT))
        cells = (scale - scale.min()) * (LEVELS / (scale.max() - scale.min()))
        filled, codes = np.unique(np.minimum(cells.astype(np.intp), LEVELS - 1), return_inverse=True)
        sums = np.bincount(codes, weights.astype(np.float64), minlength=len(filled))
        levels = sums / np.bincount(codes, minlength=len(filled))
    return {"weights.codes": codes.astype(np.uint8), "weights.levels": levels.astype(np.float32)}


def used_weights(model: ServedModel, weights: Array) -> Array:
    """Takes, of the items' ``weights`` (n_items,), those that users' rows are made with.

    Who touches an item without entries adds nothing, but for its pairs that stand in other rows.
    """
    first = model.dim - item_columns(model.metadata)
    return weights[weighed_items(Table(*model.items), first)]


LEVELS = 256  # that one byte tells apart
SMALLEST_WEIGHT = 1e-4  # against the largest: weights from there on are told apart by their proportions

WEIGHTS: dict[str, Callable[[Array], dict[str, Array]]] = {
    "float32": lambda weights: {"weights": weights},
    "float16": lambda weights: {"weights": _halved("weights", weights)},
    "int8": _weight_codes,
}


def _smaller_rows(name: str, indptr: Array) -> dict[str, Array]:
    """Makes the array that holds where rows end in the fewest bytes: lengths, or ends."""
    lengths, ends = narrowest(np.diff(indptr)), encode_ends(indptr)
    return {f"{name}.ends": ends} if ends.nbytes < lengths.nbytes else {f"{name}.lengths": lengths}


def encode_ends(indptr: Array) -> Array:
    """Spells the bounds (rows + 1,) of rows in bits: a zero for each entry, a one after each row.

    Returns (n,) uint8, the lowest bit first; zeros fill the last byte.

    >>> bin(encode_ends(np.array([0, 2, 2, 5]))[0])
    '0b10001100'
    """
    rows = len(indptr) - 1
    bits = np.zeros(rows + int(indptr[-1]), dtype=np.uint8)
    bits[np.arange(rows) + indptr[1:]] = 1
    return np.packbits(bits, bitorder="little")


def encode_steps(indptr: Array, columns: Array, dim: int) -> Array:
    """Spells the columns (nnz,) of rows as steps from one to the next, in one byte or two each.

    Returns (n,) uint8; ``runtime.decode_steps`` reads it, up to the adding up.

    >>> encode_steps(np.array([0, 3, 4]), np.array([7, 300, 310, 511]), 512).tolist()
    [7, 254, 38, 9, 255, 1]
    """
    steps, limit = _gaps(indptr, columns), step_limit(dim)
    widths = np.where(steps < limit, 1, 2)
    starts = np.cumsum(widths) - widths
    data = np.empty(int(widths.sum()), dtype=np.uint8)
    long = steps >= limit
    over = steps[long] - limit
    data[starts[~long]] = steps[~long]
    data[starts[long]] = limit + over // 256
    data[starts[long] + 1] = over % 256
    return data


def narrowest(numbers: Array) -> Array:
    """Converts non-negative numbers to the narrowest unsigned type."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))


def _gaps(indptr: Array, numbers: Array) -> Array:
    """Turns the numbers that rise within each row, items or columns, into gaps, (n,) int64.

    A gap is the distance from the number before, less one; the first is the number itself.
    """
    gaps = np.diff(numbers.astype(np.int64), prepend=-1) - 1
    firsts = indptr[:-1][np.diff(indptr) > 0]
    gaps[firsts] = numbers[firsts]
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
    """Counts the bytes of both tables: values with scales, columns or steps, and the rows."""
    counts = count_bytes(artifact.arrays)
    return counts["values"] + counts["columns"] + counts["indptr"]
