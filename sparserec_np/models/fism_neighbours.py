"""FISM with neighbours: a user is a sum of rows, and beside it what the touched items say of others.

The table has two parts. Its first columns hold the items' rows w, as in
:class:`~sparserec_np.models.fism.Fism`. Behind them each item has a column: what stands there in
row i is ``p_ij``, what item i gets from who touched item j. So, in the words of that module,

    score(u, i) = x_u . w_i + sum over j in N(u) of r_uj p_ij

Training changes w, p and the numbers c, and not which entries are stored. Our choice.
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

FARTHEST = 1e6  # between the sizes of rows and pairs; the square of it has to be a float32


class FismWithNeighbours:
    """Sums of rows, beside what neighbours say; see the module.

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
        self._pair_starts = table.indptr[:-1] + np.diff(bounds)
        self._active, self._of_pairs = (
            np.zeros_like(self._sums.table.values),
            np.zeros_like(self._pairs.values),
        )
        self._nothing = Explored.of(NO_ROWS, table.rows, summed, table.values.dtype)
        self._stored = np.flatnonzero(np.diff(table.indptr)).astype(np.int32)
        self._origin = self._own_origin = self._active[:0]
        self.weights = self._sums.weights
        self.row_entries: int | None = None

    def cut_rows_to(self, entries: int) -> None:
        """Takes the number of entries that a model file has the sums of users' rows cut to."""
        self.row_entries = entries

    @property
    def workspace_bytes(self) -> int:
        """Bytes of copies and gradients of both parts, of their places, and of what sums take."""
        own = self._sums.table.nbytes + self._pairs.nbytes + self._places.nbytes + self._others.nbytes
        beside = self._active.nbytes + self._of_pairs.nbytes + self._nothing.nbytes + self._own_origin.nbytes
        return self._sums.workspace_bytes + own + beside

    @property
    def served_weights(self) -> Array:
        """(n_items,) the numbers ``c``, as a model file holds them."""
        return self._sums.served_weights

    def load_weights(self, weights: Array) -> None:
        """Takes the numbers ``c`` (n_items,) of a model file."""
        self._sums.load_weights(weights)

    def touched(self, batch: Batch) -> Array:
        """Names all rows with entries: all go on along their moments, whatever the batch holds.

        A pair gets few gradients. An optimizer that left it alone between two of them would move it
        by much less.
        """
        return self._stored

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
        """Adds gradients as :meth:`~sparserec_np.models.model.Model.backward` says. L2 terms have rows alone."""
        sums, pairs, rows = self._sums, self._pairs, self._sums.touched(batch)
        if decay.origin is not self._origin:
            self._origin = decay.origin
            self._own_origin = decay.origin[self._places] if len(decay.origin) else decay.origin
        own = Gradients(self._active, self._nothing, gradients.weights)
        sums.backward(batch, slopes, decay._replace(origin=self._own_origin), own)
        kernels.fism.move_part(self.table.indptr, sums.table.indptr, rows, self._active, gradients.active)
        made, by_item = sums.made_for(batch), sums.pairs_by_item(batch, slopes)
        kernels.fism.pull_marked_pairs(by_item, made.of_users, pairs, self._of_pairs)
        if batch.shared:
            turned, touched_by = np.ascontiguousarray(slopes.negatives.T), made.touched_by_item(pairs.rows)
            kernels.fism.pull_marked_block(made.negatives, turned, touched_by, pairs, self._of_pairs)
        kernels.fism.move_part(self._pair_starts, pairs.indptr, rows, self._of_pairs, gradients.active)

    def level(self) -> None:
        """Brings rows to the root mean square of pairs, so that one rate suits both.

        The numbers c make up for it, and scores stay as they are. Where one part is next to
        nothing beside the other, both stay.
        """
        rows, pairs = (
            np.sqrt(np.square(self.table.values[places], dtype=np.float64).mean()) if len(places) else 0.0
            for places in (self._places, self._others)
        )
        if rows > 0 and pairs > 0 and 1 / FARTHEST < rows / pairs < FARTHEST:
            kind = self.table.values.dtype
            self.table.values[self._places] *= np.asarray(pairs / rows, kind)
            self._sums.base *= np.asarray((rows / pairs) ** 2, kind)

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
