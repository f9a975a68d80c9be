"""NeuMF against dense loops in float64: scores, gradients of every entry and every weight, lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.batches import Batch, Negatives, OnePerPair, PairSampler, SharedBlock
from sparserec_np.learning.losses import LOSSES
from sparserec_np.models.model import Decay, Gradients
from sparserec_np.models.neumf import NeuMF
from sparserec_np.models.towers import Weights, shapes
from sparserec_np.models.views import Dropout
from tests.makers import oracles
from tests.makers.small import Array, random_table, small_log

LOG = small_log(20, 15, 120)
ROWS, DIM, WIDTH = LOG.n_users + LOG.n_items, 11, 6
GMF = 8  # of 11 columns

EVERY_WAY = pytest.mark.parametrize(
    ("loss", "negatives"),
    [
        ("bpr", OnePerPair()),
        ("bce", OnePerPair()),
        ("bpr", SharedBlock(9)),
        ("bce", SharedBlock(4)),
        ("softmax", SharedBlock(9)),
    ],
    ids=lambda value: value if isinstance(value, str) else "block" if value.shared else "pairs",
)


def a_model(seed: int = 0, nnz: int = 200, **settings: Any) -> NeuMF:
    """One whose layers have something to say."""
    rng = np.random.default_rng(seed)
    model = NeuMF(random_table(rng, ROWS, DIM, nnz, np.float64), DIM, LOG, hidden=WIDTH, **settings)
    model.weights[:] = rng.standard_normal(len(model.weights))
    return model


def score(user: Array, item: Array, weights: Array) -> float:
    """Two dense rows through both towers, weight by weight in the order of the vector."""
    rest = iter(weights.tolist())
    mlp, narrow = DIM - GMF, WIDTH // 2
    first = [0.0] * WIDTH
    for row in (user, item):
        for c in range(mlp):
            for j in range(WIDTH):
                first[j] += next(rest) * float(row[GMF + c])
    first = [max(0.0, unit + next(rest)) for unit in first]
    second = [0.0] * narrow
    for j in range(WIDTH):
        for n in range(narrow):
            second[n] += next(rest) * first[j]
    second = [max(0.0, unit + next(rest)) for unit in second]
    total = sum(next(rest) * unit for unit in second)
    total += sum(next(rest) * float(user[c]) * float(item[c]) for c in range(GMF))
    assert next(rest, None) is None
    return total


def cost(dense: Array, weights: Array, batch: Batch, loss: str) -> float:
    """The batch's loss."""
    own = {(int(u), LOG.n_users + int(i)) for u, i in zip(LOG.pair_users(), LOG.items, strict=True)}
    total = 0.0
    for m, (u, i) in enumerate(zip(batch.user_of.tolist(), batch.positives.tolist(), strict=True)):
        others = batch.negatives if batch.shared else batch.negatives[m : m + 1]
        counted = [
            score(dense[u], dense[j], weights) for j in others if not batch.shared or (u, int(j)) not in own
        ]
        settings = dict(LOSSES[loss].settings)
        total += oracles.LOSSES[loss]([score(dense[u], dense[i], weights)], [counted], **settings)
    return total


def gradients_of(model: NeuMF, explored: Array) -> Gradients:
    """Places to add to."""
    every = Explored.of(explored.astype(np.int32), ROWS, DIM, np.float64)
    return Gradients(np.zeros(model.table.nnz), every, np.zeros_like(model.weights))


