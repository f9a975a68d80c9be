"""Outside ids: what people call users and items, as sorted arrays of int64 or text.

An id is a whole number or a text. What is missing is nobody: None, NaN, NaT and the like are
refused, as numbers, as objects, and as the texts that others write for them.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.numbering import TextNumbers
from sparserec_np.errors import DataError

Array = npt.NDArray[Any]

# What Python, NumPy, pandas and polars write for a value that is missing.
MISSING_TEXTS = ("None", "nan", "NaN", "NaT", "<NA>")
TEXTS_AT_ONCE = 1 << 18  # of which each is an object of its own meanwhile
# An array of texts is as wide as the longest one for as long as that takes at most so many times
# the bytes of the texts as objects, and so many bytes more.
TIMES_OBJECTS, FREE_BYTES = 2, 1 << 20
ROWS_AT_ONCE = 1 << 15  # of columns of Arrow's, so that what is made of them stays in the cache


def text_array(texts: Sequence[str]) -> Array:
    """Makes an array of texts, (n,): as wide as the longest, or of objects where that takes less.

    Where one text is far longer than most, an array as wide as it takes many times what all the
    texts do.

    >>> text_array(["ann", "bob"]).dtype.kind, text_array(["ann"] * 9_999 + ["x" * 500]).dtype.kind
    ('U', 'O')
    """
    if _are_short(max(map(len, texts), default=0), len(texts), _object_bytes(texts)):
        return np.array(texts, dtype=str)
    ids = np.empty(len(texts), dtype=object)
    ids[:] = texts
    return ids


def _are_short(width: int, count: int, object_bytes: int) -> bool:
    """Tells whether texts take less as an array that is as wide as the longest than as objects."""
    return 4 * width * count <= FREE_BYTES + TIMES_OBJECTS * object_bytes


def _object_bytes(texts: Sequence[str]) -> int:
    """Returns the bytes that texts take as objects, and the array that points at them."""
    return sum(map(sys.getsizeof, texts)) + 8 * len(texts)


def bytes_of(ids: Array) -> int:
    """Returns the bytes that an array of ids takes, texts that are objects included."""
    return _object_bytes(ids.tolist()) if ids.dtype.kind == "O" else ids.nbytes


def are_texts(ids: Array) -> bool:
    """Tells whether ids are text, as :func:`text_array` makes it, and not numbers."""
    return ids.dtype.kind in "UO"


def encode_ids(
    values: npt.ArrayLike, more: npt.ArrayLike | None = None, noun: str = "user"
) -> tuple[Array, Array]:
    """Finds ``values`` among the sorted unique ids of ``values`` and ``more`` together.

    Returns:
        ``(n,)`` integer codes, and the ids, int64 or unicode.

    Raises:
        DataError: one is missing, or neither a whole number nor a text.

    >>> codes, ids = encode_ids([30, 10, 30], more=[20])
    >>> codes.tolist(), ids.tolist()
    ([2, 0, 2], [10, 20, 30])
    """
    if more is None and (arrow := _arrow_texts(values)) is not None:
        return _found_in_arrow(arrow)
    wanted = as_ids(values, noun)
    extra = wanted[:0] if more is None else as_ids(more, noun)
    if wanted.size and extra.size and are_texts(wanted) != are_texts(extra):
        wanted, extra = (some if are_texts(some) else some.astype(str) for some in (wanted, extra))
    both = np.concatenate([wanted, extra]) if extra.size else wanted
    low, high = (int(both.min()), int(both.max())) if both.size and both.dtype.kind == "i" else (-1, -1)
    if low >= 0 and high < 4 * both.size + 1_000_000:  # a table by id is far cheaper than a sort
        there = np.zeros(high + 1, dtype=bool)
        there[both] = True
        ids = np.flatnonzero(there).astype(np.int64)
        if ids.size == high + 1:
            return wanted, ids
        place = np.cumsum(there, dtype=np.int32 if ids.size < 1 << 31 else np.int64)
        return np.subtract(place, 1, out=place)[wanted], ids
    if are_texts(both):
        codes, ids = _found_texts(both)
        return codes[: wanted.size], ids
    ids, codes = np.unique(both, return_inverse=True)
    return codes.reshape(-1)[: wanted.size], ids.astype(np.int64)


def _found_texts(texts: Array) -> tuple[Array, Array]:
    """Finds texts (n,) among the sorted unique ones of them: (n,) codes, and these.

    Hashing takes a fraction of the time of sorting all.
    """
    index: defaultdict[str, int] = defaultdict(count().__next__)  # text -> number, as they appear
    codes = np.empty(texts.size, dtype=np.int32)
    for start in range(0, texts.size, TEXTS_AT_ONCE):
        some = texts[start : start + TEXTS_AT_ONCE].tolist()
        codes[start : start + len(some)] = np.fromiter(map(index.__getitem__, some), np.int32, len(some))
    names = list(index)
    del index
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return renumbered(codes, place), text_array([names[at] for at in order])


def renumbered(codes: Array, place: Array) -> Array:
    """Replaces codes (n,) by their places, in the memory they have."""
    for start in range(0, codes.size, TEXTS_AT_ONCE):
        part = codes[start : start + TEXTS_AT_ONCE]
        part[:] = place[part]
    return codes


def sorted_texts(numbers: TextNumbers) -> tuple[Array, Array]:
    """Sorts texts, which must be UTF-8: returns the place of each number, (n,) int32, and the texts."""
    order = numbers.order()  # in UTF-8 as by code point
    place = np.empty(order.size, dtype=np.int32)
    place[order] = np.arange(order.size, dtype=np.int32)
    width = max(int(numbers.sizes.max(initial=0)), 1)
    objects = int(numbers.sizes.sum()) + order.size * (sys.getsizeof("") + 8)
    if not (numbers.are_ascii() and _are_short(width, order.size, objects)):
        return place, text_array(
            [name.decode("utf-8") for part in _parts(order) for name in numbers.cut(part)]
        )
    ids = np.empty(order.size, dtype=f"U{width}")
    letters, filled = ids.view(np.uint32).reshape(-1, width), 0
    for part in _parts(order):
        letters[filled : filled + part.size] = numbers.written(part, width)
        filled += part.size
    return place, ids


def _parts(order: Array) -> Iterator[Array]:
    """Cuts an array (n,) into parts of ``TEXTS_AT_ONCE``."""
    return (order[start : start + TEXTS_AT_ONCE] for start in range(0, order.size, TEXTS_AT_ONCE))


def _arrow_texts(values: Any) -> Any:
    """Takes texts that lie in memory as Arrow has them, none of them missing; returns None for all else.

    So they need not become objects one by one, if pyarrow is there to look at them.
    """
    if not (hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__")):
        return None
    if isinstance(values, np.ndarray) or str(getattr(values, "dtype", "")) == "object":
        return None
    try:
        import pyarrow as pa

        column = (
            values
            if isinstance(values, pa.ChunkedArray)
            else pa.chunked_array(values if hasattr(values, "__arrow_c_stream__") else [pa.array(values)])
        )
    except (ImportError, TypeError, ValueError):  # as pyarrow's own errors are
        return None
    return column if "string" in str(column.type).split("<")[0] and not column.null_count else None


def arrow_pieces(column: Any) -> tuple[Array, Array, Array]:
    """Returns texts of Arrow's, none missing, as bytes and the (n,) bounds of each in these."""
    import pyarrow as pa

    column = column.cast(pa.large_string())
    _, bounds, text = column.buffers()
    edges = np.frombuffer(bounds, np.int64)[column.offset : column.offset + len(column) + 1]
    base = int(edges[0])
    own = np.frombuffer(text or b"", np.uint8)[base : int(edges[-1])]
    return own, edges[:-1] - base, edges[1:] - base


