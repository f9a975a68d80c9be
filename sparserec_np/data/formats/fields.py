"""Whole arrays of text pieces, given by where they start and end, as ids and numbers."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.source import Block, Source, shown
from sparserec_np.data.formats.tally import Bad, BadLines
from sparserec_np.data.ids import encode_ids, sorted_texts
from sparserec_np.data.numbering import TextNumbers

Array = npt.NDArray[Any]

# What programs write for a value that is not there. As an id it is nobody's.
MISSING = frozenset(
    b"NaN nan NAN -nan NULL null Null None NaT <NA> NA N/A n/a #N/A undefined \\N".split(b" ")
)
# What a rating column may hold for "yes" and "no", in any case.
WORDS = {b"true": 1.0, b"yes": 1.0, b"false": 0.0, b"no": 0.0}

MAX_DIGITS = 18  # every such number fits in int64
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(|[T ][^A-Za-z]*?)(Z| ?UTC| ?GMT)?$")
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


class Pieces(NamedTuple):
    """Pieces of a block's text: one column of its rows.

    Attributes:
        block: what they are of.
        text: its bytes, (bytes,) uint8.
        starts: (n,) offset of the first byte of each piece.
        ends: (n,) offset after the last.
    """

    block: Block
    text: Array
    starts: Array
    ends: Array

    def cut(self, rows: Array | None = None) -> list[bytes]:
        """Cuts out the pieces, or those of some rows (m,)."""
        starts, ends = (self.starts, self.ends) if rows is None else (self.starts[rows], self.ends[rows])
        text = self.block.text
        return [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

    def integers(self) -> tuple[Array, Array]:
        """Reads canonical integers, as :func:`parse_integers` does."""
        return parse_integers(self.text, self.starts, self.ends)

    def kept(self, keep: Array) -> Pieces:
        """Keeps the pieces where ``keep``, (n,) bool, is true."""
        return self._replace(starts=self.starts[keep], ends=self.ends[keep])

    def shown(self, row: int) -> str:
        """Writes a piece as a short quoted string for a message."""
        return shown(self.block.text[self.starts[row] : self.ends[row]])

    def line(self, row: int) -> int:
        """Returns the number in the file of the line that a piece is in."""
        return self.block.line_number_at(int(self.starts[row]))


def parse_ratings(given: Pieces, decimal: str) -> tuple[Array, Array]:
    """Reads ratings: numbers, and words for true and false as 1 and 0.

    Args:
        given: the pieces (n,).
        decimal: ``"."`` or ``","``.

    Returns:
        ``(n,)`` int64 if all are integers, else float64, where NaN is no number; and ``(n,)`` bool
        telling which are finite.
    """
    values, good = given.integers()
    if good.all():
        return values, good
    cut = given.cut()
    if decimal == ",":
        cut = [piece.replace(b".", b"_").replace(b",", b".") for piece in cut]
    floats = np.fromiter(map(_rating_or_nan, cut), dtype=np.float64, count=len(cut))
    return floats, np.isfinite(floats)


def parse_moments(given: Pieces, decimal: str) -> tuple[Array, Array]:
    """Reads times, and says which pieces were times.

    They are finite numbers or, if one of them is one, ISO dates (UTC) as seconds since 1970.
    """
    values, good = given.integers()
    if good.all():
        return values, good
    cut = given.cut()
    seconds = np.fromiter(map(iso_or_nan, cut), dtype=np.float64, count=len(cut))
    good = np.isfinite(seconds)
    if good.any():
        return np.floor(np.where(good, seconds, 0)).astype(np.int64), good
    if decimal == ",":
        cut = [piece.replace(b".", b"_").replace(b",", b".") for piece in cut]
    floats = np.fromiter(map(_float_or_nan, cut), dtype=np.float64, count=len(cut))
    return floats, np.isfinite(floats)


def _float_or_nan(piece: bytes) -> float:
    try:
        return float("nan") if b"_" in piece else float(piece)
    except ValueError:
        return float("nan")


def _rating_or_nan(piece: bytes) -> float:
    try:
        return float("nan") if b"_" in piece else float(piece)
    except ValueError:
        return WORDS.get(piece.lower(), float("nan"))


def iso_or_nan(piece: bytes) -> float:
    """Reads an ISO date, in seconds since 1970; NaN where it is none.

    Days and months may have one digit, and a zone may be named UTC or GMT.

    >>> iso_or_nan(b"1970-1-2 00:00:01 UTC"), iso_or_nan(b"86401")
    (86401.0, nan)
    """
    if len(piece) < 8 or piece[4:5] != b"-":
        return float("nan")  # a number, or nothing at all
    try:
        moment = datetime.fromisoformat(_DATE.sub(_padded, piece.decode("ascii"), count=1))
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):  # UnicodeDecodeError is a ValueError
        return float("nan")


def _padded(found: re.Match[str]) -> str:
    year, month, day, rest, zone = found.groups()
    return f"{year}-{month:0>2}-{day:0>2}{rest}{'+00:00' if zone else ''}"


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
        self._names: TextNumbers | None = None
        self._codes: list[Array] = []

    def sound(self, given: Pieces, bad: BadLines) -> Array:
        """Tells which pieces are ids, ``(n,)`` bool, and hands the others to ``bad``.

        :meth:`add` finds the first fault as well, in less time; this finds all.
        """
        values, good = given.integers()
        if self._integers_only:
            good &= values >= 0
        else:
            words = np.flatnonzero(~good)
            good[words] = True
            words = _may_be_none(given, words)
            good[words] = [_is_id(piece) for piece in given.cut(words)]
        bad.take(np.flatnonzero(~good), lambda row: self.fault(given, row))
        return good

    def add(self, given: Pieces) -> None:
        """Takes the ids in the pieces.

        Raises:
            DataError: an id is missing, not UTF-8, or not a non-negative integer where only these
                are allowed.
        """
        if self._names is None:
            values, good = given.integers()
            if self._integers_only:
                self._refuse_first(given, ~good | (values < 0))
            if good.all():
                self._numbers.append(narrowed(values))
                return
            self._names = self._start_text()
        self._refuse_first(given, given.starts == given.ends)
        codes, fresh = self._names.take(given.text, given.starts, given.ends)
        self._codes.append(codes)
        doubtful = _may_be_none(given, fresh)
        ids = [_is_id(piece) for piece in given.cut(doubtful)]
        if not all(ids):
            raise self._source.refuse(*self.fault(given, int(doubtful[ids.index(False)])))

    def result(self) -> tuple[Array, Array]:
        """Returns codes ``(n,)`` of the ids taken, and the sorted unique ids, int64 or strings.

        The column holds them no longer.
        """
        if self._names is not None:
            names, self._names = self._names, None
            parts, self._codes = self._codes[::-1], []
            place, ids = sorted_texts(names)
            return _joined(parts, place), ids
        numbers, self._numbers = self._numbers, []  # here reading begins to take the most memory
        if not numbers:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        whole = np.concatenate(numbers)
        del numbers
        return encode_ids(whole)

    def _start_text(self) -> TextNumbers:
        """Turns what was read as integers so far into text.

        Canonical integers lose nothing by it.
        """
        names = TextNumbers()
        if self._numbers:
            codes, ids = encode_ids(np.concatenate(self._numbers))
            written = [str(number).encode() for number in ids.tolist()]
            ends = np.cumsum([len(one) for one in written])
            starts = np.concatenate([[0], ends[:-1]])
            place, _ = names.take(np.frombuffer(b"".join(written), np.uint8), starts, ends)
            self._codes, self._numbers = [place[codes]], []
        return names

    def _refuse_first(self, given: Pieces, wrong: Array) -> None:
        if wrong.any():
            raise self._source.refuse(*self.fault(given, int(np.flatnonzero(wrong)[0])))

    def fault(self, given: Pieces, row: int) -> Bad:
        """Says what is wrong with a piece that is no id."""
        line, found = given.line(row), given.shown(row)
        if given.starts[row] == given.ends[row]:
            return Bad(line, self._what, "an empty field", "an id that is missing is nobody's")
        if self._integers_only:
            return Bad(line, f"{self._what} that is a whole number, 0 or above", found, self._integers_only)
        if given.cut(np.array([row]))[0] in MISSING:
            return Bad(line, self._what, f"{found}, which stands for a missing one")
        advice = "convert the file to UTF-8, or name its --encoding"
        return Bad(line, f"{self._what} in UTF-8", found, advice)


def _may_be_none(given: Pieces, rows: Array) -> Array:
    """Finds which of some rows have a piece that may be no id: not ASCII, empty, or much like a missing one."""
    if not given.block.text.isascii():
        return rows
    starts, ends = given.starts[rows], given.ends[rows]
    sizes = np.minimum(ends - starts, len(_LIKE_MISSING) - 1)
    last = np.maximum(ends - 1, starts)
    return rows[_LIKE_MISSING[sizes, given.text[starts], given.text[last]]]


def _like_missing() -> Array:
    """Makes a table that tells, by length, first and last byte, which texts may stand for a missing value."""
    table = np.zeros((max(map(len, MISSING)) + 2, 256, 256), dtype=bool)
    table[0] = True  # an empty field
    for text in MISSING:
        table[len(text), text[0], text[-1]] = True
    return table


_LIKE_MISSING = _like_missing()


def _is_id(piece: bytes) -> bool:
    """Tells whether a piece that is no integer can be an id."""
    try:
        return bool(piece.decode("utf-8")) and piece not in MISSING
    except UnicodeDecodeError:
        return False


def _joined(parts: list[Array], place: Array) -> Array:
    """Puts codes together, the last part first, each code by its new place; empties ``parts``."""
    whole = np.empty(sum(part.size for part in parts), dtype=np.int32)
    filled = 0
    while parts:  # which gives back the memory of each
        part = parts.pop()
        np.take(place, part, out=whole[filled : filled + part.size])
        filled += part.size
    return whole


def narrowed(values: Array) -> Array:
    """Converts int64 values to int32 where they fit.

    Blocks wait in memory until the end of the file.
    """
    limits = np.iinfo(np.int32)
    if values.size and (values.min() < limits.min or values.max() > limits.max):
        return values
    return values.astype(np.int32)
