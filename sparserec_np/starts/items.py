"""Starts of models that store items alone: the whole budget goes to their rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.matrices import matrix_of_trust
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.factorization.condensing import Target, condense_items
from sparserec_np.factorization.item_rows import RowPenalties, improve_items, users_of_items
from sparserec_np.factorization.own_share import OwnShareFit
from sparserec_np.factorization.pruning import Factors, prune_factors, widened
from sparserec_np.machine.memory import give_back_freed
from sparserec_np.machine.threads import one_blas_thread
from sparserec_np.starts.condensed import Condensed
from sparserec_np.starts.shelf import NO_SHELF, Shelf
from sparserec_np.starts.spectral import Spectral
from sparserec_np.starts.start import Start
from sparserec_np.starts.uniform import Uniform


class ItemWishes(NamedTuple):
    """What settings ask of items' rows.

    Attributes:
        penalties: of users' rows that are solved for; None where they are not.
        neighbour_share: part of the entries that are neighbours; None for the start's own.
        neighbour_weight: how much neighbours say beside the rows; None likewise.
        neighbour_popularity: how much more of an item that many users have; None likewise.
    """

    penalties: RowPenalties | None = None
    neighbour_share: float | None = None
    neighbour_weight: float | None = None
    neighbour_popularity: float | None = None


class ItemStart(Start, Protocol):
    """A start of a model that stores items alone."""

    @property
    def user_rows(self) -> str:
        """The way to make users' rows that the items' rows are made for, as a setting names it."""
        ...

    def fitted_to(self, wishes: ItemWishes) -> ItemStart:
        """Returns the start that makes what settings ask for."""
        ...

    def looking_in(self, shelf: Shelf) -> ItemStart:
        """Returns the start that looks there for parts that others may have made."""
        ...


@dataclass(frozen=True)
class SpectralItems:
    """The items' side of the spectral start, pruned on its own.

    With the factors ``w_i = d_i^1/2 v_i`` of :class:`~sparserec_np.starts.spectral.Spectral`, a
    user who is the sum of ``w_j / d_j`` over what they touched scores as that start does before it
    is pruned. No floor is kept: held-out data rate the lists alike. So do they a rotation that is
    fitted to half of the rows in 12 iterations instead of 30, which takes most of the time in wide
    tables.

    Attributes:
        first: makes the factors.
        floor: entries that every row keeps, where the budget allows it.
        shelf: where the rows are looked for.
    """

    first: Spectral = Spectral(rotation_iterations=12, sample=8_000)
    floor: int = 0
    shelf: Shelf = field(default=NO_SHELF, compare=False)
    from_data: bool = True

    user_rows: ClassVar[str] = "sum"

    def fitted_to(self, wishes: ItemWishes) -> SpectralItems:
        """Returns itself: what it makes is the same for all users' rows."""
        return self

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes a table of ``log.n_items`` rows; see :class:`~sparserec_np.starts.start.Start`."""

        def make(count: int) -> SparseTable:
            with one_blas_thread():
                _, items = self.first.items(log, dim, rng, threads)
                return prune_factors(Factors(items, items, 0, log.n_items), count, self.floor)

        return self.shelf.rows((self, dim), nnz, dim * log.n_items, make)

    def looking_in(self, shelf: Shelf) -> SpectralItems:
        """Returns the start that looks there for its rows."""
        return replace(self, shelf=shelf)


@dataclass(frozen=True)
class FittedItems:
    """The spectral start, fitted to the interactions within its mask, own shares left out.

    What pruning has taken from a row, the entries that are left make up for in part
    (:mod:`~sparserec_np.factorization.own_share`).

    Attributes:
        first: makes the rows, and the mask.
        fit: moves the values.
    """

    first: SpectralItems = SpectralItems()
    fit: OwnShareFit = OwnShareFit()
    from_data: bool = True

    user_rows: ClassVar[str] = "sum"

    def fitted_to(self, wishes: ItemWishes) -> FittedItems:
        """Returns itself: what it makes is for sums."""
        return self

    def looking_in(self, shelf: Shelf) -> FittedItems:
        """Returns the start that looks there for the rows that it fits."""
        return replace(self, first=self.first.looking_in(shelf))

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes a table of ``log.n_items`` rows; see :class:`~sparserec_np.starts.start.Start`."""
        table = self.first(log, dim, nnz, rng, threads)
        give_back_freed()  # what the full vectors have left
        with one_blas_thread():
            return self.fit(log, table, dim, threads)


