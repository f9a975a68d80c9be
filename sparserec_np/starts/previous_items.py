"""The start from a trained model that stores items alone: its rows as they are, and rows of new items.

Users are made from what they touched, so new interactions of known items change no row. A new item
is solved for from the users who touched it. All of this is our choice, made on data held out from
the training parts of LastFM and Gowalla, and, where users are solved for, of LastFM and ml-100k.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions, encode_ids
from sparserec_np.data.matrices import matrix_of_trust
from sparserec_np.data.recency import Touched
from sparserec_np.data.table import Array, SparseTable, stacked
from sparserec_np.errors import ConfigError
from sparserec_np.factorization.item_rows import RowPenalties, users_of_items
from sparserec_np.factorization.largest_entries import LargestEntries, table_of
from sparserec_np.factorization.pruning import row_ranges
from sparserec_np.kernels.arguments import Rows
from sparserec_np.machine.threads import one_blas_thread
from sparserec_np.sparsity.topology import prune
from sparserec_np.starts.previous import spread_rows
from sparserec_np.starts.start import Start


@dataclass(frozen=True)
class StoredItems(ABC):
    """A trained model that stores items alone, to go on from; the ways to make users are classes.

    Attributes:
        table: (n_items, dim) the rows of items.
        dim: number of columns.
        log: its users and items, and the interactions it knows.
    """

    table: SparseTable
    dim: int
    log: Interactions
    scaled: ClassVar[bool] = False  # rows stay as they are

    def start(self) -> PreviousItemsStart:
        """Makes the start from the rows of this model."""
        return PreviousItemsStart(self)

    @abstractmethod
    def weights(self, log: Interactions) -> Array:
        """Makes the numbers of all items of ``log``, (n_items,) float32; empty where they have none."""

    @abstractmethod
    def new_rows(self, log: Interactions, table: SparseTable, new: Array, threads: int) -> Array:
        """Solves for the rows of the items ``new`` (n,) of ``log``: every entry, (n, dim) float32.

        In ``table`` these items are empty, and the others hold the rows of this model. Call it with
        one BLAS thread; the bits are then the same for any ``threads``.
        """

    def places(self, log: Interactions) -> Array:
        """Finds this model's items among those of ``log``, (n_items,)."""
        return encode_ids(self.log.item_ids, log.item_ids)[0]


@dataclass(frozen=True)
class StartedAnew:
    """A model of which nothing is kept: its start is made again of all interactions.

    Attributes:
        log: its users and items, and the interactions it knows.
        first: the start.
    """

    log: Interactions
    first: Start
    scaled: ClassVar[bool] = True  # as any start is

    def start(self) -> Start:
        """Returns the start as it is."""
        return self.first

    def weights(self, log: Interactions) -> Array:
        """Makes the numbers of all items, (n_items,) float32: 1 over the number of users, or over 1."""
        return (1 / np.maximum(log.item_degrees, 1)).astype(np.float32)


@dataclass(frozen=True)
class PreviousItems(StoredItems):
    """A trained model whose users are sums of items' rows, to go on from.

    Attributes:
        table, dim, log: see :class:`StoredItems`.
        numbers: (n_items,) float32 what each item's row is multiplied by in a user's sum.
        ridge: see :meth:`new_rows`.
    """

    numbers: Array
    ridge: float = 1.0

    def weights(self, log: Interactions) -> Array:
        """Makes the numbers of all items of ``log``: what training made of 1 over the number of users.

        The number of users is now that in ``log``. For a new item, training is taken to have made
        what it made on average. To keep the numbers as they were rates lists alike, and those of
        new users lower.

        Returns:
            (n_items,) float32; an item that nobody new touched keeps its number to the last bit.
        """
        known = self.log.item_degrees.clip(1)
        # Of items with entries: an exported file holds no numbers of the others.
        trained = (self.numbers.astype(np.float64) * known)[np.diff(self.table.indptr) > 0]
        made = np.full(log.n_items, trained.mean() if len(trained) else 1.0)
        places, degrees = self.places(log), log.item_degrees.clip(1)
        made /= degrees
        made[places] = self.numbers * (known / degrees[places])
        return made.astype(np.float32)

    def new_rows(self, log: Interactions, table: SparseTable, new: Array, threads: int) -> Array:
        """Solves for new rows; see :meth:`StoredItems.new_rows`.

        With ``x_u`` the row of user u made from the known items, ``d_u`` the number of all they
        touched and ``G`` the sum of ``x_u x_u' / d_u`` over all users, the row of a new item is

            (G + ridge * g I)^-1 (sum of x_u / d_u over its users)

        with g the mean diagonal entry of G. For singular vectors, without the ridge, that is the
        row that a known item with these users has. Rows of singular vectors are short where users
        are few. An item's users may be few because it is new: the new rows are brought to the known
        ones' mean length, all by one factor.

        Memory: (new items, dim) float32, and a block of users' rows.
        """
        numbers = self.weights(log)
        touched, gathered = matrix_of_trust(log, own=True)[:, new], Touched(log)
        gram: Array = np.zeros((self.dim, self.dim))
        sums: Array = np.zeros((len(new), self.dim), dtype=np.float32)
        for start, stop in row_ranges(log.n_users):
            rows = np.empty((stop - start, self.dim), dtype=np.float32)
            users = np.arange(start, stop, dtype=np.int32)
            kernels.fism.sum_rows(Rows.of(table), numbers, *gathered.of_users(users), rows)
            shares = rows / log.user_degrees[start:stop, None].clip(1).astype(np.float32)
            gram += rows.T @ shares
            if touched.indptr[stop] > touched.indptr[start]:
                sums += touched[start:stop].T @ shares
        gram += self.ridge * max(float(np.trace(gram)) / self.dim, 1e-30) * np.eye(self.dim)
        made = np.linalg.solve(gram, sums.T).T.astype(np.float32)
        return made * _length_factor(table, made)


