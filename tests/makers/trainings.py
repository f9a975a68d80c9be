"""Tiny trainings for the tests of the loop, the search and what is around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.training.fitted import SELECT_BY, Fitted, Record
from sparserec_np.training.settings import Config
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


def stop_at(phase: str, epoch: int) -> Callable[[Record], None]:
    """Presses Ctrl-C at the end of an epoch."""

    def on_epoch(record: Record) -> None:
        if (record["phase"], record["epoch"]) == (phase, epoch):
            raise KeyboardInterrupt

    return on_epoch


def ndcg(fitted: Fitted, test: Interactions = HELD, seen: Interactions = KEPT) -> float:
    return evaluate(fitted.model.ranker(), test, seen)[SELECT_BY]
