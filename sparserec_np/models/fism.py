"""FISM: a user is the sum of what they touched, and only items are stored (Kabbur, Ning and Karypis 2013).

With ``w_i`` the stored row of item i, ``c_j`` a number for each item and ``N(u)`` what user u
touched in training,

    x_u = sum over j in N(u) of r_uj c_j w_j,        score(u, i) = x_u . w_i

so the whole budget goes to items, and a new user needs no training. ``r_uj`` is 1, or falls with
the number of things that u touched later (:mod:`~sparserec_np.data.recency`). Where interactions
have weights, those of what u touched, divided by their mean over the user's own, multiply it. A
user's own item is left out when it is scored in training, ``x_u . w_i - r_ui c_i w_i . w_i``: else
the model would learn to give back its input. Both places in which a row stands get a gradient. That
the two are one row (as in ELSA, Vancura et al. 2022) is our choice, and so is the cut of a user's
row when lists are made.

A user's row can be made in other ways, too (``user_rows``): such a model is made by its start
alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import FEW_PAIRS, Interactions
from sparserec_np.data.recency import Touched
from sparserec_np.data.table import Array, SparseTable, stacked
from sparserec_np.errors import ConfigError
from sparserec_np.kernels.arguments import Rows
from sparserec_np.learning.batches import Batch
from sparserec_np.learning.losses import Scores
from sparserec_np.models.batch_items import BatchItems, OfBatches
from sparserec_np.models.model import NO_WEIGHTS, Decay, Gradients, scale_values
from sparserec_np.models.user_rows import SumOfRows, UserRows, full_rows, side_by_side
from sparserec_np.models.views import View

USERS_AT_ONCE = 256  # whose rows are made together, all columns of them
_NO_ROWS = np.empty((0, 0), dtype=np.float32)


class Fism:
    """``score(u, i) = sum over j in N(u) of r_uj c_j w_j . w_i``, see the module.

    Attributes:
        table: (n_items) rows; row i is item i. Batches number rows as those of a stacked table,
            users first.
        dim: number of columns.
        log: the training interactions: what is no negative.
        history: what makes the users: what they touched, and how much of it counts.
        weights: (n_items,) what is trained of the numbers: ``c_j = weights[j] * base[j]``, at first
            1. So a step changes each by a part of itself, however small it is.
        base: (n_items,) at first 1 over the item's number of users, or over 1.
        row_entries: that users' rows are cut to for lists; None for as many as
            :func:`~sparserec_np.runtime.row_entries` says.
        made_for: finds what a batch's users are made of.
    """

    views: tuple[View, ...] = ()

    def __init__(self, table: SparseTable, dim: int, touched: Touched, ends: Array | None = None) -> None:
        """Takes the rows of ``table``, or of each what stands before one of ``ends`` (n_items,)."""
        self.table = table
        self.dim = dim
        self._ends = ends
        self.history = touched
        self.log = log = touched.log
        dtype = table.values.dtype
        self.base = (1 / np.maximum(log.item_degrees, 1)).astype(dtype)
        self.weights = np.ones(log.n_items, dtype=dtype)
        self.row_entries: int | None = None
        # Numbers c and their gradients: a batch writes its own, and sets the latter back to 0.
        self._served, self._by_number = np.zeros((2, log.n_items), dtype)
        self._full = _NO_ROWS  # every entry of the rows of the last batch's users
        self._pairs = BatchItems(log)
        self._counts = np.zeros(log.n_items, dtype=np.int32)
        self.made_for = OfBatches(self._make_for)

    @property
    def workspace_bytes(self) -> int:
        """Bytes of numbers, blocks and counters; the rows of a batch's users come on top, and go with it."""
        own = self._pairs.nbytes + self._counts.nbytes + self._served.nbytes + self._by_number.nbytes
        return int(own + self.base.nbytes + self.history.nbytes)

    @property
    def rows(self) -> Rows:
        """The items' rows as they are now."""
        rows = Rows.of(self.table)
        return rows if self._ends is None else rows._replace(ends=self._ends)

    @property
    def served_weights(self) -> Array:
        """(n_items,) the numbers ``c``, as a model file holds them."""
        return self.weights * self.base

    def cut_rows_to(self, entries: int) -> None:
        """Takes the number of entries that a model file has users' rows cut to for lists."""
        self.row_entries = entries

    def load_weights(self, weights: Array) -> None:
        """Takes the numbers ``c`` (n_items,) of a model file."""
        self.base[:] = weights
        self.weights[:] = 1

    def _make_for(self, batch: Batch) -> MadeRows:
        return MadeRows(batch, self.history, self._counts)

    def touched(self, batch: Batch) -> Array:
        """Finds the items that the batch's users touched, and its negatives; rows of the table."""
        return self.made_for(batch).touched

    def touched_weights(self, batch: Batch) -> Array:
        """Names the weights of the items that are touched: each moves when its row does."""
        return self.touched(batch)

    def forward(self, batch: Batch) -> Scores:
        """Scores the pairs, each without its own item, and their negatives."""
        made, table, users = self.made_for(batch), self.rows, batch.users
        weights, some = self._served, made.touched
        weights[some] = self.weights[some] * self.base[some]
        self._full = _NO_ROWS  # those of the last batch go first
        full = self._full = full_rows(table, weights, made.of_users, self.dim)
        positives, own = (np.empty(batch.size, dtype=full.dtype) for _ in range(2))
        kernels.fism.score_pairs(full, users.starts, made.positives, table, positives)
        kernels.fism.own_products(table, made.positives, own)
        positives -= made.own_shares * weights[made.positives] * own
        if batch.shared:
            negatives: Array = np.empty((len(full), len(made.negatives)), dtype=full.dtype)
            kernels.fism.score_block(full, made.negatives, table, negatives)
        else:
            negatives = np.empty(batch.size, dtype=full.dtype)
            kernels.fism.score_pairs(full, users.starts, made.negatives, table, negatives)
        return Scores(positives, negatives, self._pairs.mask(batch, negatives))

    def backward(self, batch: Batch, slopes: Scores, decay: Decay, gradients: Gradients) -> None:
        """Adds gradients as :meth:`~sparserec_np.models.model.Model.backward` says."""
        made, table, weights = self.made_for(batch), self.rows, self._served
        full, starts = self._full, batch.users.starts
        active, explored = gradients.active, gradients.explored
        order, starts_of, rows, pairs, owners = self.pairs_by_item(batch, slopes)
        of_users, own = np.zeros_like(full), made.own_shares * slopes.positives
        kernels.fism.add_partners(made.positives, starts, slopes.positives, table, of_users)
        if batch.shared:
            kernels.fism.add_block(made.negatives, slopes.negatives, table, of_users)
            by_column, by_item = _turned(full), _turned(slopes.negatives)
            kernels.fism.pull_block(by_column, made.negatives, by_item, table, active, explored)
        else:  # the negatives of pairs are grouped with the positives, and leave nothing out
            kernels.fism.add_partners(made.negatives, starts, slopes.negatives, table, of_users)
            own = np.concatenate([own, np.zeros_like(slopes.negatives)])
        kernels.fism.pull_pairs(full, order, starts_of, rows, pairs, owners, table, active, explored)
        by_number, some = self._by_number, made.touched_by[-1]
        kernels.fism.spread_rows(table, weights, *made.touched_by, of_users, active, explored, by_number)
        kernels.fism.leave_out(table, weights, order, starts_of, rows, own, active, explored, by_number)
        gradients.weights[some] += by_number[some] * self.base[some]
        by_number[some] = 0
        self._pairs.add_decay(table, batch, decay, active, first=self.log.n_users)

    def pairs_by_item(self, batch: Batch, slopes: Scores) -> tuple[Array, Array, Array, Array, Array]:
        """Groups the batch's pairs, and negatives that each has of its own, by item.

        Returns members (m,) int32, bounds (groups + 1,) int32 and items (groups,) int32 of the
        groups, and of each pair the slope (m,) and the place of its user, (m,) int32.
        """
        order, items = self._pairs.by_item(batch)
        rows, owners = items.rows - np.int32(self.log.n_users), self.made_for(batch).owners
        if batch.shared:
            return order, items.starts, rows, slopes.positives, owners
        both = np.concatenate([slopes.positives, slopes.negatives])
        return order, items.starts, rows, both, np.concatenate([owners, owners])

    def served(self) -> SparseTable:
        """Returns the stored rows, those of items."""
        return self.table

    def factors(self) -> SparseTable:
        """Makes the rows of all users, cut as for lists, and stacks them on those of the items."""
        return self.ranker().factors()

    def mean_product(self) -> float:
        """Computes the mean score of the training pairs, each without its own item."""
        log, table, weights = self.log, self.rows, self.served_weights
        total = 0.0
        for first, last in log.user_blocks(FEW_PAIRS):
            for start in range(first, last, USERS_AT_ONCE):
                users = np.arange(start, min(start + USERS_AT_ONCE, last), dtype=np.int32)
                starts, items, shares = of_users = self.history.of_users(users)
                scores, own = (np.empty(len(items), dtype=table.values.dtype) for _ in range(2))
                full = full_rows(table, weights, of_users, self.dim)
                kernels.fism.score_pairs(full, starts.astype(np.int32), items, table, scores)
                kernels.fism.own_products(table, items, own)
                total += float((scores - shares * weights[items] * own).sum(dtype=np.float64))
        return total / log.n_interactions

    def scale_scores(self, factor: float) -> None:
        """Multiplies all scores, and so all stored values by the root of the factor."""
        scale_values(self.table, factor)

    def ranker(self) -> MadeRowsRanker:
        """Ranks by the scores as they are now."""
        made = SumOfRows(self.served_weights, self.row_entries)
        return MadeRowsRanker(self.table, made, self.dim, self.history)


