"""Lists for every user: in blocks of any size, and one by one, the same."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.evaluation import lists
from sparserec_np.evaluation.lists import rank_everybody, recommend_to_everybody
from sparserec_np.models.table_ranker import TableRanker
from sparserec_np.runtime import Recommender
from sparserec_np.serving.slices import without_seen
from tests.makers.served_models import make_model

MODEL = make_model(item_ids=np.arange(50) * 10, user_ids=np.array([f"user {i:02}" for i in range(30)]))
RANKER = TableRanker(MODEL.users, MODEL.items, MODEL.dim)


@pytest.mark.parametrize("places", [1, 100, 1 << 18])
@pytest.mark.parametrize("n", [3, 45, 1000])
def test_blocks_of_any_size_give_the_lists_of_the_runtime(
    monkeypatch: pytest.MonkeyPatch, places: int, n: int
) -> None:
    monkeypatch.setattr(lists, "BLOCK_PLACES", places)
    for filter_seen in (True, False):
        seen = MODEL.seen if filter_seen else without_seen(MODEL).seen
        found = list(rank_everybody(RANKER, seen, n))
        assert found == list(recommend_to_everybody(Recommender(MODEL.encode()), n, filter_seen))
        assert [user for user, _ in found] == MODEL.user_ids.tolist()
        lengths = {len(some.items) for _, some in found}
        assert max(lengths) <= min(n, 50)
        assert filter_seen or lengths == {min(n, 50)}
