"""The LightGCN grammar: a line is a user and, after blanks, all items of that user.

A user may have no item, and may come back on a later line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.fields import IdColumn
from sparserec_np.data.formats.source import Block, Source, line_starts
from sparserec_np.data.interactions import Interactions

Array = npt.NDArray[Any]

ADVICE = "pass --format adjacency if ids are words, or the format this file is in"


def read_adjacency(source: Source, words: bool) -> tuple[Interactions, int]:
    """Reads a whole source in the LightGCN grammar.

    Args:
        source: an open source.
        words: ids may be any text; if false, a line with anything but non-negative integers is
            refused.

    Returns:
        The interactions and the number of pairs read, repeats included.

    Raises:
        DataError: naming the line that is no user with items.
    """
    users = IdColumn(source, "user", None if words else ADVICE)
    items = IdColumn(source, "item", None if words else ADVICE)
    counts = [_read_block(block, users, items) for block in source.blocks()]
    user_codes, user_ids = users.result()
    item_codes, item_ids = items.result()
    pairs = np.repeat(user_codes, np.concatenate(counts)) if counts else user_codes
    return Interactions.from_codes(pairs, item_codes, user_ids, item_ids), int(item_codes.size)


def _read_block(block: Block, users: IdColumn, items: IdColumn) -> Array:
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
    is_item = np.ones(starts.size, dtype=bool)
    is_item[firsts] = False
    if firsts.size:
        users.add(block, text, starts[firsts], ends[firsts])
    if firsts.size < starts.size:
        items.add(block, text, starts[is_item], ends[is_item])
    return sizes - 1
