"""The count of bytes that kernels move, against loops that count every access."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.side_by_side import moved_bytes
from tests.makers.small import random_table

ROWS, DIM, SIZE = 30, 8, 5


@pytest.fixture
def table():  # type: ignore[no-untyped-def]
    return random_table(np.random.default_rng(0), ROWS, DIM, 70)


GROUPED = np.array([3, 7, 11])
PARTNERS = [np.array([20, 21]), np.array([20]), np.array([25, 26, 25])]
EACH = sum(map(len, PARTNERS))


def stored(table, row: int) -> range:  # type: ignore[no-untyped-def]
    return range(table.indptr[row], table.indptr[row + 1])


def entries(table, rows) -> int:  # type: ignore[no-untyped-def]
    return sum(len(stored(table, row)) for row in rows)


def test_score_pairs(table) -> None:  # type: ignore[no-untyped-def]
    moved = 0
    for row, partners in zip(GROUPED, PARTNERS, strict=True):
        moved += 4 + 4 + 2 * 4  # the row's number, where its pairs start, its bounds
        moved += sum(1 + 4 for _ in stored(table, row))
        for partner in partners:
            moved += 4 + 2 * 4 + 4  # the partner's number, its bounds, the score
            moved += sum(1 + 4 for _ in stored(table, partner))
    read = entries(table, np.concatenate(PARTNERS))
    assert moved_bytes.bytes_of_pairs(read, EACH, entries(table, GROUPED), len(GROUPED)) == moved


def test_pair_gradients(table) -> None:  # type: ignore[no-untyped-def]
    moved = 0
    for row, partners in zip(GROUPED, PARTNERS, strict=True):
        moved += 4 + 4 + 2 * 4 + 4  # as above, and whether the row is explored
        moved += sum(1 + 4 + 4 for _ in stored(table, row))  # a column; a gradient, read and written
        for partner in partners:
            moved += 4 + 2 * 4 + 4 + sum(1 + 4 for _ in stored(table, partner))
    read = entries(table, np.concatenate(PARTNERS))
    assert moved_bytes.bytes_of_pair_gradients(read, EACH, entries(table, GROUPED), len(GROUPED)) == moved


def test_blocks(table) -> None:  # type: ignore[no-untyped-def]
    scored = sloped = 0
    for row in GROUPED:
        scored += 4 + 2 * 4 + 4 * SIZE  # the scores are set to zero
        sloped += 4 + 2 * 4
        for _ in stored(table, row):
            scored += 1 + 4 + SIZE * (4 + 4 + 4)  # the block is read, the scores are read and written
            sloped += (
                1 + SIZE * (4 + 4) + 4 + 4
            )  # block and slopes are read; the gradient is read and written
    own = entries(table, GROUPED)
    assert moved_bytes.bytes_of_block(own, len(GROUPED), SIZE) == scored
    assert moved_bytes.bytes_of_row_gradients(own, len(GROUPED), SIZE) == sloped


def test_the_blocks_own_gradient(table) -> None:  # type: ignore[no-untyped-def]
    parts = 2
    moved = sum(4 for _ in range(parts * DIM * SIZE))  # set to zero
    moved += sum(4 for _ in range(parts * DIM * SIZE))  # summed up, but for the first, which is written
    for row in GROUPED:
        moved += 4 + 2 * 4 + sum(1 + 4 + SIZE * (4 + 4 + 4) for _ in stored(table, row))
    own = entries(table, GROUPED)
    assert moved_bytes.bytes_of_block_gradients(own, len(GROUPED), SIZE, parts, DIM) == moved


def test_filling_and_spreading(table) -> None:  # type: ignore[no-untyped-def]
    filled, spread = 4 * DIM * SIZE, 0
    for row in GROUPED:
        filled += 4 + 2 * 4 + sum(1 + 4 + 4 for _ in stored(table, row))
        spread += 4 + 2 * 4 + 4 + sum(1 + 4 + 4 + 4 for _ in stored(table, row))
    drawn = entries(table, GROUPED)
    assert moved_bytes.bytes_of_fill(drawn, len(GROUPED), DIM) == filled - 4 * DIM * (SIZE - len(GROUPED))
    assert moved_bytes.bytes_of_spread(drawn, len(GROUPED)) == spread


@pytest.mark.parametrize("state", [0, 1, 2])
def test_steps(table, state: int) -> None:  # type: ignore[no-untyped-def]
    moved = 0
    for row in GROUPED:
        moved += 4 + 2 * 4 + sum(2 * 4 * (1 + 1 + state) for _ in stored(table, row))
    assert moved_bytes.bytes_of_step(entries(table, GROUPED), len(GROUPED), state) == moved


@pytest.mark.parametrize("state", [0, 1])
def test_sweeps(table, state: int) -> None:  # type: ignore[no-untyped-def]
    negatives = [np.array([28, 29]), np.array([21]), np.array([22, 23, 24])]

    def moved_row(row: int) -> int:  # column and value to score; column, value, origin and state to move
        return sum(1 + 4 + 1 + 2 * 4 + 4 + state * 2 * 4 for _ in stored(table, row))

    moved = 0
    for row, positives, drawn in zip(GROUPED, PARTNERS, negatives, strict=True):
        moved += moved_row(row)
        for positive, negative in zip(positives, drawn, strict=True):
            moved += 2 + 2 + 4 + 4 + 4  # user and positive; a member; the negative, written and read
            moved += 2 * 2 * 4 + 2 * 4  # bounds; the mark of the positive, and that of the negative
            moved += moved_row(positive) + moved_row(negative)
    read = entries(table, np.concatenate(PARTNERS + negatives))
    moved += 4 * 30  # marks, made
    assert moved_bytes.bytes_of_sweep(entries(table, GROUPED), read, EACH, 30, state) == moved


def test_lists(table) -> None:  # type: ignore[no-untyped-def]
    users, items = table.slice_rows(0, 10), table.slice_rows(10, ROWS)
    blocks, moved = 2, 0
    for user in range(users.rows):
        for k in stored(users, user):
            moved += blocks * (4 + 4 + 4)  # an extreme is read, a bound read and written
            moved += sum(1 + 4 + 4 + 4 for column in items.columns if column == users.columns[k])
    by_column = [np.bincount(each.columns, minlength=DIM).tolist() for each in (users, items)]
    assert moved_bytes.bytes_of_lists(*by_column, blocks) == moved


def test_topology_updates(table) -> None:  # type: ignore[no-untyped-def]
    inside = entries(table, GROUPED)
    marked = sum(1 for _ in range(table.nnz)) + sum(4 for _ in range(inside))
    marked += sum(2 * 4 + 1 for _ in range(ROWS))  # bounds, and whether the row is explored
    assert moved_bytes.bytes_of_marks(table.nnz, inside, ROWS) == marked

    free = inside - len(GROUPED)
    passes = sum(1 for _ in range(2 * table.nnz)) + sum(4 for _ in range(2 * free))  # flags and values
    assert moved_bytes.bytes_of_smallest(table.nnz, free) == passes + free

    slots = sum(4 for _ in range(2 * ROWS))
    looks = sum(DIM * 4 + 2 * 4 + len(stored(table, row)) for row in GROUPED)
    assert moved_bytes.bytes_of_largest(len(GROUPED), inside, DIM, ROWS) == slots + looks + looks // 8

    grown, moved = 4, 0
    for size in (1, 4):  # columns, values: a flag, then to the front and back, each read and written
        moved += table.nnz * (1 + 2 * 2 * size) + grown * (8 + size)
    moved += 2 * 4 * (ROWS + 1)
    assert moved_bytes.bytes_of_rewrite(table.nnz, grown, ROWS) == moved


def test_products_with_the_interactions() -> None:
    moved, line = 0, 16
    for partners in PARTNERS:
        moved += 2 * 8 + 4  # the user's bounds and weight
        for _ in partners:
            moved += 4 + 4 * line  # an item and its line
            moved += 4 + 2 * 4 * line  # once more, and that of the result, read and written
    assert moved_bytes.bytes_of_gram_product(EACH, len(PARTNERS), line) == moved
