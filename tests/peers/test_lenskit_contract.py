"""What users of LensKit expect of a scorer, of a ranker and of any trained component.

A scorer gives a score to each item it is handed, in their order, whoever asks; where it has none it
gives NaN and does not fail. A ranker lists the best of the candidates. A component can be made from
its own settings again, trained again, and pickled. The wishes are LensKit's, the words and the data
are ours; where we do otherwise unless asked, the test's name says so.
"""

from __future__ import annotations

import io
import pickle
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone

from sparserec_np import Interactions, Recommender, SparseRec, generate
from sparserec_np.runtime import UnknownItemError, UnknownUserError

LOG = generate(50, 40, 700, groups=4, seed=3)
QUICK: dict[str, Any] = {"dim": 8, "density": 0.4, "epochs": 1, "negatives": 16, "learning_rate": 0.01}
QUICK |= {"validation": 0.0, "threads": 1, "start": "spectral"}
MODELS: dict[str, dict[str, Any]] = {
    "mf": QUICK,
    "fism": {**QUICK, "model": "fism"},
    "lightgcn": {**QUICK, "model": "lightgcn"},
    "neumf": {**QUICK, "model": "neumf", "start": "uniform"},
    "itemknn": {"model": "itemknn"},
    "popularity": {"model": "popularity"},
}
NOBODY, NOTHING = 990_001, -318  # ids that no data hold


@cache
def fitted(name: str) -> SparseRec:
    return SparseRec(**MODELS[name]).fit(LOG)


@cache
def served(name: str) -> Recommender:
    file = io.BytesIO()
    fitted(name).save(file)
    return Recommender.open(file.getvalue())


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["estimator", "runtime"])
def model(request: pytest.FixtureRequest, name: str) -> Any:
    return (fitted if request.param == "estimator" else served)(name)


def some(ids: Any, count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).permutation(ids)[:count].tolist()


USERS, ITEMS = some(LOG.user_ids, 12), some(LOG.item_ids, 15)


# ---- scorers


def test_known_items_get_finite_scores_in_the_order_they_were_given(model: Any) -> None:
    for user in USERS:
        scores = model.score_items(user, ITEMS)
        assert scores.shape == (len(ITEMS),) and np.all(np.isfinite(scores))
        np.testing.assert_array_equal(model.score_items(user, ITEMS[::-1]), scores[::-1])


def test_items_may_be_named_twice_and_are_scored_twice(model: Any) -> None:
    scores = model.score_items(USERS[0], [ITEMS[0], ITEMS[1], ITEMS[0]])
    assert scores[0] == scores[2]


def test_an_item_is_scored_alike_whatever_stands_beside_it(model: Any) -> None:
    whole = model.score_items(USERS[0], LOG.item_ids)
    alone = [model.score_items(USERS[0], [item])[0] for item in LOG.item_ids.tolist()]
    np.testing.assert_array_equal(whole, alone)


def test_unknown_items_get_nan_on_request_and_the_others_their_scores(model: Any) -> None:
    scores = model.score_items(USERS[0], [*ITEMS, NOTHING], on_unknown="skip")
    assert np.isnan(scores[-1])
    np.testing.assert_array_equal(scores[:-1], model.score_items(USERS[0], ITEMS))
    with pytest.raises(UnknownItemError):  # unless asked, a slip is told
        model.score_items(USERS[0], [*ITEMS, NOTHING])


def test_an_unknown_user_gets_nan_or_zero_on_request(model: Any) -> None:
    assert np.all(np.isnan(model.score_items(NOBODY, ITEMS, on_unknown="skip")))
    assert np.all(model.score_items(NOBODY, ITEMS, on_unknown="popular") == 0)
    with pytest.raises(UnknownUserError):
        model.score_items(NOBODY, ITEMS)


def test_an_empty_list_of_items_gets_an_empty_list_of_scores(model: Any) -> None:
    assert model.score_items(USERS[0], []).shape == (0,)
    assert model.score_items(USERS, []).shape == (len(USERS), 0)
    assert model.score_items([], ITEMS).shape == (0, len(ITEMS))


def test_who_and_what_has_no_interactions_in_training_is_still_scored() -> None:
    gone_users, gone_items = LOG.user_ids[:3], LOG.item_ids[:4]
    kept = LOG.subset(~np.isin(LOG.pair_users(), range(3)) & ~np.isin(LOG.items, range(4)))
    for given in (QUICK, MODELS["fism"], MODELS["lightgcn"]):
        made = SparseRec(**given).fit(kept)
        for user in [*gone_users.tolist(), *USERS]:
            scores = made.score_items(user, [*gone_items.tolist(), *ITEMS])
            assert scores.shape == (4 + len(ITEMS),) and np.all(np.isfinite(scores))
        assert np.all(made.score_items(gone_users, ITEMS) == 0)


# ---- a user who comes with a history


@pytest.mark.parametrize("name", ["mf", "fism", "itemknn"])
@pytest.mark.parametrize("make", [fitted, served])
def test_somebody_can_be_known_by_their_history_alone(name: str, make: Any) -> None:
    history = some(LOG.item_ids, 5, seed=2)
    found = make(name).recommend_for_items(history, n=6)
    assert len(found.items) == 6 and not set(found.items) & set(history)
    with pytest.raises(ValueError, match="one item or more"):
        make(name).recommend_for_items([])
    empty = make(name).recommend_for_items([], n=6, on_unknown="popular")
    assert len(empty.items) == 6 and not empty.personal
    odd = make(name).recommend_for_items([*history, NOTHING], n=6, on_unknown="skip")
    assert list(odd.items) == list(found.items)


