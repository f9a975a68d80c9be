"""Recommendations from the model file: the right items in the right order, with NumPy alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparserec_np
from sparserec_np import runtime
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.compiled import ranking
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.runtime import (
    ArtifactError,
    Ids,
    Recommender,
    SeenItemsMissingError,
    UnknownItemError,
    UnknownUserError,
    _best,
    read_artifact,
)
from sparserec_np.serving.c.export import write_c
from sparserec_np.serving.model_file import ServedModel, save_model
from sparserec_np.serving.packing import VALUES, pack
from sparserec_np.serving.slices import keep_items, keep_users, without_seen
from sparserec_np.training.saving import restore
from tests.makers.served_models import (
    as_lightgcn,
    largest_alone,
    make_fism_model,
    make_model,
    make_ridge_model,
    make_towers_model,
    seen_sets,
    solved_row,
    touched_row,
)

FISM = make_fism_model(seed=4)


def recommender_of(model: ServedModel) -> Recommender:
    return Recommender(model.encode())


def by_brute_force(model: ServedModel, row: int, filter_seen: bool = True) -> tuple[list[int], list[float]]:
    """Every item the user may get and its score: one Python loop over dense float64 rows, then a plain sort.

    Who has touched nothing gets what most users touched, and the score 0.
    """
    seen = set(model.seen_items[model.seen_indptr[row] : model.seen_indptr[row + 1]].tolist())
    items = model.items.to_dense(model.dim).astype(float)
    if not seen:
        return popular(model), [0.0] * len(items)
    if model.stores_users:
        user = model.users.to_dense(model.dim)[row].astype(float)
    else:
        user = largest_alone(touched_row(model, seen), int(model.metadata["row_entries"]))
    scored = [
        (-sum(u * i for u, i in zip(user, item, strict=True)), position)
        for position, item in enumerate(items)
        if not (filter_seen and position in seen)
    ]
    scored.sort()
    return [position for _, position in scored], [-score for score, _ in scored]


def popular(model: ServedModel) -> list[int]:
    """All items by the number of users who touched them, most first; of equals the first."""
    had = seen_sets(model)
    return sorted(range(model.items.rows), key=lambda item: (-sum(item in some for some in had), item))


def seen_of(model: ServedModel, row: int) -> set[int]:
    return set(model.seen_items[model.seen_indptr[row] : model.seen_indptr[row + 1]].tolist())


# One decimal makes products that float32 and float64 may order differently; whole numbers are exact
# in both.
@pytest.mark.parametrize("decimals", [0, 8])
@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("n", [1, 7, 50, 1000])
def test_lists_are_those_of_brute_force(decimals: int, density: float, n: int) -> None:
    model = make_model(density=density, decimals=decimals, seed=3)
    recommender = recommender_of(model)
    for row in range(model.users.rows):
        for filter_seen in (True, False):
            items, scores = recommender.recommend(row, n, filter_seen=filter_seen)
            best, their_scores = by_brute_force(model, row, filter_seen)
            assert items == best[:n]
            np.testing.assert_allclose(scores, their_scores[:n], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("dim", "hidden"), [(1, 2), (8, 6), (9, 16), (300, 3)])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_two_towers_rank_as_the_compiled_kernel_to_the_last_bit(
    dim: int, hidden: int, density: float
) -> None:
    model = make_towers_model(hidden, dim=dim, density=density, n_items=150)
    seen = Interactions(model.seen_indptr, model.seen_items, model.user_ids, model.item_ids)
    items, scores = restore(model).ranker().rank(np.arange(30, dtype=np.int32), 20, seen)
    recommender = recommender_of(model)
    for row in range(30):
        listed = recommender.recommend(row, 20)
        assert listed.items == items[row].tolist()
        np.testing.assert_array_equal(np.array(listed.scores, np.float32), scores[row])


def test_a_first_layer_that_takes_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte for an item's row may stand for a thousand numbers there, so a small file could ask for gigabytes."""
    artifact = make_towers_model().encode()
    monkeypatch.setattr(runtime, "TOWER_BYTES", 4 * 6 * 50 - 1)
    with pytest.raises(
        ArtifactError, match="hidden is 6: the first layer would take 1,200 bytes for 50 items"
    ):
        runtime.decode_model(artifact)
    monkeypatch.setattr(runtime, "TOWER_BYTES", 4 * 6 * 50)
    runtime.decode_model(artifact)


def test_two_towers_are_weighed_and_refuse_what_needs_inner_products() -> None:
    recommender = recommender_of(make_towers_model())
    assert recommender.inspect()["resident_bytes"]["items by dimension"] > 0
    listed = recommender.recommend(0, 3)
    assert recommender.score(0, listed.items) == listed.scores
    for call in (
        lambda: recommender.fold_in([1]),
        lambda: recommender.recommend_for_items([1]),
        lambda: recommender.similar_items(1),
        lambda: recommender.similar_users(1),
    ):
        with pytest.raises(ArtifactError, match="a neumf model does not score by its stored rows alone"):
            call()


def test_equal_scores_come_in_item_order() -> None:
    model = make_model(density=0.0)
    unseen = sorted(set(range(50)) - set(model.seen_items[: model.seen_indptr[1]].tolist()))
    assert recommender_of(model).recommend(0, 5) == (unseen[:5], [0.0] * 5)


@settings(max_examples=200, deadline=None)
@given(
    scores=st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.5, 2.0, -np.inf]), min_size=1, max_size=40),
    times=st.sampled_from([1, 3, 30]),
    data=st.data(),
)
def test_best_is_a_stable_sort(scores: list[float], times: int, data: Any) -> None:
    scores = scores * times
    n = data.draw(st.integers(0, len(scores)) | st.integers(0, min(5, len(scores))))
    expected = sorted(range(len(scores)), key=lambda item: (-scores[item], item))[:n]
    assert _best(np.array(scores, np.float32), n).tolist() == expected


def test_a_short_list_is_short_and_holds_nothing_seen() -> None:
    model = make_model()
    recommender = recommender_of(model)
    for row in range(30):
        seen = set(model.seen_items[model.seen_indptr[row] : model.seen_indptr[row + 1]].tolist())
        items, scores = recommender.recommend(row, 10**9)
        assert len(items) == len(scores) == 50 - len(seen)
        assert set(items) == set(range(50)) - seen


def test_a_user_who_has_seen_everything_gets_an_empty_list() -> None:
    model = make_model(n_users=1, n_items=3)
    everything = ServedModel(
        **{**model.__dict__, "seen_indptr": np.array([0, 3]), "seen_items": np.arange(3, dtype=np.int32)}
    )
    assert recommender_of(everything).recommend(0) == ([], [])


@pytest.mark.parametrize("density", [0.1, 1.0])
def test_the_compiled_kernel_gives_the_same_bits(density: float) -> None:
    model = make_model(n_users=40, n_items=9000, dim=16, density=density, seed=5)
    recommender = recommender_of(model)
    items, scores = np.empty((40, 20), np.int32), np.empty((40, 20), np.float32)
    ranking.top_items(
        model.users,
        model.items.by_column(16),
        9000,
        model.seen_indptr,
        model.seen_items,
        np.arange(40, dtype=np.int32),
        items,
        scores,
    )
    for row in range(40):
        assert recommender.recommend(row, 20) == (items[row].tolist(), scores[row].tolist())


