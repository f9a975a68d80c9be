"""Moments of interactions: numbers as they are, dates as seconds since 1970."""

from __future__ import annotations

from datetime import date, datetime, time, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.errors import DataError

Array = npt.NDArray[Any]


def as_times(values: npt.ArrayLike, n: int) -> Array:
    """Converts moments to ``(n,)`` int64 or float64, all finite.

    Dates and times of day become whole seconds since 1970; without a zone they are taken for UTC.

    Raises:
        DataError: there are not ``n``, one is missing, or they are neither numbers nor dates.

    >>> as_times(np.array(["1970-01-02T00:00:01.5"], dtype="datetime64[ms]"), 1).tolist()
    [86401]
    """
    times = np.asarray(values)
    if times.shape != (n,):
        raise DataError(f"Times must be one for each of the {n} pairs, found shape {times.shape}.")
    if times.dtype == object:
        times = _of_objects(times)
    if times.dtype.kind == "M":
        _refuse(np.isnat(times), "NaT")
        return times.astype("datetime64[s]").astype(np.int64)
    if times.dtype.kind in "iub":
        return times.astype(np.int64)
    if times.dtype.kind != "f":
        raise DataError(
            f"Times must be numbers or dates, found {times.dtype}; convert them with"
            " np.array(times, dtype='datetime64[s]'), or leave them out."
        )
    _refuse(~np.isfinite(times), "a number that is not finite")
    return times.astype(np.float64)


def _of_objects(times: Array) -> Array:
    """Converts dates, in Python's and pandas' forms, to datetime64, and numbers to numbers.

    What is neither stays.
    """
    kinds = set(map(type, times.tolist()))
    if kinds and all(issubclass(kind, date) for kind in kinds):  # a datetime is a date
        _refuse(np.array([one != one for one in times]), "NaT")
        seconds = [_seconds(one) for one in times]
        return np.array(seconds, dtype=np.int64).astype("datetime64[s]")
    missing = np.array([one is None or type(one).__name__ in ("NAType", "NaTType") for one in times])
    _refuse(missing, "none")
    try:
        return np.array(times.tolist())
    except ValueError:
        return times


def _seconds(one: date) -> int:
    """Returns the whole seconds since 1970 of a moment, or of the beginning of a day."""
    moment = one if isinstance(one, datetime) else datetime.combine(one, time())
    return int((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp() // 1)


def _refuse(bad: Array, found: str) -> None:
    if bad.any():
        raise DataError(
            f"Times must be finite numbers or dates, found {found} at place {int(np.flatnonzero(bad)[0])} (counted"
            " from 0); leave out these interactions, or all times."
        )
