"""Tables with named columns: frames of pandas, polars and pyarrow, dicts and structured arrays.

The columns of users, items, ratings and times are found by the names that files have
(:mod:`~sparserec_np.data.formats.layout`), or by the names that the caller says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from sparserec_np.data.formats.header import (
    ITEM_NAMES,
    RATING_NAMES,
    TIME_NAMES,
    USER_NAMES,
)
from sparserec_np.data.formats.header import plain as plain_name
from sparserec_np.data.formats.opinions import WEIGHT, sound_weights
from sparserec_np.data.formats.options import NO_COLUMN, VALUES
from sparserec_np.data.moments import as_times
from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError, DataError


class Frame(NamedTuple):
    """A table with named columns.

    Attributes:
        names: of the columns, as they are there: texts, or numbers where nobody has named them.
        column: returns the values of the column at a place.
    """

    names: Sequence[Any]
    column: Callable[[int], Any]


class Options(NamedTuple):
    """What the caller says of columns and ratings; see :func:`as_interactions` of ``conversion``."""

    user_col: str | int | None = None
    item_col: str | int | None = None
    rating_col: str | int | None = None
    time_col: str | int | None = None
    weight_col: str | int | None = None
    min_rating: float | None = None
    dislike_below: float | None = None
    sample_weight: Any = None

    @property
    def name_columns(self) -> bool:
        """Whether any column is named."""
        named = self[:4] if self.weight_col in (VALUES, NO_COLUMN) else self[:5]
        return any(wish is not None for wish in named)

    @property
    def asks_for_ratings(self) -> bool:
        """Whether something is said that needs a rating for each interaction."""
        return self.min_rating is not None or self.dislike_below is not None


class Rows(NamedTuple):
    """The interactions of a table, row by row.

    Attributes:
        users: ``(n,)`` outside ids, not yet checked.
        items: likewise.
        times: ``(n,)`` moments, or None.
        kept: ``(n,)`` bool, which rows are interactions; None for all.
        weights: ``(n,)`` of the rows that are; None where all count alike.
        disliked: ``(n,)`` bool, which rows are dislikes, and not among ``kept``; None for none.
    """

    users: Any
    items: Any
    times: Array | None = None
    kept: Array | None = None
    weights: Array | None = None
    disliked: Array | None = None


def as_frame(given: Any) -> Frame | None:
    """Takes a table with named columns by its names; returns None for anything else.

    It may be a dict of columns, a list of dicts, a structured array, or what narwhals reads:
    frames of pandas, polars, pyarrow and others.

    Raises:
        DataError: narwhals, which newer versions of scikit-learn bring, is missing, or refuses it.
    """
    if hasattr(given, "tocoo"):  # a matrix, though SciPy's dictionary of keys is a mapping
        return None
    if isinstance(given, Mapping):
        names = list(given)
        return Frame(names, lambda at: given[names[at]])
    if isinstance(given, np.ndarray) and given.dtype.names:
        fields = given.dtype.names
        return Frame(fields, lambda at: given[fields[at]])
    if isinstance(given, list) and given and all(isinstance(row, Mapping) for row in given):
        keys = list(given[0])
        return Frame(keys, lambda at: [row.get(keys[at]) for row in given])
    if isinstance(given, (list, tuple, np.ndarray)):
        return None
    return _by_narwhals(given)


def _by_narwhals(given: Any) -> Frame | None:
    """Takes a frame that narwhals knows."""
    try:
        import narwhals
    except ImportError:
        if hasattr(given, "columns") or hasattr(given, "column_names"):
            raise DataError(
                "Frames are read by narwhals, which is not installed: pip install narwhals, or give pairs with"
                " Interactions.from_pairs(users, items)"
            ) from None
        return None
    try:
        frame = narwhals.from_native(_as_table(given), pass_through=True)
        if isinstance(frame, narwhals.LazyFrame):
            frame = frame.collect()
        if not isinstance(frame, narwhals.DataFrame):
            return None
        names = frame.columns
    except (TypeError, ValueError) as error:
        raise DataError(f"The frame cannot be read: {' '.join(str(error).split())}") from error
    return Frame(names, lambda at: frame[:, at].to_native())


def _as_table(given: Any) -> Any:
    """Makes a table of a batch of Arrow's; returns all else as it is."""
    if hasattr(given, "__arrow_c_array__") and hasattr(given, "num_columns"):
        with suppress(ImportError):
            import pyarrow

            return pyarrow.table(given)
    return given


