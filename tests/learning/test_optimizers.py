"""Optimizer steps against the textbook formulas, one entry at a time in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparserec_np.learning.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, Optimizer
from tests.makers.small import random_table

ROWS, DIM, NNZ = 12, 6, 30


def run(optimizer: Optimizer, steps: int) -> tuple[Any, list[Any], list[Any]]:
    """A few steps over changing rows: the table, and the values before and the gradients of each step."""
    rng = np.random.default_rng(0)
    table = random_table(rng, ROWS, DIM, NNZ)
    values, gradients = [table.values.copy()], []
    gradient = np.zeros(NNZ, np.float32)
    for _ in range(steps):
        rows = rng.permutation(ROWS)[: ROWS // 2].astype(np.int32)
        touched = np.isin(table.row_numbers(), rows)
        gradient[touched] = rng.standard_normal(np.count_nonzero(touched))
        gradients.append(np.where(touched, gradient, np.nan))
        optimizer.step(table, rows, gradient, 0.1)
        assert not gradient.any()
        values.append(table.values.copy())
    return table, values, gradients


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_the_formulas(name: str) -> None:
    table, values, gradients = run(OPTIMIZERS[name](NNZ, ROWS), 6)
    for k in range(NNZ):
        x, m, v, t = float(values[0][k]), 0.0, 0.0, 0
        for after, gradient in zip(values[1:], gradients, strict=True):
            g = float(gradient[k])
            if np.isnan(g):  # its row was not touched: it rests, and so do its moments and its count
                assert after[k] == pytest.approx(x, rel=1e-4, abs=1e-6)
                continue
            t += 1
            if name == "sgd":
                x -= 0.1 * g
            elif name == "adagrad":
                v += g * g
                x -= 0.1 * g / (np.sqrt(v) + 1e-10)
            else:
                m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
                x -= 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            assert after[k] == pytest.approx(x, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_curvature_is_the_sum_of_squared_gradients(name: str) -> None:
    """Adam's is of a mean that forgets; few steps of much the same size are near enough to their sum."""
    optimizer = OPTIMIZERS[name](NNZ, ROWS)
    table, _, gradients = run(optimizer, 6)
    found = optimizer.curvature(table)
    if name == "sgd":
        assert len(found) == 0
        return
    assert found.dtype == np.float32
    assert found == pytest.approx(
        np.nansum(np.square(gradients), axis=0), rel=0.01 if name == "adam" else 1e-5
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rows_that_are_not_touched_keep_their_bits(name: str) -> None:
    _, values, gradients = run(OPTIMIZERS[name](NNZ, ROWS), 3)
    for before, after, gradient in zip(values[:-1], values[1:], gradients, strict=True):
        rested = np.isnan(gradient)
        assert rested.any() and np.array_equal(before[rested], after[rested])
        assert np.all(before[~rested] != after[~rested])


def test_adam_counts_the_steps_of_each_row() -> None:
    table = random_table(np.random.default_rng(0), 3, 4, 12)
    adam = Adam(12, 3)
    for rows in ([0], [0, 2], [0]):
        adam.step(table, np.array(rows, np.int32), np.ones(12, np.float32), 0.1)
    assert adam.steps.tolist() == [3, 0, 1]


@pytest.mark.parametrize("kind", [Adam, Adagrad])
def test_a_regrown_entry_does_not_leap(kind: Any) -> None:
    """After 500 steps of gradients of size 1, an entry with a fresh state moves no further than the others."""
    table = random_table(np.random.default_rng(0), 1, 5, 5)
    optimizer = kind(5, 1)
    gradient = np.ones(5, np.float32)
    row = np.zeros(1, np.int32)
    for _ in range(500):
        gradient[:] = 1
        optimizer.step(table, row, gradient, 0.01)

    def regrow(state: Any, grown: Any) -> Any:
        return np.append(state[:4], grown).astype(state.dtype)

    optimizer.carry(regrow, lambda state: state.mean(keepdims=True))
    before = table.values.copy()
    gradient[:] = 1
    optimizer.step(table, row, gradient, 0.01)
    moved = before - table.values
    assert 0 < moved[4] <= 1.01 * moved[0]


def test_bytes_of_the_state() -> None:
    assert SGD(NNZ, ROWS).nbytes == 0
    assert Adagrad(NNZ, ROWS).nbytes == 4 * NNZ
    assert Adam(NNZ, ROWS).nbytes == 8 * NNZ + 4 * ROWS