@dataclass(frozen=True)
class PreviousSolved(StoredItems):
    """A trained model whose users are solved for from items' rows, to go on from.

    Attributes:
        table, dim, log: see :class:`StoredItems`.
        penalties: the weights that users are solved for with.
    """

    penalties: RowPenalties

    def weights(self, log: Interactions) -> Array:
        """Returns none: an item has no number."""
        return np.empty(0, dtype=np.float32)

    def new_rows(self, log: Interactions, table: SparseTable, new: Array, threads: int) -> Array:
        """Solves for new rows; see :meth:`StoredItems.new_rows`.

        As users are solved for from the known items, new items are from these users, with the same
        weights. To bring them to the known rows' mean length rates new items higher, and all lists
        lower.

        Memory: 12 bytes for every entry of all items' rows and 4 of the users', and then 12 of the
        users' and 4 of the new items'; the interactions as a matrix and, of new items, transposed;
        four (dim, dim) float64.
        """
        touched = matrix_of_trust(log, own=True)
        users = users_of_items(touched, table.to_dense(self.dim), self.penalties, threads)
        return users_of_items(touched[:, new].T.tocsr(), users, self.penalties, threads)


@dataclass(frozen=True)
class PreviousItemsStart:
    """The start from the rows of a trained model, with rows of new items among them.

    New rows are solved for (:meth:`StoredItems.new_rows`). Then the weakest entries of all leave.
    See :class:`~sparserec_np.starts.start.Start`.

    Attributes:
        previous: the trained model.
    """

    previous: StoredItems
    from_data: bool = True

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes a table of ``log.n_items`` rows.

        Entries of known items that stay are those of the model, bit by bit. The kernels work on the
        threads that Numba is set to.

        Raises:
            ConfigError: the budget has become one of another number of columns.
        """
        previous = self.previous
        if dim != previous.dim:
            raise ConfigError(
                f"The method dense-small fills {previous.dim} columns, and in the same budget there is room for {dim}"
                " only with the new items: train anew, or with another method"
            )
        places = previous.places(log)
        table = spread_rows(previous.table, places, log.n_items)
        new = np.delete(np.arange(log.n_items), places)
        if len(new):
            with one_blas_thread():
                made = previous.new_rows(log, table, new, threads)
            table = with_rows(table, made, new, dim, nnz)
        return table if table.nnz <= nnz else prune(table, nnz, floor=0)[0]


def _length_factor(table: SparseTable, made: Array) -> np.float32:
    """Finds what brings the rows of ``made`` (n, dim) to the mean length of those ``table`` stores."""
    known = np.bincount(table.row_numbers(), np.square(table.values, dtype=np.float64), table.rows)
    wanted = np.sqrt(known).sum() / max(table.rows - len(made), 1)
    length = float(np.linalg.norm(made, axis=1).mean(dtype=np.float64))
    return np.float32(wanted / length if wanted > 0 and length > 0 else 1)


def with_rows(table: SparseTable, made: Array, new: Array, dim: int, nnz: int) -> SparseTable:
    """Puts the ``nnz`` largest entries of ``made`` (n, dim) into the rows ``new`` (n,) of a table, which are empty."""
    best = LargestEntries(nnz)
    for start, stop in row_ranges(len(new)):
        best.offer(new[start:stop], made[start:stop])
    rows = table_of(*best.take(), table.rows, dim)
    both = stacked(table, rows)
    owners = both.row_numbers() % table.rows
    order = np.argsort(owners, kind="stable")  # each row has entries in one of the two
    indptr = table.indptr + rows.indptr
    return SparseTable(indptr.astype(both.indptr.dtype), both.columns[order], both.values[order])
