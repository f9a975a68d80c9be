"""Distillation: the start is the teacher pruned, the slopes are those of both losses, and a student learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sparserec_np.data.table import SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.learning.batches import OnePerPair, PairSampler, SharedBlock
from sparserec_np.learning.losses import LOSSES, Scores
from sparserec_np.models.matrix_factorization import MatrixFactorization
from sparserec_np.starts.teacher import Teacher, row_lengths
from sparserec_np.training.distillation import FromTeacher
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train
from tests.makers import oracles
from tests.makers.small import Array, random_table, small_log

LOG = small_log(30, 20, 200)
ROWS, DIM = LOG.n_users + LOG.n_items, 6


def a_teacher(weight: float = 1.0, seed: int = 0) -> Teacher:
    rng = np.random.default_rng(seed)
    return Teacher(SparseTable.full(rng.standard_normal((ROWS, DIM)).astype(np.float32)), DIM, weight)


def test_a_full_student_starts_with_the_scores_of_its_teacher() -> None:
    teacher = a_teacher()
    table = teacher.start()(LOG, DIM, ROWS * DIM, np.random.default_rng(1))
    theirs, ours = teacher.table.to_dense(DIM), table.to_dense(DIM)
    n = LOG.n_users
    np.testing.assert_allclose(ours[:n] @ ours[n:].T, theirs[:n] @ theirs[n:].T, atol=1e-4)


def test_a_sparse_student_has_its_budget_and_wider_rows() -> None:
    table = a_teacher().start()(LOG, DIM + 3, 100, np.random.default_rng(1))
    table.validate(DIM + 3)
    assert table.nnz == 100
    assert np.diff(table.indptr).min() >= 1
    np.testing.assert_allclose(
        row_lengths(table), np.sqrt((table.to_dense(DIM + 3) ** 2).sum(axis=1)), rtol=1e-6
    )
    with pytest.raises(ConfigError, match="as many dimensions as its teacher has, 6"):
        a_teacher().start()(LOG, DIM - 1, 100, np.random.default_rng(1))


def softmax(scores: Array) -> Array:
    odds = np.exp(scores - scores.max())
    result: Array = odds / odds.sum()
    return result


def test_slopes_are_the_differences_of_both_losses() -> None:
    rng = np.random.default_rng(3)
    teacher = Teacher(random_table(rng, ROWS, DIM, 150, np.float64), DIM, 0.7)
    model = MatrixFactorization(random_table(rng, ROWS, DIM, 150, np.float64), DIM, LOG)
    batch = next(PairSampler(LOG, 25, SharedBlock(5)).epoch(rng))
    both, loss = FromTeacher(teacher).objective(LOSSES["softmax"]), LOSSES["softmax"]
    given, theirs = model.forward(batch), MatrixFactorization(teacher.table, DIM, LOG).forward(batch)
    counted = np.isfinite(given.negatives)

    def cost(at: Array) -> float:
        positives, block = at[: batch.size].copy(), np.full_like(given.negatives, -np.inf)
        block[counted] = at[batch.size :]
        total = 0.0
        for g, row in enumerate(block):
            pairs = int(batch.users.starts[g + 1] - batch.users.starts[g])
            here = counted[g]
            if here.any():
                q, p = softmax(theirs.negatives[g][here]), softmax(row[here])
                total += 0.7 * pairs * float((q * np.log(q / p)).sum())
        losses = loss.slopes(batch, Scores(positives, block, given.valid))
        return total + float(losses.sum())

    point = np.concatenate([given.positives, given.negatives[counted]])
    expected = oracles.central_differences(cost, point)
    before = cost(point)
    losses = both.slopes(batch, given)
    assert losses.sum() == pytest.approx(before, rel=1e-12)
    np.testing.assert_allclose(given.positives, expected[: batch.size], atol=1e-8)
    np.testing.assert_allclose(given.negatives[counted], expected[batch.size :], atol=1e-8)


def test_a_teacher_needs_a_block_and_a_weight() -> None:
    batch = next(PairSampler(LOG, 25, OnePerPair()).epoch(np.random.default_rng(0)))
    scores = MatrixFactorization(a_teacher().table, DIM, LOG).forward(batch)
    with pytest.raises(ConfigError, match="ranks a block of negatives"):
        FromTeacher(a_teacher()).objective(LOSSES["bpr"]).slopes(batch, scores)
    with pytest.raises(ConfigError, match="must be 0 or more, found -1"):
        FromTeacher(a_teacher(-1.0)).objective(LOSSES["bpr"])


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"model": "lightgcn"}, "model lightgcn and similarity dot"),
        ({"model": "neumf"}, "model neumf and similarity dot"),
        ({"similarity": "cosine"}, "model mf and similarity cosine"),
        ({"loss": "ccl"}, "model mf and similarity cosine"),
    ],
    ids=str,
)
def test_a_student_multiplies_its_stored_rows(settings: dict[str, Any], found: str) -> None:
    with pytest.raises(ConfigError, match=f"A student is a matrix factorisation .*; found {found}$"):
        train(LOG, Config(dim=DIM, density=0.5, epochs=1, **settings), source=FromTeacher(a_teacher()))


def test_a_baseline_is_no_student() -> None:
    with pytest.raises(ConfigError, match="found model itemknn and similarity dot$"):
        train(LOG, Config(model="itemknn"), source=FromTeacher(a_teacher()))


def test_a_student_comes_closer_to_its_teacher() -> None:
    """Trained with a heavy weight on the imitation, its scores of unseen items go along with the teacher's."""
    teacher = a_teacher(weight=50.0)
    config = Config(
        dim=DIM, density=0.5, epochs=40, validation=0, negatives=20, learning_rate=0.03, explore=0.5
    )
    n = LOG.n_users
    theirs = teacher.table.to_dense(DIM)
    wanted = theirs[:n] @ theirs[n:].T
    unseen = np.ones(wanted.shape, dtype=bool)
    unseen[LOG.pair_users(), LOG.items] = False

    def distance(epochs: int) -> float:
        fitted = train(LOG, replace(config, epochs=epochs), source=FromTeacher(teacher))
        assert fitted.model.table.nnz == fitted.budget.nnz
        dense = fitted.model.table.to_dense(DIM)
        scores = dense[:n] @ dense[n:].T
        total = 0.0
        for user in np.flatnonzero(LOG.user_degrees):
            q, p = softmax(wanted[user, unseen[user]]), softmax(scores[user, unseen[user]])
            total += float((q * np.log(q / p)).sum())
        return total

    assert distance(40) < 0.6 * distance(0)
