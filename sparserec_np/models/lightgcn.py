"""LightGCN: rows are averaged over the graph before they are multiplied (He et al. 2020).

With ``A = D^-1/2 B D^-1/2``, B the adjacency of users and items and D the degrees, the rows that
are multiplied are ``1 / (layers + 1) * (x + A x + A^2 x + ... )`` of the stored rows x. The
operator is symmetric: the gradient by the stored rows is the same sum of the gradient by the rows
that were multiplied.

Only the rows of a batch are made, and only the stored entries and the explored rows get a gradient:
the last step each way leaves out the rest. In between, a step needs all rows of the graph, 32
columns at a time.
"""

from __future__ import annotations

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import BLOCK_COLUMNS, STRIP_COLUMNS, Explored, Graph, Rows, Strip
from sparserec_np.learning.batches import Batch, Groups
from sparserec_np.learning.losses import Scores
from sparserec_np.models.batch_items import BatchItems
from sparserec_np.models.inner_products import InnerProducts, mean_product
from sparserec_np.models.model import NO_WEIGHTS, Decay, Gradients, scale_values
from sparserec_np.models.neighbourhoods import empty_block, even_chunks, neighbourhood_order, reordered
from sparserec_np.models.table_ranker import TableRanker, table_ranker
from sparserec_np.models.views import View, served_table
from sparserec_np.sparsity.growth import NO_ROWS


