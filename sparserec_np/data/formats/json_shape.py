"""JSON lines that are all of one shape, as programs write them: fields found by whole arrays.

Where each line is a flat object with the same keys in the same order, and no text has an escape in
it, a value is what stands between two marks. That takes a sixth of the time of a JSON parser. What
is not so, and what is no JSON, is left to the parser.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.delimited import Rows, trimmed
from sparserec_np.data.formats.fields import parse_integers
from sparserec_np.data.formats.source import Block

Array = npt.NDArray[Any]

QUOTE, NEWLINE = 34, 10
_MARK = np.isin(np.arange(256), list(b"{}[]:,\n"))
_OTHER_VALUE = re.compile(rb"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?|true|false|null")
_ESCAPES = re.compile(rb"[\x00-\x09\x0b-\x1f\\]")


def rows_of_one_shape(block: Block, keys: list[str]) -> Rows | None:
    """Finds the values of ``keys`` in each line, without their quotes; the first two are ids.

    Returns None where lines differ in shape, or may be no JSON.
    """
    first = _keys_of(block.text[: block.text.find(b"\n")])
    if first is None or not set(keys) <= set(first) or _ESCAPES.search(block.text):
        return None
    if not block.text.isascii() and not _is_utf8(block.text):
        return None
    text = np.frombuffer(block.text, dtype=np.uint8)
    quotes = text == QUOTE
    inside = np.bitwise_xor.accumulate(quotes.view(np.uint8)).view(bool)
    marks: Array = np.flatnonzero(_MARK[text] & ~inside)
    lines, width = block.text.count(b"\n"), 2 * len(first) + 2
    if marks.size != lines * width:
        return None
    marks = marks.reshape(lines, width)
    pattern = np.frombuffer(b"{" + b":," * (len(first) - 1) + b":}\n", np.uint8)
    begins = np.concatenate([[0], marks[:-1, -1] + 1])
    if not (
        np.array_equal(text[marks], np.broadcast_to(pattern, marks.shape))
        and np.array_equal(marks[:, 0], begins)
        and np.array_equal(marks[:, -2] + 1, marks[:, -1])
    ):
        return None
    starts, ends = trimmed(text, marks[:, 0:-2:2] + 1, marks[:, 1:-1:2].copy())
    if not all(_all_are(text, starts[:, at], ends[:, at], f'"{key}"') for at, key in enumerate(first)):
        return None
    return _values(block, text, marks, (int(np.count_nonzero(quotes)), [first.index(key) for key in keys]))


def _values(block: Block, text: Array, marks: Array, wanted: tuple[int, list[int]]) -> Rows | None:
    """Takes the values between the marks (lines, 2 keys + 2), if each of them is sound.

    ``wanted`` is the number of quotes in the block, and the numbers of the wanted keys.
    """
    n_quotes, places = wanted
    starts, ends = trimmed(text, marks[:, 1:-2:2] + 1, marks[:, 2:-1:2].copy())
    if np.any(ends <= starts):
        return None
    quoted = (text[starts] == QUOTE) & (text[ends - 1] == QUOTE) & (ends - starts > 1)
    if n_quotes != 2 * starts.size + 2 * int(np.count_nonzero(quoted)):  # two for each key and text
        return None
    for column in range(starts.shape[1]):
        plain = np.flatnonzero(~quoted[:, column])
        if not plain.size:
            continue
        begin, end = starts[plain, column], ends[plain, column]
        odd = np.flatnonzero(~parse_integers(text, begin, end)[1])
        others = {block.text[begin[at] : end[at]] for at in odd.tolist()}
        if others and (column in places[:2] or not all(map(_OTHER_VALUE.fullmatch, others))):
            return None
    starts, ends = (starts + quoted)[:, places], (ends - quoted)[:, places]
    return Rows(block, text, *trimmed(text, starts, ends))


def _keys_of(line: bytes) -> list[str] | None:
    """Returns the keys of one object, None if it is none or has a key twice."""
    try:
        pairs = json.loads(line, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None
    if not isinstance(pairs, list) or not pairs or not all(isinstance(pair, tuple) for pair in pairs):
        return None
    keys = [key for key, _ in pairs]
    return keys if len(set(keys)) == len(keys) else None


def _all_are(text: Array, starts: Array, ends: Array, wanted: str) -> bool:
    """Tells whether all pieces are one text."""
    encoded = wanted.encode("utf-8", "surrogatepass")
    if np.any(ends - starts != len(encoded)):
        return False
    return all(bool(np.all(text[starts + at] == byte)) for at, byte in enumerate(encoded))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
