"""Pairs of items, which stand once and speak both ways: scores, parts, rows and files against dense loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sparserec_np import runtime
from sparserec_np.data.table import SparseTable
from sparserec_np.runtime import MARK_POWERS, ArtifactError, Recommender, mark_factors
from sparserec_np.serving.model_file import ServedModel
from sparserec_np.serving.packing import VALUES, pack
from sparserec_np.serving.slices import keep_items, keep_users, without_seen
from tests.fuzz.mutations import with_opinions
from tests.makers.served_models import largest_alone, make_fism_model, make_model, once

ITEMS, SUMMED = 50, 8
LISTS = [[7], [3, 8, 21, 40], list(range(0, 50, 2)), list(range(50))]


def turned(model: ServedModel) -> ServedModel:
    """The model with each pair in the row of the other item."""
    dense = model.items.to_dense(model.dim).copy()
    dense[:, SUMMED:] = dense[:, SUMMED:].T
    return replace(model, items=SparseTable.from_dense(dense, dense != 0))


def parts_by_loops(model: ServedModel, shares: dict[int, float]) -> Any:
    """What each touched item adds to each score: (touched, items) float64."""
    power, weights = float(model.metadata["mark_power"]), model.weights.astype(float)
    dense = model.items.to_dense(model.dim).astype(float)
    rows, pairs = dense[:, :SUMMED], dense[:, SUMMED:]
    touched = sorted(shares)
    kept = (
        largest_alone(
            sum(shares[j] * weights[j] * rows[j] for j in touched), int(model.metadata["row_entries"])
        )
        != 0
    )
    parts = np.zeros((len(touched), ITEMS))
    for place, j in enumerate(touched):
        for i in range(ITEMS):
            mark = shares[j] * max(weights[j], 0) ** power
            parts[place, i] = shares[j] * weights[j] * (rows[j] * kept) @ rows[i]
            parts[place, i] += mark * pairs[i, j] + mark * pairs[j, i]
    return parts


def scores_of(recommender: Recommender, liked: list[int]) -> Any:
    found = recommender.recommend_for_items(liked, ITEMS, filter_seen=False)
    scores = np.zeros(ITEMS)
    scores[found.items] = found.scores
    return scores


@pytest.mark.parametrize("power", MARK_POWERS)
@pytest.mark.parametrize("liked", LISTS, ids=len)
@pytest.mark.parametrize("form", [lambda model: model, once], ids=["any", "once"])
def test_scores_are_those_of_the_loops(power: float, liked: list[int], form: Any) -> None:
    model = form(make_fism_model(4, seed=1, marks=True, mark_power=power))
    expected = parts_by_loops(model, dict.fromkeys(liked, 1.0)).sum(axis=0)
    found = scores_of(Recommender(model.encode()), liked)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_users_and_their_parts_are_those_of_the_loops() -> None:
    model = with_opinions(make_fism_model(4, seed=2, marks=True, recency=0.5), 3)
    recommender = Recommender(model.encode())
    levels = runtime.recency_levels(0.5)
    for user in (0, 2, 7, 29):
        items, ages, weights = recommender.model.touched_by(user)
        shares = dict(zip(items.tolist(), (levels[ages] * weights).astype(float).tolist(), strict=True))
        parts = parts_by_loops(model, shares) if shares else np.zeros((0, ITEMS))
        np.testing.assert_allclose(
            recommender.score_items(user, range(ITEMS)), parts.sum(axis=0), rtol=1e-4, atol=1e-4
        )
        for item in (0, 13, 49):
            found = recommender.explain(user, item, n=None)
            expected = dict(zip(items.tolist(), parts[:, item].tolist(), strict=True))
            assert dict(zip(found.items, found.scores, strict=True)) == pytest.approx(
                expected, rel=1e-4, abs=1e-4
            )


def test_every_product_and_every_sum_is_rounded_in_the_order_of_the_file() -> None:
    """Sums and marks as the row of the item has them, and last the replies, added up by touched item."""
    model = make_fism_model(8, seed=3, marks=True, density=0.6)
    f32 = np.float32
    for dtype in VALUES:
        recommender = Recommender(pack(model, dtype))
        stored, touched = recommender.model, list(range(0, 50, 3))
        row, replies = np.zeros(model.dim, f32), np.zeros(ITEMS, f32)
        for j in touched:
            weight = stored.weights[j]
            root = np.sqrt(np.sqrt(max(weight, f32(0))))
            for column, value in zip(*stored.items.row(j), strict=True):
                if column < SUMMED:
                    row[column] = f32(row[column] + f32(weight * value))
                else:
                    replies[column - SUMMED] = f32(replies[column - SUMMED] + f32(root * value))
            row[SUMMED + j] = root
        expected = []
        for i in range(ITEMS):
            score = f32(0)
            for column, value in zip(*stored.items.row(i), strict=True):
                score = f32(score + f32(row[column] * value))
            expected.append(f32(score + replies[i]))
        assert np.array_equal(scores_of(recommender, touched), expected)


@pytest.mark.parametrize("dtype", VALUES)
def test_who_is_known_gets_the_list_of_who_is_folded_in(dtype: str) -> None:
    model = once(make_fism_model(4, seed=4, marks=True))
    recommender = Recommender(pack(model, dtype))
    for user in range(30):
        items, _, _ = recommender.model.touched_by(user)
        if len(items):
            assert recommender.recommend(user, 50) == recommender.recommend_for_items(items.tolist(), 50)


@pytest.mark.parametrize("dtype", VALUES)
def test_an_export_keeps_the_weights_of_items_whose_pairs_stand_in_other_rows(dtype: str) -> None:
    model = once(make_fism_model(4, seed=5, marks=True))
    assert np.diff(model.items.indptr)[:6].min() == 0
    whole, packed = Recommender(model.encode()), Recommender(pack(model, dtype))
    for item in range(6):
        expected, found = scores_of(whole, [item]), scores_of(packed, [item])
        near = 0.05 * np.abs(expected).max()
        np.testing.assert_allclose(found, expected, atol=near if dtype == "int8" else near / 20)
    assert any(np.any(scores_of(packed, [item])) for item in range(6))


def test_what_is_popular_is_known_of_items_whose_pairs_stand_in_other_rows() -> None:
    model = without_seen(once(make_fism_model(4, seed=5, marks=True)))
    weights = (np.random.default_rng(1).permutation(ITEMS) + 1).astype(np.float32)
    recommender = Recommender(pack(replace(model, weights=weights), "float32"))
    assert recommender.popular_items.tolist() == np.argsort(weights).tolist()


def test_rows_of_users_and_items_have_the_scores_as_products() -> None:
    model = once(make_fism_model(4, seed=6, marks=True))
    recommender = Recommender(model.encode())
    users, items = recommender.user_factors(dense=True), recommender.item_factors(dense=True)
    assert users.shape[1] == items.shape[1] == SUMMED + 2 * ITEMS
    np.testing.assert_array_equal(items[:, -ITEMS:], np.eye(ITEMS))
    np.testing.assert_array_equal(items[:, :-ITEMS], model.items.to_dense(model.dim))
    np.testing.assert_array_equal(recommender.item_factors().toarray(), items)
    np.testing.assert_array_equal(recommender.user_factors().toarray(), users)
    for user in (0, 3, 29):
        scores = recommender.score_items(user, range(ITEMS))
        np.testing.assert_allclose(users[user] @ items.T, scores, rtol=1e-4, atol=1e-4)


def test_users_are_compared_by_all_three_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_fism_model(4, seed=7, marks=True, density=0.05)
    recommender = Recommender(model.encode())
    rows = recommender.user_factors(dense=True).astype(float)
    lengths = np.linalg.norm(rows, axis=1)
    for user in (0, 2, 9):
        names, found = recommender.similar_users(user, 29)
        expected = rows @ rows[user] / np.maximum(lengths * lengths[user], 1e-12)
        assert len(names) == (0 if user == 2 else 27)
        np.testing.assert_allclose(found, expected[names], atol=1e-5)
    lengths_of_items = np.diff(model.items.indptr)
    most = 30 * 4 + len(model.seen_items) + int(lengths_of_items[model.seen_items].sum())
    monkeypatch.setattr(runtime, "MADE_ENTRIES", most - 1)
    with pytest.raises(ArtifactError, match=f"may have {most:,} entries"):
        Recommender(model.encode()).similar_users(3)


@pytest.mark.parametrize("form", [lambda model: model, once], ids=["any", "once"])
def test_items_are_compared_by_their_pairs_whichever_row_these_stand_in(form: Any) -> None:
    model = form(make_fism_model(4, seed=8, marks=True, density=0.15))
    one, other = Recommender(model.encode()), Recommender(turned(model).encode())
    dense = model.items.to_dense(model.dim).astype(float)
    rows = np.hstack([dense[:, :SUMMED], dense[:, SUMMED:] + dense[:, SUMMED:].T])
    entries = np.hstack([dense, dense[:, SUMMED:].T])  # a pair that stands twice is long as two are
    rows /= np.maximum(np.linalg.norm(entries, axis=1), 1e-12)[:, None]
    for item in (0, 3, 20, 49):
        names, found = one.similar_items(item, 49)
        np.testing.assert_allclose(found, (rows @ rows[item])[names], atol=1e-5)
        assert names == other.similar_items(item, 49)[0]


def test_items_without_entries_are_near_to_nothing() -> None:
    model = make_fism_model(4, seed=9, marks=True, density=0.0)
    assert Recommender(model.encode()).similar_items(3, 49).items == []


def test_a_pair_says_the_same_in_either_row() -> None:
    model = make_fism_model(4, seed=10, marks=True)
    one, other = Recommender(model.encode()), Recommender(turned(model).encode())
    for liked in LISTS:
        np.testing.assert_allclose(scores_of(one, liked), scores_of(other, liked), rtol=1e-4, atol=1e-4)


def test_of_some_items_a_pair_stays_if_both_stay() -> None:
    model = once(make_fism_model(4, seed=11, marks=True))
    rows = np.arange(1, 50, 3)
    part = keep_items(model, rows)
    dense = part.items.to_dense(part.dim)
    np.testing.assert_array_equal(
        dense[:, SUMMED:], model.items.to_dense(model.dim)[:, SUMMED:][np.ix_(rows, rows)]
    )
    assert not np.triu(dense[:, SUMMED:]).any()
    expected = scores_of(Recommender(model.encode()), rows[::2].tolist())[rows]
    found = Recommender(part.encode()).recommend_for_items(rows[::2].tolist(), 50, filter_seen=False)
    scores = dict(zip(found.items, found.scores, strict=True))
    assert [scores[row] for row in rows.tolist()] == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-5)


def test_factors_of_marks_are_made_of_rounded_roots() -> None:
    numbers = np.array([-3, -0.0, 0, 1e-45, 1e-7, 0.3, 1, 2, 1e30, 3.4e38], np.float32)
    for power in MARK_POWERS:
        found = mark_factors(numbers, power)
        assert found.dtype == np.float32
        expected = np.maximum(numbers, 0).astype(float) ** power
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("said", [None, "", "0.5", "-0.125", "nan", "1e-1", "a quarter"])
def test_another_power_is_refused(said: str | None) -> None:
    artifact = make_fism_model(4, seed=12, marks=True).encode()
    told = {name: text for name, text in artifact.metadata.items() if name != "mark_power"}
    if said is not None:
        told["mark_power"] = said
    with pytest.raises(ArtifactError) as error:
        Recommender(artifact._replace(metadata=told))
    assert str(error.value) == f"metadata mark_power is {said!r}, expected 0 or 0.125 or 0.25 or 0.375"


def test_zero_may_be_spelt_as_a_whole_number() -> None:
    artifact = make_fism_model(4, seed=13, marks=True, mark_power=0.0).encode()
    whole = artifact._replace(metadata={**artifact.metadata, "mark_power": "0"})
    assert Recommender(whole).recommend(0) == Recommender(artifact).recommend(0)


def test_marks_that_would_overflow_are_refused() -> None:
    model = keep_users(make_fism_model(4, seed=14, marks=True), np.zeros(0, np.intp))
    small = model.items._replace(values=(model.items.values * 1e-18).astype(np.float32))
    weights = np.full(ITEMS, 1e17, np.float32)
    with pytest.raises(ArtifactError, match="or would overflow float32"):
        Recommender(replace(model, items=small, weights=weights).encode())
    assert Recommender(replace(model, items=small).encode()).recommend_for_items([3], 5).items


def test_other_ways_need_no_power() -> None:
    assert Recommender(make_fism_model(4, seed=15).encode()).item_factors().shape == (50, 8)
    assert Recommender(make_model().encode()).item_factors().shape == (50, 8)
