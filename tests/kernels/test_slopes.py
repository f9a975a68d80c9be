"""Losses and slopes: compiled, plain, textbook and finite differences agree, and nothing overflows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.kernels.compiled import slopes as compiled
from sparserec_np.kernels.reference import slopes as reference
from tests.makers import oracles
from tests.makers.kernel_cases import (
    PRECISIONS,
    Array,
    assert_close,
    assert_threads_change_nothing,
    needs_two_threads,
    random_starts,
)

KERNELS = pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "reference"])
BLOCKS = pytest.mark.parametrize("name", ["bpr_block", "softmax_block"])
ORACLES = {"bpr_block": oracles.bpr, "softmax_block": oracles.softmax}


def pairs(kernel: Any, positive: Any, negative: Any, dtype: Any = np.float64) -> tuple[Array, Array, Array]:
    """Losses, slopes of the positives, slopes of the negatives."""
    positive, negative = np.array(positive, dtype), np.array(negative, dtype)
    losses = np.full_like(positive, 77)
    kernel.bpr_pairs(positive, negative, losses)
    return losses, positive, negative


def block(
    kernel: Any, name: str, starts: Any, positive: Any, negatives: Any, dtype: Any = np.float64
) -> tuple[Array, Array, Array]:
    """Losses, slopes of the positives, slopes of the negatives; ``valid`` is counted."""
    positive, negatives = np.array(positive, dtype), np.array(negatives, dtype)
    valid = (~np.isneginf(negatives)).sum(axis=1).astype(np.int32)
    losses = np.full_like(positive, 77)
    getattr(kernel, name)(np.array(starts, np.int32), positive, negatives, valid, losses)
    return losses, positive, negatives


def random_block(seed: int, groups: int, size: int, seen: float, spread: float) -> tuple[Array, Array, Array]:
    """Starts, positives, negatives; a part ``seen`` of these is -inf, and all of the first group's."""
    rng = np.random.default_rng(seed)
    starts = random_starts(rng, groups, 3)
    negatives = spread * rng.standard_normal((groups, size))
    negatives[rng.random((groups, size)) < seen] = -np.inf
    if seen:
        negatives[:1] = -np.inf
    return starts, spread * rng.standard_normal(starts[-1]), negatives


def exact_losses(name: str, starts: Array, positive: Array, negatives: Array) -> Array:
    """(b,) losses by the textbook; the scores in ``negatives`` that are -inf do not count."""
    owner = np.repeat(np.arange(len(negatives)), np.diff(starts))
    counted = [[float(n) for n in row if n > -np.inf] for row in negatives]
    return np.array([ORACLES[name](float(p), counted[g]) for p, g in zip(positive, owner, strict=True)])


scores = st.floats(-60, 60)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(scores, scores), max_size=9), st.sampled_from(PRECISIONS))
def test_pairs(values: list[tuple[float, float]], dtype: Any) -> None:
    positive, negative = np.array(values, dtype).reshape(-1, 2).T
    expected = pairs(reference, positive, negative, dtype)
    for found, wanted in zip(pairs(compiled, positive, negative, dtype), expected, strict=True):
        assert found.dtype == dtype
        assert_close(found, wanted)
    exact = [oracles.bpr(float(p), [float(n)]) for p, n in zip(positive, negative, strict=True)]
    assert_close(expected[0], np.array(exact), scale=60)


@KERNELS
def test_slopes_of_pairs_are_finite_differences(kernel: Any) -> None:
    rng = np.random.default_rng(0)
    point = 3 * rng.standard_normal((2, 40))

    def loss(at: Array) -> float:
        return sum(oracles.bpr(p, [n]) for p, n in at.T)

    expected = oracles.central_differences(loss, point)
    _, positive, negative = pairs(kernel, *point)
    np.testing.assert_allclose([positive, negative], expected, rtol=1e-8, atol=1e-9)


