"""FISM with neighbours: scores and gradients against dense loops, sizes of both parts, bits on any threads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sparserec_np.data.recency import Touched
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.batches import Batch, Negatives, OnePerPair, PairSampler, SharedBlock
from sparserec_np.learning.losses import LOSSES
from sparserec_np.models.fism_neighbours import FismWithNeighbours
from sparserec_np.models.model import Decay, Gradients
from sparserec_np.runtime import MARK_POWERS, recency_levels
from sparserec_np.training.fitted import Fitted
from sparserec_np.training.run_directory import load_run, save_run
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train
from tests.makers import oracles
from tests.makers.small import Array, random_table, same_bits, small_log

LOG = small_log(12, 9, 40)
LOG = replace(LOG, times=np.random.default_rng(5).permutation(LOG.n_interactions))
SUMMED = 5
DIM = SUMMED + LOG.n_items
NOBODY = Decay(0, 0, 0, np.empty(0))
TOUCHED = Touched(LOG, 0.75)
SHARES = recency_levels(0.75)[TOUCHED.ages].astype(float)
FORMS = pytest.mark.parametrize(
    ("loss", "negatives"),
    [("bpr", OnePerPair()), ("bce", OnePerPair()), ("bpr", SharedBlock(4)), ("softmax", SharedBlock(4))],
)


def a_model(seed: int = 0, power: float = 0.375) -> FismWithNeighbours:
    rng = np.random.default_rng(seed)
    dense = random_table(rng, LOG.n_items, DIM, 70, np.float64).to_dense(DIM)
    dense[np.arange(LOG.n_items), SUMMED + np.arange(LOG.n_items)] = 0  # no item says anything of itself
    model = FismWithNeighbours(SparseTable.from_dense(dense), DIM, TOUCHED, power)
    model.weights[:] = 1 + 0.3 * rng.standard_normal(LOG.n_items)
    model.weights[2] = -0.4
    return model


def score(dense: Array, numbers: Array, user: int, item: int, without: bool, power: float = 0.375) -> float:
    total = 0.0
    for place in range(LOG.indptr[user], LOG.indptr[user + 1]):
        j = LOG.items[place]
        if not (without and j == item):
            total += SHARES[place] * numbers[j] * oracles.inner(dense[j, :SUMMED], dense[item, :SUMMED])
            mark = SHARES[place] * max(numbers[j], 0) ** power
            total += mark * (dense[item, SUMMED + j] + dense[j, SUMMED + item])
    return total


def cost(dense: Array, numbers: Array, batch: Batch, loss: str) -> float:
    total = 0.0
    for m, (user, row) in enumerate(zip(batch.user_of.tolist(), batch.positives.tolist(), strict=True)):
        own = set(LOG.items[LOG.indptr[user] : LOG.indptr[user + 1]].tolist())
        others = batch.negatives if batch.shared else batch.negatives[m : m + 1]
        items = [int(j) - LOG.n_users for j in others]
        counted = [score(dense, numbers, user, j, False) for j in items if not (batch.shared and j in own)]
        positive = score(dense, numbers, user, row - LOG.n_users, True)
        total += oracles.LOSSES[loss]([positive], [counted], **dict(LOSSES[loss].settings))
    return total


@FORMS
def test_gradients_of_rows_and_pairs_are_those_of_the_loss(loss: str, negatives: Negatives) -> None:
    model = a_model()
    batch = next(PairSampler(LOG, 25, negatives).epoch(np.random.default_rng(1)))
    nothing = Explored.of(batch.positives[:0], LOG.n_items, DIM, np.float64)
    found = Gradients(np.zeros(model.table.nnz), nothing, np.zeros(LOG.n_items))
    scores = model.forward(batch)
    total = float(LOSSES[loss].slopes(batch, scores).sum())
    model.backward(batch, scores, NOBODY, found)
    dense, base = model.table.to_dense(DIM), 1 / np.maximum(LOG.item_degrees, 1)
    numbers = model.weights * base

    def by_entries(at: Array) -> float:
        return cost(at.reshape(dense.shape), numbers, batch, loss)

    assert total == pytest.approx(by_entries(dense.ravel()), rel=1e-6)  # shares are float32 there
    expected = oracles.central_differences(by_entries, dense.ravel()).reshape(dense.shape)
    stored = model.table.row_numbers(), model.table.columns
    np.testing.assert_allclose(found.active, expected[stored], atol=1e-6)
    assert np.abs(expected[stored][model.table.columns >= SUMMED]).max() > 0.01
    weights = oracles.central_differences(
        lambda at: cost(dense, at * base, batch, loss), model.weights.copy()
    )
    np.testing.assert_allclose(found.weights, weights, atol=1e-6)


def test_a_number_of_0_has_a_gradient_where_marks_all_count_alike() -> None:
    model = a_model(power=0.0)
    model.weights[3] = 0
    batch = next(PairSampler(LOG, 25, SharedBlock(4)).epoch(np.random.default_rng(1)))
    nothing = Explored.of(batch.positives[:0], LOG.n_items, DIM, np.float64)
    found = Gradients(np.zeros(model.table.nnz), nothing, np.zeros(LOG.n_items))
    scores = model.forward(batch)
    LOSSES["softmax"].slopes(batch, scores)
    model.backward(batch, scores, NOBODY, found)
    assert np.isfinite(found.weights).all() and np.isfinite(found.active).all()


def test_l2_terms_draw_rows_to_their_origin_and_pairs_nowhere() -> None:
    model = a_model()
    batch = next(PairSampler(LOG, 25, SharedBlock(4)).epoch(np.random.default_rng(3)))
    origin = np.random.default_rng(4).standard_normal(model.table.nnz)
    nothing = Explored.of(batch.positives[:0], LOG.n_items, DIM, np.float64)
    found = []
    for decay in (NOBODY, Decay(0, 0.5, 0, origin)):
        scores = model.forward(batch)
        LOSSES["softmax"].slopes(batch, scores)
        gradients = Gradients(np.zeros(model.table.nnz), nothing, np.zeros(LOG.n_items))
        model.backward(batch, scores, decay, gradients)
        found.append(gradients.active)
    counts = np.bincount(batch.positives - LOG.n_users, minlength=LOG.n_items)[model.table.row_numbers()]
    expected = 0.5 * counts * (model.table.values - origin) * (model.table.columns < SUMMED)
    np.testing.assert_allclose(found[1] - found[0], expected, atol=1e-12)


@pytest.mark.parametrize("power", MARK_POWERS)
def test_both_parts_are_brought_to_one_size_and_scores_stay(power: float) -> None:
    model = a_model(power=power)
    model.table.values[model.table.columns < SUMMED] *= 7
    rows, pairs = model.table.columns < SUMMED, model.table.columns >= SUMMED
    before = model.ranker().rank(np.arange(LOG.n_users), 4, LOG)
    model.level()
    values = model.table.values
    assert np.mean(values[rows] ** 2) == pytest.approx(np.mean(values[pairs] ** 2))
    after = model.ranker().rank(np.arange(LOG.n_users), 4, LOG)
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_allclose(after[1], before[1], rtol=1e-5)


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e30])
def test_a_part_that_is_next_to_nothing_stays(size: float) -> None:
    model = a_model()
    model.table.values[model.table.columns < SUMMED] *= size
    before, numbers = model.table.values.copy(), model.served_weights.copy()
    model.level()
    np.testing.assert_array_equal(model.table.values, before)
    np.testing.assert_array_equal(model.served_weights, numbers)


def test_a_step_moves_all_rows_on_and_no_others() -> None:
    model = a_model()
    batch = next(PairSampler(LOG, 3, SharedBlock(2)).epoch(np.random.default_rng(1)))
    np.testing.assert_array_equal(model.touched(batch), np.flatnonzero(np.diff(model.table.indptr)))


def test_scores_are_scaled_in_both_parts() -> None:
    model = a_model()
    pairs = list(zip(LOG.pair_users().tolist(), LOG.items.tolist(), strict=True))

    def mean() -> float:
        dense = model.table.to_dense(DIM)
        return float(np.mean([score(dense, model.served_weights, *pair, True) for pair in pairs]))

    before = mean()
    assert model.mean_product() == pytest.approx(before, rel=1e-6)
    model.scale_scores(7.0)
    assert mean() == pytest.approx(7 * before) == model.mean_product()


def test_lists_are_those_of_the_scores_written_out() -> None:
    model = a_model()
    dense, users = model.table.to_dense(DIM), np.array([3, 0, 11])
    items, reached = model.ranker().rank(users, 4, LOG)
    for user, listed, values in zip(users.tolist(), items, reached, strict=True):
        own = LOG.items[LOG.indptr[user] : LOG.indptr[user + 1]]
        others = [i for i in range(LOG.n_items) if i not in own]
        scores = {i: score(dense, model.served_weights, user, i, False) for i in others}
        best = sorted(others, key=lambda i: (-scores[i], i))[:4]
        assert listed[: len(best)].tolist() == best
        np.testing.assert_allclose(values[: len(best)], [scores[i] for i in best], rtol=1e-5)


# ---- trained

LARGER = small_log(80, 60, 1500)
LARGER = replace(LARGER, times=np.random.default_rng(6).permutation(LARGER.n_interactions))
TINY = Config(
    model="fism",
    dim=16,
    entries=700,
    start="neighbours",
    recency=0.5,
    epochs=3,
    batch_size=200,
    negatives=16,
    evaluate_every=1,
    learning_rate=0.01,
    patience=0,
)


def fit(threads: int = 1, **changes: Any) -> Fitted:
    return train(LARGER, replace(TINY, **changes), threads=threads)


@pytest.mark.parametrize(
    "changes",
    [{}, {"loss": "bpr", "negatives": 1}, {"method": "set"}, {"relative_rate": True, "pairs_together": 8}],
)
def test_training_moves_both_parts_and_not_the_mask_on_any_threads(changes: dict[str, Any]) -> None:
    start = fit(epochs=0, validation=0.0, **changes).model.table
    one, two = (fit(threads, validation=0.0, **changes) for threads in (1, 2))
    table = one.model.table
    assert same_bits(table, two.model.table) and one.model.weights.tobytes() == two.model.weights.tobytes()
    np.testing.assert_array_equal(table.indptr, start.indptr)
    np.testing.assert_array_equal(table.columns, start.columns)
    summed = table.columns < 16
    for part in (summed, ~summed):
        assert (table.values[part] != start.values[part]).mean() > 0.9
    assert [record["nnz"] for record in one.history] == [700] * 4


def test_a_trained_run_lists_what_was_trained(tmp_path: Any) -> None:
    fitted = fit()
    save_run(tmp_path / "run", fitted, LARGER)
    loaded, users = load_run(tmp_path / "run"), np.arange(LARGER.n_users)
    ours, theirs = (some.model.ranker().rank(users, 10, LARGER) for some in (fitted, loaded))
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])


@pytest.mark.parametrize("method", ["magnitude", "granet", "dense", "dense-small"])
def test_full_tables_are_refused(method: str) -> None:
    with pytest.raises(ConfigError, match="neighbours of items are never full"):
        fit(method=method)
