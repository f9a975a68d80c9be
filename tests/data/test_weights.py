"""Weights of interactions: which numbers they are, and how they go with the pairs they belong to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sparserec_np.data import interactions
from sparserec_np.data.core import k_core
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.data.weights import as_weights, own_shares
from sparserec_np.errors import DataError

USERS, ITEMS = ["ann", "bob", "ann", "cat", "bob", "ann"], [7, 7, 3, 9, 3, 9]
WEIGHTS = [1, 2, 4, 8, 16, 32]


def weighted() -> Interactions:
    return Interactions.from_pairs(USERS, ITEMS, weights=WEIGHTS)


def told(log: Interactions) -> dict[tuple[object, object], float]:
    """Each pair's weight, by outside ids."""
    assert log.weights is not None and log.weights.dtype == np.float32
    pairs = zip(log.user_ids[log.pair_users()].tolist(), log.item_ids[log.items].tolist(), strict=True)
    return dict(zip(pairs, log.weights.tolist(), strict=True))


ALL = dict(zip(zip(USERS, ITEMS, strict=True), map(float, WEIGHTS), strict=True))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1, 0], "found 0 at place 1"),
        ([1, -2.5], "found -2.5 at place 1"),
        ([float("nan"), 1], "found nan at place 0"),
        ([1, float("inf")], "found inf at place 1"),
        ([1, None], "found nan at place 1"),
        ([1, 1e-60], "found 1e-60 at place 1"),  # 0 in float32
        ([1, 1e60], r"found 1e\+60 at place 1"),
        (["1", "2"], "found <U1"),
        ([1, 2, 3], "one for each of the 2 pairs"),
        ([[1, 2]], r"of shape \(1, 2\)"),
    ],
)
def test_what_is_no_weight_is_refused_in_a_sentence(given: list[object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        as_weights(given, 2)
    with pytest.raises(DataError, match="eights must be"):
        Interactions.from_pairs([1, 2], [1, 2], weights=given)


def test_the_constructor_refuses_what_is_no_weight() -> None:
    log = weighted()
    for wrong in (np.ones(6), np.ones(5, np.float32), np.zeros(6, np.float32)):
        with pytest.raises(DataError, match="eights must be"):
            replace(log, weights=wrong)


@pytest.mark.parametrize("step", [1, 3, 100])
def test_those_of_a_repeated_pair_add_up(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interactions, "FEW_PAIRS", step)
    log = Interactions.from_pairs([1, 1, 1, 2], [5, 5, 4, 5], [30, 20, 10, 0], weights=[0.5, 2, 1, 1])
    assert told(log) == {(1, 4): 1.0, (1, 5): 2.5, (2, 5): 1.0}
    assert log.duplicates == 1 and log.times.tolist() == [10, 30, 0]


def test_a_sum_that_float32_cannot_hold_is_refused() -> None:
    with pytest.raises(DataError, match="finite"):
        Interactions.from_pairs([1, 1], [5, 5], weights=[3e38, 3e38])


def test_weights_go_with_their_pairs() -> None:
    log = weighted()
    assert told(log) == ALL
    train, held_out = split_random(log, 0.4, np.random.default_rng(0))
    assert told(train) | told(held_out) == ALL
    assert told(log[np.array([0, 2, 3])]).items() <= ALL.items()
    core = k_core(log, 2, 2)
    assert told(core) == {pair: ALL[pair] for pair in ALL if pair[1] != 9}
    other = Interactions.from_pairs(["bob", "eve"], [3, 7])
    assert told(log.aligned_to(other)[0]) == {("bob", 7): 2.0, ("bob", 3): 16.0}
    numbered = log.renumbered(5)
    assert sorted(told(numbered).values()) == sorted(ALL.values())


def test_where_two_logs_are_put_together_weights_add_up() -> None:
    more = Interactions.from_pairs(["ann", "dan"], [7, 7], weights=[100, 3])
    assert told(weighted().joined(more)) == ALL | {("ann", 7): 101.0, ("dan", 7): 3.0}
    unweighted = Interactions.from_pairs(["ann", "dan"], [7, 7])
    mean = sum(WEIGHTS) / 6
    for both in (weighted().joined(unweighted), unweighted.joined(weighted())):
        assert told(both) == pytest.approx(ALL | {("ann", 7): 1 + mean, ("dan", 7): mean})
    assert unweighted.joined(unweighted).weights is None


def test_they_are_part_of_digest_and_bytes() -> None:
    log, plain = weighted(), Interactions.from_pairs(USERS, ITEMS)
    assert log.digest() != plain.digest()
    assert replace(log, weights=None).digest() == plain.digest()
    assert log.digest() == weighted().digest()
    assert log.digest() != replace(log, weights=log.weights[::-1].copy()).digest()
    assert log.nbytes == plain.nbytes + 4 * 6


def test_they_are_divided_by_a_mean() -> None:
    log = weighted()
    relative = log.relative_weights()
    np.testing.assert_allclose(relative, log.weights / log.weights.mean(), rtol=1e-6)
    for user in range(3):
        part = slice(log.indptr[user], log.indptr[user + 1])
        np.testing.assert_allclose(
            log.own_weights[part], log.weights[part] / log.weights[part].mean(), rtol=1e-6
        )
    times_eight = replace(log, weights=log.weights * 8)
    np.testing.assert_array_equal(times_eight.relative_weights(), relative)
    np.testing.assert_array_equal(times_eight.own_weights, log.own_weights)


def test_weights_that_are_all_the_same_say_nothing() -> None:
    log = Interactions.from_pairs(USERS, ITEMS, weights=[3.3] * 6)
    assert log.weight_scale is None and log.relative_weights() is None and log.own_weights is None
    plain = Interactions.from_pairs(USERS, ITEMS)
    assert plain.weight_scale is None and plain.own_weights is None


def test_a_users_shares_hang_on_no_other_user() -> None:
    """As the runtime computes them for one user alone."""
    rng = np.random.default_rng(0)
    lengths = np.array([1, 0, 9000, 3, 250, 0])
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    weights = rng.pareto(1.1, bounds[-1]).astype(np.float32) + np.float32(0.01)
    shares = own_shares(weights, bounds)
    for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
        alone = own_shares(weights[start:stop].copy(), np.array([0, stop - start]))
        np.testing.assert_array_equal(shares[start:stop], alone)
