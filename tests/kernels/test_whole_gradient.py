"""The loss of a batch of a matrix factorisation, and its derivative by every entry of the table.

Scores, loss, slopes, gradients and L2 terms go through the model, once over the compiled and once over the plain
kernels; dense loops say what the batch costs, and central differences what each entry contributes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparserec_np.batches import Batch, OnePerPair, PairSampler, SharedBlock
from sparserec_np.growth import Explored
from sparserec_np.interactions import Interactions
from sparserec_np.kernels import compiled, reference
from sparserec_np.kernels.compiled import gradients, sampling, scoring, slopes
from sparserec_np.kernels.reference import gradients as plain_gradients
from sparserec_np.kernels.reference import sampling as plain_sampling
from sparserec_np.kernels.reference import scoring as plain_scoring
from sparserec_np.kernels.reference import slopes as plain_slopes
from sparserec_np.models import matrix_factorization
from sparserec_np.models.model import Decay, Gradients
from sparserec_np.table import SparseTable
from tests import oracles
from tests.kernels.cases import Array

USERS, ITEMS, DIM = 5, 8, 4
KERNELS = {
    compiled: {"kernels": gradients, "sampling": sampling, "scoring": scoring},
    reference: {"kernels": plain_gradients, "sampling": plain_sampling, "scoring": plain_scoring},
}
SLOPES = {compiled: slopes, reference: plain_slopes}
NO_DECAY, DECAY = (0.0, 0.0, 0.0), (0.3, 0.2, 0.7)


def interactions(rng: np.random.Generator) -> Interactions:
    """The first user has touched every item, and so has no negatives."""
    touched = rng.random((USERS, ITEMS)) < 0.4
    touched[0] = True
    touched[1:, 0] = True
    users, items = np.nonzero(touched)
    return Interactions.from_pairs(users, items, user_ids=np.arange(USERS), item_ids=np.arange(ITEMS))


def costs(
    batch: Batch, log: Interactions, name: str, dense: Array, decay: tuple[float, float, float], origin: Array
) -> float:
    """The batch's loss over a table of which every entry is given."""
    pairs = list(zip(batch.user_of.tolist(), batch.positives.tolist(), strict=True))
    if batch.shared:
        negatives = [batch.negatives.tolist()] * len(pairs)
        users = log.pair_users()
        touched = {(int(u), USERS + int(i)) for u, i in zip(users, log.items, strict=True)}
    else:
        negatives = [[other] for other in batch.negatives.tolist()]
        touched = set()
    return oracles.factorization_loss(dense, pairs, negatives, touched, getattr(oracles, name), decay, origin)


@pytest.mark.parametrize("kernel", KERNELS, ids=["compiled", "reference"])
@pytest.mark.parametrize("decay", [NO_DECAY, DECAY], ids=["no decay", "decay"])
@pytest.mark.parametrize("density", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(
    ("name", "form", "drawn"),
    [
        ("bpr", "bpr_pairs", OnePerPair()),
        ("bpr", "bpr_block", SharedBlock(3)),
        ("bpr", "bpr_block", SharedBlock(1)),
        ("softmax", "softmax_block", SharedBlock(3)),
        ("softmax", "softmax_block", SharedBlock(ITEMS)),
    ],
    ids=["bpr pairs", "bpr block", "bpr one negative", "softmax block", "softmax all items"],
)
def test_every_entry(
    monkeypatch: pytest.MonkeyPatch,
    kernel: Any,
    decay: tuple[float, float, float],
    density: float,
    name: str,
    form: str,
    drawn: OnePerPair | SharedBlock,
) -> None:
    for attribute, module in KERNELS[kernel].items():
        monkeypatch.setattr(matrix_factorization, attribute, module)
    rng = np.random.default_rng(8)
    log = interactions(rng)
    rows = USERS + ITEMS
    keep = rng.random((rows, DIM)) < density
    keep[3] = False
    table = SparseTable.from_dense(rng.standard_normal((rows, DIM)), keep)
    model = matrix_factorization.MatrixFactorization(table, DIM, log)
    batch = next(PairSampler(log, 12, drawn).epoch(rng))

    scores = model.forward(batch)
    losses = np.empty(batch.size)
    if batch.shared:
        getattr(SLOPES[kernel], form)(
            batch.users.starts, scores.positives, scores.negatives, scores.valid, losses
        )
    else:
        SLOPES[kernel].bpr_pairs(scores.positives, scores.negatives, losses)
    explored = Explored.of(rng.permutation(rows).astype(np.int32), rows, DIM, np.dtype(np.float64))
    found = Gradients(np.zeros(table.nnz), explored)
    origin = rng.standard_normal(table.nnz)
    model.backward(batch, scores, Decay(*decay, origin), found)

    dense, towards = table.to_dense(DIM), table._replace(values=origin).to_dense(DIM)
    assert losses.sum() == pytest.approx(costs(batch, log, name, dense, NO_DECAY, towards), rel=1e-12)
    of_loss = oracles.central_differences(lambda at: costs(batch, log, name, at, NO_DECAY, towards), dense)
    np.testing.assert_allclose(explored.sums[explored.slots], of_loss, rtol=1e-7, atol=1e-8)
    of_all = oracles.central_differences(lambda at: costs(batch, log, name, at, decay, towards), dense)
    active = of_all[table.row_numbers(), table.columns]
    np.testing.assert_allclose(found.active, active, rtol=1e-7, atol=1e-8)
    np.testing.assert_array_equal(
        np.sort(model.touched(batch)),
        np.unique(np.concatenate([batch.user_of, batch.positives, batch.negatives])),
    )
