"""Conversion of what people have in their hands to Interactions.

There are two kinds. Pairs say who touched what, by ids: Interactions, files, frames, ``(n, 2)``
arrays and lists of tuples. Tables of users x items, as matrices and dense arrays, know places
alone: row 5 is user 5, whoever that is. So a table goes together with another, or with a model,
only where it has the same shape and nobody has other ids.
"""

from __future__ import annotations

import math
import os
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

from sparserec_np.data.formats import read_interactions
from sparserec_np.data.formats.options import VALUES, check_dislike_below
from sparserec_np.data.frames import Options, Rows, as_frame, find_rows
from sparserec_np.data.interactions import Interactions, expect_interactions
from sparserec_np.data.matrices import (
    cell_weights,
    check_values,
    coordinates,
    disliked_cells,
    touched_cells,
)
from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError, DataError

KINDS = "Interactions, the path of a file, a frame, (n, 2) pairs of ids, a list of tuples, or a matrix of users x items"
# Two of these make a pair, and so many are the fields of a row with a rating, or with a time, too.
PAIR, ROW_FIELDS = 2, (3, 4)


class _Cell(DataError, TypeError):
    """A cell that is no number."""


class _NoFile(DataError, FileNotFoundError):
    """A path where there is no file."""


# Names of the options with which interactions are read of files; those of frames are among them.
READER_OPTIONS = tuple(name for name in signature(read_interactions).parameters if name != "path")


def as_interactions(given: Any, **options: Any) -> Interactions:
    """Converts what people bring to Interactions.

    Args:
        given: Interactions; the path of a file; a frame of pandas, polars or pyarrow, a dict of
            columns or a structured array, with columns named as in files; ``(n, 2)`` pairs of ids
            as an array or as a list of tuples; or a SciPy matrix or a dense array of users x items,
            in which what is above zero counts and the ids are the numbers of rows and columns.
        options: ``user_col``, ``item_col``, ``rating_col``, ``time_col``, ``weight_col`` (names or
            numbers of columns; ``"none"`` for the last three), ``min_rating`` and
            ``dislike_below``; of a file all that
            :func:`~sparserec_np.data.formats.read_interactions` takes. Of a matrix, ``weight_col``
            may be ``"values"``. ``sample_weight`` are ``(n,)`` weights of pairs, one for each row
            of what is given. Without either, all interactions count alike.

    Raises:
        DataError: it is something else, may be read in two ways, or holds what is no interaction:
            an id that is missing, a value that is not finite.
        ConfigError: an option that there is not, or that does not go with it.

    >>> from scipy.sparse import csr_matrix
    >>> as_interactions(csr_matrix([[0, 2.0, 0], [1.0, 0, 0]]))
    Interactions(users=2, items=3, interactions=2)
    >>> as_interactions([("ann", 7), ("bob", 7)])
    Interactions(users=2, items=1, interactions=2)
    """
    return _convert(given, options).log


def as_known(given: Any, known: Interactions, **options: Any) -> Interactions:
    """Converts interactions to place among known ones, which a model has, say: a held-out part.

    Args:
        given: as for :func:`as_interactions`. A table must have a row for each known user and a
            column for each known item.
        known: the interactions that say who is who.
        options: as for :func:`as_interactions`.

    Raises:
        DataError: a table of another shape, or users and items with ids of their own; and as
            :func:`as_interactions`.
    """
    return _check_shape(_convert(given, options), known)


def as_placed(given: Any, known: Interactions) -> Interactions:
    """Converts interactions to the users and items of known ones; what is not known is left out.

    See :func:`as_known`, which leaves nothing out.
    """
    found = as_known(given, known)
    if found.user_ids is known.user_ids and found.item_ids is known.item_ids:
        return found
    return found.aligned_to(known)[0]


def as_held_out(given: Any, known: Interactions, **options: Any) -> Interactions:
    """Converts what was held out of training, of which the known interactions are the rest.

    It is as :func:`as_known`, but that a table must not be known in part. Where it is, its rows may
    well be other users than those who were trained on, as the other half of a matrix is.
    """
    found = _convert(given, options)
    log = _check_shape(found, known)
    shared = log.shared_with(known) if found.is_table else 0
    if 0 < shared < log.n_interactions:
        raise DataError(
            f"{shared:,} of the {log.n_interactions:,} interactions in the table X were trained on, too. Held-out ones"
            " are none of these, so its rows are other users than the model's, as where rows were split, or it holds"
            " training data: leave out what was trained on, and to cross-validate, split pairs of ids, not rows:"
            " cross_val_score(model, pairs, cv=InteractionKFold(5))."
        )
    return log


