"""FISM against dense loops in float64: scores without the own item, gradients of every entry, lists."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.recency import Touched
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.batches import Batch, Negatives, OnePerPair, PairSampler, SharedBlock
from sparserec_np.learning.losses import LOSSES, Scores
from sparserec_np.machine.threads import kernel_threads
from sparserec_np.models.fism import Fism
from sparserec_np.models.fism_ways import fism
from sparserec_np.models.model import Decay, Gradients
from sparserec_np.runtime import ROW_ENTRIES, Recommender
from sparserec_np.sparsity.topology import TopologyUpdate
from sparserec_np.training.fitted import Fitted
from sparserec_np.training.run_directory import load_run, save_run
from sparserec_np.training.saving import served_model
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train
from tests.makers import oracles
from tests.makers.small import Array, needs_compiler, random_table, same_bits, small_log

LOG = small_log(12, 9, 40)
LOG = replace(LOG, times=np.random.default_rng(5).permutation(LOG.n_interactions))
DIM = 5
RECENCY = 0.75
NOBODY = Decay(0, 0, 0, np.empty(0))
FORMS = pytest.mark.parametrize(
    ("loss", "negatives"),
    [("bpr", OnePerPair()), ("bce", OnePerPair()), ("bpr", SharedBlock(4)), ("softmax", SharedBlock(4))],
)


def touched_by(user: int) -> list[int]:
    return [int(i) for i in LOG.items[LOG.indptr[user] : LOG.indptr[user + 1]]]


def share(user: int, item: int) -> float:
    """How much the touching of an item counts, by the number of the user's later ones."""
    times = dict(zip(touched_by(user), LOG.times[LOG.indptr[user] : LOG.indptr[user + 1]], strict=True))
    place = 1 + sum(time > times[item] for time in times.values())
    return float(np.float32(float(place) ** -RECENCY))


def score(dense: Array, numbers: Array, user: int, item: int, without: bool) -> float:
    """The sum over what the user touched, written out; without the item itself where that is asked for."""
    total = 0.0
    for j in touched_by(user):
        if not (without and j == item):
            total += share(user, j) * numbers[j] * oracles.inner(dense[j], dense[item])
    return total


def cost(dense: Array, numbers: Array, batch: Batch, loss: str) -> float:
    """The batch's loss."""
    total = 0.0
    for m, (user, row) in enumerate(zip(batch.user_of.tolist(), batch.positives.tolist(), strict=True)):
        others = batch.negatives if batch.shared else batch.negatives[m : m + 1]
        items = [int(j) - LOG.n_users for j in others]
        counted = [
            score(dense, numbers, user, j, False)
            for j in items
            if not (batch.shared and j in touched_by(user))
        ]
        positive = score(dense, numbers, user, row - LOG.n_users, True)
        total += oracles.LOSSES[loss]([positive], [counted], **dict(LOSSES[loss].settings))
    return total


def a_model(seed: int = 0, full: bool = False) -> Fism:
    rng = np.random.default_rng(seed)
    table = random_table(rng, LOG.n_items, DIM, 20, np.float64)
    model = Fism(SparseTable.full(table.to_dense(DIM)) if full else table, DIM, Touched(LOG, RECENCY))
    model.weights[:] = 1 + 0.3 * rng.standard_normal(LOG.n_items)
    return model


def differentiate(model: Fism, batch: Batch, loss: str, rows: Array) -> tuple[float, Gradients]:
    slots = Explored.of(rows, LOG.n_items, DIM, np.float64)
    found = Gradients(np.zeros(model.table.nnz), slots, np.zeros(LOG.n_items))
    scores = model.forward(batch)
    total = float(LOSSES[loss].slopes(batch, scores).sum())
    model.backward(batch, scores, NOBODY, found)
    return total, found


