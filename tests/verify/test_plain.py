"""The plain definitions, which check the engine, are checked themselves: against loops, and against PyTorch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np import config, losses, optimizers
from sparserec_np.verify import plain
from sparserec_np.verify.problems import NEGATIVES, Problem, Settings, forms
from tests import oracles
from tests.small import Array

CASES = [(loss, form) for loss in ("bpr", "softmax") for form in forms(loss)]


def random_scores(seed: int) -> tuple[Array, Array, Array]:
    """Positives (9, 1), negatives (9, 5), and which count: for the first pair none, for the second all."""
    rng = np.random.default_rng(seed)
    counted = rng.random((9, 5)) < 0.6
    counted[0], counted[1] = False, True
    return 3 * rng.standard_normal((9, 1)), 3 * rng.standard_normal((9, 5)), counted


def test_everything_to_choose_from_has_its_row() -> None:
    assert set(plain.MODELS) == set(config.CHOICES["model"])
    assert set(plain.LOSSES) == set(losses.LOSSES)
    assert set(plain.OPTIMIZERS) == set(optimizers.OPTIMIZERS)


@pytest.mark.parametrize("name", ["bpr", "softmax"])
def test_losses_are_those_of_the_loops(name: str) -> None:
    positive, negatives, counted = random_scores(0)
    expected = [
        getattr(oracles, name)(p[0], n[c].tolist())
        for p, n, c in zip(positive, negatives, counted, strict=True)
    ]
    found = plain.LOSSES[name](positive, negatives, counted, np)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", plain.LOSSES)
def test_losses_are_the_same_in_both_libraries(name: str) -> None:
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: pip install 'sparserec_np[verify]'"
    )
    scores = random_scores(1)
    expected = plain.LOSSES[name](*scores, np)
    found = plain.LOSSES[name](*(torch.tensor(array) for array in scores), torch)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13, atol=1e-15)


def test_losses_are_pytorch_s_own() -> None:
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: pip install 'sparserec_np[verify]'"
    )
    functional: Any = torch.nn.functional
    positive, negatives, counted = (torch.tensor(array) for array in random_scores(2))
    all_counted = torch.ones_like(counted)
    bpr = -functional.logsigmoid(positive - negatives).mean(1)
    classes = torch.cat([positive, negatives.masked_fill(~counted, -torch.inf)], dim=1)
    softmax = functional.cross_entropy(classes, torch.zeros(9, dtype=torch.int64), reduction="none")
    for found, expected in (
        (plain.bpr(positive, negatives, all_counted, torch), bpr),
        (plain.softmax(positive, negatives, counted, torch), softmax),
    ):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(("loss", "form"), CASES)
def test_costs_of_a_batch_are_those_of_the_loops(loss: str, form: str) -> None:
    problem = Problem.draw(Settings(loss=loss, negatives=form, seed=3))
    batch, log = problem.batch, problem.log
    dense, origin = problem.dense(problem.table.values), problem.dense(problem.origin)
    negatives = [batch.negatives.tolist()] * batch.size if batch.shared else [[j] for j in batch.negatives]
    touched = {(int(u), log.n_users + int(i)) for u, i in zip(log.pair_users(), log.items, strict=True)}

    def loops(*decay: float) -> float:
        return oracles.factorization_loss(
            dense,
            list(zip(batch.user_of.tolist(), batch.positives.tolist(), strict=True)),
            negatives,
            touched if batch.shared else set(),
            getattr(oracles, loss),
            decay,
            origin,
        )

    pull = problem.pull()
    found = plain.costs("mf", loss, {"table": dense}, problem.pairs(batch), pull, np)
    assert found[0] == pytest.approx(loops(0, 0, 0), rel=1e-12)
    assert found[1] == pytest.approx(loops(*problem.settings.l2) - loops(0, 0, 0), rel=1e-10)


@pytest.mark.parametrize("name", plain.OPTIMIZERS)
def test_steps_are_those_of_the_formulas_and_lazy(name: str) -> None:
    rng = np.random.default_rng(4)
    start = rng.standard_normal((3, 2))
    values, state = start.copy(), dict[str, Array]()
    steps = [(rng.permutation(3)[: 1 + n % 3], rng.standard_normal((3, 2))) for n in range(8)]
    for rows, gradient in steps:
        plain.OPTIMIZERS[name].step(values, gradient, state, rows, 0.1)
    constants = {"sgd": (0.1,), "adagrad": (0.1, 1e-10), "adam": (0.1, 0.9, 0.999, 1e-8)}[name]
    for row, column in np.ndindex(3, 2):
        own = [float(gradient[row, column]) for rows, gradient in steps if row in rows]
        expected = getattr(oracles, name)(float(start[row, column]), own, *constants)
        assert values[row, column] == pytest.approx(expected, rel=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.floats(0, 1))
def test_a_topology_update_keeps_the_count_and_its_promises(seed: int, floor: int, fraction: float) -> None:
    rng = np.random.default_rng(seed)
    active = rng.random((6, 5)) < 0.5
    values, sums = rng.standard_normal((6, 5)) * active, rng.standard_normal((6, 5))
    rows = np.array([0, 2, 3])
    after = plain.topology_update(values, active, sums, rows, fraction, floor, 0.5)
    others = [1, 4, 5]
    assert np.array_equal(after.active[others], active[others])
    assert after.active.sum() == active.sum()
    assert np.array_equal(after.regrown, after.active & ~active)
    pruned = active & ~after.active
    assert pruned.sum() <= fraction * active[rows].sum()
    assert np.all((active & after.active).sum(1) >= np.minimum(floor, active.sum(1)))
    assert not after.values[~after.active].any()
    assert np.array_equal(after.values[active & after.active], values[active & after.active])
    if after.regrown.any():
        left = ~after.active & ~active
        left[others] = False
        assert np.abs(sums[after.regrown]).min() >= np.abs(sums[left]).max(initial=0)
        assert np.allclose(
            after.values[after.regrown], -np.sign(sums[after.regrown]) * 0.5 * np.abs(values[pruned]).max()
        )


def test_problems_have_the_hard_cases_in_them() -> None:
    """A user without negatives, empty rows, and batches that are the same each time."""
    problem = Problem.draw(Settings())
    assert not problem.pairs(problem.batch).counted[problem.batch.user_of == 0].any()
    assert np.any(np.diff(problem.table.indptr) == 0)
    one, other = (next(problem.batches()) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one[1:4], other[1:4], strict=True))
    assert set(NEGATIVES) == {"pairs", "block"}
