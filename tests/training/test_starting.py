"""The table that training begins with: laid out for its model, and scaled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.training.fitted import Fitted
from sparserec_np.training.plan import Plan, model_over
from sparserec_np.training.settings import Config
from sparserec_np.training.starting import make_start
from sparserec_np.training.train import train
from tests.makers.small import small_log

LOG = small_log(60, 40, 900)
ROWS = LOG.n_users + LOG.n_items
LARGER = small_log(300, 150, 6000)
KEPT, HELD = split_random(LOG, 0.2, np.random.default_rng(0))
TINY = Config(
    dim=8,
    density=0.3,
    start="uniform",
    start_score=0,
    epochs=4,
    batch_size=200,
    negatives=16,
    evaluate_every=1,
    learning_rate=0.01,
)
# Compiled kernels say nothing of an overflow; as plain Python, with NUMBA_DISABLE_JIT=1, they warn.
WITHOUT_WARNINGS = pytest.mark.filterwarnings("ignore::RuntimeWarning")
EVERY_METHOD = pytest.mark.parametrize("method", METHODS)


def fit(log: Interactions = LOG, *, validation_log: Interactions | None = None, **changes: Any) -> Fitted:
    return train(log, replace(TINY, **changes), validation=validation_log, threads=1)


def test_neumf_starts_with_the_strongest_columns_first() -> None:
    config = replace(TINY, start="spectral", start_score=2.0)
    plain, ordered = (
        make_start(LOG, Plan.of(replace(config, model=model), LOG), 1).table for model in ("mf", "neumf")
    )
    squares = (ordered.to_dense(8) ** 2).sum(axis=0)
    assert (np.diff(squares) <= 0).all()
    np.testing.assert_array_equal(ordered.indptr, plain.indptr)
    scores = model_over(replace(config, model="neumf").resolved(), ordered, 8, LOG)
    assert scores.mean_product() == pytest.approx(2.0, rel=1e-5)


def test_the_start_is_scaled_to_the_score_asked_for() -> None:
    for start in ("nmf", "spectral"):
        fitted = fit(start=start, start_score=3.0, epochs=0, validation=0.0)
        dense = fitted.model.table.to_dense(8)
        pairs = dense[LOG.pair_users()] * dense[LOG.items + LOG.n_users]
        assert pairs.sum(axis=1).mean() == pytest.approx(3, rel=1e-4)


# ---- interruptions and refusals