@FORMS
def test_every_gradient_is_that_of_the_loss_written_out(loss: str, negatives: Negatives) -> None:
    model = a_model()
    batch = next(PairSampler(LOG, 25, negatives).epoch(np.random.default_rng(1)))
    every = np.arange(LOG.n_items, dtype=np.int32)
    total, found = differentiate(model, batch, loss, every)
    dense, base = model.table.to_dense(DIM), model.base.copy()
    numbers = model.weights * base

    def by_entries(at: Array) -> float:
        return cost(at.reshape(dense.shape), numbers, batch, loss)

    def by_weights(at: Array) -> float:
        return cost(dense, at * base, batch, loss)

    assert total == pytest.approx(by_entries(dense.ravel()), rel=1e-12)
    expected = oracles.central_differences(by_entries, dense.ravel()).reshape(dense.shape)
    stored = model.table.row_numbers(), model.table.columns
    np.testing.assert_allclose(found.active, expected[stored], atol=1e-7)
    inactive = np.ones(dense.shape, dtype=bool)
    inactive[stored] = False
    np.testing.assert_allclose(found.explored.sums[inactive], expected[inactive], atol=1e-7)
    weights = oracles.central_differences(by_weights, model.weights.copy())
    np.testing.assert_allclose(found.weights, weights, atol=1e-7)


@FORMS
def test_explored_rows_are_those_that_are_asked_for(loss: str, negatives: Negatives) -> None:
    batch = next(PairSampler(LOG, 25, negatives).epoch(np.random.default_rng(2)))
    some = np.array([7, 2], dtype=np.int32)
    _, few = differentiate(a_model(), batch, loss, some)
    _, all_of_them = differentiate(a_model(), batch, loss, np.arange(LOG.n_items, dtype=np.int32))
    np.testing.assert_allclose(few.explored.sums, all_of_them.explored.sums[some], rtol=1e-12)
    np.testing.assert_array_equal(few.active, all_of_them.active)


def test_l2_terms_are_of_the_items_that_pairs_read() -> None:
    for form in (OnePerPair(), SharedBlock(4)):
        model = a_model()
        batch = next(PairSampler(LOG, 25, form).epoch(np.random.default_rng(3)))
        origin = np.random.default_rng(4).standard_normal(model.table.nnz)
        scores = model.forward(batch)
        nothing = Explored.of(batch.positives[:0], LOG.n_items, DIM, np.float64)
        found = Gradients(np.zeros(model.table.nnz), nothing, np.zeros(9))
        for part in (scores.positives, scores.negatives):
            part[:] = 0
        model.backward(batch, scores, Decay(0, 0.3, 0.2, origin), found)
        expected = np.zeros(model.table.nnz)
        share = 0.2 * batch.size / len(batch.negatives) if batch.shared else 0.2
        for weight, rows in ((0.3, batch.positives), (share, batch.negatives)):
            for row in rows - LOG.n_users:
                own = slice(model.table.indptr[row], model.table.indptr[row + 1])
                expected[own] += weight * (model.table.values[own] - origin[own])
        np.testing.assert_allclose(found.active, expected, rtol=1e-12)


def test_touched_rows_are_all_that_get_a_gradient_and_none_twice() -> None:
    model = a_model(full=True)
    batch = next(PairSampler(LOG, 3, SharedBlock(2)).epoch(np.random.default_rng(5)))
    touched = model.touched(batch)
    assert len(set(touched.tolist())) == len(touched)
    _, found = differentiate(model, batch, "bpr", touched[:0])
    rows = np.flatnonzero(np.abs(found.active.reshape(LOG.n_items, DIM)).sum(axis=1))
    assert set(rows.tolist()) <= set(touched.tolist())


def test_the_mean_score_of_pairs_leaves_their_own_items_out() -> None:
    model = a_model()
    dense, numbers = model.table.to_dense(DIM), model.served_weights
    pairs = zip(LOG.pair_users().tolist(), LOG.items.tolist(), strict=True)
    expected = np.mean([score(dense, numbers, user, item, True) for user, item in pairs])
    assert model.mean_product() == pytest.approx(expected, rel=1e-12)