@dataclass(frozen=True)
class UniformItems:
    """The start at random, of items alone.

    Attributes:
        first: draws the rows.
    """

    first: Uniform = Uniform()
    from_data: bool = False

    user_rows: ClassVar[str] = "sum"

    def fitted_to(self, wishes: ItemWishes) -> UniformItems:
        """Returns itself: what it makes is the same for all users' rows."""
        return self

    def looking_in(self, shelf: Shelf) -> UniformItems:
        """Returns itself: there is nothing that others make as well."""
        return self

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes a table of ``log.n_items`` rows; see :class:`~sparserec_np.starts.start.Start`."""
        return self.first.rows(log.n_items, dim, nnz, rng)


@dataclass(frozen=True)
class LeastSquaresItems:
    """Items' rows from alternating least squares, for users who are solved for from them.

    Full rows of users and items are found, brought to their sparsest axes, and the largest entries
    of the items are kept. Then the items are solved for within the budget, from users' rows that
    are solved for from these items, each without the item that it is to predict
    (:func:`~sparserec_np.factorization.item_rows.improve_items`).

    Attributes:
        full: makes the full rows.
        penalties: of users' rows.
        passes: passes within the budget.
    """

    full: Condensed = Condensed()
    penalties: RowPenalties = RowPenalties()
    passes: int = 2
    from_data: bool = True

    user_rows: ClassVar[str] = "ridge"

    def fitted_to(self, wishes: ItemWishes) -> LeastSquaresItems:
        """Returns the start for users' rows of other weights."""
        return replace(self, penalties=wishes.penalties or self.penalties)

    def looking_in(self, shelf: Shelf) -> LeastSquaresItems:
        """Returns itself: there is nothing that others make as well."""
        return self

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes a table of ``log.n_items`` rows; see :class:`~sparserec_np.starts.start.Start`."""
        touched = matrix_of_trust(log, own=True)
        with one_blas_thread():
            users, items = self.full.full_rows(log, touched, dim, rng, threads)
            table = _pruned(self.full, users, items, dim, nnz, rng)
            del users, items
            give_back_freed()
            return improve_items(
                table,
                touched,
                dim,
                passes=self.passes,
                penalties=self.penalties,
                threads=threads,
            )


@dataclass(frozen=True)
class CondensedItems:
    """The items' rows whose scores come closest to those of full rows, above all on users' lists.

    As :class:`~sparserec_np.starts.condensed.Condensed`, but that users' rows are solved for from
    the items' in each pass.

    Attributes:
        full: makes the full rows.
        penalties: of users' rows.
        passes: passes of condensing.
    """

    full: Condensed = Condensed()
    penalties: RowPenalties = RowPenalties()
    passes: int = 4
    from_data: bool = True

    user_rows: ClassVar[str] = "ridge"

    def fitted_to(self, wishes: ItemWishes) -> CondensedItems:
        """Returns the start for users' rows of other weights."""
        return replace(self, penalties=wishes.penalties or self.penalties)

    def looking_in(self, shelf: Shelf) -> CondensedItems:
        """Returns itself: there is nothing that others make as well."""
        return self

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes a table of ``log.n_items`` rows; see :class:`~sparserec_np.starts.start.Start`."""
        touched = matrix_of_trust(log, own=True)

        def users_of(rows: Array) -> Array:
            return users_of_items(touched, rows, self.penalties, threads)

        with one_blas_thread():
            users, items = self.full.full_rows(log, touched, dim, rng, threads)
            table = _pruned(self.full, users, items, dim, nnz, rng)
            give_back_freed()
            target = Target(users, items, touched)
            return condense_items(table, target, users_of, dim, passes=self.passes, threads=threads)


def _pruned(
    full: Condensed, users: Array, items: Array, dim: int, nnz: int, rng: np.random.Generator
) -> SparseTable:
    """Makes the table of the items' largest entries, on the sparsest axes of both sides."""
    _, axes = full.sparsest_axes(users, items, dim, rng)

    def some(start: int, stop: int) -> Array:
        return widened(items[start:stop] @ axes, dim)

    return prune_factors(Factors(some, some, 0, len(items)), nnz, full.first.floor)
