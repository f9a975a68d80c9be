"""LightGCN against dense products in float64: scores, gradients of every entry, lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.batches import Batch, Negatives, OnePerPair, PairSampler, SharedBlock
from sparserec_np.learning.losses import LOSSES
from sparserec_np.models.lightgcn import LightGCN
from sparserec_np.models.model import Decay, Gradients
from sparserec_np.models.views import similarity_views
from tests.makers import oracles
from tests.makers.small import Array, random_table, small_log

LOG = small_log(12, 9, 40)
ROWS, DIM = LOG.n_users + LOG.n_items, 18  # more than one block of columns, and a part of one


def means(dense: Array, layers: int) -> Array:
    """The mean over 0 to ``layers`` steps, with the normalised adjacency written out."""
    adjacency = np.zeros((ROWS, ROWS))
    for user, item in zip(LOG.pair_users(), LOG.items, strict=True):
        adjacency[user, LOG.n_users + item] = adjacency[LOG.n_users + item, user] = 1
    degrees = np.maximum(adjacency.sum(axis=1), 1)
    step = adjacency / np.sqrt(degrees[:, None] * degrees[None, :])
    total, power = dense.copy(), dense
    for _ in range(layers):
        power = step @ power
        total = total + power
    return total / (layers + 1)


def cost(dense: Array, layers: int, batch: Batch, loss: str, cosine: bool) -> float:
    """The batch's loss."""
    read = means(dense, layers)
    if cosine:
        read = read / np.sqrt((read**2).sum(axis=1, keepdims=True))
    own = {(int(u), LOG.n_users + int(i)) for u, i in zip(LOG.pair_users(), LOG.items, strict=True)}
    total = 0.0
    for m, (u, i) in enumerate(zip(batch.user_of.tolist(), batch.positives.tolist(), strict=True)):
        others = batch.negatives if batch.shared else batch.negatives[m : m + 1]
        counted = [float(read[u] @ read[j]) for j in others if not batch.shared or (u, int(j)) not in own]
        total += oracles.LOSSES[loss]([float(read[u] @ read[i])], [counted], **dict(LOSSES[loss].settings))
    return total


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("loss", "negatives", "cosine"),
    [("bpr", OnePerPair(), False), ("softmax", SharedBlock(4), False), ("ccl", SharedBlock(4), True)],
)
def test_every_entry(layers: int, loss: str, negatives: Negatives, cosine: bool) -> None:
    rng = np.random.default_rng(layers)
    table = random_table(rng, ROWS, DIM, 120, np.float64)
    views: tuple[Any, ...] = similarity_views("cosine", 1.0) if cosine else ()
    model = LightGCN(table, DIM, LOG, views, layers=layers)
    batch = next(PairSampler(LOG, 15, negatives).epoch(rng))
    dense = table.to_dense(DIM)

    scores = model.forward(batch)
    losses = LOSSES[loss].slopes(batch, scores)
    assert losses.sum() == pytest.approx(cost(dense, layers, batch, loss, cosine), rel=1e-12)
    explored = Explored.of(rng.permutation(ROWS)[: ROWS // 2].astype(np.int32), ROWS, DIM, np.float64)
    found = Gradients(np.zeros(table.nnz), explored)
    model.backward(batch, scores, Decay(0, 0, 0, np.zeros(table.nnz)), found)
    expected = oracles.central_differences(lambda at: cost(at, layers, batch, loss, cosine), dense)
    stored = table.row_numbers(), table.columns
    np.testing.assert_allclose(found.active, expected[stored], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(explored.sums, expected[explored.rows], rtol=1e-6, atol=1e-8)


def test_l2_terms_are_of_the_stored_rows() -> None:
    rng = np.random.default_rng(0)
    table = random_table(rng, ROWS, DIM, 120, np.float64)
    model = LightGCN(table, DIM, LOG)
    batch = next(PairSampler(LOG, 15, OnePerPair()).epoch(rng))
    scores = model.forward(batch)
    for array in scores:
        array[:] = 0
    found = Gradients(np.zeros(table.nnz), Explored.of(np.empty(0, np.int32), ROWS, DIM, np.float64))
    model.backward(batch, scores, Decay(0.5, 0, 0, np.zeros(table.nnz)), found)
    times = np.bincount(batch.user_of, minlength=ROWS)[table.row_numbers()]
    np.testing.assert_allclose(found.active, 0.5 * times * table.values, atol=1e-14)


def test_lists_are_those_of_the_means() -> None:
    table = random_table(np.random.default_rng(0), ROWS, DIM, 120, np.float64)
    model = LightGCN(table, DIM, LOG, layers=2)
    read = means(table.to_dense(DIM), 2)
    np.testing.assert_allclose(model.propagated().to_dense(DIM), read, rtol=1e-12, atol=1e-15)
    users = np.array([0, 5, 11], np.int32)
    items, scores = model.ranker().rank(users, 4, LOG)
    for user, listed, reached in zip(users, items, scores, strict=True):
        seen = set(LOG.items[LOG.indptr[user] : LOG.indptr[user + 1]].tolist())
        wanted = oracles.rank(read[user], read[LOG.n_users :], seen, 4)
        assert listed.tolist() == [item for item, _ in wanted]
        np.testing.assert_allclose(reached, [score for _, score in wanted])


def test_all_rows_are_touched_and_bytes_are_counted() -> None:
    table = random_table(np.random.default_rng(0), ROWS, DIM, 120, np.float32)
    model = LightGCN(table, DIM, LOG)
    batch = next(PairSampler(LOG, 15, OnePerPair()).epoch(np.random.default_rng(0)))
    assert model.touched(batch).tolist() == list(range(ROWS))
    assert model.workspace_bytes > 2 * ROWS * 16 * 4 + 2 * LOG.n_interactions * 4
    assert model.served() is table
