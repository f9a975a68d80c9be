"""Whole arrays of text pieces, given by where they start and end, as ids and numbers."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timezone
from itertools import count, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.source import Block, Source, shown
from sparserec_np.data.interactions import encode_ids

Array = npt.NDArray[Any]

MAX_DIGITS = 18  # every such number fits in int64
_TENS = 10 ** np.arange(MAX_DIGITS, dtype=np.int64)


def parse_integers(text: Array, starts: Array, ends: Array) -> tuple[Array, Array]:
    """Reads decimal integers written in the one canonical way, and says which pieces were such.

    There is no ``+``, no leading zero, and there are at most 18 digits.

    Being strict keeps ids such as ``007`` apart from ``7``: what is accepted here can be printed
    back unchanged.

    Args:
        text: ``(bytes,)`` uint8; every offset lies inside it.
        starts: ``(n,)`` offset of the first byte of each piece.
        ends: ``(n,)`` offset after the last.

    Returns:
        ``(n,)`` int64 values, and ``(n,)`` bool telling which pieces were such integers (other
        values mean nothing).
    """
    negative = text[starts] == ord("-")
    first = starts + negative
    digits = ends - first
    good = (digits > 0) & (digits <= MAX_DIGITS)
    good &= (text[np.minimum(first, text.size - 1)] != ord("0")) | ((digits == 1) & ~negative)
    values = np.zeros(starts.size, dtype=np.int64)
    longest = int(min(digits.max(initial=0), MAX_DIGITS))
    shortest = int(digits.min(initial=MAX_DIGITS))
    for place in range(longest):  # from the last digit to the first
        if place < shortest:
            digit = text[ends - (place + 1)] - np.uint8(48)  # wraps around: anything but a digit exceeds 9
            good &= digit <= 9
            values += digit * _TENS[place]
        else:
            there = np.flatnonzero(digits > place)
            digit = text[ends[there] - (place + 1)] - np.uint8(48)
            good[there] &= digit <= 9
            values[there] += digit * _TENS[place]
    if negative.any():
        np.negative(values, out=values, where=negative)
    return values, good


def pieces(block: Block, starts: Array, ends: Array) -> list[bytes]:
    """Cuts out the pieces of text between the starts and ends."""
    text = block.text
    return [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def parse_numbers(block: Block, text: Array, starts: Array, ends: Array) -> tuple[Array, Array]:
    """Reads finite numbers, int64 where all are integers, else float64; says which were numbers."""
    values, good = parse_integers(text, starts, ends)
    if good.all():
        return values, good
    floats = np.fromiter(map(_float_or_nan, pieces(block, starts, ends)), dtype=np.float64, count=starts.size)
    return floats, np.isfinite(floats)


def parse_moments(block: Block, text: Array, starts: Array, ends: Array) -> tuple[Array, Array]:
    """Reads times, and says which pieces were times.

    They are finite numbers or, if the first is one, ISO dates (UTC) as seconds since 1970.
    """
    first = block.text[starts[0] : ends[0]] if starts.size else b""
    if np.isnan(_iso_or_nan(first)):
        return parse_numbers(block, text, starts, ends)
    seconds = np.array([_iso_or_nan(piece) for piece in pieces(block, starts, ends)], dtype=np.float64)
    good = np.isfinite(seconds)
    return np.floor(np.where(good, seconds, 0)).astype(np.int64), good


def _float_or_nan(piece: bytes) -> float:
    try:
        return float("nan") if b"_" in piece else float(piece)
    except ValueError:
        return float("nan")


def _iso_or_nan(piece: bytes) -> float:
    if len(piece) < 10 or piece[4:5] != b"-":
        return float("nan")  # a number, or nothing at all
    try:
        moment = datetime.fromisoformat(piece.decode("ascii").replace("Z", "+00:00"))
    except ValueError:  # UnicodeDecodeError is one too
        return float("nan")
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


class IdColumn:
    """The ids of one column, gathered block by block.

    They are integers for as long as all are, and strings once one is not.

    Args:
        source: where they come from, for messages.
        noun: ``"user"`` or ``"item"``, for messages.
        integers_only: the grammar allows non-negative integers only; the sentence of advice to give
            otherwise.
    """

    def __init__(self, source: Source, noun: str, integers_only: str | None = None) -> None:
        self._source, self._integers_only = source, integers_only
        self._what = f"{'an' if noun[0] in 'aeio' else 'a'} {noun} id"
        self._numbers: list[Array] = []
        self._index: defaultdict[bytes, int] | None = None  # text -> code, in order of appearance
        self._codes: list[Array] = []
        self._names: list[str] = []

    def add(self, block: Block, text: Array, starts: Array, ends: Array) -> None:
        """Takes the ids at the given places of a block.

        Raises:
            DataError: an id is empty, not UTF-8, or not a non-negative integer where only these are
                allowed.
        """
        if self._index is None:
            values, good = parse_integers(text, starts, ends)
            if self._integers_only:
                self._refuse_first(block, starts, ends, ~good | (values < 0))
            if good.all():
                self._numbers.append(narrowed(values))
                return
            self._start_text()
        assert self._index is not None
        if np.any(starts == ends):
            spot = int(starts[np.flatnonzero(starts == ends)[0]])
            raise self._source.refuse(block.line_number_at(spot), self._what, "an empty field")
        known, tokens = len(self._index), pieces(block, starts, ends)
        codes = np.fromiter(map(self._index.__getitem__, tokens), dtype=np.int32, count=len(tokens))
        self._codes.append(codes)
        fresh = list(islice(self._index, known, None))
        try:
            self._names += b"\n".join(fresh).decode("utf-8").split("\n") if fresh else []
        except UnicodeDecodeError as error:
            bad = known + b"\n".join(fresh).count(b"\n", 0, error.start)
            line = block.line_number_at(int(starts[np.flatnonzero(codes == bad)[0]]))
            raise self._source.refuse(
                line, f"{self._what} in UTF-8", shown(fresh[bad - known]), "convert the file to UTF-8"
            ) from error

    def result(self) -> tuple[Array, Array]:
        """Returns codes ``(n,)`` of the ids taken, and the unique ids, int64 or strings.

        The column holds them no longer.
        """
        if self._index is not None:
            return np.concatenate(self._codes), np.array(self._names, dtype=str)
        numbers, self._numbers = self._numbers, []  # here reading begins to take the most memory
        if not numbers:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        whole = np.concatenate(numbers)
        del numbers
        return encode_ids(whole)

    def _start_text(self) -> None:
        """Turns what was read as integers so far into text.

        Canonical integers lose nothing by it.
        """
        self._index = defaultdict(count().__next__)
        if self._numbers:
            codes, ids = encode_ids(np.concatenate(self._numbers))
            self._names = [str(number) for number in ids.tolist()]
            for name in self._names:
                self._index[name.encode()]
            self._codes, self._numbers = [codes.astype(np.int32)], []

    def _refuse_first(self, block: Block, starts: Array, ends: Array, bad: Array) -> None:
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            found = shown(block.text[starts[at] : ends[at]])
            expected = f"{self._what} that is a whole number, 0 or above"
            raise self._source.refuse(
                block.line_number_at(int(starts[at])), expected, found, self._integers_only or ""
            )


def narrowed(values: Array) -> Array:
    """Converts int64 values to int32 where they fit.

    Blocks wait in memory until the end of the file.
    """
    limits = np.iinfo(np.int32)
    if values.size and (values.min() < limits.min or values.max() > limits.max):
        return values
    return values.astype(np.int32)
