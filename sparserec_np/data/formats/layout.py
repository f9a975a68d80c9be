"""The layout of one delimited file, from its first lines and from what the caller says.

A *layout* says what separates the fields, whether the first line names them, and which field is
what.
"""

from __future__ import annotations

import contextlib
import csv
import io
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from sparserec_np.data.formats.source import Source, shown
from sparserec_np.errors import ConfigError, DataError

# Lower case; compared after blanks, "_", "-" and RecBole's ":type" are gone.
USER_NAMES = tuple("user userid uid username reviewerid visitorid customerid sessionid session".split())
ITEM_NAMES = tuple(
    "item itemid iid movieid movie bookid isbn asin parentasin productid product artistid trackid songid businessid "
    "gameid animeid articleid newsid poi poiid venueid locationid".split()
)
RATING_NAMES = tuple(
    "rating ratings stars score overall value weight count playcount plays bookrating".split()
)
TIME_NAMES = tuple("timestamp time ts unixtime unixreviewtime date datetime reviewtime".split())

NAMES_OF_SEPARATORS = {
    b",": "commas",
    b"\t": "tabs",
    b";": "semicolons",
    b"|": "bars",
    b" ": "blanks",
    b"::": "'::'",
}


class Columns(NamedTuple):
    """The columns that the caller asked for.

    Each is a header's name, a number from 0, or None for "find it".
    """

    user: str | int | None = None
    item: str | int | None = None
    rating: str | int | None = None
    time: str | int | None = None


@dataclass(frozen=True)
class Layout:
    """The way in which the lines of one file are made."""

    separator: bytes
    fields: int
    header: bool
    user: int
    item: int
    rating: int | None
    time: int | None
    quoted: bool = False  # may a field stand in double quotes?
    integers_only: str | None = None  # advice to give where an id is no whole number


def find_layout(source: Source, kind: str, columns: Columns) -> Layout:
    """Finds the layout of an open source.

    Args:
        source: an open source, of which only the head is looked at.
        kind: ``csv``, ``tsv``, ``udata``, ``ratings-dat`` or ``inter``.
        columns: the caller's wishes.

    Raises:
        DataError: the file is empty, a column that was asked for is not there, or user and item
            cannot be told.
    """
    lines = first_lines(source.head())
    if not lines:
        raise DataError(f"{source.name} is empty: expected one interaction a line.")
    separator = {"udata": b"\t", "ratings-dat": b"::", "inter": b"\t"}.get(kind) or sniff_separator(
        lines, kind
    )
    quoted = kind in ("csv", "tsv")
    rows = [split_line(line, separator, quoted) for line in lines]
    first = rows[0]
    if len(first) < 2:
        number = 1 + first_lines(source.head(), blank_too=True).index(lines[0])
        raise source.refuse(
            number,
            f"a user and an item separated by {NAMES_OF_SEPARATORS[separator]}",
            shown(lines[0]),
            "name another --format if this is one",
        )
    named = any(isinstance(wish, str) and not _is_place(wish) for wish in columns)
    header = kind == "inter" or (kind in ("csv", "tsv") and (named or _looks_like_header(rows)))
    layout = _by_name(source, first, columns) if header else _by_place(source, first, columns)
    return Layout(
        separator,
        len(first),
        header,
        *layout,
        quoted=quoted,
        integers_only="pass --format tsv if ids are words" if kind == "udata" else None,
    )


def first_lines(head: bytes, blank_too: bool = False) -> list[bytes]:
    """Returns at most 20 lines from the beginning of a head, without line ends.

    Blank ones are left out unless asked for.
    """
    lines = (line.rstrip(b"\r\n") for line in io.BytesIO(head.removeprefix(b"\xef\xbb\xbf")[: 1 << 20]))
    return list(islice((line for line in lines if blank_too or line.strip()), 20))


def sniff_separator(lines: list[bytes], kind: str = "csv") -> bytes:
    """Finds the separator that splits the first lines into the most fields, equally many in each.

    Blanks come last.
    """
    if kind == "tsv":
        return b"\t"
    candidates = [b",", b"\t", b";", b"|"]
    steady = [sep for sep in candidates if len({line.count(sep) for line in lines}) == 1 and sep in lines[0]]
    if steady:
        return max(steady, key=lines[0].count)
    best = max(candidates, key=lines[0].count)
    return best if best in lines[0] else b" " if len(lines[0].split()) > 1 else b","


