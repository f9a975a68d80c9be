"""JSON lines: an object a line, which holds a user, an item, and perhaps a rating and a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from sparserec_np.data.formats.delimited import TableReader
from sparserec_np.data.formats.json_shape import rows_of_one_shape
from sparserec_np.data.formats.layout import Layout, columns_by_name
from sparserec_np.data.formats.options import ReaderOptions
from sparserec_np.data.formats.quotes import INTERNAL
from sparserec_np.data.formats.source import Block, Source, shown
from sparserec_np.data.formats.tally import Bad, Tally
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import DataError

ADVICE = 'write one JSON object a line, as {"user": 1, "item": 7}'


def read_json_lines(source: Source, options: ReaderOptions, tally: Tally) -> Interactions:
    """Reads a whole source of JSON lines.

    Raises:
        DataError: naming the line that is no object, or has no user or item.
    """
    names = _keys(source)
    user, item, *others = columns_by_name(source, names, options)
    places = [user, item, *(place for place in others if place is not None)]
    ends = np.cumsum([2, *(place is not None for place in others)]).tolist()
    rating, time, weight = (None if place is None else end for place, end in zip(others, ends, strict=False))
    layout = Layout(INTERNAL, len(places), None, 0, 1, rating, time, weight)
    reader = TableReader(source, layout, options, tally)
    tally.rating, _, tally.weight = (None if place is None else names[place] for place in others)
    keys = [names[place] for place in places]
    for block in source.blocks():
        if (rows := rows_of_one_shape(block, keys)) is not None:
            reader.take(rows)
            continue
        for part in _as_fields(block, keys, tally):
            reader.take(reader.places(part))
    return reader.result()


def _keys(source: Source) -> list[str]:
    """Collects the keys of the objects in the head, in their order."""
    lines = source.lines(1 << 30)
    if not lines:
        raise DataError(f"{source.name} is empty: expected one interaction a line.")
    first = lines[0][1].strip()
    if first.startswith(b"["):
        raise DataError(f"{source.name} holds one JSON array; {ADVICE}.")
    keys: dict[str, None] = {}
    for _, line in lines:
        keys |= dict.fromkeys(_object(line) or ())
    if not keys:
        raise source.refuse(lines[0][0], "a JSON object with a user and an item", shown(first), ADVICE)
    return list(keys)


def _as_fields(block: Block, keys: list[str], tally: Tally) -> Iterator[Block]:
    """Yields the lines of a block as fields, the values of ``keys``."""
    whole = _all_at_once(block, keys)
    if whole is not None:
        yield whole
        return
    rows: list[bytes] = []
    numbers: list[int] = []
    bad: list[Bad] = []
    for number, line in enumerate(block.text.split(b"\n"), block.first_line):
        if not line.strip():
            continue
        found = _object(line)
        if found is None:
            bad.append(Bad(number, "a JSON object", shown(line), ADVICE))
            continue
        values = [found.get(key) for key in keys]
        odd = next((one for one in values[:2] if not _may_be_id(one)), None)
        if odd is not None:
            wanted = "ids that are whole numbers or text"
            bad.append(Bad(number, wanted, shown(json.dumps(odd).encode())))
            continue
        rows.append(INTERNAL.join(map(_text, values)))
        numbers.append(number)
    tally.bad.take(np.arange(len(bad)), bad.__getitem__)
    if rows:
        yield Block(b"\n".join(rows) + b"\n", numbers[0], np.array(numbers))


def _all_at_once(block: Block, keys: list[str]) -> Block | None:
    """Does the same where every line is a sound object with ids; returns None where one is not.

    It is several times as fast as line by line.
    """
    lines = block.text[:-1].split(b"\n")
    try:
        rows = json.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, RecursionError):
        return None
    if len(rows) != len(lines) or set(map(type, rows)) != {dict}:
        return None
    columns = [[row.get(key) for row in rows] for key in keys]
    if not all(set(map(type, column)) <= {int, str} for column in columns[:2]):
        return None
    texts = [["null" if value is None else str(value) for value in column] for column in columns]
    mark = INTERNAL.decode()
    joined = "\n".join(map(mark.join, zip(*texts, strict=True)))
    if joined.count("\n") != len(rows) - 1 or joined.count(mark) != len(rows) * (len(keys) - 1):
        return None  # a text holds such a mark
    return Block(joined.encode("utf-8", "surrogatepass") + b"\n", block.first_line)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    return found if isinstance(found, dict) else None


def _may_be_id(value: object) -> bool:
    """Tells whether a value can be an id, or is missing; NaN is."""
    return value is None or isinstance(value, (int, str)) and not isinstance(value, bool) or value != value


def _text(value: object) -> bytes:
    """Writes a value as a field: what is missing as null, which no reader takes for an id."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").translate(_HARMLESS)
    return b"null" if value is None else str(value).encode()


_HARMLESS = bytes(32 if one in (10, 13, 31) else one for one in range(256))
