"""Views: dropout leaves out what it says, similarities are what a trained model is served with."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.kernels.arguments import Explored
from sparserec_np.models.views import Dropout, UnitRows, served_table, similarity_views
from tests.makers.small import random_table

ROWS, DIM = 40, 8


def test_dropout_leaves_out_its_part_and_scales_the_rest() -> None:
    table = random_table(np.random.default_rng(0), ROWS, DIM, 300, np.float64)
    view = Dropout(0.25, np.random.default_rng(1))
    rows = np.arange(0, ROWS, 2, dtype=np.int32)
    left = 0
    for _ in range(40):
        read = view.apply(table, rows)
        factors = read.values[table.places(rows)] / table.values[table.places(rows)]
        assert set(np.round(factors, 12)) <= {0.0, round(1 / 0.75, 12)}
        left += int(np.count_nonzero(factors))
        gradient = np.ones(table.nnz)
        view.pull_back(rows, gradient, Explored.of(rows[:2], ROWS, DIM))
        np.testing.assert_allclose(gradient[table.places(rows)], factors)
        others = np.setdiff1d(np.arange(ROWS), rows)
        assert (gradient[table.places(others)] == 1).all()
    assert left / (40 * len(table.places(rows))) == pytest.approx(0.75, abs=0.02)


def test_served_rows_are_those_of_the_similarity_without_dropout() -> None:
    table = random_table(np.random.default_rng(0), ROWS, DIM, 200, np.float64)
    dropout = Dropout(0.5, np.random.default_rng(0))
    plain = served_table(table, (dropout,))
    assert plain.values is table.values
    cosine = served_table(table, (dropout, *similarity_views("cosine", 0.25)))
    lengths = np.sqrt((cosine.to_dense(DIM) ** 2).sum(axis=1))
    np.testing.assert_allclose(lengths[np.diff(table.indptr) > 0], 2.0)
    halved = served_table(table, similarity_views("dot", 4.0))
    np.testing.assert_allclose(halved.values, table.values / 2)
    assert similarity_views("dot", 1.0) == ()


def test_a_view_follows_a_table_of_another_size() -> None:
    view = UnitRows(1.0)
    for entries in (50, 60):
        table = random_table(np.random.default_rng(0), ROWS, DIM, entries, np.float64)
        rows = np.arange(ROWS, dtype=np.int32)
        assert len(view.apply(table, rows).values) == entries
        assert view.nbytes == 8 * entries
