from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.data import interactions
from sparserec_np.data.interactions import Counts, Interactions, encode_ids, expect_interactions
from sparserec_np.errors import ConfigError, DataError, SparseRecError

numbers = st.integers(-5, 12)
words = st.sampled_from(["", "7", "12", "a", "b", "ü", "z z"])
pairs_of_numbers = st.lists(st.tuples(numbers, numbers), max_size=40)
pairs_of_words = st.lists(st.tuples(words, words), max_size=40)


def build(pairs, **more):
    return Interactions.from_pairs([user for user, _ in pairs], [item for _, item in pairs], **more)


def outside(log):
    """The pairs as a sorted list of outside ids."""
    users, items = log.user_ids.tolist(), log.item_ids.tolist()
    return sorted((users[u], items[i]) for u, i in zip(log.pair_users(), log.items, strict=True))


@given(st.one_of(pairs_of_numbers, pairs_of_words))
def test_from_pairs_holds_each_distinct_pair_once(pairs):
    log = build(pairs)
    assert outside(log) == sorted(set(pairs))
    assert log.duplicates == len(pairs) - len(set(pairs))
    assert log.indptr.dtype == np.int64 and log.items.dtype == np.int32
    assert log.user_ids.tolist() == sorted({user for user, _ in pairs})
    assert log.item_ids.tolist() == sorted({item for _, item in pairs})


@given(pairs_of_numbers, st.booleans(), st.booleans(), st.integers(1, 5))
def test_pairs_merged_run_by_run_are_those_merged_at_once(pairs, in_order, timed, step):
    pairs = sorted(pairs, key=lambda pair: pair[0]) if in_order else pairs
    more = {
        "times": [hash(pair) % 7 for pair in enumerate(pairs)] if timed else None,
        "user_ids": range(-9, 20),
    }
    whole = build(pairs, **more)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interactions, "FEW_PAIRS", step)
        runs = build(pairs, **more)
    assert whole.digest() == runs.digest() and whole.duplicates == runs.duplicates
    assert (whole.times is None) == (not timed)
    if timed:
        np.testing.assert_array_equal(whole.times, runs.times)


def test_runs_end_where_users_do(monkeypatch):
    monkeypatch.setattr(interactions, "FEW_PAIRS", 2)
    users = np.array([1, 1, 1, 1, 4, 4, 5, 7])
    assert list(interactions._user_runs(users, 9)) == [(0, 4, 0, 4), (4, 6, 4, 5), (6, 8, 5, 9)]
    assert list(interactions._user_runs(users[::-1], 9)) == [(0, 8, 0, 9)]


@given(pairs_of_numbers)
def test_by_item_is_the_transpose(pairs):
    log = build(pairs)
    indptr, users = log.by_item()
    items = np.repeat(np.arange(log.n_items), np.diff(indptr))
    back = sorted((int(u), int(i)) for u, i in zip(users, items, strict=True))
    assert back == sorted((int(u), int(i)) for u, i in zip(log.pair_users(), log.items, strict=True))
    assert indptr.dtype == np.int64 and users.dtype == np.int32
    assert np.array_equal(np.diff(indptr), log.item_degrees)
    assert log.user_degrees.sum() == log.item_degrees.sum() == log.n_interactions


@given(pairs_of_numbers, st.data())
def test_subset_and_its_complement_unite_to_the_whole(pairs, data):
    log = build(pairs)
    n = log.n_interactions
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool)
    one, other = log.subset(keep), log.subset(~keep)
    assert one.n_interactions + other.n_interactions == n
    whole = one.union(other)
    assert whole.duplicates == 0 and whole.digest() == log.digest()


def test_sizes():
    log = build([(0, 0), (0, 1), (2, 1)], user_ids=[0, 1, 2, 3], item_ids=[5])
    assert (log.n_users, log.n_items, log.n_interactions) == (4, 3, 3)
    assert log.user_degrees.tolist() == [2, 0, 1, 0] and log.item_degrees.tolist() == [1, 2, 0]
    assert log.density == 3 / 12
    assert log.nbytes == 5 * 8 + 3 * 4 + 4 * 8 + 3 * 8
    assert repr(log) == "Interactions(users=4, items=3, interactions=3)"


