"""The options that say how a file of interactions is to be read, as one object.

Each is a keyword of :func:`sparserec_np.data.formats.read_interactions`, an option of the commands
that read files, and a name that a run's configuration may hold.
"""

from __future__ import annotations

import codecs
import math
from dataclasses import dataclass, fields
from typing import Any

from sparserec_np.errors import ConfigError, DataError

VALUES = "values"  # in place of a column's name: the values of a matrix
NO_COLUMN = "none"  # in place of a column's name: there is none, or it is not to be looked at
QUOTES = ("double", "none")
ON_BAD_LINE = ("error", "skip")
DECIMALS = (".", ",")
LINE_ORDERS = ("time", "none")

# Grammar -> what it looks like, in the words of a help text.
FORMATS = {
    "adjacency": "'user item item ...' a line, separated by blanks (LightGCN)",
    "udata": "user, item, rating, time separated by tabs (MovieLens u.data)",
    "ratings-dat": "user::item::rating::time (MovieLens ratings.dat)",
    "csv": "fields separated by commas, semicolons, bars, tabs or blanks, with or without a header",
    "tsv": "fields separated by tabs, with or without a header",
    "inter": "RecBole: tabs, and a header such as user_id:token, item_id:token",
    "jsonl": "a JSON object a line, with a user and an item",
    "npz": "a SciPy sparse matrix, users x items, numbered from 0",
    "mtx": "a Matrix Market matrix, users x items, numbered from 1",
    "parquet": "a Parquet table, read by pyarrow",
    "feather": "a Feather or Arrow table, read by pyarrow",
    "safetensors": "this library's own: the arrays as they lie in memory, mapped instead of read",
}

# Name of an option -> what its value may be, for configurations that are read.
KINDS: dict[str, tuple[type, ...]] = {
    "format": (str,),
    **dict.fromkeys(("user_col", "item_col", "rating_col", "time_col"), (str, int)),
    "min_rating": (int, float),
    "weight_col": (str, int),
    "dislike_below": (int, float),
    "header": (bool,),
    **dict.fromkeys(("quote", "on_bad_line", "encoding", "decimal", "line_order"), (str,)),
    **dict.fromkeys(("min_user", "min_item"), (int,)),
}
# Of these, what is said of all interactions that are trained on, and of no other file; so is the
# column of weights.
CORE = ("min_user", "min_item")


