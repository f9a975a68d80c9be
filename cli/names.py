"""Outside ids at the command line: looked up, refused with similar ones, and shown."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparserec_np.errors import DataError
from sparserec_np.runtime import Ids

SEARCHED_NAMES = 50_000  # text ids that are compared one by one for a near miss: a tenth of a second or two


def known(ids: Ids, wanted: object, noun: str) -> int | str:
    """Returns an id as the file has it, from what was typed or sent.

    Raises DataError, naming others like it.
    """
    row = ids.find(wanted)
    if row is None:
        near = _near(ids, str(wanted))
        raise DataError(f"unknown {noun} {wanted!r}: the model knows {len(ids):,} {noun}s{near}.")
    return ids[row]


def split_ids(lists: Sequence[str]) -> list[str]:
    """Splits comma-separated lists into ids.

    >>> split_ids(["7,11", "13"])
    ['7', '11', '13']
    """
    return [name for some in lists for name in some.split(",") if name]


def shown(name: int | str) -> str:
    """Writes an id as a cell of a table.

    Digits stay as they are, and nothing would steer the terminal.
    """
    return str(name) if str(name).isprintable() else repr(name)


def _near(ids: Ids, wanted: str) -> str:
    """Names up to three known ids like ``wanted``, as the end of a sentence.

    They are spelt like it, or are the nearest numbers.
    """
    near: list[Any]
    if not len(ids):
        return ""
    if ids.are_text:
        near = difflib.get_close_matches(wanted, list(ids.values[:SEARCHED_NAMES]), n=3, cutoff=0.7)
    else:
        try:
            distances = np.abs(ids.to_array() - float(int(wanted)))
        except (ValueError, OverflowError):
            return ", whose ids are integers"
        near = [ids[row] for row in sorted(np.argsort(distances, kind="stable")[:3].tolist())]
    return f"; near it: {', '.join(map(shown, near))}" if near else ""
