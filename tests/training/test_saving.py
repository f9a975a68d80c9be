"""A saved model, read back, ranks as the one that was trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparserec_np import Config, DataError, Interactions, load_model, save_run, train
from sparserec_np.data.recency import Touched
from sparserec_np.data.table import stacked
from sparserec_np.models.fism import Fism, FixedFism
from sparserec_np.models.user_rows import RidgeSolve
from sparserec_np.runtime import ArtifactError, Recommender
from sparserec_np.serving.model_file import ServedModel, save_model
from sparserec_np.serving.slices import keep_users, without_seen
from sparserec_np.sparsity.budget import Budget
from sparserec_np.training.fitted import Fitted
from sparserec_np.training.saving import fitted_from, ids_known_to, ranker_for, restore, served_model
from tests.makers.served_models import as_lightgcn, make_fism_model, make_model
from tests.makers.small import random_table, same_bits, small_log

LOG = small_log()
QUICK = Config(dim=8, density=0.3, epochs=2, batch_size=128, negatives=32, learning_rate=0.01, validation=0.0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"similarity": "cosine", "temperature": 0.2},
        {"model": "lightgcn", "layers": 2},
        {"model": "lightgcn", "similarity": "cosine", "temperature": 0.2},
        {"model": "itemknn"},
        {"model": "neumf", "hidden": 6},
    ],
    ids=str,
)
def test_lists_and_scores_are_those_of_the_trained_model(settings: dict[str, object], tmp_path: Path) -> None:
    counted = settings.get("model") == "itemknn"
    fitted = train(LOG, replace(Config(validation=0.0) if counted else QUICK, **settings))
    save_run(tmp_path / "run", fitted, LOG)
    restored = restore(load_model(tmp_path / "run"))
    users = np.arange(LOG.n_users, dtype=np.int32)
    for found, expected in zip(
        restored.ranker().rank(users, 5, LOG), fitted.model.ranker().rank(users, 5, LOG), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_users_who_are_not_stored_are_whoever_is_known(tmp_path: Path) -> None:
    fitted = train(LOG, replace(QUICK, model="fism", epochs=0))
    save_run(tmp_path / "run", fitted, LOG)
    saved = load_model(tmp_path / "run")
    others = replace(LOG, user_ids=LOG.user_ids + 9_000)
    nobody = replace(saved, user_ids=saved.user_ids[:0], seen_indptr=np.zeros(1, np.int64))
    nobody = replace(nobody, seen_items=saved.seen_items[:0])
    for model, users in ((nobody, others.n_users), (saved, saved.users.rows + others.n_users)):
        made = fitted_from(model, fitted.config, [], others)
        assert (made.log.n_users, made.log.n_interactions) == (users, others.n_interactions)
        assert same_bits(made.model.table, fitted.model.table)


@pytest.mark.parametrize("user_rows", ["sum", "ridge", "neighbours"])
def test_rows_are_cut_to_what_the_file_says_and_saved_so(user_rows: str) -> None:
    start = "neighbours" if user_rows == "neighbours" else None
    fitted = train(LOG, replace(QUICK, model="fism", epochs=0, dim=16, user_rows=user_rows, start=start))
    served = served_model(fitted, LOG)
    assert served.metadata["row_entries"] == "64"
    cut = replace(served, metadata={**served.metadata, "row_entries": "2"})
    users, restored = np.arange(LOG.n_users, dtype=np.int32), restore(cut)
    items, _ = restored.ranker().rank(users, 5, LOG)
    recommender = Recommender(cut.encode())
    for user, item_list in zip(LOG.user_ids.tolist(), LOG.item_ids[items].tolist(), strict=True):
        assert recommender.recommend(user, 5).items == item_list
    again = fitted_from(cut, fitted.config, [])
    assert served_model(again, LOG).metadata["row_entries"] == "2"


@pytest.mark.parametrize("settings", [{"layers": 2}, {"layers": 1, "similarity": "cosine"}], ids=str)
def test_a_lightgcn_propagates_over_what_it_was_trained_on(
    settings: dict[str, object], tmp_path: Path
) -> None:
    """Without a second training on all data, what was held out is never recommended, and yet no edge of the graph."""
    fitted = train(LOG, replace(QUICK, model="lightgcn", validation=0.2, refit=False, **settings))
    assert fitted.log.n_interactions < LOG.n_interactions
    save_run(tmp_path / "run", fitted, LOG)
    saved = load_model(tmp_path / "run")
    np.testing.assert_array_equal(saved.seen_items, LOG.items)
    users = np.arange(LOG.n_users, dtype=np.int32)
    items, scores = restore(saved).ranker().rank(users, 5, LOG)
    expected = fitted.model.ranker().rank(users, 5, LOG)
    np.testing.assert_array_equal(items, expected[0])
    np.testing.assert_array_equal(scores, expected[1])
    recommender = Recommender.open(tmp_path / "run")
    for row in range(LOG.n_users):
        found = recommender.recommend(LOG.user_ids[row].item(), 5)
        np.testing.assert_allclose(found.scores, scores[row][: len(found.scores)], rtol=1e-4, atol=1e-6)


def test_tables_are_stacked_users_first() -> None:
    model = make_model()
    dense = np.concatenate([model.users.to_dense(model.dim), model.items.to_dense(model.dim)])
    both = stacked(model.users, model.items)
    both.validate(model.dim)
    np.testing.assert_array_equal(both.to_dense(model.dim), dense)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"model": "crystal ball"}, "crystal ball.* mf, lightgcn, neumf"),
        ({"model": "lightgcn", "similarity": "dot", "temperature": "1.0"}, "layers is missing"),
        (
            {"model": "lightgcn", "layers": "two", "similarity": "dot", "temperature": "1.0"},
            "layers is 'two'",
        ),
        ({"model": "lightgcn", "layers": "9", "similarity": "dot", "temperature": "1.0"}, "layers must be"),
        ({"model": "lightgcn", "layers": "2", "similarity": "dot", "temperature": "nan"}, "temperature must"),
    ],
)
def test_a_file_that_does_not_say_how_it_scores_is_refused(metadata: dict[str, str], said: str) -> None:
    model = make_model()
    with pytest.raises(ArtifactError, match=said):
        restore(replace(model, metadata={**model.metadata, **metadata}))


def test_a_model_that_stores_no_users_is_saved_and_restored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = Fism(random_table(rng, LOG.n_items, 8, 90), 8, Touched(LOG))
    model.weights[:] = rng.random(LOG.n_items, np.float32)
    numbers = model.served_weights
    config = Config(model="fism", dim=8)
    budget = Budget(LOG.n_items, 8, 90)
    fitted = Fitted(model, LOG, budget, config, [], 0, False, {})
    served = served_model(fitted, LOG)
    assert (served.users.rows, served.users.nnz) == (LOG.n_users, 0)
    assert served.metadata["row_entries"] == "64"
    save_model(tmp_path / "model.safetensors", served)
    loaded = load_model(tmp_path)
    again = fitted_from(loaded, config, [])
    assert isinstance(again.model, Fism) and again.budget == budget
    assert same_bits(again.model.table, model.table)
    np.testing.assert_array_equal(again.model.served_weights, numbers)
    again.model.table.values[0] = 7  # a copy: the mapped file could not be written to
    assert same_bits(served_model(again, LOG).items, again.model.table)
    recommender = Recommender.open(tmp_path)
    row = np.zeros(8)
    for item in LOG.items[LOG.indptr[3] : LOG.indptr[4]].tolist():
        row += numbers[item] * model.table.to_dense(8)[item].astype(float)
    scores = recommender.score(LOG.user_ids[3].item(), LOG.item_ids.tolist())
    np.testing.assert_allclose(scores, model.table.to_dense(8) @ row, rtol=1e-4, atol=1e-5)


def test_users_come_from_what_is_known_where_the_file_has_none() -> None:
    known = Interactions.from_pairs(["a", "b", "b"], [3, 4, 99])
    model = make_fism_model()
    both = {*map(str, range(30)), "a", "b"}  # whom the file knows, and whoever else is told of
    assert set(ids_known_to(model, known).user_ids.tolist()) == both
    placed, counts = known.aligned_to(ids_known_to(without_seen(model), known))
    assert (placed.n_users, placed.n_items, counts.dropped_pairs) == (2, 50, 1)
    assert placed.user_ids.tolist() == ["a", "b"] and placed.items.tolist() == [3, 4]


@pytest.mark.parametrize("model", [make_model(), make_fism_model()], ids=["mf", "fism"])
def test_a_file_told_what_users_had_ranks_as_the_complete_one(model: ServedModel) -> None:
    slim, seen = without_seen(model), model.seen
    placed, _ = seen.aligned_to(ids_known_to(slim, seen))
    users = np.arange(30, dtype=np.int32)
    wanted = restore(model).ranker().rank(users, 7, seen)
    for found in (ranker_for(model, seen), ranker_for(slim, placed)):
        for one, other in zip(found.rank(users, 7, placed), wanted, strict=True):
            np.testing.assert_array_equal(one, other)


def test_users_that_are_stored_and_left_out_are_folded_in() -> None:
    model = keep_users(make_model(), np.zeros(0, np.intp))
    known = Interactions.from_pairs(["a", "a", "b"], [3, 4, 5])
    seen, _ = known.aligned_to(ids_known_to(model, known))
    items, _ = ranker_for(model, seen).rank(np.arange(2, dtype=np.int32), 5, seen)
    recommender = Recommender(model.encode())
    assert items.tolist() == [recommender.recommend_for_items(own, 5).items for own in ([3, 4], [5])]
    with pytest.raises(DataError, match="was exported without users: load the run"):
        fitted_from(model, QUICK, [], known)


def test_a_model_whose_users_cannot_be_folded_in_says_so() -> None:
    model = replace(as_lightgcn(make_model()), users=make_model().users.slice_rows(0, 0))
    model = replace(model, user_ids=model.user_ids[:0], seen_indptr=model.seen_indptr[:1])
    model = replace(model, seen_items=model.seen_items[:0])
    seen = Interactions.from_pairs([1], [3], item_ids=model.item_ids)
    with pytest.raises(ArtifactError, match="nobody can be folded in"):
        ranker_for(model, seen).rank(np.zeros(1, np.int32), 5, seen)


def test_a_file_tells_how_users_are_solved_for_and_nothing_where_they_are_sums() -> None:
    names = ("user_rows", "untouched_weight", "ridge")
    start = replace(QUICK, epochs=0, learning_rate=None, start="als")
    fitted = train(LOG, replace(start, model="fism", untouched_weight=0.4))
    served = served_model(fitted, LOG)
    assert [served.metadata[name] for name in names] == ["ridge", "0.4", "1.0"]
    assert "weights" not in served.encode().arrays and not served.has_numbers
    again = restore(served)
    assert isinstance(again, FixedFism) and again.user_rows == RidgeSolve(0.4, 1.0, row_entries=64)
    sums = served_model(train(LOG, replace(start, model="fism", user_rows="sum")), LOG)
    assert not set(names) & set(sums.metadata) and sums.has_numbers
    assert isinstance(restore(sums), Fism)