def test_lists_are_those_of_the_scores_written_out() -> None:
    model = a_model()
    dense, numbers = model.table.to_dense(DIM), model.served_weights
    users = np.array([3, 0, 11])
    items, scores = model.ranker().rank(users, 4, LOG)
    for user, listed, reached in zip(users.tolist(), items, scores, strict=True):
        row = sum((share(user, j) * numbers[j] * dense[j] for j in touched_by(user)), np.zeros(DIM))
        expected = oracles.rank(row, dense, set(touched_by(user)), 4)
        assert [int(item) for item in listed if item >= 0] == [item for item, _ in expected]
        np.testing.assert_allclose(reached[: len(expected)], [value for _, value in expected])


@pytest.mark.parametrize("settings", [{}, {"user_rows": "ridge", "untouched_weight": 0.2, "ridge": 1.0}])
def test_what_is_learned_from_is_what_lists_are_made_from(settings: dict[str, Any]) -> None:
    items, log = random_table(np.random.default_rng(2), 150, 90, 2000), small_log(300, 150, 6000)
    model = fism(items, 90, log, **settings)
    table, users = model.factors(), log.n_users
    table.validate(90)
    assert table.rows == users + 150 and np.diff(table.indptr)[:users].max() == ROW_ENTRIES
    scores = table.to_dense(90)[:users] @ table.to_dense(90)[users:].T
    some = np.array([0, 299, 255, 256], dtype=np.int32)
    items, reached = model.ranker().rank(some, 5, log)
    for user, listed, values in zip(some, items, reached, strict=True):
        np.testing.assert_allclose(scores[user, listed], values, rtol=1e-5)


# ---- trained

LARGER = small_log(80, 60, 1500)
TINY = Config(
    model="fism",
    dim=24,
    density=0.2,
    epochs=4,
    batch_size=200,
    negatives=16,
    evaluate_every=1,
    learning_rate=0.01,
)


def fit(threads: int = 1, **changes: Any) -> Fitted:
    return train(LARGER, Config.from_dict({**TINY.to_dict(), **changes}), threads=threads)


@pytest.mark.parametrize(
    "method", ["sparserec", "rigl", "set", "static", "magnitude", "dense-small", "dense"]
)
@pytest.mark.parametrize("start", ["spectral", "uniform"])
def test_the_budget_is_of_items_alone_and_holds(method: str, start: str) -> None:
    fitted = fit(method=method, start=start)
    table = fitted.model.table
    table.validate(fitted.model.dim)
    assert table.rows == LARGER.n_items and table.nnz == fitted.budget.nnz
    assert all(record["nnz"] == table.nnz for record in fitted.history[-1:])
    assert np.isfinite(fitted.model.weights).all()


def test_a_budget_of_bytes_counts_the_numbers() -> None:
    fitted = fit(memory_budget=6_000)
    served = fitted.budget.total_bytes + fitted.model.weights.nbytes
    assert 5_900 < served <= 6_000
    with pytest.raises(ConfigError, match="A memory budget of 300 B is impossible: .* B of weights before"):
        fit(memory_budget=300)


@pytest.mark.parametrize("changes", [{}, {"loss": "bpr", "negatives": 1}, {"importance": "gradient"}])
def test_threads_change_no_bit(changes: dict[str, Any]) -> None:
    one, two = (fit(threads, **changes) for threads in (1, 2))
    assert same_bits(one.model.table, two.model.table)
    np.testing.assert_array_equal(one.model.weights, two.model.weights)


