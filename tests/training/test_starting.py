"""The table that training begins with: laid out for its model, and scaled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sparserec_np.training.plan import Plan, model_over
from sparserec_np.training.starting import make_start
from tests.makers.trainings import LOG, TINY, fit


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
