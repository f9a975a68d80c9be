"""Baselines against loops over sets of users, and as models: trained, saved, served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparserec_np import Config, Recommender, evaluate, load_model, save_run, train
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.models import baselines
from sparserec_np.models.baselines import item_neighbours, popularity
from sparserec_np.runtime import ArtifactError
from sparserec_np.serving.model_file import ServedModel
from sparserec_np.serving.slices import keep_items
from sparserec_np.training.saving import restore
from tests.makers.small import Array, small_log

LOG = small_log()
LONELY = Interactions.from_pairs([1, 1, 2, 3], [5, 6, 5, 7], user_ids=[0], item_ids=[4])
BASELINES = pytest.mark.parametrize("name", ["popularity", "itemknn"])


def users_of(log: Interactions) -> list[set[int]]:
    """The users of each item."""
    pairs = list(zip(log.pair_users().tolist(), log.items.tolist(), strict=True))
    return [{user for user, other in pairs if other == item} for item in range(log.n_items)]


@pytest.mark.parametrize("log", [LOG, LONELY])
def test_popularity_scores_the_part_of_the_users_that_the_most_popular_item_has(log: Interactions) -> None:
    table, dim = popularity(log)
    table.validate(dim)
    counts = [len(users) for users in users_of(log)]
    expected = np.ones(log.n_users).tolist() + [count / max(counts) for count in counts]
    np.testing.assert_allclose(table.to_dense(dim)[:, 0], expected, rtol=1e-7)


@pytest.mark.parametrize("log", [LOG, LONELY])
@pytest.mark.parametrize(("neighbours", "shrinkage"), [(3, 0.0), (10, 5.0), (1000, 1.0)])
def test_neighbours_are_those_of_the_loops(
    log: Interactions, neighbours: int, shrinkage: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "ITEMS_AT_ONCE", 7)
    table, dim = item_neighbours(log, neighbours, shrinkage)
    table.validate(dim)
    assert dim == log.n_items
    users = users_of(log)
    expected = np.zeros((log.n_users + log.n_items, log.n_items))
    for item, own in enumerate(users):
        expected[sorted(own), item] = 1
        shared = [
            (-len(own & theirs) / (np.sqrt(len(own) * len(theirs)) + shrinkage), other)
            for other, theirs in enumerate(users)
            if other != item and own & theirs
        ]
        for negative, other in sorted(shared)[:neighbours]:
            expected[log.n_users + item, other] = -negative
    np.testing.assert_allclose(table.to_dense(dim), expected, rtol=1e-6)


def test_more_items_than_columns_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MOST_ITEMS", LOG.n_items - 1)
    with pytest.raises(DataError, match=r"itemknn needs a column for each item, at most 39; found 40 items"):
        item_neighbours(LOG, 5, 1.0)


@BASELINES
def test_it_is_measured_on_what_is_held_out_and_counted_again_in_all(name: str) -> None:
    fitted = train(LOG, Config(model=name))
    assert [record["phase"] for record in fitted.history] == ["search", "refit"]
    kept, held_out = split_random(LOG, 0.1, np.random.default_rng([0, 1]))
    alone = train(kept, Config(model=name, validation=0.0))
    assert [record["phase"] for record in alone.history] == ["train"]
    measured = evaluate(alone.model.ranker(), held_out, kept)
    assert fitted.history[0]["ndcg@20"] == measured["ndcg@20"] > 0
    assert "ndcg@20" not in fitted.history[1]
    whole = train(LOG, Config(model=name, validation=0.0))
    for found, expected in zip(fitted.model.table, whole.model.table, strict=True):
        np.testing.assert_array_equal(found, expected)
    given = train(kept, Config(model=name), validation=held_out)
    assert [record["ndcg@20"] for record in given.history] == [measured["ndcg@20"]]
    assert fitted.budget.nnz == fitted.model.table.nnz


def saved(name: str, folder: Path) -> ServedModel:
    save_run(folder, train(LOG, Config(model=name, validation=0.0)), LOG)
    return load_model(folder)


@BASELINES
def test_what_is_saved_is_served_and_ranks_alike(name: str, tmp_path: Path) -> None:
    model = saved(name, tmp_path / "run")
    assert (model.metadata["model"], model.metadata["method"]) == (name, "counted")
    assert "loss" not in model.metadata
    users: Array = np.arange(LOG.n_users, dtype=np.int32)
    items, scores = restore(model).ranker().rank(users, 40, LOG)
    recommender = Recommender.open(tmp_path / "run")
    for user in range(LOG.n_users):
        found = recommender.recommend(int(LOG.user_ids[user]), 40)
        left = items[user] >= 0
        assert found.items == LOG.item_ids[items[user, left]].tolist()
        assert found.scores == scores[user, left].tolist()


def test_neighbours_fold_somebody_in_by_their_items(tmp_path: Path) -> None:
    recommender = Recommender(saved("itemknn", tmp_path / "run").encode())
    for user in range(5):
        had = LOG.item_ids[LOG.items[LOG.indptr[user] : LOG.indptr[user + 1]]].tolist()
        known = recommender.recommend(int(LOG.user_ids[user]), 10)
        assert recommender.recommend_for_items(had, 10) == known


def test_neighbours_of_some_items_alone_fold_nobody_in(tmp_path: Path) -> None:
    part = keep_items(saved("itemknn", tmp_path / "run"), np.arange(5, 20))
    recommender = Recommender(part.encode())
    assert len(recommender.recommend(int(LOG.user_ids[0]), 3).items) == 3
    with pytest.raises(ArtifactError, match="does not tell which column is which item's"):
        recommender.recommend_for_items([int(LOG.item_ids[7])])


def test_settings_of_neighbours_are_checked_and_belong_to_them() -> None:
    assert Config(model="itemknn").resolved().neighbours == 50
    fewer = train(LOG, Config(model="itemknn", neighbours=2, shrinkage=0.0, validation=0.0))
    lengths = np.diff(fewer.model.table.indptr)[LOG.n_users :]
    assert lengths.max() == 2
    for name, value in (("neighbours", 0), ("shrinkage", -1.0), ("shrinkage", float("nan"))):
        with pytest.raises(ConfigError, match=name):
            replace(Config(model="itemknn"), **{name: value})
    with pytest.raises(ConfigError, match="neighbours is no setting of the model mf, but of itemknn"):
        Config(neighbours=3)
