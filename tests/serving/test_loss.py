"""What an export costs: lists made as a device makes them, and compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.models.table_ranker import TableRanker
from sparserec_np.runtime import Recommender
from sparserec_np.serving import loss
from sparserec_np.serving.loss import (
    DeviceRanker,
    can_compare,
    compare_lists,
    compare_metrics,
    overlap,
)
from sparserec_np.serving.model_file import ServedModel, served_from
from sparserec_np.serving.packing import VALUES, pack
from sparserec_np.serving.slices import keep_users, without_seen
from tests.makers.served_models import make_fism_model, make_model, seen_sets

NOBODY = np.zeros(0, dtype=np.intp)


@pytest.mark.parametrize("dtype", VALUES)
def test_a_device_ranks_as_the_compiled_kernel(dtype: str) -> None:
    artifact = pack(make_model(n_users=40, n_items=900, dim=16, density=0.2, seed=5), dtype)
    model, rows = served_from(artifact), np.arange(40)
    items, scores = TableRanker(model.users, model.items, 16).rank(rows, 20, model.seen)
    device = DeviceRanker(Recommender(artifact)).rank(rows, 20, model.seen)
    np.testing.assert_array_equal(items, device[0])
    np.testing.assert_array_equal(scores, device[1])


def test_a_device_without_users_ranks_by_folding_in() -> None:
    model = make_model()
    lonely = replace(
        model,
        seen_indptr=np.array([0, *model.seen_indptr[1:-1].tolist(), model.seen_indptr[-2]]),
        seen_items=model.seen_items[: model.seen_indptr[-2]],
    )
    seen = Interactions(lonely.seen_indptr, lonely.seen_items, lonely.user_ids, lonely.item_ids)
    recommender = Recommender(pack(keep_users(lonely, NOBODY), "int8"))
    items, scores = DeviceRanker(recommender, folds_in=True).rank(np.array([4, 29]), 60, seen)
    found = recommender.recommend_for_items(seen_sets(lonely)[4], 60)
    assert items[0].tolist() == found.items + [-1] * (60 - len(found.items))
    assert scores[0, : len(found.items)].tolist() == found.scores
    assert (items[1] == -1).all() and (scores[1] == -np.inf).all()


def test_overlap_counts_items_not_places() -> None:
    assert overlap(np.array([[1, 2, 3]]), np.array([[3, 1, 2]])) == 1
    assert overlap(np.array([[1, 2], [3, 4]]), np.array([[1, 5], [6, 7]])) == 0.25
    assert overlap(np.array([[-1, -1]]), np.array([[1, 2]])) == 0


def held_out(model: ServedModel) -> Interactions:
    """One item that a user has not seen, for each."""
    unseen = [min(set(range(50)) - seen) for seen in seen_sets(model)]
    return Interactions.from_pairs(
        np.arange(30), np.array(unseen), user_ids=np.arange(30), item_ids=np.arange(50)
    )


def test_metrics_before_and_after_are_those_of_the_two_tables() -> None:
    model = make_model(seed=3)
    artifact, test = pack(model, "int8"), held_out(model)
    report = compare_metrics(model, artifact, test)
    assert report["measured_users"] == 30
    for name, tables in (("metrics_before", model), ("metrics_after", served_from(artifact))):
        ranker = TableRanker(tables.users, tables.items, tables.dim)
        found = evaluate(ranker, test, model.seen)
        assert report[name] == pytest.approx({key: found[key] for key in ("recall@20", "ndcg@20")})
    before, after = report["metrics_before"], report["metrics_after"]
    assert report["lost"] == {name: 1 - after[name] / before[name] for name in before}


def test_of_metrics_that_are_zero_nothing_is_lost() -> None:
    model = make_model(seed=3)
    everything = replace(
        model, seen_indptr=np.arange(31) * 50, seen_items=np.tile(np.arange(50, dtype=np.int32), 30)
    )
    report = compare_metrics(everything, pack(everything, "float32"), held_out(model))
    assert report["lost"] == report["metrics_before"] == {"recall@20": 0.0, "ndcg@20": 0.0}


def test_lists_that_stay_are_counted_over_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(seed=3)
    assert compare_lists(model, pack(model, "float32")) == {"measured_users": 30, "overlap@20": 1.0}
    monkeypatch.setattr(loss, "SAMPLED_USERS", 7)
    assert compare_lists(model, pack(model, "float32")) == {"measured_users": 7, "overlap@20": 1.0}


def test_a_file_without_users_folds_them_in() -> None:
    model = make_model(seed=3)
    artifact = pack(keep_users(model, NOBODY), "float32")
    folded = DeviceRanker(Recommender(artifact), folds_in=True).rank(np.arange(30), 20, model.seen)[0]
    whole = DeviceRanker(Recommender(model.encode())).rank(np.arange(30), 20, model.seen)[0]
    report = compare_lists(model, artifact)
    assert report["overlap@20"] == overlap(whole, folded)
    assert 0 < report["overlap@20"] < 1


def test_without_users_or_what_they_have_seen_nothing_can_be_compared() -> None:
    model = make_model()
    assert can_compare(model)
    assert not can_compare(keep_users(model, NOBODY))
    assert not can_compare(without_seen(model))


def test_what_an_export_of_a_model_without_a_users_table_costs() -> None:
    """Nothing in float32; and nothing without its users, who are made of the same items, but for idle ones."""
    model = make_fism_model(seed=3)
    assert compare_lists(model, pack(model, "float32")) == {"measured_users": 30, "overlap@20": 1.0}
    for part in (keep_users(model, NOBODY), without_seen(model)):
        made = DeviceRanker(Recommender(pack(part, "float32")), folds_in=True)
        known = DeviceRanker(Recommender(model.encode()))
        busy = np.delete(np.arange(30), [2, 5])
        for one, other in zip(*(r.rank(busy, 20, model.seen) for r in (made, known)), strict=True):
            np.testing.assert_array_equal(one, other)
        assert compare_lists(model, pack(part, "float32"))["overlap@20"] == pytest.approx(28 / 30)
    report = compare_metrics(model, pack(model, "int8"), held_out(model))
    assert 0 < report["metrics_after"]["recall@20"] <= 1
