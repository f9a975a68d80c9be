"""Clocks, against calls of known length."""

from __future__ import annotations

import time

import numpy as np
import pytest

from benchmarks import timing


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that goes on by what is added to its one number."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def spend(clock: list[float], seconds: float) -> float:
    clock[0] += seconds
    return seconds


def test_a_call_is_timed_and_its_value_kept(clock: list[float]) -> None:
    assert timing.timed(lambda: spend(clock, 0.5)) == (0.5, 0.5)


def test_drawing_a_batch_is_not_counted(clock: list[float]) -> None:
    batches = (spend(clock, 100.0) / 100 * size for size in (1.0, 2.0))
    assert timing.times_of(lambda size: spend(clock, size), batches) == [1.0, 2.0]


def test_the_first_call_and_resets_are_not_counted(clock: list[float]) -> None:
    lengths = iter([64.0, 1.0, 2.0, 4.0, 8.0, 16.0])
    calls = timing.median_seconds(lambda: spend(clock, next(lengths)), lambda: spend(clock, 32.0))
    assert calls == 4.0


def test_short_calls_are_repeated(clock: list[float]) -> None:
    count = []
    timing.median_seconds(lambda: count.append(spend(clock, 0.03125)), least=0.5)
    assert len(count) == 16


def test_percentiles_are_in_milliseconds() -> None:
    found = timing.milliseconds((np.arange(101) / 100).tolist())
    assert found == pytest.approx({"p50": 500.0, "p99": 990.0})