def _found_in_arrow(column: Any) -> tuple[Array, Array]:
    """Does for a column of Arrow's what :func:`_found_texts` does."""
    numbers, codes, filled = TextNumbers(), np.empty(len(column), dtype=np.int32), 0
    for chunk in column.chunks:
        for start in range(0, len(chunk), ROWS_AT_ONCE):
            part = chunk.slice(start, ROWS_AT_ONCE)
            codes[filled : filled + len(part)] = numbers.take(*arrow_pieces(part))[0]
            filled += len(part)
    place, ids = sorted_texts(numbers)
    return renumbered(codes, place), ids


def as_ids(values: npt.ArrayLike, noun: str) -> Array:
    """Converts ids to a one-dimensional array of signed integers, of text, or of texts as objects.

    Bytes are read as UTF-8. Numbers among texts become text.

    Raises:
        DataError: it is no flat list, one is missing, or is neither a whole number nor a text.
    """
    if np.ma.isMaskedArray(values) and (masked := np.flatnonzero(np.ma.getmaskarray(values))).size:
        raise _missing(np.ma.masked, int(masked[0]), noun)
    ids = values if isinstance(values, np.ndarray) else _listed(values)
    if ids.ndim != 1:
        raise DataError(f"The {noun} ids must be one flat list, found an array of shape {ids.shape}.")
    if ids.size == 0 and ids.dtype.kind not in "UT":
        return np.zeros(0, np.int64)
    if ids.dtype.kind in "OST":  # objects, bytes, and texts of any length, which may hold what is missing
        return _of_objects(ids.astype(object), noun)
    if ids.dtype.kind == "u" and ids.dtype.itemsize == 8 and ids.max() > np.iinfo(np.int64).max:
        raise DataError(f"The {noun} ids must be below 2^63, found {ids.max()}; pass them as strings.")
    if ids.dtype.kind == "u":
        ids = ids.astype(np.int64)
    if ids.dtype.kind in "fcmM" and (missing := np.flatnonzero(ids != ids)).size:
        raise _missing(ids[missing[0]].item(), int(missing[0]), noun)
    if ids.dtype.kind not in "iU":
        raise DataError(f"The {noun} ids must be integers or strings, found {ids.dtype}; convert them first.")
    return ids