@EVERY_WAY
def test_every_entry_and_every_weight(loss: str, negatives: Negatives) -> None:
    rng = np.random.default_rng(1)
    model = a_model()
    table, dense = model.table, model.table.to_dense(DIM)
    batch = next(PairSampler(LOG, 25, negatives).epoch(rng))
    scores = model.forward(batch)
    losses = LOSSES[loss].slopes(batch, scores)
    assert losses.sum() == pytest.approx(cost(dense, model.weights, batch, loss), rel=1e-12)

    found = gradients_of(model, rng.permutation(ROWS)[: ROWS // 2])
    found.explored.sums[:] = 1  # added to, as by an earlier batch
    model.backward(batch, scores, Decay(0, 0, 0, np.zeros(table.nnz)), found)
    by_entry = oracles.central_differences(lambda at: cost(at, model.weights, batch, loss), dense)
    by_weight = oracles.central_differences(lambda at: cost(dense, at, batch, loss), model.weights)
    stored = table.row_numbers(), table.columns
    np.testing.assert_allclose(found.active, by_entry[stored], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.explored.sums - 1, by_entry[found.explored.rows], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.weights, by_weight, rtol=1e-6, atol=1e-7)


def test_dropout_leaves_out_entries_and_their_gradients() -> None:
    model = a_model(views=(Dropout(0.5, np.random.default_rng(0)),))
    batch = next(PairSampler(LOG, 25, OnePerPair()).epoch(np.random.default_rng(1)))
    scores = model.forward(batch)
    assert model._last is not None
    read = model._last.table.to_dense(DIM)
    ratios = read[read != 0] / model.table.to_dense(DIM)[read != 0]
    np.testing.assert_allclose(ratios, 2)
    losses = LOSSES["bpr"].slopes(batch, scores)
    assert losses.sum() == pytest.approx(cost(read, model.weights, batch, "bpr"), rel=1e-12)
    found = gradients_of(model, np.arange(0))
    model.backward(batch, scores, Decay(0, 0, 0, np.zeros(model.table.nnz)), found)
    expected = 2 * oracles.central_differences(lambda at: cost(at, model.weights, batch, "bpr"), read)
    expected[read == 0] = 0
    stored = model.table.row_numbers(), model.table.columns
    np.testing.assert_allclose(found.active, expected[stored], rtol=1e-6, atol=1e-7)


def test_l2_terms_are_of_the_stored_rows() -> None:
    model = a_model()
    batch = next(PairSampler(LOG, 25, OnePerPair()).epoch(np.random.default_rng(1)))
    scores = model.forward(batch)
    for array in scores:
        array[:] = 0
    found = gradients_of(model, np.arange(0))
    model.backward(batch, scores, Decay(0.5, 0, 0, np.zeros(model.table.nnz)), found)
    times = np.bincount(batch.user_of, minlength=ROWS)[model.table.row_numbers()]
    np.testing.assert_allclose(found.active, 0.5 * times * model.table.values, atol=1e-14)
    assert not found.weights.any()


def test_lists_are_those_of_loops() -> None:
    model = a_model()
    dense = model.table.to_dense(DIM)
    users = np.array([0, 5, 11], np.int32)
    items, scores = model.ranker().rank(users, 4, LOG)
    for user, listed, reached in zip(users, items, scores, strict=True):
        seen = set(LOG.items[LOG.indptr[user] : LOG.indptr[user + 1]].tolist())
        every = [
            (item, score(dense[user], dense[LOG.n_users + item], model.weights))
            for item in range(LOG.n_items)
            if item not in seen
        ]
        wanted = sorted(every, key=lambda pair: (-pair[1], pair[0]))[:4]
        assert listed.tolist() == [item for item, _ in wanted]
        np.testing.assert_allclose(reached, [value for _, value in wanted])


def test_a_ranker_does_not_change_with_later_training() -> None:
    model = a_model()
    users = np.arange(LOG.n_users, dtype=np.int32)
    ranker = model.ranker()
    before = ranker.rank(users, 5, LOG)
    model.weights += 1
    model.table.values[:] *= 2
    for one, other in zip(before, ranker.rank(users, 5, LOG), strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_starts_as_inner_products_over_its_first_columns() -> None:
    table = random_table(np.random.default_rng(0), ROWS, DIM, 200, np.float64)
    model = NeuMF(table, DIM, LOG, hidden=WIDTH)
    batch = next(PairSampler(LOG, 25, OnePerPair()).epoch(np.random.default_rng(1)))
    halves = table.to_dense(DIM)[:, :GMF]
    expected = (halves[batch.user_of] * halves[batch.positives]).sum(axis=1)
    np.testing.assert_allclose(model.forward(batch).positives, expected, atol=1e-14)
    pairs = (halves[LOG.pair_users()] * halves[LOG.n_users + LOG.items]).sum(axis=1)
    assert model.mean_product() == pytest.approx(pairs.mean())


def test_weights_are_drawn_from_the_seed() -> None:
    table = random_table(np.random.default_rng(0), ROWS, DIM, 200)
    first, same, other = (NeuMF(table, DIM, LOG, seed=seed).weights for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
    assert first.dtype == np.float32
    drawn = Weights.over(Weights.drawn(400, 100, np.random.default_rng(0)), 400, 100)
    for part, inputs in ((drawn.user, 400), (drawn.item, 400), (drawn.hidden, 100)):
        assert float(part.var()) == pytest.approx(2 / inputs, rel=0.1)


@pytest.mark.parametrize(("dim", "width"), [(1, 2), (2, 3), (64, 16)])
def test_named_weights_are_views_of_the_whole_vector(dim: int, width: int) -> None:
    vector = np.zeros(sum(int(np.prod(shape)) for shape in shapes(dim, width)))
    for part in Weights.over(vector, dim, width):
        part += 1
    assert (vector == 1).all()


def test_bytes_are_counted() -> None:
    model = a_model()
    model.forward(next(PairSampler(LOG, 25, SharedBlock(4)).epoch(np.random.default_rng(1))))
    assert model.workspace_bytes > model.table.values.nbytes + 8 * ROWS
    assert model.served() is model.table
