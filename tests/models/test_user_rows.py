"""Users' rows, cut and solved for, beside the plain definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.recency import Touched
from sparserec_np.data.table import SparseTable
from sparserec_np.models.user_rows import USER_ROWS, RidgeSolve, SumAndItems, SumOfRows
from sparserec_np.runtime import (
    MADE_ROWS,
    MARK_POWERS,
    RidgeTerms,
    Table,
    recency_levels,
    ridge_terms,
    solved_row,
)
from tests.makers.small import random_table, same_bits, small_log

LOG = small_log(12, 9, 40)
LOG = replace(LOG, times=np.random.default_rng(5).permutation(LOG.n_interactions))
TOUCHED = Touched(LOG, 0.75)
SHARES = recency_levels(0.75)[TOUCHED.ages]


def test_the_ways_to_make_rows_are_those_that_are_served() -> None:
    assert USER_ROWS.keys() == MADE_ROWS.keys()
    assert all((kind.item_bytes > 0) == MADE_ROWS[name].has_numbers for name, kind in USER_ROWS.items())


@pytest.mark.parametrize("entries", [2, 64])
def test_sums_of_rows_are_cut(entries: int) -> None:
    rng = np.random.default_rng(0)
    table, weights = random_table(rng, 9, 7, 40), rng.random(9, np.float32)
    made = SumOfRows(weights, entries).made_by(table, 7).rows_of(np.array([4, 2], np.int32), TOUCHED)
    dense = table.to_dense(7)
    for row, user in zip(made.to_dense(7), (4, 2), strict=True):
        own = LOG.items[LOG.indptr[user] : LOG.indptr[user + 1]]
        full = (SHARES[LOG.indptr[user] : LOG.indptr[user + 1]] * weights[own]) @ dense[own]
        np.testing.assert_allclose(row[row != 0], full[row != 0], rtol=1e-5)
        assert np.count_nonzero(row) == min(entries, 7)


@pytest.mark.parametrize("power", MARK_POWERS)
@pytest.mark.parametrize(("summed", "entries"), [(5, 2), (5, 64), (300, 3)])
def test_sums_with_marks_and_replies_behind_them(summed: int, entries: int, power: float) -> None:
    rng, dim = np.random.default_rng(0), summed + LOG.n_items
    table, weights = random_table(rng, LOG.n_items, dim, 60), rng.random(LOG.n_items, np.float32)
    users = np.array([4, 2, 4, 11], np.int32)
    weights[3] = -0.5
    made = SumAndItems(weights, power, entries).made_by(table, dim).rows_of(users, TOUCHED)
    width = dim + LOG.n_items
    made.validate(width)
    dense = table.to_dense(dim)
    alone = SparseTable.from_dense(dense[:, :summed])
    sums = SumOfRows(weights, entries).made_by(alone, summed).rows_of(users, TOUCHED).to_dense(summed)
    np.testing.assert_array_equal(made.to_dense(width)[:, :summed], sums)
    marks, factors = np.zeros((len(users), LOG.n_items)), np.maximum(weights.astype(float), 0) ** power
    for place, user in enumerate(users):
        own = slice(LOG.indptr[user], LOG.indptr[user + 1])
        marks[place, LOG.items[own]] = SHARES[own] * factors[LOG.items[own]]
    np.testing.assert_allclose(made.to_dense(width)[:, summed:dim], marks, rtol=1e-5)
    np.testing.assert_allclose(made.to_dense(width)[:, dim:], marks @ dense[:, summed:], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dim", [7, 300])
def test_solutions_are_tables_of_the_rows_that_serving_makes(dim: int) -> None:
    table = random_table(np.random.default_rng(1), 9, dim, 40)
    users = np.array([4, 2, 4], np.int32)
    made = RidgeSolve(0.2, 1.0, 5).made_by(table, dim).rows_of(users, TOUCHED)
    made.validate(dim)
    terms = ridge_terms(Table(*table), dim, 0.2, 1.0)
    for row, user in zip(made.to_dense(dim), users, strict=True):
        columns, values = solved_row(
            Table(*table), LOG.items[LOG.indptr[user] : LOG.indptr[user + 1]], terms, 5
        )
        expected = np.zeros(dim, np.float32)
        expected[columns] = values
        np.testing.assert_array_equal(row, expected)


def test_rows_of_read_only_items_are_the_same() -> None:
    table = random_table(np.random.default_rng(1), 9, 7, 40)
    users = np.arange(12, dtype=np.int32)
    frozen = table.copy()
    for array in frozen:
        array.flags.writeable = False
    one, two = (RidgeSolve(0.2, 1.0).made_by(some, 7).rows_of(users, TOUCHED) for some in (table, frozen))
    assert same_bits(one, two)


def test_somebody_without_items_has_an_empty_row() -> None:
    log = Interactions.from_pairs([0, 0, 1], [0, 1, 1], user_ids=[2], item_ids=[2])
    table = random_table(np.random.default_rng(2), 3, 4, 9)
    made = RidgeSolve(0.2, 1.0).made_by(table, 4).rows_of(np.arange(3, dtype=np.int32), Touched(log))
    assert np.diff(made.indptr)[2] == 0 and made.nnz > 0


def test_the_shared_part_is_that_of_dense_algebra_at_any_size_of_a_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = random_table(np.random.default_rng(3), 1500, 12, 7000)
    dense = table.to_dense(12).astype(np.float64)
    expected = 0.5 * dense.T @ dense + 2 * np.square(dense).sum() / 1500 * np.eye(12)
    found: list[RidgeTerms] = []
    for size in (1 << 15, 7, 1):
        monkeypatch.setattr("sparserec_np.runtime.PAIR_BLOCK", size)
        found.append(ridge_terms(Table(*table), 12, 0.5, 2.0))
        np.testing.assert_allclose(np.triu(found[-1].base), np.triu(expected), rtol=1e-12, atol=1e-12)
    assert found[0].base.tobytes() == found[1].base.tobytes() == found[2].base.tobytes()


@pytest.mark.parametrize("entries", [7, 40, 10_000])
@pytest.mark.parametrize("count", [0, 1, 12])
def test_users_are_divided_into_parts_of_bounded_size(
    count: int, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparserec_np.models.user_rows.ENTRIES_AT_ONCE", entries)
    dim, users = 5 + LOG.n_items, np.arange(count, dtype=np.int32)
    table = random_table(np.random.default_rng(0), LOG.n_items, dim, 60)
    maker = SumAndItems(np.ones(LOG.n_items, np.float32), 0.0).made_by(table, dim)
    blocks = maker.blocks(users, TOUCHED)
    whole = maker.rows_of(users, TOUCHED)
    assert [place for block in blocks for place in users[block].tolist()] == users.tolist()
    parts = [maker.rows_of(users[block], TOUCHED) for block in blocks]
    assert sum(part.nnz for part in parts) == whole.nnz
    behind = [int((part.columns >= 5).sum()) for part in parts if part.rows > 1]
    assert all(many < 3 * entries for many in behind) or entries == 7
    assert len(blocks) > 1 or entries > 7 or count < 2
