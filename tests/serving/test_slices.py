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
from tests.makers.served_models import make_model, seen_sets

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
        assert part.recommend(user, 9) == whole.recommend(user, 9, items=names)
    for gone in set(range(30)) - set(users.tolist()):
        with pytest.raises(UnknownUserError):
            part.recommend(gone)


def test_without_users_people_are_folded_in_as_before() -> None:
    model = make_model(seed=2)
    whole, part = Recommender(model.encode()), Recommender(pack(keep_users(model, NOBODY), "float32"))
    assert part.model.row_entries == whole.model.row_entries
    for liked in ([3, 8], [49], list(range(0, 50, 5))):
        assert part.recommend_for_items(liked) == whole.recommend_for_items(liked)
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
