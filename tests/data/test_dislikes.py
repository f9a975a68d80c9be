"""Dislikes: pairs that are known to be no interactions, beside those that are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sparserec_np.data.core import k_core
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.errors import DataError

Pairs = set[tuple[object, object]]


def pairs(log: Interactions | None) -> Pairs:
    return set() if log is None else set(log)


def a_log() -> Interactions:
    log = Interactions.from_pairs(["ann", "ann", "ann", "bob", "bob"], [3, 5, 7, 5, 7])
    return log.disliking(Interactions.from_pairs(["ann", "bob", "bob"], [7, 3, 9]))


def test_what_is_disliked_is_no_interaction_and_kept_beside() -> None:
    log = a_log()
    assert pairs(log) == {("ann", 3), ("ann", 5), ("bob", 5), ("bob", 7)}
    assert pairs(log.disliked) == {("ann", 7), ("bob", 3)}  # nobody has touched the item 9
    assert pairs(log.hidden) == pairs(log) | pairs(log.disliked)
    assert log.item_ids[log.disliked_by(1)].tolist() == [3]


def test_without_dislikes_nothing_is_made() -> None:
    log = Interactions.from_pairs([1, 2], [1, 2])
    assert log.hidden is log and log.disliking(None) is log and not log.disliked_by(0).size
    assert log.disliking(Interactions.from_pairs([8], [9])) is log


def test_weights_and_times_stay_with_what_is_left() -> None:
    log = Interactions.from_pairs([1, 1, 2], [5, 6, 6], [10, 20, 30], weights=[1, 2, 3])
    found = log.disliking(Interactions.from_pairs([1], [6], weights=[7]))
    assert found.weights.tolist() == [1, 3] and found.times.tolist() == [10, 30]
    assert found.disliked.weights is None and found.disliked.times is None


def test_dislikes_go_with_users_and_items() -> None:
    log = a_log()
    for part in split_random(log, 0.5, np.random.default_rng(0)):
        assert pairs(part.disliked) == pairs(log.disliked)
    placed = log.aligned_to(Interactions.from_pairs(["bob", "eve"], [3, 5]))[0]
    assert pairs(placed) == {("bob", 5)} and pairs(placed.disliked) == {("bob", 3)}
    assert pairs(log.renumbered().disliked) == {(0, 2), (1, 0)}
    assert pairs(k_core(log, 2, 1).disliked) == pairs(log.disliked)
    assert k_core(log, 1, 2).item_ids.tolist() == [5] and k_core(log, 1, 2).disliked is None
    assert pairs(log[np.array([0])].disliked) == pairs(log.disliked)


def test_of_two_logs_together_either_dislikes() -> None:
    log = a_log()
    both = log.joined(Interactions.from_pairs(["ann", "eve"], [7, 7]))
    assert ("ann", 7) not in pairs(both) and ("ann", 7) in pairs(both.disliked)
    more = Interactions.from_pairs(["bob"], [9]).disliking(None)
    more = more.joined(Interactions.from_pairs(["bob"], [5])).disliking(Interactions.from_pairs(["bob"], [5]))
    both = log.joined(more)
    assert pairs(both.disliked) == {("ann", 7), ("bob", 3), ("bob", 5)}
    assert not pairs(both) & pairs(both.disliked)


def test_they_are_part_of_the_digest() -> None:
    log = a_log()
    assert log.digest() != replace(log, disliked=None).digest()
    assert log.nbytes > replace(log, disliked=None).nbytes


def test_the_constructor_refuses_dislikes_of_others() -> None:
    log = a_log()
    with pytest.raises(DataError, match="same users and items"):
        replace(log, disliked=Interactions.from_pairs([1], [1]))
    with pytest.raises(DataError, match="no dislikes of its own"):
        replace(log, disliked=log)
