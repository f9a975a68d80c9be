"""Drop fractions over the course of training."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.sparsity.schedules import DropSchedule, cosine


@given(st.floats(-1, 3), st.floats(-1, 3))
def test_the_cosine_never_rises(one: float, other: float) -> None:
    first, last = min(one, other), max(one, other)
    assert 1 >= cosine(first) >= cosine(last) >= 0
    assert cosine(0.25) + cosine(0.75) == pytest.approx(1)


@given(st.floats(0, 0.99), st.floats(0, 1), st.integers(1, 7), st.integers(1, 60))
def test_drop_fractions_fall_to_zero(start: float, until: float, interval: int, epochs: int) -> None:
    schedule = DropSchedule(start, until, interval)
    fractions = [schedule.fraction(epoch, epochs) for epoch in range(1, epochs + 1)]
    assert all(0 <= fraction <= start for fraction in fractions)
    at_updates = fractions[interval - 1 :: interval]
    assert at_updates == sorted(at_updates, reverse=True)
    for epoch, fraction in enumerate(fractions, 1):
        if epoch % interval or epoch >= until * epochs:
            assert fraction == 0


def test_updates_come_at_the_interval() -> None:
    fractions = [DropSchedule(0.5, 1.0, 3).fraction(epoch, 12) for epoch in range(1, 13)]
    assert [epoch for epoch, fraction in enumerate(fractions, 1) if fraction] == [3, 6, 9]


def test_until_zero_never_drops() -> None:
    assert DropSchedule(0.5, 0.0).fraction(1, 10) == 0
