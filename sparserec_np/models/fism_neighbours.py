"""FISM with neighbours: a user is a sum of rows, and beside it what the touched items say of others.

The table has two parts. Its first columns hold the items' rows w, as in
:class:`~sparserec_np.models.fism.Fism`. Behind them each item has a column: what stands there in
row i is ``q_ij``, what items i and j say of each other. It stands once, in either row, and counts
both ways. So, in the words of that module,

    score(u, i) = x_u . w_i + sum over j in N(u) of r_uj m_j (q_ij + q_ji),        m_j = c_j^power

and m_j is 0 where c_j is below it. A power above 0 lets what many users touch say less of others,
and no other number has to be stored for that. Training changes w, q and the numbers c, and not
which entries are stored. Our choice.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import FEW_PAIRS
from sparserec_np.data.recency import Touched
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Explored, Pairs
from sparserec_np.learning.batches import Batch
from sparserec_np.learning.losses import Scores
from sparserec_np.models.batch_items import OfBatches
from sparserec_np.models.both_ways import SaidOfBatch, both_ways, found_pairs
from sparserec_np.models.fism import Fism, MadeRowsRanker
from sparserec_np.models.model import Decay, Gradients
from sparserec_np.models.user_rows import SumAndItems
from sparserec_np.models.views import View
from sparserec_np.runtime import mark_factors
from sparserec_np.sparsity.growth import NO_ROWS

FARTHEST = 1e6  # between the sizes of rows and pairs; the square of it has to be a float32


class FismWithNeighbours:
    """Sums of rows, beside what neighbours say; see the module.

    Attributes:
        dim: number of columns, those of items included.
        log: the training interactions: what is no negative.
        history: what makes the users.
        weights: (n_items,) what is trained of the numbers; see
            :class:`~sparserec_np.models.fism.Fism`.
        power: of the numbers, by which marks count; one of
            :data:`~sparserec_np.runtime.MARK_POWERS`.
        row_entries: that sums are cut to for lists; None for as many as
            :func:`~sparserec_np.runtime.row_entries` says.
    """

    views: tuple[View, ...] = ()

    def __init__(self, table: SparseTable, dim: int, touched: Touched, power: float = 0.0) -> None:
        self.dim = dim
        self.power = power
        self.history = touched
        self.log = touched.log
        self._summed = dim - table.rows
        before = np.append(0, np.cumsum(table.columns < self._summed)).astype(table.indptr.dtype)
        ends = table.indptr[:-1] + np.diff(before[table.indptr])
        self._sums = Fism(table, self._summed, touched, ends)
        self._nothing = Explored.of(NO_ROWS, table.rows, self._summed, table.values.dtype)
        self._every_item = np.arange(table.rows, dtype=np.int32)
        self._stored = np.flatnonzero(np.diff(table.indptr)).astype(np.int32)
        self._said_of = OfBatches(self._find_said)
        self._last_factors = np.empty(0, table.values.dtype)
        self.weights = self._sums.weights
        self.row_entries: int | None = None

    @property
    def table(self) -> SparseTable:
        """(n_items) rows of both parts; row i is item i."""
        return self._sums.table

    @table.setter
    def table(self, table: SparseTable) -> None:
        self._sums.table = table  # of other values: which entries are stored does not change

    @cached_property
    def _pairs(self) -> Pairs:
        """The pairs, from both of their items: what training reads, and lists do not."""
        table = self.table
        places = np.flatnonzero(table.columns >= self._summed)
        columns = table.columns[places].astype(np.int32) - np.int32(self._summed)
        return both_ways(table.row_numbers()[places], columns, places, table.rows)

    def cut_rows_to(self, entries: int) -> None:
        """Takes the number of entries that a model file has the sums of users' rows cut to."""
        self.row_entries = entries

    @property
    def workspace_bytes(self) -> int:
        """Bytes of the rows that are named, of where pairs stand once that was asked for, and of what sums take."""
        pairs = self._pairs.nbytes if "_pairs" in self.__dict__ else 0
        own = pairs + self._stored.nbytes + self._every_item.nbytes + self._nothing.nbytes
        return self._sums.workspace_bytes + own

    @property
    def served_weights(self) -> Array:
        """(n_items,) the numbers ``c``, as a model file holds them."""
        return self._sums.served_weights

    def load_weights(self, weights: Array) -> None:
        """Takes the numbers ``c`` (n_items,) of a model file."""
        self._sums.load_weights(weights)

    def _find_said(self, batch: Batch) -> SaidOfBatch:
        return SaidOfBatch(self._pairs, batch, self._sums.made_for(batch))

    def touched(self, batch: Batch) -> Array:
        """Names all rows with entries: all go on along their moments, whatever the batch holds.

        A pair gets few gradients. An optimizer that left it alone between two of them would move it
        by much less.
        """
        return self._stored

    def touched_weights(self, batch: Batch) -> Array:
        """Names all: a mark counts wherever a pair has it, and the optimizer goes on as with rows."""
        return self._every_item

    def forward(self, batch: Batch) -> Scores:
        """Scores the pairs, each without its own item, and their negatives."""
        scores = self._sums.forward(batch)
        said = self._said_of(batch)
        values, factors = self.table.values, self._factors()
        self._last_factors = factors
        kernels.pairs.add_found(self._pairs, said.positives, values, factors, scores.positives)
        if batch.shared:  # of an item that the user touched it stays minus infinity
            of_block = said.negatives, said.touched_by
            kernels.pairs.add_block(self._pairs, *of_block, values, factors, scores.negatives)
        else:
            kernels.pairs.add_found(self._pairs, said.of_each, values, factors, scores.negatives)
        return scores

    def backward(self, batch: Batch, slopes: Scores, decay: Decay, gradients: Gradients) -> None:
        """Adds gradients as :meth:`~sparserec_np.models.model.Model.backward` says. L2 terms have rows alone."""
        self._sums.backward(batch, slopes, decay, gradients._replace(explored=self._nothing))
        said, factors = self._said_of(batch), self._last_factors
        of_factors = np.zeros_like(factors)
        places = self.table.values, factors, gradients.active, of_factors
        kernels.pairs.pull_found(self._pairs, said.positives, slopes.positives, *places)
        if batch.shared:
            of_block = said.negatives, said.touched_by
            kernels.pairs.pull_block(self._pairs, *of_block, slopes.negatives, *places)
        else:
            kernels.pairs.pull_found(self._pairs, said.of_each, slopes.negatives, *places)
        if not self.power:  # and factors are 1, whatever the numbers are
            return
        # A factor's derivative by c is power m / c, and c is the weight times its base.
        of_factors *= self.power
        of_factors *= factors
        by_weights = np.zeros_like(of_factors)
        gradients.weights[:] += np.divide(of_factors, self.weights, out=by_weights, where=factors > 0)

    def _factors(self) -> Array:
        """Computes ``m`` (n_items,) as the numbers are now."""
        return mark_factors(self.served_weights, self.power)

    def level(self) -> None:
        """Brings rows and pairs to one root mean square, so that one rate suits both.

        The numbers c make up for it, and scores stay as they are. Where one part is next to
        nothing beside the other, both stay.
        """
        values, mine = self.table.values, self.table.columns < self._summed
        rows, pairs = (
            np.sqrt(np.square(values[some], dtype=np.float64).mean()) if some.any() else 0.0
            for some in (mine, ~mine)
        )
        # Rows times t, c times t^-2 and so m times t^(-2 power), pairs times t^(2 power).
        times = (pairs / rows) ** (1 / (1 - 2 * self.power)) if rows > 0 else 0.0
        if 1 / FARTHEST < times < FARTHEST:
            kind = values.dtype
            values[mine] *= np.asarray(times, kind)
            values[~mine] *= np.asarray(times ** (2 * self.power), kind)
            self._sums.base *= np.asarray(times**-2, kind)

    def served(self) -> SparseTable:
        """Returns the stored rows, those of items."""
        return self.table

    def factors(self) -> SparseTable:
        """Makes the rows of all users, as for lists, and stacks them on those of the items."""
        return self.ranker().factors()

    def mean_product(self) -> float:
        """Computes the mean score of the training pairs, each without its own item."""
        log, total, factors = self.log, 0.0, self._factors()
        for first, last in log.user_blocks(FEW_PAIRS):
            of_users = self.history.of_users(np.arange(first, last, dtype=np.int32))
            scores = np.zeros(len(of_users[1]), dtype=self.table.values.dtype)
            found = found_pairs(self._pairs, of_users, of_users[0], of_users[1])
            kernels.pairs.add_found(self._pairs, found, self.table.values, factors, scores)
            total += float(scores.sum(dtype=np.float64))
        return self._sums.mean_product() + total / log.n_interactions

    def scale_scores(self, factor: float) -> None:
        """Multiplies all scores: values of pairs by the factor, those of rows by its root."""
        values = self.table.values
        values *= np.asarray(factor, values.dtype)
        values[self.table.columns < self._summed] /= np.asarray(np.sqrt(factor), values.dtype)

    def ranker(self) -> MadeRowsRanker:
        """Ranks by the scores as they are now."""
        made = SumAndItems(self.served_weights, self.power, self.row_entries)
        return MadeRowsRanker(self.table, made, self.dim, self.history)
