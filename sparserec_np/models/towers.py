"""The two towers of NeuMF (He et al. 2017): weighted products, and two dense layers.

Each reads columns of its own of one table, and adds to the scores of pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Explored, Head
from sparserec_np.models.inner_products import BATCH_PARTS


class Weights(NamedTuple):
    """The dense weights of NeuMF by name: views of one vector, in which they lie in this order.

    Attributes:
        user, item: (mlp, h1) from the columns of a row to its half of the first layer; mlp is ``dim
            - gmf``, which :func:`product_columns` counts.
        bias1: (h1,)
        hidden: (h1, h2) from the first layer to the second; h2 is half of h1.
        bias2: (h2,)
        out: (h2,) from the second layer to the score.
        products: (gmf,) weights of the products.
    """

    user: Array
    item: Array
    bias1: Array
    hidden: Array
    bias2: Array
    out: Array
    products: Array

    @classmethod
    def over(cls, vector: Array, dim: int, width: int) -> Weights:
        """Names the parts of a vector (n,).

        It is of tables of ``dim`` columns and a first layer of ``width`` units.
        """
        parts, at = [], 0
        for shape in shapes(dim, width):
            size = int(np.prod(shape))
            parts.append(vector[at : at + size].reshape(shape))
            at += size
        return cls(*parts)

    @classmethod
    def drawn(cls, dim: int, width: int, rng: np.random.Generator) -> Array:
        """Draws weights to start from, (n,) float32.

        Those of the first two layers are normal, of the variance 2 / inputs (He et al. 2015).

        The products weigh 1, and the second layer 0: the scores are inner products at first (our
        choice).
        """
        vector = np.zeros(sum(int(np.prod(shape)) for shape in shapes(dim, width)), dtype=np.float32)
        weights = cls.over(vector, dim, width)
        for part, inputs in ((weights.user, dim), (weights.item, dim), (weights.hidden, width)):
            part[:] = rng.standard_normal(part.shape) * np.sqrt(2 / inputs)
        weights.products[:] = 1
        return vector

    @property
    def head(self) -> Head:
        """The weights above the first layer."""
        return Head(self.hidden, self.bias2, self.out)


def product_columns(dim: int) -> int:
    """Counts the columns of the tower of products, which come first: three quarters."""
    return dim - (dim + 2) // 4


def shapes(dim: int, width: int) -> tuple[tuple[int, ...], ...]:
    """Lists the shapes of :class:`Weights`, in order.

    >>> shapes(64, 16)
    ((16, 16), (16, 16), (16,), (16, 8), (8,), (8,), (48,))
    """
    gmf, narrow = product_columns(dim), width // 2
    columns = (dim - gmf, width)
    return columns, columns, (width,), (width, narrow), (narrow,), (narrow,), (gmf,)


class ProductColumns:
    """The tower of products (GMF): inner products with a weight for each column.

    It makes a table whose inner products are ``sum_c weights[c] u[c] i[c]`` over its columns.

    Attributes:
        n_users: rows below are users.
        dim: columns of the table; those from ``len(weights)`` on are read as 0.
    """

    def __init__(self, n_users: int, dim: int) -> None:
        self.n_users = n_users
        self.dim = dim
        self._values = np.empty(0)

    @property
    def nbytes(self) -> int:
        """Bytes of the values beside those of the table."""
        return int(self._values.nbytes)

    def _factors(self, weights: Array) -> Array:
        """Makes the factors that users' and items' columns are read times, (2, dim)."""
        factors = np.zeros((2, self.dim), dtype=weights.dtype)
        factors[:, : len(weights)] = np.ones_like(weights), weights
        return factors

    def apply(self, table: SparseTable, rows: Array, weights: Array) -> SparseTable:
        """Makes the table with the values to read, right for ``rows`` (t,) alone.

        The next call overwrites them.
        """
        if self._values.shape != table.values.shape or self._values.dtype != table.values.dtype:
            self._values = np.zeros_like(table.values)
        kernels.towers.scale_columns(table, rows, self.n_users, self._factors(weights), self._values)
        return table._replace(values=self._values)

    def pull_back(
        self,
        table: SparseTable,
        rows: Array,
        weights: Array,
        gradient: Array,
        explored: Explored,
        by_weights: Array,
    ) -> None:
        """Takes gradients by the values that were read back to those of the table, in place.

        Args:
            table, rows, weights: as given to :meth:`apply`; users' rows before items'.
            gradient: (nnz,) of the stored entries.
            explored: of every entry of some of ``rows``.
            by_weights: (gmf,) of the weights, added to.
        """
        items = table.places(rows[rows >= self.n_users])
        each = gradient[items] * table.values[items]
        by_column = np.bincount(table.columns[items], each, minlength=self.dim)
        by_weights += by_column[: len(weights)].astype(weights.dtype)
        factors = self._factors(weights)
        read = table._replace(values=gradient)
        kernels.towers.scale_columns(read, rows, self.n_users, factors, gradient)
        here = explored.rows
        explored.sums[:] *= factors[(here >= self.n_users).astype(np.intp)]


class LayerTower:
    """The tower of layers (MLP) for the pairs of a batch, and the way back.

    The first layer is linear in both rows: each row is brought to its half once, whatever the
    number of its pairs.

    Args:
        table: of ``dim`` columns.
        weights: the dense weights; the first column of this tower is ``len(weights.products)``.
        user_rows, item_rows: (n,), (m,) int32 rows of the table, none twice.
    """

    def __init__(self, table: SparseTable, weights: Weights, user_rows: Array, item_rows: Array) -> None:
        self.table = table
        self.weights = weights
        self.first = len(weights.products)
        kind, width = table.values.dtype, len(weights.bias1)
        self.rows = user_rows, item_rows
        self.left = np.empty((len(user_rows), width), dtype=kind)
        self.right = np.empty((len(item_rows), width), dtype=kind)
        kernels.towers.project_rows(table, user_rows, self.first, weights.user, self.left)
        kernels.towers.project_rows(table, item_rows, self.first, weights.item, self.right)
        self.left += weights.bias1

    def add_scores(self, users: Array, items: Array, scores: Array) -> None:
        """Adds to the ``scores`` (pairs,) of users with items.

        ``users`` and ``items`` (pairs,) int32 are places in the rows given.
        """
        kernels.towers.add_scores(self.left, self.right, users, items, self.weights.head, scores)

    def backward(
        self, users: Array, items: Array, slopes: Array, gradient: Array, explored: Explored, by: Weights
    ) -> None:
        """Adds the gradients of the table and of the weights.

        Args:
            users, items: as given to :meth:`add_scores`; every row has a pair.
            slopes: (pairs,)
            gradient: (nnz,) of the stored entries.
            explored: of every entry of the explored rows.
            by: gradients of the weights.
        """
        narrow, width = len(by.out), len(by.bias1)
        steps = np.empty((len(users), width), dtype=slopes.dtype)
        partial = np.empty((BATCH_PARTS, width * narrow + 2 * narrow), dtype=slopes.dtype)
        kernels.towers.head_gradients(
            self.left, self.right, users, items, self.weights.head, slopes, steps, partial
        )
        at = 0
        for part in by.head:
            part += partial[:, at : at + part.size].sum(axis=0).reshape(part.shape)
            at += part.size
        bias = by.bias1
        for side, keys, half, weights, target in (
            (0, users, self.left, self.weights.user, by.user),
            (1, items, self.right, self.weights.item, by.item),
        ):
            sums = np.empty_like(half)
            sum_by_key(keys, steps, sums)
            room = np.empty((BATCH_PARTS, *weights.shape), dtype=slopes.dtype)
            kernels.towers.pull_projection(
                self.table, self.rows[side], self.first, weights, sums, gradient, explored, room
            )
            target += room.sum(axis=0)
            if side == 0:
                bias += sums.sum(axis=0)


def sum_by_key(keys: Array, steps: Array, sums: Array) -> None:
    """Sums ``steps`` (pairs, h1) of each key n into ``sums[n]`` (rows, h1), in the pairs' order.

    ``keys`` (pairs,) int32 hold every n.
    """
    count = len(sums)
    order = np.empty(len(keys), dtype=np.int32)
    starts, rows = np.empty(count + 1, dtype=np.int32), np.empty(count, dtype=np.int32)
    kernels.sampling.group_by_row(keys, np.zeros(count, dtype=np.int32), order, starts, rows)
    kernels.towers.sum_steps(rows, starts, order, steps, sums)
