from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import (
    hold_out,
    split_last,
    split_latest,
    split_mixed,
    split_random,
    split_time,
    split_users,
)
from sparserec_np.data.synthetic import generate
from sparserec_np.errors import ConfigError, DataError

logs = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 15), st.integers(0, 9)), min_size=1, max_size=80
).map(
    lambda rows: Interactions.from_pairs(*zip(*rows, strict=True), user_ids=[99])  # 99 has no item
)


def check_parts(log, train, held_out):
    """Two parts over the same ids, disjoint, together the whole."""
    for part in (train, held_out):
        assert np.array_equal(part.user_ids, log.user_ids) and np.array_equal(part.item_ids, log.item_ids)
    whole = train.union(held_out)
    assert whole.duplicates == 0 and whole.digest() == log.digest()
    if log.times is not None:
        assert np.array_equal(whole.times, log.times)


@given(logs, st.floats(0.05, 0.95), st.integers(0, 9))
def test_random_takes_floor_or_ceil_of_each_user(log, fraction, seed):
    try:
        train, held_out = split_random(log, fraction, np.random.default_rng(seed))
    except DataError as error:
        assert "Nothing can be held out" in str(error)
        return
    check_parts(log, train, held_out)
    exact = fraction * log.user_degrees
    assert np.all(held_out.user_degrees <= np.ceil(exact + 1e-9))
    assert np.all(held_out.user_degrees >= np.minimum(np.floor(exact - 1e-9), log.user_degrees - 1))
    assert np.all((train.user_degrees > 0) == (log.user_degrees > 0))


def test_random_holds_out_the_share_asked_for():
    log = generate(seed=5)
    train, held_out = split_random(log, 0.13, np.random.default_rng(1))
    check_parts(log, train, held_out)
    assert abs(held_out.n_interactions - 0.13 * log.n_interactions) <= 1


def test_random_is_fair_to_items_and_users():
    log = Interactions.from_pairs(np.repeat(np.arange(400), 5), np.tile(np.arange(5), 400))
    held_out = split_random(log, 0.3, np.random.default_rng(0))[1]
    assert held_out.n_interactions == 600
    assert set(held_out.user_degrees.tolist()) == {1, 2}
    assert np.all(np.abs(held_out.item_degrees - 120) < 40)  # four standard deviations


def test_random_depends_on_the_seed_only():
    log = generate(seed=5)
    one, two, other = (split_random(log, 0.2, np.random.default_rng(seed))[1].digest() for seed in (1, 1, 2))
    assert one == two != other


@given(logs, st.integers(1, 4))
def test_last_takes_the_latest_of_each_user(log, n):
    if log.user_degrees.max() < 2:
        with pytest.raises(DataError, match="Nothing can be held out"):
            split_last(log, n)
        return
    train, held_out = split_last(log, n)
    check_parts(log, train, held_out)
    for user in range(log.n_users):
        row = slice(log.indptr[user], log.indptr[user + 1])
        order = sorted(zip(log.times[row].tolist(), log.items[row].tolist(), strict=True))
        count = max(min(n, len(order) - 1), 0)
        wanted = sorted(item for _, item in order[len(order) - count :])
        assert held_out.items[held_out.indptr[user] : held_out.indptr[user + 1]].tolist() == wanted


@given(logs, st.floats(0.05, 0.95))
def test_time_parts_everybody_at_one_moment(log, fraction):
    if log.times.min() == log.times.max():
        with pytest.raises(DataError, match="Nothing would be left"):
            split_time(log, fraction)
        return
    try:
        train, held_out = split_time(log, fraction)
    except DataError as error:
        assert "Nothing would be left" in str(error)
        return
    check_parts(log, train, held_out)
    assert train.times.max() < held_out.times.min()
    assert held_out.n_interactions >= int(fraction * log.n_interactions)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 2, float("nan")])