def test_nothing_at_all():
    log = build([])
    assert (log.n_users, log.n_items, log.n_interactions, log.density) == (0, 0, 0, 0.0)
    assert log.aligned_to(log)[1] == Counts(0, 0, 0)


def test_merged_pairs_keep_the_latest_time():
    log = Interactions.from_pairs([1, 0, 1, 1], [4, 4, 4, 2], times=[5, 1, 9, 3])
    assert log.times.tolist() == [1, 3, 9] and log.duplicates == 1 and log.times.dtype == np.int64
    assert log.subset(np.array([True, False, True])).times.tolist() == [1, 9]
    late = Interactions.from_pairs([0], [4], times=[7.5], user_ids=[1], item_ids=[2])
    assert log.union(late).times.tolist() == [7.5, 3, 9]
    assert log.union(Interactions.from_pairs([0], [4], user_ids=[1], item_ids=[2])).times is None


def test_ids_far_apart_and_near():
    far = [10**15, -4, 3]
    codes, ids = encode_ids(far)
    assert ids.tolist() == sorted(far) and ids[codes].tolist() == far
    codes, ids = encode_ids(np.array([3, 1, 3], dtype=np.uint8))
    assert ids.tolist() == [1, 3] and ids.dtype == np.int64 and codes.tolist() == [1, 0, 1]


def test_integers_and_strings_together_become_strings():
    codes, ids = encode_ids([2, 10], more=["x"])
    assert ids.tolist() == ["10", "2", "x"] and codes.tolist() == [1, 0]
    assert encode_ids(np.array([2**70, 1], dtype=object))[1].tolist() == ["1", str(2**70)]
    assert encode_ids(np.array([4, 1], dtype=object))[1].tolist() == [1, 4]


def test_shared_with_counts_the_pairs_of_both():
    ids = {"user_ids": [0, 1, 2, 3], "item_ids": [0, 1, 2]}
    one = build([(0, 0), (0, 2), (1, 1), (3, 0)], **ids)
    other = build([(0, 2), (0, 1), (3, 0), (1, 0)], **ids)
    assert one.shared_with(other) == other.shared_with(one) == one.union(other).duplicates == 2
    assert one.shared_with(one) == one.n_interactions
    with pytest.raises(DataError, match="aligned_to"):
        one.shared_with(build([(0, 0)]))


def test_aligned_to_maps_ids_and_counts_what_has_no_place():
    reference = build([(1, 10), (2, 20), (11, 3)])
    test = build([(1, 20), (2, 99), (5, 10), (11, 10)])
    placed, counts = test.aligned_to(reference)
    assert counts == Counts(unknown_users=1, unknown_items=1, dropped_pairs=2)
    assert outside(placed) == [(1, 20), (11, 10)]
    assert np.array_equal(placed.user_ids, reference.user_ids)
    assert np.array_equal(placed.item_ids, reference.item_ids)


@given(pairs_of_numbers, pairs_of_numbers)
def test_alignment_does_not_care_whether_ids_are_text(pairs, others):
    reference, test = build(pairs), build(others)
    as_text = build([(str(user), str(item)) for user, item in others])
    placed, counts = test.aligned_to(reference)
    again, same = as_text.aligned_to(reference)
    assert counts == same and placed.digest() == again.digest()
    back = reference.aligned_to(as_text)[0]
    assert outside(back) == sorted((str(u), str(i)) for u, i in outside(reference.aligned_to(test)[0]))


def test_alignment_keeps_times():
    reference = build([(1, 10), (2, 20)])
    placed, _ = Interactions.from_pairs([2, 1, 3], [10, 20, 10], times=[7, 8, 9]).aligned_to(reference)
    assert placed.times.tolist() == [8, 7]


def test_digest_sees_ids_and_pairs_and_nothing_else():
    log = build([(0, 0), (1, 1)])
    assert log.digest() == build([(1, 1), (0, 0), (0, 0)]).digest()
    assert log.digest() != build([(0, 1), (1, 0)]).digest()
    assert log.digest() != build([(0, 0), (2, 1)]).digest()
    text = build([("a", "b")])
    assert text.digest() == build([("a", "b")], user_ids=np.array(["a"], dtype="<U90")).digest()
    assert text.digest() != build([("a", "c")]).digest()
    assert len(log.digest()) == 64


