"""The output of commands: JSON for programs, tables for eyes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import click


def emit_json(value: Any) -> None:
    """Prints ``value`` as one line of strict JSON on stdout.

    NumPy scalars and arrays become numbers and lists; NaN and infinities, which JSON does not know,
    become null.
    """
    click.echo(json.dumps(_plain(value), allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # a NumPy scalar or array, without importing NumPy to ask
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def table(rows: Sequence[Sequence[Any]], headers: Sequence[str] | None = None) -> str:
    """Writes ``rows`` as aligned plain text.

    Numbers stand to the right, text to the left, two blanks between columns. Where all numbers of a
    column are floats, their decimal points stand below each other.

    Args:
        rows: cells, row by row; each row has the same length. See :func:`cell` for how a value is
            written.
        headers: names of the columns, underlined; without them the rows stand alone.

    >>> print(table([["recall@20", 0.15273], ["users", 29858]], ["metric", "value"]))
    metric      value
    ---------  ------
    recall@20  0.1527
    users      29,858
    >>> print(table([["recall", 0.15273], ["novelty", 2.5], ["popularity", 181.29]]))
    recall        0.1527
    novelty       2.5
    popularity  181.3
    """
    columns = [_column(values) for values in zip(*rows, strict=True)]
    lines = [list(line) for line in zip(*columns, strict=True)]
    numeric = [all(map(_is_number, column)) for column in zip(*rows, strict=True)]
    if headers is not None:
        lines.insert(0, list(headers))
        numeric = numeric or [False] * len(headers)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if headers is not None:
        lines.insert(1, ["-" * width for width in widths])
    text = (
        "  ".join(
            word.rjust(width) if right else word.ljust(width)
            for word, width, right in zip(line, widths, numeric, strict=True)
        )
        for line in lines
    )
    return "\n".join(line.rstrip() for line in text)


def _column(values: Sequence[Any]) -> list[str]:
    """Writes the cells of a column, filled up so that decimal points align where all are floats."""
    words = [cell(value) for value in values]
    if not all(value is None or isinstance(value, float) for value in values):
        return words
    tails = [len(word) - len(word.partition(".")[0]) for word in words]
    return [word + " " * (max(tails) - tail) for word, tail in zip(words, tails, strict=True)]


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def cell(value: Any) -> str:
    """Writes a value as people read it.

    >>> [cell(value) for value in (29858, 0.152734, 12345.6, True, None, "text")]
    ['29,858', '0.1527', '12,346', 'yes', '-', 'text']
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < math.inf else f"{value:.4g}"
    return str(value)


def examples(ids: Any) -> str:
    """Writes a few of the outside ids in an array, in quotation marks where they are text.

    >>> import numpy as np
    >>> examples(np.array([3, 5, 9, 11])), examples(np.array(["007"]))
    ('like 3, 5, 9', "like '007'")
    """
    shown = ", ".join(map(repr, ids[:3].tolist()))
    return f"like {shown}" if shown else "(none)"


def counted(count: int, noun: str) -> str:
    """Writes a number and its noun.

    >>> counted(1, "interaction"), counted(2500, "interaction")
    ('1 interaction', '2,500 interactions')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def human_bytes(count: int) -> str:
    """Writes a number of bytes in decimal units, as budgets are given: 1 MB is 1,000,000 bytes.

    >>> human_bytes(999), human_bytes(1_500_000), human_bytes(22_668_480)
    ('999 B', '1.5 MB', '22.7 MB')
    """
    if count < 1000:
        return f"{count} B"
    size, unit = count / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if size < 999.95:  # what is written as 999.9
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}"
