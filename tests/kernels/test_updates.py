"""Optimizer steps: compiled, plain and one parameter at a time agree, and rows that are not named stay as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.arguments import Moments
from sparserec_np.kernels.compiled import updates as compiled
from sparserec_np.kernels.reference import updates as reference
from sparserec_np.learning.optimizers import corrections_of
from tests.makers import oracles
from tests.makers.kernel_cases import (
    PRECISIONS,
    Array,
    assert_close,
    assert_threads_change_nothing,
    needs_two_threads,
    random_rows,
    random_table,
)

NAMES = ["sgd", "adagrad", "adam"]
RATE, BETAS, EPSILON = 0.03, (0.9, 0.999), 1e-8


def states(name: str, table: SparseTable) -> tuple[Array, ...]:
    """What an optimizer keeps, at the start."""
    zeros = np.zeros_like(table.values)
    steps = np.zeros(table.rows, dtype=np.int32)
    return {"sgd": (), "adagrad": (zeros,), "adam": Moments(zeros, zeros.copy(), steps)}[name]


def step(
    kernel: Any, name: str, table: SparseTable, rows: Array, gradient: Array, state: tuple[Array, ...]
) -> None:
    kind = table.values.dtype.type
    if name == "sgd":
        kernel.sgd(table, rows, gradient, kind(RATE))
    elif name == "adagrad":
        kernel.adagrad(table, rows, gradient, state[0], kind(RATE), kind(EPSILON))
    else:
        kernel.adam(table, rows, gradient, state, RATE, BETAS, EPSILON, corrections_of(*BETAS))


def run(kernel: Any, name: str, start: SparseTable, batches: list[tuple[Array, Array]]) -> tuple[Array, ...]:
    """Values and state after a step for each of ``batches``: rows, and the gradient of all entries."""
    table = start._replace(values=start.values.copy())
    state = states(name, table)
    for rows, whole in batches:
        gradient = whole.copy()
        step(kernel, name, table, rows, gradient, state)
        named = np.isin(table.row_numbers(), rows)
        assert not gradient[named].any()
        np.testing.assert_array_equal(gradient[~named], whole[~named])
    return table.values, *state


def random_batches(
    seed: int, n_rows: int, dim: int, density: float, count: int, named: int, dtype: Any
) -> tuple[SparseTable, list[tuple[Array, Array]]]:
    rng = np.random.default_rng(seed)
    table = random_table(rng, n_rows, dim, density, dtype)
    return table, [
        (random_rows(rng, n_rows, named), rng.standard_normal(table.nnz).astype(dtype)) for _ in range(count)
    ]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_rows=st.integers(1, 12),
    density=st.sampled_from([0.0, 0.3, 1.0]),
    count=st.integers(1, 6),
    named=st.integers(0, 12),
    dtype=st.sampled_from(PRECISIONS),
)
def test_steps(name: str, seed: int, n_rows: int, density: float, count: int, named: int, dtype: Any) -> None:
    table, batches = random_batches(seed, n_rows, 6, density, count, named, dtype)
    expected = run(reference, name, table, batches)
    for found, wanted in zip(run(compiled, name, table, batches), expected, strict=True):
        assert found.dtype == wanted.dtype
        assert_close(found, wanted)

    exact = []
    for place, row in enumerate(table.row_numbers()):
        met = [float(gradient[place]) for rows, gradient in batches if row in rows]
        value = float(table.values[place])
        if name == "sgd":
            exact.append(oracles.sgd(value, met, RATE))
        elif name == "adagrad":
            exact.append(oracles.adagrad(value, met, RATE, EPSILON))
        else:
            exact.append(oracles.adam(value, met, RATE, *BETAS, EPSILON))
    assert_close(expected[0], np.array(exact))


@pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])
@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_not_named_stay(kernel: Any, name: str) -> None:
    table, batches = random_batches(1, 9, 6, 0.6, 3, 9, np.float32)
    spared = int(np.argmax(np.diff(table.indptr)))
    batches = [(rows[rows != spared], gradient) for rows, gradient in batches]
    values, *state = run(kernel, name, table, batches)
    own = slice(table.indptr[spared], table.indptr[spared + 1])
    np.testing.assert_array_equal(values[own], table.values[own])
    assert (values != table.values).sum() == table.nnz - (own.stop - own.start)
    for kept in state:
        assert not (kept[own] if len(kept) == table.nnz else kept[spared]).any()


@pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])
@pytest.mark.parametrize("dtype", PRECISIONS)
def test_the_first_step_of_adam_is_as_long_as_the_rate(kernel: Any, dtype: Any) -> None:
    table, batches = random_batches(2, 9, 6, 0.6, 1, 9, dtype)
    values, *_ = run(kernel, "adam", table, batches)
    moved = (values - table.values).astype(np.float64)
    np.testing.assert_allclose(moved, -RATE * np.sign(batches[0][1]), rtol=2e-4)


@pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])
def test_a_row_goes_on_without_gradient(kernel: Any) -> None:
    """Its moments fade, its value follows them, and its steps are counted."""
    table = SparseTable.from_dense(np.ones((1, 1)))
    rows = np.zeros(1, dtype=np.int32)
    values, first, second, steps = run(
        kernel, "adam", table, [(rows, np.array([1.0])), (rows, np.array([0.0]))]
    )
    assert first[0] == pytest.approx(0.09)
    assert second[0] == pytest.approx(0.000999)
    assert steps[0] == 2
    assert values[0] == pytest.approx(oracles.adam(1.0, [1.0, 0.0], RATE, *BETAS, EPSILON))


@pytest.mark.parametrize("name", NAMES)
def test_many_steps_in_float32_stay_near_those_in_float64(name: str) -> None:
    table, batches = random_batches(3, 20, 8, 0.5, 300, 15, np.float64)
    exact, *_ = run(reference, name, table, batches)
    narrow = table._replace(values=table.values.astype(np.float32))
    found, *_ = run(compiled, name, narrow, [(rows, g.astype(np.float32)) for rows, g in batches])
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)


@needs_two_threads
@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_threads_changes_nothing(name: str) -> None:
    table, batches = random_batches(4, 400, 20, 0.5, 5, 300, np.float32)
    assert_threads_change_nothing(lambda: run(compiled, name, table, batches))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_follow_each_other_step_as_each_of_them_does(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    table = random_table(rng, 300, 40, 0.3, dtype)
    some = [np.flatnonzero(rng.random(300) < part).astype(np.int32) for part in (1.0, 0.5, 0.9, 1.0)]
    whole = [rng.standard_normal(table.nnz).astype(dtype) * (rng.random(table.nnz) < 0.5) for _ in some]
    ascending = list(zip(some, whole, strict=True))
    mixed = [(rng.permutation(rows), gradient) for rows, gradient in ascending]
    for found, wanted in zip(
        run(compiled, "adam", table, ascending), run(compiled, "adam", table, mixed), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])
def test_rows_of_very_many_steps_are_corrected_by_nothing(kernel: Any) -> None:
    table = SparseTable(np.array([0, 1, 2], np.int32), np.zeros(2, np.uint8), np.ones(2))
    moments = Moments(np.full(2, 0.5), np.full(2, 0.25), np.array([10**6, 2 * 10**9], np.int32))
    gradient = np.ones(2)
    corrections = corrections_of(*BETAS)
    assert (corrections[-1] == 1).all() and (corrections[-2000] > 1).any()
    kernel.adam(table, np.array([0, 1], np.int32), gradient, moments, RATE, BETAS, EPSILON, corrections)
    mean, square = 0.9 * 0.5 + 0.1, 0.999 * 0.25 + 0.001
    np.testing.assert_allclose(table.values, 1 - RATE * mean / (square**0.5 + EPSILON), rtol=1e-12)
