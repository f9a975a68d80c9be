"""Full ranking evaluation: against loops, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.matrices import matrix_of_ones
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.evaluation.evaluate import evaluate, evaluate_accuracy, evaluate_users
from sparserec_np.evaluation.measuring import measure
from sparserec_np.evaluation.metrics import per_user
from sparserec_np.models.table_ranker import TableRanker
from tests.makers import oracles

USERS, ITEMS, DIM = 12, 90, 5


def some_interactions(seed: int, part: float, users: range = range(USERS)) -> Interactions:
    rng = np.random.default_rng(seed)
    pairs = [(u, i) for u in users for i in range(ITEMS) if rng.random() < part]
    u, i = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Interactions.from_pairs(u, i, user_ids=np.arange(USERS), item_ids=np.arange(ITEMS))


@pytest.fixture
def ranker() -> TableRanker:
    rng = np.random.default_rng(0)
    users, items = (
        SparseTable.from_dense(rng.integers(-3, 4, (rows, DIM)).astype(np.float32)) for rows in (USERS, ITEMS)
    )
    return TableRanker(users, items, DIM)


def items_of(log: Interactions, user: int) -> set[int]:
    return set(log.items[log.indptr[user] : log.indptr[user + 1]].tolist())


@pytest.mark.parametrize("block", [1, 5, 1000])
def test_every_number_is_that_of_the_loops(ranker: TableRanker, block: int) -> None:
    """Test users 2 to 9 only; some of their test items are in training as well."""
    seen, test = some_interactions(1, 0.3), some_interactions(2, 0.1, range(2, 10))
    ks = (1, 7, 40, 200)
    result = evaluate(ranker, test, seen, ks, block)
    tested = [u for u in range(USERS) if items_of(test, u)]
    users, items = ranker.users.to_dense(DIM), ranker.items.to_dense(DIM)
    tops = [[item for item, _ in oracles.rank(users[u], items, items_of(seen, u), 200)] for u in tested]
    assert result.pop("users") == len(tested) < USERS
    for k in ks:
        for name, oracle in {
            "recall": oracles.recall,
            "ndcg": oracles.ndcg,
            "precision": oracles.precision,
            "map": oracles.average_precision,
            "mrr": oracles.reciprocal_rank,
            "hit_rate": oracles.hit_rate,
        }.items():
            values = [oracle(top, items_of(test, u), k) for top, u in zip(tops, tested, strict=True)]
            assert result.pop(f"{name}@{k}") == pytest.approx(sum(values) / len(values), rel=1e-12)
        assert result.pop(f"coverage@{k}") == oracles.coverage(tops, ITEMS, k)
        assert result.pop(f"gini@{k}") == pytest.approx(oracles.gini(tops, ITEMS, k))
        degrees = seen.item_degrees.tolist()
        users_with_items = sum(bool(items_of(seen, u)) for u in range(USERS))
        for name, values in {
            "novelty": [oracles.novelty(top, degrees, users_with_items, k) for top in tops],
            "mean_popularity": [oracles.mean_popularity(top, degrees, k) for top in tops],
            "intra_list_similarity": [oracles.similarity(top, items, k) for top in tops],
        }.items():
            mean = pytest.approx(sum(values) / len(values), rel=1e-6, nan_ok=True)
            assert result.pop(f"{name}@{k}") == mean
    assert not result


def test_figures_of_users_have_the_means_of_evaluate(ranker: TableRanker) -> None:
    seen, test = some_interactions(1, 0.3), some_interactions(2, 0.1, range(2, 10))
    values = evaluate_users(ranker, test, seen, (1, 7))
    whole = evaluate(ranker, test, seen, (1, 7))
    assert values.summary == pytest.approx(whole, rel=1e-12, nan_ok=True)
    assert list(values.summary) == list(whole)
    for place, user in enumerate(values.user_ids.tolist()):
        alone = evaluate(ranker, test.subset(test.pair_users() == user), seen, (1, 7))
        assert {name: theirs[place] for name, theirs in values.values.items()} == pytest.approx(
            {name: alone[name] for name in values.values}, nan_ok=True
        )


def test_other_conventions_are_taken(ranker: TableRanker) -> None:
    seen, test = some_interactions(1, 0.3), some_interactions(2, 0.4, range(2, 10))
    usual, other = (
        evaluate(ranker, test, seen, (3,), metrics=per_user(recall_of=word))
        for word in ("relevant", "reachable")
    )
    assert other["recall@3"] == other["precision@3"] > usual["recall@3"]  # all have more than 3
    assert {**other, "recall@3": 0} == {**usual, "recall@3": 0}


def test_what_has_no_rows_of_items_has_no_similarity(ranker: TableRanker) -> None:
    class Bare:
        rank = ranker.rank

    seen, test = some_interactions(1, 0.3), some_interactions(2, 0.1)
    whole = evaluate(ranker, test, seen)
    assert whole.pop("intra_list_similarity@20") > -1
    assert evaluate(Bare(), test, seen) == whole


def test_training_measures_accuracy_alone(ranker: TableRanker) -> None:
    seen, test = some_interactions(1, 0.3), some_interactions(2, 0.1)
    whole, quick = evaluate(ranker, test, seen), evaluate_accuracy(ranker, test, seen)
    assert quick == measure(ranker, test, seen) == {name: whole[name] for name in quick}
    assert len(whole) == len(quick) + 4
    for ask in (evaluate_accuracy, evaluate_users):
        with pytest.warns(UserWarning, match="so no list can hit any"):
            ask(ranker, test, test)


def test_numbers_are_plain(ranker: TableRanker) -> None:
    result = evaluate(ranker, some_interactions(2, 0.1), some_interactions(1, 0.3))
    assert {type(value) for name, value in result.items() if name != "users"} == {float}
    assert type(result["users"]) is int


def test_seen_test_items_cannot_be_hit_and_still_count(ranker: TableRanker) -> None:
    test = some_interactions(2, 0.1)
    with pytest.warns(UserWarning, match="so no list can hit any"):
        assert evaluate(ranker, test, test, (ITEMS,))[f"recall@{ITEMS}"] == 0.0
    assert measure(ranker, test, test, (ITEMS,))[f"recall@{ITEMS}"] == 0.0
    nothing = test.subset(np.zeros(test.n_interactions, dtype=bool))
    assert evaluate(ranker, test, nothing, (ITEMS,))[f"recall@{ITEMS}"] == 1.0


def test_read_only_tables_are_ranked(ranker: TableRanker) -> None:
    for array in (*ranker.users, *ranker.items):
        array.setflags(write=False)
    assert evaluate(ranker, some_interactions(2, 0.1), some_interactions(1, 0.3))["users"] > 0


@pytest.mark.parametrize(("ks", "block"), [((), 10), ((5, 0), 10), ((5,), 0)])
def test_sizes_below_one_are_refused(ranker: TableRanker, ks: tuple[int, ...], block: int) -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        evaluate(ranker, some_interactions(2, 0.1), some_interactions(1, 0.3), ks, block)


def test_an_empty_test_part_is_refused(ranker: TableRanker) -> None:
    test = some_interactions(2, 0.1)
    with pytest.raises(DataError, match="No user has test items"):
        evaluate(ranker, test.subset(np.zeros(test.n_interactions, dtype=bool)), test)


def test_other_users_or_items_are_refused(ranker: TableRanker) -> None:
    with pytest.raises(DataError, match="aligned_to"):
        evaluate(ranker, Interactions.from_pairs([0], [0]), some_interactions(1, 0.3))


def test_users_of_other_names_are_refused(ranker: TableRanker) -> None:
    seen = some_interactions(1, 0.3)
    with pytest.raises(DataError, match="their user_ids differ"):
        evaluate(ranker, replace(seen, user_ids=seen.user_ids + 1), seen)
    with pytest.raises(DataError, match="their item_ids differ"):
        evaluate(ranker, replace(seen, item_ids=seen.item_ids + 1), seen)


def test_pairs_are_brought_to_the_users_and_items_that_are_known(ranker: TableRanker) -> None:
    seen, test = some_interactions(1, 0.3), some_interactions(2, 0.1, range(2, 10))
    pairs = [*zip(test.pair_users().tolist(), test.items.tolist(), strict=True), (99, 3), (3, 999)]
    assert evaluate(ranker, pairs, seen) == evaluate(ranker, test, seen)
    assert evaluate(ranker, matrix_of_ones(test), matrix_of_ones(seen)) == evaluate(ranker, test, seen)
    with pytest.raises(DataError, match="table of another shape"):
        evaluate(ranker, matrix_of_ones(test)[:5], seen)


def test_what_has_a_ranker_is_evaluated_by_it(ranker: TableRanker) -> None:
    class Model:
        def ranker(self) -> TableRanker:
            return ranker

    class Fitted:
        model = Model()

    class Estimator:
        fitted_ = Fitted()

    test, seen = some_interactions(2, 0.1), some_interactions(1, 0.3)
    for model in (Model(), Fitted(), Estimator()):
        assert evaluate(model, test, seen) == evaluate(ranker, test, seen)
    with pytest.raises(ConfigError, match="Expected a model that ranks, found str"):
        evaluate("run", test, seen)
