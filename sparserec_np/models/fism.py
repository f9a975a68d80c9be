"""FISM: a user is the sum of what they touched, and only items are stored (Kabbur, Ning and Karypis 2013).

With ``w_i`` the stored row of item i, ``c_j`` a number for each item and ``N(u)`` what user u
touched in training,

    x_u = sum over j in N(u) of c_j w_j,        score(u, i) = x_u . w_i

so the whole budget goes to items, and a new user needs no training. A user's own item is left out
when it is scored in training, ``x_u . w_i - c_i w_i . w_i``: else the model would learn to give back
its input. Both places in which a row stands get a gradient. That the two are one row (as in ELSA,
Vancura et al. 2022) is our choice, and so is the cut of a user's row when lists are made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import FEW_PAIRS, Interactions
from sparserec_np.data.table import Array, SparseTable, column_dtype
from sparserec_np.errors import ConfigError
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.batches import Batch, Groups
from sparserec_np.learning.losses import Scores
from sparserec_np.models.batch_items import BatchItems
from sparserec_np.models.inner_products import InnerProducts
from sparserec_np.models.model import Decay, Gradients
from sparserec_np.models.views import View

ROW_ENTRIES = 64  # of a user's row when lists are made: of 512 columns they keep 99.9 % of NDCG
USERS_AT_ONCE = 256  # whose rows are made together, all columns of them


class Fism:
    """``score(u, i) = sum over j in N(u) of c_j w_j . w_i``, see the module.

    Attributes:
        table: (n_items) rows; row i is item i. Batches number rows as those of a stacked table, users
            first.
        dim: number of columns.
        log: the training interactions: what makes the users, and what is no negative.
        weights: (n_items,) what is trained of the numbers: ``c_j = weights[j] * base[j]``, at first 1.
            So a step changes each by a part of itself, however small it is.
        base: (n_items,) at first 1 over the item's number of users, or over 1.
    """

    def __init__(self, table: SparseTable, dim: int, log: Interactions, views: tuple[View, ...] = ()) -> None:
        assert not views  # the settings refuse them
        self.table = table
        self.dim = dim
        self.log = log
        dtype = table.values.dtype
        self.base = (1 / np.maximum(log.item_degrees, 1)).astype(dtype)
        self.weights = np.ones(log.n_items, dtype=dtype)
        self._pairs = BatchItems(log)
        self._products = InnerProducts(dim, dtype)
        self._counts = np.zeros(log.n_items, dtype=np.int32)
        self._made: _MadeRows | None = None

    @property
    def workspace_bytes(self) -> int:
        """Bytes of numbers, blocks and counters; the rows of a batch's users come on top, and go with it."""
        own = self._pairs.nbytes + self._products.nbytes + self._counts.nbytes
        return int(own + self.base.nbytes)

    @property
    def served_weights(self) -> Array:
        """(n_items,) the numbers ``c``, as a model file holds them."""
        return self.weights * self.base

    def load_weights(self, weights: Array) -> None:
        """Takes the numbers ``c`` (n_items,) of a model file."""
        self.base[:] = weights
        self.weights[:] = 1

    def touched(self, batch: Batch) -> Array:
        """Finds the items that the batch's users touched, and its negatives; rows of the table."""
        return self._rows_for(batch).touched

    def forward(self, batch: Batch) -> Scores:
        """Scores the pairs, each without its own item, and their negatives."""
        made = self._rows_for(batch)
        table = self.table
        made.read(table, self.served_weights, self.log)
        positives, negatives = self._products.forward(made.stacked, made.renumbered)
        own = np.empty(batch.size, dtype=table.values.dtype)
        items = batch.positives - np.int32(self.log.n_users)
        kernels.fism.own_products(table, items, own)
        positives -= self.served_weights[items] * own
        return Scores(positives, negatives, self._pairs.mask(batch, negatives))

    def backward(self, batch: Batch, slopes: Scores, decay: Decay, gradients: Gradients) -> None:
        """Adds gradients as :meth:`~sparserec_np.models.model.Model.backward` says."""
        made = self._rows_for(batch)
        table, weights, n_users = self.table, self.served_weights, np.int32(self.log.n_users)
        order, items = self._pairs.by_item(batch)
        groups = Groups(items.rows - n_users + np.int32(made.count), items.starts)
        active, explored = gradients.active, gradients.explored
        users = np.full(made.count, -1, dtype=np.int32)
        inside = Explored(np.concatenate([users, explored.slots]), explored.sums)
        gradient = np.zeros_like(made.stacked.values)
        self._products.backward(made.stacked, made.renumbered, slopes, (order, groups), gradient, inside)
        entries = made.count * self.dim
        active += gradient[entries:]
        by_number = np.zeros_like(weights)
        local = gradient[:entries].reshape(made.count, self.dim)
        kernels.fism.spread_rows(
            table, weights, made.members, made.starts, made.rows, local, active, explored, by_number
        )
        positives = np.where(order < batch.size, slopes.positives[np.minimum(order, batch.size - 1)], 0)
        sums = np.add.reduceat(positives, items.starts[:-1]).astype(weights.dtype)
        kernels.fism.leave_out(table, weights, items.rows - n_users, sums, active, explored, by_number)
        gradients.weights[:] += by_number * self.base
        empty = np.zeros(n_users, dtype=table.indptr.dtype)  # rows of users, of which none is stored
        stacked = SparseTable(np.concatenate([empty, table.indptr]), table.columns, table.values)
        self._pairs.add_decay(stacked, batch, decay, active)

    def _rows_for(self, batch: Batch) -> _MadeRows:
        """What was found for this batch, which is kept until the next."""
        if self._made is None or self._made.batch is not batch:
            self._made = _MadeRows(batch, self.log, self.dim, self._counts)
        return self._made

    def served(self) -> SparseTable:
        """Returns the stored rows, those of items."""
        return self.table

    def factors(self) -> SparseTable:
        """Raises ConfigError: users have no stored rows to learn from."""
        raise ConfigError(
            "The users of the model fism are made from what they touched, and not stored, which is what is learned from"
        )

    def mean_product(self) -> float:
        """Computes the mean score of the training pairs, each without its own item."""
        log, table, weights = self.log, self.table, self.served_weights
        total = 0.0
        for first, last in log.user_blocks(FEW_PAIRS):
            for start in range(first, last, USERS_AT_ONCE):
                users = np.arange(start, min(start + USERS_AT_ONCE, last), dtype=np.int32)
                bounds = log.indptr[start : users[-1] + 2]
                items = log.items[bounds[0] : bounds[-1]]
                rows = _full_rows(table, weights, log, users, self.dim)
                stacked = stack(rows, table)
                starts = (bounds - bounds[0]).astype(np.int32)
                scores, own = (np.empty(len(items), dtype=table.values.dtype) for _ in range(2))
                every = np.arange(len(users), dtype=np.int32)
                kernels.scoring.score_pairs(stacked, every, starts, items + np.int32(len(users)), scores)
                kernels.fism.own_products(table, items, own)
                total += float((scores - weights[items] * own).sum(dtype=np.float64))
        return total / log.n_interactions

    def ranker(self) -> MadeRowsRanker:
        """Ranks by the scores as they are now."""
        return MadeRowsRanker(self.table, self.served_weights, self.dim, self.log)


