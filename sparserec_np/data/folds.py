"""Splits of rows of interactions for cross-validation, with scikit-learn's ``split``.

Each takes what has a row for each interaction: Interactions, frames, ``(n, 2)`` pairs, lists of
tuples. Rows of the same user and item stay together. They are given as ``cv`` to
``cross_val_score``, ``GridSearchCV`` and the like.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from sparserec_np.data.conversion import as_rows
from sparserec_np.data.ids import encode_ids
from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError, DataError

Fold = tuple[Array, Array]  # the rows to train on, and the held-out ones


class _Folds(ABC):
    """Folds that the parameters of their maker name; see ``split``.

    Args:
        n_splits: how many.
        seed: of the random numbers; the same seed gives the same folds.
        options: names of columns of frames; see
            :func:`~sparserec_np.data.conversion.as_interactions`.
    """

    least = 1  # of n_splits

    def __init__(self, n_splits: int = 5, *, seed: int = 0, **options: Any) -> None:
        if isinstance(n_splits, bool) or not isinstance(n_splits, (int, np.integer)) or n_splits < self.least:
            raise ConfigError(f"n_splits must be a whole number of {self.least} or more, found {n_splits!r}.")
        self.n_splits, self.seed, self.options = int(n_splits), seed, options

    def __repr__(self) -> str:
        named = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"{type(self).__name__}({self.n_splits}, seed={self.seed}{named})"

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Returns the number of folds; the arguments are scikit-learn's, and not used."""
        return self.n_splits

    @abstractmethod
    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Fold]:
        """Yields for each fold the rows to train on, and those that are held out."""


