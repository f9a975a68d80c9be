"""The loss of a batch of a matrix factorisation, and its derivative by every entry of the table.

Scores, loss, slopes, gradients and L2 terms go through the model, once over the compiled and once
over the plain kernels; dense loops say what the batch costs, and central differences what each
entry contributes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import SparseTable
from sparserec_np.kernels import compiled, reference
from sparserec_np.kernels.arguments import Explored
from sparserec_np.kernels.compiled import slopes
from sparserec_np.kernels.reference import gradients as plain_gradients
from sparserec_np.kernels.reference import sampling as plain_sampling
from sparserec_np.kernels.reference import scoring as plain_scoring
from sparserec_np.kernels.reference import slopes as plain_slopes
from sparserec_np.kernels.reference import views as plain_views
from sparserec_np.learning.batches import Batch, OnePerPair, PairSampler, SharedBlock
from sparserec_np.learning.losses import LOSSES
from sparserec_np.models.matrix_factorization import MatrixFactorization
from sparserec_np.models.model import Decay, Gradients
from sparserec_np.models.views import similarity_views
from tests.makers import oracles
from tests.makers.kernel_cases import Array

USERS, ITEMS, DIM = 5, 8, 4
PLAIN = {
    "gradients": plain_gradients,
    "sampling": plain_sampling,
    "scoring": plain_scoring,
    "views": plain_views,
}
SLOPES = {compiled: slopes, reference: plain_slopes}
VIEWS = {
    "dot": (),
    "dot, temperature 2": similarity_views("dot", 2.0),
    "cosine": similarity_views("cosine", 0.5),
}
NO_DECAY, DECAY = (0.0, 0.0, 0.0), (0.3, 0.2, 0.7)


def interactions(rng: np.random.Generator) -> Interactions:
    """The first user has touched every item, and so has no negatives."""
    touched = rng.random((USERS, ITEMS)) < 0.4
    touched[0] = True
    touched[1:, 0] = True
    users, items = np.nonzero(touched)
    return Interactions.from_pairs(users, items, user_ids=np.arange(USERS), item_ids=np.arange(ITEMS))


def read(dense: Array, similarity: str) -> Array:
    """The rows that are multiplied, given every entry of the table."""
    if similarity == "dot":
        return dense
    if similarity == "cosine":
        lengths = np.sqrt((dense**2).sum(axis=1, keepdims=True))
        return np.divide(dense, lengths, where=lengths > 0, out=np.zeros_like(dense)) / np.sqrt(0.5)
    return dense / np.sqrt(2)


def costs(
    batch: Batch,
    log: Interactions,
    name: str,
    similarity: str,
    dense: Array,
    decay: tuple[float, float, float],
    origin: Array,
) -> float:
    """The batch's loss over a table of which every entry is given."""
    users = log.pair_users()
    own = {(int(u), USERS + int(i)) for u, i in zip(users, log.items, strict=True)} if batch.shared else set()
    batched = list(zip(batch.user_of.tolist(), batch.positives.tolist(), strict=True))
    negatives = (
        [batch.negatives.tolist()] * len(batched)
        if batch.shared
        else [[other] for other in batch.negatives.tolist()]
    )
    seen = read(dense, similarity)
    total = oracles.decay_loss(dense, batched, negatives, decay, origin)
    for user in dict.fromkeys(u for u, _ in batched):
        mine = [m for m, (u, _) in enumerate(batched) if u == user]
        positives = [oracles.inner(seen[user], seen[batched[m][1]]) for m in mine]
        counted = [
            [oracles.inner(seen[user], seen[j]) for j in negatives[m] if (user, j) not in own] for m in mine
        ]
        total += oracles.LOSSES[name](positives, counted, **dict(LOSSES[name].settings))
    return total


WAYS = [
    (name, drawn, similarity)
    for name, loss in LOSSES.items()
    for drawn in (OnePerPair(), SharedBlock(3))
    for similarity in VIEWS
    if (loss.pairs or drawn.shared) and (similarity == "cosine" or not loss.cosine)
]
WAYS += [("bpr", SharedBlock(1), "dot"), ("softmax", SharedBlock(ITEMS), "dot")]


@pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])
@pytest.mark.parametrize(
    ("density", "decay"),
    [(0.0, DECAY), (0.4, NO_DECAY), (0.4, DECAY), (1.0, DECAY)],
    ids=["empty", "sparse", "sparse with decay", "full with decay"],
)
@pytest.mark.parametrize(
    ("name", "drawn", "similarity"),
    WAYS,
    ids=[
        f"{name} {similarity} {drawn.size if drawn.shared else 'pairs'}" for name, drawn, similarity in WAYS
    ],
)
def test_every_entry(
    monkeypatch: pytest.MonkeyPatch,
    kernel: Any,
    density: float,
    decay: tuple[float, float, float],
    name: str,
    drawn: OnePerPair | SharedBlock,
    similarity: str,
) -> None:
    if kernel is reference:
        for file, plain in PLAIN.items():
            monkeypatch.setattr(kernels, file, plain)
    rng = np.random.default_rng(8)
    log = interactions(rng)
    rows = USERS + ITEMS
    keep = rng.random((rows, DIM)) < density
    keep[3] = False
    table = SparseTable.from_dense(rng.standard_normal((rows, DIM)), keep)
    model = MatrixFactorization(table, DIM, log, VIEWS[similarity])
    batch = next(PairSampler(log, 12, drawn).epoch(rng))

    scores = model.forward(batch)
    losses = np.empty(batch.size)
    loss = LOSSES[name]
    own = [value for _, value in loss.settings]
    if batch.shared:
        getattr(SLOPES[kernel], loss.block)(
            batch.users.starts, scores.positives, scores.negatives, scores.valid, losses, *own
        )
    else:
        assert loss.pairs is not None
        getattr(SLOPES[kernel], loss.pairs)(scores.positives, scores.negatives, losses, *own)
    explored = Explored.of(rng.permutation(rows).astype(np.int32), rows, DIM, np.dtype(np.float64))
    found = Gradients(np.zeros(table.nnz), explored)
    origin = rng.standard_normal(table.nnz)
    model.backward(batch, scores, Decay(*decay, origin), found)

    dense, towards = table.to_dense(DIM), table._replace(values=origin).to_dense(DIM)

    def cost(at: Array, weights: tuple[float, float, float]) -> float:
        return costs(batch, log, name, similarity, at, weights, towards)

    assert losses.sum() == pytest.approx(cost(dense, NO_DECAY), rel=1e-12)
    of_loss = oracles.central_differences(lambda at: cost(at, NO_DECAY), dense)
    of_all = oracles.central_differences(lambda at: cost(at, decay), dense) if any(decay) else of_loss.copy()
    stored = table.row_numbers(), table.columns
    if similarity == "cosine":
        # The cosine with a row of zeros is 0 by definition, and has no derivative there.
        of_loss[~dense.any(axis=1)] = 0
    active = of_all[stored]
    np.testing.assert_allclose(found.active, active, rtol=1e-7, atol=1e-7)
    of_loss[stored] = 0
    inactive = explored.sums[explored.slots]
    inactive[stored] = 0
    np.testing.assert_allclose(inactive, of_loss, rtol=1e-7, atol=1e-7)
    np.testing.assert_array_equal(
        np.sort(model.touched(batch)),
        np.unique(np.concatenate([batch.user_of, batch.positives, batch.negatives])),
    )
