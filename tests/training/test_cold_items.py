"""Items that nobody touched get rows of their attributes: they are found, and the budget holds, whatever the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparserec_np import (
    Config,
    ConfigError,
    DataError,
    Interactions,
    ItemFeatures,
    Recommender,
    SparseRec,
    add_items,
    load_run,
    save_run,
    train,
    train_with_features,
    update,
)
from sparserec_np.data.table import SparseTable
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.training import cold_items
from sparserec_np.training.cold_items import FromAttributes, with_items
from sparserec_np.training.fitted import Fitted
from sparserec_np.training.plan import budget_of
from tests.makers.small import same_bits

GROUPS, USERS, ITEMS = 4, 120, 80
COLD = np.arange(0, ITEMS, 5)


def world() -> Interactions:
    """Users who touch items of their own group, and few others."""
    rng = np.random.default_rng(5)
    users = np.repeat(np.arange(USERS), 14)
    own = rng.random(len(users)) < 0.9
    items = rng.integers(0, ITEMS // GROUPS, len(users)) * GROUPS
    items += np.where(own, users % GROUPS, rng.integers(0, GROUPS, len(users)))
    return Interactions.from_pairs(users, items)


LOG = world()
WARM_PAIRS = ~np.isin(LOG.item_ids[LOG.items], COLD)
WARM = Interactions.from_pairs(LOG.pair_users()[WARM_PAIRS], LOG.item_ids[LOG.items[WARM_PAIRS]])
FEATURES = ItemFeatures.from_pairs(range(ITEMS), [f"group {item % GROUPS}" for item in range(ITEMS)])
# A third of the items have the attribute of another group, so that rows come out short.
VAGUE = ItemFeatures.from_pairs(range(ITEMS), (np.arange(ITEMS) + (np.arange(ITEMS) % 3 == 0)) % GROUPS)
BASE: dict[str, Any] = {"dim": 8, "density": 0.4, "learning_rate": 0.01, "validation": 0.0}
KINDS: dict[str, dict[str, Any]] = {
    "mf": {"model": "mf", "start": "spectral", "epochs": 2},
    "sum": {"model": "fism", "user_rows": "sum", "epochs": 2},
    "ridge": {"model": "fism", "user_rows": "ridge"},
    "neighbours": {"model": "fism", "user_rows": "neighbours", "epochs": 0},
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
_trained: dict[str, Fitted] = {}


def config_of(kind: str, **changes: Any) -> Config:
    return Config(**BASE | KINDS[kind] | changes)


def trained(kind: str) -> Fitted:
    """A model of the known items, made once."""
    if kind not in _trained:
        _trained[kind] = train(WARM, config_of(kind), threads=1)
    return _trained[kind]


def item_rows(fitted: Fitted) -> SparseTable:
    table = fitted.model.served()
    return table.slice_rows(table.rows - fitted.log.n_items, table.rows)


def found_of_own_group(fitted: Fitted) -> float:
    """How many of the untouched items that a user is shown first, of these alone, are of the user's group."""
    users = np.arange(USERS, dtype=np.int32)
    items, scores = fitted.model.ranker().rank(users, fitted.log.n_items, fitted.log)
    ids = np.where(items < 0, -1, fitted.log.item_ids[items])
    cold = np.isin(ids, COLD) & np.isfinite(scores)
    first = [row[some][:4] for row, some in zip(ids, cold, strict=True)]
    return float(np.mean([(row % GROUPS == user % GROUPS).mean() for user, row in enumerate(first)]))


@EVERY_KIND
def test_untouched_items_are_found_by_their_attributes_within_the_budget(kind: str) -> None:
    before = trained(kind)
    after = add_items(before, FEATURES, threads=1)
    assert after.log.item_ids.tolist() == list(range(ITEMS)) and (after.log.item_degrees[COLD] == 0).all()
    assert after.model.table.nnz <= after.budget.nnz == before.budget.nnz
    after.model.table.validate(after.model.dim)
    assert (np.diff(item_rows(after).indptr)[COLD] > 0).all()
    assert found_of_own_group(after) > 0.8
    assert budget_of(after.log, after.config).nnz == before.budget.nnz


@EVERY_KIND
def test_entries_of_known_items_stay_bit_by_bit_or_leave_the_weakest_first(kind: str) -> None:
    before, after = trained(kind), add_items(trained(kind), FEATURES, threads=1)
    rows, width, warm = item_rows(before), before.budget.dim, np.setdiff1d(np.arange(ITEMS), COLD)
    columns = rows.columns.astype(np.int64)
    marks = columns >= width
    columns[marks] = width + warm[columns[marks] - width]  # of an item, which is another column now
    dense = np.zeros((len(warm), after.model.dim), np.float32)
    dense[rows.row_numbers(), columns] = rows.values
    kept = item_rows(after).to_dense(after.model.dim)[warm]
    gone = (kept == 0) & (dense != 0)
    assert (kept[~gone] == dense[~gone]).all()
    floors = np.abs(dense).max(axis=1, keepdims=True)  # which each row keeps
    assert np.abs(dense[gone]).max(initial=0) <= np.abs(kept[(kept != 0) & (np.abs(kept) < floors)]).min()