def as_more(given: Any, known: Interactions, **options: Any) -> Interactions:
    """Converts interactions to add to known ones.

    It is as :func:`as_known`, but that a table may have more rows and columns: new users and items.
    """
    found = _convert(given, options)
    if found.is_table:
        if found.log.n_users < known.n_users or found.log.n_items < known.n_items:
            raise _other_shape(found.log, known, " Rows and columns of new users and items come after those.")
        _check_places(known)
    return found.log


class _Converted(NamedTuple):
    log: Interactions
    is_table: bool = False  # of users x items, whose ids are places


def _check_shape(found: _Converted, known: Interactions) -> Interactions:
    """Returns interactions that a table of other users does not hold."""
    if found.is_table:
        if (found.log.n_users, found.log.n_items) != (known.n_users, known.n_items):
            raise _other_shape(found.log, known)
        _check_places(known)
    return found.log


def _other_shape(found: Interactions, known: Interactions, more: str = "") -> DataError:
    """Makes the error about a table that cannot be placed; its beginning is scikit-learn's."""
    features = (
        f"X has {found.n_items} features, but SparseRec is expecting {known.n_items} features as input: "
    )
    return DataError(
        (features if found.n_items != known.n_items else "")
        + f"X is a table of {found.n_users:,} users x {found.n_items:,} items, and {known.n_users:,} x"
        f" {known.n_items:,} are known. A row is a user by its number alone, so a table of another shape is about other"
        f" people: give one of the same shape, or pairs of ids.{more} To cross-validate, split pairs, not rows:"
        " cross_val_score(model, pairs, cv=InteractionKFold(5))."
    )


def _check_places(known: Interactions) -> None:
    """Refuses ids that are not the numbers of rows and columns."""
    for ids, noun in ((known.user_ids, "users"), (known.item_ids, "items")):
        if ids.dtype.kind != "i" or not np.array_equal(ids, np.arange(ids.size)):
            raise DataError(
                f"A table of users x items has numbers for {noun}, from 0, and the model knows {noun} by ids of"
                f" their own ({', '.join(map(repr, ids[:3].tolist()))}, ...): give pairs of ids instead."
            )


def as_rows(given: Any, **options: Any) -> Rows:
    """Takes pairs of ids row by row, for what works on rows, as splitters do.

    Raises:
        DataError: it has no rows of pairs: a matrix, or the path of a file.
    """
    chosen = _options(options)
    if isinstance(given, (str, os.PathLike)):
        raise DataError(
            f"The path {os.fspath(given)!r} has no rows to split: read it first, with read_interactions(path)."
        )
    if isinstance(given, Interactions):
        users, items = given.row_pairs()
        return Rows(users, items, given.row_times())
    if (frame := as_frame(given)) is not None:
        return find_rows(frame, chosen)
    found = None if hasattr(given, "tocoo") else _pairs_or_cells(given)
    if not isinstance(found, Rows):
        raise DataError(
            "A table of users x items is split by rows, which are whole users without ids: give pairs of ids instead,"
            " as (n, 2) arrays, frames or Interactions are."
        )
    return found


def _check_names(options: dict[str, Any], known: tuple[str, ...], kind: str) -> None:
    """Raises ConfigError for an option that there is not."""
    for name in options:
        if name not in known:
            raise ConfigError(f"There is no option {name!r} for {kind}; there are {', '.join(known)}.")


def _options(options: dict[str, Any]) -> Options:
    _check_names(options, Options._fields, "interactions in memory")
    chosen = Options(**options)
    if chosen.min_rating is not None and not math.isfinite(chosen.min_rating):
        raise ConfigError(f"The lowest rating must be a finite number, found {chosen.min_rating}.")
    if chosen.dislike_below is not None:
        check_dislike_below(chosen.dislike_below, chosen.min_rating, chosen.rating_col)
    return chosen


def _convert(given: Any, said: dict[str, Any]) -> _Converted:
    """Converts what was given, and says whether it is a table."""
    if isinstance(given, (str, os.PathLike)):
        return _Converted(_read(given, said))
    options = _options(said)
    frame = None if isinstance(given, Interactions) else as_frame(given)
    if frame is not None:
        return _Converted(_of_rows(find_rows(frame, options), options.sample_weight))
    if options.name_columns:
        raise ConfigError(f"Columns are named of files and frames; {type(given).__name__} has none to name.")
    if hasattr(given, "tocoo"):
        return _Converted(_of_matrix(given, options), is_table=True)
    found = given if isinstance(given, Interactions) else _pairs_or_cells(given)
    if isinstance(found, np.ndarray):
        return _Converted(_of_dense(found, options), is_table=True)
    for name in ("min_rating", "dislike_below"):
        if getattr(options, name) is not None:
            raise ConfigError(f"Pairs of ids hold no ratings for {name}: give it where ratings are read.")
    if options.weight_col == VALUES:
        raise ConfigError(
            "Pairs of ids hold no values for weight_col: give sample_weight, a weight for each, or a matrix."
        )
    if not isinstance(found, Interactions):
        return _Converted(_of_rows(found, options.sample_weight))
    if options.sample_weight is not None:
        raise ConfigError(
            "Interactions hold their own weights: make them with Interactions.from_pairs(users, items, weights=...)."
        )
    return _Converted(found)


