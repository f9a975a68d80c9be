"""Files with one interaction a line, in fields.

The grammars are CSV, TSV, MovieLens ``u.data`` and ``ratings.dat``, and RecBole ``.inter``.

They are read by whole arrays: the places of all separators in a block make a matrix with a row for
each line, and a line that does not fit in it is refused by its number.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.fields import MISSING, IdColumn, Pieces, parse_ratings
from sparserec_np.data.formats.layout import NAMES_OF_SEPARATORS, Layout
from sparserec_np.data.formats.opinions import ADVICE, WEIGHT, CodedRows, sound_weights
from sparserec_np.data.formats.options import ReaderOptions
from sparserec_np.data.formats.quotes import INTERNAL, QUOTE, CsvRows, Quoting, unquoted_edges
from sparserec_np.data.formats.source import Block, Source, shown
from sparserec_np.data.formats.tally import Bad, Tally
from sparserec_np.data.formats.times import TimeColumn
from sparserec_np.data.interactions import Interactions

Array = npt.NDArray[Any]


class Rows(NamedTuple):
    """The rows of a block: where each field starts and ends, blanks trimmed.

    Attributes:
        block: the block.
        text: its bytes, (bytes,) uint8.
        starts: (lines, fields) offsets of the first bytes.
        ends: (lines, fields) offsets after the last.
    """

    block: Block
    text: Array
    starts: Array
    ends: Array

    def column(self, number: int) -> Pieces:
        """Returns one column."""
        return Pieces(self.block, self.text, self.starts[:, number], self.ends[:, number])

    def kept(self, keep: Array) -> Rows:
        """Keeps the rows where ``keep``, (lines,) bool, is true."""
        return self if keep.all() else self._replace(starts=self.starts[keep], ends=self.ends[keep])

    @property
    def number(self) -> int:
        """How many rows there are."""
        return len(self.starts)


class TableReader:
    """The interactions of a table, taken row by row.

    Args:
        source: where they come from, for messages.
        layout: of the rows.
        options: the caller's wishes.
        tally: what is counted.

    Raises:
        DataError: ``min_rating`` or ``dislike_below`` is asked of a file without ratings.
    """

    def __init__(self, source: Source, layout: Layout, options: ReaderOptions, tally: Tally) -> None:
        if layout.rating is None:
            options.refuse_without_ratings(source.name)
        self._source, self._layout, self._options, self._tally = source, layout, options, tally
        self._users = IdColumn(source, "user", layout.integers_only)
        self._items = IdColumn(source, "item", layout.integers_only)
        self._times = TimeColumn(source, options, tally)
        self._weights: list[Array] = []
        self._disliked: list[Array] = []
        self._header_waits = layout.names is not None
        tally.rating, tally.unsaid_header = layout.name_of(layout.rating), layout.unsaid_header
        tally.weight = layout.name_of(layout.weight)

    def read(self) -> Interactions:
        """Reads the whole source.

        Raises:
            DataError: naming the line that has more or fewer fields than the first, an id that is
                missing, a rating or time that was asked for and is no number, or a weight that is
                not above 0.
        """
        for block, places in self._separated(self._source.blocks()):
            self.take(self.places(block) if places is None else places)
        return self.result()

    def take(self, rows: Rows) -> None:
        """Takes the rows of a block."""
        rows = self._without_headers(rows)
        self._tally.read += rows.number
        disliked = np.zeros(rows.number, dtype=bool)
        if self._layout.rating is not None and rows.number:
            keep = self._rated(rows.column(self._layout.rating), disliked)
            rows, disliked = rows.kept(keep), disliked[keep]
        users, items = rows.column(self._layout.user), rows.column(self._layout.item)
        if self._options.skips and rows.number:
            bad, before = self._tally.bad, self._tally.bad.count
            sound = self._users.sound(users, bad)
            sound[sound] = self._items.sound(items.kept(sound), bad)
            self._tally.read -= bad.count - before
            rows, disliked = rows.kept(sound), disliked[sound]
            users, items = rows.column(self._layout.user), rows.column(self._layout.item)
        weights = np.ones(rows.number)
        if self._layout.weight is not None and rows.number:
            weights, good = self._weighed(rows.column(self._layout.weight), disliked)
            rows, disliked, weights = rows.kept(good), disliked[good], weights[good]
            users, items = rows.column(self._layout.user), rows.column(self._layout.item)
        if self._layout.time is not None and rows.number:
            timed = self._times.add(rows.column(self._layout.time))
            if not timed.all():
                users, items = users.kept(timed), items.kept(timed)
                disliked, weights = disliked[timed], weights[timed]
        if users.starts.size:
            self._users.add(users)
            self._items.add(items)
            if self._layout.weight is not None:
                self._weights.append(weights.astype(np.float32))
            if self._options.dislike_below is not None:
                self._disliked.append(disliked)

    def result(self) -> Interactions:
        """Makes the interactions of all rows taken."""
        user_codes, user_ids = self._users.result()
        item_codes, item_ids = self._items.result()
        return CodedRows(
            user_codes,
            item_codes,
            user_ids,
            item_ids,
            self._times.result(),
            np.concatenate(self._weights) if self._weights else None,
            np.concatenate(self._disliked) if self._disliked else None,
        ).interactions()

    def _without_headers(self, rows: Rows) -> Rows:
        """Leaves out the header, and rows that repeat it, as files do that were put together."""
        if self._header_waits and rows.number:
            rows, self._header_waits = rows._replace(starts=rows.starts[1:], ends=rows.ends[1:]), False
        if self._layout.names is None or not rows.number:
            return rows
        user, item = (self._layout.names[place].encode() for place in (self._layout.user, self._layout.item))
        if user not in rows.block.text or item not in rows.block.text:
            return rows
        users, items = rows.column(self._layout.user), rows.column(self._layout.item)
        longer = (users.ends - users.starts - len(user)) + (items.ends - items.starts - len(item))
        places = np.flatnonzero((longer == 0) | (longer == len(BOM_UTF8)))  # which a file put behind may have
        cut = zip(users.cut(places), items.cut(places), strict=True)
        same = [(user, item) == tuple(one.removeprefix(BOM_UTF8) for one in pair) for pair in cut]
        keep = np.ones(rows.number, dtype=bool)
        keep[places] = np.logical_not(same)
        self._tally.headers += int(np.count_nonzero(~keep))
        return rows.kept(keep)

    def _weighed(self, given: Pieces, disliked: Array) -> tuple[Array, Array]:
        """Reads weights, ``(n,)``, and tells which rows to keep by them; those of dislikes mean nothing."""
        values, known = parse_ratings(given, self._options.decimal or ".")
        weights = np.where(disliked | ~known, 1.0, values)
        good = disliked | (known & sound_weights(weights))
        bad = np.flatnonzero(~good)
        if bad.size:
            before = self._tally.bad.count
            self._tally.bad.take(
                bad, lambda row: Bad(given.line(row), self._wanted_weight, given.shown(row), ADVICE)
            )
            self._tally.read -= self._tally.bad.count - before
        return weights, good

    @property
    def _wanted_weight(self) -> str:
        return f"{WEIGHT} in {self._tally.weight}"

    def _rated(self, given: Pieces, disliked: Array) -> Array:
        """Tells which rows to keep by their ratings, ``(n,)`` bool; marks in ``disliked`` those that are."""
        options, tally = self._options, self._tally
        values, known = parse_ratings(given, options.decimal or ".")
        bad = np.zeros(known.size, dtype=bool)
        if not known.all():
            odd = np.flatnonzero(~known)
            cut = given.cut(odd)
            missing = np.array([not piece or piece in MISSING for piece in cut])
            endless = np.isinf(values[odd])
            asked = options.asks_for_ratings
            bad[odd] = endless | (~missing | asked if asked or options.rating_col is not None else False)
            tally.bad.take(np.flatnonzero(bad), lambda row: self._odd_rating(given, row))
            unread = odd[~missing & ~bad[odd]]
            if unread.size and not tally.odd_rating:
                row = int(unread[0])
                tally.odd_rating = f"line {given.line(row)}: {given.shown(row)}"
            tally.odd_ratings += int(unread.size)
            tally.unknown_ratings += int(np.count_nonzero(missing & ~bad[odd]))
            tally.read -= int(np.count_nonzero(bad))
        disliked[:] = tally.dislikes(values, known & ~bad, options.dislike_below)
        if not bad.any():
            return tally.counted(values, known, options.min_rating, disliked)
        keep = ~bad
        keep[keep] = tally.counted(values[keep], known[keep], options.min_rating, disliked[keep])
        return keep

    def _odd_rating(self, given: Pieces, row: int) -> Bad:
        advice = "pass --rating-col none if it is no rating, or --decimal , where 3,5 is a number"
        if given.starts[row] == given.ends[row]:
            advice = ""
        return Bad(given.line(row), "a rating that is a number", given.shown(row), advice)

    def _separated(self, blocks: Iterator[Block]) -> Iterator[tuple[Block, Rows | None]]:
        """Yields blocks without quotes whose fields are separated by a single byte.

        That byte is :data:`INTERNAL` or the layout's own. Where the places of the fields have been
        found on the way, they come with it.
        """
        layout = self._layout
        for block in blocks:
            if layout.quoting is not Quoting.NONE and b'"' in block.text:
                if (places := self._simply_quoted(block)) is not None:
                    yield block, places
                elif layout.quoting is Quoting.EDGES:
                    yield unquoted_edges(block, layout.separator, layout.fields), None
                else:
                    rest: Iterable[Block] = chain([block], blocks)
                    sure = layout.quoting is Quoting.SURE_CSV
                    table = CsvRows(self._source, rest, layout.separator, layout.fields, sure)
                    yield from ((one, None) for one in table.blocks(self._tally.bad))
            elif len(layout.separator) > 1:
                yield Block(block.text.replace(layout.separator, INTERNAL), block.first_line), None
            elif layout.separator == b" ":
                lines = [INTERNAL.join(line.split()) for line in block.text.split(b"\n")]
                yield Block(b"\n".join(lines), block.first_line), None
            else:
                yield block, None

    def _simply_quoted(self, block: Block) -> Rows | None:
        """Finds the places of the fields inside their quotes, if all quotes are around whole fields.

        None where there are others, or a line has more or fewer fields than it should.
        """
        separator = self._layout.separator
        if separator == b" ":
            return None
        text, starts, stops, sizes = _fields(block, separator[0])
        if np.any(sizes != self._layout.fields):
            return None
        quoted = (text[starts] == QUOTE) & (text[stops - 1] == QUOTE) & (stops - starts > 1)
        if 2 * int(np.count_nonzero(quoted)) != block.text.count(b'"'):
            return None
        shape = (-1, self._layout.fields)
        return Rows(
            block, text, *trimmed(text, (starts + quoted).reshape(shape), (stops - quoted).reshape(shape))
        )

    def places(self, block: Block) -> Rows:
        """Finds where every field of a block starts and ends, blanks trimmed.

        Raises:
            DataError: a line has more or fewer fields than the first line of the file.
        """
        layout = self._layout
        replaced = layout.separator in (b"::", b" ", INTERNAL) or block.lines is not None
        text, starts, stops, sizes = _fields(block, INTERNAL[0] if replaced else layout.separator[0])
        if np.any(sizes != layout.fields):
            odd = np.flatnonzero(sizes != layout.fields)
            last = np.cumsum(sizes) - 1
            lower, upper = starts[last[odd] - sizes[odd] + 1], stops[last[odd]]
            first, past = trimmed(text, lower[:, None].copy(), upper[:, None].copy())
            filled = (past > first)[:, 0]
            odd, lower, upper, counts = odd[filled], lower[filled], upper[filled], sizes[odd[filled]]

            def fault(row: int) -> Bad:
                line = block.text[lower[row] : upper[row]].replace(INTERNAL, layout.separator)
                wanted = f"{layout.fields} fields separated by {NAMES_OF_SEPARATORS[layout.separator]}"
                opened = layout.quoting is Quoting.EDGES and b'"' in line
                advice = "pass --quote double if a quoted field goes on over several lines" if opened else ""
                return Bad(
                    block.line_number(int(odd[row])), wanted, f"{counts[row]} in {shown(line)}", advice
                )

            self._tally.bad.take(np.arange(odd.size), fault)
            full = np.repeat(sizes == layout.fields, sizes)  # blank lines go
            starts, stops = starts[full], stops[full]
        shape = (-1, layout.fields)
        return Rows(block, text, *trimmed(text, starts.reshape(shape), stops.reshape(shape)))


def _fields(block: Block, separator: int) -> tuple[Array, Array, Array, Array]:
    """Finds the fields of a block whose lines have any number of them.

    Returns the bytes, the offsets where each field starts and stops, and how many a line has.
    """
    text = np.frombuffer(block.text, dtype=np.uint8)
    stops = np.flatnonzero((text == separator) | (text == 10))
    last = np.flatnonzero(text[stops] == 10)  # which of them end a line
    sizes = np.diff(last, prepend=-1)
    starts = np.concatenate([np.zeros(1, dtype=stops.dtype), stops[:-1] + 1])
    return text, starts, stops, sizes


def trimmed(text: Array, starts: Array, ends: Array) -> tuple[Array, Array]:
    """Moves offsets inwards over blanks, tabs and carriage returns."""
    for column in range(starts.shape[1]):
        start, end = starts[:, column], ends[:, column]  # views: moved in place
        while np.any(loose := (end > start) & _blank(text[np.maximum(end - 1, 0)])):
            end -= loose
        while np.any(loose := (end > start) & _blank(text[start])):
            start += loose
    return starts, ends


def _blank(byte: Array) -> Array:
    return (byte == 32) | (byte == 13) | (byte == 9)