def test_ids_are_the_files_own() -> None:
    model = make_model(user_ids=np.array([f"user {i}" for i in range(30)]), item_ids=np.arange(50) * 7 - 3)
    plain, named = recommender_of(make_model()), recommender_of(model)
    for row in range(30):
        positions, scores = plain.recommend(row, 5)
        assert named.recommend(f"user {row}", 5) == ([int(p) * 7 - 3 for p in positions], scores)
    assert {type(item) for item in named.recommend("user 0").items} == {int}
    texts = recommender_of(make_model(item_ids=np.arange(50).astype(str)))
    assert {type(item) for item in texts.recommend(0).items} == {str}


@pytest.mark.parametrize(
    "values",
    [
        range(4),
        np.array([-5, 0, 7, 2**40]),
        np.array([7, -5, 2**40, 0]),
        ["a", "é", "12", ""],
        np.arange(4, dtype="u1"),
    ],
)
def test_ids_are_found_again_and_others_are_not(values: Any) -> None:
    ids = Ids(values)
    assert len(ids) == 4
    assert ids.all_differ()
    assert [ids.find(ids[row]) for row in range(4)] == [0, 1, 2, 3]
    assert [ids.find(str(ids[row])) for row in range(4)] == [0, 1, 2, 3]
    strangers = [
        1e9,
        None,
        b"a",
        99,
        -1,
        2**70,
        -(2**70),
        "x",
        "1_0",
        "9" * 5000,
        np.int64(50),
        (),
        2.5,
        "nan",
    ]
    assert [ids.find(stranger) for stranger in strangers] == [None] * len(strangers)
    assert ids.to_array().tolist() == [ids[row] for row in range(4)]


def test_numbers_and_their_spelling_meet() -> None:
    assert Ids(["12", "x"]).find(12) == 0
    assert Ids(["12", "x"]).find(np.int64(12)) == 0
    assert Ids(["None", "()"]).find(None) is None
    assert Ids(np.array([5, 12])).find("12") == 1
    assert Ids(np.array([], np.int64)).find(0) is None


def test_an_unknown_user_is_named() -> None:
    recommender = recommender_of(make_model())
    with pytest.raises(UnknownUserError, match="^unknown user 'nobody': the model knows 30 users$"):
        recommender.recommend("nobody")
    with pytest.raises(KeyError):
        recommender.recommend(30)


@pytest.mark.parametrize("n", [0, -1])
def test_no_items_at_all_cannot_be_asked_for(n: int) -> None:
    with pytest.raises(ValueError, match="n must be at least 1"):
        recommender_of(make_model()).recommend(0, n)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=st.integers(0, 5), n=st.integers(1, 60), filter_seen=st.booleans())
def test_lists_hold_nothing_that_was_ruled_out(data: Any, seed: int, n: int, filter_seen: bool) -> None:
    model = make_model(seed=seed, decimals=data.draw(st.sampled_from([0, 8])))
    recommender = recommender_of(model)
    some = st.lists(st.integers(0, 49), max_size=30)
    user, exclude = data.draw(st.integers(0, 29)), data.draw(st.none() | some)
    among = data.draw(st.none() | some)
    allowed = set(range(50) if among is None else among) - set(exclude or ())
    allowed -= seen_of(model, user) if filter_seen else set()
    whole, _ = by_brute_force(model, user, filter_seen=False)
    items, scores = recommender.recommend(user, n, among, exclude, filter_seen)
    found, expected = recommender.score(user, items), recommender.score(user, whole)
    assert scores == found == sorted(found, reverse=True)
    # In whole numbers sums are exact, and so is the order; otherwise equal up to rounding.
    np.testing.assert_allclose(
        scores, [s for i, s in zip(whole, expected, strict=True) if i in allowed][:n], rtol=1e-5, atol=1e-6
    )
    assert len(items) == len(set(items)) == min(n, len(allowed))
    assert set(items) <= allowed
    liked = data.draw(st.lists(st.integers(0, 49), min_size=1, max_size=20))
    items, _ = recommender.recommend_for_items(liked, n, among, exclude, filter_seen)
    allowed = set(range(50) if among is None else among) - set(exclude or ())
    allowed -= set(liked) if filter_seen else set()
    assert len(items) == len(set(items)) == min(n, len(allowed))
    assert set(items) <= allowed


def test_what_is_excluded_need_not_be_known_and_what_is_ranked_must() -> None:
    recommender = recommender_of(make_model())
    assert recommender.recommend(3, exclude=["nothing", 99]) == recommender.recommend(3)
    assert recommender.recommend(3, exclude=np.array([4, 9])) == recommender.recommend(3, exclude={9, 4})
    for call in (
        lambda: recommender.recommend(3, items=[4, 99]),
        lambda: recommender.recommend_for_items([4, 99]),
        lambda: recommender.similar_items(99),
        lambda: recommender.score(3, [99]),
    ):
        with pytest.raises(UnknownItemError, match="^unknown item 99: the model knows 50 items$"):
            call()
    with pytest.raises(TypeError, match="not the text '12'"):
        recommender.recommend_for_items("12")
    with pytest.raises(ValueError, match="one item or more"):
        recommender.recommend_for_items([])


def test_a_row_folded_in_solves_its_equation() -> None:
    """Against the equation of the docstring, in a dense table; no entry is pruned where the budget is large."""
    model = make_model(density=0.4, seed=2)
    recommender = recommender_of(replace(model, metadata={**model.metadata, "row_entries": "8"}))
    items = model.items.to_dense(8).astype(float)
    for liked in ([3, 4, 9], [0], list(range(20))):
        columns, values = recommender.fold_in(liked)
        touched = np.flatnonzero(items[liked].any(axis=0))
        some, every = items[np.ix_(liked, touched)], items[:, touched]
        mean = np.square(items).sum() / 8
        ridge = runtime.RIDGE * mean * np.eye(len(touched))
        matrix = some.T @ some + runtime.UNTOUCHED * (every.T @ every + ridge)
        assert columns.tolist() == touched.tolist()
        np.testing.assert_allclose(values, np.linalg.solve(matrix, some.sum(axis=0)), rtol=1e-5)