@dataclass(frozen=True)
class ReaderOptions:
    """What a caller says of a file. None is "not said": it is told from the file, or the default.

    Attributes:
        format: one of :data:`FORMATS`.
        user_col, item_col, rating_col, time_col: names in the header, or numbers from 0; of the
            last two also ``"none"``, for no such column.
        min_rating: the lowest rating that is an interaction; by default any above 0.
        weight_col: the column of weights, as above; of a matrix ``"values"``. By default none.
        dislike_below: rows rated below this are dislikes, and no interactions. By default none are.
        header: whether the first line names the columns.
        quote: ``"double"``, where fields may stand in double quotes as in CSV, or ``"none"``, where
            quotes are plain characters.
        on_bad_line: ``"error"`` (the default) or ``"skip"``.
        encoding: of the text; by default UTF-8, or what a byte order mark says.
        decimal: ``"."`` (the default) or ``","``, in ratings and times.
        line_order: ``"time"``, where the items of an adjacency file's lines stand in the order in
            which the user touched them, or ``"none"``; by default the first, unless the items of
            nearly all lines are sorted.
        min_user, min_item: interactions that each user, and each item, has at least: the others are
            left out, again and again until this holds.

    Raises:
        ConfigError: a value that is none of these.
    """

    format: str | None = None
    user_col: str | int | None = None
    item_col: str | int | None = None
    rating_col: str | int | None = None
    time_col: str | int | None = None
    min_rating: float | None = None
    header: bool | None = None
    quote: str | None = None
    on_bad_line: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    line_order: str | None = None
    min_user: int | None = None
    min_item: int | None = None
    weight_col: str | int | None = None
    dislike_below: float | None = None

    def __post_init__(self) -> None:
        """Refuses what is no value of an option."""
        if self.format is not None and self.format not in FORMATS:
            raise ConfigError(f"There is no format {self.format!r}; choose one of {', '.join(FORMATS)}.")
        if self.min_rating is not None and not math.isfinite(self.min_rating):
            raise ConfigError(f"The lowest rating must be a finite number, found {self.min_rating}.")
        if self.min_rating is not None and is_no_column(self.rating_col):
            raise ConfigError(
                "min_rating needs ratings, but rating_col says that there are none; leave out one."
            )
        if self.dislike_below is not None:
            check_dislike_below(self.dislike_below, self.min_rating, self.rating_col)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in (None, *choices):
                found = getattr(self, name)
                raise ConfigError(f"{name} must be {' or '.join(map(repr, choices))}, found {found!r}.")
        for name in CORE:
            least = getattr(self, name)
            if least is not None and (isinstance(least, bool) or not isinstance(least, int) or least < 1):
                raise ConfigError(f"{name} must be a whole number, 1 or above, found {least!r}.")
        if self.encoding is not None:
            _check_encoding(self.encoding)

    @property
    def columns(self) -> tuple[str | int | None, ...]:
        """The wishes for user, item, rating and time columns."""
        return self.user_col, self.item_col, self.rating_col, self.time_col

    @property
    def weighs_by(self) -> str | int | None:
        """The column of weights that is asked for, or None."""
        return None if is_no_column(self.weight_col) else self.weight_col

    @property
    def asks_for_ratings(self) -> bool:
        """Whether something is said that needs a rating in each row."""
        return self.min_rating is not None or self.dislike_below is not None

    def refuse_without_ratings(self, name: str) -> None:
        """Raises DataError, of a file of this name without ratings, where some are asked for."""
        for option, bound in (("--min-rating", self.min_rating), ("--dislike-below", self.dislike_below)):
            if bound is not None:
                raise DataError(
                    f"{name} has no rating column for {option} {bound:g}; name it with --rating-col."
                )

    @property
    def skips(self) -> bool:
        """Whether bad lines are left out and counted."""
        return self.on_bad_line == "skip"

    @property
    def describes_columns(self) -> bool:
        """Whether something is said that only a file with columns can have."""
        wishes = [wish for wish in self.columns if not is_no_column(wish)]
        if self.weight_col != VALUES:
            wishes.append(self.weighs_by)
        return bool(self.header) or any(wish is not None for wish in wishes)


_CHOICES = {"quote": QUOTES, "on_bad_line": ON_BAD_LINE, "decimal": DECIMALS, "line_order": LINE_ORDERS}


def is_no_column(wish: str | int | None) -> bool:
    """Tells whether a wish for a column says that there is none."""
    return isinstance(wish, str) and wish.lower() == NO_COLUMN


def without_core(given: dict[str, Any]) -> dict[str, Any]:
    """Takes out the options that are said of the interactions to train on alone.

    >>> without_core({"min_user": 5, "weight_col": "count", "format": "csv"})
    {'format': 'csv'}
    """
    return {name: value for name, value in given.items() if name not in (*CORE, "weight_col")}


def check_dislike_below(bound: float, min_rating: float | None, rating_col: str | int | None = None) -> None:
    """Refuses a bound of dislikes that is none, or above that of interactions.

    Raises:
        ConfigError: it is.
    """
    if not math.isfinite(bound):
        raise ConfigError(f"The rating that dislikes lie below must be a finite number, found {bound}.")
    if min_rating is not None and bound > min_rating:
        raise ConfigError(
            f"A row rated from {min_rating:g} on is an interaction by min_rating, and one below {bound:g} a dislike"
            " by dislike_below, which is more: lower it."
        )
    if is_no_column(rating_col):
        raise ConfigError(
            "dislike_below needs ratings, but rating_col says that there are none; leave out one."
        )


def _check_encoding(name: str) -> None:
    try:
        text = codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):  # a name with a NUL in it is a ValueError
        text = False
    if not text:
        raise ConfigError(f"There is no text encoding {name!r}; others are utf-8, cp1252, latin-1, utf-16.")


assert set(KINDS) == {one.name for one in fields(ReaderOptions)}
