"""Double quotes around fields: where they mean something, and blocks without them.

In files separated by commas and the like, a quoted field is one of CSV: separators and line ends in
it are text, and a quote in it is doubled. In files separated by tabs, where quotes are mostly plain
characters, a field is quoted only if it begins and ends with a quote on the same line.
"""

from __future__ import annotations

import contextlib
import csv
import enum
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.source import Block, Source, shown
from sparserec_np.data.formats.tally import Bad, BadLines
from sparserec_np.errors import DataError

Array = npt.NDArray[Any]

INTERNAL = b"\x1f"  # the ASCII unit separator stands in for separators, where fields may hold these
QUOTE = 34
ROWS_PER_BLOCK = 1 << 16
_HARMLESS = str.maketrans({"\n": " ", "\r": " ", INTERNAL.decode(): " "})
ADVICE = "pass --quote none if quotes are plain characters, or close every quote"


class Quoting(enum.Enum):
    """The meaning of double quotes in a file."""

    NONE = "plain characters"
    EDGES = "around a field, on one line"
    CSV = "around a field, as in CSV"
    SURE_CSV = "the same, and the caller says so"

    @classmethod
    def of(cls, kind: str, separator: bytes, wish: str | None) -> Quoting:
        """Chooses by the grammar and the separator, or as the caller wishes."""
        if wish == "none" or len(separator) > 1:
            return cls.NONE
        if wish == "double":
            return cls.SURE_CSV
        if kind not in ("csv", "tsv"):
            return cls.NONE
        return cls.EDGES if separator == b"\t" else cls.CSV


def split_line(line: bytes, separator: bytes, quoting: Quoting) -> list[str]:
    """Splits one line into its fields, trimmed."""
    if separator == b" " and (b'"' not in line or quoting is Quoting.NONE):
        return line.decode("utf-8", "replace").split()
    if b'"' in line and quoting is Quoting.EDGES:
        return [one.decode("utf-8", "replace").strip() for one in map(_unquoted, line.split(separator))]
    text = line.decode("utf-8", "replace")
    if b'"' in line and quoting is not Quoting.NONE:
        with contextlib.suppress(csv.Error):  # no CSV then, which the reader will refuse by its line number
            return [
                field.strip()
                for field in next(csv.reader([text], delimiter=separator.decode(), skipinitialspace=True))
            ]
    return text.split() if separator == b" " else [field.strip() for field in text.split(separator.decode())]


def unquoted_edges(block: Block, separator: bytes, fields: int) -> Block:
    """Takes the quotes away from fields that begin and end with one on the same line.

    A tab in such a field is text where the line has too many fields otherwise.
    """
    lines = block.text.split(b"\n")
    for at, line in enumerate(lines):
        if b'"' not in line:
            lines[at] = line.replace(separator, INTERNAL)
            continue
        parts = line.split(separator)
        if len(parts) != fields:
            whole = _split_strictly(line, separator)
            parts = whole if len(whole) == fields else parts
        else:
            parts = list(map(_unquoted, parts))
        lines[at] = INTERNAL.join(part.replace(INTERNAL, b" ") for part in parts)
    return Block(b"\n".join(lines), block.first_line, np.arange(len(lines)) + block.first_line)


class CsvRows:
    """The rest of a file of CSV, from its first block with quotes on.

    Args:
        source: where it comes from, for messages.
        blocks: the rest.
        separator: one byte.
        fields: how many a row has.
        sure: a quoted field may go on over lines that are rows by themselves.
    """

    def __init__(
        self, source: Source, blocks: Iterable[Block], separator: bytes, fields: int, sure: bool
    ) -> None:
        self._source, self._separator, self._fields, self._sure = source, separator, fields, sure
        self._blocks = iter(blocks)
        self._passed: list[str] = []  # lines that the row being read is made of
        self._line = 0

    def blocks(self, bad: BadLines) -> Iterator[Block]:
        """Yields blocks without quotes, separators inside fields made harmless.

        Each row keeps its own line number.

        Raises:
            DataError: a row is no CSV, or it might be several.
        """
        reader = csv.reader(
            self._lines(), delimiter=self._separator.decode(), skipinitialspace=True, strict=True
        )
        while True:
            rows, numbers = self._some(reader, bad)
            if rows:
                yield Block(b"".join(rows), numbers[0], np.array(numbers))
            if len(rows) < ROWS_PER_BLOCK:
                return

    def _lines(self) -> Iterator[str]:
        for block in self._blocks:
            self._line = self._line or block.first_line
            for line in block.text.split(b"\n")[:-1]:
                text = line.decode("utf-8", "surrogateescape") + "\n"
                self._passed.append(text)
                yield text

    def _some(self, reader: Any, bad: BadLines) -> tuple[list[bytes], list[int]]:
        """Reads at most a block of rows, and the line that each begins in."""
        rows: list[bytes] = []
        numbers: list[int] = []
        while len(rows) < ROWS_PER_BLOCK:
            try:
                for row in islice(reader, ROWS_PER_BLOCK - len(rows)):
                    if len(self._passed) > 1:
                        self._check_is_one_row()
                    joined = INTERNAL.decode().join([field.translate(_HARMLESS) for field in row])
                    rows.append(joined.encode("utf-8", "surrogateescape") + b"\n")
                    numbers.append(self._line)
                    self._next_row()
                break
            except csv.Error as error:
                self._take_bad(error, bad)
        return rows, numbers

    def _take_bad(self, error: csv.Error, bad: BadLines) -> None:
        fault = Bad(self._line, "a row of quoted fields", str(error), ADVICE)
        if len(self._passed) > 1:  # lines are not left out that nobody looked at
            raise self._source.refuse(*fault) from error
        bad.take(np.zeros(1, dtype=np.int64), lambda _: fault)
        self._next_row()

    def _next_row(self) -> None:
        self._line += len(self._passed)
        self._passed.clear()

    def _check_is_one_row(self) -> None:
        """Refuses a quoted field over several lines, most of which are rows if quotes mean nothing."""
        if self._sure:
            return
        alone = sum(line.count(self._separator.decode()) == self._fields - 1 for line in self._passed)
        if 2 * alone > len(self._passed):
            begin = shown(self._passed[0].encode("utf-8", "replace"))
            raise DataError(
                f"{self._source.name}, line {self._line}: expected one row, found a quoted field that goes on over"
                f" {len(self._passed):,} lines which are rows by themselves, from {begin}; pass --quote none if quotes"
                " are plain characters, or --quote double if it is one field."
            )


def _unquoted(field: bytes) -> bytes:
    """Takes the quotes away from a field that is quoted from edge to edge."""
    field = field.strip()
    if len(field) < 2 or not field.startswith(b'"') or not field.endswith(b'"'):
        return field
    inner = field[1:-1]
    return field if b'"' in inner.replace(b'""', b"") else inner.replace(b'""', b'"')


def _split_strictly(line: bytes, separator: bytes) -> list[bytes]:
    """Splits a line of CSV; none where it is none."""
    text = line.decode("utf-8", "surrogateescape")
    try:
        (row,) = csv.reader([text], delimiter=separator.decode(), skipinitialspace=True, strict=True)
    except (csv.Error, ValueError):
        return []
    return [field.encode("utf-8", "surrogateescape") for field in row]