def find_rows(frame: Frame, options: Options) -> Rows:
    """Finds users, items and times of a table, and which rows are interactions.

    Rows whose rating is zero or below are none; a rating that is missing says nothing. Times that
    nobody asked for and that are neither numbers nor dates are left alone.

    Args:
        frame: the table.
        options: the caller's wishes.

    Raises:
        DataError: a column is not there, or holds what cannot be used.
        ConfigError: users and items are one column.
    """
    user = _find(frame, options.user_col, USER_NAMES, "user")
    item = _find(frame, options.item_col, ITEM_NAMES, "item")
    if user is None or item is None:
        noun = "a user" if user is None else "an item"
        there = ", ".join(map(str, frame.names)) or "none"
        option = f"{noun.split()[1]}_col"
        raise DataError(
            f"The frame has no column named like {noun}; the columns there are {there[:300]}. Name it with"
            f" as_interactions(frame, {option}=...), or give a table of users x items as an array."
        )
    if user == item:
        raise ConfigError(f"Users and items must be two columns, but both are {frame.names[user]!r}.")
    weight = _find_weight(frame, options)
    rating = _find(frame, options.rating_col, RATING_NAMES, "rating", weight)
    time = _find(frame, options.time_col, TIME_NAMES, "time", weight)
    rating = weight if rating is None and options.asks_for_ratings else rating
    users, items = frame.column(user), frame.column(item)
    times = None if time is None else _times(frame, time, len(users), options.time_col is not None)
    kept = disliked = None
    if rating is not None:
        kept, disliked = _kept(frame, rating, options)
    elif options.asks_for_ratings:
        asked = "min_rating" if options.dislike_below is None else "dislike_below"
        raise DataError(f"The frame has no rating column for {asked}; name it with rating_col.")
    weights = None if weight is None else _weights(frame, weight, kept)
    return Rows(users, items, times, kept, weights, disliked)


def _find_weight(frame: Frame, options: Options) -> int | None:
    """Finds the place of the column of weights, where one is asked for."""
    if options.weight_col is None:
        return None
    if options.sample_weight is not None:
        raise ConfigError("Weights come from weight_col or from sample_weight, found both; leave out one.")
    return _find(frame, options.weight_col, (), "weight")


def _weights(frame: Frame, place: int, kept: Array | None) -> Array:
    """Returns the weights of all rows, float64; those of rows that are no interactions mean nothing."""
    name = frame.names[place]
    try:
        values = np.array(_numbers(frame.column(place)), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"The column {name!r} must hold weights that are numbers: {error}") from error
    good = sound_weights(values) if kept is None else sound_weights(values) | ~kept
    if not good.all():
        at = int(np.flatnonzero(~good)[0])
        raise DataError(f"The column {name!r} must hold {WEIGHT}, found {values[at]} at place {at}.")
    return values


def _find(
    frame: Frame, wish: str | int | None, known: Sequence[str], noun: str, taken: int | None = None
) -> int | None:
    """Finds the place of a column: as the caller says it, by its name, or by its usual place.

    Places are usual where the columns have numbers for names, as in a table without a header. The
    place that is ``taken`` is found only where the caller says so.
    """
    names = list(frame.names)
    if wish is None:
        if names and all(isinstance(name, (int, np.integer)) for name in names):
            usual = ("user", "item", "rating", "time").index(noun)
            return usual if usual < len(names) and usual != taken else None
        plain = [plain_name(str(name)) if at != taken else "" for at, name in enumerate(names)]
        return next((plain.index(name) for name in known if name in plain), None)
    if wish in names:
        return names.index(wish)
    if wish == NO_COLUMN and noun in ("rating", "time", "weight"):
        return None
    alike = [at for at, name in enumerate(names) if plain_name(str(name)) == plain_name(str(wish))]
    if alike:
        return alike[0]
    if (isinstance(wish, int) or wish.isdecimal()) and int(wish) < len(names):
        return int(wish)
    there = ", ".join(map(str, names))
    raise DataError(f"The frame has no column {wish!r} for {noun}_col; the columns there are {there[:300]}.")


def _times(frame: Frame, place: int, n: int, wanted: bool) -> Array | None:
    """Returns the moments in a column; None where they are none and nobody asked for them."""
    try:
        values = np.asarray(frame.column(place))
        if values.dtype.kind in "OUT" and n and isinstance(values[0], str):
            values = values.astype(str).astype("datetime64[s]")  # ISO dates, as in files
        return as_times(values, n)
    except ValueError as error:
        if wanted:
            raise DataError(f"The column {frame.names[place]!r} holds no times: {error}") from error
        return None


def _kept(frame: Frame, place: int, options: Options) -> tuple[Array | None, Array | None]:
    """Tells which rows are rated as interactions, and which as dislikes.

    None where the ratings say nothing of them.
    """
    name, min_rating = frame.names[place], options.min_rating
    wanted = options.rating_col is not None or options.asks_for_ratings
    try:
        ratings = np.array(_numbers(frame.column(place)), dtype=np.float64)
    except (TypeError, ValueError) as error:
        if wanted:
            raise DataError(f"The column {name!r} must hold ratings that are numbers: {error}") from error
        return None, None
    if np.isinf(ratings).any():
        at = int(np.flatnonzero(np.isinf(ratings))[0])
        raise DataError(f"The column {name!r} must hold finite numbers, found {ratings[at]} at place {at}.")
    kept = ~(ratings <= 0) if min_rating is None else ratings >= min_rating  # what is missing is not below
    if options.dislike_below is None:
        return kept, None
    disliked = ratings < options.dislike_below
    return kept & ~disliked, disliked


def _numbers(values: Any) -> Any:
    """Returns numbers as an array, in which what is missing is NaN."""
    found = np.asarray(values)
    if found.dtype.kind == "O":
        return [np.nan if one is None or type(one).__name__ == "NAType" else one for one in found]
    if found.dtype.kind not in "biuf":
        raise ValueError(f"found {found.dtype}")
    return found
