"""Tables of Arrow: Parquet and Feather files, read by pyarrow where it is installed.

Columns are found by their names as in text files, and only those that are needed are read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.fields import MISSING, WORDS, iso_or_nan, narrowed
from sparserec_np.data.formats.layout import Places, columns_by_name
from sparserec_np.data.formats.opinions import ADVICE, WEIGHT, CodedRows, sound_weights
from sparserec_np.data.formats.options import ReaderOptions
from sparserec_np.data.formats.source import Source
from sparserec_np.data.formats.tally import Bad, Tally
from sparserec_np.data.interactions import Interactions, encode_ids
from sparserec_np.errors import DataError
from sparserec_np.runtime import MAX_TEXT_BYTES

Array = npt.NDArray[Any]

NAMES = {"parquet": "Parquet", "feather": "Feather or Arrow"}


def read_arrow(source: Source, kind: str, options: ReaderOptions, tally: Tally) -> Interactions:
    """Reads a whole source, a table in the format ``kind``, ``parquet`` or ``feather``.

    Raises:
        DataError: pyarrow is not installed, the file is damaged or lacks a column, or a row holds
            no ids, or no rating where one was asked for.
    """
    names, (user, item, rating, time, weight), columns = _columns(source, kind, options)
    if rating is None:
        options.refuse_without_ratings(source.name)
    source.unit = "row"
    users, items = _Ids(source, "user", columns[user]), _Ids(source, "item", columns[item])
    keep = np.ones(users.good.size, dtype=bool)
    for ids in (users, items):
        tally.bad.take(np.flatnonzero(keep & ~ids.good), ids.fault)
        keep &= ids.good
    tally.read = int(np.count_nonzero(keep))
    disliked = np.zeros(keep.size, dtype=bool)
    if rating is not None:
        tally.rating = names[rating]
        keep &= _rated(columns[rating], keep, options, tally, disliked)
    weights = moments = None
    if weight is not None:
        tally.weight = names[weight]
        weights, weighed = _weighed(columns[weight], keep & ~disliked, tally)
        keep &= weighed
    if time is not None:
        moments, timed = _timed(columns[time], keep, options, tally)
        keep &= timed
    user_codes, user_ids = users.result(keep)
    item_codes, item_ids = items.result(keep)
    moments, weights = (None if array is None else array[keep] for array in (moments, weights))
    return CodedRows(
        user_codes, item_codes, user_ids, item_ids, moments, weights, disliked[keep]
    ).interactions()


def _columns(source: Source, kind: str, options: ReaderOptions) -> tuple[list[str], Places, dict[int, Any]]:
    """Reads the columns that are needed, each as one array of Arrow's, checked throughout.

    Returns the names of all columns, which of them are what, and those that were read, by number.
    """
    try:
        import pyarrow as pa
        import pyarrow.compute
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            f"{source.name} is a {NAMES[kind]} file, which pyarrow reads: install it with"
            " pip install 'sparserec_np[parquet]', or write CSV."
        ) from None
    content = pa.py_buffer(source.mapped())
    try:
        if kind == "parquet":
            file = pa.parquet.ParquetFile(pa.BufferReader(content))
            names = list(file.schema_arrow.names)
        else:
            opens = pa.ipc.open_file if source.head().startswith(b"ARROW1") else pa.ipc.open_stream
            names = list(opens(pa.BufferReader(content)).schema.names)
        places = columns_by_name(source, names, options)
        needed = sorted({place for place in places if place is not None})
        if kind == "parquet":
            table = file.read(columns=[names[place] for place in needed])
        else:
            wanted = pa.ipc.IpcReadOptions(included_fields=needed)
            table = opens(pa.BufferReader(content), options=wanted).read_all()
        table.validate(full=True)
        return names, places, {place: _whole(table.column(names[place])) for place in needed}
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise DataError(f"{source.name} is no readable {NAMES[kind]} file: {reason}.") from None


def _whole(column: Any) -> Any:
    """Makes one array of a column in pieces, with the values that a dictionary stands for."""
    kind = column.type
    if hasattr(kind, "value_type") and hasattr(kind, "ordered"):
        column = column.cast(kind.value_type)
    return column.combine_chunks()


class _Ids:
    """The ids in a column: a code for each row, and what the codes stand for.

    Attributes:
        good: (n,) bool, whether a row holds an id.
    """

    def __init__(self, source: Source, noun: str, column: Any) -> None:
        import pyarrow as pa

        self._source, self._noun, self._column = source, noun, column
        self.good = ~column.is_null().to_numpy(zero_copy_only=False)
        self._names: list[str] | None = None
        if pa.types.is_integer(column.type):
            try:
                self._codes = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
            except pa.ArrowInvalid:
                raise DataError(
                    f"{source.name} has {noun} ids of 2^63 or more; write them as text."
                ) from None
        elif (
            pa.types.is_string(column.type)
            or pa.types.is_large_string(column.type)
            or "string" in str(column.type)
        ):
            encoded = column.cast(pa.large_string()).dictionary_encode()
            self._names = encoded.dictionary.to_pylist()
            self._codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
            nobody = [
                at for at, name in enumerate(self._names) if not name.strip() or name.encode() in MISSING
            ]
            self.good &= ~np.isin(self._codes, nobody)
        else:
            raise DataError(
                f"{source.name} has {noun} ids of the type {column.type}, expected whole numbers or text;"
                " convert the column."
            )

    def fault(self, row: int) -> Bad:
        """Says what is wrong with a row that holds no id."""
        found = self._column[row].as_py()
        return Bad(
            row + 1,
            f"{'an' if self._noun == 'item' else 'a'} {self._noun} id",
            "null" if found is None else repr(found),
        )

    def result(self, keep: Array) -> tuple[Array, Array]:
        """Returns codes of the rows where ``keep``, and the ids, int64 or strings."""
        codes = self._codes if keep.all() else self._codes[keep]
        if self._names is None:
            return encode_ids(narrowed(codes))
        places, codes = (
            np.unique(codes, return_inverse=True) if not keep.all() else (range(len(self._names)), codes)
        )
        names = [self._names[place] for place in places]
        width = max(map(len, names), default=0)
        if 4 * len(names) * width > MAX_TEXT_BYTES:
            raise DataError(
                f"{self._source.name} has {len(names):,} {self._noun} ids, of which one has {width:,} characters:"
                f" expected at most {MAX_TEXT_BYTES // (4 * len(names)):,}; shorten the longest, or number them."
            )
        return codes, np.array(names, dtype=str)


def _weighed(column: Any, wanted: Array, tally: Tally) -> tuple[Array, Array]:
    """Returns the weights of all rows, and which to keep by them; others than those ``wanted`` mean nothing."""
    values, _ = _numbers(column, _rating_of)
    weights = np.where(wanted, values, 1.0)
    good = sound_weights(weights)

    def fault(row: int) -> Bad:
        return Bad(row + 1, f"{WEIGHT} in {tally.weight}", repr(column[row].as_py()), ADVICE)

    bad = np.flatnonzero(~good)
    tally.bad.take(bad, fault)
    tally.read -= int(bad.size)
    return weights, good


def _rated(column: Any, keep: Array, options: ReaderOptions, tally: Tally, disliked: Array) -> Array:
    """Tells which rows to keep by their ratings; marks in ``disliked`` those that are."""
    values, missing = _numbers(column, _rating_of)
    known = np.isfinite(values)
    asked, named = options.asks_for_ratings, options.rating_col is not None
    bad = keep & (np.isinf(values) | (~known & (asked | (~missing & named))))

    def fault(row: int) -> Bad:
        return Bad(row + 1, "a rating that is a number", repr(column[row].as_py()))

    tally.bad.take(np.flatnonzero(bad), fault)
    keep = keep & ~bad
    tally.read = int(np.count_nonzero(keep))
    odd = np.flatnonzero(keep & ~known & ~missing)
    tally.odd_ratings = int(odd.size)
    tally.unknown_ratings = int(np.count_nonzero(keep & missing))
    if odd.size:
        tally.odd_rating = f"row {odd[0] + 1}: {column[int(odd[0])].as_py()!r}"
    disliked[keep] = tally.dislikes(values[keep], known[keep], options.dislike_below)
    keep[keep] = tally.counted(values[keep], known[keep], options.min_rating, disliked[keep])
    return keep


def _timed(column: Any, keep: Array, options: ReaderOptions, tally: Tally) -> tuple[Array | None, Array]:
    """Returns the times of all rows, None if one cannot be read, and which rows to keep by them."""
    import pyarrow as pa

    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"), safe=False)
    if pa.types.is_timestamp(column.type):
        unit = pa.timestamp("s", column.type.tz)
        floored = pa.compute.floor_temporal(column, unit="second") if column.type.unit != "s" else column
        column = floored.cast(unit, safe=False).cast(pa.int64())
    if pa.types.is_integer(column.type):
        good = ~column.is_null().to_numpy(zero_copy_only=False)
        values = column.cast(pa.int64(), safe=False).fill_null(0).to_numpy(zero_copy_only=False)
    else:
        values, _ = _numbers(column, _moment_of)
        good = np.isfinite(values)
        if pa.types.is_string(column.type) and np.all(values[good] == np.floor(values[good])):
            values = np.where(good, values, 0).astype(np.int64)
    wrong = np.flatnonzero(keep & ~good)

    def fault(row: int) -> Bad:
        return Bad(row + 1, "a time that is a number or an ISO date", repr(column[row].as_py()))

    if wrong.size and options.time_col is None:
        tally.odd_time = f"row {wrong[0] + 1}: {column[int(wrong[0])].as_py()!r}"
        return None, np.ones(keep.size, dtype=bool)
    tally.bad.take(wrong, fault)
    tally.read -= int(wrong.size)
    return values, good


def _numbers(column: Any, read: Any) -> tuple[Array, Array]:
    """Returns a column as float64, NaN where there is no number, and where nothing is (n,) bool.

    ``read`` makes numbers of other values than numbers.
    """
    import pyarrow as pa

    kind = column.type
    if (
        pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
    ):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return values, np.isnan(values)
    given = column.to_pylist()
    missing = np.array(
        [
            one is None or (isinstance(one, str) and (not one.strip() or one.encode() in MISSING))
            for one in given
        ]
    )
    return np.array([read(one) for one in given], dtype=np.float64), missing


def _rating_of(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return WORDS.get(str(value).lower().encode(), float("nan"))


def _moment_of(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float(np.floor(iso_or_nan(str(value).encode())))