def _read(path: str | os.PathLike[str], options: dict[str, Any]) -> Interactions:
    """Reads a file; one that is not there is no interactions."""
    if options.get("sample_weight") is not None:
        raise ConfigError("The weights of a file are in a column of it: name it with weight_col.")
    options = {name: value for name, value in options.items() if name != "sample_weight"}
    _check_names(options, READER_OPTIONS, "files")
    try:
        return read_interactions(path, **options)
    except FileNotFoundError as error:
        raise _NoFile(
            f"Expected Interactions, found {os.fspath(path)!r}; use read_interactions or the path of a file, but there"
            " is no file of this name."
        ) from error


def _of_rows(rows: Rows, sample_weight: Any = None) -> Interactions:
    """Makes interactions of rows, and leaves out those that are rated as none.

    ``sample_weight`` are weights of the rows, where no column of theirs holds any.
    """
    weights = rows.weights
    if sample_weight is not None:
        weights = np.asarray(sample_weight)
        if weights.shape != (len(rows.users),):
            raise DataError(
                f"sample_weight must hold a weight for each of the {len(rows.users)} rows, found shape"
                f" {weights.shape}."
            )
    if rows.kept is None or rows.kept.all():
        return Interactions.from_pairs(rows.users, rows.items, rows.times, weights=weights)
    users, items = (_selected(ids, rows.kept) for ids in (rows.users, rows.items))
    times, weights = (None if array is None else array[rows.kept] for array in (rows.times, weights))
    log = Interactions.from_pairs(users, items, times, weights=weights)
    if rows.disliked is None or not rows.disliked.any():
        return log
    users, items = (_selected(ids, rows.disliked) for ids in (rows.users, rows.items))
    return log.disliking(Interactions.from_pairs(users, items))


def _selected(ids: Any, kept: Array) -> Any:
    """Selects ids by a mask; each stays what it is."""
    if isinstance(ids, list):
        return [one for one, keep in zip(ids, kept.tolist(), strict=True) if keep]
    return np.asarray(ids)[kept]


def _of_matrix(given: Any, options: Options) -> Interactions:
    """Makes interactions of a SciPy matrix or sparse array."""
    if len(given.shape) != 2:
        raise DataError(f"Expected a matrix of users x items, found the shape {given.shape}")
    try:
        matrix = coordinates(given)
    except ValueError as error:
        raise DataError(f"The matrix of interactions is not sound: {error}") from error
    _check_size(matrix.shape)
    if options.sample_weight is not None:
        raise ConfigError(
            "A row of a table is a user: sample_weight is for rows that are pairs of ids; weight_col='values' takes"
            " the table's values as weights."
        )
    name = "The matrix of interactions"
    cells = touched_cells(matrix, name, options.min_rating)
    users, items = (np.arange(count, dtype=np.int64) for count in matrix.shape)
    rows, columns, values = cells.rows, cells.columns, cells.values
    disliked = None
    if options.dislike_below is not None:
        low, kept = disliked_cells(matrix, options.dislike_below), values >= options.dislike_below
        rows, columns, values = rows[kept], columns[kept], values[kept]
        disliked = Interactions.from_codes(*low, users, items)
    weights = cell_weights(values, rows, columns, name) if options.weight_col == VALUES else None
    log = Interactions.from_codes(rows, columns, users, items, weights=weights)
    return log.disliking(disliked)


def _of_dense(table: Array, options: Options) -> Interactions:
    """Makes interactions of a dense array of users x items."""
    from scipy.sparse import coo_matrix

    check_values(table.ravel(), "The table of users x items", lambda at: divmod(at, table.shape[1]))
    return _of_matrix(coo_matrix(table), options)


def _check_size(shape: tuple[int, int]) -> None:
    """Refuses what has no rows or no columns, in the words that scikit-learn's checks expect."""
    for count, noun in zip(shape, ("sample", "feature"), strict=True):
        if count == 0:
            raise DataError(
                f"Found array with 0 {noun}(s) (shape={shape}) while a minimum of 1 is required: expected users x"
                " items."
            )


