"""Training with weights: what they change, what they do not, and that a saved model serves the same lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparserec_np import Config, Interactions, Recommender, load_model, save_run, train, update
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.runtime import ArtifactError
from sparserec_np.serving.c.export import write_c
from sparserec_np.serving.model_file import served_from
from sparserec_np.serving.packing import pack
from sparserec_np.serving.slices import keep_items, keep_users, without_seen
from sparserec_np.training.run_directory import load_run
from sparserec_np.training.saving import restore, served_model
from tests.makers.small import same_bits, small_log

PLAIN = small_log(40, 30, 500)
RNG = np.random.default_rng(2)
WEIGHTS = (RNG.pareto(1.5, PLAIN.n_interactions) + 0.1).astype(np.float32)
WEIGHTED = replace(PLAIN, weights=WEIGHTS)
BOTH = WEIGHTED.disliking(PLAIN.subset(RNG.random(PLAIN.n_interactions) < 0.15))
QUICK: dict[str, Any] = {"dim": 8, "density": 0.4, "epochs": 1, "batch_size": 128, "negatives": 16}
QUICK |= {"learning_rate": 0.01, "validation": 0.0}
HEED = (  # settings with which weights change the model
    {"start": "uniform"},
    {"start": "uniform", "loss": "bpr", "negatives": 1},
    {"start": "als", "epochs": 0},
    {"start": "condensed", "epochs": 0},
    {"start": "nmf", "epochs": 0},
    {"start": "uniform", "order": "cells", "optimizer": "adagrad"},
    {"start": "uniform", "order": "cells", "loss": "bpr", "negatives": 1},
    {"model": "lightgcn"},
    {"model": "neumf"},
    {"model": "fism"},
    {"model": "fism", "user_rows": "ridge", "start": "als"},
    {"model": "fism", "user_rows": "ridge", "start": "condensed"},
)
SERVED = (
    {"start": "als"},
    {"model": "fism"},
    {"model": "fism", "user_rows": "ridge"},
    {"model": "fism", "start": "neighbours", "entries": 200},
    {"model": "lightgcn"},
)


def trained(log: Interactions, settings: dict[str, Any], threads: int = 1) -> Any:
    return train(log, Config(**QUICK | settings), threads=threads)


@pytest.mark.parametrize("settings", HEED, ids=str)
def test_weights_change_the_model_their_unit_does_not_and_equal_ones_are_none(
    settings: dict[str, Any],
) -> None:
    plain, weighted = (trained(log, settings).model.table for log in (PLAIN, WEIGHTED))
    assert not same_bits(plain, weighted)
    other_unit = trained(replace(PLAIN, weights=WEIGHTS * 16), settings)
    assert same_bits(other_unit.model.table, weighted)
    equal = trained(replace(PLAIN, weights=np.full_like(WEIGHTS, 2.7)), settings)
    assert same_bits(equal.model.table, plain)


@pytest.mark.parametrize(
    "settings", [{}, {"order": "cells"}, {"model": "fism"}, {"model": "fism", "user_rows": "ridge"}], ids=str
)
def test_threads_change_no_bit(settings: dict[str, Any]) -> None:
    one, two = (trained(BOTH, settings, threads).model.table for threads in (1, 2))
    assert same_bits(one, two)


@pytest.mark.parametrize("settings", [{"start": "spectral", "epochs": 0}, {"model": "popularity"}], ids=str)
def test_what_does_not_heed_weights_is_the_same_with_them(settings: dict[str, Any]) -> None:
    given = settings if settings.get("model") else QUICK | settings
    plain, weighted = (train(log, Config(**given), threads=1).model.table for log in (PLAIN, WEIGHTED))
    assert same_bits(plain, weighted)


@pytest.mark.parametrize("settings", SERVED, ids=str)
def test_a_saved_model_lists_the_same_and_nothing_that_is_disliked(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    fitted = trained(BOTH, settings)
    users = np.arange(BOTH.n_users, dtype=np.int32)
    items, scores = fitted.model.ranker().rank(users, 12, BOTH)
    save_run(tmp_path / "run", fitted, BOTH)
    saved = load_model(tmp_path / "run")
    assert saved.seen.digest() == BOTH.digest() and load_run(tmp_path / "run").log.digest() == BOTH.digest()
    again = restore(saved).ranker().rank(users, 12, saved.seen)
    np.testing.assert_array_equal(again[0], items)
    np.testing.assert_array_equal(again[1], scores)
    device = Recommender.open(tmp_path / "run")
    for user in users.tolist():
        disliked = set(BOTH.item_ids[BOTH.disliked_by(user)].tolist())
        found = device.recommend(user, 12)
        assert found.items == BOTH.item_ids[items[user][items[user] >= 0]].tolist()
        np.testing.assert_allclose(found.scores, scores[user][items[user] >= 0], rtol=1e-5)
        assert not disliked & set(device.recommend(user, 30, filter_seen=False).items)


def test_of_users_made_in_the_runtime_not_a_bit_differs(tmp_path: Path) -> None:
    for settings in SERVED[1:4]:
        fitted = trained(BOTH, settings)
        save_run(tmp_path / "run", fitted, BOTH)
        items, scores = fitted.model.ranker().rank(np.arange(40, dtype=np.int32), 5, BOTH)
        device = Recommender.open(tmp_path / "run")
        for user in range(40):
            found = device.recommend(user, 5)
            assert found.items == BOTH.item_ids[items[user]].tolist()
            assert found.scores == scores[user].tolist()


@pytest.mark.parametrize("settings", SERVED[:2], ids=str)
def test_exports_and_slices_keep_weights_and_dislikes(settings: dict[str, Any]) -> None:
    model = served_model(trained(BOTH, settings), BOTH)
    assert served_from(pack(model, "float32")).seen.digest() == BOTH.digest()
    some = np.array([1, 4, 5, 30])
    kept = keep_users(model, some).seen
    for place, user in enumerate(some.tolist()):
        np.testing.assert_array_equal(kept.disliked_by(place), BOTH.disliked_by(user))
        own, before = (slice(log.indptr[at], log.indptr[at + 1]) for log, at in ((kept, place), (BOTH, user)))
        np.testing.assert_array_equal(kept.items[own], BOTH.items[before])
        np.testing.assert_array_equal(kept.weights[own], BOTH.weights[before])
    items = np.arange(0, 30, 2)
    halved = keep_items(model, items).seen
    np.testing.assert_array_equal(halved.weights, BOTH.weights[BOTH.items % 2 == 0])
    np.testing.assert_array_equal(
        halved.disliked.items, BOTH.disliked.items[BOTH.disliked.items % 2 == 0] // 2
    )
    gone = without_seen(model)
    assert not len(gone.disliked) and not len(gone.seen_weights)
    gone.encode()


def test_c_source_lists_no_dislikes_and_refuses_users_of_unequal_items(tmp_path: Path) -> None:
    stored = served_model(trained(BOTH, {}), BOTH)
    write_c(stored, tmp_path / "stored")
    with pytest.raises(ArtifactError, match="--drop seen"):
        write_c(served_model(trained(BOTH, {"model": "fism"}), BOTH), tmp_path / "made")
    write_c(without_seen(served_model(trained(BOTH, {"model": "fism"}), BOTH)), tmp_path / "made")


def test_a_file_with_damaged_weights_or_dislikes_is_refused() -> None:
    model = served_model(trained(BOTH, {}), BOTH)
    n = len(model.seen_items)
    for changes, said in (
        ({"seen_weights": np.ones(n - 1, np.float32)}, "seen.weights holds"),
        ({"seen_weights": np.zeros(n, np.float32)}, "seen.weights must hold finite numbers above 0"),
        ({"seen_weights": np.full(n, np.nan, np.float32)}, "seen.weights must hold finite numbers above 0"),
        ({"disliked": np.array([3, 3], np.int32)}, "seen.disliked must rise"),
        ({"disliked": np.array([n], np.int32)}, "seen.disliked must rise"),
    ):
        with pytest.raises(ArtifactError, match=said):
            replace(model, **changes).encode()


def test_an_update_goes_on_with_weights_and_dislikes() -> None:
    first, more = BOTH.subset(BOTH.items < 20), replace(WEIGHTED.subset(WEIGHTED.items >= 20), disliked=None)
    for settings in ({}, {"model": "fism"}, {"model": "fism", "user_rows": "ridge"}):
        fitted = update(trained(first, settings), more, threads=1)
        assert fitted.log.weights is not None and fitted.log.disliked is not None
        assert not fitted.log.shared_with(fitted.log.disliked)


def test_dislikes_are_hidden_when_a_model_is_evaluated() -> None:
    """A test part of nothing but dislikes is never hit; without them it would be."""
    fitted = trained(BOTH, {})
    alone = replace(BOTH, disliked=None)
    assert evaluate(fitted.model, BOTH.disliked, alone, (30,))["recall@30"] == 1
    assert evaluate(fitted.model, BOTH.disliked, BOTH, (30,))["recall@30"] == 0


def test_dislikes_first_changes_training_alone_where_there_are_some() -> None:
    plain = trained(WEIGHTED, {"start": "uniform"}).model.table
    assert same_bits(trained(WEIGHTED, {"start": "uniform", "dislikes_first": 0.5}).model.table, plain)
    some, none = (trained(BOTH, {"start": "uniform", "dislikes_first": part}) for part in (0.5, 0.0))
    assert not same_bits(some.model.table, none.model.table)
