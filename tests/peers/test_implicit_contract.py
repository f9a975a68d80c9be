"""What users of implicit expect of any recommender, on data whose right answer is known.

A checkerboard: even users touched all even items, odd users all odd ones, but each user lacks the
item of their own number, which is the one to find. Where we do otherwise, the test's name says so.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from sparserec_np import DataError, Recommender, SparseRec, evaluate
from sparserec_np.runtime import UnknownItemError, UnknownUserError

SIDE = 50
EVERYBODY = np.arange(SIDE)
MODELS: dict[str, dict[str, Any]] = {
    "default": {},
    "without validation": {"validation": 0.0},
    "items alone": {"model": "fism", "epochs": 5},
    "condensed": {"start": "condensed", "epochs": 2},
    "als": {"start": "als", "epochs": 2},
    "neighbours": {"model": "itemknn"},
}


def checkerboard(side: int = SIDE) -> sparse.csr_matrix:
    own = np.arange(side)
    board = (own[:, None] % 2 == own[None, :] % 2).astype(float)
    np.fill_diagonal(board, 0)
    return sparse.csr_matrix(board)


BOARD = checkerboard()


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> SparseRec:
    return SparseRec(**MODELS[request.param], threads=1).fit(BOARD)


@pytest.fixture(scope="module")
def one() -> SparseRec:
    return SparseRec(threads=1).fit(BOARD)


@pytest.fixture(scope="module")
def served(one: SparseRec, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    path = tmp_path_factory.mktemp("board") / "m.safetensors"
    one.save(path)
    return Recommender.open(path)


# ---- lists for users


def test_each_user_is_recommended_the_one_item_they_lack(model: SparseRec) -> None:
    for user in range(SIDE):
        ids, scores = model.recommend(user, n=1)
        assert ids.tolist() == [user] and scores.shape == (1,)


def test_several_users_get_the_lists_that_each_gets(model: SparseRec) -> None:
    ids, scores = model.recommend(EVERYBODY, n=10)
    assert ids.shape == scores.shape == (SIDE, 10)
    np.testing.assert_array_equal(ids[:, 0], EVERYBODY)
    for user in range(0, SIDE, 7):
        alone, own = model.recommend(user, n=10)
        np.testing.assert_array_equal(ids[user], alone)
        np.testing.assert_allclose(scores[user], own, rtol=1e-5)


def test_more_items_than_there_are_can_be_asked_for_and_lists_are_padded(model: SparseRec) -> None:
    ids, scores = model.recommend(0, n=10_000)
    assert np.all(ids[26:] == -1) and np.all(scores[26:] == -np.inf)
    assert sorted(ids[:26]) == [0, *range(1, SIDE, 2)]


def test_items_that_a_user_has_are_listed_on_request(model: SparseRec) -> None:
    ids, _ = model.recommend(EVERYBODY, n=SIDE // 2, filter_seen=False)
    assert np.all(ids % 2 == EVERYBODY[:, None] % 2)


def test_items_to_leave_out_are_told_to_the_served_model(served: Recommender) -> None:
    assert served.recommend(0, 1).items == [0]
    assert 0 not in served.recommend(0, 10, exclude=[0]).items


def test_items_to_rank_among_are_told_to_the_served_model(served: Recommender) -> None:
    for user in range(SIDE):
        assert served.recommend(user, 3, items=[user, (user + 1) % SIDE, (user + 3) % SIDE]).items[0] == user


def test_ranking_among_several_users_is_the_same_for_each(served: Recommender) -> None:
    among = list(range(10))
    lists = [served.recommend(user, 10, items=among, filter_seen=False).items for user in range(10)]
    assert all(sorted(some) == among for some in lists)
    assert all(user % 2 == item % 2 for user, some in enumerate(lists) for item in some[:5])


def test_unknown_ids_are_refused(one: SparseRec, served: Recommender) -> None:
    for user in (SIDE, -1, "x", 3.0):
        with pytest.raises(UnknownUserError):
            one.recommend(user)
    with pytest.raises(UnknownUserError, match="unknown user 3.0: .*; ids are whole numbers or texts"):
        one.recommend([3.0])
    with pytest.raises(UnknownItemError):
        served.recommend(0, items=[SIDE])


def test_a_user_made_anew_of_what_they_touched_gets_the_same_item(served: Recommender) -> None:
    for user in range(SIDE):
        liked = BOARD[user].indices.tolist()
        assert served.recommend_for_items(liked, 1).items == [user]


def test_what_a_user_touched_since_is_learnt_by_partial_fit(one: SparseRec) -> None:
    made = SparseRec(threads=1).fit(BOARD)
    made.partial_fit([(SIDE, item) for item in range(0, SIDE - 2, 2)], epochs=0, validation=0.0)
    assert made.recommend(SIDE, n=1)[0].tolist() == [SIDE - 2]


def test_an_item_that_is_new_is_learnt_by_partial_fit(one: SparseRec) -> None:
    made = SparseRec(threads=1).fit(BOARD)
    made.partial_fit([(user, SIDE) for user in range(0, SIDE - 2, 2)], epochs=0, validation=0.0)
    assert np.all(made.similar_items(SIDE, n=10)[0] % 2 == 0)
    assert SIDE in made.recommend(SIDE - 2, n=2)[0]


# ---- similar ones


def test_similar_items_have_the_same_parity(model: SparseRec) -> None:
    ids, cosines = model.similar_items(EVERYBODY, n=10)
    assert np.all(ids % 2 == EVERYBODY[:, None] % 2)
    assert np.all(np.diff(cosines) <= 1e-6)


def test_one_item_gets_the_list_it_gets_among_several_and_is_not_in_it(model: SparseRec) -> None:
    ids, cosines = model.similar_items([3, 8], n=5)
    for place, item in enumerate((3, 8)):
        alone, own = model.similar_items(item, n=5)
        np.testing.assert_array_equal(ids[place], alone)
        np.testing.assert_array_equal(cosines[place], own)
        assert item not in alone  # there it stands first


def test_similar_users_have_the_same_parity(served: Recommender) -> None:
    for user in range(SIDE):
        assert all(other % 2 == user % 2 for other in served.similar_users(user, 10).items)


def test_a_user_is_not_similar_to_themselves(served: Recommender) -> None:
    assert all(user not in served.similar_users(user, SIDE).items for user in range(SIDE))


# ---- data that lacks something


@pytest.fixture(scope="module", params=MODELS)
def gap(request: pytest.FixtureRequest) -> SparseRec:
    board = BOARD.toarray()
    board[42] = 0
    board[:, 42] = 0
    return SparseRec(**MODELS[request.param], threads=1).fit(sparse.csr_matrix(board))


def test_an_item_nobody_touched_is_similar_to_nothing(gap: SparseRec) -> None:
    ids, cosines = gap.similar_items(EVERYBODY, n=SIDE)
    assert 42 not in ids
    assert np.all(ids[42] == -1) and np.all(cosines[42] == -np.inf)


def test_a_user_who_touched_nothing_gets_what_is_popular(gap: SparseRec) -> None:
    with pytest.warns(UserWarning, match="has no interactions"):
        ids, scores = gap.recommend(42, n=SIDE)
    assert sorted(ids.tolist()) == EVERYBODY.tolist() and np.all(scores == 0)
    degrees = gap.interactions_.item_degrees[ids]
    assert np.all(np.diff(degrees) <= 0) and degrees[0] > degrees[-1] == 0


def test_a_matrix_without_interactions_is_refused() -> None:
    for nothing in (sparse.csr_matrix((SIDE, SIDE)), np.zeros((SIDE, SIDE))):
        with pytest.raises(DataError, match="no interaction to train on"):
            SparseRec().fit(nothing)


def test_a_single_interaction_can_be_trained_on_without_holding_any_out() -> None:
    board = np.zeros((SIDE, SIDE))
    board[4, 5] = 1
    with pytest.raises(DataError, match="Nothing can be held out.* validation 0"):
        SparseRec(threads=1).fit(board)
    made = SparseRec(threads=1, validation=0.0, epochs=1).fit(board)
    with pytest.warns(UserWarning, match="has no interactions"):
        assert made.recommend(7, n=3)[0][0] == 5


# ---- forms of data, and of models


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32, np.int8, bool])
def test_every_type_of_numbers_gives_the_same_model(one: SparseRec, dtype: Any) -> None:
    made = SparseRec(threads=1).fit(BOARD.astype(dtype))
    np.testing.assert_array_equal(made.recommend(EVERYBODY)[1], one.recommend(EVERYBODY)[1])


@pytest.mark.parametrize("form", ["csc", "coo", "lil", "dok", "bsr", "dia", "dense"])
def test_every_form_of_matrix_gives_the_same_model(one: SparseRec, form: str) -> None:
    made = SparseRec(threads=1).fit(BOARD.toarray() if form == "dense" else BOARD.asformat(form))
    np.testing.assert_array_equal(made.recommend(EVERYBODY)[1], one.recommend(EVERYBODY)[1])


def test_a_pickled_model_gives_the_same_lists(model: SparseRec) -> None:
    model.recommend(EVERYBODY)
    model.similar_items(0)
    again = pickle.loads(pickle.dumps(model))
    for mine, theirs in zip(again.recommend(EVERYBODY), model.recommend(EVERYBODY), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_saved_model_gives_the_same_lists(model: SparseRec, tmp_path: Path) -> None:
    for name in ("run", "m.safetensors"):
        model.save(tmp_path / name)
        again = SparseRec.load(tmp_path / name)
        np.testing.assert_array_equal(again.recommend(EVERYBODY)[0], model.recommend(EVERYBODY)[0])


def test_measures_are_those_of_the_lists(model: SparseRec) -> None:
    own = sparse.identity(SIDE, format="csr")
    ranker = model.fitted_.model.ranker()
    assert evaluate(ranker, own, BOARD, ks=(1,))["hit_rate@1"] == 1 == model.score(own)