# ---- rankers


def ranked(found: Any) -> list[int]:
    return [item for item, score in zip(*map(list, found), strict=True) if score > -np.inf]


def test_lists_come_in_the_order_of_the_scores(model: Any) -> None:
    for user in USERS:
        items, scores = model.recommend(user, n=20, filter_seen=False)
        assert np.all(np.diff(scores) <= 0)
        np.testing.assert_allclose(scores, model.score_items(user, list(items)), rtol=1e-4, atol=1e-5)


def test_a_list_is_cut_and_its_head_stays_the_same(model: Any) -> None:
    longest = ranked(model.recommend(USERS[0], n=40))
    for n in (1, 5, 39):
        assert ranked(model.recommend(USERS[0], n=n)) == longest[:n]


def test_more_than_the_catalogue_can_be_asked_for(model: Any) -> None:
    everything = ranked(model.recommend(USERS[0], n=1000, filter_seen=False))
    assert sorted(everything) == LOG.item_ids.tolist()
    assert model.recommend(USERS, n=1000).items.shape == (len(USERS), 1000)


def test_candidates_are_all_that_is_listed(model: Any) -> None:
    found = ranked(model.recommend(USERS[0], n=50, items=ITEMS, filter_seen=False))
    assert sorted(found) == sorted(ITEMS)
    scores = model.score_items(USERS[0], ITEMS)
    assert found[0] in [ITEMS[place] for place in np.flatnonzero(scores >= scores.max() - 1e-4)]
    some_unknown = ranked(
        model.recommend(USERS[0], n=50, items=[*ITEMS, NOTHING], filter_seen=False, on_unknown="skip")
    )
    assert sorted(some_unknown) == sorted(ITEMS)


def test_without_candidates_lists_are_empty(model: Any) -> None:
    assert ranked(model.recommend(USERS[0], items=[])) == []
    assert np.all(model.recommend(USERS, items=[]).scores == -np.inf)


def test_by_default_candidates_are_what_was_not_touched_in_training(model: Any) -> None:
    for user in USERS:
        row = LOG.user_ids.tolist().index(user)
        own = LOG.item_ids[LOG.items[LOG.indptr[row] : LOG.indptr[row + 1]]].tolist()
        assert sorted(ranked(model.recommend(user, n=40))) == sorted(set(LOG.item_ids.tolist()) - set(own))


def test_a_batch_has_a_list_for_each_user_also_for_those_who_are_not_known(model: Any) -> None:
    users = [USERS[0], NOBODY, USERS[1], USERS[0]]
    for on_unknown, count in (("popular", 5), ("skip", 0)):
        found = model.recommend(users, n=5, on_unknown=on_unknown)
        assert found.items.shape == (4, 5)
        assert int(np.count_nonzero(found.scores[1] > -np.inf)) == count
        assert found.items[0].tolist() == found.items[3].tolist() == ranked(model.recommend(USERS[0], n=5))
    assert model.recommend([], n=5).items.shape == (0, 5)


# ---- components


def test_settings_make_the_same_component_again(name: str) -> None:
    settings = fitted(name).get_params()
    again = SparseRec(**settings)
    assert again is not fitted(name) and again.get_params() == settings
    for key, value in settings.items():
        assert getattr(again, key) == value


def test_training_again_changes_nothing_and_a_clone_learns_the_same(name: str) -> None:
    expected = fitted(name).score_items(USERS, ITEMS)
    again = clone(fitted(name)).fit(LOG)
    np.testing.assert_array_equal(again.score_items(USERS, ITEMS), expected)
    np.testing.assert_array_equal(again.fit(LOG).score_items(USERS, ITEMS), expected)


def test_training_on_other_data_forgets_the_first(name: str) -> None:
    other = generate(20, 30, 200, groups=4, seed=8)
    again = clone(fitted(name)).fit(LOG).fit(other)
    fresh = clone(fitted(name)).fit(other)
    users, items = other.user_ids[:5], other.item_ids[:7]
    np.testing.assert_array_equal(again.score_items(users, items), fresh.score_items(users, items))


def test_a_pickled_component_scores_alike(name: str) -> None:
    again = pickle.loads(pickle.dumps(fitted(name), pickle.HIGHEST_PROTOCOL))
    one, other = (
        each.score_items([*USERS, NOBODY], [*ITEMS, NOTHING], on_unknown="skip")
        for each in (fitted(name), again)
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_given_is_left_as_it_was_whatever_its_numbers_are(name: str, dtype: Any) -> None:
    table = csr_matrix(
        (np.full(LOG.n_interactions, 2, dtype), LOG.items, LOG.indptr), (LOG.n_users, LOG.n_items)
    )
    parts = [array.copy() for array in (table.data, table.indices, table.indptr)]
    users, items = np.arange(5), np.arange(9)
    made = SparseRec(**MODELS[name]).fit(table)
    made.recommend(users, items=items, exclude=items[:2])
    made.score_items(users, items)
    for before, after in zip(parts, (table.data, table.indices, table.indptr), strict=True):
        np.testing.assert_array_equal(before, after)
    assert users.tolist() == list(range(5)) and items.tolist() == list(range(9))


def test_ids_may_be_texts_and_an_answer_names_them() -> None:
    named = Interactions.from_pairs(
        [f"u{user}" for user in LOG.pair_users()], [f"i{item}" for item in LOG.items]
    )
    made = SparseRec(**QUICK).fit(named)
    assert all(item.startswith("i") for item in made.recommend("u3", n=5).items)
    assert np.isnan(made.score_items("u3", ["i3", "x"], on_unknown="skip")).tolist() == [False, True]
