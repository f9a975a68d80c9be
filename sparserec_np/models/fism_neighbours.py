"""FISM with neighbours: a user is a sum of rows, and beside it what the touched items say of others.

The table has two parts. Its first columns hold the items' rows w, as in
:class:`~sparserec_np.models.fism.Fism`. Behind them each item has a column: what stands there in
row i is ``p_ij``, what item i gets from who touched item j. So, in the words of that module,

    score(u, i) = x_u . w_i + sum over j in N(u) of r_uj p_ij

Training changes w and the numbers c, and neither p nor which entries are stored: pairs say what few
users have in common, which no gradient of sampled pairs says better. Our choice.
"""

from __future__ import annotations

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.recency import Touched
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.batches import Batch
from sparserec_np.learning.losses import Scores
from sparserec_np.models.fism import USERS_AT_ONCE, Fism, MadeRowsRanker
from sparserec_np.models.model import Decay, Gradients
from sparserec_np.models.user_rows import SumAndItems
from sparserec_np.models.views import View
from sparserec_np.sparsity.growth import NO_ROWS


class FismWithNeighbours:
    """Sums of rows that are trained, beside neighbours that stay; see the module.

    Attributes:
        table: (n_items) rows of both parts; row i is item i.
        dim: number of columns, those of items included.
        log: the training interactions: what is no negative.
        history: what makes the users.
        weights: (n_items,) what is trained of the numbers; see
            :class:`~sparserec_np.models.fism.Fism`.
        row_entries: that sums are cut to for lists; None for as many as
            :func:`~sparserec_np.runtime.row_entries` says.
    """

    views: tuple[View, ...] = ()

    def __init__(self, table: SparseTable, dim: int, touched: Touched) -> None:
        self.table = table
        self.dim = dim
        self.history = touched
        self.log = touched.log
        summed = dim - table.rows
        first = table.columns < summed
        before = np.concatenate([[0], np.cumsum(first)]).astype(table.indptr.dtype)
        self._places = np.flatnonzero(first)  # of the entries of rows, among all
        bounds = before[table.indptr]
        self._sums = Fism(SparseTable(bounds, table.columns[first], table.values[first]), summed, touched)
        self._pairs = SparseTable(
            table.indptr - bounds,
            table.columns[~first] - np.asarray(summed, table.columns.dtype),
            table.values[~first],
        )
        self._others = np.flatnonzero(~first)
        self._active = np.zeros_like(self._sums.table.values)
        self._nothing = Explored.of(NO_ROWS, table.rows, summed, table.values.dtype)
        self._origin = self._own_origin = self._active[:0]
        self.weights = self._sums.weights
        self.row_entries: int | None = None

    def cut_rows_to(self, entries: int) -> None:
        """Takes the number of entries that a model file has the sums of users' rows cut to."""
        self.row_entries = entries

    @property
    def workspace_bytes(self) -> int:
        """Bytes of copies of both parts, of their places, and of what sums take."""
        own = self._sums.table.nbytes + self._pairs.nbytes + self._places.nbytes + self._others.nbytes
        beside = self._active.nbytes + self._nothing.nbytes + self._own_origin.nbytes
        return self._sums.workspace_bytes + own + beside

    @property
    def served_weights(self) -> Array:
        """(n_items,) the numbers ``c``, as a model file holds them."""
        return self._sums.served_weights

    def load_weights(self, weights: Array) -> None:
        """Takes the numbers ``c`` (n_items,) of a model file."""
        self._sums.load_weights(weights)

    def touched(self, batch: Batch) -> Array:
        """Finds the items that the batch's users touched, and its negatives; rows of the table."""
        return self._sums.touched(batch)

    def forward(self, batch: Batch) -> Scores:
        """Scores the pairs, each without its own item, and their negatives."""
        sums, pairs, made = self._sums.table, self._pairs, self._sums.made_for(batch)
        kernels.fism.split_rows(self.table, sums.indptr, made.touched, sums.values, pairs.values)
        scores, starts = self._sums.forward(batch), batch.users.starts
        kernels.fism.add_marked_pairs(*made.of_users, starts, made.positives, self._pairs, scores.positives)
        if batch.shared:  # of an item that the user touched it stays minus infinity
            kernels.fism.add_marked_block(*made.of_users, made.negatives, self._pairs, scores.negatives)
        else:
            kernels.fism.add_marked_pairs(
                *made.of_users, starts, made.negatives, self._pairs, scores.negatives
            )
        return scores

    def backward(self, batch: Batch, slopes: Scores, decay: Decay, gradients: Gradients) -> None:
        """Adds gradients as :meth:`~sparserec_np.models.model.Model.backward` says; none of pairs."""
        sums, rows = self._sums, self.touched(batch)
        if decay.origin is not self._origin:
            self._origin = decay.origin
            self._own_origin = decay.origin[self._places] if len(decay.origin) else decay.origin
        own = Gradients(self._active, self._nothing, gradients.weights)
        sums.backward(batch, slopes, decay._replace(origin=self._own_origin), own)
        bounds = self.table.indptr, sums.table.indptr
        kernels.fism.move_first(*bounds, rows, self._active, gradients.active)

    @property
    def trained_values(self) -> Array:
        """Values of rows (n,) as they are now, without those of pairs."""
        return self.table.values[self._places]

    def _read(self) -> None:
        """Takes the values of both parts as they are now."""
        sums = self._sums
        sums.table = sums.table._replace(values=self.table.values[self._places])
        self._pairs = self._pairs._replace(values=self.table.values[self._others])

    def served(self) -> SparseTable:
        """Returns the stored rows, those of items."""
        return self.table

    def factors(self) -> SparseTable:
        """Makes the rows of all users, as for lists, and stacks them on those of the items."""
        return self.ranker().factors()

    def mean_product(self) -> float:
        """Computes the mean score of the training pairs, each without its own item."""
        self._read()
        log, total = self.log, 0.0
        for start in range(0, log.n_users, USERS_AT_ONCE):
            users = np.arange(start, min(start + USERS_AT_ONCE, log.n_users), dtype=np.int32)
            starts, items, shares = self.history.of_users(users)
            scores = np.zeros(len(items), dtype=self.table.values.dtype)
            kernels.fism.add_marked_pairs(starts, items, shares, starts, items, self._pairs, scores)
            total += float(scores.sum(dtype=np.float64))
        return self._sums.mean_product() + total / log.n_interactions

    def scale_scores(self, factor: float) -> None:
        """Multiplies all scores: values of pairs by the factor, those of rows by its root."""
        values = self.table.values
        values[self._places] *= np.asarray(np.sqrt(factor), values.dtype)
        values[self._others] *= np.asarray(factor, values.dtype)

    def ranker(self) -> MadeRowsRanker:
        """Ranks by the scores as they are now."""
        return MadeRowsRanker(
            self.table, SumAndItems(self.served_weights, self.row_entries), self.dim, self.history
        )
