"""Tables of Arrow: Parquet and Feather files, read by pyarrow where it is installed.

Columns are found by their names as in text files. Only those that are needed are read, batch by
batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.fields import MISSING, WORDS, iso_or_nan, narrowed
from sparserec_np.data.formats.layout import Places, columns_by_name
from sparserec_np.data.formats.opinions import ADVICE, WEIGHT, CodedRows, sound_weights
from sparserec_np.data.formats.options import ReaderOptions
from sparserec_np.data.formats.source import Source
from sparserec_np.data.formats.tally import Bad, Tally
from sparserec_np.data.ids import ROWS_AT_ONCE, arrow_pieces, encode_ids, renumbered, sorted_texts
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.numbering import TextNumbers
from sparserec_np.errors import DataError

Array = npt.NDArray[Any]

ROWS_OF_BATCH = 1 << 18
BUFFER_BYTES = 1 << 20
NAMES = {"parquet": "Parquet", "feather": "Feather or Arrow"}


def read_arrow(source: Source, kind: str, options: ReaderOptions, tally: Tally) -> Interactions:
    """Reads a whole source, a table in the format ``kind``, ``parquet`` or ``feather``.

    Raises:
        DataError: pyarrow is not installed, the file is damaged or lacks a column, or a row holds
            no ids, or no rating where one was asked for.
    """
    pa = _pyarrow(source, kind)
    try:
        with _content(pa, source) as content:
            reader = _read(pa, source, kind, (content, options, tally))
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise DataError(f"{source.name} is no readable {NAMES[kind]} file: {reason}.") from None
    return reader.result()


def _content(pa: Any, source: Source) -> Any:
    """Opens the content for pyarrow: a plain file as one, of which parts alone are in memory."""
    if source.path is None:
        return pa.BufferReader(source.everything())
    return pa.OSFile(os.fsencode(source.path), "rb")  # as bytes: a name need not be text


def _read(pa: Any, source: Source, kind: str, given: tuple[Any, ReaderOptions, Tally]) -> _Reader:
    """Takes all batches of a table; ``given`` is the content, the options and what is counted."""
    content, options, tally = given
    names, batches = _opened(pa, source, kind, content)
    places = columns_by_name(source, names, options)
    if places[2] is None:
        options.refuse_without_ratings(source.name)
    source.unit = "row"
    reader = _Reader(source, names, places, (options, tally))
    needed = sorted({place for place in places if place is not None})
    for batch in batches(needed):
        batch.validate(full=True)
        for start in range(0, batch.num_rows, ROWS_OF_BATCH):
            part = batch.slice(start, ROWS_OF_BATCH)
            reader.take({place: part.column(names[place]) for place in needed})
    return reader


def _pyarrow(source: Source, kind: str) -> Any:
    """Loads pyarrow. Raises DataError where it is not installed."""
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
    return pa


def _opened(
    pa: Any, source: Source, kind: str, content: Any
) -> tuple[list[str], Callable[[list[int]], Iterator[Any]]]:
    """Opens the table in ``content``: its columns' names, and what yields some of them by batches."""
    if kind == "parquet":
        schema = pa.parquet.ParquetFile(content).schema_arrow
        names, texts = list(schema.names), {one.name for one in schema if pa.types.is_string(one.type)}

        def rows(needed: list[int]) -> Iterator[Any]:
            columns = [names[place] for place in needed]
            content.seek(0)
            encoded = sorted(texts.intersection(columns))
            # Without reading ahead, which would hold the whole file.
            file = pa.parquet.ParquetFile(
                content, read_dictionary=encoded, pre_buffer=False, buffer_size=BUFFER_BYTES
            )
            yield from file.iter_batches(ROWS_OF_BATCH, columns=columns)

        return names, rows
    whole = source.head().startswith(b"ARROW1")

    def batches(needed: list[int]) -> Iterator[Any]:
        content.seek(0)
        wanted = pa.ipc.IpcReadOptions(included_fields=needed)
        opened = (pa.ipc.open_file if whole else pa.ipc.open_stream)(content, options=wanted)
        if not whole:
            yield from opened
            return
        for number in range(opened.num_record_batches):
            yield opened.get_batch(number)

    return list((pa.ipc.open_file if whole else pa.ipc.open_stream)(content).schema.names), batches


def _plain(column: Any) -> Any:
    """Returns a column with the values that a dictionary stands for."""
    kind = column.type
    if hasattr(kind, "value_type") and hasattr(kind, "ordered"):
        return column.cast(kind.value_type)
    return column


