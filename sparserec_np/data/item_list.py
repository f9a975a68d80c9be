"""A list of items without interactions: a file with an id a line."""

from __future__ import annotations

import re

from sparserec_np.data.ids import encode_ids
from sparserec_np.data.table import Array
from sparserec_np.errors import DataError

NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


def read_items(path: str) -> Array:
    """Reads ids of items, one a line: (n,) sorted, int64 if all are whole numbers, else text.

    Empty lines are left out.

    Raises:
        DataError: there are none, one is repeated, or the file is no UTF-8.
        OSError: the file cannot be read.
    """
    lines: dict[str, int] = {}
    try:
        with open(path, encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                name = line.strip()
                if name in lines:
                    raise DataError(
                        f"{path}, line {number}: item {name!r} stands in line {lines[name]}, too; leave one of them out"
                    )
                if name:
                    lines[name] = number
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8: expected the id of an item in each line") from error
    if not lines:
        raise DataError(f"{path} holds no item: expected the id of an item in each line")
    names = list(lines)
    whole = all(map(NUMBER.fullmatch, names))
    ids = encode_ids([int(name) for name in names] if whole else names, noun="item")[1]
    return ids
