"""Batches: every pair once, negatives that are none of the user's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.synthetic import generate
from sparserec_np.learning.batches import (
    Batch,
    DislikesFirst,
    Negatives,
    OnePerPair,
    PairSampler,
    SharedBlock,
    shuffled,
)
from tests.makers.small import small_log

LOG = small_log()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def batches(size: int, negatives: Negatives, seed: int = 0, log: Interactions = LOG) -> list[Batch]:
    return list(PairSampler(log, size, negatives).epoch(rng(seed)))


@pytest.mark.parametrize("size", [1, 64, 100, 699, 700, 5000])
@pytest.mark.parametrize("negatives", [OnePerPair(), SharedBlock(16)], ids=["pairs", "block"])
def test_an_epoch_has_every_pair_once(size: int, negatives: Negatives) -> None:
    made = batches(size, negatives)
    assert len(made) == PairSampler(LOG, size, negatives).batches == -(-LOG.n_interactions // size)
    assert [batch.size for batch in made[:-1]] == [size] * (len(made) - 1)
    users = np.concatenate([batch.user_of for batch in made])
    items = np.concatenate([batch.positives for batch in made]) - LOG.n_users
    order = np.lexsort((items, users))
    assert np.array_equal(users[order], LOG.pair_users()) and np.array_equal(items[order], LOG.items)


@pytest.mark.parametrize("size", [1, 7, 16, 50, 900])
def test_many_pairs_come_window_by_window_each_once(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparserec_np.learning.batches.PAIRS_AT_ONCE", 200)
    monkeypatch.setattr("sparserec_np.learning.batches.CHUNK", 20)
    made = batches(size, SharedBlock(4))
    assert len(made) == PairSampler(LOG, size, SharedBlock(4)).batches
    assert sorted(batch.size for batch in made)[1:] == [size] * (len(made) - 1)
    for batch in made:
        assert np.all(np.diff(batch.users.rows) > 0)
    pairs = np.concatenate([batch.user_of.astype(np.int64) * 1000 + batch.positives for batch in made])
    assert np.array_equal(np.sort(pairs), LOG.pair_users().astype(np.int64) * 1000 + LOG.items + LOG.n_users)
    again, other = batches(size, SharedBlock(4)), batches(size, SharedBlock(4), seed=1)
    assert all(np.array_equal(a.positives, b.positives) for a, b in zip(made, again, strict=True))
    if size < 900:
        assert not all(np.array_equal(a.positives, b.positives) for a, b in zip(made, other, strict=True))
    if size == 16:  # a window is ten chunks of 32 pairs or so, from anywhere
        assert np.mean([np.ptp(batch.user_of) for batch in made]) > LOG.n_users / 2


@pytest.mark.parametrize("negatives", [OnePerPair(), SharedBlock(16)], ids=["pairs", "block"])
def test_pairs_lie_together_by_user(negatives: Negatives) -> None:
    for batch in batches(150, negatives):
        rows, starts = batch.users
        assert np.all(np.diff(rows) > 0) and (starts[0], starts[-1]) == (0, batch.size)
        assert np.array_equal(np.repeat(rows, batch.users.sizes), batch.user_of)
        assert batch.users.sizes.min() >= 1
        assert len(batch.negatives) == (16 if batch.shared else batch.size)
        assert batch.shared is negatives.shared
        for array in (rows, starts, batch.user_of, batch.positives, batch.negatives):
            assert array.dtype == np.int32
        for array in (batch.positives, batch.negatives):
            assert array.min() >= LOG.n_users and array.max() < LOG.n_users + LOG.n_items


def test_the_seed_decides() -> None:
    for negatives in (OnePerPair(), SharedBlock(16)):
        one, two, other = (batches(100, negatives, seed) for seed in (1, 1, 2))
        for field in ("user_of", "positives", "negatives"):
            pairs = [np.concatenate([getattr(batch, field) for batch in made]) for made in (one, two, other)]
            assert np.array_equal(pairs[0], pairs[1]) and not np.array_equal(pairs[0], pairs[2])


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(0, 0.95))
def test_a_negative_is_never_a_known_positive(seed: int, tries: int, density: float) -> None:
    random = rng(seed)
    mask = random.random((8, 12)) < density
    mask[np.arange(8), random.integers(0, 12, 8)] = False
    mask[0, :11], mask[0, 11] = True, False  # one item is left for user 0
    log = Interactions.from_pairs(*np.nonzero(mask), user_ids=np.arange(8), item_ids=np.arange(12))
    users = random.integers(0, 8, 200).astype(np.int32)
    drawn = OnePerPair(tries).draw(users, log, random)
    assert drawn.dtype == np.int32 and drawn.min() >= 0 and drawn.max() < 12
    assert not mask[users, drawn].any()
    assert np.all(drawn[users == 0] == 11)


def test_who_touched_everything_still_gets_an_item() -> None:
    log = Interactions.from_pairs([0, 0, 0], [0, 1, 2])
    assert set(OnePerPair().draw(np.zeros(50, np.int32), log, rng()).tolist()) <= {0, 1, 2}


def test_negatives_are_uniform_over_what_the_user_did_not_touch() -> None:
    """Chi-square of 31 degrees of freedom; 70 is passed once in 10,000 times."""
    user = int(np.argmin(np.abs(LOG.user_degrees - 8)))
    free = np.setdiff1d(np.arange(LOG.n_items), LOG.items[LOG.indptr[user] : LOG.indptr[user + 1]])
    drawn = OnePerPair(tries=8).draw(np.full(20_000, user, np.int32), LOG, rng())
    expected = 20_000 / len(free)
    assert ((np.bincount(drawn, minlength=LOG.n_items)[free] - expected) ** 2 / expected).sum() < 70


def test_a_shared_block_holds_distinct_items_of_equal_chances() -> None:
    random, seen = rng(), np.zeros(LOG.n_items)
    for _ in range(2000):
        block = SharedBlock(10).draw(np.zeros(3, np.int32), LOG, random)
        assert len(np.unique(block)) == len(block) == 10 and block.dtype == np.int32
        seen[block] += 1
    assert ((seen - 500) ** 2 / 500).sum() < 80  # chi-square of 39 degrees of freedom
    everything = SharedBlock(10**6).draw(np.zeros(3, np.int32), LOG, random)
    assert sorted(everything.tolist()) == list(range(LOG.n_items))


def weighted_log() -> Interactions:
    weights = np.random.default_rng(1).uniform(0.2, 5, LOG.n_interactions).astype(np.float32)
    return replace(LOG, weights=weights)


@pytest.mark.parametrize("window", [200, 1 << 23])
def test_each_pair_brings_its_weight_beside_the_mean(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparserec_np.learning.batches.PAIRS_AT_ONCE", window)
    monkeypatch.setattr("sparserec_np.learning.batches.CHUNK", 20)
    log = weighted_log()
    keys = log.pair_users().astype(np.int64) * 1000 + log.items
    relative = dict(zip(keys.tolist(), log.relative_weights(), strict=True))
    seen = []
    for batch, plain in zip(batches(16, SharedBlock(4), log=log), batches(16, SharedBlock(4)), strict=True):
        found = batch.user_of.astype(np.int64) * 1000 + batch.positives - LOG.n_users
        assert batch.weights.dtype == np.float32
        assert batch.weights.tolist() == [relative[key] for key in found.tolist()]
        assert plain.weights is None and np.array_equal(plain.positives, batch.positives)
        seen.append(batch.weights)
    assert np.concatenate(seen).mean() == pytest.approx(1, rel=1e-5)


def test_dislikes_are_never_positives_and_may_be_negatives() -> None:
    log = LOG.disliking(LOG.subset(np.arange(LOG.n_interactions) % 4 == 0))
    hated = set(log.disliked.pair_users().astype(np.int64) * 1000 + log.disliked.items)
    drawn = set()
    for batch in batches(64, OnePerPair(), log=log):
        users, items = batch.user_of.astype(np.int64) * 1000, batch.positives - log.n_users
        assert not hated & set(users + items)
        drawn |= hated & set(users + batch.negatives - log.n_users)
    assert drawn


@pytest.mark.parametrize("part", [0.25, 1.0])
def test_a_part_of_the_negatives_is_drawn_from_dislikes(part: float) -> None:
    log = LOG.disliking(LOG.subset((np.arange(LOG.n_interactions) % 4 == 0) & (LOG.pair_users() % 2 == 0)))
    likes, dislikes = log.user_degrees, log.disliked.user_degrees
    hating = np.repeat(dislikes > 0, likes)
    users = np.tile(log.pair_users(), 20)
    items = DislikesFirst(OnePerPair(), part).draw(users, log, rng())
    keys = log.disliked.pair_users().astype(np.int64) * 1000 + log.disliked.items
    disliked = np.isin(users.astype(np.int64) * 1000 + items, keys)
    assert not disliked[~np.tile(hating, 20)].any()
    expected = (
        part
        + (1 - part)
        * np.isin(  # others are disliked by chance
            users.astype(np.int64) * 1000 + OnePerPair().draw(users, log, rng(1)), keys
        )[np.tile(hating, 20)].mean()
    )
    assert disliked[np.tile(hating, 20)].mean() == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(("part", "least"), [(0.25, 4), (1.0, 16)])
def test_a_part_of_a_shared_block_is_disliked_by_users_of_the_batch(part: float, least: int) -> None:
    log = LOG.disliking(LOG.subset(np.arange(LOG.n_interactions) % 4 == 0))
    users = np.array([3, 3, 5], np.int32)
    known = np.union1d(log.disliked_by(3), log.disliked_by(5))
    for seed in range(20):
        items = DislikesFirst(SharedBlock(16), part).draw(users, log, rng(seed))
        assert items.dtype == np.int32 and len(np.unique(items)) == 16
        assert np.isin(items, known).sum() >= min(least, known.size)
    assert np.array_equal(
        DislikesFirst(SharedBlock(16), part).draw(users, LOG, rng(3)),
        SharedBlock(16).draw(users, LOG, rng(3)),
    )


@given(
    st.lists(st.integers(0, 12), max_size=40),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
)
def test_pairs_of_a_user_stay_together(lengths: list[int], together: int, seed: int) -> None:
    users = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    order = shuffled(users, together, np.random.default_rng(seed))
    assert order.dtype == np.int32 and sorted(order.tolist()) == list(range(len(users)))
    # Cut anew wherever another user comes, or `together` of one have come: one run for each group.
    runs, left, before = 0, 0, None
    for user in users[order].tolist():
        if user != before or not left:
            runs, left = runs + 1, together
        before, left = user, left - 1
    groups = sum(-(-length // together) for length in lengths)
    assert together == 1 or runs <= groups
    assert order.tolist() == shuffled(users, together, np.random.default_rng(seed)).tolist()


def test_together_all_pairs_of_a_user_make_one_run_in_an_order_that_is_drawn() -> None:
    users = np.repeat(np.arange(50, dtype=np.int32), 5)
    order = shuffled(users, 100, np.random.default_rng(1))
    assert np.count_nonzero(np.diff(users[order])) == 49
    assert (users[order][::5] != np.arange(50)).any()
    assert not all((np.diff(order[start : start + 5]) > 0).all() for start in range(0, 250, 5))


def test_an_epoch_of_pairs_together_has_every_pair_once_and_few_users_in_a_batch() -> None:
    log = generate(200, 80, 3000, seed=2)
    made = list(PairSampler(log, 100, OnePerPair(), together=100).epoch(rng()))
    pairs = [
        (int(user), int(item) - log.n_users)
        for batch in made
        for user, item in zip(batch.user_of, batch.positives, strict=True)
    ]
    assert sorted(pairs) == list(zip(log.pair_users().tolist(), log.items.tolist(), strict=True))
    alone = list(PairSampler(log, 100, OnePerPair()).epoch(rng()))
    assert 3 * sum(len(b.users.rows) for b in made) < sum(len(b.users.rows) for b in alone)
