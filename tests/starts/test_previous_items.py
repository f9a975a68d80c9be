"""Going on where items alone are stored: rows stay bit by bit, new items are solved for, entries stay as many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.factorization.item_rows import RowPenalties
from sparserec_np.machine.threads import one_blas_thread
from sparserec_np.starts import ITEM_STARTS
from sparserec_np.starts.items import ItemWishes
from sparserec_np.starts.previous import spread_rows
from sparserec_np.starts.previous_items import PreviousItems, PreviousSolved
from tests.makers.small import Array, peak_of, random_table, same_bits, small_log

DIM, NNZ = 12, 150
LOG = small_log(70, 50, 1200)
NEW = LOG.items % 5 == 0
PART = Interactions.from_pairs(LOG.user_ids[LOG.pair_users()[~NEW]], LOG.item_ids[LOG.items[~NEW]])
PLACES = np.searchsorted(LOG.item_ids, PART.item_ids)
ADDED = np.delete(np.arange(LOG.n_items), PLACES)


def former(nnz: int = NNZ) -> PreviousItems:
    table = ITEM_STARTS["spectral"](PART, DIM, nnz, np.random.default_rng(0))
    factors = 1 + np.random.default_rng(1).random(PART.n_items)
    return PreviousItems(table, DIM, PART, (factors / PART.item_degrees).astype(np.float32))


def begin(log: Interactions = LOG, nnz: int = NNZ, known: PreviousItems | None = None) -> SparseTable:
    return (known or former()).start()(log, DIM, nnz, np.random.default_rng(1), 1)


def written_out(known: PreviousItems) -> Array:
    """The rows of new items, before any entry leaves, in float64 loops."""
    dense, numbers = np.zeros((LOG.n_items, DIM)), known.weights(LOG)
    dense[PLACES] = known.table.to_dense(DIM)
    gram, sums = np.zeros((DIM, DIM)), np.zeros((LOG.n_items, DIM))
    for user in range(LOG.n_users):
        items = LOG.items[LOG.indptr[user] : LOG.indptr[user + 1]]
        row = sum((numbers[j] * dense[j] for j in items), np.zeros(DIM))
        gram += np.outer(row, row) / max(len(items), 1)
        for item in items:
            sums[item] += row / len(items)
    rows = sums[ADDED] @ np.linalg.inv(gram + np.trace(gram) / DIM * np.eye(DIM))
    lengths = [np.linalg.norm(some, axis=1).mean() for some in (dense[PLACES], rows)]
    made: Array = rows * lengths[0] / lengths[1]
    return made


def test_new_rows_are_those_of_the_equation() -> None:
    known = former()
    table = begin(nnz=LOG.n_items * DIM)  # nothing has to leave
    np.testing.assert_allclose(table.to_dense(DIM)[ADDED], written_out(known), rtol=2e-3, atol=2e-5)
    np.testing.assert_array_equal(table.to_dense(DIM)[PLACES], known.table.to_dense(DIM))


@settings(deadline=None)  # the first call compiles
@given(st.integers(20, 400))
def test_the_largest_entries_of_all_fill_the_budget(nnz: int) -> None:
    known = former(NNZ)
    table = begin(nnz=nnz, known=known)
    table.validate(DIM)
    assert table.rows == LOG.n_items
    dense = np.zeros((LOG.n_items, DIM), np.float32)
    dense[PLACES], dense[ADDED] = known.table.to_dense(DIM), begin(nnz=9999, known=known).to_dense(DIM)[ADDED]
    assert table.nnz == min(nnz, known.table.nnz + len(ADDED) * DIM)
    wanted = np.sort(np.abs(dense), axis=None)[::-1][: table.nnz]
    np.testing.assert_array_equal(np.sort(np.abs(table.values))[::-1], wanted)
    stored = table.to_dense(DIM)
    np.testing.assert_array_equal(stored[stored != 0], dense[stored != 0])  # what stays is what it was


def test_without_new_items_the_table_is_the_same_bit_by_bit() -> None:
    known = former()
    more = PART.joined(Interactions.from_pairs([9999, 9999], PART.item_ids[[3, 7]]))
    for log in (PART, more):
        assert same_bits(begin(log, known=known), known.table)
    named = PART.joined(Interactions.from_pairs(["zoe"], PART.item_ids[[3]].astype(str)))
    order = np.argsort(PART.item_ids.astype(str))  # ids have become text, which sorts in another way
    assert (np.diff(order) < 0).any()
    table = begin(named, known=known)
    np.testing.assert_array_equal(table.to_dense(DIM), known.table.to_dense(DIM)[order])
    assert table.nnz == NNZ


def test_numbers_fall_with_new_users_and_are_the_same_bits_without() -> None:
    known = former()
    assert known.weights(PART).tobytes() == known.numbers.tobytes()
    extra = PART.joined(Interactions.from_pairs([9999, 9999], PART.item_ids[[3, 7]]))
    made = known.weights(extra)
    same = np.delete(np.arange(PART.n_items), [3, 7])
    assert made[same].tobytes() == known.numbers[same].tobytes()
    for item in (3, 7):
        degree = PART.item_degrees[item]
        assert made[item] == pytest.approx(known.numbers[item] * degree / (degree + 1), rel=1e-6)
    fresh = known.weights(LOG)[ADDED] * LOG.item_degrees[ADDED]
    np.testing.assert_allclose(fresh, (known.numbers * PART.item_degrees).mean(), rtol=1e-5)


def test_new_items_are_near_to_those_that_the_same_users_had() -> None:
    table, numbers = begin(), former().weights(LOG)
    dense = table.to_dense(DIM)
    had = np.zeros((LOG.n_users, LOG.n_items), dtype=bool)
    had[LOG.pair_users(), LOG.items] = True
    own = numbers * (dense**2).sum(axis=1)
    scores = had @ (numbers[:, None] * dense) @ dense.T - had * own
    assert np.diff(table.indptr)[ADDED].any()
    assert scores[:, ADDED][had[:, ADDED]].mean() > 1.1 * scores[:, ADDED][~had[:, ADDED]].mean()


def test_items_whose_users_have_no_rows_get_none_and_others_keep_theirs() -> None:
    known = former()
    strangers = PART.joined(Interactions.from_pairs([9999], [9999]))
    table = begin(strangers, known=known)
    assert table.rows == PART.n_items + 1
    np.testing.assert_array_equal(table.to_dense(DIM)[:-1], known.table.to_dense(DIM))
    assert not table.to_dense(DIM)[-1].any()


def test_a_model_without_entries_goes_on_without() -> None:
    empty = SparseTable.from_dense(np.zeros((PART.n_items, DIM), np.float32))
    table = begin(nnz=40, known=replace(former(), table=empty))
    assert np.isfinite(table.values).all() and not table.values.any()


def test_the_columns_stay() -> None:
    with pytest.raises(ConfigError, match="fills 12 columns, .* room for 11 only"):
        former().start()(LOG, DIM - 1, NNZ, np.random.default_rng(1))


# ---- users who are solved for

WEIGHTS = RowPenalties(0.3, 0.5)


def solved_former(nnz: int = NNZ) -> PreviousSolved:
    table = ITEM_STARTS["als"].fitted_to(ItemWishes(WEIGHTS))(PART, DIM, nnz, np.random.default_rng(0))
    return PreviousSolved(table, DIM, PART, WEIGHTS)


def solved_from(others: Array, touched: Array) -> Array:
    """A row for each row of ``touched``, booleans, from the rows of ``others``, by dense algebra."""
    mean = np.square(others).sum() / len(others)
    shared = WEIGHTS.untouched * others.T @ others + WEIGHTS.ridge * mean * np.eye(DIM)
    rows = [np.linalg.solve(shared + others[own].T @ others[own], others[own].sum(axis=0)) for own in touched]
    return np.array(rows)


def test_where_users_are_solved_for_new_items_are_from_these() -> None:
    known, had = solved_former(), np.zeros((LOG.n_users, LOG.n_items), dtype=bool)
    had[LOG.pair_users(), LOG.items] = True
    dense = np.zeros((LOG.n_items, DIM))
    dense[PLACES] = known.table.to_dense(DIM)
    wanted = solved_from(solved_from(dense, had), had.T[ADDED])
    one, two = (
        known.start()(LOG, DIM, LOG.n_items * DIM, np.random.default_rng(1), threads) for threads in (1, 2)
    )
    assert same_bits(one, two) and not len(known.weights(LOG))
    np.testing.assert_allclose(one.to_dense(DIM)[ADDED], wanted, rtol=2e-3, atol=2e-5)
    np.testing.assert_array_equal(one.to_dense(DIM)[PLACES], known.table.to_dense(DIM))
    assert known.start()(LOG, DIM, NNZ, np.random.default_rng(1), 1).nnz == NNZ


def test_numbers_of_items_without_entries_count_for_nothing() -> None:
    """An export leaves them out, and new items get the same numbers from the run and from the file."""
    known = former()
    empty = np.diff(known.table.indptr) == 0
    table = known.table
    if not empty.any():  # take one item's entries away
        keep = table.row_numbers() != 0
        indptr = np.append(0, np.cumsum(np.bincount(table.row_numbers()[keep], minlength=table.rows)))
        table = SparseTable(indptr.astype(table.indptr.dtype), table.columns[keep], table.values[keep])
        empty = np.diff(table.indptr) == 0
    whole = replace(known, table=table)
    short = replace(whole, numbers=np.where(empty, np.float32(0), known.numbers))
    np.testing.assert_array_equal(whole.weights(LOG)[ADDED], short.weights(LOG)[ADDED])


@pytest.mark.parametrize(("n_users", "n_items"), [(1500, 300), (300, 1500), (900, 900)])
def test_no_more_memory_is_taken_than_is_said_where_users_are_solved_for(n_users: int, n_items: int) -> None:
    log, dim = small_log(n_users, n_items, 9000), 96
    known = n_items - n_items // 4
    part = Interactions.from_codes([], [], log.user_ids, log.item_ids[:known])
    model = PreviousSolved(
        random_table(np.random.default_rng(0), known, dim, known * 9), dim, part, RowPenalties()
    )
    table = spread_rows(model.table, model.places(log), n_items)
    new = np.arange(known, n_items)
    said = dim * max(12 * n_items + 4 * n_users, 12 * n_users + 4 * len(new))
    said += 2 * 8 * log.n_interactions + 4 * 8 * dim**2
    with one_blas_thread():
        peak = peak_of(lambda: model.new_rows(log, table, new, 1))
    assert 0.7 * said < peak < 1.1 * said
