"""Files with one interaction a line, in fields.

The grammars are CSV, TSV, MovieLens ``u.data`` and ``ratings.dat``, and RecBole ``.inter``.

They are read by whole arrays: the places of all separators in a block make a matrix with a row for
each line, and a line that does not fit in it is refused by its number.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.fields import IdColumn, narrowed, parse_moments, parse_numbers
from sparserec_np.data.formats.layout import NAMES_OF_SEPARATORS, Layout
from sparserec_np.data.formats.source import Block, Source, shown
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import DataError

Array = npt.NDArray[Any]

INTERNAL = b"\x1f"  # the ASCII unit separator stands in for "::" and for separators of unquoted CSV
ROWS_PER_BLOCK = 1 << 16


class FoundPairs(NamedTuple):
    """The interactions of a file, and how many of its rows were read and left out."""

    interactions: Interactions
    read: int  # rows with an interaction
    below: int  # of these, left out by min_rating


def read_delimited(source: Source, layout: Layout, min_rating: float | None) -> FoundPairs:
    """Reads a whole source of one interaction a line, in fields.

    Raises:
        DataError: naming the line that has more or fewer fields than the first, an empty id, or a
            rating or time that is no number.
    """
    if min_rating is not None and layout.rating is None:
        raise DataError(
            f"{source.name} has no rating column for --min-rating {min_rating:g}; name it with --rating-col."
        )
    users = IdColumn(source, "user", layout.integers_only)
    items = IdColumn(source, "item", layout.integers_only)
    times: list[Array] = []
    read = below = 0
    skip = layout.header
    for block in _separated(source, layout):
        text, starts, ends = _field_places(source, block, layout)
        if skip and len(starts):
            starts, ends, skip = starts[1:], ends[1:], False
        if not len(starts):
            continue
        read += len(starts)
        if layout.rating is not None:
            rated, good = parse_numbers(block, text, starts[:, layout.rating], ends[:, layout.rating])
            if min_rating is None:
                good |= starts[:, layout.rating] == ends[:, layout.rating]  # nobody needs the missing ones
            _refuse(
                source,
                block,
                starts[:, layout.rating],
                ends[:, layout.rating],
                good,
                "a rating that is a number",
            )
            if min_rating is not None:
                keep = rated >= min_rating
                starts, ends = starts[keep], ends[keep]
                below += int(keep.size - len(starts))
                if not len(starts):
                    continue
        users.add(block, text, starts[:, layout.user], ends[:, layout.user])
        items.add(block, text, starts[:, layout.item], ends[:, layout.item])
        if layout.time is not None:
            moments, good = parse_moments(block, text, starts[:, layout.time], ends[:, layout.time])
            wanted = "a time that is a number or an ISO date"
            _refuse(source, block, starts[:, layout.time], ends[:, layout.time], good, wanted)
            times.append(narrowed(moments) if moments.dtype == np.int64 else moments)
    user_codes, user_ids = users.result()
    item_codes, item_ids = items.result()
    moment = np.concatenate(times) if times else None
    return FoundPairs(
        Interactions.from_codes(user_codes, item_codes, user_ids, item_ids, moment), read, below
    )


def _separated(source: Source, layout: Layout) -> Iterator[Block]:
    """Yields blocks without quotes whose fields are separated by a single byte.

    That byte is :data:`INTERNAL` or the layout's own.
    """
    blocks = source.blocks()
    for block in blocks:
        if layout.quoted and b'"' in block.text:
            yield from _unquoted(source, chain([block], blocks), layout)
        elif len(layout.separator) > 1:
            yield Block(block.text.replace(layout.separator, INTERNAL), block.first_line)
        elif layout.separator == b" ":
            yield Block(
                b"\n".join(INTERNAL.join(line.split()) for line in block.text.split(b"\n")), block.first_line
            )
        else:
            yield block


def _unquoted(source: Source, blocks: Iterable[Block], layout: Layout) -> Iterator[Block]:
    """Yields the rest of a file with quoted fields, separators inside fields made harmless.

    Each row keeps its own line number.
    """
    blocks = iter(blocks)
    first = next(blocks)
    start = first.first_line
    lines = (
        line.decode("utf-8", "surrogateescape")
        for block in chain([first], blocks)
        for line in io.BytesIO(block.text)
    )
    reader = csv.reader(lines, delimiter=layout.separator.decode(), strict=True)
    harmless = str.maketrans({"\n": " ", "\r": " ", INTERNAL.decode(): " "})
    line = start
    while True:
        rows: list[bytes] = []
        numbers: list[int] = []
        try:
            for row in islice(reader, ROWS_PER_BLOCK):
                joined = INTERNAL.decode().join(field.translate(harmless) for field in row)
                rows.append(joined.encode("utf-8", "surrogateescape") + b"\n")
                numbers.append(line)
                line = start + reader.line_num
        except csv.Error as error:
            raise source.refuse(line, "a row of quoted fields", str(error), "close every quote") from error
        if not rows:
            return
        yield Block(b"".join(rows), numbers[0], np.array(numbers))


def _field_places(source: Source, block: Block, layout: Layout) -> tuple[Array, Array, Array]:
    """Finds where every field of a block starts and ends, blanks trimmed.

    Returns the block as bytes, and ``(lines, fields)`` offsets of the starts and of the ends.

    Raises:
        DataError: a line has more or fewer fields than the first line of the file.
    """
    text = np.frombuffer(block.text, dtype=np.uint8)
    replaced = layout.separator in (b"::", b" ") or block.lines is not None
    separator = INTERNAL[0] if replaced else layout.separator[0]
    stops = np.flatnonzero((text == separator) | (text == 10))
    last = np.flatnonzero(text[stops] == 10)  # which of them end a line
    sizes = np.diff(last, prepend=-1)
    starts = np.concatenate([np.zeros(1, dtype=stops.dtype), stops[:-1] + 1])
    if np.any(sizes != layout.fields):
        odd = np.flatnonzero(sizes != layout.fields)
        begin = starts[last[odd] - sizes[odd] + 1]
        for index, lower, upper in zip(odd.tolist(), begin.tolist(), stops[last[odd]].tolist(), strict=True):
            line = block.text[lower:upper]
            if line.strip():
                found = f"{sizes[index]} in {shown(line.replace(INTERNAL, layout.separator))}"
                wanted = f"{layout.fields} fields separated by {NAMES_OF_SEPARATORS[layout.separator]}"
                raise source.refuse(block.line_number(index), wanted, found)
        full = np.repeat(sizes == layout.fields, sizes)  # blank lines go
        starts, stops = starts[full], stops[full]
    return text, *_trimmed(text, starts.reshape(-1, layout.fields), stops.reshape(-1, layout.fields))


def _trimmed(text: Array, starts: Array, ends: Array) -> tuple[Array, Array]:
    """Moves offsets inwards over blanks, tabs and carriage returns."""
    for column in range(starts.shape[1]):
        start, end = starts[:, column], ends[:, column]  # views: moved in place
        while np.any(loose := (end > start) & _blank(text[np.maximum(end - 1, 0)])):
            end -= loose
        while np.any(loose := (end > start) & _blank(text[start])):
            start += loose
    return starts, ends


def _blank(byte: Array) -> Array:
    return (byte == 32) | (byte == 13) | (byte == 9)


def _refuse(source: Source, block: Block, starts: Array, ends: Array, good: Array, expected: str) -> None:
    if not good.all():
        at = int(np.flatnonzero(~good)[0])
        found = shown(block.text[starts[at] : ends[at]])
        raise source.refuse(block.line_number_at(int(starts[at])), expected, found)