def _listed(values: npt.ArrayLike) -> Array:
    """Makes an array of a list, in which a text and what is no text stay what they are."""
    if not isinstance(values, (list, tuple)) or not any(
        issubclass(kind, (str, bytes)) for kind in set(map(type, values))
    ):
        return np.asarray(values)
    ids = np.empty(len(values), dtype=object)
    ids[:] = values
    return ids


def _of_objects(ids: Array, noun: str) -> Array:
    """Converts an array of objects to numbers if all are, else to text."""
    kinds: set[type] = set()
    for start in range(0, ids.size, TEXTS_AT_ONCE):
        kinds |= set(map(type, ids[start : start + TEXTS_AT_ONCE].tolist()))
    if kinds <= {str}:
        return ids
    whole = all(issubclass(kind, (int, np.integer)) and not issubclass(kind, bool) for kind in kinds)
    if whole and all(-(2**63) <= one < 2**63 for one in ids):
        return ids.astype(np.int64)
    texts = np.empty(ids.size, dtype=object)
    for place, one in enumerate(ids):
        texts[place] = _text_of(one, place, noun)
    return texts


def _text_of(one: Any, place: int, noun: str) -> str:
    """Returns one id as text. Raises DataError for what is no id."""
    if isinstance(one, str):
        return str(one)
    if isinstance(one, (int, np.integer)) and not isinstance(one, bool):
        return str(int(one))
    if isinstance(one, bytes):
        try:
            return one.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"The {noun} ids must be numbers or texts, found bytes at place {place} that are no UTF-8:"
                f" {one[:40]!r}; decode them first."
            ) from error
    if is_missing(one):
        raise _missing(one, place, noun)
    raise DataError(
        f"The {noun} ids must be integers or strings, found {type(one).__name__} at place {place}: "
        f"{repr(one)[:60]}; convert them first."
    )


def is_missing(one: Any) -> bool:
    """Tells whether a value stands for none: None, NaN, NaT, pandas' NA.

    >>> is_missing(None), is_missing(float("nan")), is_missing("nan"), is_missing(0)
    (True, True, False, False)
    """
    if one is None or one is np.ma.masked:
        return True
    try:
        return bool(one != one)
    except (TypeError, ValueError):  # pandas' NA is neither equal to itself nor not
        return type(one).__name__ == "NAType"


def _missing(found: Any, place: int, noun: str) -> DataError:
    return DataError(
        f"The {noun} ids must all be there, found {found!r} at place {place} (counted from 0); leave out the"
        " interactions without one."
    )


def refuse_missing_texts(ids: Array, codes: Array, noun: str) -> None:
    """Refuses ids ``(n_ids,)`` that are texts which stand for none, such as ``nan``.

    Args:
        ids: sorted unique outside ids.
        codes: ``(n,)`` which of them each interaction has, to name the first place.
        noun: what they are, for the message.

    Raises:
        DataError: there is one.
    """
    if not are_texts(ids):
        return
    bad = np.flatnonzero(np.isin(ids, MISSING_TEXTS))
    if bad.size:
        places = np.flatnonzero(np.isin(codes, bad))
        where = f" at place {places[0]} (counted from 0)" if places.size else ""
        text = str(ids[codes[places[0]] if places.size else bad[0]])
        raise DataError(
            f"The {noun} ids must all be there, found the text {text!r}{where}, which stands for a missing one;"
            " leave out the interactions without one, or spell the name in another way."
        )
