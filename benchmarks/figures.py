"""Medians and spreads, and how they are written as Markdown."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """What repetitions gave: the median, the least and the most."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        """The median with three digits, and the range, if there is one, with as many decimals."""
        decimals = decimals_of(self.median)
        if self.low == self.high:
            return f"{self.median:.{decimals}f}"
        return f"{self.median:.{decimals}f} ({self.low:.{decimals}f} to {self.high:.{decimals}f})"


def spread(values: Iterable[float]) -> Spread:
    """Of one value or more.

    >>> str(spread([0.2, 0.1, 0.4]))
    '0.200 (0.100 to 0.400)'
    """
    found = sorted(values)
    return Spread(statistics.median(found), found[0], found[-1])


def decimals_of(value: float) -> int:
    """Decimals that show about three digits of ``value``.

    >>> [decimals_of(value) for value in (0.0123, 0.5, 1.5, 25.0, 300.0)]
    [4, 3, 2, 1, 0]
    """
    size = abs(value)
    return next((n for n, bound in enumerate((100, 10, 1, 0.1)) if size >= bound), 4)


def number(value: float | None) -> str:
    """About three digits; "-" for none."""
    return "-" if value is None else f"{value:,.{decimals_of(value)}f}"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table.

    >>> print(table(["way", "s"], [["ours", "1"]]))
    | way | s |
    |---|---|
    | ours | 1 |
    """
    lines = [headers, *rows]
    written = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([written[0], "|" + "---|" * len(headers), *written[1:]])


def prose(text: str) -> str:
    """Wraps a paragraph, or an item of a list, at 100 columns.

    >>> prose("word " * 30).splitlines() == [" ".join(["word"] * 20), " ".join(["word"] * 10)]
    True
    """
    indent = "  " if text.startswith("* ") else ""
    return textwrap.fill(text, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def replace_between(text: str, begin: str, end: str, content: str) -> str:
    """``text`` with what lies between the lines ``begin`` and ``end`` replaced; both are appended where missing.

    Raises:
        ValueError: only one of the two is there, or they are there in the wrong order or more than
            once.

    >>> replace_between("a\\n<b>\\nold\\n<e>\\nz\\n", "<b>", "<e>", "new")
    'a\\n<b>\\nnew\\n<e>\\nz\\n'
    """
    lines = text.splitlines()
    places = [lines.count(mark) for mark in (begin, end)]
    if places == [0, 0]:
        lines += [*([""] if lines else []), begin, end]
    elif places != [1, 1] or lines.index(begin) > lines.index(end):
        raise ValueError(f"expected one line {begin!r} and, below it, one line {end!r}")
    lines[lines.index(begin) + 1 : lines.index(end)] = content.splitlines()
    return "\n".join(lines) + "\n"