class _PairFolds(_Folds):
    """What splitters share that hold out some pairs and train on all others."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Fold]:
        """Yields for each fold the rows to train on, and those that are held out.

        Args:
            X: interactions, one a row.
            y: not used.
            groups: not used.

        Raises:
            DataError: ``X`` has no rows of interactions, or nothing that can be held out.
        """
        rows = _Numbered(X, self.options)
        for held_out in self._held_out(rows, np.random.default_rng(self.seed)):
            if not held_out.any() or held_out.all():
                raise DataError(
                    f"{self!r} holds out {held_out.sum():,} of {held_out.size:,} different pairs in a fold, so there"
                    " is nothing to train on or nothing to measure by: make fewer folds, or bring more interactions."
                )
            at_rows = held_out[rows.pair]
            yield np.flatnonzero(~at_rows & rows.kept), np.flatnonzero(at_rows & rows.kept)

    @abstractmethod
    def _held_out(self, rows: _Numbered, rng: np.random.Generator) -> Iterator[Array]:
        """Yields for each fold which pairs are held out, (n_pairs,) bool."""


class _Numbered:
    """Rows of interactions by numbers: of users, and of the different pairs, which users sort.

    Attributes:
        kept: (n_rows,) bool, which rows are interactions.
        pair: (n_rows,) number of the pair in each row.
        users: (n_pairs,) ascending numbers of users.
        degrees: (n_users,) pairs of each.
        times: (n_pairs,) latest time of each, or None.
    """

    def __init__(self, given: Any, options: dict[str, Any]) -> None:
        found = as_rows(given, **options)
        users, user_ids = encode_ids(found.users, noun="user")
        items, item_ids = encode_ids(found.items, noun="item")
        if users.size != items.size:
            raise DataError(f"Users and items must be equally many, found {users.size} and {items.size}.")
        keys = users.astype(np.int64) * max(item_ids.size, 1) + items
        self.kept = np.ones(users.size, dtype=bool) if found.kept is None else found.kept
        different, pair = np.unique(keys[self.kept], return_inverse=True)
        self.pair = np.zeros(users.size, dtype=np.int64)
        self.pair[self.kept] = pair.reshape(-1)
        self.users = different // max(item_ids.size, 1)
        self.degrees = np.bincount(self.users, minlength=user_ids.size)
        self.times: Array | None = None
        if found.times is not None:
            self.times = np.full(different.size, found.times.min(initial=0), dtype=found.times.dtype)
            np.maximum.at(self.times, self.pair[self.kept], found.times[self.kept])

    def ranks(self, values: Array) -> Array:
        """Ranks the pairs of each user by values (n_pairs,), the lowest first, from 0."""
        order = np.lexsort((values, self.users))
        ranks = np.empty(order.size, dtype=np.int64)
        begins = np.cumsum(self.degrees) - self.degrees
        ranks[order] = np.arange(order.size) - begins[self.users[order]]
        return ranks


class InteractionKFold(_PairFolds):
    """K folds of interactions, each user's spread over all folds as evenly as can be.

    Every interaction is held out once, and users keep the others: their ``(k - 1) / k``. The single
    interaction of a user is held out once, too, when nothing of theirs is left to train on; such
    users are then left out of the measure.

    >>> rows = [("ann", item) for item in range(4)] + [("bob", item) for item in range(2)]
    >>> [held_out.size for _, held_out in InteractionKFold(2).split(rows)]
    [3, 3]
    """

    least = 2

    def _held_out(self, rows: _Numbered, rng: np.random.Generator) -> Iterator[Array]:
        first = rng.integers(self.n_splits, size=rows.degrees.size)  # or most would end in the first folds
        fold = (rows.ranks(rng.random(rows.users.size)) + first[rows.users]) % self.n_splits
        for number in range(self.n_splits):
            yield fold == number


class LeaveOneOut(_PairFolds):
    """Leave-one-out: each fold holds out one interaction of each user who has two or more.

    Which one is drawn at random; the folds hold out different ones for as long as a user has some.

    >>> rows = [("ann", item) for item in range(4)] + [("bob", 0)]
    >>> [held_out.size for _, held_out in LeaveOneOut(2).split(rows)]
    [1, 1]
    """

    def _held_out(self, rows: _Numbered, rng: np.random.Generator) -> Iterator[Array]:
        ranks, degrees = rows.ranks(rng.random(rows.users.size)), rows.degrees[rows.users]
        for number in range(self.n_splits):
            yield (ranks == number % degrees) & (degrees > 1)


class LeaveLastOut(_Folds):
    """Leave-one-out by time: holds out each user's latest interaction, in the one fold there is.

    Further folds go back in time: the second trains on what came before each user's last but one
    and holds out that one, and so on; none trains on what came after. Users need one to keep.

    >>> log = {"user": [1, 1, 1], "item": [7, 8, 9], "time": [30, 10, 20]}
    >>> [(kept.tolist(), held_out.tolist()) for kept, held_out in LeaveLastOut(2).split(log)]
    [([1, 2], [0]), ([1], [2])]
    """

    def __init__(self, n_splits: int = 1, *, seed: int = 0, **options: Any) -> None:
        super().__init__(n_splits, seed=seed, **options)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Fold]:
        """Yields rows as other splitters do; later rows than the held-out ones are in neither part.

        Raises:
            DataError: there are no times; and as :meth:`InteractionKFold.split`.
        """
        rows = _Numbered(X, self.options)
        if rows.times is None:
            raise DataError(
                "Leaving the last out needs a time for each interaction, but there is none; use LeaveOneOut, which"
                " draws one at random."
            )
        from_the_end = rows.degrees[rows.users] - 1 - rows.ranks(rows.times)
        for number in range(self.n_splits):
            held_out = (from_the_end == number) & (rows.degrees[rows.users] > number + 1)
            if not held_out.any():
                raise DataError(f"No user has {number + 2} interactions, one to hold out and one to keep.")
            later = (from_the_end <= number) & (rows.degrees[rows.users] > number + 1)
            kept = rows.kept & ~later[rows.pair]
            yield np.flatnonzero(kept), np.flatnonzero(held_out[rows.pair] & rows.kept)


class UserKFold(_PairFolds):
    """K folds of users: each holds out all interactions of a part of the users.

    A model learns nothing of them. ``SparseRec.score`` folds them in from four fifths of theirs,
    and ranks for the rest (strong generalisation).

    >>> rows = [(user, item) for user in range(4) for item in range(3)]
    >>> [held_out.size for _, held_out in UserKFold(2).split(rows)]
    [6, 6]
    """

    least = 2

    def _held_out(self, rows: _Numbered, rng: np.random.Generator) -> Iterator[Array]:
        fold = rng.permutation(rows.degrees.size) % self.n_splits
        for number in range(self.n_splits):
            yield fold[rows.users] == number