def _pairs_or_cells(given: Any) -> Rows | Array:
    """Reads a list or an array: as pairs of ids, or as a dense table of users x items."""
    if isinstance(given, (list, tuple)):
        rows = _listed_pairs(given)
        if rows is not None:
            return rows
    elif not (hasattr(given, "__array__") or hasattr(given, "__array_interface__")):
        expect_interactions(given)
    if np.ma.isMaskedArray(given) and np.ma.is_masked(given):
        raise DataError("Some of the table is masked; call filled(0) on it where nothing is known.")
    try:
        table = np.asarray(given)
    except ValueError as error:
        raise DataError(f"Expected {KINDS}, found a list of rows that differ in length.") from error
    if table.ndim != 2:
        raise DataError(
            f"Expected {KINDS}, found an array of shape {table.shape}. Reshape your data: one row a user and one"
            " column an item, or one row an interaction and two columns."
        )
    return _pairs_or_table(table, type(given).__name__)


def _listed_pairs(given: list[Any] | tuple[Any, ...]) -> Rows | None:
    """Reads a list of tuples, or of rows of two of which some are texts, as pairs of ids."""
    if not given:
        raise DataError("There is no interaction: the list is empty.")
    if all(isinstance(row, (str, bytes)) for row in given):
        raise DataError(f"Expected {KINDS}, found a list of texts; read a file with read_interactions(path).")
    if len(given) <= 3 and all(np.ndim(row) == 1 and hasattr(row, "dtype") for row in given):
        if any(len(row) != PAIR for row in given):
            raise DataError(
                "Expected rows, found a list of columns: give users and items to Interactions.from_pairs(users, items)."
            )
        return None
    if all(isinstance(row, tuple) for row in given):
        odd = next((len(row) for row in given if len(row) != PAIR), None)
        if odd is not None:
            raise DataError(
                f"A list of tuples must hold pairs (user, item), found a tuple of {odd}; give times to"
                " Interactions.from_pairs(users, items, times), and ratings as a frame with named columns."
            )
    elif not all(
        isinstance(row, (list, tuple)) and len(row) == PAIR and not np.ndim(row[0]) for row in given
    ) or not any(isinstance(one, (str, bytes)) or one is None for row in given for one in row):
        return None
    return Rows([user for user, _ in given], [item for _, item in given])


def _pairs_or_table(table: Array, found: str) -> Rows | Array:
    """Tells pairs of ids ``(n, 2)`` from a dense table of users x items; refuses what may be both.

    ``found`` is what it was given as, for messages.
    """
    if table.dtype.kind == "O":
        if table.shape[1] == PAIR and any(isinstance(one, (str, bytes)) or one is None for one in table.flat):
            return Rows(table[:, 0], table[:, 1])
        table = _numbers(table)
    if table.dtype.kind in "UST":
        if table.shape[1] != PAIR:
            raise DataError(f"Pairs of ids have two columns, found texts in {table.shape[1]}.")
        return Rows(table[:, 0], table[:, 1])
    if table.dtype.kind not in "iuf" or not table.size:
        return table
    with np.errstate(invalid="ignore"):
        whole = table.dtype.kind in "iu" or bool(np.all(np.isfinite(table) & (table == np.floor(table))))
        marks = bool(np.all((table == 0) | (table == 1)))
    if table.shape[1] == PAIR and table.dtype.kind in "iu":
        if not marks:
            return Rows(table[:, 0], table[:, 1])
        raise DataError(
            f"Expected Interactions, found {found} of two columns that holds 0 and 1 alone: pairs of ids, or a table of"
            " users x 2 items? Give pairs as a list of tuples or as Interactions.from_pairs(users, items), and a table"
            " as scipy.sparse.csr_matrix(X)."
        )
    if whole and not marks and (table.shape[1] in (PAIR, *ROW_FIELDS) or table.shape[0] == PAIR):
        raise DataError(
            f"Expected Interactions, found {found} of shape {table.shape} that holds whole numbers: rows (or columns)"
            " of ids, ratings and times, or a table of users x items? Give pairs as Interactions.from_pairs(users,"
            " items), and a table as scipy.sparse.csr_matrix(X)."
        )
    return table


def _numbers(table: Array) -> Array:
    """Converts an array of objects to whole numbers, if all are, or to numbers."""
    if all(isinstance(one, (int, np.integer)) for one in table.flat):
        with np.errstate(all="ignore"):
            try:
                return table.astype(np.int64)
            except OverflowError:
                pass
    try:
        return table.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise _Cell(
            "The table of users x items must hold numbers: the argument must be a string or a real number in each"
            f" cell ({error})."
        ) from error
