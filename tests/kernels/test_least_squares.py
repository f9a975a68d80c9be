"""Least squares: the twin against dense formulas, the compiled kernels against the twin; any threads, the same bits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.arguments import NO_TRUSTS, Equations
from sparserec_np.kernels.compiled import least_squares as compiled
from sparserec_np.kernels.reference import least_squares as reference
from tests.makers.kernel_cases import Array, assert_threads_change_nothing, needs_two_threads, random_table

DIM = 12


class Problem(NamedTuple):
    """What both kernels read."""

    own: SparseTable
    equations: Equations

    def solved(self, kernels: object) -> SparseTable:
        own = self.own._replace(values=self.own.values.copy())
        kernels.solve_rows(own, self.equations)  # type: ignore[attr-defined]
        return own

    def weighed(self, kernels: object, first: int, rows: int) -> tuple[Array, Array]:
        values, worths = (np.full((rows, DIM), np.nan, np.float32) for _ in range(2))
        kernels.weigh_rows(*self, first, values, worths)  # type: ignore[attr-defined]
        return values, worths

    def objective(self, row: int, x: Array) -> float:
        """The sum of squares that a row (DIM,) makes as small as it can."""
        others, indptr, touched, aims, gram, ridges, full, cross, trusts = self.equations
        mine = slice(indptr[row], indptr[row + 1])
        trust = trusts[mine] if len(trusts) else 1
        squares = (trust * np.square(aims[mine] - others.to_dense(DIM)[touched[mine]] @ x)).sum()
        return float(squares + x @ gram @ x + ridges[row] * x @ x - 2 * (full[row] @ cross) @ x)


def problem(
    seed: int, rows: int = 25, others: int = 18, dtype: type = np.float32, width: int | None = None
) -> Problem:
    """A full row of 0 to 2 columns, where ``width`` does not say how many; every other is weighted."""
    rng = np.random.default_rng(seed)
    mask = rng.random((rows, others)) < 0.3
    mask[0] = False  # who touched nothing
    table = random_table(rng, others, DIM, 0.5, dtype)
    dense = table.to_dense(DIM).astype(np.float64)
    width = seed % 3 if width is None else width
    own = random_table(rng, rows, DIM, 0.4, dtype)
    equations = Equations(
        table,
        np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32),
        np.nonzero(mask)[1].astype(np.int32),
        rng.uniform(0.5, 1.5, int(mask.sum())).astype(np.float32),
        0.1 * dense.T @ dense,
        rng.uniform(0.1, 2, rows),
        rng.standard_normal((rows, width)).astype(np.float32),
        rng.standard_normal((width, DIM)),
        rng.uniform(0.2, 3, int(mask.sum())).astype(np.float32) if seed % 2 else NO_TRUSTS,
    )
    return Problem(own, equations)


@given(st.integers(0, 10_000))
def test_no_step_within_the_stored_entries_makes_a_solution_better(seed: int) -> None:
    given_ = problem(seed, dtype=np.float64)
    solved = given_.solved(reference).to_dense(DIM)
    stored = given_.own.to_dense(DIM) != 0
    for row in range(len(solved)):
        least = given_.objective(row, solved[row])
        assert not solved[row][~stored[row]].any()
        for column in np.flatnonzero(stored[row]):
            for step in (-1e-3, 1e-3):
                moved = solved[row].copy()
                moved[column] += step
                assert given_.objective(row, moved) > least


@given(st.integers(0, 10_000))
def test_worth_is_what_one_more_entry_gains(seed: int) -> None:
    given_ = problem(seed, dtype=np.float64)
    solved = given_.solved(reference).to_dense(DIM)
    stored = given_.own.to_dense(DIM) != 0
    values, worths = given_.weighed(reference, 0, len(solved))
    np.testing.assert_allclose(values[stored], solved[stored], rtol=1e-6)
    for row, column in zip(*np.nonzero(~stored), strict=True):
        more = solved[row].copy()
        more[column] = values[row, column]
        gained = given_.objective(row, solved[row]) - given_.objective(row, more)
        assert worths[row, column] == pytest.approx(gained, rel=1e-4, abs=1e-9)
    for row, column in zip(*np.nonzero(stored), strict=True):
        less = solved[row].copy()
        less[column] = 0
        lost = given_.objective(row, less) - given_.objective(row, solved[row])
        assert worths[row, column] == pytest.approx(lost, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-8)])
@settings(deadline=None)  # the first call compiles
@given(seed=st.integers(0, 10_000))
def test_compiled_rows_are_those_of_the_twin(dtype: type, tolerance: float, seed: int) -> None:
    given_ = problem(seed, dtype=dtype)
    found, expected = given_.solved(compiled), given_.solved(reference)
    np.testing.assert_allclose(found.values, expected.values, rtol=tolerance, atol=tolerance / 100)
    for first, rows in ((0, 25), (7, 9), (24, 1)):
        for ours, plain in zip(
            given_.weighed(compiled, first, rows), given_.weighed(reference, first, rows), strict=True
        ):
            np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-9)


def test_trust_in_ones_changes_no_bit() -> None:
    plain = problem(4)
    ones = plain.equations._replace(trusts=np.ones(len(plain.equations.touched), np.float32))
    weighted = plain._replace(equations=ones)
    assert weighted.solved(compiled).values.tobytes() == plain.solved(compiled).values.tobytes()
    for found, expected in zip(
        weighted.weighed(compiled, 0, 25), plain.weighed(compiled, 0, 25), strict=True
    ):
        assert found.tobytes() == expected.tobytes()


@needs_two_threads
def test_threads_change_nothing() -> None:
    given_ = problem(5, rows=300, others=90, width=4)
    assert_threads_change_nothing(lambda: (given_.solved(compiled).values, *given_.weighed(compiled, 0, 300)))