class Propagation:
    """The mean of a table over 0 to ``layers`` steps on the graph, and the way back.

    A step of rows divided by the root of their degree, ``z = D^-1/2 x``, is a plain mean over
    neighbours: ``D^-1 B z``. All steps but the last therefore read no weights.

    Blocks hold rows in another order than the table, see
    :mod:`~sparserec_np.models.neighbourhoods`; a row's number in it is its place.

    Attributes:
        graph: of the training interactions, by place.
        layers: number of steps, 1 or more.
        dim: columns of the tables.
        width: columns of the rows that are made, ``dim`` rounded up to whole registers.
    """

    def __init__(self, log: Interactions, layers: int, dim: int, dtype: np.dtype[np.floating]) -> None:
        graph, self._n_users = Graph.of(log), log.n_users
        self._order = neighbourhood_order(graph, log.n_users, dtype)
        self._places = np.empty_like(self._order)
        self._places[self._order] = np.arange(len(self._order), dtype=np.int32)
        self.graph = reordered(graph, self._order)
        self.layers = layers
        self.dim = dim
        self.width = -(-dim // STRIP_COLUMNS) * STRIP_COLUMNS
        degrees = np.diff(self.graph.indptr).astype(np.float64)
        with np.errstate(divide="ignore"):
            inverse = np.where(degrees > 0, 1 / degrees, 0)
        self._mean = inverse.astype(dtype)
        self._into = np.sqrt(inverse).astype(dtype)
        self._out_of = np.sqrt(degrees).astype(dtype)
        rows = len(degrees)
        self._blocks = [empty_block(rows if layers > 1 or n == 0 else 0, dtype) for n in range(2)]
        self._chunks = even_chunks(self.graph)

    @property
    def nbytes(self) -> int:
        """Bytes of the graph, the order, the blocks and the factors."""
        numbers = (self._order, self._places, self._chunks)
        factors = (self._mean, self._into, self._out_of)
        return self.graph.nbytes + int(sum(array.nbytes for array in (*self._blocks, *numbers, *factors)))

    def side_by_side(self, rows: Array) -> Array:
        """Sorts ``rows`` (m,) int32 by place, which is the order in which they take least time."""
        return self._order[np.sort(self._places[rows])]

    def forward(self, table: SparseTable, rows: Array) -> Array:
        """Computes the means for ``rows`` (m,) int32: (m, width), 0 in columns past ``dim``."""
        local = np.empty((len(rows), self.width), dtype=table.values.dtype)
        kernels.propagation.read_rows(table, rows, local)
        places = self._places[rows]
        begins = table.indptr[self._order]
        for first in range(0, self.width, BLOCK_COLUMNS):
            here, there = self._blocks
            strip = Strip(first, self._order, begins)
            kernels.propagation.read_columns(self._chunks, table, strip, self._into, here)
            for _ in range(1, self.layers):
                kernels.propagation.propagate(self.graph, self._chunks, here, self._mean, there)
                here, there = there, here
                kernels.propagation.add_rows(places, here, self._out_of, first, local)
            kernels.propagation.add_propagated(self.graph, places, here, self._into, first, local)
        local /= self.layers + 1
        return local

    def backward(
        self, table: SparseTable, rows: Array, local: Array, gradient: Array, explored: Explored
    ) -> None:
        """Adds the gradient by the table's entries.

        ``local`` (m, width) is the gradient by the means for ``rows``.

        Overwrites ``local``.
        """
        local /= self.layers + 1
        kernels.propagation.pull_rows(table, rows, local, gradient, explored)
        places = self._places[rows]
        factors = self._into[places][:, None]
        begins = table.indptr[self._order]
        given = empty_block(len(rows), local.dtype)
        for first in range(0, self.width, BLOCK_COLUMNS):
            some = local[:, first : first + BLOCK_COLUMNS]
            given[:, some.shape[1] :] = 0
            np.multiply(some, factors, out=given[:, : some.shape[1]])
            here, there = self._blocks
            if self.layers > 1:
                kernels.propagation.spread_rows(self.graph, self._n_users, places, given, self._mean, here)
            else:
                here[:] = 0
            kernels.propagation.add_lines(places, given, here)
            for _ in range(2, self.layers):
                kernels.propagation.propagate(self.graph, self._chunks, here, self._mean, there)
                kernels.propagation.add_lines(places, given, there)
                here, there = there, here
            strip = Strip(first, self._order, begins)
            kernels.propagation.pull_columns(
                self.graph, self._chunks, table, strip, here, self._into, gradient, explored
            )


class LightGCN:
    """A model whose rows are averaged over the graph: ``score(u, i) = <mean of u, mean of i>``.

    Attributes:
        table: (n_users + n_items) rows, before propagation.
        dim: number of columns.
        log: the training interactions: the graph, and what is no negative.
        layers: steps on the graph.
        views: what lies between the table and the rows that are multiplied: dropout before
            propagation, the similarity after it.
    """

    def __init__(
        self,
        table: SparseTable,
        dim: int,
        log: Interactions,
        views: tuple[View, ...] = (),
        *,
        layers: int = 3,
    ) -> None:
        self.table = table
        self.dim = dim
        self.log = log
        self.layers = layers
        self.views = views
        self.weights = NO_WEIGHTS
        dtype = table.values.dtype
        self._before = tuple(view for view in views if view.training_only)
        self._after = tuple(view for view in views if not view.training_only)
        self._pairs = BatchItems(log)
        self._propagation = Propagation(log, layers, dim, dtype)
        self._products = InnerProducts(self._propagation.width, dtype)
        self._all = np.arange(table.rows, dtype=np.int32)
        self._places = np.zeros(table.rows, dtype=np.int32)
        self._read = table

    @property
    def workspace_bytes(self) -> int:
        """Bytes of graph, blocks, counters and views.

        The rows and scores of a batch come on top, and go with it.
        """
        blocks = self._pairs.nbytes + self._propagation.nbytes + self._products.nbytes
        own = self._all.nbytes + self._places.nbytes
        return int(blocks + own) + sum(view.nbytes for view in self.views)

    def touched(self, batch: Batch) -> Array:
        """Returns all rows: those of a batch are means of rows that are means of others."""
        return self._all

    def touched_weights(self, batch: Batch) -> Array:
        """Returns none: there are no weights."""
        return NO_ROWS

    def forward(self, batch: Batch) -> Scores:
        """Scores the pairs and their negatives."""
        table = self.table
        for view in self._before:
            table = view.apply(table, self._all)
        rows = self._propagation.side_by_side(self._pairs.touched(batch))
        read = SparseTable.full(self._propagation.forward(table, rows))
        self._places[rows] = np.arange(len(rows), dtype=np.int32)
        for view in self._after:
            read = view.apply(read, self._all[: len(rows)])
        self._read = read
        positives, negatives = self._products.forward(read, batch.renumbered(self._places))
        return Scores(positives, negatives, self._pairs.mask(batch, negatives))

    def backward(self, batch: Batch, slopes: Scores, decay: Decay, gradients: Gradients) -> None:
        """Adds gradients as :meth:`~sparserec_np.models.model.Model.backward` says.

        L2 terms are of the stored rows that pairs name.
        """
        read = self._read
        rows = self._propagation.side_by_side(self._pairs.touched(batch))
        order, items = self._pairs.by_item(batch)
        by_item = order, Groups(self._places[items.rows], items.starts)
        gradient = np.zeros_like(read.values)
        none = Explored.of(rows[:0], len(rows), self._propagation.width, gradient.dtype)
        self._products.backward(read, batch.renumbered(self._places), slopes, by_item, gradient, none)
        for view in reversed(self._after):
            view.pull_back(self._all[: len(rows)], gradient, none)
        local = gradient.reshape(len(rows), -1)
        active, explored = gradients.active, gradients.explored
        self._propagation.backward(self.table, rows, local, active, explored)
        for view in reversed(self._before):
            view.pull_back(self._all, active, explored)
        self._pairs.add_decay(Rows.of(self.table), batch, decay, active)

    @property
    def served_weights(self) -> Array:
        """Returns the dense weights, as a model file holds them."""
        return self.weights

    def load_weights(self, weights: Array) -> None:
        """Takes the dense weights of a model file."""
        self.weights[:] = weights

    def served(self) -> SparseTable:
        """Returns the stored rows: with the interactions they are all that is needed to score."""
        return self.table

    def propagated(self) -> SparseTable:
        """Computes every entry of the means of all rows.

        It is the one place where a full table is made, to rank all items.
        """
        means = self._propagation.forward(self.table, self._all)
        return SparseTable.full(means[:, : self.dim])

    def factors(self) -> SparseTable:
        """Computes the rows that are multiplied: the means in full, through the similarity."""
        return served_table(self.propagated(), self._after)

    def mean_product(self) -> float:
        """Computes what :meth:`~sparserec_np.models.model.Model.mean_product` says."""
        return mean_product(self.propagated(), self.log)

    def scale_scores(self, factor: float) -> None:
        """Multiplies all stored values by the root of the factor."""
        scale_values(self.table, factor)

    def ranker(self) -> TableRanker:
        """Makes a ranker of the scores as they are now."""
        return table_ranker(self.factors(), self.log.n_users, self.dim)
