"""Outside ids: what people call users and items, as sorted arrays of int64 or text.

An id is a whole number or a text. What is missing is nobody: None, NaN, NaT and the like are
refused, as numbers, as objects, and as the texts that others write for them.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.errors import DataError

Array = npt.NDArray[Any]

# What Python, NumPy, pandas and polars write for a value that is missing.
MISSING_TEXTS = ("None", "nan", "NaN", "NaT", "<NA>")
TEXTS_AT_ONCE = 1 << 18  # of which each is an object of its own meanwhile


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
    wanted = as_ids(values, noun)
    extra = wanted[:0] if more is None else as_ids(more, noun)
    if wanted.size and extra.size and wanted.dtype.kind != extra.dtype.kind:
        wanted, extra = wanted.astype(str), extra.astype(str)
    both = np.concatenate([wanted, extra]) if extra.size else wanted
    low, high = (int(both.min()), int(both.max())) if both.size and both.dtype.kind == "i" else (-1, -1)
    if low >= 0 and high < 4 * both.size + 1_000_000:  # a table by id is far cheaper than a sort
        there = np.zeros(high + 1, dtype=bool)
        there[both] = True
        ids = np.flatnonzero(there).astype(np.int64)
        if ids.size == high + 1:
            return wanted, ids
        return (np.cumsum(there, dtype=np.int64) - 1)[wanted], ids
    if both.dtype.kind == "U":
        codes, ids = _found_texts(both)
        return codes[: wanted.size], ids
    ids, codes = np.unique(both, return_inverse=True)
    return codes.reshape(-1)[: wanted.size], ids.astype(np.int64)


def _found_texts(texts: Array) -> tuple[Array, Array]:
    """Finds texts (n,) among the sorted unique ones of them: (n,) codes, and these.

    Hashing takes a fraction of the time of sorting all.
    """
    index: defaultdict[str, int] = defaultdict(count().__next__)  # text -> number, as they appear
    codes = np.empty(texts.size, dtype=np.int64)
    for start in range(0, texts.size, TEXTS_AT_ONCE):
        some = texts[start : start + TEXTS_AT_ONCE].tolist()
        codes[start : start + len(some)] = np.fromiter(map(index.__getitem__, some), np.int64, len(some))
    names = np.array(list(index), dtype=texts.dtype)
    order = np.argsort(names, kind="stable")
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(order.size)
    return place[codes] if codes.size else codes, names[order]


def as_ids(values: npt.ArrayLike, noun: str) -> Array:
    """Converts ids to a one-dimensional array of signed integers or of text.

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
    try:
        ids = np.asarray(values)
        mixed = ids.dtype.kind in "US" and ids.ndim == 1 and isinstance(values, (list, tuple))
        if not mixed or len(set(map(type, values))) < 2:  # type: ignore[arg-type]
            return ids
    except UnicodeDecodeError:  # bytes among texts
        pass
    plain = list(values)  # type: ignore[arg-type]
    ids = np.empty(len(plain), dtype=object)
    ids[:] = plain
    return ids


def _of_objects(ids: Array, noun: str) -> Array:
    """Converts an array of objects to numbers if all are, else to text."""
    kinds = set(map(type, ids.tolist()))
    if kinds <= {str}:
        return ids.astype(str)
    whole = all(issubclass(kind, (int, np.integer)) and not issubclass(kind, bool) for kind in kinds)
    if whole and all(-(2**63) <= one < 2**63 for one in ids):
        return ids.astype(np.int64)
    return np.array([_text_of(one, place, noun) for place, one in enumerate(ids)], dtype=str)


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
    if ids.dtype.kind != "U":
        return
    bad = np.flatnonzero(np.isin(ids, MISSING_TEXTS))
    if bad.size:
        places = np.flatnonzero(np.isin(codes, bad))
        where = f" at place {places[0]} (counted from 0)" if places.size else ""
        text = ids[codes[places[0]] if places.size else bad[0]].item()
        raise DataError(
            f"The {noun} ids must all be there, found the text {text!r}{where}, which stands for a missing one;"
            " leave out the interactions without one, or spell the name in another way."
        )
