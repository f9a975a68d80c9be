"""NeuMF: weighted inner products, and beside them two dense layers (He et al. 2017).

The four tables of the paper are one stacked table under one budget: the first three quarters of the
columns belong to the tower of products (GMF), the others to the tower of layers (MLP). The layers'
weights are few and dense, and lie outside of the budget.

``score(u, i) = sum_c w[c] u[c] i[c] + out . relu(hidden^T relu(user^T u' + item^T i' + bias1) +
bias2)``

with c over the columns of GMF, and u', i' the rows' other columns. The logistic function that ends
the paper's network is part of the loss here. Our choice are two layers, three quarters (better than
half on validation data), and a start at which the layers add nothing: training goes on from the
inner products of the start's strongest columns, where the paper starts from two towers trained
apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.kernels.arguments import Explored, Head, Rows
from sparserec_np.learning.batches import Batch
from sparserec_np.learning.losses import Scores
from sparserec_np.models.batch_items import BatchItems
from sparserec_np.models.inner_products import InnerProducts, mean_product
from sparserec_np.models.model import Decay, Gradients, scale_values
from sparserec_np.models.towers import LayerTower, ProductColumns, Weights
from sparserec_np.models.views import View


class NeuMF:
    """A model of two towers over one table: weighted products, and two dense layers.

    Attributes:
        table: (n_users + n_items) rows.
        dim: number of columns.
        log: the training interactions; a user's own items are no negatives.
        views: what lies between the table and the towers in training, the first applied first.
        hidden: units of the first layer; the second has half as many.
        weights: (n,) the dense weights, see :class:`~sparserec_np.models.towers.Weights`.
    """

    def __init__(
        self,
        table: SparseTable,
        dim: int,
        log: Interactions,
        views: tuple[View, ...] = (),
        *,
        hidden: int = 16,
        seed: int = 0,
    ) -> None:
        self.table = table
        self.dim = dim
        self.log = log
        self.views = views
        self.hidden = hidden
        dtype = table.values.dtype
        self.weights = Weights.drawn(dim, hidden, np.random.default_rng([seed, 6])).astype(dtype)
        self._every_weight = np.arange(len(self.weights), dtype=np.int32)
        self._pairs = BatchItems(log)
        self._columns = ProductColumns(log.n_users, dim)
        self._products = InnerProducts(dim, dtype)
        self._places = np.zeros(table.rows, dtype=np.int32)
        self._last: _Forward | None = None

    @property
    def workspace_bytes(self) -> int:
        """Bytes of blocks, counters and views.

        The layers of a batch's pairs come on top, and go with it.
        """
        own = self._pairs.nbytes + self._columns.nbytes + self._products.nbytes + self._places.nbytes
        own += self._every_weight.nbytes
        return own + sum(view.nbytes for view in self.views)

    @property
    def _named(self) -> Weights:
        return Weights.over(self.weights, self.dim, self.hidden)

    def touched(self, batch: Batch) -> Array:
        """Finds the rows of the users, the positives and the negatives."""
        return self._pairs.touched(batch)

    def touched_weights(self, batch: Batch) -> Array:
        """Returns all weights: those of the layers have to do with every pair."""
        return self._every_weight

    def forward(self, batch: Batch) -> Scores:
        """Scores the pairs and their negatives."""
        rows, weights = self.touched(batch), self._named
        table = self.table
        for view in self.views:
            table = view.apply(table, rows)
        products = self._columns.apply(table, rows, weights.products)
        positives, negatives = self._products.forward(products, batch)
        groups = len(batch.users.rows)
        layers = LayerTower(table, weights, rows[:groups], rows[groups:])
        users, items = self._pairs_in(batch, rows)
        scores = np.concatenate([positives, negatives.ravel()])
        layers.add_scores(users, items, scores)
        self._last = _Forward(table, products, layers, users, items)
        negatives = scores[batch.size :].reshape(negatives.shape)
        return Scores(scores[: batch.size], negatives, self._pairs.mask(batch, negatives))

    def _pairs_in(self, batch: Batch, rows: Array) -> tuple[Array, Array]:
        """Lists all users and items that are scored, as places among the batch's, positives first."""
        groups = len(batch.users.rows)
        self._places[rows[groups:]] = np.arange(len(rows) - groups, dtype=np.int32)
        every = np.arange(groups, dtype=np.int32)
        own, negatives = np.repeat(every, batch.users.sizes), self._places[batch.negatives]
        others = np.repeat(every, len(negatives)) if batch.shared else own
        against = np.tile(negatives, groups) if batch.shared else negatives
        positives = self._places[batch.positives]
        return np.concatenate([own, others]), np.concatenate([positives, against])

    def backward(self, batch: Batch, slopes: Scores, decay: Decay, gradients: Gradients) -> None:
        """Adds gradients as :meth:`~sparserec_np.models.model.Model.backward` says."""
        assert self._last is not None
        table, products, layers, users, items = self._last
        active, explored = gradients.active, gradients.explored
        by = Weights.over(gradients.weights, self.dim, self.hidden)
        rows = self.touched(batch)
        wanted = rows[explored.slots[rows] >= 0]
        fresh = Explored.of(wanted, self.table.rows, self.dim, explored.sums.dtype)
        by_item = self._pairs.by_item(batch)
        self._products.backward(products, batch, slopes, by_item, active, fresh)
        self._columns.pull_back(table, rows, self._named.products, active, fresh, by.products)
        each = np.concatenate([slopes.positives, slopes.negatives.ravel()])
        layers.backward(users, items, each, active, fresh, by)
        for view in reversed(self.views):
            view.pull_back(rows, active, fresh)
        explored.sums[explored.slots[wanted]] += fresh.sums
        self._pairs.add_decay(Rows.of(self.table), batch, decay, active)

    @property
    def served_weights(self) -> Array:
        """Returns the dense weights, as a model file holds them."""
        return self.weights

    def load_weights(self, weights: Array) -> None:
        """Takes the dense weights of a model file."""
        self.weights[:] = weights

    def served(self) -> SparseTable:
        """Returns the stored rows: with the weights they are all that is needed to score."""
        return self.table

    def factors(self) -> SparseTable:
        """Raises ConfigError: two layers are no inner product."""
        raise ConfigError(
            "The scores of the model neumf are no inner products of rows, which is what is learned from"
        )

    def mean_product(self) -> float:
        """Computes the mean inner product of the training pairs' rows in the tower of products.

        At first nothing else scores.
        """
        return mean_product(self._all_products(), self.log)

    def scale_scores(self, factor: float) -> None:
        """Multiplies all stored values by the root of the factor."""
        scale_values(self.table, factor)

    def _all_products(self) -> SparseTable:
        every = np.arange(self.table.rows, dtype=np.int32)
        return self._columns.apply(self.table, every, self._named.products)

    def ranker(self) -> TowerRanker:
        """Makes a ranker of the scores as they are now."""
        n_users, weights = self.log.n_users, self._named
        every = np.arange(self.table.rows, dtype=np.int32)
        layers = LayerTower(self.table, weights, every[:n_users], every[n_users:])
        products = self._all_products().first_columns(len(weights.products))
        return TowerRanker(
            products.slice_rows(0, n_users),
            products.slice_rows(n_users, products.rows).by_column(self.dim),
            layers.left,
            np.ascontiguousarray(layers.right.T),
            Head(*(part.copy() for part in weights.head)),
        )


