"""Folds of interactions, of one each, and of users: what is held out, and what is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.folds import InteractionKFold, LeaveLastOut, LeaveOneOut, UserKFold
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.matrices import matrix_of_ones
from sparserec_np.errors import ConfigError, DataError
from tests.makers.small import small_log

pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=12, max_size=60)


def users_of(rows: Any, given: Any) -> list[Any]:
    return [given[row][0] for row in rows]


@settings(deadline=None)
@given(pairs, st.integers(2, 4), st.integers(0, 5))
def test_each_pair_is_held_out_once_and_spread_over_the_folds(rows: Any, k: int, seed: int) -> None:
    if len(set(rows)) < 2 * k:
        return
    try:
        folds = list(InteractionKFold(k, seed=seed).split(rows))
    except DataError:  # all of few users' pairs may fall in one fold
        return
    assert len(folds) == InteractionKFold(k).get_n_splits() == k
    held = np.concatenate([held_out for _, held_out in folds])
    assert sorted(held.tolist()) == list(range(len(rows)))
    for kept, held_out in folds:
        assert sorted([*kept, *held_out]) == list(range(len(rows)))
        assert not {rows[row] for row in kept} & {rows[row] for row in held_out}
        for user in {user for user, _ in rows}:
            count = len({pair for pair in rows if pair[0] == user})
            mine = len({rows[row] for row in held_out if rows[row][0] == user})
            assert mine in (count // k, -(-count // k))


def test_single_interactions_are_spread_over_the_folds() -> None:
    rows = [(user, 0) for user in range(1000)]
    sizes = [held_out.size for _, held_out in InteractionKFold(4).split(rows)]
    assert min(sizes) > 180 and sum(sizes) == 1000


@settings(deadline=None)
@given(pairs, st.integers(1, 4))
def test_one_of_each_user_is_left_out(rows: Any, n_splits: int) -> None:
    several = {user for user, _ in rows if len({pair for pair in rows if pair[0] == user}) > 1}
    if not several:
        return
    before: set[Any] = set()
    for kept, held_out in LeaveOneOut(n_splits).split(rows):
        left = {rows[row] for row in held_out}
        assert sorted(user for user, _ in left) == sorted(several)
        assert not left & {rows[row] for row in kept}
        fewest = min(len({pair for pair in rows if pair[0] == user}) for user in several)
        assert n_splits > fewest or not left & before
        before |= left


def test_the_last_of_each_user_is_left_out_and_nothing_later_is_trained_on() -> None:
    log = {"user": [1, 2, 1, 1, 3, 2], "item": [1, 1, 2, 3, 9, 2], "time": [5, 1, 7, 6, 4, 3]}
    (first, last), (earlier, before) = LeaveLastOut(2).split(log)
    assert last.tolist() == [2, 5] and first.tolist() == [0, 1, 3, 4]
    assert before.tolist() == [3] and earlier.tolist() == [0, 1, 4, 5]
    with pytest.raises(DataError, match="No user has 4 interactions"):
        list(LeaveLastOut(3).split(log))
    with pytest.raises(DataError, match="needs a time for each interaction"):
        list(LeaveLastOut().split([(1, 2), (1, 3)]))


@settings(deadline=None)
@given(pairs, st.integers(2, 3))
def test_whole_users_are_held_out_once(rows: Any, k: int) -> None:
    users = sorted({user for user, _ in rows})
    if len(users) < k:
        return
    folds = list(UserKFold(k).split(rows))
    assert sorted(user for _, held_out in folds for user in set(users_of(held_out, rows))) == users
    for kept, held_out in folds:
        assert not set(users_of(kept, rows)) & set(users_of(held_out, rows))
        assert len(kept) + len(held_out) == len(rows)


@pytest.mark.parametrize("make", [InteractionKFold, LeaveOneOut, UserKFold])
def test_the_same_seed_gives_the_same_folds_of_every_form(make: Any) -> None:
    log = small_log(30, 20, 250)
    rows = list(log)
    array, columns = np.array(rows), {"user": [row[0] for row in rows], "item": [row[1] for row in rows]}
    wanted = list(make(3, seed=4).split(rows))
    for form in (array, columns, log):
        for (kept, held_out), found in zip(wanted, make(3, seed=4).split(form), strict=True):
            np.testing.assert_array_equal(kept, found[0])
            np.testing.assert_array_equal(held_out, found[1])
    others = list(make(3, seed=5).split(rows))
    assert any(one[1].tolist() != other[1].tolist() for one, other in zip(wanted, others, strict=True))
    assert log[wanted[0][1]].n_interactions == wanted[0][1].size


def test_rows_that_are_no_interactions_are_in_no_part() -> None:
    rated = {"who": [1, 1, 1, 2, 2], "what": [1, 2, 3, 1, 2], "stars": [5, 0, 3, 4, 2]}
    splitter = InteractionKFold(2, user_col="who", item_col="what")
    for kept, held_out in splitter.split(rated):
        assert sorted([*kept, *held_out]) == [0, 2, 3, 4]
    assert repr(splitter) == "InteractionKFold(2, seed=0, user_col='who', item_col='what')"


@pytest.mark.parametrize("make", [InteractionKFold, UserKFold, LeaveOneOut, LeaveLastOut])
def test_what_has_no_rows_of_pairs_is_refused(make: Any) -> None:
    log = small_log()
    for table in (matrix_of_ones(log), matrix_of_ones(log).toarray()):
        with pytest.raises(DataError, match="give pairs of ids instead"):
            next(make().split(table))
    with pytest.raises(DataError, match="read it first"):
        next(make().split("log.csv"))
    with pytest.raises(DataError, match="must all be there"):
        next(make().split([("a", 1), (None, 2)]))
    for wrong in (0, -1, 2.5, True, "3"):
        with pytest.raises(ConfigError, match="n_splits must be a whole number"):
            make(wrong)


def test_too_few_interactions_are_said_to_be() -> None:
    for splitter in (InteractionKFold(2), UserKFold(2), LeaveOneOut()):
        with pytest.raises(DataError, match="make fewer folds, or bring more"):
            list(splitter.split([(1, 2)]))


def test_interactions_are_a_table_of_pairs() -> None:
    log = Interactions.from_pairs(["a", "b", "a"], [7, 7, 8], [30, 10, 20])
    assert len(log) == 3 and log.shape == (3, 2)
    assert sorted(log) == [("a", 7), ("a", 8), ("b", 7)] == sorted(log[row] for row in range(3))
    assert list(log)[-1] == log[-1]
    users, items = log.row_pairs()
    times = log.row_times()
    assert times is not None
    assert {(u, i): t for u, i, t in zip(users, items, times, strict=True)} == {
        ("a", 7): 30,
        ("a", 8): 20,
        ("b", 7): 10,
    }
    for rows in ([0, 2], np.array([True, False, True]), slice(0, 3, 2), ([0, 2], Ellipsis)):
        some = log[rows]
        assert some.n_users == 2 and sorted(some) == sorted([log[0], log[2]])
    with pytest.raises(IndexError):
        log[3]


@pytest.mark.parametrize("k", [2, 3, 5])
def test_blocks_of_rows_hold_as_large_a_part_of_each_users(k: int) -> None:
    log = small_log(30, 40, 600)
    for block in np.array_split(np.arange(len(log)), k):
        part = log[block].user_degrees - log.user_degrees / k
        assert np.all(np.abs(part) < 2) and abs(part.mean()) < 0.1