class _MadeRows:
    """The rows of a batch's users, and the way back from them.

    Attributes:
        batch: the batch.
        count: number of its users.
        rows, starts, members: the items that these touched, grouped: ``members[starts[g]:starts[g + 1]]``
            are the places of those users who touched item ``rows[g]``.
        touched: (t,) int32 the items that they touched, and the negatives; none twice.
        renumbered: the batch over ``stacked``.
        stacked: every entry of the users' rows, then the items' stored rows, once :meth:`read` was
            called.
    """

    def __init__(self, batch: Batch, log: Interactions, dim: int, counts: Array) -> None:
        self.batch, self._dim = batch, dim
        users = batch.users.rows
        self.count = len(users)
        lengths = log.indptr[users + 1] - log.indptr[users]
        ends = np.cumsum(lengths)
        places = np.arange(int(ends[-1])) + np.repeat(log.indptr[users] - (ends - lengths), lengths)
        keys = log.items[places]
        order, rows = np.empty(len(keys), dtype=np.int32), np.empty(len(keys), dtype=np.int32)
        starts = np.empty(len(keys) + 1, dtype=np.int32)
        groups = kernels.sampling.group_by_row(keys, counts, order, starts, rows)
        self.rows, self.starts = rows[:groups], starts[: groups + 1]
        self.members = np.repeat(np.arange(self.count, dtype=np.int32), lengths)[order]
        negatives = np.unique(batch.negatives - np.int32(log.n_users)).astype(np.int32)
        counts[self.rows] = 1
        self.touched = np.concatenate([self.rows, negatives[counts[negatives] == 0]])
        counts[self.rows] = 0
        shift = np.int32(self.count - log.n_users)
        every = np.arange(self.count, dtype=np.int32)
        self.renumbered = Batch(
            Groups(every, batch.users.starts),
            np.repeat(every, batch.users.sizes),
            batch.positives + shift,
            batch.negatives + shift,
            batch.shared,
        )
        self.stacked = SparseTable(starts[:0], keys[:0], keys[:0])

    def read(self, table: SparseTable, weights: Array, log: Interactions) -> None:
        """Makes the rows from the items' rows as they are now."""
        rows = _full_rows(table, weights, log, self.batch.users.rows, self._dim)
        self.stacked = stack(rows, table)


