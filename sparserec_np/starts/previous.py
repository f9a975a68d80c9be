"""The start from a trained model: more users, items and interactions, the same budget.

The start is what the model's rows say about all interactions: users are folded in from its items,
then items from these users, and then both by a pass of alternating least squares
(:mod:`~sparserec_np.factorization.least_squares`), or, where the model began with full rows that
were condensed, towards full rows of all interactions. So rows of new users and items are made as
all others are, and compete with them for entries. To go on from the rows as they were trained was
worse: they fit their own interactions too well for new rows to find their place among them. All of
this is our choice, made on data held out from LastFM's training part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from sparserec_np.data.interactions import Interactions, encode_ids
from sparserec_np.data.matrices import matrix_of_trust
from sparserec_np.data.splitting import split_random
from sparserec_np.data.table import Array, SparseTable, stacked
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.factorization.least_squares import alternate, solved_rows
from sparserec_np.machine.threads import one_blas_thread
from sparserec_np.starts.condensed import Condensed
from sparserec_np.starts.start import Start


class Previous(Protocol):
    """A trained model to go on from, with more interactions."""

    @property
    def log(self) -> Interactions:
        """Its users and items, and the interactions it knows."""
        ...

    @property
    def scaled(self) -> bool:
        """Whether the start may be scaled, to the mean score that the settings ask for."""
        ...

    def start(self) -> Start:
        """Makes the start from its rows."""
        ...

    def weights(self, log: Interactions) -> Array:
        """Makes the dense weights over the users and items of ``log``, as a model file holds them.

        Empty for a model that begins with its own.
        """
        ...


def hold_out_new(
    known: Interactions, log: Interactions, fraction: float, rng: np.random.Generator
) -> tuple[Interactions, Interactions | None]:
    """Holds out a random part of each user's items in ``log`` that are not ``known``.

    The part is drawn as by :func:`~sparserec_np.data.splitting.split_random`; what is known is
    never held out.

    Args:
        log: interactions over users and items of which those known are a part, and all that is
            known among them.

    Returns:
        The part to train on and the held-out part, which is None where no user has a new one to
        spare.
    """
    known, _ = known.aligned_to(log)
    new = log.without(known)
    try:
        kept, held_out = split_random(new, fraction, rng)
    except DataError:
        return log, None
    return known.union(kept), held_out


@dataclass(frozen=True)
class PreviousModel:
    """A trained model whose scores are inner products of two rows, to go on from.

    Attributes:
        table: the rows that are multiplied, users first.
        dim: number of columns.
        log: its users and items, and the interactions it knows.
        condensed: how its own start was condensed; None if it was not.
    """

    table: SparseTable
    dim: int
    log: Interactions
    condensed: Condensed | None = None
    scaled: ClassVar[bool] = True

    def start(self) -> PreviousStart:
        """Makes the start from the rows of this model."""
        return PreviousStart(self)

    def weights(self, log: Interactions) -> Array:
        """Returns no weights: all that is trained is in the table."""
        return np.empty(0, dtype=np.float32)


@dataclass(frozen=True)
class PreviousStart:
    """The start from a trained model's rows, solved for anew over all interactions.

    See :class:`~sparserec_np.starts.start.Start`. Users and items share the budget as they did, but
    for their numbers.

    Attributes:
        previous: the trained model.
        passes: passes of alternating least squares, once every row has been solved for.
        floor: entries that every row keeps, where the budget allows it.
    """

    previous: PreviousModel
    passes: int = 1
    floor: int = 1
    from_data: bool = True

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Solves for all rows over all interactions.

        There are fewer entries than ``nnz`` where most rows have nothing to be solved from. The
        kernels work on the threads that Numba is set to.

        Raises:
            ConfigError: the budget has become one of another number of columns, or a side stores
                nothing to solve from.
        """
        previous = self.previous
        if dim != previous.dim:
            raise ConfigError(
                f"The method dense-small fills {previous.dim} columns, and in the same budget there is room for {dim}"
                " only with the new users and items: train anew, or with another method"
            )
        n_users = previous.log.n_users
        users, items = (
            previous.table.slice_rows(0, n_users),
            previous.table.slice_rows(n_users, previous.table.rows),
        )
        if not users.nnz or not items.nnz:
            raise ConfigError(
                "The model stores no entry of any user, or none of any item, so that no row can be solved for from it:"
                " train anew, within a larger budget"
            )
        wanted = [users.nnz / n_users * log.n_users, items.nnz / previous.log.n_items * log.n_items]
        floor = min(self.floor, nnz // (log.n_users + log.n_items))
        share = round(nnz * wanted[0] / sum(wanted))
        share = max(share, floor * log.n_users, nnz - dim * log.n_items)
        share = min(share, dim * log.n_users, nnz - floor * log.n_items)
        share = min(max(share, 1), nnz - 1)  # neither side goes without
        items = spread_rows(items, encode_ids(previous.log.item_ids, log.item_ids)[0], log.n_items)
        by_user = matrix_of_trust(log)
        by_item = by_user.T.tocsr()
        with one_blas_thread():
            users = solved_rows(by_user, items, dim, share, floor, threads)
            items = solved_rows(by_item, users, dim, nnz - share, floor, threads)
            table = stacked(users, items)
            if previous.condensed is None:
                return alternate(table, by_user, dim, passes=self.passes, floor=floor)
        del by_user, by_item
        return previous.condensed.again(table, log, dim, rng, threads)


def spread_rows(table: SparseTable, places: Array, rows: int) -> SparseTable:
    """Spreads ``table`` over ``rows`` rows: the k-th goes to ``places[k]``, others are empty."""
    lengths = np.zeros(rows, dtype=np.int64)
    lengths[places] = np.diff(table.indptr)
    taken = table.places(np.argsort(places))
    indptr = np.append(0, np.cumsum(lengths)).astype(table.indptr.dtype)
    return SparseTable(indptr, table.columns[taken], table.values[taken])
