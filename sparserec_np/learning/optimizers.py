"""Optimizers of the stored entries, with state beside the stored values and nowhere else.

All of them are lazy: a row that no pair of the batch touched is left alone, its moments too. Adam
counts steps for each row, so that its bias correction fits the number of gradients the row has
seen.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from sparserec_np import kernels
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Moments
from sparserec_np.sparsity.topology import Carry


class Optimizer(Protocol):
    """A way to change a table's values along a gradient."""

    def step(self, table: SparseTable, rows: Array, gradient: Array, rate: float) -> None:
        """Moves the values of ``rows`` (m,), none twice, against ``gradient`` (nnz,).

        Sets the gradient to zero.
        """
        ...

    def carry(self, move: Carry, row_means: Callable[[Array], Array]) -> None:
        """Takes the state through a topology update.

        ``row_means(state)`` are means of (nnz,) over the regrown entries' rows, (g,).
        """
        ...

    def curvature(self, table: SparseTable) -> Array:
        """Sums the squared gradients of each entry of ``table`` since the first step, (nnz,).

        Not to be written to; empty where nobody keeps them.
        """
        ...

    def state(self) -> dict[str, Array]:
        """Names the arrays of the state."""
        ...

    def load(self, state: Mapping[str, Array]) -> None:
        """Takes arrays of the state, copied."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of the state."""
        ...


class _Beside:
    """Arrays that lie beside the stored entries, by name.

    Attributes:
        arrays: names of attributes.
    """

    arrays: ClassVar[tuple[str, ...]] = ()

    def state(self) -> dict[str, Array]:
        """Names the arrays of the state; see :meth:`Optimizer.state`."""
        return {name: getattr(self, name) for name in self.arrays}

    def load(self, state: Mapping[str, Array]) -> None:
        """Takes arrays of the state, copied; see :meth:`Optimizer.load`."""
        for name in self.arrays:
            setattr(self, name, state[name].copy())

    @property
    def nbytes(self) -> int:
        """Bytes of the state."""
        return sum(int(array.nbytes) for array in self.state().values())


class SGD(_Beside):
    """Stochastic gradient descent: ``x <- x - rate * g``. No state."""

    def __init__(self, nnz: int, rows: int, dtype: npt.DTypeLike = np.float32) -> None:
        pass

    def step(self, table: SparseTable, rows: Array, gradient: Array, rate: float) -> None:
        """Moves the values of some rows; see :meth:`Optimizer.step`."""
        kernels.updates.sgd(table, rows, gradient, table.values.dtype.type(rate))

    def carry(self, move: Carry, row_means: Callable[[Array], Array]) -> None:
        """Does nothing: there is no state."""

    def curvature(self, table: SparseTable) -> Array:
        """Returns nothing: there is no state."""
        return table.values[:0]


class Adagrad(_Beside):
    """Adagrad (Duchi et al. 2011): ``s <- s + g^2``, ``x <- x - rate * g / (sqrt(s) + epsilon)``.

    A regrown entry starts with the mean ``s`` of its row: with 0 its first step would be as long as
    the rate (our choice).
    """

    epsilon = 1e-10
    arrays = ("squares",)  # 4 bytes an entry

    def __init__(self, nnz: int, rows: int, dtype: npt.DTypeLike = np.float32) -> None:
        self.squares = np.zeros(nnz, dtype=dtype)

    def step(self, table: SparseTable, rows: Array, gradient: Array, rate: float) -> None:
        """Moves the values of some rows; see :meth:`Optimizer.step`."""
        kind = table.values.dtype.type
        kernels.updates.adagrad(table, rows, gradient, self.squares, kind(rate), kind(self.epsilon))

    def carry(self, move: Carry, row_means: Callable[[Array], Array]) -> None:
        """Moves the sums of kept entries; regrown ones start at their row's mean."""
        self.squares = move(self.squares, row_means(self.squares))

    def curvature(self, table: SparseTable) -> Array:
        """Returns the sums of squared gradients; see :meth:`Optimizer.curvature`."""
        return self.squares


class Adam(_Beside):
    """Adam (Kingma and Ba 2015), lazy, with a step count for each row.

    ``m <- b1 m + (1 - b1) g``, ``v <- b2 v + (1 - b2) g^2``,
    ``x <- x - rate * m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon)``,
    with t the number of steps that the row has made.

    A regrown entry starts with m = 0 and the mean v of its row (our choice). With v = 0 in a row of
    many steps, whose bias correction has run out, its first step would be (1 - b1) / sqrt(1 - b2) =
    3.2 times the rate.
    """

    betas = (0.9, 0.999)
    epsilon = 1e-8
    arrays = ("first", "second", "steps")  # 8 bytes an entry and 4 a row

    def __init__(self, nnz: int, rows: int, dtype: npt.DTypeLike = np.float32) -> None:
        self.first = np.zeros(nnz, dtype=dtype)
        self.second = np.zeros(nnz, dtype=dtype)
        self.steps = np.zeros(rows, dtype=np.int32)

    def step(self, table: SparseTable, rows: Array, gradient: Array, rate: float) -> None:
        """Moves the values of some rows; see :meth:`Optimizer.step`."""
        kernels.updates.adam(
            table,
            rows,
            gradient,
            Moments(self.first, self.second, self.steps),
            rate,
            self.betas,
            self.epsilon,
            corrections_of(*self.betas),
        )

    def carry(self, move: Carry, row_means: Callable[[Array], Array]) -> None:
        """Moves the moments of kept entries; regrown ones start at zero and at their row's mean."""
        fresh = row_means(self.second)
        self.first = move(self.first, fresh.dtype.type(0))
        self.second = move(self.second, fresh)

    def curvature(self, table: SparseTable) -> Array:
        """Computes ``t v / (1 - b2^t)``, t steps of the mean square; see :meth:`Optimizer.curvature`."""
        corrections = corrections_of(*self.betas)[:, 1]
        factors = self.steps * corrections[np.minimum(self.steps, len(corrections) - 1)]
        sums: Array = np.repeat(factors.astype(self.second.dtype), np.diff(table.indptr))
        sums *= self.second
        return sums


@functools.cache
def corrections_of(beta1: float, beta2: float) -> Array:
    """Computes what Adam's moving means are multiplied by, as they begin at zero.

    Row t has ``1 / (1 - beta1^t)`` and ``1 / (1 - beta2^t)``, of the first step on until both are
    1; row 0 has ones. In float64: in float32 ``1 - beta2^t`` loses half its digits in the first
    steps.

    >>> corrections_of(0.5, 0.75)[:3].tolist()
    [[1.0, 1.0], [2.0, 4.0], [1.3333333333333333, 2.2857142857142856]]
    """
    last = 1 + math.ceil(54 * math.log(0.5) / math.log(max(beta1, beta2)))
    powers = np.array([beta1, beta2]) ** np.arange(1, last + 1)[:, None]
    return np.concatenate([np.ones((1, 2)), 1 / (1 - powers)])


def one_column(weights: Array) -> SparseTable:
    """Wraps dense weights (n,) in a table of n rows, for an optimizer to step on in place."""
    n = len(weights)
    return SparseTable(np.arange(n + 1, dtype=np.int32), np.zeros(n, dtype=np.uint8), weights)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adam": Adam, "adagrad": Adagrad, "sgd": SGD}