def _full_rows(table: SparseTable, weights: Array, log: Interactions, users: Array, dim: int) -> Array:
    """Makes every entry of the rows of ``users`` (m,) int32: (m, dim) of the table's dtype."""
    rows = np.empty((len(users), dim), dtype=table.values.dtype)
    kernels.fism.sum_rows(table, weights, log.indptr, log.items, users, rows)
    return rows


def stack(rows: Array, table: SparseTable) -> SparseTable:
    """Puts full rows (m, dim) before those of a table, in one table."""
    count, dim = rows.shape
    bounds = np.arange(count, dtype=table.indptr.dtype) * dim
    return SparseTable(
        np.concatenate([bounds, table.indptr + table.indptr.dtype.type(rows.size)]),
        np.concatenate([np.tile(np.arange(dim, dtype=column_dtype(dim)), count), table.columns]),
        np.concatenate([rows.reshape(-1), table.values]),
    )


@dataclass(frozen=True)
class MadeRowsRanker:
    """A ranker of users who are what they touched: their rows are made and cut, some at a time.

    Attributes:
        items: (n_items, dim)
        weights: (n_items,) the numbers ``c``.
        dim: number of columns.
        log: what the users touched.
        row_entries: of a user's row, those of largest magnitude, of equals the lower column.
    """

    items: SparseTable
    weights: Array
    dim: int
    log: Interactions
    row_entries: int = ROW_ENTRIES

    def rank(self, users: Array, n: int, seen: Interactions) -> tuple[Array, Array]:
        """Ranks as ``Ranker.rank`` says, on the threads that Numba is set to."""
        users = np.asarray(users, dtype=np.int32)
        items = np.empty((len(users), n), dtype=np.int32)
        scores = np.empty((len(users), n), dtype=self.items.values.dtype)
        by_dimension = self.items.by_column(self.dim)
        seen_indptr = seen.indptr
        for start in range(0, len(users), USERS_AT_ONCE):
            some = users[start : start + USERS_AT_ONCE]
            part = slice(start, start + len(some))
            kernels.ranking.top_items(
                self.rows_of(some),
                by_dimension,
                self.items.rows,
                *_seen_of(some, seen_indptr, seen.items),
                np.arange(len(some), dtype=np.int32),
                items[part],
                scores[part],
            )
        return items, scores

    def rows_of(self, users: Array) -> SparseTable:
        """Makes the cut rows of ``users`` (m,) int32, a table of m rows."""
        full = _full_rows(self.items, self.weights, self.log, users, self.dim)
        return cut_rows(full, self.row_entries)


def _seen_of(users: Array, indptr: Array, items: Array) -> tuple[Array, Array]:
    """The bounds and items of what ``users`` (m,) are known to have, row after row."""
    lengths = indptr[users + 1] - indptr[users]
    bounds = np.zeros(len(users) + 1, dtype=indptr.dtype)
    np.cumsum(lengths, out=bounds[1:])
    places = np.arange(int(bounds[-1])) + np.repeat(indptr[users] - bounds[:-1], lengths)
    return bounds, items[places]


def cut_rows(full: Array, entries: int) -> SparseTable:
    """Keeps the ``entries`` entries of largest magnitude of each of ``full`` (m, dim); of equals the lower column.

    >>> cut_rows(np.array([[1.0, -3.0, 0.0, 2.0], [0.0, 0.0, 0.0, 1.0]]), 2).to_dense(4).tolist()
    [[0.0, -3.0, 0.0, 2.0], [0.0, 0.0, 0.0, 1.0]]
    """
    keep = full != 0
    if full.shape[1] > entries:
        best = np.argsort(-np.abs(full), axis=1, kind="stable")[:, :entries]
        kept = np.zeros_like(keep)
        np.put_along_axis(kept, best, True, axis=1)
        keep &= kept
    return SparseTable.from_dense(full, keep)
