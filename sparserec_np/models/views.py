"""Views: other values than those stored at which a model reads a table's entries.

Cosine scores are inner products of rows of one length; a temperature is a length; dropout reads
some entries as zero. A view makes the values to read for the rows of a batch, and takes the
gradient by these back to one by the stored values. It never changes which entries there are.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Explored

SIMILARITIES = ("dot", "cosine")


class View(Protocol):
    """A step between the stored values and those that a model reads.

    Attributes:
        training_only: whether a trained model is served without it.
    """

    training_only: bool

    def apply(self, table: SparseTable, rows: Array) -> SparseTable:
        """Makes the table with the values to read, right for ``rows`` alone, (t,) int32.

        The values are overwritten by the next call.
        """
        ...

    def pull_back(self, rows: Array, gradient: Array, explored: Explored) -> None:
        """Takes gradients back through the last :meth:`apply`, in place.

        Given are gradients by the values that it made, left are those by the values that it was
        given.

        Args:
            rows: as given to :meth:`apply`.
            gradient: (nnz,) of the stored entries.
            explored: of every entry of some of ``rows``; what it holds at stored entries is of no
                use afterwards.
        """
        ...

    @property
    def generators(self) -> tuple[np.random.Generator, ...]:
        """The random numbers that it draws from."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of what lies beside the table's values."""
        ...


def served_table(table: SparseTable, views: tuple[View, ...]) -> SparseTable:
    """Makes the table as it is read when training is over, without views of training alone."""
    rows = np.arange(table.rows, dtype=np.int32)
    for view in views:
        if not view.training_only:
            table = view.apply(table, rows)
            table = table._replace(values=table.values.copy())
    return table


class _Buffer:
    """Values beside those of a table, made anew when the number of entries changes."""

    training_only = False
    generators: tuple[np.random.Generator, ...] = ()

    def __init__(self) -> None:
        self._values = np.empty(0)

    def beside(self, table: SparseTable) -> SparseTable:
        """Makes the table with other values, not yet filled in."""
        if self._values.shape != table.values.shape or self._values.dtype != table.values.dtype:
            self._values = np.zeros_like(table.values)
        return table._replace(values=self._values)

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return int(self._values.nbytes)


class UnitRows(_Buffer):
    """A view of rows of one length: inner products are cosines times the length's square.

    Attributes:
        length: of every row, but rows of zeros; ``temperature ** -0.5`` divides the scores by a
            temperature.
    """

    def __init__(self, length: float) -> None:
        super().__init__()
        self.length = length
        self._last = SparseTable(*[np.empty(0)] * 3), np.empty(0)

    def apply(self, table: SparseTable, rows: Array) -> SparseTable:
        """Makes the table with the values to read; see :meth:`View.apply`."""
        unit = self.beside(table)
        lengths = np.empty(len(rows), dtype=table.values.dtype)
        kernels.views.unit_rows(table, rows, table.values.dtype.type(self.length), lengths, unit.values)
        self._last = unit, lengths
        return unit

    def pull_back(self, rows: Array, gradient: Array, explored: Explored) -> None:
        """Takes gradients back to the stored values; see :meth:`View.pull_back`."""
        unit, lengths = self._last
        kernels.views.unit_gradients(unit, rows, unit.values.dtype.type(self.length), lengths, gradient)
        slots = explored.slots[rows]
        here = slots >= 0
        factors = np.divide(self.length, lengths[here], where=lengths[here] > 0, out=lengths[here] * 0)
        explored.sums[slots[here]] *= factors[:, None]


class ScaledRows(_Buffer):
    """A view of rows ``factor`` times as long: inner products are divided by ``factor ** -2``.

    That is the temperature.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def apply(self, table: SparseTable, rows: Array) -> SparseTable:
        """Makes the table with the values to read; see :meth:`View.apply`."""
        scaled = self.beside(table)
        np.multiply(table.values, table.values.dtype.type(self.factor), out=scaled.values)
        return scaled

    def pull_back(self, rows: Array, gradient: Array, explored: Explored) -> None:
        """Takes gradients back to the stored values; see :meth:`View.pull_back`."""
        gradient *= gradient.dtype.type(self.factor)
        explored.sums[:] *= explored.sums.dtype.type(self.factor)


class Dropout(_Buffer):
    """Embedding dropout: each entry that a batch reads may be left out (Srivastava et al. 2014).

    What is left is divided by the probability of being left. Entries that are not stored are taken
    to be there: their gradient is that by the values that were read.

    Attributes:
        rate: probability that an entry is left out, from 0 to below 1.
        rng: what draws.
    """

    training_only = True

    def __init__(self, rate: float, rng: np.random.Generator) -> None:
        super().__init__()
        self.rate = rate
        self.rng = rng
        self.generators = (rng,)
        self._places = np.empty(0, dtype=np.int64)
        self._factors = np.empty(0)

    def apply(self, table: SparseTable, rows: Array) -> SparseTable:
        """Makes the table with the values to read; see :meth:`View.apply`."""
        self._places = table.places(rows)
        kept = self.rng.random(len(self._places), dtype=np.float32) >= self.rate
        self._factors = kept.astype(table.values.dtype) / (1 - self.rate)
        dropped = self.beside(table)
        dropped.values[self._places] = table.values[self._places] * self._factors
        return dropped

    def pull_back(self, rows: Array, gradient: Array, explored: Explored) -> None:
        """Takes gradients back to the stored values; see :meth:`View.pull_back`."""
        gradient[self._places] *= self._factors


def similarity_views(similarity: str, temperature: float) -> tuple[View, ...]:
    """Makes the views for which inner products are the scores of one of SIMILARITIES.

    They are divided by ``temperature`` > 0.
    """
    if similarity == "cosine":
        return (UnitRows(temperature**-0.5),)
    return () if temperature == 1 else (ScaledRows(temperature**-0.5),)