@settings(max_examples=15, deadline=None)  # the first call may compile
@given(
    method=st.sampled_from(["sparserec", "rigl", "set"]),
    loss=st.sampled_from([("softmax", 8), ("bpr", 8), ("bpr", 1), ("bce", 1)]),
    dim=st.sampled_from([1, 3, 24, 300]),  # of one byte a column and of two
    part=st.floats(0.01, 0.9),
    floor=st.integers(0, 3),
    explore=st.floats(0.01, 1.0),
    fraction=st.floats(0.05, 0.9),
    seed=st.integers(0, 1000),
)
def test_any_training_keeps_its_budget_at_every_update_and_its_bits_on_any_threads(
    method: str, loss: tuple[str, int], dim: int, part: float, **given: Any
) -> None:
    entries = max(1, round(part * dim * LOG.n_items))
    seed, floor, explore, fraction = (given[name] for name in ("seed", "floor", "explore", "fraction"))
    config = Config(
        model="fism", dim=dim, entries=entries, method=method, loss=loss[0], negatives=loss[1], epochs=3,
        batch_size=11, learning_rate=0.01, validation=0.0, start="uniform", seed=seed, floor=floor,
        explore=explore, drop_fraction=fraction, drop_until=1.0,
    )  # fmt: skip
    seen, plain = [], TopologyUpdate.__call__

    def watched(self: TopologyUpdate, table: SparseTable, *others: Any) -> int:
        changed = plain(self, table, *others)
        table.validate(dim)
        seen.append((table.rows, table.nnz))
        return changed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TopologyUpdate, "__call__", watched)
        one, two, many = (train(LOG, config, threads=threads) for threads in (1, 2, 5))
    assert len(seen) >= 3 and set(seen) == {(LOG.n_items, entries)}
    assert one.budget.nnz == one.model.table.nnz == entries
    for other in (two, many):
        assert same_bits(one.model.table, other.model.table)
        assert one.model.weights.tobytes() == other.model.weights.tobytes()


@needs_compiler
def test_training_without_the_own_item_adds_to_a_random_start() -> None:
    fitted = fit(start="uniform", epochs=20, refit=False, learning_rate=0.03)
    reached = [record["ndcg@20"] for record in fitted.history]
    assert max(reached) > 2 * reached[0]


@pytest.mark.parametrize("changes", [{}, {"start": "neighbours", "epochs": 0}])
@pytest.mark.parametrize("recency", [None, 0.75])
def test_a_saved_run_lists_what_was_trained(
    recency: float | None, changes: dict[str, Any], tmp_path: Any
) -> None:
    times = np.random.default_rng(6).permutation(1500)[: LARGER.n_interactions]
    log = replace(LARGER, times=times) if recency else LARGER
    config = Config.from_dict({**TINY.to_dict(), "recency": recency, **changes})
    fitted = train(log, config, threads=1)
    save_run(tmp_path / "run", fitted, log)
    loaded = load_run(tmp_path / "run")
    assert same_bits(loaded.model.table, fitted.model.table)
    np.testing.assert_array_equal(loaded.model.served_weights, fitted.model.served_weights)
    users = np.arange(LARGER.n_users)
    ours, theirs = (some.model.ranker().rank(users, 10, LARGER) for some in (fitted, loaded))
    np.testing.assert_array_equal(ours[0], theirs[0])
    recommender = Recommender(served_model(fitted, log).encode())
    for user in (0, 7, 79):
        served = recommender.recommend(user, 10)
        assert served.items == ours[0][user].tolist()
        assert served.scores == ours[1][user].tolist()
        own = log.items[log.indptr[user] : log.indptr[user + 1]]
        if recency:
            own = own[np.argsort(log.times[log.indptr[user] : log.indptr[user + 1]])]
            assert recommender.recommend_for_items(own[::-1], 10) != served
        assert recommender.recommend_for_items(own, 10) == served


def test_a_user_without_items_gets_the_first_items_and_no_score() -> None:
    log = Interactions.from_pairs([0, 0, 1], [0, 1, 1], user_ids=[2], item_ids=[2])
    with kernel_threads(1):
        model = Fism(SparseTable.full(np.eye(3, dtype=np.float32)), 3, Touched(log))
        items, scores = model.ranker().rank(np.array([2]), 2, log)
        assert items.tolist() == [[0, 1]] and scores.tolist() == [[0, 0]]
        assert 0 <= evaluate(model.ranker(), log, log.subset(np.zeros(3, bool)))["recall@20"] <= 1


# ---- users who are solved for


def solved(threads: int = 1, **changes: Any) -> Fitted:
    return fit(threads, **{"user_rows": "ridge", "start": None, **changes})


