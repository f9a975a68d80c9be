"""``train`` itself, epochs, schedules, exploration and all, follows the plain definitions step by step."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sparserec_np.learning.batches import PairSampler
from sparserec_np.training.plan import Plan
from sparserec_np.training.settings import Config
from sparserec_np.training.starting import make_start
from sparserec_np.training.train import train
from sparserec_np.verify import Settings, plain
from sparserec_np.verify.checking import AGAINST, Plain, largest_errors
from sparserec_np.verify.problems import Problem, forms
from tests.makers.small import small_log

LOG = small_log(14, 16, 90)
AGAINST_WHAT = "torch" if importlib.util.find_spec("torch") else "finite-differences"


@pytest.mark.parametrize("optimizer", plain.OPTIMIZERS)
@pytest.mark.parametrize(("loss", "form"), [(loss, form) for loss in plain.LOSSES for form in forms(loss)])
def test_train_does_what_the_definitions_say(loss: str, form: str, optimizer: str) -> None:
    """All rows are explored, which leaves nothing to chance but the batches; the mask changes after two epochs."""
    config = Config(
        dim=5,
        density=0.4,
        start="uniform",
        loss=loss,
        negatives=6 if form == "block" else 1,
        optimizer=optimizer,
        epochs=3,
        batch_size=30,
        learning_rate=0.05,
        l2_user=0.02,
        l2_positive=0.03,
        l2_negative=0.05,
        explore=1.0,
        drop_until=0.9,
        validation=0.0,
        seed=4,
    )
    fitted = train(LOG, config, threads=1)

    settings = Settings(
        loss=loss, negatives=form, optimizer=optimizer, dim=5, l2=(0.02, 0.03, 0.05), floor=config.floor
    )
    plan = Plan.of(config, LOG)
    table = make_start(LOG, plan, 1).table
    nothing: Any = None
    rows = np.arange(table.rows, dtype=np.int32)
    problem = Problem(settings, LOG, table, np.zeros(table.nnz), nothing, rows, np.empty(0))
    run = Plain(problem, AGAINST[AGAINST_WHAT])
    sampler = PairSampler(LOG, 30, plan.negatives)
    rng = np.random.default_rng([config.seed, 3])
    changes, steps, at = 0, 3 * sampler.batches, 0
    losses = []
    for epoch in (1, 2, 3):
        total = 0.0
        for batch in sampler.epoch(rng):
            rate = 0.05 * 0.5 * (1 + math.cos(math.pi * at / steps))
            run.problem = replace(problem, settings=replace(settings, learning_rate=rate))
            total += run.differentiate(batch)
            run.step(batch)
            at += 1
        losses.append(total / LOG.n_interactions)
        fraction = plan.drops.fraction(epoch, 3)
        if fraction > 0:
            before = run.active
            run.problem = replace(problem, settings=replace(settings, drop_fraction=fraction))
            run.update()
            changes += int((before != run.active).sum())
    assert changes > 10
    model = fitted.model.table
    np.testing.assert_array_equal(problem.active(model), run.active)
    assert [record["loss"] for record in fitted.history[1:]] == pytest.approx(losses, rel=1e-4)
    assert largest_errors(model.to_dense(5), run.values)[1] < 1e-3
