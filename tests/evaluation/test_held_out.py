"""The measure of held-out interactions: of users who are known, and of those who are folded in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparserec_np import SparseRec
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.errors import DataError
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.evaluation.folded_in import FoldedIn
from tests.makers.small import small_log

LOG = small_log(80, 40, 1600)
QUICK: dict[str, Any] = {"dim": 16, "density": 0.5, "epochs": 1, "learning_rate": 0.01, "threads": 1}
QUICK |= {"start": "spectral", "validation": 0.0}


def of_users(log: Interactions, users: Any) -> Interactions:
    return log.subset(np.isin(log.pair_users(), users))


@pytest.fixture(scope="module")
def model() -> SparseRec:
    """Knows the first 60 users alone."""
    kept = of_users(LOG, np.arange(60))
    return SparseRec(**QUICK).fit(Interactions.from_pairs(kept.pair_users(), kept.items, item_ids=range(40)))


def pairs(log: Interactions) -> list[tuple[int, int]]:
    return sorted(log)


def test_users_who_are_folded_in_are_ranked_for_the_rest(model: SparseRec) -> None:
    strangers = of_users(LOG, np.arange(60, 80))
    given, hidden = split_random(strangers, 0.2, np.random.default_rng([0, 2]))
    recommender = model._recommender
    assert (
        model.score(strangers)
        == evaluate(FoldedIn(recommender, LOG.item_ids), hidden, given)["ndcg@20"]
        > 0.3
    )
    assert model.score(pairs(strangers)) == pytest.approx(model.score(strangers), rel=0.3)
    items, scores = FoldedIn(recommender, LOG.item_ids).rank(np.array([70]), 5, given)
    liked = given.items[given.indptr[70] : given.indptr[71]].tolist()
    found = recommender.recommend_for_items(liked, 5)
    assert (items[0].tolist(), scores[0].tolist()) == (found.items, pytest.approx(found.scores))


def test_a_few_unknown_users_are_left_out(model: SparseRec) -> None:
    known = {(user, item) for user, item in LOG if user < 60}
    fresh = [(user, item) for user in range(10) for item in range(40) if (user, item) not in known]
    few = [(user, item) for user, item in pairs(LOG) if user >= 78]
    assert model.score(fresh + few) == model.score(fresh) == model.score([*fresh, (3, 999)])


def test_most_users_being_unknown_is_said(model: SparseRec) -> None:
    known = {(user, item) for user, item in LOG if user < 60}
    fresh = [(0, item) for item in range(40) if (0, item) not in known]
    strangers = [(user, item) for user, item in pairs(LOG) if user >= 60]
    with pytest.warns(UserWarning, match="20 of 21 users had nothing in training"):
        both = model.score(fresh + strangers)
    alone, theirs = model.score(fresh), model.score(strangers)
    assert both == pytest.approx((alone + 20 * theirs) / 21, rel=0.1)


def test_nothing_to_measure_is_said(model: SparseRec) -> None:
    with pytest.raises(DataError, match="with an item that the model knows"):
        model.score([(0, 999), (99, 888)])
    with pytest.raises(DataError, match="2 of 2 users had nothing in training, and none has two items"):
        model.score([(98, 1), (99, 2)])