@KERNELS
@pytest.mark.parametrize("dtype", PRECISIONS)
def test_pairs_far_apart(kernel: Any, dtype: Any) -> None:
    losses, positive, negative = pairs(kernel, [1000, -1000, 0], [-1000, 1000, 0], dtype)
    np.testing.assert_allclose(losses, [0, 2000, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(positive, [0, -1, -0.5], rtol=1e-6)
    np.testing.assert_array_equal(negative, -positive)


@BLOCKS
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    groups=st.integers(0, 70),
    size=st.sampled_from([1, 2, 15, 16, 17, 40]),
    seen=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    spread=st.sampled_from([0.1, 1.0, 10.0]),
    dtype=st.sampled_from(PRECISIONS),
)
def test_blocks(name: str, seed: int, groups: int, size: int, seen: float, spread: float, dtype: Any) -> None:
    starts, positive, negatives = (a.astype(dtype) for a in random_block(seed, groups, size, seen, spread))
    expected = block(reference, name, starts, positive, negatives, dtype)
    for found, wanted in zip(
        block(compiled, name, starts, positive, negatives, dtype), expected, strict=True
    ):
        assert found.dtype == dtype
        assert_close(found, wanted, scale=spread)
    starts = starts.astype(np.int32)
    assert_close(expected[0], exact_losses(name, starts, positive, negatives), scale=4 * spread)
    # A common shift of all scores changes nothing: the slopes of a group add up to zero.
    for g in range(groups):
        own = expected[1][starts[g] : starts[g + 1]]
        assert_close(own.sum(), -expected[2][g].sum(), scale=10)
    assert (expected[2][np.isneginf(negatives)] == 0).all()


@KERNELS
@BLOCKS
@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("seen", [0.0, 0.5])
def test_slopes_of_blocks_are_finite_differences(kernel: Any, name: str, size: int, seen: float) -> None:
    starts, positive, negatives = random_block(3, 6, size, seen, 2.0)
    counted = negatives > -np.inf

    def loss(at: Array) -> float:
        moved = np.full_like(negatives, -np.inf)
        moved[counted] = at[len(positive) :]
        return float(exact_losses(name, starts, at[: len(positive)], moved).sum())

    expected = oracles.central_differences(loss, np.concatenate([positive, negatives[counted]]))
    _, of_positive, of_negatives = block(kernel, name, starts, positive, negatives)
    np.testing.assert_allclose(of_positive, expected[: len(positive)], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(of_negatives[counted], expected[len(positive) :], rtol=1e-8, atol=1e-9)
    assert (of_negatives[~counted] == 0).all()


@KERNELS
@BLOCKS
@pytest.mark.parametrize("dtype", PRECISIONS)
def test_a_user_without_negatives_costs_nothing(kernel: Any, name: str, dtype: Any) -> None:
    """Whatever the positives score, also where exp of it is zero or infinite."""
    positive = [-1000, -300, 0, 300, 1000]
    losses, of_positive, of_negatives = block(kernel, name, [0, 5], positive, [[-np.inf] * 4], dtype)
    assert not losses.any()
    assert not of_positive.any()
    assert not of_negatives.any()


@KERNELS
@BLOCKS
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("positive", [-1000.0, 0.0, 1000.0])
@pytest.mark.parametrize("negative", [-1000.0, 0.0, 1000.0])
def test_huge_scores(kernel: Any, name: str, dtype: Any, positive: float, negative: float) -> None:
    others = [negative, -np.inf, negative - 2000]
    losses, of_positive, of_negatives = block(kernel, name, [0, 1], [positive], [others], dtype)
    excess = np.array([negative, negative - 2000]) - positive
    if name == "bpr_block":  # the exponent, and with it the loss, ends at 88
        share = (1 / (1 + np.exp(-np.clip(excess, -700, 700)))) / 2
        loss = np.logaddexp(0, np.minimum(excess, 88)).mean()
    else:
        share = np.array([1 / (1 + np.exp(-np.clip(excess[0], -700, 700))), 0])
        loss = np.logaddexp(0, excess[0])
    np.testing.assert_allclose(losses, [loss], rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(of_positive, [-share.sum()], rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(of_negatives, [[share[0], 0, share[1]]], rtol=1e-6, atol=1e-30)


@KERNELS
@BLOCKS
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("where", ["positive", "negative"])
def test_a_score_that_is_no_number_shows_in_the_loss(kernel: Any, name: str, dtype: Any, where: str) -> None:
    positive = [0.0, np.nan if where == "positive" else 1.0]
    negatives = [[0.5, 1.0, 2.0], [0.5, np.nan if where == "negative" else 1.0, 2.0]]
    losses, _, _ = block(kernel, name, [0, 1, 2], positive, negatives, dtype)
    assert np.isfinite(losses[0])
    assert np.isnan(losses[1])


@KERNELS
def test_pairs_that_are_no_number_show_in_the_loss(kernel: Any) -> None:
    losses, _, _ = pairs(kernel, [0.0, np.nan, 0.0], [0.0, 0.0, np.nan])
    assert np.isfinite(losses[0])
    assert np.isnan(losses[1:]).all()


@needs_two_threads
def test_the_number_of_threads_changes_nothing() -> None:
    starts, positive, negatives = random_block(5, 300, 40, 0.2, 2.0)
    for name in ORACLES:
        assert_threads_change_nothing(
            lambda name=name: block(compiled, name, starts, positive, negatives, np.float32)  # type: ignore[misc]
        )
    assert_threads_change_nothing(lambda: pairs(compiled, positive, positive[::-1], np.float32))


# The losses with settings of their own: kernel -> (settings, loss of one user's pairs, as in the
# oracles).
SET: dict[str, tuple[dict[str, float], Any]] = {
    "bce_block": ({"negative_weight": 3.0}, oracles.LOSSES["bce"]),
    "bsl_block": ({"sharpness": 0.7}, oracles.LOSSES["bsl"]),
    "ccl_block": ({"negative_weight": 20.0, "margin": 0.3}, oracles.LOSSES["ccl"]),
}
SET_BLOCKS = pytest.mark.parametrize("name", SET)


def set_block(
    kernel: Any, name: str, starts: Any, positive: Any, negatives: Any
) -> tuple[Array, Array, Array]:
    """As :func:`block`, for kernels with settings."""
    positive, negatives = positive.copy(), negatives.copy()
    valid = (~np.isneginf(negatives)).sum(axis=1).astype(np.int32)
    losses = np.full_like(positive, 77)
    getattr(kernel, name)(starts, positive, negatives, valid, losses, *SET[name][0].values())
    return losses, positive, negatives


def set_losses(name: str, starts: Array, positive: Array, negatives: Array) -> float:
    """The losses of all pairs by the textbook."""
    settings_, loss = SET[name]
    total = 0.0
    for g, row in enumerate(negatives):
        own = positive[starts[g] : starts[g + 1]].tolist()
        counted = row[row > -np.inf].tolist()
        total += loss(own, [counted] * len(own), **settings_) if own else 0.0
    return total


@SET_BLOCKS
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    groups=st.integers(0, 70),
    size=st.sampled_from([1, 2, 15, 16, 17, 40]),
    seen=st.sampled_from([0.0, 0.3, 1.0]),
    dtype=st.sampled_from(PRECISIONS),
)
def test_blocks_with_settings(name: str, seed: int, groups: int, size: int, seen: float, dtype: Any) -> None:
    starts, positive, negatives = random_block(seed, groups, size, seen, 2.0)
    starts, positive, negatives = starts.astype(np.int32), positive.astype(dtype), negatives.astype(dtype)
    expected = set_block(reference, name, starts, positive, negatives)
    for found, wanted in zip(set_block(compiled, name, starts, positive, negatives), expected, strict=True):
        assert found.dtype == dtype
        assert_close(found, wanted, scale=20)
    assert (expected[2][np.isneginf(negatives)] == 0).all()
    if dtype == np.float64:
        assert expected[0].sum() == pytest.approx(set_losses(name, starts, positive, negatives), rel=1e-10)


@KERNELS
@SET_BLOCKS
@pytest.mark.parametrize("seen", [0.0, 0.5])
def test_slopes_with_settings_are_finite_differences(kernel: Any, name: str, seen: float) -> None:
    starts, positive, negatives = random_block(3, 6, 5, seen, 1.0)
    starts = starts.astype(np.int32)
    counted = negatives > -np.inf

    def loss(at: Array) -> float:
        moved = np.full_like(negatives, -np.inf)
        moved[counted] = at[len(positive) :]
        return set_losses(name, starts, at[: len(positive)], moved)

    expected = oracles.central_differences(loss, np.concatenate([positive, negatives[counted]]))
    _, of_positive, of_negatives = set_block(kernel, name, starts, positive, negatives)
    np.testing.assert_allclose(of_positive, expected[: len(positive)], rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(of_negatives[counted], expected[len(positive) :], rtol=1e-7, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(scores, scores), max_size=9), st.sampled_from(PRECISIONS))
def test_pairs_with_settings(values: list[tuple[float, float]], dtype: Any) -> None:
    positive, negative = np.array(values, dtype).reshape(-1, 2).T
    for name, own in (("bce_pairs", [3.0]), ("ccl_pairs", [20.0, 0.3])):
        results = []
        for kernel in (compiled, reference):
            arrays = positive.copy(), negative.copy(), np.full_like(positive, 77)
            getattr(kernel, name)(*arrays, *own)
            results.append(arrays)
        for found, wanted in zip(*results, strict=True):
            assert_close(found, wanted, scale=60 * 20)


@KERNELS
@pytest.mark.parametrize("name", ["bce_pairs", "ccl_pairs", *SET])
@pytest.mark.parametrize("where", ["positive", "negative"])
def test_no_number_shows_in_a_loss_with_settings(kernel: Any, name: str, where: str) -> None:
    positive = np.array([0.0, np.nan if where == "positive" else 1.0])
    other = np.nan if where == "negative" else 1.0
    if name in SET:
        losses, _, _ = set_block(
            kernel, name, np.array([0, 1, 2], np.int32), positive, np.array([[0.5, 1.0], [0.5, other]])
        )
    else:
        losses = np.zeros(2)
        own = [3.0] if name == "bce_pairs" else [20.0, 0.3]
        getattr(kernel, name)(positive, np.array([0.5, other]), losses, *own)
    assert np.isfinite(losses[0]) and np.isnan(losses[1])


@needs_two_threads
@SET_BLOCKS
def test_threads_change_nothing_with_settings(name: str) -> None:
    starts, positive, negatives = random_block(5, 300, 40, 0.2, 1.0)
    arrays = starts.astype(np.int32), positive.astype(np.float32), negatives.astype(np.float32)
    assert_threads_change_nothing(lambda: set_block(compiled, name, *arrays))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    groups=st.integers(0, 40),
    size=st.sampled_from([1, 2, 16, 40]),
    seen=st.sampled_from([0.0, 0.3, 1.0]),
    dtype=st.sampled_from(PRECISIONS),
)
def test_imitation(seed: int, groups: int, size: int, seen: float, dtype: Any) -> None:
    starts, positive, student = random_block(seed, groups, size, seen, 2.0)
    teacher = np.where(
        np.isneginf(student), -np.inf, np.random.default_rng(seed).standard_normal(student.shape)
    )
    starts, student, teacher = starts.astype(np.int32), student.astype(dtype), teacher.astype(dtype)
    valid = (~np.isneginf(student)).sum(axis=1).astype(np.int32)
    results = []
    for kernel in (compiled, reference):
        slopes, losses = np.ones_like(student), np.ones(len(positive), dtype)
        kernel.imitation_block(starts, student, teacher, valid, 0.7, slopes, losses)
        results.append((slopes, losses))
        assert (slopes[np.isneginf(student)] == 1).all()
    for found, wanted in zip(*results, strict=True):
        assert_close(found, wanted, scale=10)
