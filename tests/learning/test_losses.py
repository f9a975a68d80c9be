"""Losses and slopes against loops in float64, and the slopes against differences of the losses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sparserec_np.errors import ConfigError
from sparserec_np.learning.batches import Batch, Groups
from sparserec_np.learning.losses import LOSSES, Scores
from tests.makers.small import Array

SIZES = [3, 1, 2]  # pairs of each user


def a_batch(shared: bool) -> Batch:
    starts = np.cumsum([0, *SIZES]).astype(np.int32)
    users = np.repeat(np.arange(3, dtype=np.int32), SIZES)
    negatives = np.arange(20 if shared else 6, dtype=np.int32) + 3
    return Batch(
        Groups(np.arange(3, dtype=np.int32), starts), users, np.arange(6, dtype=np.int32), negatives, shared
    )


def random_scores(shared: bool, seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    positives = rng.normal(0, 2, 6)
    if not shared:
        return Scores(positives, rng.normal(0, 2, 6), np.empty(0, np.int32))
    negatives = rng.normal(0, 2, (3, 20))
    negatives[rng.random((3, 20)) < 0.2] = -np.inf
    negatives[1] = -np.inf  # a user who touched them all
    return Scores(positives, negatives, np.isfinite(negatives).sum(axis=1).astype(np.int32))


def total(name: str, positives: Array, negatives: Array) -> float:
    """The loss summed over pairs, as written in a paper."""
    result = 0.0
    for m, user in enumerate(np.repeat(np.arange(3), SIZES)):
        own = float(positives[m])
        if negatives.ndim == 1:
            result += math.log(1 + math.exp(negatives[m] - own))
            continue
        others = [float(s) for s in negatives[user] if np.isfinite(s)]
        if name == "bpr":
            result += sum(math.log(1 + math.exp(s - own)) for s in others) / max(len(others), 1)
        else:
            result -= own - math.log(math.exp(own) + sum(math.exp(s) for s in others))
    return result


CASES = pytest.mark.parametrize(("name", "shared"), [("bpr", False), ("bpr", True), ("softmax", True)])


@CASES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_are_those_of_the_loops(name: str, shared: bool, dtype: type) -> None:
    given = random_scores(shared)
    scores = Scores(given.positives.astype(dtype), given.negatives.astype(dtype), given.valid)
    losses = LOSSES[name].slopes(a_batch(shared), scores)
    assert losses.dtype == dtype and len(losses) == 6
    wanted = total(name, given.positives, given.negatives)
    assert losses.sum() == pytest.approx(wanted, rel=1e-5 if dtype == np.float32 else 1e-12)


@CASES
def test_slopes_are_the_differences_of_the_losses(name: str, shared: bool) -> None:
    given = random_scores(shared, seed=1)
    slopes = Scores(given.positives.copy(), given.negatives.copy(), given.valid)
    LOSSES[name].slopes(a_batch(shared), slopes)
    step = 1e-6
    for array, got in ((given.positives, slopes.positives), (given.negatives, slopes.negatives)):
        for place in np.ndindex(array.shape):
            if not np.isfinite(array[place]):
                assert got[place] == 0
                continue
            value = array[place]
            array[place] = value + step
            above = total(name, given.positives, given.negatives)
            array[place] = value - step
            below = total(name, given.positives, given.negatives)
            array[place] = value
            assert got[place] == pytest.approx((above - below) / (2 * step), abs=1e-7)


@CASES
@pytest.mark.parametrize("size", [50.0, 500.0])
def test_extreme_scores_stay_finite(name: str, shared: bool, size: float) -> None:
    given = random_scores(shared)
    for sign in (1, -1):
        positives = (sign * size * np.abs(given.positives)).astype(np.float32)
        scores = Scores(positives, given.negatives.astype(np.float32), given.valid)
        losses = LOSSES[name].slopes(a_batch(shared), scores)
        assert np.isfinite(losses).all() and losses.min() >= 0
        assert np.isfinite(scores.positives).all() and np.isfinite(scores.negatives).all()


def test_softmax_needs_a_block() -> None:
    with pytest.raises(ConfigError, match="softmax needs a block of negatives"):
        LOSSES["softmax"].slopes(a_batch(False), random_scores(False))


FORMS = [(loss.name, shared) for loss in LOSSES.values() for shared in (True, False) if shared or loss.pairs]


@pytest.mark.parametrize(("name", "shared"), FORMS)
def test_weights_multiply_the_loss_of_each_pair(name: str, shared: bool) -> None:
    """Slopes are those of the weighted sum, by differences; the losses are the plain ones, multiplied."""
    weights = np.array([0.5, 2, 1, 3, 0.25, 1.25], np.float32)
    plain, batch = LOSSES[name], a_batch(shared)
    given = random_scores(shared, seed=2)

    def copied() -> Scores:
        return Scores(given.positives.copy(), given.negatives.copy(), given.valid)

    def cost(positives: Array, negatives: Array) -> float:
        scores = Scores(positives.copy(), negatives.copy(), given.valid)
        return float((plain.slopes(batch, scores) * weights).sum())

    scores = copied()
    losses = plain.slopes(batch._replace(weights=weights), scores)
    np.testing.assert_allclose(losses, plain.slopes(batch, copied()) * weights, rtol=1e-12)
    for side, found in (("positives", scores.positives), ("negatives", scores.negatives)):
        for place in np.ndindex(found.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = {"positives": given.positives.copy(), "negatives": given.negatives.copy()}
                moved[side][place] += step
                ends.append(cost(**moved))
            assert found[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(("name", "shared"), FORMS)
def test_weights_of_one_are_no_weights(name: str, shared: bool) -> None:
    alone, weighted = random_scores(shared, seed=3), random_scores(shared, seed=3)
    plain = LOSSES[name].slopes(a_batch(shared), alone)
    found = LOSSES[name].slopes(a_batch(shared)._replace(weights=np.ones(6, np.float32)), weighted)
    np.testing.assert_allclose(found, plain, rtol=1e-12)
    np.testing.assert_allclose(weighted.positives, alone.positives, rtol=1e-12)
    np.testing.assert_allclose(weighted.negatives, alone.negatives, rtol=1e-12)