@EVERY_KIND
def test_the_bits_are_the_same_for_any_threads_and_after_saving(kind: str, tmp_path: Path) -> None:
    one = add_items(trained(kind), FEATURES, threads=1)
    save_run(tmp_path / "before", trained(kind), WARM)
    two = add_items(load_run(tmp_path / "before"), FEATURES, threads=2)
    assert same_bits(one.model.table, two.model.table)
    save_run(tmp_path / "after", one, one.log)
    served, users = Recommender.open(tmp_path / "after"), np.arange(6, dtype=np.int32)
    items, scores = one.model.ranker().rank(users, 5, one.log)
    for user in users.tolist():
        listed = served.recommend(user, 5)
        assert listed.scores == pytest.approx(scores[user], rel=1e-4)
        assert set(listed.items) == set(items[user].tolist()) or len(set(scores[user].round(4))) < 5


@EVERY_KIND
@pytest.mark.parametrize("budget", [{}, {"entries": 150}, {"memory_budget": 4_000}])
def test_training_keeps_room_within_one_budget(kind: str, budget: dict[str, int]) -> None:
    config = config_of(kind, **budget)
    fitted = train_with_features(WARM, FEATURES, config, threads=1)
    granted = METHODS[config.method].spend(budget_of(with_items(WARM, FEATURES), config))
    assert fitted.model.table.nnz <= fitted.budget.nnz == granted.nnz
    fitted.model.table.validate(fitted.model.dim)
    assert (np.diff(item_rows(fitted).indptr)[COLD].sum()) > 0
    assert (fitted.config.entries, fitted.config.memory_budget) == (config.entries, config.memory_budget)
    if "memory_budget" in budget:
        assert fitted.budget.total_bytes + fitted.model.weights.nbytes <= 4_000


def test_with_few_entries_or_many_new_items_known_ones_keep_most() -> None:
    small = train(WARM, config_of("sum", entries=40), threads=1)
    after = add_items(small, FEATURES, threads=1)
    assert after.model.table.nnz <= 40
    assert 0 < np.diff(item_rows(after).indptr)[COLD].sum() <= 40 * len(COLD) / ITEMS + 1
    many = ItemFeatures.from_pairs(range(10 * ITEMS), np.arange(10 * ITEMS) % GROUPS)
    for made in (add_items(small, many, threads=1), train_with_features(WARM, many, small.config, threads=1)):
        known = np.isin(made.log.item_ids, WARM.item_ids)
        assert made.model.table.nnz <= 40 and np.diff(item_rows(made).indptr)[known].sum() >= 30


def test_more_exposure_lists_untouched_items_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_items, "LISTED", 4)
    shares = []
    for exposure in (0.0, 0.5, 1.0, 2.0):
        made = add_items(trained("sum"), VAGUE, FromAttributes(exposure), threads=1)
        lists, _ = made.model.ranker().rank(np.arange(USERS, dtype=np.int32), 4, made.log)
        shares.append(np.isin(lists, COLD).mean())
    assert shares == sorted(shares) and shares[0] < shares[1] < shares[-1]
    assert 0.25 < shares[2] / (len(COLD) / ITEMS) < 1.6  # about as often as known items
    for wrong in ({"exposure": -0.5}, {"exposure": float("inf")}, {"few": -1}):
        with pytest.raises(ConfigError, match="exposure and few must be 0 or more"):
            FromAttributes(**wrong)


def test_exposure_makes_rows_longer_by_one_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_items, "LISTED", 4)
    plain, more = (
        item_rows(add_items(trained("ridge"), VAGUE, FromAttributes(exposure), threads=1))
        for exposure in (0.0, 2.0)
    )
    one, other = (rows.to_dense(8)[COLD] for rows in (plain, more))
    both = (one != 0) & (other != 0)
    factors = other[both] / one[both]
    assert both.any() and factors == pytest.approx(factors[0], rel=1e-5) and factors[0] > 1


def test_items_of_few_users_get_rows_of_attributes_where_that_is_asked_for() -> None:
    few = int(np.sort(WARM.item_degrees)[3])
    made = add_items(trained("sum"), FEATURES, FromAttributes(few=few), threads=1)
    plain = add_items(trained("sum"), FEATURES, threads=1)
    rare = WARM.item_ids[WARM.item_degrees <= few]
    for item in rare.tolist():
        one, other = (item_rows(some).slice_rows(item, item + 1) for some in (made, plain))
        assert not same_bits(one, other)