class _Reader:
    """The interactions of a table, taken batch by batch.

    Args:
        source: where they come from, for messages.
        names: of the columns.
        places: which of them are what.
        wishes: the caller's options, and what is counted.
    """

    def __init__(
        self, source: Source, names: list[str], places: Places, wishes: tuple[ReaderOptions, Tally]
    ) -> None:
        self._places = places
        self._options, self._tally = wishes
        self._ids = [_Ids(source, "user"), _Ids(source, "item")]
        self._moments: list[Array] = []
        self._weights: list[Array] = []
        self._disliked: list[Array] = []
        self._first = 0  # row of the batch
        if places[2] is not None:
            self._tally.rating = names[places[2]]
        if places[4] is not None:
            self._tally.weight = names[places[4]]

    def take(self, columns: dict[int, Any]) -> None:
        """Takes a batch: its columns by number."""
        user, item, rating, time, weight = self._places
        given, tally = (columns[user], columns[item]), self._tally
        keep = np.ones(len(given[0]), dtype=bool)
        codes = []
        for ids, column in zip(self._ids, given, strict=True):
            found, good = ids.look_at(column)
            codes.append(found)
            tally.bad.take(np.flatnonzero(keep & ~good), partial(self._no_id, ids, column))
            keep &= good
        tally.read += int(np.count_nonzero(keep))
        disliked = np.zeros(keep.size, dtype=bool)
        if rating is not None:
            self._rate(_plain(columns[rating]), keep, disliked)
        weights = None if weight is None else self._weigh(_plain(columns[weight]), keep, disliked)
        if time is not None and not tally.odd_time:
            self._time(_plain(columns[time]), keep)
        if weights is not None:
            self._weights.append(weights[keep])
        if self._options.dislike_below is not None:
            self._disliked.append(disliked[keep])
        for ids, found in zip(self._ids, codes, strict=True):
            ids.add(found if keep.all() else found[keep])
        self._first += keep.size

    def result(self) -> Interactions:
        """Makes the interactions of all batches taken."""
        (users, user_ids), (items, item_ids) = (ids.result() for ids in self._ids)
        times, weights, disliked = (
            np.concatenate(parts) if parts else None
            for parts in (self._moments, self._weights, self._disliked)
        )
        return CodedRows(users, items, user_ids, item_ids, times, weights, disliked).interactions()

    def _no_id(self, ids: _Ids, column: Any, row: int) -> Bad:
        found = column[row].as_py()
        shown = "null" if found is None else repr(found)
        return Bad(self._first + row + 1, f"{'an' if ids.noun == 'item' else 'a'} {ids.noun} id", shown)

    def _rate(self, column: Any, keep: Array, disliked: Array) -> None:
        """Leaves out the rows that are rated as none, and marks dislikes: writes into both arrays."""
        options, tally = self._options, self._tally
        values, missing = _numbers(column, _rating_of)
        known = np.isfinite(values)
        asked, named = options.asks_for_ratings, options.rating_col is not None
        bad = keep & (np.isinf(values) | (~known & (asked | (~missing & named))))

        def fault(row: int) -> Bad:
            return Bad(self._first + row + 1, "a rating that is a number", repr(column[row].as_py()))

        tally.bad.take(np.flatnonzero(bad), fault)
        keep &= ~bad
        tally.read -= int(np.count_nonzero(bad))
        odd = np.flatnonzero(keep & ~known & ~missing)
        tally.odd_ratings += int(odd.size)
        tally.unknown_ratings += int(np.count_nonzero(keep & missing))
        if odd.size and not tally.odd_rating:
            tally.odd_rating = f"row {self._first + odd[0] + 1}: {column[int(odd[0])].as_py()!r}"
        disliked[keep] = tally.dislikes(values[keep], known[keep], options.dislike_below)
        keep[keep] = tally.counted(values[keep], known[keep], options.min_rating, disliked[keep])

    def _weigh(self, column: Any, keep: Array, disliked: Array) -> Array:
        """Returns the weights of all rows, and leaves out bad ones: writes into ``keep``.

        Those of dislikes, and of rows that are not kept, mean nothing.
        """
        values, _ = _numbers(column, _rating_of)
        weights = np.where(keep & ~disliked, values, 1.0)
        bad = np.flatnonzero(~sound_weights(weights))

        def fault(row: int) -> Bad:
            found = repr(column[row].as_py())
            return Bad(self._first + row + 1, f"{WEIGHT} in {self._tally.weight}", found, ADVICE)

        self._tally.bad.take(bad, fault)
        self._tally.read -= int(bad.size)
        keep[bad] = False
        return weights

    def _time(self, column: Any, keep: Array) -> None:
        """Takes the times of the rows that are kept, or gives up all; writes into ``keep``."""
        values, good = _timed(column)
        wrong = np.flatnonzero(keep & ~good)
        if wrong.size and self._options.time_col is None:
            row = int(wrong[0])
            self._tally.odd_time = f"row {self._first + row + 1}: {column[row].as_py()!r}"
            self._moments.clear()
            return

        def fault(row: int) -> Bad:
            return Bad(
                self._first + row + 1, "a time that is a number or an ISO date", repr(column[row].as_py())
            )

        self._tally.bad.take(wrong, fault)
        self._tally.read -= int(wrong.size)
        keep &= good
        self._moments.append(values[keep])