def test_renumbered():
    log = build([("x", 5), ("y", 9)])
    assert log.renumbered().user_ids.tolist() == [0, 1] and log.renumbered(first=1).item_ids.tolist() == [
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Interactions.from_pairs([1, 2], [1]), "equally many, found 2 and 1"),
        (lambda: Interactions.from_pairs([1.5], [1]), "user ids must be integers or strings, found float64"),
        (lambda: Interactions.from_pairs([[1]], [1]), r"one flat list, found an array of shape \(1, 1\)"),
        (lambda: Interactions.from_pairs(np.array([2**63], dtype=np.uint64), [1]), "below 2"),
        (lambda: Interactions.from_pairs([1], [1], times=[np.nan]), "finite"),
        (lambda: Interactions.from_pairs([1], [1], times=[1, 2]), "one for each of the 1 pairs"),
        (
            lambda: Interactions.from_codes([3], [0], np.array([1]), np.array([1])),
            r"lie in 0\.\.0, found 3\.\.3",
        ),
        (lambda: Interactions.from_codes([0.5], [0], np.array([1]), np.array([1])), "flat list of integers"),
        (lambda: Interactions.from_codes([0], [0], np.array([4, 4]), np.array([1])), "4 twice|4\\) twice"),
        (lambda: build([(0, 0)]).subset(np.array([1])), "bool mask"),
        (lambda: build([(0, 0)]).union(build([(0, 1)])), "aligned_to"),
    ],
)
def test_refusals(call, sentence):
    with pytest.raises(DataError, match=sentence):
        call()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"indptr": np.array([0, 2, 3], dtype=np.int32)}, "int64 indptr"),
        ({"indptr": np.array([0, 3])}, "shape"),
        ({"indptr": np.array([0, 2, 2])}, "rise from 0"),
        ({"indptr": np.array([0, 4, 3])}, "rise from 0"),
        ({"items": np.array([0, 1, 9], dtype=np.int32)}, "0..1"),
        ({"items": np.array([1, 0, 1], dtype=np.int32)}, "sorted and unique"),
        ({"items": np.array([1, 1, 1], dtype=np.int32)}, "sorted and unique"),
        ({"times": np.zeros(2)}, "times must have shape"),
        ({"user_ids": np.array([3, 1])}, "user_ids must be sorted"),
        ({"item_ids": np.array([1.0, 2.0])}, "item_ids must be one array of int64 or strings"),
    ],
)
def test_the_constructor_checks_its_arrays(change, sentence):
    good = {
        "indptr": np.array([0, 2, 3]),
        "items": np.array([0, 1, 0], dtype=np.int32),
        "user_ids": np.array([1, 3]),
        "item_ids": np.array([5, 6]),
    }
    Interactions(**good)
    with pytest.raises(DataError, match=sentence):
        Interactions(**{**good, **change})


def test_one_base_for_all_refusals():
    assert issubclass(DataError, SparseRecError) and issubclass(ConfigError, SparseRecError)
    assert issubclass(DataError, ValueError) and issubclass(ConfigError, ValueError)


def test_users_come_in_blocks_of_a_bounded_number_of_pairs(monkeypatch):
    log = Interactions.from_pairs([1, 1, 1, 2, 4, 4], [0, 1, 2, 0, 1, 2], user_ids=range(7))
    assert list(log.user_blocks()) == [(0, 7)]
    degrees = log.item_degrees
    monkeypatch.setattr("sparserec_np.data.interactions.PAIRS_AT_ONCE", 2)
    blocks = list(log.user_blocks())
    assert list(log.user_blocks(3)) == [(0, 2), (2, 7)]
    assert [first for first, _ in blocks] == [0, *(last for _, last in blocks[:-1])] and blocks[-1][1] == 7
    sizes = [int(log.indptr[last] - log.indptr[first]) for first, last in blocks]
    assert sum(sizes) == 6
    assert all(size <= 2 or last == first + 1 for size, (first, last) in zip(sizes, blocks, strict=True))
    assert np.array_equal(log.item_degrees, degrees)
    with pytest.raises(DataError, match="sorted and unique"):
        Interactions(log.indptr, log.items[[0, 1, 2, 3, 5, 4]], log.user_ids, log.item_ids)
    with pytest.raises(DataError, match="must lie in"):
        Interactions(log.indptr, log.items + np.int32(1), log.user_ids, log.item_ids)


