"""Lists through a Recommender, for rows that are numbered by other interactions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sparserec_np
from benchmarks.served_lists import ServedLists
from tests.makers.small import needs_compiler

N = 4


@pytest.fixture
def log() -> sparserec_np.Interactions:
    return sparserec_np.generate(40, 30, 400, groups=3, seed=0)


@pytest.fixture
def known(log: sparserec_np.Interactions, tmp_path: Path) -> sparserec_np.Recommender:
    """A model that knows neither the first user nor the first item."""
    users, items = log.pair_users(), log.items
    some = (users > 0) & (items > 0)
    part = sparserec_np.Interactions.from_pairs(log.user_ids[users[some]], log.item_ids[items[some]])
    config = sparserec_np.Config(dim=8, density=0.5, epochs=0, validation=0.0, start="uniform")
    sparserec_np.save_run(tmp_path / "run", sparserec_np.train(part, config), part)
    return sparserec_np.Recommender.open(tmp_path / "run")


@needs_compiler
def test_known_users_have_their_lists_and_others_are_folded_in(
    log: sparserec_np.Interactions, known: sparserec_np.Recommender
) -> None:
    ranker = ServedLists(known, log)
    items, scores = ranker.rank(np.array([0, 5]), N, log)
    own = [item for item in log.item_ids[log.items[: log.indptr[1]]].tolist() if item != log.item_ids[0]]
    wanted = known.recommend_for_items(own, N), known.recommend(log.user_ids[5].item(), N)
    for place, one in enumerate(wanted):
        count = len(one.items)
        assert log.item_ids[items[place, :count]].tolist() == list(one.items)
        assert scores[place, :count].tolist() == pytest.approx(list(one.scores))
    assert len(ranker.walls) == 2
    assert not (items == 0).any()  # the model does not know the first item


@needs_compiler
def test_a_user_of_whom_nothing_is_known_has_no_list(
    log: sparserec_np.Interactions, known: sparserec_np.Recommender
) -> None:
    nothing = sparserec_np.Interactions(
        np.zeros_like(log.indptr), np.zeros(0, log.items.dtype), log.user_ids, log.item_ids
    )
    ranker = ServedLists(known, log)
    items, scores = ranker.rank(np.array([0]), N, nothing)
    assert items.tolist() == [[-1] * N]
    assert np.isneginf(scores).all()
    assert ranker.walls == []
