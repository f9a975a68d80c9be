"""Which rows are drawn, and how often."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.sparsity.exploration import IMPORTANCES, Exploration
from tests.makers.small import Array

NOTHING = np.empty(0, np.float32)


def times_drawn(exploration: Exploration, degrees: Array, norms: Array, turns: int = 4000) -> Array:
    rng = np.random.default_rng(0)
    seen = np.zeros(len(degrees))
    for _ in range(turns):
        seen[exploration.draw(degrees, norms, np.ones(len(degrees), dtype=bool), rng)] += 1
    return seen / turns


@given(
    st.integers(1, 60),
    st.floats(0, 1, exclude_min=True),
    st.sampled_from(IMPORTANCES),
    st.integers(0, 2**32 - 1),
)
def test_the_share_asked_for_is_drawn(rows: int, fraction: float, importance: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    degrees, norms = rng.integers(0, 5, rows), rng.random(rows, np.float32) * (rng.random(rows) < 0.5)
    waiting = rng.random(rows) < 0.5
    drawn = Exploration(fraction, importance).draw(degrees, norms, waiting, rng)
    assert drawn.dtype == np.int32 and len(drawn) == max(1, round(fraction * rows))
    assert np.all(np.diff(drawn) > 0) and drawn.min() >= 0 and drawn.max() < rows


def test_one_row_is_drawn_in_proportion_to_its_importance() -> None:
    weights = np.array([1.0, 4.0, 9.0, 16.0, 0.0])
    by_degree = times_drawn(Exploration(0.2, "degree"), weights, NOTHING)
    assert by_degree == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.0], abs=0.03)
    by_norm = times_drawn(Exploration(0.2, "gradient"), np.ones(5), weights.astype(np.float32))
    assert by_norm == pytest.approx(weights / 30, abs=0.03)
    assert times_drawn(Exploration(0.2, "uniform"), weights, NOTHING) == pytest.approx([0.2] * 5, abs=0.03)


def test_more_than_one_are_drawn_without_replacement() -> None:
    """Of the weights 1, 1, 2: the pairs are (1, 2): 1/4 + 1/6 ... so the heavy one is in 5 of 6 draws of two."""
    assert times_drawn(Exploration(0.66, "degree"), np.array([1, 1, 4]), NOTHING) == pytest.approx(
        [7 / 12, 7 / 12, 5 / 6], abs=0.03
    )


@given(
    st.integers(1, 40),
    st.floats(0, 1, exclude_min=True),
    st.sampled_from(IMPORTANCES),
    st.integers(0, 2**32 - 1),
)
def test_no_row_is_drawn_again_before_all_were(
    rows: int, fraction: float, importance: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    degrees, norms = rng.integers(0, 5, rows), rng.random(rows, np.float32)
    exploration, waiting = Exploration(fraction, importance), np.ones(rows, dtype=bool)
    times = np.zeros(rows, dtype=int)
    for _ in range(12):
        times[exploration.draw(degrees, norms, waiting, rng)] += 1
        assert times.max() - times.min() <= 1
        if times.max() > times.min():
            assert np.array_equal(waiting, times == times.min())
        else:
            assert waiting.all()


def test_the_important_come_first_in_a_round() -> None:
    degrees = np.r_[np.full(50, 100.0), np.ones(50)]
    first = times_drawn(Exploration(0.5, "degree"), degrees, NOTHING, 200)
    assert first[:50].mean() > 0.8 and first[50:].mean() < 0.2


def test_no_gradient_yet_is_no_preference() -> None:
    drawn = times_drawn(Exploration(0.5, "gradient"), np.array([1, 100, 1, 1]), np.zeros(4, np.float32))
    assert drawn == pytest.approx([0.5] * 4, abs=0.03)
