"""Times of interactions: numbers, dates of every make, and what is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.moments import as_times
from sparserec_np.errors import DataError

DAYS = ["2020-01-02", "1969-12-31"]
SECONDS = [1577923200, -86400]
MOMENTS = [dt.datetime.fromisoformat(day) for day in DAYS]


def of(library: str, made: str, *values: Any, **more: Any) -> Any:
    return getattr(pytest.importorskip(library), made)(*values, **more)


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.array(DAYS, dtype="datetime64[D]"),
        lambda: np.array(DAYS, dtype="datetime64[ns]"),
        lambda: MOMENTS,
        lambda: [moment.date() for moment in MOMENTS],
        lambda: [moment.replace(tzinfo=dt.timezone.utc) for moment in MOMENTS],
        lambda: [
            moment.replace(tzinfo=dt.timezone(dt.timedelta(hours=2))) + dt.timedelta(hours=2)
            for moment in MOMENTS
        ],
        lambda: of("pandas", "to_datetime", DAYS),
        lambda: of("pandas", "to_datetime", DAYS, utc=True),
        lambda: of("pandas", "Series", of("pandas", "to_datetime", DAYS, utc=True)),
        lambda: of("polars", "Series", MOMENTS),
        lambda: of("polars", "Series", [moment.date() for moment in MOMENTS]),
        lambda: of("pyarrow", "array", MOMENTS),
    ],
)
def test_dates_are_seconds_since_1970(make: Any) -> None:
    log = Interactions.from_pairs([1, 2], [3, 4], times=make())
    assert log.times is not None
    assert log.times.dtype == np.int64 and log.times.tolist() == SECONDS


def test_parts_of_a_second_are_cut_downwards() -> None:
    moments = np.array(["1970-01-01T00:00:01.9", "1969-12-31T23:59:59.1"], dtype="datetime64[ms]")
    assert as_times(moments, 2).tolist() == [1, -1] == as_times(moments.tolist(), 2).tolist()


def test_numbers_stay_what_they_are() -> None:
    assert as_times([3, 1], 2).dtype == np.int64 and as_times([0.5, 1], 2).tolist() == [0.5, 1]
    assert as_times(np.array([3, 1], dtype=object), 2).tolist() == [3, 1]


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([1, None], "found none at place 1"),
        ([1, float("nan")], "not finite at place 1"),
        ([float("inf"), 1], "not finite at place 0"),
        (np.array(["2020", "NaT"], dtype="datetime64[Y]"), "found NaT at place 1"),
        (["2020-01-01", "2020-01-02"], r"dtype='datetime64\[s\]'"),
        ([1], "one for each of the 2 pairs"),
        ([{}, {}], "numbers or dates"),
        ([dt.date(2020, 1, 1), 3], "numbers or dates"),
    ],
)
def test_what_is_no_moment_is_refused(times: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        as_times(times, 2)


def test_a_missing_moment_of_pandas_is_refused() -> None:
    with pytest.raises(DataError, match="at place 1"):
        as_times(of("pandas", "to_datetime", [DAYS[0], None], utc=True), 2)
    with pytest.raises(DataError, match="at place 1"):
        as_times(of("pandas", "Series", [1, None], dtype="Int64"), 2)
