"""The counts that are kept while a file is read: what its rows held, and which were left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.options import ReaderOptions
from sparserec_np.data.formats.source import Source
from sparserec_np.errors import DataError

Array = npt.NDArray[Any]

SHOWN_BAD_LINES = 5


class Bad(NamedTuple):
    """A fault of one line: its number, what was expected and found there, and what to do."""

    line: int
    expected: str
    found: str
    advice: str = ""


class BadLines:
    """The lines that are no interactions: the first is refused, or all are left out and counted.

    Attributes:
        count: how many there were.
        first: of the first five, the faults.
    """

    def __init__(self, source: Source | None, skips: bool) -> None:
        self._source, self.skips = source, skips
        self.count = 0
        self.first: list[Bad] = []

    @property
    def unit(self) -> str:
        """What the file is made of: ``"line"``, or ``"row"``."""
        return "line" if self._source is None else self._source.unit

    @classmethod
    def unseen(cls) -> BadLines:
        """Makes one that leaves out and counts, and has no file to refuse."""
        return cls(None, skips=True)

    def take(self, indices: Array, fault: Callable[[int], Bad]) -> None:
        """Takes bad rows by their index; ``fault`` says of one what is wrong with it.

        Raises:
            DataError: bad lines are not to be skipped, and there is one.
        """
        if not indices.size:
            return
        if not self.skips:
            assert self._source is not None
            raise self._source.refuse(*fault(int(indices[0])))
        self.count += int(indices.size)
        self.first += [fault(index) for index in indices[:SHOWN_BAD_LINES].tolist()]
        self.first = sorted(self.first)[:SHOWN_BAD_LINES]


@dataclass
class Tally:
    """The counts of one reading.

    Attributes:
        bad: lines that are no interactions.
        read: rows with an interaction, those left out for their rating included.
        below: of these, left out by ``min_rating``.
        not_positive: of these, left out for a rating of 0 or less.
        disliked: of these, rated as dislikes.
        rated_0_or_less: rows with such a rating, left out or not.
        headers: rows that repeat the header, which are left out.
        rating: name or number of the rating column, if there is one.
        weight: likewise of the column of weights.
        lowest, highest: of the ratings that are numbers, if there is one.
        unknown_ratings: rows whose rating is missing.
        odd_ratings: rows whose rating is there, and no number.
        odd_rating: where the first such rating is, and what it is.
        odd_time: where the first time is that cannot be read, so that there are no times.
        unsaid_header: the first row, where it might be a header as well.
    """

    bad: BadLines
    read: int = 0
    below: int = 0
    not_positive: int = 0
    disliked: int = 0
    rated_0_or_less: int = 0
    headers: int = 0
    rating: str | None = None
    weight: str | None = None
    lowest: float | None = None
    highest: float | None = None
    unknown_ratings: int = 0
    odd_ratings: int = 0
    odd_rating: str = ""
    odd_time: str = ""
    unsaid_header: str = ""

    @property
    def tells_ratings(self) -> bool:
        """Whether the ratings say more than that there is an interaction."""
        return self.lowest != self.highest

    @classmethod
    def of(cls, source: Source, options: ReaderOptions) -> Tally:
        """Makes the tally of a reading that begins."""
        return cls(BadLines(source, options.skips))

    def dislikes(self, values: Array, known: Array, below: float | None) -> Array:
        """Counts the ratings (n,) that are dislikes; tells which are, ``(n,)`` bool."""
        disliked = known & (values < below) if below is not None else np.zeros(known.size, dtype=bool)
        self.disliked += int(np.count_nonzero(disliked))
        return disliked

    def counted(
        self, values: Array, known: Array, min_rating: float | None, disliked: Array | None = None
    ) -> Array:
        """Counts ratings (n,), of which those ``known`` (n,) are finite; returns which rows to keep.

        A rating of 0 or less is no interaction, in any format, unless ``min_rating`` says more. A
        rating that is not known leaves out nothing. Rows that are ``disliked`` (n,) are kept, to be
        dislikes.
        """
        if known.any():
            there = values[known]
            least, most = (there.min() + 0).item(), (there.max() + 0).item()  # of bool a number, too
            self.lowest = least if self.lowest is None else min(least, self.lowest)
            self.highest = most if self.highest is None else max(most, self.highest)
        positive = values > 0
        self.rated_0_or_less += int(np.count_nonzero(known & ~positive))
        enough = positive if min_rating is None else values >= min_rating
        keep = ~known | enough
        if disliked is not None:
            keep |= disliked
        left_out = int(keep.size - np.count_nonzero(keep))
        if min_rating is None:
            self.not_positive += left_out
        else:
            self.below += left_out
        return keep

    def check_most_were_read(self, name: str) -> None:
        """Refuses a file most of whose lines are bad: it is of another format."""
        if self.bad.count > self.read:
            line, expected, found, _ = self.bad.first[0]
            raise DataError(
                f"{name} has {self.bad.count:,} bad {self.bad.unit}s and {self.read:,} others, so it is not what it"
                f" was taken for; {self.bad.unit} {line}: expected {expected}, found {found};"
                " name its --format, or its --header."
            )

    def doubts(self) -> list[str]:
        """Says in sentences what may be wrong with the file, or with how it was read."""
        notes = []
        if self.bad.count:
            unit = self.bad.unit
            faults = [
                f"\n  {unit} {one.line}: expected {one.expected}, found {one.found}" for one in self.bad.first
            ]
            bad = f"{self.bad.count:,} bad {unit}{'s' * (self.bad.count > 1)}"
            notes.append(f"{bad} left out{'; the first' * (self.bad.count > 1)}:{''.join(faults)}")
        if self.unsaid_header:
            notes.append(
                f"the first row, {self.unsaid_header}, counts as an interaction; pass --header if it names columns."
            )
        return notes

    def left_out(self) -> list[str]:
        """Says in sentences which rows are no interactions, or might be none."""
        notes = []
        if self.headers:
            notes.append(f"{self.headers:,} rows that repeat the header left out.")
        if self.not_positive:
            notes.append(
                f"{self.not_positive:,} of {self.read:,} rows have {self.rating} 0 or less and are no interactions;"
                " --rating-col none counts them."
            )
        if self.odd_ratings:
            notes.append(
                f"{self.odd_ratings:,} of {self.read:,} rows have {self.rating} that is no number"
                f" ({self.odd_rating}) and count as interactions; pass --decimal , where 3,5 is a number, or"
                " --rating-col none."
            )
        return notes