def test_joined_is_over_the_ids_of_both():
    one = Interactions.from_pairs([1, 1, 3], [10, 20, 10])
    other = Interactions.from_pairs([3, 2], [10, 15], user_ids=[9])
    both = one.joined(other)
    assert (both.user_ids.tolist(), both.item_ids.tolist()) == ([1, 2, 3, 9], [10, 15, 20])
    assert both.digest() == Interactions.from_pairs([1, 1, 2, 3], [10, 20, 15, 10], user_ids=[9]).digest()
    assert both.duplicates == 1
    mixed = one.joined(Interactions.from_pairs(["3", "zoe"], [10, 10]))
    assert (mixed.user_ids.tolist(), mixed.n_interactions) == (["1", "3", "zoe"], 4)


def test_without_leaves_the_pairs_of_the_first_alone():
    one = Interactions.from_codes([0, 0, 1, 2], [0, 1, 1, 0], np.arange(3), np.arange(2))
    other = Interactions.from_codes([0, 2, 1], [1, 0, 0], np.arange(3), np.arange(2))
    left = one.without(other)
    assert (left.pair_users().tolist(), left.items.tolist()) == ([0, 1], [0, 1])
    assert one.without(left).n_interactions == one.shared_with(other) == 2
    with pytest.raises(DataError, match="without needs interactions over the same users"):
        one.without(Interactions.from_pairs([0], [0]))


@pytest.mark.parametrize("given", ["x.csv", 3, None])
def test_what_is_no_interactions_is_named(given):
    with pytest.raises(DataError, match="Expected Interactions, found .*; use read_interactions"):
        expect_interactions(given)


def test_an_order_without_moments_goes_with_the_pairs():
    log = Interactions.from_codes(
        [0, 0, 1, 1], [0, 1, 0, 2], np.arange(2), np.arange(3), np.array([5, 3, 4, 8], np.int32)
    ).dated_as(False)
    assert log.times.dtype == np.int32 and not log.dated
    part = log.subset(np.array([True, False, True, True]))
    assert part.times.tolist() == [5, 4, 8] and not part.dated
    moved, _ = log.aligned_to(Interactions.from_pairs([1], [2], user_ids=[0], item_ids=[0, 1]))
    assert not moved.dated and moved.times.tolist() == [5, 3, 4, 8]


@pytest.mark.parametrize("times", [None, [-4, -9]])
def test_what_joins_an_order_is_later(times):
    log = Interactions.from_codes([0, 0], [0, 1], np.arange(1), np.arange(4), [7, 3]).dated_as(False)
    other = Interactions.from_codes([0, 0], [2, 3], np.arange(1), np.arange(4), times)
    both = log.union(other)
    assert not both.dated and both.times[:2].tolist() == [7, 3] and both.times[2:].min() > 7
    assert times is None or both.times[2] > both.times[3]


def test_one_long_id_takes_no_room_for_each_and_changes_nothing():
    users = [f"u{n:05d}" for n in range(9_999)] + ["v" * 3_000]
    wide = Interactions.from_pairs(users, np.arange(10_000) % 7)
    assert wide.user_ids.dtype == object and wide.nbytes < 2_000_000
    fixed = Interactions(wide.indptr, wide.items, np.array(users, dtype=str), wide.item_ids)
    assert fixed.user_ids.dtype.kind == "U" and fixed.digest() == wide.digest()
    short = Interactions.from_pairs([f"u{n:05d}" for n in range(3)], [1, 2, 9])
    for one, other in ((wide, short), (short, wide), (fixed, short), (short, fixed)):
        both = one.joined(other)
        assert (both.n_users, both.n_interactions) == (10_000, 10_003)
    assert wide.aligned_to(fixed)[0].digest() == fixed.aligned_to(wide)[0].digest() == wide.digest()
    assert wide.union(fixed).duplicates == 10_000
    numbers = Interactions.from_pairs([1, 2], [1, 2])
    assert wide.joined(numbers).n_users == 10_002
    assert numbers.aligned_to(wide)[1].unknown_users == 2
    with pytest.raises(DataError, match="must be one array of int64 or strings, found objects"):
        Interactions(short.indptr, short.items, np.array(["a", "b", 3], dtype=object), short.item_ids)