def test_rows_that_are_solved_for_keep_the_start() -> None:
    fitted = solved()
    assert [(record["epoch"], record["phase"]) for record in fitted.history] == [
        (0, "search"),
        (0, "search"),
        (0, "refit"),
    ]
    assert {record["start"] for record in fitted.history} == {"als", "condensed"}
    assert (fitted.best_epoch, fitted.config.epochs, fitted.config.user_rows) == (0, 0, "ridge")
    assert fitted.model.table.nnz == fitted.budget.nnz and not len(fitted.model.weights)


@pytest.mark.parametrize("start", ["als", "condensed", "spectral"])
def test_threads_change_no_bit_of_a_start_that_is_solved_for(start: str) -> None:
    one, two = (solved(threads, start=start) for threads in (1, 2))
    assert same_bits(one.model.table, two.model.table)


def test_a_budget_of_bytes_has_no_numbers_to_count() -> None:
    assert 5_900 < solved(memory_budget=6_000).budget.total_bytes <= 6_000


@pytest.mark.parametrize("dim", [24, 100])
def test_served_lists_are_those_that_were_evaluated_for_known_and_new_users(tmp_path: Any, dim: int) -> None:
    fitted = solved(dim=dim, start="als", untouched_weight=0.1, ridge=2)
    save_run(tmp_path / "run", fitted, LARGER)
    loaded = load_run(tmp_path / "run")
    assert same_bits(loaded.model.table, fitted.model.table)
    users = np.arange(LARGER.n_users)
    ours, theirs = (some.model.ranker().rank(users, 10, LARGER) for some in (fitted, loaded))
    np.testing.assert_array_equal(ours[0], theirs[0])
    recommender = Recommender.open(tmp_path / "run")
    for user in users.tolist():
        served = recommender.recommend(user, 10)
        assert served.items == ours[0][user].tolist()
        assert served.scores == ours[1][user].tolist()
        own = LARGER.items[LARGER.indptr[user] : LARGER.indptr[user + 1]].tolist()
        assert recommender.recommend_for_items(own[::-1], 10) == served


def test_lists_that_are_solved_for_are_those_of_dense_algebra() -> None:
    fitted = solved(untouched_weight=0.3, ridge=0.5)
    dense = fitted.model.table.to_dense(fitted.model.dim).astype(np.float64)
    shared = 0.3 * dense.T @ dense + 0.5 * np.square(dense).sum() / len(dense) * np.eye(dense.shape[1])
    users = np.arange(LARGER.n_users)
    items, scores = fitted.model.ranker().rank(users, 5, LARGER)
    for user in users.tolist():
        touched = LARGER.items[LARGER.indptr[user] : LARGER.indptr[user + 1]]
        own = dense[touched]
        kept = np.flatnonzero(own.any(axis=0))
        row = np.zeros(dense.shape[1])
        row[kept] = np.linalg.solve((shared + own.T @ own)[np.ix_(kept, kept)], own.sum(axis=0)[kept])
        all_scores = dense @ row
        np.testing.assert_allclose(scores[user], all_scores[items[user]], rtol=1e-4, atol=1e-6)
        all_scores[touched] = -np.inf
        np.testing.assert_allclose(scores[user], np.sort(all_scores)[::-1][:5], rtol=1e-4, atol=1e-6)


def test_a_model_that_is_solved_for_has_no_gradient() -> None:
    model = solved(start="als").model
    batch = next(PairSampler(LARGER, 25, OnePerPair()).epoch(np.random.default_rng(1)))
    none = Gradients(np.empty(0), Explored.of(batch.positives[:0], LARGER.n_items, DIM))
    scores = Scores(np.empty(0), np.empty(0), np.empty(0))
    for call in (
        lambda: model.touched(batch),
        lambda: model.forward(batch),
        lambda: model.backward(batch, scores, NOBODY, none),
    ):
        with pytest.raises(ConfigError, match="set epochs to 0"):
            call()
    assert model.mean_product() == 0 and model.workspace_bytes == 8 * 24**2
