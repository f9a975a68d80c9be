"""Passes through the pairs. What batches do, the tests of training hold; here is what single pairs do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest

from sparserec_np.data.splitting import split_random
from sparserec_np.errors import ConfigError
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.kernels.arguments import Explored
from sparserec_np.kernels.compiled.unfolding import row_bits
from sparserec_np.learning.losses import LOSSES
from sparserec_np.learning.optimizers import SGD, Adagrad, Adam
from sparserec_np.models.model import Decay
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.starts.teacher import Teacher
from sparserec_np.training.distillation import FromTeacher
from sparserec_np.training.fitted import SELECT_BY, Fitted
from sparserec_np.training.order import CellOrder
from sparserec_np.training.plan import model_over
from sparserec_np.training.settings import RATES, Config
from sparserec_np.training.state import EntryState, Training
from sparserec_np.training.train import train
from tests.makers.small import needs_compiler, same_bits, small_log

# As plain Python, with NUMBA_DISABLE_JIT=1, the kernels' random numbers warn of wrapping around.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in scalar:RuntimeWarning")
LOG = small_log(80, 300, 2400)
KEPT, HELD = split_random(LOG, 0.2, np.random.default_rng(0))
SINGLE = Config(
    dim=8,
    density=0.3,
    loss="bpr",
    order="cells",
    negatives=1,
    epochs=6,
    evaluate_every=2,
    learning_rate=0.1,
    validation=0.0,
)


def fit(threads: int = 1, **changes: Any) -> Fitted:
    return train(KEPT, replace(SINGLE, **changes), threads=threads)


def ndcg(fitted: Fitted) -> float:
    return evaluate(fitted.model.ranker(), HELD, KEPT)[SELECT_BY]


def of_state(optimizer: SGD | Adagrad | Adam, **changes: Any) -> Training:
    model = model_over(replace(SINGLE, **changes).resolved(), fit(epochs=0).model.table, 8, KEPT)
    rows, nnz = model.table.rows, model.table.nnz
    origin = np.zeros(nnz, np.float32)
    explored = Explored.of(np.empty(0, np.int32), rows, 8)
    return Training(
        model,
        EntryState(optimizer, origin),
        explored,
        np.zeros(0, np.float32),
        np.zeros(0, bool),
        Decay(0, 0, 0, origin),
    )


@needs_compiler
@pytest.mark.parametrize("optimizer", ["adagrad", "sgd"])
@pytest.mark.parametrize(("loss", "negatives"), [("bpr", 1), ("bpr", 32), ("softmax", 32)])
def test_it_learns(optimizer: str, loss: str, negatives: int) -> None:
    start = fit(epochs=0, start="uniform")
    settings = {"optimizer": optimizer, "loss": loss, "negatives": negatives, "batch_size": 64}
    fitted = fit(**settings, start="uniform", epochs=40)
    assert ndcg(fitted) > 2 * ndcg(start)
    losses = [record["loss"] for record in fitted.history[1:]]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("method", [method for method in METHODS if method not in ("rigl", "granet")])
def test_every_method_keeps_its_budget(method: str) -> None:
    fitted = fit(method=method, epochs=4)
    assert fitted.model.table.nnz == fitted.budget.nnz
    fitted.model.table.validate(fitted.budget.dim)
    churn = sum(record["mask_churn"] for record in fitted.history[1:])
    assert (churn > 0) == METHODS[method].growth.grows


@needs_compiler
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("method", ["sparserec", "dense"])
@pytest.mark.parametrize("negatives", [1, 40])
def test_threads_change_nothing(method: str, negatives: int) -> None:
    one, two = (fit(threads, method=method, negatives=negatives, decay_to="zero") for threads in (1, 2))
    assert same_bits(one.model.table, two.model.table)
    assert [record["loss"] for record in one.history] == [record["loss"] for record in two.history]


def test_the_rate_falls_with_every_stratum() -> None:
    rates = []

    def rate(step: int, steps: int) -> float:
        rates.append((step, steps))
        return 0.1

    training = of_state(SGD(0, 0))
    before = training.model.table.values.copy()
    order = CellOrder(KEPT, LOSSES["bpr"], 1, 512)
    loss = order.epoch(training, np.random.default_rng(0), rate, None)
    parts = order.division.parts
    assert parts == KEPT.n_items // 64 == 4
    assert rates == [(step, parts) for step in range(parts)]
    assert 0 < loss / KEPT.n_interactions < 1
    assert np.any(training.model.table.values != before)


def test_what_it_holds_is_counted() -> None:
    fitted = fit()
    parts = KEPT.n_items // 64
    cells = 4 * KEPT.n_interactions + 5 * KEPT.n_items + 8 * (parts**2 + 1) + 2 * 8 * (parts + 1)
    groups = -(-KEPT.n_items // (KEPT.n_items // (8 * parts)))  # of neighbours
    assert fitted.bytes["pairs"] == cells + (4 * parts + 1) * groups
    assert "gradient" not in fitted.bytes
    assert fitted.bytes["optimizer"] == 4 * fitted.budget.nnz


@pytest.mark.parametrize("dim", [8, 64, 65])
@pytest.mark.parametrize("negatives", [1, 32])
def test_the_bits_of_unfolded_rows_are_counted(dim: int, negatives: int) -> None:
    """Which rows unfold, the kernel that makes their bits knows; blocks of negatives read no bits."""
    fitted = fit(dim=dim, negatives=negatives, epochs=1)
    table = fitted.model.table
    bits = row_bits(table.indptr, table.columns, dim).nbytes if negatives == 1 else 0
    assert bits in (0, 8 * table.rows) and (dim <= 64 or not bits)
    assert fitted.bytes["row_bits"] == bits


def test_settings_that_depend_on_it() -> None:
    settings = replace(SINGLE, learning_rate=None).resolved()
    assert (settings.batch_size, settings.optimizer, settings.learning_rate) == (
        512,
        "adagrad",
        RATES["cells"][0],
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "lightgcn"}, "model cannot be 'lightgcn'"),
        ({"loss": "bce"}, "loss cannot be 'bce'"),
        ({"loss": "softmax"}, "against a block"),
        ({"optimizer": "adam"}, "optimizer cannot be 'adam'"),
        ({"similarity": "cosine"}, "similarity cannot be 'cosine'"),
        ({"temperature": 0.5}, "temperature cannot be 0.5"),
        ({"embedding_dropout": 0.1}, "embedding_dropout cannot be 0.1"),
        ({"method": "rigl"}, "method cannot be 'rigl'"),
        ({"importance": "gradient"}, "importance cannot be 'gradient'"),
    ],
)
def test_what_does_not_go_with_single_pairs_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        replace(SINGLE, **changes)


def test_a_teacher_is_refused() -> None:
    with pytest.raises(ConfigError, match="not from a teacher"):
        train(KEPT, SINGLE, source=FromTeacher(Teacher(fit().model.factors(), 8)))


def test_another_optimizer_is_refused() -> None:
    with pytest.raises(ConfigError, match="adagrad or sgd"):
        CellOrder(KEPT, LOSSES["bpr"], 1, 512).epoch(
            of_state(Adam(1, 1)), np.random.default_rng(0), lambda step, steps: 0.1, None
        )