class _Forward(NamedTuple):
    """The tables as the last forward pass read them, and every user and item that it scored."""

    table: SparseTable
    products: SparseTable
    layers: LayerTower
    users: Array
    items: Array


@dataclass(frozen=True)
class TowerRanker:
    """A ranker by the sum of two towers.

    Attributes:
        users: (n_users, dim) rows of the tower of products.
        items_by_dimension: (dim, n_items) its items, by dimension.
        left: (n_users, h1) the users' halves of the first layer.
        right: (h1, n_items) the items'.
        head: the weights above the first layer.
    """

    users: SparseTable
    items_by_dimension: SparseTable
    left: Array
    right: Array
    head: Head

    def rank(self, users: Array, n: int, seen: Interactions) -> tuple[Array, Array]:
        """Ranks as ``Ranker.rank`` says, on the threads that Numba is set to."""
        items = np.empty((len(users), n), dtype=np.int32)
        scores = np.empty((len(users), n), dtype=self.left.dtype)
        kernels.towers.top_items(
            *(self.users, self.items_by_dimension, self.left, self.right, self.head),
            *(seen.hidden.indptr, seen.hidden.items, np.asarray(users, dtype=np.int32), items, scores),
        )
        return items, scores

    def item_rows(self) -> SparseTable:
        """Returns the items' rows in the tower of products."""
        return self.items_by_dimension.by_column(self.right.shape[1])