def test_shares_outside_the_open_interval_are_refused(fraction):
    log = Interactions.from_pairs([0, 0], [0, 1], times=[1, 2])
    with pytest.raises(ConfigError, match="between 0 and 1"):
        split_random(log, fraction, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        split_time(log, fraction)


def test_what_cannot_be_split_is_refused():
    timeless = Interactions.from_pairs([0, 0], [0, 1])
    for call in (lambda: split_last(timeless, 1), lambda: split_time(timeless, 0.5)):
        with pytest.raises(DataError, match="needs a time"):
            call()
    with pytest.raises(ConfigError, match="at least 1, found 0"):
        split_last(timeless, 0)
    with pytest.raises(DataError, match="no user has an item to spare"):
        split_random(Interactions.from_pairs([0, 1], [0, 1]), 0.5, np.random.default_rng(0))


@pytest.mark.parametrize("rng", [0, None, np.random.RandomState(0), "seed"])
def test_random_numbers_come_from_a_generator(rng):
    with pytest.raises(ConfigError, match="pass np.random.default_rng"):
        split_random(Interactions.from_pairs([0, 0], [0, 1]), 0.5, rng)


def test_sizes_are_numbers():
    log = Interactions.from_pairs([0, 0], [0, 1], [3, 4])
    for wrong in ("x", None, 1.5, float("nan"), True, 1):
        with pytest.raises(ConfigError, match="must lie between 0 and 1"):
            split_time(log, wrong)
    for wrong in ("x", None, 1.5):
        with pytest.raises(ConfigError, match="must be at least 1"):
            split_last(log, wrong)


def test_what_others_take_is_split_too():
    kept, held_out = split_last({"user": [1, 1], "item": [7, 8], "time": [4, 3]}, 1)
    assert (list(kept), list(held_out)) == ([(1, 8)], [(1, 7)])


@given(logs, st.floats(0.05, 0.95))
def test_latest_takes_each_users_last_part(log, fraction):
    try:
        train, held_out = split_latest(log, fraction)
    except DataError as error:
        assert "Nothing can be held out" in str(error)
        return
    check_parts(log, train, held_out)
    wanted = np.minimum(np.rint(fraction * log.user_degrees), np.maximum(log.user_degrees - 1, 0))
    assert held_out.user_degrees.tolist() == wanted.tolist()
    for user in range(log.n_users):
        early, late = (part.times[part.indptr[user] : part.indptr[user + 1]] for part in (train, held_out))
        assert not len(late) or early.max() <= late.min()


@given(logs, st.floats(0.1, 0.9), st.integers(0, 9))
def test_both_are_the_latest_and_others(log, fraction, seed):
    try:
        train, held_out = split_mixed(log, fraction, np.random.default_rng(seed))
    except DataError as error:
        assert "Nothing can be held out" in str(error)
        return
    check_parts(log, train, held_out)
    latest = split_latest(log, fraction / 2)[1]
    assert held_out.shared_with(latest) == latest.n_interactions
    assert abs(held_out.n_interactions - fraction * log.n_interactions) <= 2 * log.n_users


def test_what_is_held_out_depends_on_whether_there_is_an_order():
    log = generate(n_users=40, n_items=60, n_interactions=900, groups=4, seed=0)
    timed = replace(log, times=np.random.default_rng(0).permutation(900))

    def parts(some, way=None):
        return [part.digest() for part in hold_out(some, 0.2, np.random.default_rng(1), way)]

    assert parts(log) == parts(log, "random") == parts(timed, "random")
    assert parts(timed) == parts(timed, "both") != parts(timed, "last")
    with pytest.raises(DataError, match="there is none; split at random"):
        parts(log, "last")


def test_an_order_without_moments_is_not_cut_at_one():
    log = Interactions.from_codes(
        [0, 0, 1, 1], [0, 1, 0, 1], np.arange(2), np.arange(2), [0, 1, 2, 3]
    ).dated_as(False)
    assert split_last(log, 1)[1].items.tolist() == [1, 1]
    with pytest.raises(DataError, match="hold out each user's last instead"):
        split_time(log, 0.5)


def test_users_are_held_out_whole_and_known_in_part():
    log = Interactions.from_pairs(np.repeat(np.arange(10), 10), np.tile(np.arange(10), 10))
    train, known, test = split_users(log, 0.3, np.random.default_rng(1))
    assert train.n_users == 7 and known.n_users == test.n_users == 3
    assert not set(train.user_ids.tolist()) & set(known.user_ids.tolist())
    assert known.user_degrees.tolist() == [8] * 3 and test.user_degrees.tolist() == [2] * 3
    assert known.shared_with(test) == 0
    again = split_users(log, 0.3, np.random.default_rng(1))
    assert [part.digest() for part in again] == [part.digest() for part in (train, known, test)]
    for fraction, count in ((0.01, 1), (0.99, 9)):
        assert split_users(log, fraction, np.random.default_rng(0)).known.n_users == count
    with pytest.raises(DataError, match="two users or more"):
        split_users([(1, 2), (1, 3)], 0.5, np.random.default_rng(0))
    with pytest.raises(DataError, match="one to be known by"):
        split_users([(1, 2), (2, 3)], 0.5, np.random.default_rng(0))
    for seed in range(20):
        few = split_users(
            [(user, item) for user in range(6) for item in range(2)], 0.4, np.random.default_rng(seed)
        )
        assert few.test.n_interactions >= 1
