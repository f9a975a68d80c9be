"""Seconds of calls."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def timed(action: Callable[[], T]) -> tuple[T, float]:
    """Runs an action; returns its value and the seconds it took."""
    clock = time.perf_counter()
    value = action()
    return value, time.perf_counter() - clock


def times_of(step: Callable[[T], Any], batches: Iterable[T]) -> list[float]:
    """Times ``step`` on each batch, in seconds; drawing the batch is not counted."""
    return [timed(lambda batch=batch: step(batch))[1] for batch in batches]


def median_seconds(
    call: Callable[[], Any], reset: Callable[[], Any] | None = None, least: float = 0.3
) -> float:
    """Times ``call``: the median over ``least`` seconds and 5 calls or more.

    ``reset`` goes before each call, uncounted; the first call is not counted either.
    """
    times: list[float] = []
    while len(times) < 6 or sum(times) < least:
        if reset:
            reset()
        times.append(timed(call)[1])
    return statistics.median(times[1:])


def milliseconds(walls: Sequence[float]) -> dict[str, float]:
    """Summarizes seconds by their median and 99th percentile, in ms.

    >>> milliseconds([0.002, 0.001, 0.003])["p50"]
    2.0
    """
    return {f"p{part}": float(np.percentile(walls, part)) * 1000 for part in (50, 99)}
