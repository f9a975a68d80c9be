"""The column of times: read where it can be, and compulsory only where it was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.fields import Pieces, iso_or_nan, narrowed, parse_moments
from sparserec_np.data.formats.options import ReaderOptions
from sparserec_np.data.formats.source import Source
from sparserec_np.data.formats.tally import Bad, Tally

Array = npt.NDArray[Any]

ADVICE = "pass --time-col none if the times do not matter"


class TimeColumn:
    """The times of a file, gathered block by block.

    One that cannot be read is refused where the caller named the column. Where nobody did, there
    are then no times at all.

    Args:
        source: where they come from, for messages.
        options: the caller's wishes.
        tally: what is counted.
    """

    def __init__(self, source: Source, options: ReaderOptions, tally: Tally) -> None:
        self._source, self._tally = source, tally
        self._asked, self._decimal = options.time_col is not None, options.decimal or "."
        self._moments: list[Array] = []
        self._dates: bool | None = None  # whether the times are dates; numbers among dates are no times

    def add(self, given: Pieces) -> Array:
        """Takes the times in the pieces; tells which rows are to be kept, ``(n,)`` bool.

        Raises:
            DataError: one is no time, where times were asked for.
        """
        everything = np.ones(given.starts.size, dtype=bool)
        if self._tally.odd_time:
            return everything
        moments, good = parse_moments(given, self._decimal)
        if good.any():
            (first,) = given.cut(np.flatnonzero(good)[:1])
            dates = iso_or_nan(first) == iso_or_nan(first)
            self._dates = dates if self._dates is None else self._dates
            good &= dates == self._dates
        if not good.all():
            wrong = np.flatnonzero(~good)
            if not self._asked:
                row = int(wrong[0])
                self._tally.odd_time = f"line {given.line(row)}: {given.shown(row)}"
                self._moments.clear()
                return everything
            before = self._tally.bad.count
            self._tally.bad.take(wrong, lambda row: self._fault(given, row))
            self._tally.read -= self._tally.bad.count - before
            moments = moments[good]
        self._moments.append(narrowed(moments) if moments.dtype == np.int64 else moments)
        return good

    def result(self) -> Array | None:
        """Returns the times (n,) of all rows kept, or None where there are none."""
        return np.concatenate(self._moments) if self._moments else None

    def _fault(self, given: Pieces, row: int) -> Bad:
        return Bad(given.line(row), "a time that is a number or an ISO date", given.shown(row), ADVICE)
