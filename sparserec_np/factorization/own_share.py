"""The fit of pruned item rows to the interactions, each item's own share left out.

With R the matrix of ones (users, items) and D_u, D_i the degrees of both, 1 where they are 0, let
``M = D_u^-1/4 R D_i^-1/2``. Of item rows W, ``Z = D_i^-1/2 W``. A user who is the sum of ``w_j /
d_j`` over what they touched scores item i with ``r_u D_i^-1/2 Z z_i d_i^1/2``. What is minimised is

    1/2 |M (Z Z' - diag(Z Z') - I)|^2

so an item is told by the others that its users touched, as in EASE (Steck 2019) and ELSA (Vancura
et al. 2022). Here the matrix is normalised as for the singular vectors that Z comes from, and the
way is short: a few steps, since the smoothness of those vectors is lost on a long one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.recency import Touched
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import STRIP_COLUMNS, Rows
from sparserec_np.machine.threads import made_in_order, made_together

USERS_AT_ONCE = 1024  # whose rows are made together, all columns of them
MULTIPLIED = 256  # rows of a product that are made at a time
POWER_STEPS = 10  # that find the length of a step


@dataclass(frozen=True)
class OwnShareFit:
    """Gradient steps with momentum on the stored values; no entry comes or goes.

    Attributes:
        steps: how many.
        rate: length of a step, as a part of one over the largest eigenvalue of ``M'M``.
        momentum: part of a step that the next one goes on with.

    Memory: three arrays of the stored values, and four of all pairs of columns; and for each thread
    the rows of some users, three times, and one more of all pairs of columns.
    """

    steps: int = 4
    rate: float = 0.7
    momentum: float = 0.5

    def __call__(self, log: Interactions, table: SparseTable, dim: int, threads: int = 1) -> SparseTable:
        """Fits the rows W of ``table`` (n_items, dim).

        Call it with one BLAS thread; the bits are then the same for any ``threads``.
        """
        problem = _Problem(log, dim, threads)
        roots = np.sqrt(problem.degrees)[table.row_numbers()]
        rows = SparseTable(table.indptr, table.columns, table.values / roots)
        largest = problem.largest_eigenvalue()
        moved = np.zeros_like(rows.values)
        for _ in range(self.steps):
            moved *= np.float32(self.momentum)
            moved += problem.gradient(rows)
            rows.values[:] -= np.float32(self.rate / largest) * moved
        return SparseTable(table.indptr, table.columns, rows.values * roots)


class _Problem:
    """The interactions, normalised, and the gradient of what is minimised.

    Attributes:
        degrees: (n_items,) float32 number of users of each item, at least 1.
    """

    def __init__(self, log: Interactions, dim: int, threads: int = 1) -> None:
        self._log, self._dim, self._touched, self._threads = log, dim, Touched(log), threads
        self.degrees = np.maximum(log.item_degrees, 1).astype(np.float32)
        self._scales = 1 / np.sqrt(self.degrees)
        self._user_scales = np.maximum(log.user_degrees, 1).astype(np.float32) ** np.float32(-0.25)
        squares = np.repeat(np.square(self._user_scales), log.user_degrees)
        self._diagonal = np.zeros(log.n_items, np.float32)  # of M'M
        sums = np.bincount(log.items, squares, minlength=log.n_items)
        self._diagonal[:] = sums / self.degrees

    def largest_eigenvalue(self) -> float:
        """Finds that of ``M'M`` by power iteration, from below."""
        log, scales = self._log, self._scales[:, None]
        block = np.zeros((log.n_items, STRIP_COLUMNS), np.float32)
        block[:, 0] = np.sqrt(self.degrees)
        largest = 1.0
        for _ in range(POWER_STEPS):
            block[:, 0] /= np.linalg.norm(block[:, 0])
            product = np.zeros_like(block)
            weights = np.square(self._user_scales)
            kernels.products.add_gram_product(log.indptr, log.items, weights, block * scales, product)
            block[:] = product * scales
            largest = float(np.linalg.norm(block[:, 0]))
        return largest or 1.0

    def gradient(self, rows: SparseTable) -> Array:
        """Computes the gradient at the stored entries of Z, (nnz,) float32.

        With B = ZZ' - diag(e), e = diag(ZZ') + 1 and N = M'M, it is ``N B Z + B N Z - 2 diag(N B)
        Z``, the last for the diagonal that moves along.
        """
        log, dim, scales = self._log, self._dim, self._scales
        owners = rows.row_numbers()
        excess = (1 + np.bincount(owners, np.square(rows.values), minlength=rows.rows)).astype(np.float32)
        products = _products_of_columns(rows, dim)
        users_products = np.zeros((dim, dim), np.float32)
        first, second = np.zeros_like(rows.values), np.zeros_like(rows.values)  # N B Z, N Z

        def make(start: int) -> _Block:
            users = np.arange(start, min(start + USERS_AT_ONCE, log.n_users), dtype=np.int32)
            return self._block(rows, users, excess, products)

        for block in made_in_order(make, range(0, log.n_users, USERS_AT_ONCE), self._threads):
            users_products += block.products
            sides = (block.errors, first), (block.scaled, second)
            made_together(functools.partial(self._add_users, rows, block.users), sides, self._threads)
        first *= scales[owners]
        second *= scales[owners]
        diagonal = np.bincount(owners, second * rows.values, minlength=rows.rows) - self._diagonal * excess
        first -= excess[owners] * second
        first -= 2 * diagonal.astype(np.float32)[owners] * rows.values
        kernels.at_entries.add_products(rows, users_products, first)
        return first

    def _block(self, rows: SparseTable, users: Array, excess: Array, products: Array) -> _Block:
        """Makes what is summed up over ``users``."""
        own, errors = (np.empty((len(users), self._dim), np.float32) for _ in range(2))
        of_users = self._touched.of_users(users)
        kernels.fism.sum_rows(Rows.of(rows), self._scales, *of_users, own)
        kernels.fism.sum_rows(Rows.of(rows), self._scales * excess, *of_users, errors)
        lengths = np.square(self._user_scales[users])[:, None]
        for some in _parts(len(own)):
            np.subtract(own[some] @ products, errors[some], out=errors[some])
        errors *= lengths
        scaled = own * lengths
        own *= self._user_scales[users][:, None]
        return _Block(users, errors, scaled, own.T @ own)  # of which BLAS makes one half

    def _add_users(self, rows: SparseTable, users: Array, side: tuple[Array, Array]) -> None:
        """Adds the rows (m, dim) of ``users`` to sums (nnz,) at the stored entries of what they touched."""
        kernels.at_entries.add_user_rows(rows, self._log.indptr, self._log.items, users, *side)


class _Block(NamedTuple):
    """What some users add to the gradient.

    Attributes:
        users: (m,) int32
        errors: (m, dim) their rows of ``M B Z``, times their scale.
        scaled: (m, dim) those of ``M Z``, likewise.
        products: (dim, dim) of all columns of both ``M Z``.
    """

    users: Array
    errors: Array
    scaled: Array
    products: Array


def _parts(rows: int) -> list[slice]:
    """Divides rows into parts that are multiplied together."""
    return [slice(start, start + MULTIPLIED) for start in range(0, rows, MULTIPLIED)]


def _products_of_columns(rows: SparseTable, dim: int) -> Array:
    """Computes ``Z'Z`` (dim, dim) float32 of a sparse Z; work goes with its entries, sums are float64."""
    from scipy import sparse  # half a second, which no help page should wait for

    parts = rows.values.astype(np.float64), rows.columns.astype(np.int32), rows.indptr
    matrix = sparse.csr_array(parts, shape=(rows.rows, dim))
    return np.asarray((matrix.T @ matrix).toarray(), np.float32)