class RowsOfItems(Protocol):
    """What models share whose users' rows are made of the items they touched."""

    @property
    def row_entries(self) -> int | None:
        """The entries that users' rows are cut to; None for as many as their dim asks for."""
        ...

    def cut_rows_to(self, entries: int) -> None:
        """Takes the number of entries that a model file has users' rows cut to."""
        ...


class FixedFism:
    """The model whose items' rows are what its start made of them: no training.

    Attributes:
        table: (n_items) rows; row i is item i.
        dim: number of columns.
        log: what makes the users.
        history: what they touched, and how much of it counts.
        user_rows: makes their rows.
        weights: (n_items,) the numbers that it makes them with, or none.
    """

    views: tuple[View, ...] = ()

    def __init__(
        self,
        table: SparseTable,
        dim: int,
        touched: Touched,
        user_rows: UserRows,
        weights: Array = NO_WEIGHTS,
    ) -> None:
        self.table = table
        self.dim = dim
        self.history = touched
        self.log = touched.log
        self.user_rows = user_rows
        self.weights = weights

    @property
    def workspace_bytes(self) -> int:
        """Bytes that a ranker makes rows with beside the table."""
        return self.user_rows.maker_bytes(self.table, self.dim) + self.history.nbytes

    @property
    def served_weights(self) -> Array:
        """The numbers, as a model file holds them."""
        return self.weights

    @property
    def row_entries(self) -> int | None:
        """The entries that users' rows are cut to; None for as many as their dim asks for."""
        return self.user_rows.row_entries

    def cut_rows_to(self, entries: int) -> None:
        """Takes the number of entries that a model file has users' rows cut to."""
        self.user_rows = self.user_rows.cut_to(entries)

    def load_weights(self, weights: Array) -> None:
        """Takes the numbers of a model file."""
        self.weights[:] = weights

    def touched(self, batch: Batch) -> Array:
        """Raises ConfigError: nothing is trained."""
        raise self._no_gradient()

    def touched_weights(self, batch: Batch) -> Array:
        """Raises ConfigError: nothing is trained."""
        raise self._no_gradient()

    def forward(self, batch: Batch) -> Scores:
        """Raises ConfigError: nothing is trained."""
        raise self._no_gradient()

    def backward(self, batch: Batch, slopes: Scores, decay: Decay, gradients: Gradients) -> None:
        """Raises ConfigError: nothing is trained."""
        raise self._no_gradient()

    def _no_gradient(self) -> ConfigError:
        return ConfigError("No gradient is taken through users' rows that are no plain sums: set epochs to 0")

    def served(self) -> SparseTable:
        """Returns the stored rows, those of items."""
        return self.table

    def factors(self) -> SparseTable:
        """Makes the rows of all users, as for lists, and stacks them on those of the items."""
        return self.ranker().factors()

    def mean_product(self) -> float:
        """Returns 0: scores stay as they are when all values are scaled."""
        return 0.0

    def scale_scores(self, factor: float) -> None:
        """Changes nothing: scores stay as they are when all values are scaled."""

    def ranker(self) -> MadeRowsRanker:
        """Ranks by the scores as they are now."""
        return MadeRowsRanker(self.table, self.user_rows, self.dim, self.history)


