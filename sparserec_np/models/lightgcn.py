"""LightGCN: rows are averaged over the graph before they are multiplied (He et al. 2020).

With ``A = D^-1/2 B D^-1/2``, B the adjacency of users and items and D the degrees, the rows that
are multiplied are ``1 / (layers + 1) * (x + A x + A^2 x + ... )`` of the stored rows x. The
operator is symmetric: the gradient by the stored rows is the same sum of the gradient by the rows
that were multiplied.

Only the rows of a batch are made, and only the stored entries and the explored rows get a gradient:
the last step each way leaves out the rest. In between, a step needs all rows of the graph, 16
columns at a time.
"""

from __future__ import annotations

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import STRIP_COLUMNS, Explored, Graph, Rows
from sparserec_np.learning.batches import Batch, Groups
from sparserec_np.learning.losses import Scores
from sparserec_np.models.batch_items import BatchItems
from sparserec_np.models.inner_products import InnerProducts, mean_product
from sparserec_np.models.model import NO_WEIGHTS, Decay, Gradients, scale_values
from sparserec_np.models.table_ranker import TableRanker, table_ranker
from sparserec_np.models.views import View, served_table

CHUNKS = 64  # parts of the rows that threads share out


class Propagation:
    """The mean of a table over 0 to ``layers`` steps on the graph, and the way back.

    A step of rows divided by the root of their degree, ``z = D^-1/2 x``, is a plain mean over
    neighbours: ``D^-1 B z``. All steps but the last therefore read no weights.

    Attributes:
        graph: of the training interactions.
        layers: number of steps, 1 or more.
        dim: columns of the tables.
        width: columns of the rows that are made, ``dim`` rounded up to whole blocks.
    """

    def __init__(self, graph: Graph, layers: int, dim: int, dtype: np.dtype[np.floating]) -> None:
        self.graph = graph
        self.layers = layers
        self.dim = dim
        self.width = -(-dim // STRIP_COLUMNS) * STRIP_COLUMNS
        degrees = np.diff(graph.indptr).astype(np.float64)
        with np.errstate(divide="ignore"):
            inverse = np.where(degrees > 0, 1 / degrees, 0)
        self._mean = inverse.astype(dtype)
        self._into = np.sqrt(inverse).astype(dtype)
        self._out_of = np.sqrt(degrees).astype(dtype)
        rows = len(degrees)
        self._blocks = [
            np.empty((rows if layers > 1 or n == 0 else 0, STRIP_COLUMNS), dtype) for n in range(2)
        ]
        # As many edges in each chunk: rows of popular items lie together, and their chunk would
        # take longest.
        marks = np.linspace(0, len(graph.neighbours) + rows, CHUNKS + 1)
        self._chunks = np.searchsorted(graph.indptr + np.arange(rows + 1), marks).astype(np.int32)
        self._edge_bounds = np.empty(rows + 1, dtype=graph.indptr.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of the blocks, the factors and the bounds."""
        factors = (self._mean, self._into, self._out_of, self._chunks, self._edge_bounds)
        return int(sum(array.nbytes for array in (*self._blocks, *factors)))

    def forward(self, table: SparseTable, rows: Array) -> Array:
        """Computes the means for ``rows`` (m,) int32: (m, width), 0 in columns past ``dim``."""
        local = np.empty((len(rows), self.width), dtype=table.values.dtype)
        kernels.propagation.read_rows(table, rows, local)
        for first in range(0, self.width, STRIP_COLUMNS):
            here, there = self._blocks
            kernels.propagation.read_columns(table, first, self._into, here)
            for _ in range(1, self.layers):
                kernels.propagation.propagate(self.graph, self._chunks, here, self._mean, there)
                here, there = there, here
                kernels.propagation.add_rows(rows, here, self._out_of, first, local)
            kernels.propagation.add_propagated(self.graph, rows, here, self._into, first, local)
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
        bounds = self.graph.indptr
        sources = np.empty(int((bounds[rows + 1] - bounds[rows]).sum()), dtype=np.int32)
        kernels.propagation.edges_from(self.graph, rows, self._edge_bounds, sources)
        edges = Graph(self._edge_bounds, sources)
        factors = self._into[rows][:, None]
        for first in range(0, self.width, STRIP_COLUMNS):
            given = local[:, first : first + STRIP_COLUMNS] * factors
            block, graph = given, edges
            there, spare = self._blocks
            for _ in range(1, self.layers):
                kernels.propagation.propagate(graph, self._chunks, block, self._mean, there)
                there[rows] += given
                block, graph = there, self.graph
                there, spare = spare, there
            kernels.propagation.pull_columns(
                graph, self._chunks, table, first, block, self._into, gradient, explored
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
        self._propagation = Propagation(Graph.of(log), layers, dim, dtype)
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
        own = self._propagation.graph.nbytes + self._all.nbytes + self._places.nbytes
        return int(blocks + own) + sum(view.nbytes for view in self.views)

    def touched(self, batch: Batch) -> Array:
        """Returns all rows: those of a batch are means of rows that are means of others."""
        return self._all

    def forward(self, batch: Batch) -> Scores:
        """Scores the pairs and their negatives."""
        table = self.table
        for view in self._before:
            table = view.apply(table, self._all)
        rows = self._pairs.touched(batch)
        read = SparseTable.full(self._propagation.forward(table, rows))
        self._places[rows] = np.arange(len(rows), dtype=np.int32)
        for view in self._after:
            read = view.apply(read, self._all[: len(rows)])
        self._read = read
        positives, negatives = self._products.forward(read, self._renumbered(batch))
        return Scores(positives, negatives, self._pairs.mask(batch, negatives))

    def _renumbered(self, batch: Batch) -> Batch:
        """Renumbers the batch by the rows that were made for it."""
        place = self._places
        return Batch(
            Groups(place[batch.users.rows], batch.users.starts),
            place[batch.user_of],
            place[batch.positives],
            place[batch.negatives],
            batch.shared,
        )

    def backward(self, batch: Batch, slopes: Scores, decay: Decay, gradients: Gradients) -> None:
        """Adds gradients as :meth:`~sparserec_np.models.model.Model.backward` says.

        L2 terms are of the stored rows that pairs name.
        """
        read = self._read
        rows = self._pairs.touched(batch)
        order, items = self._pairs.by_item(batch)
        by_item = order, Groups(self._places[items.rows], items.starts)
        gradient = np.zeros_like(read.values)
        none = Explored.of(rows[:0], len(rows), self._propagation.width, gradient.dtype)
        self._products.backward(read, self._renumbered(batch), slopes, by_item, gradient, none)
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