def test_a_row_folded_in_keeps_to_the_budget_and_is_the_same_in_any_order() -> None:
    model = make_model(density=0.3, seed=1)
    recommender = recommender_of(model)
    budget = -(-model.users.nnz // 30)
    assert recommender.model.row_entries == budget < 8
    liked = [40, 3, 17, 17, 22, 8, 31]
    columns, values = recommender.fold_in(liked)
    assert 0 < len(columns) == len(values) <= budget
    assert columns.tolist() == sorted(set(columns.tolist()))
    for other in (liked[::-1], sorted(set(liked)), np.array(liked)):
        again = recommender.fold_in(other)
        assert again[0].tolist() == columns.tolist()
        assert again[1].tobytes() == values.tobytes()


def test_a_model_of_too_many_columns_folds_nobody_in() -> None:
    """Its products of all pairs of columns would take 34 GB; a small file can declare as many."""
    recommender = recommender_of(make_model(3, 5, dim=65_535, density=1e-4))
    assert len(recommender.recommend(1, 2).items) == 2
    with pytest.raises(ArtifactError, match="65,535 columns: expected at most 4,096"):
        recommender.recommend_for_items([1])


def test_a_user_folded_in_gets_a_list_like_their_own() -> None:
    """In a model of two groups, who has touched items of one gets the others of it."""
    items = np.zeros((20, 4), np.float32)
    items[:10, :2], items[10:, 2:] = 1, 1
    model = replace(make_model(n_items=20, dim=4), items=SparseTable.from_dense(items))
    model = replace(model, seen_indptr=np.zeros(31, np.int64), seen_items=np.zeros(0, np.int32))
    recommender = recommender_of(model)
    assert sorted(recommender.recommend_for_items([11, 13], 8).items) == [10, 12, *range(14, 20)]
    assert sorted(recommender.recommend_for_items([0], 9).items) == list(range(1, 10))


def test_items_without_entries_fold_in_to_an_empty_row() -> None:
    recommender = recommender_of(make_model(density=0.0))
    assert [part.tolist() for part in recommender.fold_in([3])] == [[], []]
    assert recommender.recommend_for_items([1], 3) == ([0, 2, 3], [0.0] * 3)


@pytest.mark.parametrize("which", ["items", "users"])
def test_similar_rows_are_those_of_largest_cosine(which: str) -> None:
    model = make_model(density=0.4, seed=4)
    recommender = recommender_of(model)
    table = (model.items if which == "items" else model.users).to_dense(8).astype(float)
    lengths = np.linalg.norm(table, axis=1)
    similar = recommender.similar_items if which == "items" else recommender.similar_users
    for row in range(len(table)):
        scale = np.maximum(lengths * lengths[row], 1e-12)
        cosines = (table @ table[row] / scale).tolist()
        names, found = similar(row, 5)
        others = sorted((cosines[other] for other in np.flatnonzero(lengths) if other != row), reverse=True)
        others = others if lengths[row] else []  # a row that is zero is near to nothing
        assert row not in names
        np.testing.assert_allclose(found, others[:5], atol=1e-6)
        np.testing.assert_allclose(found, [cosines[name] for name in names], atol=1e-6)


# -- who and what has no interactions


def lonely(model: ServedModel) -> ServedModel:
    """The model, whose user 2 and item 0 have no interactions."""
    keep = (model.seen_items != 0) & (np.repeat(np.arange(30), np.diff(model.seen_indptr)) != 2)
    before = np.concatenate(([0], np.cumsum(keep)))
    return replace(model, seen_indptr=before[model.seen_indptr], seen_items=model.seen_items[keep])


@pytest.fixture(params=["mf", "itemknn", "lightgcn", "neumf", "fism", "ridge"])
def gap(request: pytest.FixtureRequest) -> ServedModel:
    """A model in which user 2 and item 0 have no interactions, but for fism random rows."""
    makers = {
        "mf": make_model,
        "itemknn": lambda: replace(make_model(dim=50), metadata=make_model().metadata | {"model": "itemknn"}),
        "lightgcn": lambda: as_lightgcn(make_model()),
        "neumf": make_towers_model,
        "fism": make_fism_model,
        "ridge": make_ridge_model,
    }
    return lonely(makers[request.param]())


def test_who_touched_nothing_gets_what_most_users_touched(gap: ServedModel) -> None:
    recommender = recommender_of(gap)
    best = popular(gap)
    found = recommender.recommend(2, 50)
    assert found == (best, [0.0] * 50) and not found.personal
    assert recommender.recommend(2, 5, filter_seen=False, exclude=best[:3]) == (best[3:8], [0.0] * 5)
    assert recommender.recommend(2, 2, items=[best[9], best[4], best[30]]).items == [best[4], best[9]]
    assert recommender.recommend(3, 5).personal
    assert recommender.strangers() == [row for row, seen in enumerate(seen_sets(gap)) if not seen]
    assert recommender.popularity_known and recommender.popular_items.tolist() == best


def test_what_nobody_touched_is_near_to_nothing(gap: ServedModel) -> None:
    recommender = recommender_of(gap)
    if not runtime.served_as(gap.metadata["model"]).folds_in:
        return  # compares no rows
    assert recommender.similar_items(0, 50) == recommender.similar_users(2, 50) == ([], [])
    for row in range(1, 50):
        assert 0 not in recommender.similar_items(row, 50).items
    for row in (0, 1, *range(3, 30)):
        assert 2 not in recommender.similar_users(row, 50).items


def test_a_file_of_some_users_takes_no_item_for_untouched() -> None:
    model = make_model(density=1.0)
    rare = next(item for item in range(50) if item not in seen_sets(model)[7])
    part = recommender_of(keep_users(model, np.array([7])))
    assert part.similar_items(rare, 50) == recommender_of(model).similar_items(rare, 50)
    assert part.recommend(7, 50) == recommender_of(model).recommend(7, 50)


def test_a_file_of_some_items_knows_users_by_their_rows() -> None:
    model = make_model(density=1.0)
    strange = [item for item in range(50) if item not in seen_sets(model)[7]]
    part, whole = recommender_of(keep_items(model, np.array(strange))), recommender_of(model)
    found = part.recommend(7, 50)
    assert found.personal and found.scores == whole.recommend(7, 50).scores
    assert 7 not in part.strangers()


def test_of_some_users_of_a_fism_the_weights_say_what_is_popular() -> None:
    degrees = np.arange(50, 0, -1) % 13 + 1
    model = replace(FISM, weights=(1 / degrees).astype(np.float32))
    model = replace(model, items=model.items._replace(values=model.items.values + 3))
    part = Recommender(pack(keep_users(model, np.array([2, 7])), "float32"))
    filled = np.diff(model.items.indptr) > 0
    assert part.recommend(2, 50).items == sorted(
        range(50), key=lambda item: (-degrees[item] * filled[item], item)
    )


def test_where_nothing_says_what_is_popular_items_come_in_their_order() -> None:
    model = make_model()
    nobody = model.users._replace(values=np.zeros_like(model.users.values))
    part = recommender_of(without_seen(replace(model, users=nobody)))
    assert not part.popularity_known and len(part.strangers()) == 30
    found = part.recommend(4, 3, exclude=[1])
    assert found == ([0, 2, 3], [0.0] * 3) and not found.personal


def test_a_model_that_is_not_known_is_inspected_and_not_served() -> None:
    model = make_model()
    recommender = recommender_of(replace(model, metadata={**model.metadata, "model": "oracle"}))
    assert recommender.inspect()["model"] == "oracle"
    assert recommender.inspect()["resident_bytes"]["total"] == 0
    for call in (
        lambda: recommender.recommend(3),
        lambda: recommender.recommend_for_items([3]),
        lambda: recommender.fold_in([3]),
        lambda: recommender.similar_items(3),
        lambda: recommender.similar_users(3),
        lambda: recommender.score(3, [4]),
    ):
        with pytest.raises(ArtifactError, match="model 'oracle' is none of those that are served, mf,"):
            call()


def test_nor_does_somebody_of_dislikes_alone_get_a_list_of_a_model_that_is_not_known() -> None:
    model = make_model()
    first, last = model.seen_indptr[3:5].tolist()
    oracle = replace(
        model,
        metadata={**model.metadata, "model": "oracle"},
        disliked=np.arange(first, last, dtype=np.int32),
    )
    assert not recommender_of(replace(oracle, metadata=model.metadata)).recommend(3).personal
    with pytest.raises(ArtifactError, match="model 'oracle' is none of those that are served"):
        recommender_of(oracle).recommend(3)


def test_every_base_model_is_served() -> None:
    assert runtime.SERVED.keys() == BASE_MODELS.keys()
    for name, model in BASE_MODELS.items():
        assert runtime.SERVED[name].seen_is_graph == model.graph
        assert runtime.SERVED[name].stores_users == model.stores_users


class RowsOfSeenItems(runtime.StoredRows):
    """A user's row is the sum of the rows of the items they have seen, or of those they are folded in from."""

    exports = False

    def scores(self, user: int) -> Any:
        """Scores by the row of what was seen."""
        first, last = self.model.seen_indptr[user : user + 2].tolist()
        return self.scores_of_row(*self.fold_in(self.model.seen_items[first:last], None))

    def fold_in(self, items: Any, ages: Any) -> Any:
        """Adds up the rows of ``items``."""
        row = np.zeros(self.model.dim, np.float32)
        for item in items.tolist():
            columns, values = self.model.items.row(item)
            row[columns] += values
        return np.arange(self.model.dim), row


def test_a_model_that_stores_no_users_is_a_class_and_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    model = replace(make_model(), metadata={**make_model().metadata, "model": "sums"})
    nobody = SparseTable.from_dense(np.zeros((30, 8), np.float32))
    monkeypatch.setitem(runtime.SERVED, "sums", RowsOfSeenItems)
    recommender = recommender_of(replace(model, users=nobody))
    items = model.items.to_dense(8).astype(float)
    liked = sorted(seen_of(model, 3))
    expected = items @ items[liked].sum(axis=0)
    np.testing.assert_allclose(recommender.score(3, range(50)), expected, rtol=1e-4, atol=1e-5)
    assert recommender.recommend_for_items(liked, 7) == recommender.recommend(3, 7)
    assert recommender.inspect()["resident_bytes"]["items by dimension"] > 0
    with pytest.raises(ArtifactError, match="metadata model is 'sums': of it no list is made"):
        pack(model, "int8")
    with pytest.raises(ArtifactError, match="metadata model is 'sums': the C function scores by inner"):
        write_c(model, "nowhere")


# -- users who are what they touched


def dense_row(recommender: Recommender, items: Any) -> Any:
    row = np.zeros(recommender.item_factors().shape[1])
    columns, values = recommender.fold_in(items)
    assert values.dtype == np.float32 and (np.diff(columns) > 0).all()
    row[columns] = values
    return row


@pytest.mark.parametrize("row_entries", [1, 3, 8, 64])
@pytest.mark.parametrize("liked", [[7], [3, 8, 21, 40], list(range(50))], ids=len)
def test_a_row_is_the_weighted_sum_of_what_was_touched(row_entries: int, liked: list[int]) -> None:
    model = make_fism_model(row_entries, seed=5)
    expected = largest_alone(touched_row(model, liked), row_entries)
    recommender = recommender_of(model)
    np.testing.assert_allclose(dense_row(recommender, liked), expected, rtol=1e-4, atol=1e-6)
    again = recommender.fold_in(liked[::-1] + liked)
    assert [part.tobytes() for part in again] == [part.tobytes() for part in recommender.fold_in(liked)]


def test_every_product_and_every_sum_of_a_row_is_rounded() -> None:
    """In ascending order of the items, one float32 after the other; every dtype of the file."""
    model = make_fism_model(row_entries=8, density=0.6, seed=6)
    for dtype in VALUES:
        recommender = Recommender(pack(model, dtype))
        row = np.zeros(8, np.float32)
        for item in range(0, 50, 3):
            for column, value in zip(*recommender.model.items.row(item), strict=True):
                weight = recommender.model.weights[item]
                row[column] = np.float32(row[column] + np.float32(weight * value))
        np.testing.assert_array_equal(dense_row(recommender, range(0, 50, 3)).astype(np.float32), row)


def test_of_entries_of_one_magnitude_the_lower_columns_stay() -> None:
    dense = np.zeros((50, 8), np.float32)
    dense[0] = [0, 2, -1, 1, 0, -2, 1, 2]
    model = replace(FISM, items=SparseTable.from_dense(dense), weights=np.ones(50, np.float32))
    for entries, columns in (
        (1, [1]),
        (2, [1, 5]),
        (4, [1, 2, 5, 7]),
        (5, [1, 2, 3, 5, 7]),
        (8, [1, 2, 3, 5, 6, 7]),
    ):
        told = replace(model, metadata={**model.metadata, "row_entries": str(entries)})
        assert recommender_of(told).fold_in([0])[0].tolist() == columns


# Whole numbers are exact in float32, so that equals are equals in both.
@pytest.mark.parametrize("decimals", [0, 8])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_lists_of_fism_are_those_of_brute_force(decimals: int, density: float) -> None:
    model = make_fism_model(density=density, decimals=decimals, seed=3)
    model = replace(model, weights=model.weights.round(decimals))
    recommender = recommender_of(model)
    for row in range(30):
        for filter_seen in (True, False):
            items, scores = recommender.recommend(row, 50, filter_seen=filter_seen)
            best, their_scores = by_brute_force(model, row, filter_seen)
            assert items == best
            np.testing.assert_allclose(scores, their_scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", VALUES)
def test_who_is_known_gets_the_list_of_who_is_folded_in(dtype: str) -> None:
    recommender = Recommender(pack(FISM, dtype))
    for row, seen in enumerate(seen_sets(FISM)):
        if seen:
            assert recommender.recommend(row, 50) == recommender.recommend_for_items(seen, 50)
    assert recommender.recommend(2, 3) == (popular(FISM)[:3], [0.0] * 3)
    with pytest.raises(ValueError, match="one item or more"):
        recommender.recommend_for_items([])


def test_made_rows_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    recommender = recommender_of(FISM)
    rows = np.array([largest_alone(touched_row(FISM, seen), 5) for seen in seen_sets(FISM)])
    lengths = np.linalg.norm(rows, axis=1)
    for user in range(30):
        cosines = rows @ rows[user] / np.maximum(lengths * lengths[user], 1e-12)
        names, found = recommender.similar_users(user, 29)
        others = [] if user in (2, 5) else [row for row in range(30) if row not in (2, 5, user)]
        assert sorted(names) == others
        np.testing.assert_allclose(found, cosines[names], atol=1e-5)
    monkeypatch.setattr(runtime, "MADE_ENTRIES", 30 * 5 - 1)
    with pytest.raises(ArtifactError, match="may have 150 entries: expected at most 149"):
        recommender_of(FISM).similar_users(3)


def test_items_of_fism_are_compared_by_their_rows() -> None:
    table = make_model(seed=4)
    assert recommender_of(FISM).similar_items(3) == recommender_of(table).similar_items(3)


def test_without_seen_items_nothing_is_known_of_a_user_of_fism() -> None:
    whole, part = recommender_of(FISM), recommender_of(without_seen(FISM))
    for call in (
        lambda: part.recommend(3),
        lambda: part.recommend(3, filter_seen=False),
        lambda: part.recommend(3, exclude=[4]),
        lambda: part.score(3, [4]),
        lambda: part.similar_users(3),
    ):
        with pytest.raises(SeenItemsMissingError, match="give somebody's items to recommend_for_items"):
            call()
    for seen in filter(None, seen_sets(FISM)):
        assert part.recommend_for_items(seen) == whole.recommend_for_items(seen)
    assert part.similar_items(3) == whole.similar_items(3)


@pytest.mark.parametrize(
    ("metadata", "arrays", "said"),
    [
        ({}, {"weights": None}, "weights is missing"),
        ({}, {"weights": np.ones(49, np.float32)}, "weights hold 49 numbers, expected 50, one an item"),
        ({}, {"weights": np.ones(50)}, "weights is 1-dimensional float64"),
        ({}, {"weights": np.full(50, np.nan, np.float32)}, "weights hold NaN or infinity"),
        ({}, {"weights": np.full(50, np.inf, np.float32)}, "weights hold NaN or infinity"),
        ({}, {"weights": np.full(50, 1e18, np.float32)}, "or would overflow float32"),
        (
            {},
            {"users.values": np.ones(3, np.float32)},
            "users.values is there, but a fism model stores no users",
        ),
        ({"row_entries": None}, {}, "row_entries is missing, which the model fism is scored with"),
        ({"row_entries": "x"}, {}, "row_entries is 'x', expected a number"),
        ({}, {"seen.items": None}, "seen.items is missing"),
        ({"n_users": "31"}, {}, "seen.indptr holds 31 numbers, expected 32"),
        ({"n_users": "1" + "0" * 17}, {}, "seen.indptr holds 31 numbers"),
        (
            {"seen": "left out"},
            {},
            "n_users is 30, expected 0: a fism model makes its users of the seen items",
        ),
        (
            {"seen": "left out", "n_users": "1" + "0" * 17},
            {},
            "n_users is 100,000,000,000,000,000, expected 0",
        ),
        ({"model": "mf"}, {}, "users.columns is missing"),
    ],
)
def test_a_damaged_fism_is_refused(metadata: dict[str, Any], arrays: dict[str, Any], said: str) -> None:
    sound = FISM.encode()
    kept = {name: array for name, array in {**sound.arrays, **arrays}.items() if array is not None}
    told = {name: text for name, text in {**sound.metadata, **metadata}.items() if text is not None}
    with pytest.raises(ArtifactError, match=said):
        Recommender(sound._replace(arrays=kept, metadata=told))


@pytest.mark.parametrize("marks", [False, True])
def test_weights_of_any_size_that_is_allowed_give_finite_scores(marks: bool) -> None:
    """Close below the bound, and with every item touched."""
    model = make_fism_model(marks=marks, mark_power=0.375)
    largest = float(np.abs(model.items.values).max())
    weight = np.sqrt(5e37 / model.dim) / (1 + largest) / 50 * 0.999
    assert weight > 1e15
    recommender = recommender_of(replace(model, weights=np.full(50, weight, np.float32)))
    found = recommender.recommend_for_items(range(50), 50, filter_seen=False)
    assert np.isfinite(found.scores).all()
    assert np.isfinite(recommender.similar_users(3).scores).all()
    assert np.isfinite(recommender.similar_items(3).scores).all()
    with pytest.raises(ArtifactError, match="or would overflow float32"):
        recommender_of(replace(model, weights=np.full(50, 1.01 * weight, np.float32)))


@pytest.mark.parametrize("row_entries", [1, 3, 8, 64])
@pytest.mark.parametrize("liked", [[7], [3, 8, 21, 40], list(range(50))], ids=len)
def test_a_row_that_is_solved_for_is_that_of_dense_algebra(row_entries: int, liked: list[int]) -> None:
    model = make_ridge_model(row_entries, seed=5, untouched=0.3, ridge=0.7)
    recommender = recommender_of(model)
    np.testing.assert_allclose(dense_row(recommender, liked), solved_row(model, liked), rtol=1e-4, atol=1e-6)
    again = recommender.fold_in(liked[::-1] + liked)
    assert [part.tobytes() for part in again] == [part.tobytes() for part in recommender.fold_in(liked)]


@pytest.mark.parametrize("dtype", VALUES)
def test_who_is_known_is_solved_for_as_who_is_folded_in(dtype: str) -> None:
    model = make_ridge_model(3, seed=4)
    recommender = Recommender(pack(model, dtype))
    for row, seen in enumerate(seen_sets(model)):
        if seen:
            assert recommender.recommend(row, 50) == recommender.recommend_for_items(seen, 50)
    assert recommender.recommend(2, 3) == (popular(model)[:3], [0.0] * 3)
    part = recommender_of(without_seen(model))
    whole = recommender_of(model)
    assert part.recommend_for_items([3, 4]) == whole.recommend_for_items([3, 4])
    names, found = whole.similar_users(3, 29)
    rows = np.array([solved_row(model, seen) for seen in seen_sets(model)])
    lengths = np.linalg.norm(rows, axis=1)
    cosines = rows @ rows[3] / np.maximum(lengths * lengths[3], 1e-12)
    np.testing.assert_allclose(found, cosines[names], atol=1e-5)


@pytest.mark.parametrize(
    ("metadata", "arrays", "said"),
    [
        ({"user_rows": "mean"}, {}, "user_rows is 'mean', expected sum or ridge"),
        ({"user_rows": "sum"}, {}, "weights is missing"),
        (
            {},
            {"weights": np.ones(50, np.float32)},
            "weights are there, but rows that are solved for need none",
        ),
        ({"ridge": None}, {}, "ridge is None, expected a number from 0.001 to 1e"),
        ({"ridge": "0"}, {}, "ridge is '0', expected"),
        ({"ridge": "nan"}, {}, "ridge is 'nan', expected"),
        ({"untouched_weight": "-0.1"}, {}, "untouched_weight is '-0.1', expected a number from 0 to 1e"),
        ({"untouched_weight": "inf"}, {}, "untouched_weight is 'inf', expected"),
        ({"row_entries": None}, {}, "row_entries is missing"),
    ],
)
def test_a_damaged_fism_that_is_solved_for_is_refused(
    metadata: dict[str, Any], arrays: dict[str, Any], said: str
) -> None:
    sound = make_ridge_model(seed=4).encode()
    told = {name: text for name, text in {**sound.metadata, **metadata}.items() if text is not None}
    with pytest.raises(ArtifactError, match=said):
        Recommender(sound._replace(arrays={**sound.arrays, **arrays}, metadata=told))


def test_rows_are_not_solved_for_in_very_many_columns() -> None:
    with pytest.raises(ArtifactError, match="dim is 4,097, and rows are solved for with the products"):
        recommender_of(make_ridge_model(dim=4097, density=0.001))


def test_what_rows_are_solved_with_counts_in_memory_and_not_in_the_file() -> None:
    model = make_ridge_model(seed=4)
    report = recommender_of(model).inspect()
    assert report["bytes"]["weights"] == 0
    assert report["resident_bytes"]["products of columns"] == 8 * 8**2 + 4 * 8
    assert report["resident_bytes"]["total"] == 5 * model.items.nnz + 8 * 8**2 + 4 * 8


@pytest.mark.parametrize("scale", [1e-18, 1e-10, 1e17])
def test_items_of_any_length_give_finite_scores(scale: float) -> None:
    model = make_ridge_model(seed=4, ridge=0.001)
    items = model.items._replace(values=(model.items.values * scale).astype(np.float32))
    recommender = recommender_of(replace(model, items=items))
    found = recommender.recommend_for_items(range(50), 50, filter_seen=False)
    assert np.isfinite(found.scores).all() and (max(found.scores) > 0.5 or scale < 1e-15)


def test_inspect_counts_what_a_fism_stores(tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors", FISM)
    report = Recommender.open(tmp_path).inspect()
    nnz = FISM.items.nnz
    assert (report["nnz"], report["budget"], report["density"]) == (nnz, nnz, nnz / (50 * 8))
    assert float(FISM.encode().metadata["density"]) == report["density"]
    assert (report["users"], report["items"]) == (30, 50)
    assert report["rows_without_entries"] == int((np.diff(FISM.items.indptr) == 0).sum())
    assert report["bytes"] == {
        "values": 4 * nnz,
        "columns": nnz,
        "indptr": 4 * 51,
        "ids": 0,
        "weights": 4 * 50,
        "total": 5 * nnz + 4 * 101,
    }
    assert report["seen_bytes"] == 4 * 31 + len(FISM.seen_items)
    assert report["resident_bytes"]["total"] == report["resident_bytes"]["items by dimension"] == 5 * nnz


def test_users_who_are_not_stored_take_no_memory() -> None:
    artifact = make_fism_model(n_users=100_000, n_items=3, dim=2).encode()
    tracemalloc.start()
    recommender = Recommender(artifact)
    recommender.recommend(3)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(recommender.model.users.indptr) == 100_001
    assert held < 100_000


# -- LightGCN


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize(("similarity", "temperature"), [("dot", 1.0), ("dot", 0.3), ("cosine", 0.2)])
def test_lightgcn_ranks_as_the_model_that_was_trained(
    layers: int, similarity: str, temperature: float
) -> None:
    model = lonely(as_lightgcn(make_model(), layers, similarity, temperature))
    recommender = recommender_of(model)
    seen = Interactions(model.seen_indptr, model.seen_items.astype(np.int32), model.user_ids, model.item_ids)
    items, scores = restore(model).ranker().rank(np.arange(30, dtype=np.int32), 50, seen)
    for user in range(30):
        left = items[user] >= 0
        found = recommender.recommend(user, 50)
        by_item = dict(zip(items[user, left].tolist(), scores[user, left].tolist(), strict=True))
        assert sorted(found.items) == sorted(by_item)
        if user == 2:
            assert found == (popular(model), [0.0] * 50) and not found.personal
            continue
        np.testing.assert_allclose(
            found.scores, [by_item[item] for item in found.items], rtol=1e-4, atol=1e-5
        )
        assert found.scores == sorted(found.scores, reverse=True)
        np.testing.assert_allclose(
            recommender.score(user, list(by_item)), list(by_item.values()), rtol=1e-4, atol=1e-5
        )
    graph = np.diff(model.seen_indptr)
    assert graph[2] == 0 and 0 not in model.seen_items  # rows without neighbours were among them


def test_lightgcn_breaks_ties_by_item_and_takes_candidates() -> None:
    model = as_lightgcn(make_model())
    items = model.items._replace(values=np.ones_like(model.items.values))
    alone = replace(
        model,
        items=SparseTable(
            np.arange(51, dtype=np.int32), np.zeros(50, np.uint8), np.ones(50, items.values.dtype)
        ),
        seen_indptr=np.zeros(31, np.int64),
        seen_items=model.seen_items[:0],
    )
    recommender = recommender_of(alone)  # without edges all items are alike
    assert len(set(recommender.score(3, range(50)))) == 1
    assert recommender.recommend(3, 4).items == [0, 1, 2, 3]
    assert recommender.recommend(3, 4, items=[9, 5, 7], exclude=[7]).items == [5, 9]
    seen = recommender_of(model)
    own = set(model.seen_items[model.seen_indptr[3] : model.seen_indptr[4]].tolist())
    assert set(seen.recommend(3, 50).items) == set(range(50)) - own
    assert len(seen.recommend(3, 50, filter_seen=False).items) == 50


def test_lightgcn_makes_no_table_of_all_rows() -> None:
    dim, n_items = 400, 20_000
    model = as_lightgcn(make_model(10, n_items, dim, density=0.002), similarity="cosine")
    artifact = model.encode()
    tracemalloc.start()
    Recommender(artifact).recommend(3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < n_items * dim  # a quarter of such a table in float32


def test_lightgcn_counts_the_bytes_of_its_graph() -> None:
    model = as_lightgcn(make_model())
    recommender = recommender_of(model)
    edges, degrees, factors = 8 * len(model.seen_items), 4 * 30, 8 * (30 + 50)
    stored = recommender_of(make_model()).inspect()
    inspected = recommender.inspect()
    assert inspected["bytes"]["graph"] == stored["seen_bytes"] > 0
    assert inspected["bytes"]["total"] == stored["bytes"]["total"] + stored["seen_bytes"]
    counted = inspected["resident_bytes"]
    assert counted["graph"] == edges + degrees + factors
    assert counted["items by dimension"] == 0


def test_lightgcn_compares_no_rows_and_says_what_does() -> None:
    recommender = recommender_of(as_lightgcn(make_model()))
    for call in (
        lambda: recommender.recommend_for_items([3]),
        lambda: recommender.fold_in([3]),
        lambda: recommender.similar_items(3),
        lambda: recommender.similar_users(3),
    ):
        with pytest.raises(ArtifactError, match="`sparserec distill` makes an mf model of it"):
            call()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers": None}, "metadata layers is missing"),
        ({"layers": "9"}, "metadata layers is '9', expected 1 to 4"),
        ({"layers": "x"}, "metadata layers is 'x'"),
        ({"similarity": "taste"}, "metadata similarity is 'taste', expected dot or cosine"),
        ({"temperature": "0"}, "metadata temperature is '0', expected a number above 0"),
        ({"temperature": "nan"}, "metadata temperature is 'nan'"),
        ({"temperature": "warm"}, "metadata temperature is 'warm'"),
        ({"temperature": "1e-40"}, "scores could overflow float32"),
        ({"seen": "left out"}, "they are the graph that a lightgcn model scores by"),
    ],
)
def test_a_lightgcn_that_cannot_be_scored_is_refused(change: dict[str, str | None], said: str) -> None:
    model = as_lightgcn(make_model())
    metadata = {name: text for name, text in {**model.metadata, **change}.items() if text is not None}
    with pytest.raises(ArtifactError, match=said):
        replace(model, metadata=metadata).encode()


def test_threads_share_a_recommender() -> None:
    recommender = recommender_of(make_model(n_items=2000))
    expected = [recommender.recommend(row) for row in range(30)]
    found: list[bool] = []

    def work() -> None:
        found.extend(recommender.recommend(row) == expected[row] for row in range(30) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 600
    assert all(found)


def test_inspect_counts(tmp_path: Path) -> None:
    model = make_model(density=0.05, item_ids=np.arange(50) + 300)
    file_bytes = save_model(tmp_path / "model.safetensors", model)
    report = Recommender.open(tmp_path).inspect()
    nnz = model.users.nnz + model.items.nnz
    dense = np.vstack([model.users.to_dense(8), model.items.to_dense(8)])
    assert report == {
        "model": "mf",
        "method": "sparserec",
        "dim": 8,
        "users": 30,
        "items": 50,
        "budget": nnz,
        "nnz": np.count_nonzero(dense),
        "density": np.count_nonzero(dense) / dense.size,
        "rows_without_entries": int((np.count_nonzero(dense, axis=1) == 0).sum()),
        "bytes": {
            "values": 4 * nnz,
            "columns": nnz,
            "indptr": 4 * 82,
            "ids": 100,
            "weights": 0,
            "total": 5 * nnz + 4 * 82 + 100,
        },
        "seen_bytes": 4 * 31 + len(model.seen_items),
        "file_bytes": file_bytes,
        "resident_bytes": {
            "items by dimension": (1 + 4) * model.items.nnz,
            "graph": 0,
            "row bounds": 0,
            "unpacked": 0,
            "seen": 0,
            "ids": 0,
            "total": (1 + 4) * model.items.nnz,
        },
        "values": "float32",
        "has_seen": True,
        "user_id_kind": "range",
        "item_id_kind": "int",
        "format_version": "1",
        "library_version": sparserec_np.__version__,
        "loss": "bpr",
        "seed": 0,
        "train_digest": "ab" * 32,
        "metrics": {"recall@20": 0.25},
    }
    assert report["rows_without_entries"] > 0
    assert json.loads(json.dumps(report)) == report


@pytest.mark.parametrize("block", [1, 3, 50])
def test_any_size_of_blocks_reads_the_same(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    model = make_model(density=0.2)
    users = np.repeat(np.arange(30), np.diff(model.seen_indptr))
    kept = users % 3 > 0  # a third of the users has seen nothing
    bounds = np.concatenate(([0], np.cumsum(np.bincount(users[kept], minlength=30))))
    model = replace(model, seen_indptr=bounds, seen_items=model.seen_items[kept])
    wide = make_fism_model(dim=600, density=0.01)
    wide = replace(wide, seen_indptr=bounds, seen_items=model.seen_items)
    artifacts = [pack(model, "float32"), pack(model, "int8"), pack(wide, "int8")]
    whole = [Recommender(artifact) for artifact in artifacts]
    monkeypatch.setattr(runtime, "BLOCK", block)
    for artifact, one in zip(artifacts, whole, strict=True):
        other = Recommender(artifact)
        assert np.array_equal(other.model.seen_items, model.seen_items)
        assert [one.recommend(user) for user in range(30)] == [other.recommend(user) for user in range(30)]
        assert [one.similar_items(item) for item in range(50)] == [
            other.similar_items(item) for item in range(50)
        ]


@pytest.mark.parametrize("block", [1, 3, 50])
def test_columns_that_do_not_rise_are_found_wherever_they_are(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(runtime, "BLOCK", block)
    artifact = make_model(density=0.2).encode()
    bounds, columns = artifact.arrays["items.indptr"], artifact.arrays["items.columns"]
    for place in sorted(set(range(1, len(columns))) - set(bounds.tolist())):
        damaged = columns.copy()
        damaged[place] = damaged[place - 1]
        with pytest.raises(ArtifactError, match="items.columns must rise within a row"):
            Recommender(artifact._replace(arrays={**artifact.arrays, "items.columns": damaged}))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("wide", [False, True])
def test_opening_takes_what_inspect_counts_and_little_more_meanwhile(dtype: str, wide: bool) -> None:
    """Also where columns and weights are unpacked."""
    model = (
        make_fism_model(n_users=20, n_items=20_000, dim=600, density=0.025)
        if wide
        else make_model(200, 20_000, dim=64, density=0.2)
    )
    artifact = pack(model, dtype)
    tracemalloc.start()
    recommender = Recommender(artifact)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    counted = recommender.inspect()["resident_bytes"]["total"]
    assert counted > 2_000_000
    assert held < counted + 100_000 + 300 * model.dim  # two views for each dimension
    assert peak < held + 1_000_000


@settings(max_examples=200, deadline=None)
@given(
    rows=st.integers(1, 60),
    dim=st.sampled_from([1, 5, 64, 300]),
    density=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    entries=st.floats(0, 1),
    gathered=st.sampled_from([1, 7, 100, runtime.GATHERED]),
    long_list=st.sampled_from([1, 20, runtime.LONG_LIST]),
    magnitude=st.sampled_from([1e-30, 1.0, 1e10]),
    seed=st.integers(0, 2**32 - 1),
)
def test_scores_are_added_up_dimension_after_dimension(
    rows: int,
    dim: int,
    density: float,
    entries: float,
    gathered: int,
    long_list: int,
    magnitude: float,
    seed: int,
) -> None:
    """However many dimensions go in one: every product and every sum is rounded, in that order, to the same bits."""
    rng = np.random.default_rng(seed)
    dense = (magnitude * rng.normal(size=(rows, dim))).astype(np.float32)
    table = SparseTable.from_dense(dense, rng.random((rows, dim)) < density)
    columns = np.flatnonzero(rng.random(dim) < entries)
    values = rng.normal(size=len(columns)).astype(np.float32)
    expected = np.zeros(rows, np.float32)
    stored = table.to_dense(dim)
    for column, value in zip(columns, values, strict=True):
        for row in range(rows):
            if stored[row, column]:
                expected[row] = np.float32(expected[row] + np.float32(value * stored[row, column]))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runtime, "GATHERED", gathered)
        patched.setattr(runtime, "LONG_LIST", long_list)
        found = runtime.ByDimension(runtime.Table(*table), dim).scores(columns, values)
    assert found.dtype == np.float32
    assert found.view(np.int32).tolist() == expected.view(np.int32).tolist()


@settings(deadline=None)
@given(
    rows=st.integers(1, 20),
    dim=st.sampled_from([1, 9, 300]),
    scaled=st.booleans(),
    few=st.sampled_from([0, 3, 100]),
    seed=st.integers(0, 2**32 - 1),
)
def test_entries_of_few_rows_and_of_many_are_those_of_each_row(
    rows: int, dim: int, scaled: bool, few: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(rows, dim)).astype(np.float32)
    table = runtime.Table(*SparseTable.from_dense(dense, rng.random((rows, dim)) < 0.3))
    if scaled:
        numbers = rng.integers(-127, 128, len(table.values)).astype(np.int8)
        table = table._replace(values=numbers, scales=rng.random(dim, dtype=np.float32))
    wanted = rng.integers(0, rows, rng.integers(0, 12))  # in any order, some twice, perhaps none
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runtime, "FEW_ROWS", few)
        lengths, columns, values = table.entries_of(wanted)
    each = [table.row(row) for row in wanted.tolist()]
    assert lengths.tolist() == [len(own) for own, _ in each]
    assert columns.tolist() == [column for own, _ in each for column in own.tolist()]
    assert values.dtype == np.float32
    assert values.tolist() == [value for _, own in each for value in own.tolist()]


@given(numbers=st.lists(st.integers(0, 4), min_size=2, max_size=20), data=st.data())
def test_the_largest_are_kept_and_of_equals_the_first(numbers: list[int], data: st.DataObject) -> None:
    most = data.draw(st.integers(1, len(numbers) - 1))
    found = runtime._largest_places(np.array(numbers, np.float32), most)
    order = sorted(range(len(numbers)), key=lambda place: (-numbers[place], place))
    assert found.tolist() == sorted(order[:most])


def test_dimensions_without_entries_take_no_memory() -> None:
    artifact = make_model(12, 8, dim=65_535, density=0.0001).encode()
    tracemalloc.start()
    recommender = Recommender(artifact)
    recommender.recommend(3)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 200_000
    assert peak < 8_000_000  # a fuzzed file of two kilobytes once took 22 million


def resident(path: Path) -> int:
    """Bytes of a mapped file that are in this process's memory."""
    mappings = re.split(r"^(?=[0-9a-f]+-)", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE)
    ours = [mapping for mapping in mappings if str(path) in mapping.partition("\n")[0]]
    return sum(
        1024 * int(found[1]) for mapping in ours if (found := re.search(r"^Rss: +(\d+)", mapping, re.M))
    )


@pytest.mark.skipif(
    not Path("/proc/self/smaps").exists(), reason="only Linux tells what of a file is in memory"
)
def test_what_only_the_checks_read_does_not_stay_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    size = save_model(path, make_model(200, 20_000, dim=64, density=0.2))
    artifact = read_artifact(path)
    checked = Recommender(artifact)
    assert resident(path) > size / 2
    del artifact, checked
    opened = Recommender.open(path)
    opened.recommend(3)
    assert resident(path) < size / 2


SERVE = """
import json, sys
{imports}
recommender = Recommender.open(sys.argv[1])
items, scores = recommender.recommend(3, n=4)
lists = [recommender.recommend_for_items([3, 4]), recommender.similar_items(3), recommender.similar_users(3)]
assert all(len(found.items) == 10 for found in lists)
heavy = [name for name in ("numba", "llvmlite", "scipy", "sklearn", "click") if name in sys.modules]
package = [name for name in sys.modules if name.startswith("sparserec_np.") and name != "sparserec_np.runtime"]
print(json.dumps([items, heavy, package]))
"""


@pytest.mark.parametrize("home", ["package", "alone"])
@pytest.mark.parametrize("model", [make_model(), FISM], ids=["mf", "fism"])
def test_serving_loads_numpy_only(tmp_path: Path, home: str, model: ServedModel) -> None:
    """In the package, and as a single file copied elsewhere."""
    save_model(tmp_path / "model.safetensors", model)
    if home == "package":
        folder, imports = Path(runtime.__file__).parents[1], "from sparserec_np.runtime import Recommender"
    else:
        folder, imports = tmp_path, "from served import Recommender"
        shutil.copy(runtime.__file__, tmp_path / "served.py")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SERVE.format(imports=imports), str(tmp_path)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [by_brute_force(model, 3)[0][:4], [], []]


@pytest.mark.parametrize("text", ["user,item\n1,10\n2,11\n", '{"user": 1, "item": 2}\n', "1 2 3 4\n5 6 7\n"])
def test_a_table_of_interactions_is_no_model(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(runtime.ArtifactError, match="the file is text, as a table of interactions is"):
        Recommender.open(tmp_path / "log.csv")


# -- users of whom later items count more

ORDERED = make_fism_model(5, seed=4, recency=0.75)
MARKED = make_fism_model(5, seed=4, recency=0.75, marks=True)


def in_order(model: Any, user: int) -> list[int]:
    """What a user has seen, the latest last."""
    own = slice(*model.seen_indptr[user : user + 2])
    return [int(item) for item in model.seen_items[own][np.argsort(-model.seen_ages[own].astype(int))]]


@pytest.mark.parametrize("marks", [False, True])
def test_a_row_is_the_sum_in_which_later_items_count_more(marks: bool) -> None:
    model = MARKED if marks else ORDERED
    summed = model.dim - 50 if marks else model.dim
    liked = [7, 3, 40, 9]
    row = dense_row(recommender_of(model), liked)
    dense, expected = model.items.to_dense(model.dim)[:, :summed].astype(float), np.zeros(summed)
    for place, item in enumerate(reversed(liked), start=1):
        expected += place**-0.75 * float(model.weights[item]) * dense[item]
    np.testing.assert_allclose(row[:summed], largest_alone(expected, 5), rtol=1e-5, atol=1e-6)
    if marks:
        shares = np.zeros(50)
        shares[liked[::-1]] = np.arange(1.0, 5) ** -0.75
        np.testing.assert_allclose(row[summed:-50], shares * factors_of_marks(model), rtol=1e-6)


def factors_of_marks(model: ServedModel) -> Any:
    return model.weights.clip(0).astype(float) ** float(model.metadata["mark_power"])


@pytest.mark.parametrize("marks", [False, True])
def test_of_a_long_list_the_first_items_count_as_the_256th_from_the_last(marks: bool) -> None:
    model = make_fism_model(8, seed=4, recency=0.75, marks=marks, n_items=300)
    summed = model.dim - 300 if marks else model.dim
    liked = np.random.default_rng(0).permutation(300).tolist()
    row = dense_row(recommender_of(model), liked)
    shares = np.zeros(300)
    shares[liked[::-1]] = np.minimum(np.arange(1.0, 301), 256) ** -0.75
    dense = model.items.to_dense(model.dim)[:, :summed].astype(float)
    expected = (shares * model.weights) @ dense
    np.testing.assert_allclose(row[:summed], largest_alone(expected, 8), rtol=1e-4, atol=1e-5)
    if marks:
        np.testing.assert_allclose(row[summed:-300], shares * factors_of_marks(model), rtol=1e-6)


@pytest.mark.parametrize("dtype", VALUES)
@pytest.mark.parametrize("marks", [False, True])
def test_who_is_folded_in_in_order_gets_the_list_of_who_is_known(dtype: str, marks: bool) -> None:
    model = MARKED if marks else ORDERED
    recommender, changed = Recommender(pack(model, dtype)), 0
    for user in range(30):
        liked = in_order(model, user)
        if liked:
            assert recommender.recommend(user, 50) == recommender.recommend_for_items(liked, 50)
            changed += recommender.recommend(user, 50) != recommender.recommend_for_items(liked[::-1], 50)
    assert changed > 20


def test_of_an_item_told_twice_the_later_telling_counts() -> None:
    recommender = recommender_of(ORDERED)
    assert recommender.recommend_for_items([7, 3, 9, 7]) == recommender.recommend_for_items([3, 9, 7])


@pytest.mark.parametrize(
    ("metadata", "arrays", "said"),
    [
        ({"recency": "x"}, {}, "recency is 'x', expected a number from 0 to 4"),
        ({"recency": "-1"}, {}, "recency is '-1'"),
        ({"recency": "nan"}, {}, "recency is 'nan'"),
        ({}, {"seen.ages": None}, "seen.ages are missing, on which the rows of users depend"),
        ({}, {"seen.ages": np.zeros(3, np.uint8)}, "seen.ages hold 3 numbers, expected one for each of"),
        ({}, {"seen.ages": np.zeros(3, np.int8)}, "seen.ages is 1-dimensional int8"),
    ],
)
def test_an_order_that_is_damaged_is_refused(
    metadata: dict[str, str], arrays: dict[str, Any], said: str
) -> None:
    sound = ORDERED.encode()
    kept = {name: array for name, array in {**sound.arrays, **arrays}.items() if array is not None}
    with pytest.raises(ArtifactError, match=said):
        Recommender(sound._replace(arrays=kept, metadata={**sound.metadata, **metadata}))


def overwrite(path: Path, content: bytes) -> None:
    """Writes over a file in place, as cp does, at a time that differs."""
    with open(path, "r+b") as stream:
        stream.write(content)
    os.utime(path, (1, 1))


@pytest.mark.skipif(not runtime.MAPS_FILES, reason="needs files that are mapped")
def test_a_file_that_is_changed_in_place_is_refused_and_one_that_is_replaced_is_not(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, make_model(seed=5))
    whole, model = path.read_bytes(), Recommender.open(path)
    user, item = model.user_ids[0], model.item_ids[0]
    wanted = model.recommend(user).items
    save_model(path, make_model(seed=6))  # by renaming
    assert model.recommend(user).items == wanted

    copied, model = Recommender.open(path, copy=True), Recommender.open(path)
    wanted = copied.recommend(user).items
    overwrite(path, whole[:64])
    with pytest.raises(ArtifactError, match="was changed in place while it was open"):
        model.recommend(user)
    os.truncate(path, 100)
    calls: list[Any] = [
        lambda: model.recommend([user]),
        lambda: model.recommend_for_items([item]),
        lambda: model.similar_items(item),
        lambda: model.score(user, [item]),
    ]
    for call in calls:
        with pytest.raises(ArtifactError, match="was changed in place while it was open"):
            call()
    assert copied.recommend(user).items == wanted