class _Ids:
    """The ids in a column: a code for each row, and what the codes stand for.

    Args:
        source: where they come from, for messages.
        noun: ``"user"`` or ``"item"``.
    """

    def __init__(self, source: Source, noun: str) -> None:
        self._source, self.noun = source, noun
        self._parts: list[Array] = []
        self._names: TextNumbers | None = None
        self._nobody: list[int] = []  # codes of texts that are no ids

    def look_at(self, column: Any) -> tuple[Array, Array]:
        """Returns numbers or codes of the rows of a batch, (n,), and which hold an id, (n,) bool."""
        import pyarrow as pa

        if pa.types.is_dictionary(column.type):
            return self._look_up(column)
        good = ~column.is_null().to_numpy(zero_copy_only=False)
        if pa.types.is_integer(column.type):
            try:
                values = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
            except pa.ArrowInvalid:
                raise DataError(
                    f"{self._source.name} has {self.noun} ids of 2^63 or more; write them as text."
                ) from None
            return narrowed(values), good
        if "string" not in str(column.type):
            raise DataError(
                f"{self._source.name} has {self.noun} ids of the type {column.type}, expected whole numbers or text;"
                " convert the column."
            )
        self._names = self._names or TextNumbers()
        parts = [
            self._number(self._names, column.slice(start, ROWS_AT_ONCE))
            for start in range(0, len(column), ROWS_AT_ONCE)
        ]
        codes = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
        if self._nobody:
            good &= ~np.isin(codes, self._nobody)
        return codes, good

    def _look_up(self, column: Any) -> tuple[Array, Array]:
        """Does the same for numbers in a dictionary, whose values it looks at once each."""
        there = ~column.is_null().to_numpy(zero_copy_only=False)
        if not there.any():  # the dictionary may be empty
            return np.zeros(there.size, dtype=np.int32), there
        values, good = self.look_at(column.dictionary)
        places = column.indices.fill_null(0).to_numpy(zero_copy_only=False)
        return values[places], there & good[places]

    def _number(self, names: TextNumbers, column: Any) -> Array:
        """Numbers the texts of a few rows, and notes those that are no ids."""
        text, starts, ends = arrow_pieces(column.fill_null(""))
        codes, fresh = names.take(text, starts, ends)
        for row in fresh.tolist():
            name = text[starts[row] : ends[row]].tobytes()
            if name in MISSING or not name.decode("utf-8").strip():
                self._nobody.append(int(codes[row]))
        return codes

    def add(self, codes: Array) -> None:
        """Takes the codes of the rows that are interactions."""
        self._parts.append(codes)

    def result(self) -> tuple[Array, Array]:
        """Returns codes of the rows taken, and the ids, int64 or strings."""
        whole = np.concatenate(self._parts) if self._parts else np.zeros(0, dtype=np.int64)
        self._parts = []
        if self._names is None:
            return encode_ids(whole)
        place, ids = sorted_texts(self._names)
        self._names = None
        there = np.zeros(ids.size, dtype=bool)
        there[place[whole]] = True
        if not there.all():
            place, ids = (np.cumsum(there, dtype=np.int32) - np.int32(1))[place], ids[there]
        return renumbered(whole, place), ids


def _timed(column: Any) -> tuple[Array, Array]:
    """Returns times (n,), and which rows have one, (n,) bool."""
    import pyarrow as pa

    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"), safe=False)
    if pa.types.is_timestamp(column.type):
        unit = pa.timestamp("s", column.type.tz)
        floored = pa.compute.floor_temporal(column, unit="second") if column.type.unit != "s" else column
        column = floored.cast(unit, safe=False).cast(pa.int64())
    if pa.types.is_integer(column.type):
        good = ~column.is_null().to_numpy(zero_copy_only=False)
        return column.cast(pa.int64(), safe=False).fill_null(0).to_numpy(zero_copy_only=False), good
    values, _ = _numbers(column, _moment_of)
    good = np.isfinite(values)
    if pa.types.is_string(column.type) and np.all(values[good] == np.floor(values[good])):
        values = np.where(good, values, 0).astype(np.int64)
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
