"""Models cut to size: the lists of what is left are those of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.runtime import Recommender, SeenItemsMissingError, UnknownUserError, decode_model
from sparserec_np.serving.model_file import served_from
from sparserec_np.serving.packing import VALUES, pack
from sparserec_np.serving.slices import keep_items, keep_users, without_seen
from tests.makers.served_models import (
    make_fism_model,
    make_model,
    make_ridge_model,
    make_towers_model,
    seen_sets,
)

NAMES = np.array([f"Größe {i}" for i in range(50)])
NOBODY = np.zeros(0, dtype=np.intp)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(list(VALUES)))
def test_a_slice_gives_the_lists_of_the_whole_over_its_items(data: Any, dtype: str) -> None:
    model = served_from(pack(make_model(item_ids=NAMES, seed=data.draw(st.integers(0, 3))), dtype))
    users = np.array(sorted(data.draw(st.sets(st.integers(0, 29), min_size=1))))
    items = np.array(sorted(data.draw(st.sets(st.integers(0, 49), min_size=1))))
    cut = keep_items(keep_users(model, users), items)
    names = cut.item_ids.tolist()
    assert cut.user_ids.tolist() == users.tolist() and names == NAMES[items].tolist()
    assert seen_sets(cut) == [seen_sets(model)[user] & set(names) for user in users]
    whole, part = Recommender(model.encode()), Recommender(pack(cut, "float32"))
    for user in users.tolist():
        found = part.recommend(user, 9)
        if found.personal:  # or nothing is left of them: no entry, and no item
            assert found == whole.recommend(user, 9, items=names)
    for gone in set(range(30)) - set(users.tolist()):
        with pytest.raises(UnknownUserError):
            part.recommend(gone)


def test_without_users_people_are_folded_in_as_before() -> None:
    model = make_model(seed=2)
    whole, part = Recommender(model.encode()), Recommender(pack(keep_users(model, NOBODY), "float32"))
    assert part.model.row_entries == whole.model.row_entries
    for liked in ([3, 8], [49], list(range(0, 50, 5))):
        mine, theirs = part.recommend_for_items(liked), whole.recommend_for_items(liked)
        assert mine.items == theirs.items  # without users there is no scale of theirs to bring scores to
        scale = whole.fold_scale(len(liked))
        np.testing.assert_allclose(np.array(theirs.scores), scale * np.array(mine.scores), rtol=1e-5)
        assert part.fold_scale(len(liked)) == 1 != scale
    assert part.similar_items(4) == whole.similar_items(4)
    assert part.inspect()["users"] == 0
    with pytest.raises(UnknownUserError, match="the model knows 0 users"):
        part.recommend(3)
    again = pack(served_from(pack(keep_users(model, NOBODY), "int8")), "int8")
    assert decode_model(again).row_entries == whole.model.row_entries


def test_without_seen_items_they_have_to_be_named() -> None:
    model = make_model(seed=2)
    whole, part = Recommender(model.encode()), Recommender(pack(without_seen(model), "float32"))
    with pytest.raises(SeenItemsMissingError, match="give them to exclude"):
        part.recommend(3)
    assert part.recommend(3, exclude=seen_sets(model)[3]) == whole.recommend(3)
    assert part.recommend(3, filter_seen=False) == whole.recommend(3, filter_seen=False)
    assert part.inspect()["has_seen"] is False
    assert part.inspect()["seen_bytes"] == 0
    again = served_from(pack(served_from(pack(without_seen(model), "int8")), "int8"))
    assert not again.has_seen


def test_a_slice_of_a_model_without_a_users_table_makes_the_same_users() -> None:
    model = make_fism_model(item_ids=NAMES, seed=3)
    users, seen = np.arange(4, 30, 3), seen_sets(model)
    some, whole = Recommender(pack(keep_users(model, users), "float32")), Recommender(model.encode())
    assert some.inspect()["users"] == len(users)
    for user in users.tolist():
        assert some.recommend(user, 50) == whole.recommend(user, 50)
    with pytest.raises(UnknownUserError):
        some.recommend(5)
    nobody = Recommender(pack(keep_users(model, NOBODY), "float32"))
    assert nobody.recommend_for_items(seen[4]) == whole.recommend(4)
    with pytest.raises(UnknownUserError, match="the model knows 0 users"):
        nobody.recommend(4)


def test_items_take_their_weights_with_them() -> None:
    model = make_fism_model(item_ids=NAMES, seed=3)
    rows = np.array([1, 4, 9, 30, 44])
    cut = keep_items(model, rows)
    assert cut.weights.tolist() == model.weights[rows].tolist()
    part, whole = Recommender(cut.encode()), Recommender(model.encode())
    liked, names = NAMES[[4, 44]], NAMES[rows].tolist()
    assert part.recommend_for_items(liked, 5) == whole.recommend_for_items(liked, 5, items=names)
    for user, seen in enumerate(seen_sets(cut)):  # made of what is left of what they touched
        if seen:
            assert part.recommend(user, 5) == whole.recommend_for_items(seen, 5, items=names)
    towers = keep_items(make_towers_model(), rows)
    assert len(towers.weights) == len(make_towers_model().weights)


def test_users_go_with_the_seen_items_they_are_made_of() -> None:
    model = make_fism_model(user_ids=np.array([f"u{row}" for row in range(30)]), seed=3)
    artifact = pack(without_seen(model), "int8")
    assert not [name for name in artifact.arrays if name.startswith(("users", "seen"))]
    assert artifact.metadata["n_users"] == "0"
    again = served_from(artifact)
    assert not again.has_seen and len(again.user_ids) == 0
    whole, part = Recommender(pack(model, "int8")), Recommender(pack(again, "int8"))
    assert part.recommend_for_items([3, 8]) == whole.recommend_for_items([3, 8])


def test_items_without_numbers_are_sliced() -> None:
    model = make_ridge_model(item_ids=NAMES, seed=3)
    rows = np.arange(0, len(NAMES), 2)
    part = keep_items(model, rows)
    assert part.items.rows == len(rows) and not len(part.weights)
    liked = [str(name) for name in NAMES[rows[:3]]]
    assert len(Recommender(part.encode()).recommend_for_items(liked, 5).items) == 5


@pytest.mark.parametrize("marks", [False, True])
def test_users_take_their_order_of_time_with_them(marks: bool) -> None:
    model = make_fism_model(seed=3, recency=0.75, marks=marks)
    users = np.arange(4, 30, 3)
    some, whole = Recommender(pack(keep_users(model, users), "float32")), Recommender(model.encode())
    for user in users.tolist():
        assert some.recommend(user, 50) == whole.recommend(user, 50)
    nobody = Recommender(pack(without_seen(model), "int8"))
    assert not nobody.model.has_seen and len(nobody.recommend_for_items([3, 8]).items) == 10


def test_of_items_that_are_left_out_no_place_stays_in_the_order() -> None:
    model = make_fism_model(seed=3, recency=0.75)
    rows = np.arange(0, 50, 3)
    cut = keep_items(model, rows)
    for user in range(30):
        own, whole = (slice(*some.seen_indptr[user : user + 2]) for some in (cut, model))
        left = np.isin(model.seen_items[whole], rows)
        order = np.argsort(np.argsort(model.seen_ages[whole][left]))
        assert cut.seen_ages[own].tolist() == order.tolist()
