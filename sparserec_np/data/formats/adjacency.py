"""The LightGCN grammar: a line is a user and, after blanks, all items of that user.

A user may have no item, and may come back on a later line. The items of a line are taken to stand
in the order in which the user touched them, unless they are sorted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.fields import IdColumn, Pieces
from sparserec_np.data.formats.source import Block, Source, line_starts
from sparserec_np.data.formats.tally import BadLines, Tally
from sparserec_np.data.interactions import PAIRS_AT_ONCE, Interactions
from sparserec_np.data.table import index_dtype
from sparserec_np.errors import DataError

Array = npt.NDArray[Any]

ADVICE = (
    "pass --format csv if it is a table of user, item and rating separated by blanks, --format adjacency if ids are"
    " words, or the format this file is in"
)
TABLE_WIDTH = 3  # the fewest columns of a table of user, item, rating, and perhaps time
TABLE_WIDTHS = (3, 4)
ENOUGH_LINES = 20  # for their order to be no chance
SORTED_STEPS = 0.01  # of the steps from item to item, so few lead the other way in sorted lines
MOST_LINES = 0.9  # of a table, a few lines may be cut short


def refuse_doubtful(source: Source) -> None:
    """Refuses lines of whole numbers that are as well a table of users, items and ratings.

    Raises:
        DataError: lines are equally long, and nothing tells what they are.
    """
    lines = [line.split() for _, line in source.lines(1 << 30)]
    if len(lines) < 2:  # of one line, each reading is as good
        return
    width, many = Counter(map(len, lines)).most_common(1)[0]
    if width < TABLE_WIDTH or many < MOST_LINES * len(lines):
        return
    try:
        rows = np.array([line for line in lines if len(line) == width]).astype(np.int64)
    except (ValueError, OverflowError):  # no adjacency, which is refused by its line
        return
    if rows.min() < 0 or not _may_be_table(rows, whole=many == len(lines)):
        return
    raise DataError(
        f"{source.name} has {width} whole numbers in each line, separated by blanks: a user and {width - 1} items, or"
        " a table of users, items and ratings; pass --format adjacency for the first, --format csv for the second."
    )


def _may_be_table(rows: Array, whole: bool) -> bool:
    """Tells whether equally long lines (n, width) can be rows of a table.

    In a table users come again. Where each is there once, lines of three or four may still be rows,
    but not if all users, and after each all items, are in ascending order: then a rating, or a
    time, would be above its item every time.
    """
    if len(np.unique(rows[:, 0])) < len(rows):
        return True
    if rows.shape[1] not in TABLE_WIDTHS or not whole:
        return False
    ascending = bool(np.all(np.diff(rows[:, 0]) > 0) and np.all(np.diff(rows[:, 1:], axis=1) > 0))
    return not (ascending and len(rows) >= ENOUGH_LINES)


def would_be_doubtful(log: Interactions) -> bool:
    """Tells whether a file of these lists would be refused as perhaps being a table."""
    sizes = np.unique(log.user_degrees) + 1
    return 1 < log.n_users < ENOUGH_LINES and sizes.size == 1 and int(sizes[0]) in TABLE_WIDTHS


def read_adjacency(source: Source, words: bool, tally: Tally, line_order: str | None = None) -> Interactions:
    """Reads a whole source in the LightGCN grammar.

    Args:
        source: an open source.
        words: ids may be any text; if false, a line with anything but non-negative integers is
            refused.
        tally: what is counted.
        line_order: ``"time"``, where lines are in the order of time, ``"none"``, where they are in
            none, and None to take them for sorted, or else for in the order of time.

    Raises:
        DataError: naming the line that is no user with items.
    """
    users = IdColumn(source, "user", None if words else ADVICE)
    items = IdColumn(source, "item", None if words else ADVICE)
    counts = [_read_block(block, users, items, tally.bad) for block in source.blocks()]
    user_codes, user_ids = users.result()
    item_codes, item_ids = items.result()
    tally.read = int(item_codes.size)
    pairs = np.repeat(user_codes, np.concatenate(counts)) if counts else user_codes
    timed = line_order == "time" or (line_order is None and not _are_sorted(pairs, item_codes, item_ids))
    places = np.arange(pairs.size, dtype=index_dtype(pairs.size)) if timed else None
    return Interactions.from_codes(pairs, item_codes, user_ids, item_ids, places).dated_as(False)


def _are_sorted(users: Array, items: Array, item_ids: Array) -> bool:
    """Tells whether nearly all steps from item to item of a user lead the same way, up or down."""
    places = np.empty(item_ids.size, dtype=np.int64)
    places[np.argsort(item_ids, kind="stable")] = np.arange(item_ids.size)
    up = down = 0
    for start in range(0, items.size - 1, PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE + 1)
        steps = np.diff(places[items[part]])[np.diff(users[part]) == 0]
        up += int(np.count_nonzero(steps > 0))
        down += int(np.count_nonzero(steps < 0))
    return min(up, down) <= SORTED_STEPS * (up + down)


def _read_block(block: Block, users: IdColumn, items: IdColumn, bad: BadLines) -> Array:
    """Adds the ids of whole lines to the columns; returns the number of items after each user."""
    text = np.frombuffer(block.text, dtype=np.uint8)
    inside = text > 32
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        edges = np.concatenate([np.zeros(1, dtype=edges.dtype), edges])
    starts, ends = edges[0::2], edges[1::2]  # the block ends in a newline, so every piece has an end
    firsts = np.searchsorted(starts, line_starts(text))
    sizes = np.diff(firsts, append=starts.size)
    firsts, sizes = firsts[sizes > 0], sizes[sizes > 0]
    if bad.skips:
        ids, sizes = _sound_lines(Pieces(block, text, starts, ends), sizes, (users, items), bad)
        starts, ends = ids.starts, ids.ends
        firsts = np.cumsum(sizes) - sizes
    is_item = np.ones(starts.size, dtype=bool)
    is_item[firsts] = False
    if firsts.size:
        users.add(Pieces(block, text, starts[firsts], ends[firsts]))
    if firsts.size < starts.size:
        items.add(Pieces(block, text, starts[is_item], ends[is_item]))
    return sizes - 1


def _sound_lines(
    ids: Pieces, sizes: Array, columns: tuple[IdColumn, IdColumn], bad: BadLines
) -> tuple[Pieces, Array]:
    """Leaves out the lines that hold anything but ids, each counted once."""
    owners = np.repeat(np.arange(sizes.size), sizes)
    first = np.diff(owners, prepend=-1) > 0
    good = np.ones(owners.size, dtype=bool)
    quiet = BadLines.unseen()
    for column, theirs in zip(columns, (first, ~first), strict=True):
        good[theirs] = column.sound(ids.kept(theirs), quiet)
    worst = np.flatnonzero(~good)
    _, once = np.unique(owners[worst], return_index=True)
    bad.take(worst[once], lambda row: columns[0 if first[row] else 1].fault(ids, row))
    sound = np.bincount(owners[worst], minlength=sizes.size) == 0
    return ids.kept(sound[owners]), sizes[sound]