class MadeRows:
    """What the rows of a batch's users are made of, and what leads back from them.

    Attributes:
        positives, negatives: its items, as rows of the table.
        owners: (b,) int32 place of each pair's user among the users.
        of_users: starts, items and shares of what they touched.
        own_shares: (b,) float32 how much each pair counts in its user's row.
        touched_by: members, shares, bounds and rows: ``members[bounds[g]:bounds[g + 1]]`` are the
            places of the users who touched item ``rows[g]``, and how much it counts for each.
        touched: (t,) int32 the items that they touched, and the negatives; none twice.
    """

    def __init__(self, batch: Batch, touched: Touched, counts: Array) -> None:
        self._n_items = touched.log.n_items
        users, n_users = batch.users.rows, np.int32(touched.log.n_users)
        self.positives, self.negatives = batch.positives - n_users, batch.negatives - n_users
        every = np.arange(len(users), dtype=np.int32)
        self.owners = np.repeat(every, batch.users.sizes)
        self.of_users = starts, keys, shares = touched.of_users(users)
        owners = np.repeat(every, np.diff(starts))
        self.own_shares = shares[_places_in(owners, keys, self.owners, self.positives, touched.log.n_items)]
        order, rows = np.empty(len(keys), dtype=np.int32), np.empty(len(keys), dtype=np.int32)
        bounds = np.empty(len(keys) + 1, dtype=np.int32)
        groups = kernels.sampling.group_by_row(keys, counts, order, bounds, rows)
        rows = rows[:groups]
        self.touched_by = owners[order], shares[order], bounds[: groups + 1], rows
        negatives = np.unique(self.negatives)
        counts[rows] = 1
        self.touched = np.concatenate([rows, negatives[counts[negatives] == 0]])
        counts[rows] = 0

    @cached_property
    def users_of_items(self) -> tuple[Array, Array, Array, Array]:
        """Finds who touched an item: the place of each among the rows, (n_items,) int32, or -1.

        After the places come members, shares and bounds, as of ``touched_by``.
        """
        members, shares, bounds, rows = self.touched_by
        places = np.full(self._n_items, -1, dtype=np.int32)
        places[rows] = np.arange(len(rows), dtype=np.int32)
        return places, members, shares, bounds


