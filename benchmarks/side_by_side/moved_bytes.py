"""The bytes that kernels move, counted from the shapes of their arguments.

Each read and each write that a kernel's loops make of its arguments counts once, whether or not a
cache answers it; scratch that stays in registers or next to the core does not count. An entry is a
column of one byte and a value of four; the bounds of a row are two of four.
"""

from __future__ import annotations

from collections.abc import Sequence

ENTRY, BOUNDS = 5, 8


def bytes_of_pairs(read: int, pairs: int, own: int, groups: int) -> int:
    """``score_pairs``: entries ``read`` of partners, ``own`` ones of the rows that the pairs are grouped by."""
    return ENTRY * (read + own) + pairs * (4 + BOUNDS + 4) + groups * (4 + 4 + BOUNDS)


def bytes_of_pair_gradients(read: int, pairs: int, own: int, groups: int) -> int:
    """``pair_gradients``: as above, but of own entries the columns are read, and gradients read and written."""
    return ENTRY * read + pairs * (4 + 4 + BOUNDS) + (1 + 8) * own + groups * (4 + 4 + BOUNDS + 4)


def bytes_of_fill(drawn: int, size: int, dim: int) -> int:
    """``fill_block``: the block is zeroed, and entries ``drawn`` are copied into it."""
    return 4 * dim * size + size * (4 + BOUNDS) + drawn * (ENTRY + 4)


def bytes_of_block(own: int, groups: int, size: int) -> int:
    """``score_block``: for each entry a row of the block is read, and one of the scores read and written."""
    return own * (ENTRY + 12 * size) + groups * (4 + BOUNDS + 4 * size)


def bytes_of_row_gradients(own: int, groups: int, size: int) -> int:
    """``row_gradients``: for each entry a row of the block and one of the slopes are read."""
    return own * (1 + 8 * size + 8) + groups * (4 + BOUNDS)


def bytes_of_block_gradients(own: int, groups: int, size: int, parts: int, dim: int) -> int:
    """``block_gradients``: for each entry a row of slopes is read and one of a part read and written; then the sum."""
    return own * (ENTRY + 12 * size) + groups * (4 + BOUNDS) + parts * dim * size * 8


def bytes_of_spread(drawn: int, size: int) -> int:
    """``spread_block``: for each entry a number of the block is read and a gradient read and written."""
    return size * (4 + BOUNDS + 4) + drawn * (1 + 4 + 8)


def bytes_of_step(own: int, rows: int, state: int) -> int:
    """An optimizer's step: values, gradients and ``state`` numbers an entry, all read and written."""
    return own * 8 * (2 + state) + rows * (4 + BOUNDS)


def bytes_of_sweep(own: int, read: int, pairs: int, marks: int, state: int) -> int:
    """``sweep``: entries of users (``own``, once a run) and of items (``read``) are read, then moved with their state.

    Besides: the pairs, their negatives and all bounds; and the ``marks`` of users' items, of which
    each pair writes one and reads another.
    """
    return (own + read) * (ENTRY + 1 + 8 + 4 + 8 * state) + pairs * (4 + 4 + 8 + 8 + 2 * BOUNDS) + 4 * marks


def bytes_of_lists(user_entries: Sequence[int], item_entries: Sequence[int], blocks: int) -> int:
    """``top_items``, were nothing skipped: bounds of all blocks, and all products of entries of one dimension.

    >>> bytes_of_lists([2, 1], [10, 0], blocks=1)
    296
    """
    products = sum(u * i for u, i in zip(user_entries, item_entries, strict=True))
    return 12 * blocks * sum(user_entries) + (1 + 4 + 8) * products


def bytes_of_marks(nnz: int, inside: int, rows: int) -> int:
    """``mark_prunable`` with a floor of 1: a flag for each entry, and the values of those ``inside`` explored rows."""
    return nnz + 4 * inside + rows * (BOUNDS + 1)


def bytes_of_smallest(nnz: int, free: int) -> int:
    """``keep_larger``: twice all flags, and the values of those ``free`` to go, whose flags are then written."""
    return 2 * (nnz + 4 * free) + free


def bytes_of_largest(explored: int, inside: int, dim: int, rows: int) -> int:
    """``largest_inactive``: twice all slots; sums, bounds and columns of those ``explored``, and of one in eight."""
    return 2 * 4 * rows + (8 + 1) * (explored * (4 * dim + BOUNDS) + inside) // 8


def bytes_of_rewrite(nnz: int, grown: int, rows: int) -> int:
    """``rewrite``: by a flag each, columns and values move to the front, and then to their places; and the bounds."""
    return nnz * (2 + 4 * ENTRY) + grown * (2 * 8 + ENTRY) + 2 * 4 * (rows + 1)


def bytes_of_gram_product(pairs: int, users: int, line: int) -> int:
    """``add_gram_product``: for each pair, twice its item; a line is read, and one of the result read and written."""
    return pairs * (2 * 4 + 3 * 4 * line) + users * (2 * 8 + 4)