def split_line(line: bytes, separator: bytes, quoted: bool) -> list[str]:
    """Splits one line into its fields, trimmed."""
    text = line.decode("utf-8", "replace")
    if separator == b" ":
        return text.split()
    if quoted and '"' in text:
        with contextlib.suppress(
            csv.Error
        ):  # it is no CSV then, which the reader will refuse by its line number
            return [field.strip() for field in next(csv.reader([text], delimiter=separator.decode()))]
    return [field.strip() for field in text.split(separator.decode())]


def _plain(name: str) -> str:
    """Writes a column's name as the lists of known names do."""
    return name.split(":")[0].strip().lower().replace("_", "").replace("-", "").replace(" ", "")


def _looks_like_header(rows: list[list[str]]) -> bool:
    """Tells whether the first line names the columns.

    No field of it is a number, and one is a known name or stands above nothing but numbers.
    """
    if any(_is_number(field) for field in rows[0]):
        return False
    if {_plain(field) for field in rows[0]} & {*USER_NAMES, *ITEM_NAMES}:
        return True
    return any(all(_is_number(field) for field in column) for column in zip(*rows[1:], strict=False))


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _is_place(wish: str | int) -> bool:
    return isinstance(wish, int) or wish.isdecimal()


def _place(source: Source, wish: str | int, names: list[str] | None, fields: int, option: str) -> int:
    """Finds the column that the caller means.

    It is a header's exact name, then its name in any case, then a number from 0.
    """
    if names is not None and isinstance(wish, str):
        alike = [at for at, name in enumerate(names) if name == wish] or [
            at for at, name in enumerate(names) if _plain(name) == _plain(wish)
        ]
        if alike:
            return alike[0]
    if _is_place(wish) and int(wish) < fields:
        return int(wish)
    there = f"0 to {fields - 1}" if names is None else ", ".join(names)
    raise DataError(f"{source.name} has no column {wish!r} for {option}; the columns there are {there}.")


def _by_name(source: Source, names: list[str], columns: Columns) -> tuple[int, int, int | None, int | None]:
    """Finds user, item, rating and time columns of a file whose first line names them."""
    plain = [_plain(name) for name in names]

    def find(wish: str | int | None, known: tuple[str, ...], option: str) -> int | None:
        if wish is not None:
            return _place(source, wish, names, len(names), option)
        return next((plain.index(name) for name in known if name in plain), None)

    user, item = find(columns.user, USER_NAMES, "--user-col"), find(columns.item, ITEM_NAMES, "--item-col")
    for found, noun in ((user, "user"), (item, "item")):
        if found is None:
            there = ", ".join(names)
            raise DataError(
                f"{source.name} has no column named like a {noun}; name one of {there} with --{noun}-col."
            )
    assert user is not None and item is not None
    _distinct(user, item)
    return (
        user,
        item,
        find(columns.rating, RATING_NAMES, "--rating-col"),
        find(columns.time, TIME_NAMES, "--time-col"),
    )


def _by_place(source: Source, first: list[str], columns: Columns) -> tuple[int, int, int | None, int | None]:
    """Finds the columns of a file whose first line names none.

    They are user, item, rating and time in this order, the last two if numbers stand there.
    """

    def find(wish: str | int | None, usual: int, option: str) -> int | None:
        if wish is not None:
            return _place(source, wish, None, len(first), option)
        taken = {int(other) for other in columns if other is not None and _is_place(other)}
        return (
            usual
            if usual < len(first) and usual not in taken and (usual < 2 or _is_number(first[usual]))
            else None
        )

    user, item = find(columns.user, 0, "--user-col"), find(columns.item, 1, "--item-col")
    if user is None or item is None:
        raise ConfigError(
            "Name both --user-col and --item-col: one of them takes the usual place of the other."
        )
    _distinct(user, item)
    return user, item, find(columns.rating, 2, "--rating-col"), find(columns.time, 3, "--time-col")


def _distinct(user: int, item: int) -> None:
    if user == item:
        raise ConfigError(
            f"Users and items must be two columns, but both --user-col and --item-col name column {user}."
        )
