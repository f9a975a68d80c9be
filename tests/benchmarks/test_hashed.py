"""Rows that are shared by hashing: who reads what, and gradients by finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.hashed import (
    SHARINGS,
    SharedPlan,
    SharedRows,
    Sharing,
    one_row,
    quotient_and_remainder,
    two_rows,
)
from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.batches import Batch, Negatives, OnePerPair, PairSampler, SharedBlock
from sparserec_np.learning.losses import LOSSES
from sparserec_np.models.model import Decay, Gradients
from sparserec_np.training.loop import Phase, fit
from sparserec_np.training.plan import Plan
from sparserec_np.training.settings import Config
from tests.makers import oracles
from tests.makers.small import Array, small_log

LOG = small_log(12, 9, 40)
COUNTS, STORED, DIM = (LOG.n_users, LOG.n_items), 14, 5


def sharing_of(way: str) -> Sharing:
    return SHARINGS[way](COUNTS, STORED, np.random.default_rng(0))


@pytest.mark.parametrize("way", SHARINGS)
def test_users_and_items_read_rows_of_their_own_side_evenly(way: str) -> None:
    sharing = sharing_of(way)
    users, items = sharing.parts[:, : LOG.n_users], sharing.parts[:, LOG.n_users :]
    assert sharing.stored == STORED
    assert users.max() < items.min()
    assert items.max() < STORED
    for side in (users, items):
        times = np.unique(side[0], return_counts=True)[1]
        assert times.max() - times.min() <= 1


def test_no_two_have_the_same_quotient_and_remainder() -> None:
    parts = quotient_and_remainder((1000, 500), 150, np.random.default_rng(0)).parts
    assert len(np.unique(parts, axis=1).T) == 1500
    assert len(np.unique(one_row((1000, 500), 150, np.random.default_rng(0)).parts, axis=1).T) == 150


def test_too_few_rows_for_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^40 rows make no pair for each of 1,000$"):
        quotient_and_remainder((1000, 500), 60, np.random.default_rng(0))


def rows_of(sharing: Sharing, stored: Array) -> Array:
    """The rows of everybody, one by one."""
    rows = []
    for first, *others in sharing.parts.T:
        row = stored[first].copy()
        for other in others:
            row = row * stored[other] if sharing.product else row + stored[other]
        rows.append(row)
    return np.array(rows)


def cost(sharing: Sharing, stored: Array, batch: Batch, decay: Decay) -> float:
    """The batch's loss, with the L2 terms of the rows that its pairs read."""
    read = rows_of(sharing, stored)
    own = {(int(u), LOG.n_users + int(i)) for u, i in zip(LOG.pair_users(), LOG.items, strict=True)}
    total, share = 0.0, batch.size / len(batch.negatives)
    for m, (u, i) in enumerate(zip(batch.user_of.tolist(), batch.positives.tolist(), strict=True)):
        others = batch.negatives if batch.shared else batch.negatives[m : m + 1]
        counted = [float(read[u] @ read[j]) for j in others if not batch.shared or (u, int(j)) not in own]
        loss = "softmax" if batch.shared else "bpr"
        total += oracles.LOSSES[loss]([float(read[u] @ read[i])], [counted], **dict(LOSSES[loss].settings))
        total += 0.5 * (decay.user * read[u] @ read[u] + decay.positive * read[i] @ read[i])
    return total + 0.5 * sum(share * decay.negative * read[j] @ read[j] for j in batch.negatives)


@pytest.mark.parametrize("way", SHARINGS)
@pytest.mark.parametrize("negatives", [OnePerPair(), SharedBlock(4)])
def test_every_stored_value(way: str, negatives: Negatives) -> None:
    rng = np.random.default_rng(1)
    sharing, stored = sharing_of(way), rng.standard_normal((STORED, DIM))
    model = SharedRows(SparseTable.full(stored.copy()), DIM, LOG, sharing)
    batch = next(PairSampler(LOG, 15, negatives).epoch(rng))
    decay = Decay(0.3, 0.2, 0.1, np.empty(0))
    scores = model.forward(batch)
    LOSSES["softmax" if batch.shared else "bpr"].slopes(batch, scores)
    none = Explored.of(np.empty(0, np.int32), STORED, DIM, np.float64)
    found = Gradients(np.zeros(STORED * DIM), none)
    model.backward(batch, scores, decay, found)
    expected = oracles.central_differences(lambda at: cost(sharing, at, batch, decay), stored)
    np.testing.assert_allclose(found.active.reshape(expected.shape), expected, rtol=1e-6, atol=1e-8)
    touched = np.flatnonzero(np.abs(expected).sum(axis=1))
    assert set(touched.tolist()) <= set(model.touched(batch).tolist())
    np.testing.assert_allclose(model.factors().to_dense(DIM), rows_of(sharing, stored))


def test_the_loop_trains_it() -> None:
    log = small_log()
    sharing = two_rows((log.n_users, log.n_items), 20, np.random.default_rng(0))
    config = Config(model="mf", method="dense", start="uniform", dim=8, epochs=8, batch_size=32)
    plan = SharedPlan.sharing_rows(Plan.of(config, log), sharing)
    fitted = fit(log, plan, plan.start, Phase("train", 8), lambda record: None)
    losses = [record["loss"] for record in fitted.history if record["loss"] is not None]
    assert fitted.model.table.nnz == plan.budget.nnz == 160
    assert losses[-1] < losses[0]
