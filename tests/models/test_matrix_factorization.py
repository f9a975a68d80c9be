"""Matrix factorisation against dense loops in float64: scores, gradients of every entry, L2, lists."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.batches import Batch, Negatives, OnePerPair, PairSampler, SharedBlock
from sparserec_np.learning.losses import LOSSES, Scores
from sparserec_np.models.matrix_factorization import MatrixFactorization
from sparserec_np.models.model import Decay, Gradients
from tests.makers import oracles
from tests.makers.small import Array, random_table, small_log

LOG = small_log(20, 15, 120)
ROWS, DIM = LOG.n_users + LOG.n_items, 6


def decay_of(user: float, positive: float, negative: float, model: MatrixFactorization) -> Decay:
    """These weights, towards zero."""
    return Decay(user, positive, negative, np.zeros(model.table.nnz))


WAYS: dict[str, tuple[str, Negatives]] = {
    "bpr-pairs": ("bpr", OnePerPair()),
    "bpr-block": ("bpr", SharedBlock(9)),
    "softmax-block": ("softmax", SharedBlock(9)),
}
EVERY_WAY = pytest.mark.parametrize(("loss", "negatives"), WAYS.values(), ids=WAYS)


def a_model(seed: int = 0, nnz: int = 100) -> MatrixFactorization:
    return MatrixFactorization(
        random_table(np.random.default_rng(seed), ROWS, DIM, nnz, np.float64), DIM, LOG
    )


def batches(negatives: Negatives, size: int = 50) -> list[Batch]:
    return list(PairSampler(LOG, size, negatives).epoch(np.random.default_rng(0)))


def items_of(row: int, log: Interactions = LOG) -> set[int]:
    return set(log.items[log.indptr[row] : log.indptr[row + 1]].tolist())


def dense_scores(dense: Array, batch: Batch) -> Scores:
    """Pair by pair and entry by entry."""

    def score(user: int, item: int) -> float:
        return sum(float(dense[user, c]) * float(dense[item, c]) for c in range(DIM))

    positives = [score(u, i) for u, i in zip(batch.user_of, batch.positives, strict=True)]
    if not batch.shared:
        negatives = [score(u, j) for u, j in zip(batch.user_of, batch.negatives, strict=True)]
        return Scores(np.array(positives), np.array(negatives), np.empty(0, np.int32))
    block = np.array(
        [
            [-np.inf if j - LOG.n_users in items_of(u) else score(u, j) for j in batch.negatives]
            for u in batch.users.rows
        ]
    )
    return Scores(np.array(positives), block, np.isfinite(block).sum(axis=1).astype(np.int32))


def dense_gradient(dense: Array, batch: Batch, slopes: Scores) -> Array:
    """The gradient of every entry of the table, stored or not."""
    gradient = np.zeros_like(dense)
    for m, (u, i) in enumerate(zip(batch.user_of, batch.positives, strict=True)):
        gradient[u] += slopes.positives[m] * dense[i]
        gradient[i] += slopes.positives[m] * dense[u]
        if not batch.shared:
            j = batch.negatives[m]
            gradient[u] += slopes.negatives[m] * dense[j]
            gradient[j] += slopes.negatives[m] * dense[u]
    if batch.shared:
        for g, u in enumerate(batch.users.rows):
            for s, j in enumerate(batch.negatives):
                gradient[u] += slopes.negatives[g, s] * dense[j]
                gradient[j] += slopes.negatives[g, s] * dense[u]
    return gradient


def objective(dense: Array, batch: Batch, loss: str, decay: Decay) -> float:
    """What a batch minimises: the losses of its pairs, and half the weighted squares of the rows each of them reads."""
    scores = dense_scores(dense, batch)
    value = float(LOSSES[loss].slopes(batch, scores).sum())
    squares = np.square(dense).sum(axis=1)
    for m, (u, i) in enumerate(zip(batch.user_of, batch.positives, strict=True)):
        read = [batch.negatives[m]] if not batch.shared else batch.negatives
        value += 0.5 * decay.user * squares[u] + 0.5 * decay.positive * squares[i]
        value += 0.5 * decay.negative * np.mean([squares[j] for j in read])
    return value


@EVERY_WAY
def test_scores_are_those_of_the_loops(loss: str, negatives: Negatives) -> None:
    model = a_model()
    for batch in batches(negatives):  # the last one is smaller, and workspaces are used again
        got, wanted = model.forward(batch), dense_scores(model.table.to_dense(DIM), batch)
        assert got.positives == pytest.approx(wanted.positives, rel=1e-12, abs=1e-12)
        assert np.array_equal(np.isfinite(got.negatives), np.isfinite(wanted.negatives))
        finite = np.isfinite(wanted.negatives)
        assert got.negatives[finite] == pytest.approx(wanted.negatives[finite], rel=1e-12, abs=1e-12)
        assert np.array_equal(got.valid, wanted.valid)


@EVERY_WAY
def test_gradients_of_stored_and_explored_entries_are_those_of_a_dense_model(
    loss: str, negatives: Negatives
) -> None:
    """Summed over batches for explored rows, whether stored or not; batch by batch for stored entries."""
    model = a_model()
    dense = model.table.to_dense(DIM)
    rows = np.array([0, 3, 4, 11, 20, 25, 26, 34], np.int32)
    gradients = Gradients(np.zeros(model.table.nnz), Explored.of(rows, ROWS, DIM, np.float64))
    summed = np.zeros((ROWS, DIM))
    for batch in batches(negatives):
        scores = model.forward(batch)
        LOSSES[loss].slopes(batch, scores)
        wanted = dense_gradient(dense, batch, scores)
        model.backward(batch, scores, decay_of(0, 0, 0, model), gradients)
        stored = wanted[model.table.row_numbers(), model.table.columns]
        assert gradients.active == pytest.approx(stored, rel=1e-12, abs=1e-12)
        gradients.active[:] = 0
        summed += wanted
    assert gradients.explored.sums == pytest.approx(summed[rows], rel=1e-12, abs=1e-12)


@EVERY_WAY
def test_gradients_are_the_differences_of_the_objective(loss: str, negatives: Negatives) -> None:
    """L2 included: each pair weighs its user, its positive, and its negatives (of a block, the mean) once."""
    model = a_model(1)
    decay = decay_of(0.3, 0.7, 1.1, model)
    batch = batches(negatives)[0]
    scores = model.forward(batch)
    LOSSES[loss].slopes(batch, scores)
    gradients = Gradients(
        np.zeros(model.table.nnz), Explored.of(np.empty(0, np.int32), ROWS, DIM, np.float64)
    )
    model.backward(batch, scores, decay, gradients)
    dense, step = model.table.to_dense(DIM), 1e-5
    chosen = np.random.default_rng(2).choice(model.table.nnz, 25, replace=False)
    for k in chosen:
        at = model.table.row_numbers()[k], model.table.columns[k]
        above, below = dense.copy(), dense.copy()
        above[at] += step
        below[at] -= step
        slope = (objective(above, batch, loss, decay) - objective(below, batch, loss, decay)) / (2 * step)
        assert gradients.active[k] == pytest.approx(slope, rel=1e-6, abs=1e-6)


@EVERY_WAY
@pytest.mark.parametrize("weights", [(0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)], ids="upn")
def test_each_l2_weight_counts_its_own_rows(
    loss: str, negatives: Negatives, weights: tuple[float, float, float]
) -> None:
    model = a_model()
    decay = decay_of(*weights, model)
    batch = batches(negatives)[0]
    scores = model.forward(batch)
    for array in scores[:2]:
        array[:] = 0  # no slope: the L2 terms alone
    explored = Explored.of(np.arange(ROWS), ROWS, DIM, np.float64)
    gradients = Gradients(np.zeros(model.table.nnz), explored)
    model.backward(batch, scores, decay, gradients)
    sums = np.zeros(ROWS)
    np.add.at(sums, batch.user_of, decay.user)
    np.add.at(sums, batch.positives, decay.positive)
    share = batch.size / len(batch.negatives) if batch.shared else 1
    np.add.at(sums, batch.negatives, decay.negative * share)
    assert gradients.active == pytest.approx(sums[model.table.row_numbers()] * model.table.values)
    assert not explored.sums.any()  # an inactive entry is zero, and so is its decay


@EVERY_WAY
def test_touched_rows_are_all_that_get_a_gradient_and_none_twice(loss: str, negatives: Negatives) -> None:
    model = a_model()
    for batch in batches(negatives, 10):
        touched = model.touched(batch)
        assert touched.dtype == np.int32 and len(np.unique(touched)) == len(touched)
        assert set(touched.tolist()) == {*batch.user_of, *batch.positives, *batch.negatives}


def test_float32_is_close_to_float64() -> None:
    exact = a_model()
    table = SparseTable(exact.table.indptr, exact.table.columns, exact.table.values.astype(np.float32))
    model = MatrixFactorization(table, DIM, LOG)
    batch = batches(SharedBlock(9))[0]
    got, wanted = model.forward(batch), exact.forward(batch)
    assert got.positives.dtype == np.float32
    assert got.positives == pytest.approx(wanted.positives, rel=1e-4, abs=1e-5)


def test_lists_are_those_of_the_loops() -> None:
    model = a_model()
    dense = model.table.to_dense(DIM)
    users = np.array([0, 7, 19], np.int32)
    items, scores = model.ranker().rank(users, 9, LOG)
    for user, row, values in zip(users, items, scores, strict=True):
        wanted = oracles.rank(dense[user], dense[LOG.n_users :], items_of(user), 9)
        length = min(9, LOG.n_items - len(items_of(user)))
        assert len(wanted) == length
        assert row[:length].tolist() == [item for item, _ in wanted]
        assert values[:length] == pytest.approx([score for _, score in wanted])
        assert np.all(row[length:] == -1)


def test_a_model_follows_its_table() -> None:
    """A topology update overwrites the table, pruning replaces it."""
    model, same_size, other = a_model(0), a_model(4), a_model(5, nnz=130)
    batch = batches(SharedBlock(9))[0]
    assert model.workspace_bytes == 0  # before the first batch
    model.forward(batch)
    for mine, its in zip(model.table, same_size.table, strict=True):
        mine[:] = its
    assert np.array_equal(model.forward(batch).negatives, same_size.forward(batch).negatives)
    model.table = other.table
    assert np.array_equal(model.forward(batch).negatives, other.forward(batch).negatives)
    assert model.workspace_bytes > 0
