"""Matrix factorisation: a pair scores the inner product, or the cosine, of its two rows."""

from __future__ import annotations

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Explored, Rows
from sparserec_np.learning.batches import Batch
from sparserec_np.learning.losses import Scores
from sparserec_np.models.batch_items import BatchItems
from sparserec_np.models.inner_products import InnerProducts, mean_product
from sparserec_np.models.model import NO_WEIGHTS, Decay, Gradients, scale_values
from sparserec_np.models.table_ranker import TableRanker, table_ranker
from sparserec_np.models.views import View, served_table
from sparserec_np.sparsity.growth import NO_ROWS


class MatrixFactorization:
    """A model of one table: ``score(u, i) = <row u, row n_users + i>`` (Koren et al. 2009).

    Trained by BPR, it is BPR-MF (Rendle et al. 2009).

    Attributes:
        table: (n_users + n_items) rows.
        dim: number of columns.
        log: the training interactions; a user's own items are no negatives.
        views: what lies between the table and the rows that are multiplied, the first applied
            first.
    """

    def __init__(self, table: SparseTable, dim: int, log: Interactions, views: tuple[View, ...] = ()) -> None:
        self.table = table
        self.dim = dim
        self.log = log
        self.views = views
        self.weights = NO_WEIGHTS
        self._pairs = BatchItems(log)
        self._products = InnerProducts(dim, table.values.dtype)
        self._seen = table

    @property
    def workspace_bytes(self) -> int:
        """Bytes of blocks, counters and views.

        The scores of a batch come on top, and go with it.
        """
        return self._pairs.nbytes + self._products.nbytes + sum(view.nbytes for view in self.views)

    def touched(self, batch: Batch) -> Array:
        """Finds the rows of the users, the positives and the negatives."""
        return self._pairs.touched(batch)

    def touched_weights(self, batch: Batch) -> Array:
        """Returns none: there are no weights."""
        return NO_ROWS

    def forward(self, batch: Batch) -> Scores:
        """Scores the pairs and their negatives."""
        table = self.table
        if self.views:
            rows = self.touched(batch)
            for view in self.views:
                table = view.apply(table, rows)
        self._seen = table
        positives, negatives = self._products.forward(table, batch)
        return Scores(positives, negatives, self._pairs.mask(batch, negatives))

    def backward(self, batch: Batch, slopes: Scores, decay: Decay, gradients: Gradients) -> None:
        """Adds gradients as :meth:`~sparserec_np.models.model.Model.backward` says."""
        active, explored = gradients.active, gradients.explored
        by_item = self._pairs.by_item(batch)
        if self.views:
            rows = self.touched(batch)
            wanted = rows[explored.slots[rows] >= 0]
            fresh = Explored.of(wanted, self.table.rows, self.dim, explored.sums.dtype)
            self._products.backward(self._seen, batch, slopes, by_item, active, fresh)
            for view in reversed(self.views):
                view.pull_back(rows, active, fresh)
            explored.sums[explored.slots[wanted]] += fresh.sums
        else:
            self._products.backward(self._seen, batch, slopes, by_item, active, explored)
        self._pairs.add_decay(Rows.of(self.table), batch, decay, active)

    def factors(self) -> SparseTable:
        """Makes the table whose inner products are the scores; for cosines, rows of one length."""
        return served_table(self.table, self.views)

    @property
    def served_weights(self) -> Array:
        """Returns the dense weights, as a model file holds them."""
        return self.weights

    def load_weights(self, weights: Array) -> None:
        """Takes the dense weights of a model file."""
        self.weights[:] = weights

    def served(self) -> SparseTable:
        """Makes the table that is saved, the same as :meth:`factors`: it needs no views."""
        return self.factors()

    def mean_product(self) -> float:
        """Computes what :meth:`~sparserec_np.models.model.Model.mean_product` says."""
        return mean_product(self.table, self.log)

    def scale_scores(self, factor: float) -> None:
        """Multiplies all stored values by the root of the factor."""
        scale_values(self.table, factor)

    def ranker(self) -> TableRanker:
        """Makes a ranker of the scores as they are now."""
        return table_ranker(self.served(), self.log.n_users, self.dim)
