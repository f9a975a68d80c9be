"""The layout of one delimited file, from its first lines and from what the caller says.

A *layout* says what separates the fields, whether the first line names them, and which field is
what.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sparserec_np.data.formats.fields import MISSING, WORDS
from sparserec_np.data.formats.header import (
    ITEM_NAMES,
    MOST_ROWS,
    RATING_NAMES,
    TIME_NAMES,
    USER_NAMES,
    has_header,
    is_number,
    plain,
)
from sparserec_np.data.formats.options import ReaderOptions, is_no_column
from sparserec_np.data.formats.quotes import Quoting, split_line
from sparserec_np.data.formats.source import Source, shown
from sparserec_np.errors import ConfigError, DataError

SEPARATORS = (b",", b"\t", b";", b"|")
NAMES_OF_SEPARATORS = {
    b",": "commas",
    b"\t": "tabs",
    b";": "semicolons",
    b"|": "bars",
    b" ": "blanks",
    b"::": "'::'",
}


@dataclass(frozen=True)
class Layout:
    """The way in which the lines of one file are made.

    Attributes:
        separator: between fields.
        fields: how many a line has.
        names: of the columns, where the first line names them.
        user, item, rating, time, weight: numbers of columns; None where there is none.
        quoting: what double quotes mean.
        integers_only: advice to give where an id is no whole number; None where it may be text.
        unsaid_header: the first row, where it might be a header as well.
    """

    separator: bytes
    fields: int
    names: tuple[str, ...] | None
    user: int
    item: int
    rating: int | None
    time: int | None
    weight: int | None = None
    quoting: Quoting = Quoting.NONE
    integers_only: str | None = None
    unsaid_header: str = ""

    def name_of(self, column: int | None) -> str | None:
        """Writes the name of a column for a message."""
        if column is None:
            return None
        return self.names[column] if self.names else f"column {column}"


WIDEST = 1_000_000  # columns of a table


def find_layout(source: Source, kind: str, options: ReaderOptions) -> Layout:
    """Finds the layout of an open source.

    Args:
        source: an open source, of which only the head is looked at.
        kind: ``csv``, ``tsv``, ``udata``, ``ratings-dat`` or ``inter``.
        options: the caller's wishes.

    Raises:
        DataError: the file is empty, a column that was asked for is not there, or user and item
            cannot be told.
    """
    numbered = source.lines(MOST_ROWS)
    if not numbered:
        raise DataError(f"{source.name} is empty: expected one interaction a line.")
    lines = [line for _, line in numbered]
    if options.skips and kind == "csv":
        lines = _usual(lines)
    known = {"udata": b"\t", "ratings-dat": b"::", "inter": b"\t"}
    separator = known.get(kind) or sniff_separator(lines[:20], kind, options.decimal)
    if (columns := lines[0].count(separator) + 1) > WIDEST:  # which took gigabytes, cell by cell
        found = f"one of over {WIDEST:,} columns ({columns:,} in its beginning)"
        raise source.refuse(numbered[0][0], "a table with a user and an item in each row", found)
    quoting = Quoting.of(kind, separator, options.quote)
    rows = [split_line(line, separator, quoting) for line in lines]
    if options.skips:  # the first line may be bad
        usual = Counter(len(row) for row in rows).most_common(1)[0][0]
        rows = [row for row in rows if len(row) == usual]
    first = rows[0]
    if len(first) < 2:
        raise source.refuse(
            numbered[0][0],
            f"a user and an item separated by {NAMES_OF_SEPARATORS[separator]}",
            shown(lines[0]),
            "name another --format if this is one",
        )
    header, unsaid = has_header(source, rows, kind, options)
    places = columns_by_name(source, first, options) if header else _by_place(source, rows, options)
    return Layout(
        separator,
        len(first),
        tuple(first) if header else None,
        *places,
        quoting=quoting,
        integers_only="pass --format tsv if ids are words" if kind == "udata" else None,
        unsaid_header=unsaid,
    )


def sniff_separator(lines: list[bytes], kind: str = "csv", decimal: str | None = None) -> bytes:
    """Finds the separator that splits the first lines into the most fields, equally many in each.

    Blanks come last, and the mark in decimal fractions only where there is nothing else.
    """
    if kind == "tsv":
        return b"\t"
    candidates = [mark for mark in SEPARATORS if mark.decode() != decimal]
    steady = [sep for sep in candidates if len({line.count(sep) for line in lines}) == 1 and sep in lines[0]]
    if steady:
        return max(steady, key=lines[0].count)
    best = max(candidates, key=lines[0].count)
    if best in lines[0]:
        return best
    if decimal == "," and b"," in lines[0] and len({len(line.split()) for line in lines}) > 1:
        return b","  # in such a file fractions stand in quotes
    return b" " if len(lines[0].split()) > 1 else b","


def _is_place(wish: str | int) -> bool:
    return isinstance(wish, int) or wish.isdecimal()


def _place(source: Source, wish: str | int, names: list[str] | None, fields: int, option: str) -> int:
    """Finds the column that the caller means.

    It is a header's exact name, then its name in any case, then a number from 0.
    """
    if names is not None and isinstance(wish, str):
        alike = [at for at, name in enumerate(names) if name == wish] or [
            at for at, name in enumerate(names) if plain(name) == plain(wish)
        ]
        if alike:
            return alike[0]
    if _is_place(wish) and int(wish) < fields:
        return int(wish)
    there = f"0 to {fields - 1}" if names is None else ", ".join(names)
    raise DataError(f"{source.name} has no column {wish!r} for {option}; the columns there are {there}.")


def _usual(lines: list[bytes]) -> list[bytes]:
    """Keeps the lines that are like most others, by the separator that most have equally often."""
    best: tuple[int, int, bytes] = (0, 0, b"")
    for mark in SEPARATORS:
        counts = Counter(count for line in lines if (count := line.count(mark)))
        for count, many in counts.most_common(1):
            best = max(best, (many, count, mark))
    return [line for line in lines if line.count(best[2]) == best[1]] if best[0] else lines


Places = tuple[int, int, int | None, int | None, int | None]  # the last that of weights


def columns_by_name(source: Source, names: list[str], options: ReaderOptions) -> Places:
    """Finds the user, item, rating, time and weight columns of a file whose columns have names.

    A column of weights is not one of ratings or times as well, unless it is named for that, or
    ratings are asked for and there are no others.

    Raises:
        DataError: one that was asked for is not there, or there is none like a user or an item.
        ConfigError: user and item are to be one column.
    """
    alike = [plain(name) for name in names]

    def find(
        wish: str | int | None, known: tuple[str, ...], option: str, taken: tuple[int, ...] = ()
    ) -> int | None:
        if wish is not None:
            return _place(source, wish, names, len(names), option)
        free = [None if place in taken else name for place, name in enumerate(alike)]
        return next((free.index(name) for name in known if name in free), None)

    user = find(options.user_col, USER_NAMES, "--user-col")
    item = find(options.item_col, ITEM_NAMES, "--item-col")
    if options.header and user is None and item is None and len(names) == 2:
        user, item = 0, 1  # the caller says that these are names, and there is nothing else to find
    for found, article, noun in ((user, "a", "user"), (item, "an", "item")):
        if found is None:
            there = ", ".join(name or "''" for name in names)
            raise DataError(
                f"{source.name} has no column named like {article} {noun};"
                f" name one of {there} with --{noun}-col."
            )
    assert user is not None and item is not None
    _distinct(user, item)
    rating = time = None
    weight = find(options.weighs_by, (), "--weight-col")
    taken = (user, item) if weight is None else (user, item, weight)
    if not is_no_column(options.rating_col):
        rating = find(options.rating_col, RATING_NAMES, "--rating-col", taken)
    if not is_no_column(options.time_col):
        time = find(options.time_col, TIME_NAMES, "--time-col", taken)
    if rating is None and options.asks_for_ratings:
        rating = weight
    places = user, item, rating, time, weight
    source.unread = [name for place, name in enumerate(names) if place not in places]
    return places


def _by_place(source: Source, rows: list[list[str]], options: ReaderOptions) -> Places:
    """Finds the columns of a file whose first line names none.

    They are user, item, rating and time in this order, the last two if numbers stand there.
    """
    wishes = [None if is_no_column(wish) else wish for wish in options.columns]
    wishes.append(options.weighs_by)
    taken = {int(wish) for wish in wishes if wish is not None and _is_place(wish)}
    fields = len(rows[0])

    def find(column: int, option: str) -> int | None:
        wish = wishes[column]
        if wish is not None:
            return _place(source, wish, None, fields, option)
        if is_no_column(options.columns[column]) and column > 1:
            return None
        there = column < fields and column not in taken
        return column if there and (column < 2 or _holds_values(rows, column, options)) else None

    user, item = find(0, "--user-col"), find(1, "--item-col")
    if user is None or item is None:
        raise ConfigError(
            "Name both --user-col and --item-col: one of them takes the usual place of the other."
        )
    _distinct(user, item)
    weight = None if wishes[4] is None else find(4, "--weight-col")
    rating, time = find(2, "--rating-col"), find(3, "--time-col")
    places = user, item, weight if rating is None and options.asks_for_ratings else rating, time, weight
    source.unread = [f"column {place}" for place in range(fields) if place not in places]
    return places


def _holds_values(rows: list[list[str]], column: int, options: ReaderOptions) -> bool:
    """Tells whether numbers stand in a column, or words for yes and no, by the first value there is."""
    given = (row[column] for row in rows if len(row) > column)
    first = next((value for value in given if value and value.encode() not in MISSING), "")
    first = first.replace(",", ".") if options.decimal == "," else first
    return is_number(first) or first.lower().encode() in WORDS


def _distinct(user: int, item: int) -> None:
    if user == item:
        raise ConfigError(
            f"Users and items must be two columns, but both --user-col and --item-col name column {user}."
        )