def test_items_without_attributes_keep_what_few_users_say_of_them() -> None:
    few, least = int(WARM.item_degrees.min()), WARM.item_ids[WARM.item_degrees.argmin()]
    kept = ~np.isin(np.arange(ITEMS), [least, COLD[1]])
    items = np.append(np.arange(ITEMS)[kept], 10 * ITEMS)
    features = ItemFeatures.from_pairs(items, items % GROUPS)
    after = add_items(trained("sum"), features, FromAttributes(few=few), threads=1)
    made, at = item_rows(after), int(np.searchsorted(after.log.item_ids, least))
    assert np.diff(made.indptr)[[at, -1]].min() > 0
    one, other = made.to_dense(8)[at], item_rows(trained("sum")).to_dense(8)[WARM.item_degrees.argmin()]
    assert (one[one != 0] == other[one != 0]).all()


def test_an_update_keeps_them_until_somebody_touches_them_and_makes_them_anew() -> None:
    first = add_items(trained("sum"), FEATURES, threads=1)
    touched = Interactions.from_pairs([0, 4, 8, 12], [0, 0, 20, 20])
    later = update(first, touched, threads=1)
    assert later.model.table.nnz <= first.budget.nnz
    again = add_items(later, FEATURES, threads=1)
    assert again.log.item_degrees[[0, 20, 5]].tolist() == [2, 2, 0]
    assert again.model.table.nnz <= first.budget.nnz and np.diff(item_rows(again).indptr)[5] > 0


def test_an_estimator_takes_a_matrix_in_which_nobody_touched_some_columns() -> None:
    from scipy.sparse import csr_matrix

    users, items = LOG.pair_users()[WARM_PAIRS], LOG.item_ids[LOG.items[WARM_PAIRS]]
    X = csr_matrix((np.ones(len(users)), (users, items)), shape=(USERS, ITEMS))
    groups = csr_matrix(np.eye(GROUPS)[np.arange(ITEMS) % GROUPS])
    settings = BASE | KINDS["mf"]
    model = SparseRec(**settings, threads=1).fit(X, item_features=groups)
    wanted = train_with_features(WARM, groups, Config(**settings), threads=1)
    assert same_bits(model.fitted_.model.table, wanted.model.table)
    ids, _ = model.recommend(np.arange(USERS), n=8)
    cold, own = np.isin(ids, COLD), ids % GROUPS == np.arange(USERS)[:, None] % GROUPS
    assert cold.any() and own[cold].mean() > 0.6


def test_the_numbers_of_known_items_stay_and_new_ones_count_as_the_median() -> None:
    before, after = trained("sum"), add_items(trained("sum"), FEATURES, threads=1)
    old, new = before.model.served_weights, after.model.served_weights
    assert np.array_equal(new[np.setdiff1d(np.arange(ITEMS), COLD)], old)
    assert (new[COLD] == np.median(old)).all()


def test_cosines_and_an_order_of_time_are_no_hindrance() -> None:
    cosines = train(WARM, config_of("mf", similarity="cosine"), threads=1)
    assert found_of_own_group(add_items(cosines, FEATURES, threads=1)) > 0.8
    users, items = WARM.pair_users(), WARM.item_ids[WARM.items]
    timed = Interactions.from_pairs(users, items, np.arange(len(users)))
    later = train(timed, config_of("sum", recency=0.5, epochs=0), threads=1)
    after = add_items(later, FEATURES, threads=1)
    assert after.log.times is not None and found_of_own_group(after) > 0.8


def test_what_cannot_be_solved_for_is_refused() -> None:
    for model in ("lightgcn", "neumf", "popularity"):
        assert BASE_MODELS[model].counted or not BASE_MODELS[model].stored_rows
        with pytest.raises(ConfigError, match=f"the model {model} are not what is multiplied"):
            train_with_features(WARM, FEATURES, Config(model=model))
    others = ItemFeatures.from_pairs([1000, 1001], ["a", "b"])
    with pytest.raises(DataError, match="None of the items that somebody touched has attributes"):
        add_items(trained("sum"), others, threads=1)


def test_one_known_item_with_attributes_is_enough() -> None:
    only = ItemFeatures.from_pairs([1, 0], ["a", "a"])
    made = add_items(trained("sum"), only, threads=1)
    rows = item_rows(made)
    one, other = (rows.slice_rows(item, item + 1).to_dense(8)[0] for item in (0, 1))
    shared = (one != 0) & (other != 0)
    assert shared.any() and (np.sign(one[shared]) == np.sign(other[shared])).all()


def test_a_method_that_stores_all_entries_stores_those_of_new_items() -> None:
    dense = replace(config_of("mf"), method="dense", density=1.0)
    made = train_with_features(WARM, FEATURES, dense, threads=1)
    assert made.model.table.nnz <= made.budget.nnz == (USERS + ITEMS) * 8