def _turned(block: Array) -> Array:
    """Copies the columns of ``block`` (m, n) to rows, (n, m)."""
    turned = np.empty(block.shape[::-1], dtype=block.dtype)
    kernels.fism.turn(block, turned)
    return turned


def _places_in(owners: Array, items: Array, wanted_owners: Array, wanted: Array, n_items: int) -> Array:
    """Finds the places of wanted pairs among pairs (n,), which ascend by owner and then by item."""
    pairs, wished = (
        one * np.int64(n_items) + other for one, other in ((owners, items), (wanted_owners, wanted))
    )
    return np.searchsorted(pairs, wished)


@dataclass(frozen=True)
class MadeRowsRanker:
    """A ranker of users who are made of what they touched: their rows are made some at a time.

    Attributes:
        items: (n_items, dim)
        user_rows: how the rows are made.
        dim: number of columns.
        history: what the users touched, and how much of it counts.
    """

    items: SparseTable
    user_rows: UserRows
    dim: int
    history: Touched

    def rank(self, users: Array, n: int, seen: Interactions) -> tuple[Array, Array]:
        """Ranks as ``Ranker.rank`` says, on the threads that Numba is set to."""
        users = np.asarray(users, dtype=np.int32)
        items = np.empty((len(users), n), dtype=np.int32)
        scores = np.empty((len(users), n), dtype=self.items.values.dtype)
        by_dimension, made = self.items.by_column(self.dim), self.user_rows.made_by(self.items, self.dim)
        for part in made.blocks(users, self.history):
            some = users[part]
            kernels.ranking.top_items(
                made.rows_of(some, self.history),
                by_dimension,
                self.items.rows,
                *_seen_of(some, seen.hidden),
                np.arange(len(some), dtype=np.int32),
                items[part],
                scores[part],
            )
        return items, scores

    def item_rows(self) -> SparseTable:
        """Returns the items' rows as they are stored, without marks of other items."""
        if not self.user_rows.marks_items:
            return self.items
        return self.items.first_columns(self.dim - self.items.rows)

    def factors(self) -> SparseTable:
        """Makes the rows of all users, and stacks them on those of the items.

        Memory: a cut row for each user.
        """
        made = self.user_rows.made_by(self.items, self.dim)
        users = made.rows_of(np.arange(self.history.log.n_users, dtype=np.int32), self.history)
        if not self.user_rows.marks_items:
            return stacked(users, self.items)
        n = self.items.rows
        ones = SparseTable(
            np.arange(n + 1, dtype=self.items.indptr.dtype),
            np.arange(n, dtype=np.int32),
            np.ones(n, self.items.values.dtype),
        )
        return stacked(users, side_by_side((self.items, ones), (0, self.dim)))


def _seen_of(users: Array, seen: Interactions) -> tuple[Array, Array]:
    """Finds the bounds and items of what ``users`` (m,) are known to have, row after row."""
    lengths = seen.indptr[users + 1] - seen.indptr[users]
    bounds = np.zeros(len(users) + 1, dtype=seen.indptr.dtype)
    np.cumsum(lengths, out=bounds[1:])
    return bounds, seen.items[np.arange(bounds[-1]) + np.repeat(seen.indptr[users] - bounds[:-1], lengths)]
