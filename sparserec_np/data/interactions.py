"""Interactions: which user touched which items, in compressed rows, with outside ids for both.

Inside the library a user is a number ``0..n_users-1`` and an item a number ``0..n_items-1``.
Outside ids, integers or strings with any gaps, live in two sorted arrays beside the pairs, so that
position ``k`` of ``item_ids`` names item ``k``. Ids that are ``0..n-1`` already map to themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparserec_np.data.ids import are_texts, bytes_of, refuse_missing_texts
from sparserec_np.data.ids import encode_ids as encode_ids
from sparserec_np.data.moments import as_times
from sparserec_np.data.table import row_blocks
from sparserec_np.data.weights import as_weights, own_shares
from sparserec_np.errors import DataError

Array = npt.NDArray[Any]

# Work on all pairs is done on so many at a time: what it takes beside them does not grow with their
# number, and pairs that lie in a mapped file need not all be in memory.
PAIRS_AT_ONCE = 1 << 23
FEW_PAIRS = 1 << 16  # where numbers are made of each that take more than the pairs themselves
_USERS_AT_ONCE = 16_384


class Counts(NamedTuple):
    """The numbers of what :meth:`Interactions.aligned_to` could not place in the reference."""

    unknown_users: int
    unknown_items: int
    dropped_pairs: int


@dataclass(frozen=True, eq=False)
class Interactions:
    """Each user's items in CSR form, one row a user, with the outside ids of users and items.

    Build one with :meth:`from_pairs` or :func:`sparserec_np.data.formats.read_interactions`; the
    constructor takes arrays that are in final form already and raises :class:`DataError` where they
    are not.

    Attributes:
        indptr: ``(n_users + 1,)`` int64; user ``u`` owns ``items[indptr[u]:indptr[u + 1]]``, which
            may be empty.
        items: ``(n,)`` int32 item numbers, sorted and unique within a user.
        user_ids: ``(n_users,)`` outside ids, int64 or unicode, sorted and unique; text is an array
            of objects where one as wide as the longest would take far more memory.
        item_ids: ``(n_items,)`` likewise.
        times: ``(n,)`` int64 or float64 moments of the pairs in the unit of the source; or, where
            they are not ``dated``, int32 or int64 places in time order; or None.
        dated: whether times can be compared between users. Else they say in which order each user
            touched items, and no more.
        duplicates: repeated pairs that were merged away; of a merged pair the latest time is kept,
            and the sum of all weights.
        weights: ``(n,)`` float32 confidences of the pairs, finite and above 0, in the unit of the
            source, or None, where all count alike.
        disliked: pairs over the same users and items that are known to be no interactions: none of
            them is in ``items``, and none is recommended. None where nothing is known of any.

    >>> log = Interactions.from_pairs(["ann", "bob", "ann", "ann"], [7, 7, 3, 7])
    >>> log
    Interactions(users=2, items=2, interactions=3)
    >>> log.user_ids.tolist(), log.item_ids.tolist(), log.indptr.tolist(), log.items.tolist(), log.duplicates
    (['ann', 'bob'], [3, 7], [0, 2, 3], [0, 1, 1], 1)
    """

    indptr: Array
    items: Array
    user_ids: Array
    item_ids: Array
    times: Array | None = None
    duplicates: int = field(default=0)
    dated: bool = True
    weights: Array | None = None
    disliked: Interactions | None = None

    def __post_init__(self) -> None:
        """Refuses arrays that break a promise of the class docstring."""
        if self.indptr.dtype != np.int64 or self.items.dtype != np.int32:
            raise DataError(
                f"Interactions need int64 indptr and int32 items, found {self.indptr.dtype} and {self.items.dtype}."
            )
        if self.indptr.shape != (self.user_ids.size + 1,) or self.items.ndim != 1:
            raise DataError(f"indptr must have shape ({self.user_ids.size + 1},), found {self.indptr.shape}.")
        if self.indptr[0] != 0 or self.indptr[-1] != self.items.size or np.any(np.diff(self.indptr) < 0):
            raise DataError("indptr must rise from 0 to the number of items and never fall.")
        for first, last in self.user_blocks():
            self._check_items(first, last)
        if self.times is not None and self.times.shape != self.items.shape:
            raise DataError(f"times must have shape {self.items.shape}, found {self.times.shape}.")
        self._check_opinions()
        for name, ids in (("user_ids", self.user_ids), ("item_ids", self.item_ids)):
            if ids.ndim != 1 or not (ids.dtype == np.int64 or are_texts(ids)):
                raise DataError(
                    f"{name} must be one array of int64 or strings, found {ids.dtype} of shape {ids.shape}."
                )
            if ids.dtype.kind == "O" and not set(map(type, ids.tolist())) <= {str}:
                raise DataError(
                    f"{name} must be one array of int64 or strings, found objects of other types."
                )
            if np.any(ids[1:] <= ids[:-1]):
                raise DataError(f"{name} must be sorted and unique; build Interactions with from_pairs.")

    def _check_opinions(self) -> None:
        """Refuses weights that are none, and dislikes of other users and items."""
        if self.weights is not None:
            if self.weights.dtype != np.float32 or self.weights.shape != self.items.shape:
                raise DataError(
                    f"weights must be float32 of shape {self.items.shape}, found {self.weights.dtype} of shape"
                    f" {self.weights.shape}."
                )
            for start in range(0, self.weights.size, PAIRS_AT_ONCE):
                as_weights(self.weights[start : start + PAIRS_AT_ONCE])
        if self.disliked is not None:
            if self.disliked.disliked is not None:
                raise DataError("What is disliked can have no dislikes of its own.")
            self._check_over_same(self.disliked, "disliked")

    def _check_items(self, first: int, last: int) -> None:
        bounds = self.indptr[first : last + 1]
        items = self.items[bounds[0] : bounds[-1]]
        if items.size and (items.min() < 0 or items.max() >= self.item_ids.size):
            raise DataError(f"items must lie in 0..{self.item_ids.size - 1}.")
        rising = items[1:] > items[:-1]
        inner = bounds[1:-1] - bounds[0]
        rising[inner[(inner > 0) & (inner < items.size)] - 1] = True  # a new user may start anywhere
        if not rising.all():
            raise DataError(
                "The items of a user must be sorted and unique; build Interactions with from_pairs."
            )

    def __repr__(self) -> str:
        return f"Interactions(users={self.n_users}, items={self.n_items}, interactions={self.n_interactions})"

    # ---- making them

    @classmethod
    def from_pairs(
        cls,
        users: npt.ArrayLike,
        items: npt.ArrayLike,
        times: npt.ArrayLike | None = None,
        *,
        user_ids: npt.ArrayLike | None = None,
        item_ids: npt.ArrayLike | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> Interactions:
        """Makes interactions of pairs of outside ids, in any order, repeats allowed.

        Args:
            users: ``(n,)`` outside user ids, integers or strings; bytes are read as UTF-8.
            items: ``(n,)`` outside item ids, integers or strings.
            times: ``(n,)`` finite numbers, or moments (``datetime64``, ``datetime``), which become
                seconds since 1970; or None.
            user_ids: ids to keep besides those in ``users``: users without items.
            item_ids: ids to keep besides those in ``items``: items nobody touched.
            weights: ``(n,)`` finite numbers above 0, the confidence of each; those of a repeated
                pair are added up. None where all count alike.

        Raises:
            DataError: lengths differ, an id is missing (the message names the first place) or
                neither an integer nor a string, a time is not finite, or a weight not above 0.
        """
        user_codes, all_users = encode_ids(users, user_ids, "user")
        item_codes, all_items = encode_ids(items, item_ids, "item")
        for given, ids, codes, noun in (
            (users, all_users, user_codes, "user"),
            (items, all_items, item_codes, "item"),
        ):
            if not isinstance(given, (list, tuple)):  # texts that somebody has listed are what they say
                refuse_missing_texts(ids, codes, noun)
        moments = None if times is None else as_times(times, user_codes.size)
        return cls.from_codes(user_codes, item_codes, all_users, all_items, moments, weights)

    @classmethod
    def from_codes(
        cls,
        users: npt.ArrayLike,
        items: npt.ArrayLike,
        user_ids: Array,
        item_ids: Array,
        times: npt.ArrayLike | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> Interactions:
        """Makes interactions of positions in two arrays of unique outside ids.

        The ids need not be sorted.

        Args:
            users: ``(n,)`` integers, positions in ``user_ids``.
            items: ``(n,)`` integers, positions in ``item_ids``.
            user_ids: ``(n_users,)`` int64 or unicode.
            item_ids: ``(n_items,)`` int64 or unicode.
            times: ``(n,)`` finite numbers, of which int32 stay as narrow as they are; or None.
            weights: ``(n,)`` finite numbers above 0, or None.

        Raises:
            DataError: lengths differ, a position is out of range, an id is repeated, a time is not
                finite, or a weight not above 0.
        """
        user_codes, user_ids = _sort_ids(np.asarray(users), user_ids, "user")
        item_codes, item_ids = _sort_ids(np.asarray(items), item_ids, "item")
        if user_codes.shape != item_codes.shape:
            raise DataError(
                f"Users and items must be equally many, found {user_codes.size} and {item_codes.size}."
            )
        moments = None if times is None else _own_times(times, user_codes.size)
        worths = None if weights is None else as_weights(weights, user_codes.size)
        indptr, merged = _in_rows(
            (user_codes, item_codes), (user_ids.size, max(item_ids.size, 1)), moments, worths
        )
        filled = int(indptr[-1])
        duplicates = merged.size - filled
        if duplicates:
            merged = merged[:filled].copy()
            moments = None if moments is None else moments[:filled].copy()
            worths = None if worths is None else worths[:filled].copy()
        return cls(indptr, merged, user_ids, item_ids, moments, duplicates, weights=worths)

    def dated_as(self, dated: bool) -> Interactions:
        """Says whether times can be compared between users, if there are any; see the class."""
        return self if dated or self.times is None else replace(self, dated=False)

    # ---- sizes

    @property
    def n_users(self) -> int:
        """Number of users, those without items included."""
        return int(self.user_ids.size)

    @property
    def n_items(self) -> int:
        """Number of items, those nobody touched included."""
        return int(self.item_ids.size)

    @property
    def n_interactions(self) -> int:
        """Number of distinct user-item pairs."""
        return int(self.items.size)

    @property
    def density(self) -> float:
        """Part of all possible pairs that are there, in 0..1."""
        return self.n_interactions / max(self.n_users * self.n_items, 1)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, ids included."""
        arrays = (self.indptr, self.items, self.times, self.weights)
        dislikes = (self.disliked.indptr, self.disliked.items) if self.disliked is not None else ()
        pairs = sum(array.nbytes for array in (*arrays, *dislikes) if array is not None)
        return pairs + bytes_of(self.user_ids) + bytes_of(self.item_ids)

    @property
    def user_degrees(self) -> Array:
        """Number of items that each user touched, ``(n_users,)`` int64."""
        return np.diff(self.indptr)

    @property
    def item_degrees(self) -> Array:
        """Number of users who touched each item, ``(n_items,)`` int64."""
        degrees = np.zeros(self.n_items, dtype=np.int64)
        step = max(FEW_PAIRS, self.n_items)
        for start in range(0, self.items.size, step):
            degrees += np.bincount(self.items[start : start + step], minlength=self.n_items)
        return degrees

    # ---- weights and dislikes

    @cached_property
    def weight_scale(self) -> np.float32 | None:
        """What brings the weights to a mean of 1; None where there are none, or all are the same.

        So nothing that is learned depends on the unit of the weights.
        """
        if self.weights is None or not self.weights.size or self.weights.min() == self.weights.max():
            return None
        return np.float32(1 / self.weights.mean(dtype=np.float64))

    def relative_weights(self) -> Array | None:
        """Returns the weights divided by the mean of all, ``(n,)`` float32; see :attr:`weight_scale`."""
        if self.weight_scale is None or self.weights is None:
            return None
        relative: Array = self.weights * self.weight_scale
        return relative

    @cached_property
    def own_weights(self) -> Array | None:
        """The weights divided by the mean of each user's own, ``(n,)`` float32.

        None where there are none, or all are the same.
        """
        if self.weight_scale is None or self.weights is None:
            return None
        own = np.empty_like(self.weights)
        for first, last in self.user_blocks():
            bounds = self.indptr[first : last + 1]
            some = self.weights[bounds[0] : bounds[-1]]
            own[bounds[0] : bounds[-1]] = own_shares(some, bounds - bounds[0])
        return own

    def disliking(self, disliked: Interactions | None) -> Interactions:
        """Returns these pairs without those that are disliked, which are kept beside them.

        Dislikes of users or items that are not here are left out. Those that were here before are
        kept, too.

        Args:
            disliked: pairs over any users and items; their times and weights mean nothing. None for
                no more than there are.
        """
        if disliked is None:
            return self
        places = disliked.user_ids is self.user_ids and disliked.item_ids is self.item_ids
        placed = disliked if places else disliked.aligned_to(self)[0]
        plain = replace(placed, times=None, dated=True, weights=None, disliked=None, duplicates=0)
        if self.disliked is not None:
            plain = plain.union(self.disliked)
        if not plain.n_interactions:
            return self
        plain = replace(plain, user_ids=self.user_ids, item_ids=self.item_ids, duplicates=0)
        kept = replace(self, disliked=None).without(plain) if self.shared_with(plain) else self
        return replace(kept, disliked=plain, duplicates=self.duplicates)

    def disliked_by(self, user: int) -> Array:
        """Returns the numbers of the items that a user dislikes, ``(m,)`` int32."""
        if self.disliked is None:
            return self.items[:0]
        found: Array = self.disliked.items[self.disliked.indptr[user] : self.disliked.indptr[user + 1]]
        return found

    @cached_property
    def hidden(self) -> Interactions:
        """What is never recommended: these pairs, and those that are disliked."""
        if self.disliked is None:
            return self
        return replace(self, times=None, dated=True, weights=None, disliked=None).union(self.disliked)

    # ---- other views of the same pairs

    def pair_users(self) -> Array:
        """Returns the user of each pair, ``(n,)`` int32, aligned with ``items``."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), self.user_degrees)

    def user_blocks(self, pairs: int | None = None) -> Iterator[tuple[int, int]]:
        """Yields all users as ranges ``first, last`` of at most ``pairs`` pairs each.

        By default ``pairs`` is 2^23. A range of one user may hold more.
        """
        return row_blocks(self.indptr, pairs or PAIRS_AT_ONCE)

    def by_item(self) -> tuple[Array, Array]:
        """Transposes the pairs: returns the users of each item.

        They are ``(n_items + 1,)`` int64 indptr and ``(n,)`` int32 users, sorted within an item.
        """
        order = np.argsort(self.items, kind="stable")
        indptr = np.zeros(self.n_items + 1, dtype=np.int64)
        np.cumsum(self.item_degrees, out=indptr[1:])
        return indptr, self.pair_users()[order]

    # ---- as a table of pairs, whose rows scikit-learn splits

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return self.n_interactions

    @property
    def shape(self) -> tuple[int, int]:
        """The rows and columns of the pairs as a table: ``(n, 2)``."""
        return self.n_interactions, 2

    def row_pairs(self) -> tuple[Array, Array]:
        """Returns the outside ids of users and items, ``(n,)`` each, one row a pair.

        Rows come in an order that is drawn once for all, in which each user's are spread evenly: so
        folds that are blocks of rows hold out as large a part of each user's, and not whole users.
        """
        order = self._row_order()
        return self.user_ids[self.pair_users()[order]], self.item_ids[self.items[order]]

    def row_times(self) -> Array | None:
        """Returns the times of the rows, ``(n,)``, if there are any."""
        return None if self.times is None else self.times[self._row_order()]

    def __getitem__(self, rows: Any) -> Any:
        """Selects rows, as scikit-learn does: some as Interactions over the same users and items.

        A single one is a pair of outside ids.
        """
        rows = rows[0] if isinstance(rows, tuple) else rows  # as in log[rows, ...]
        places = self._row_order()[rows]
        if np.ndim(places) == 0:
            user = int(np.searchsorted(self.indptr, places, side="right")) - 1
            return self.user_ids[user].item(), self.item_ids[self.items[places]].item()
        keep = np.zeros(self.n_interactions, dtype=bool)
        keep[places] = True
        return self.subset(keep)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Yields the rows as pairs of outside ids."""
        users, items = self.row_pairs()
        yield from zip(users.tolist(), items.tolist(), strict=True)

    def _row_order(self) -> Array:
        """Returns which pair stands in each row of the table, ``(n,)``."""
        rng, users = np.random.default_rng(0), self.pair_users()
        order = np.lexsort((rng.random(users.size), users))
        ranks = np.empty(users.size)
        ranks[order] = np.arange(users.size) - self.indptr[users]  # sorting moves nobody out of their row
        parts = (ranks + rng.random(self.n_users)[users]) / self.user_degrees[users]
        return np.argsort(parts, kind="stable")

    def subset(self, keep: Array) -> Interactions:
        """Keeps the pairs where ``keep``, a ``(n,)`` bool mask, is true.

        Users and items stay the same.
        """
        keep = np.asarray(keep)
        if keep.dtype != bool or keep.shape != self.items.shape:
            raise DataError(
                f"subset needs a bool mask of shape {self.items.shape}, found {keep.dtype} of shape {keep.shape}."
            )
        indptr = np.zeros_like(self.indptr)
        for first, last in self.user_blocks():
            bounds = self.indptr[first : last + 1]
            kept = np.concatenate([indptr[first : first + 1], keep[bounds[0] : bounds[-1]]])
            indptr[first : last + 1] = np.cumsum(kept)[bounds - bounds[0]]
        times, weights = (None if array is None else array[keep] for array in (self.times, self.weights))
        return replace(
            self, indptr=indptr, items=self.items[keep], times=times, weights=weights, duplicates=0
        )

    def union(self, other: Interactions) -> Interactions:
        """Merges the pairs of both, over the users and items they share.

        Times are kept if both have them. Where they are not dated, all pairs of ``other`` count as
        later than one's own, and it needs no times. Pairs that are in both are merged and counted
        in ``duplicates``; their weights are added up, where a pair without a weight counts as one
        of the mean weight of those that have some. What either dislikes is disliked.

        Raises:
            DataError: the two are not over the same ids; bring them together with
                :meth:`aligned_to` first.
        """
        if not (
            np.array_equal(self.user_ids, other.user_ids) and np.array_equal(self.item_ids, other.item_ids)
        ):
            raise DataError("union needs interactions over the same users and items; use aligned_to first.")
        users = np.concatenate([self.pair_users(), other.pair_users()])
        items = np.concatenate([self.items, other.items])
        both = Interactions.from_codes(
            users,
            items,
            self.user_ids,
            self.item_ids,
            self._times_with(other),
            _weights_of_both(self, other),
        ).dated_as(self.dated and other.dated)
        return both.disliking(self.disliked).disliking(other.disliked)

    def _times_with(self, other: Interactions) -> Array | None:
        """Puts the times of both one behind the other, if they can be."""
        later = other.times
        if self.times is None or (self.dated and later is None):
            return None
        if self.dated and other.dated and later is not None:
            return np.concatenate([self.times, later])
        places = np.zeros(other.n_interactions, np.int64) if later is None else later
        first = places.min(initial=0) - self.times.max(initial=0) - 1
        return np.concatenate([self.times, places - first])

    def joined(self, other: Interactions) -> Interactions:
        """Merges the pairs of both, over the users and items of either.

        Where these are the same, it is :meth:`union`. Ids are matched as in :meth:`aligned_to`;
        where one side has numbers and the other text, the ids become text.
        """
        both = [encode_ids(getattr(self, name), getattr(other, name))[1] for name in ("user_ids", "item_ids")]
        nobody = Interactions.from_codes([], [], *both)
        return self.aligned_to(nobody)[0].union(other.aligned_to(nobody)[0])

    def without(self, other: Interactions) -> Interactions:
        """Leaves out the pairs that are in ``other``, which is over equally many users and items.

        Raises:
            DataError: it is not; use :meth:`aligned_to` first.
        """
        self._check_over_same(other, "without")
        keep = np.ones(self.n_interactions, dtype=bool)
        for first in range(0, self.n_users, _USERS_AT_ONCE):  # which bounds the memory
            own, others = (log._pair_numbers(first, first + _USERS_AT_ONCE) for log in (self, other))
            last = min(first + _USERS_AT_ONCE, self.n_users)
            keep[self.indptr[first] : self.indptr[last]] = ~np.isin(own, others, assume_unique=True)
        return self.subset(keep)

    def aligned_to(self, reference: Interactions) -> tuple[Interactions, Counts]:
        """Moves the pairs to the users and items of ``reference``; counts what had no place there.

        Ids are matched by what a person would read: integer 12 and string ``"12"`` are the same id.
        Pairs with an unknown user or item are dropped and counted; pairs that are in ``reference``
        too are kept.
        """
        users = positions_of(self.user_ids, reference.user_ids)
        items = positions_of(self.item_ids, reference.item_ids)
        pair_users, pair_items = users[self.pair_users()], items[self.items]
        keep = (pair_users >= 0) & (pair_items >= 0)
        times, weights = (None if array is None else array[keep] for array in (self.times, self.weights))
        placed = Interactions.from_codes(
            pair_users[keep],
            pair_items[keep],
            reference.user_ids,
            reference.item_ids,
            times,
            weights,
        )
        placed = placed.dated_as(self.dated).disliking(self.disliked)
        counts = Counts(
            unknown_users=int(np.count_nonzero(users < 0)),
            unknown_items=int(np.count_nonzero(items < 0)),
            dropped_pairs=int(keep.size - np.count_nonzero(keep)),
        )
        return placed, counts

    def shared_with(self, other: Interactions) -> int:
        """Counts the pairs that are in both.

        Raises:
            DataError: the two are not over equally many users and items; use :meth:`aligned_to`
                first.
        """
        self._check_over_same(other, "shared_with")
        shared = 0
        for first in range(0, self.n_users, _USERS_AT_ONCE):  # which bounds the memory
            own, others = (log._pair_numbers(first, first + _USERS_AT_ONCE) for log in (self, other))
            shared += np.intersect1d(own, others, assume_unique=True).size
        return shared

    def _check_over_same(self, other: Interactions, asked: str) -> None:
        if (self.n_users, self.n_items) != (other.n_users, other.n_items):
            raise DataError(
                f"{asked} needs interactions over the same users and items; use aligned_to first."
            )

    def _pair_numbers(self, first: int, stop: int) -> Array:
        """Returns the pairs of some users as one ascending int64 number each."""
        bounds = self.indptr[first : stop + 1]
        owners = np.repeat(np.arange(bounds.size - 1), np.diff(bounds))
        return owners * self.n_items + self.items[bounds[0] : bounds[-1]]

    def renumbered(self, first: int = 0) -> Interactions:
        """Replaces the ids by numbers that count up from ``first``, in the order of the ids."""
        users, items = (np.arange(first, first + n, dtype=np.int64) for n in (self.n_users, self.n_items))
        disliked = None if self.disliked is None else self.disliked.renumbered(first)
        return replace(self, user_ids=users, item_ids=items, disliked=disliked)

    def digest(self) -> str:
        """Returns a hex sha256 over the pairs and all ids.

        Equal pairs and ids give equal digests on any machine. Weights and dislikes are part of it,
        where there are any.
        """
        sha = hashlib.sha256()
        for array in (self.indptr, self.items):
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            sha.update(np.ascontiguousarray(little).view(np.uint8).data)
        for ids in (self.user_ids, self.item_ids):
            text = are_texts(ids)
            sha.update(b"text" if text else b"int8")
            sha.update(json.dumps(ids.tolist()).encode() if text else ids.astype("<i8", copy=False).tobytes())
        if self.weights is not None:
            sha.update(b"weights" + self.weights.astype("<f4", copy=False).tobytes())
        if self.disliked is not None:
            sha.update(b"disliked" + self.disliked.digest().encode())
        return sha.hexdigest()


def expect_interactions(given: object) -> Interactions:
    """Returns what was given, if it is Interactions.

    Raises:
        DataError: it is something else, the path of a file perhaps.
    """
    if not isinstance(given, Interactions):
        raise DataError(
            f"Expected Interactions, found {repr(given)[:80] if isinstance(given, str) else type(given).__name__}; use"
            " read_interactions(path) for a file, or Interactions.from_pairs(users, items)"
        )
    return given


def expect_some(log: Interactions) -> Interactions:
    """Returns the interactions. Raises DataError where there is none."""
    if not log.n_interactions:
        raise DataError("There is no interaction to train on")
    return log


def _own_times(times: npt.ArrayLike, n: int) -> Array:
    """Copies times ``(n,)``; int32 ones stay as narrow as they are."""
    places = np.asarray(times)
    narrow = places.dtype == np.int32 and places.shape == (n,)
    return places.copy() if narrow else as_times(times, n)


def _sort_ids(codes: Array, ids: Array, noun: str) -> tuple[Array, Array]:
    """Sorts ids, and renumbers the codes to match.

    Codes are int32 or int64, checked against their range.
    """
    if codes.ndim != 1 or (codes.size and codes.dtype.kind not in "iu"):
        raise DataError(
            f"The {noun} numbers must be one flat list of integers, found {codes.dtype} of shape {codes.shape}."
        )
    if codes.dtype != np.int32:
        codes = codes.astype(np.int64, copy=False)
    if codes.size and (codes.min() < 0 or codes.max() >= ids.size):
        raise DataError(
            f"The {noun} numbers must lie in 0..{ids.size - 1}, found {codes.min()}..{codes.max()}."
        )
    if np.any(ids[1:] <= ids[:-1]):
        order = np.argsort(ids, kind="stable")
        place = np.empty(ids.size, dtype=np.int64)
        place[order] = np.arange(ids.size)
        ids, codes = ids[order], place[codes]
        if np.any(ids[1:] == ids[:-1]):
            raise DataError(
                f"The {noun} ids must be unique, found {ids[1:][ids[1:] == ids[:-1]][0]!r} twice."
            )
    return codes, ids


def _merged(
    keys: Array, times: Array | None, weights: Array | None
) -> tuple[Array, Array | None, Array | None]:
    """Sorts keys (n,) and merges equal ones; each keeps its latest time, and all its weight.

    Without times and weights it may sort in place.

    >>> keys, times, weights = _merged(np.array([5, 3, 5]), np.array([10, 30, 20]), np.ones(3, np.float32))
    >>> keys.tolist(), times.tolist(), weights.tolist()
    ([3, 5], [30, 20], [1.0, 2.0])
    """
    if times is not None or weights is not None:
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        times, weights = (None if array is None else array[order] for array in (times, weights))
    elif np.any(keys[1:] < keys[:-1]):
        keys.sort()
    fresh = np.ones(keys.size, dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=fresh[1:])
    if not fresh.all():
        if times is not None:  # every group has a member, so reduceat is safe here
            times = np.maximum.reduceat(times, np.flatnonzero(fresh))
        if weights is not None:
            weights = as_weights(np.add.reduceat(weights, np.flatnonzero(fresh), dtype=np.float64))
        keys = keys[fresh]
    return keys, times, weights


def _weights_of_both(one: Interactions, other: Interactions) -> Array | None:
    """Puts the weights of two logs one behind the other, (n,) float32; None where neither has any.

    Where one log has none, its pairs weigh as those of the other do on average.
    """
    if one.weights is None and other.weights is None:
        return None
    parts = []
    for log, beside in ((one, other), (other, one)):
        if log.weights is not None:
            parts.append(log.weights)
            continue
        known = beside.weights
        mean = known.mean(dtype=np.float64) if known is not None and known.size else 1.0
        parts.append(np.full(log.items.size, mean, dtype=np.float32))
    return np.concatenate(parts)


def _in_rows(
    codes: tuple[Array, Array], sizes: tuple[int, int], times: Array | None, weights: Array | None
) -> tuple[Array, Array]:
    """Sorts pairs (n,) by user and item, and merges repeated ones; those left come first.

    ``times`` and ``weights`` are overwritten in the same order. Returns bounds (n_users + 1,) and
    items (n,), of which those up to the last bound count.
    """
    (users, items), (n_users, n_items) = codes, sizes
    indptr = np.zeros(n_users + 1, dtype=np.int64)
    merged = np.empty(users.size, dtype=np.int32)
    filled = 0
    for first, last, user, next_user in _user_runs(users, n_users):
        keys = users[first:last].astype(np.int64)
        keys *= n_items
        keys += items[first:last]
        keys, own, worth = _merged(
            keys, *(None if array is None else array[first:last] for array in (times, weights))
        )
        # keys are sorted, so a user's first pair is found by bisection
        starts = np.searchsorted(keys, np.arange(user, next_user + 1, dtype=np.int64) * n_items)
        indptr[user : next_user + 1] = filled + starts
        keys %= n_items
        merged[filled : filled + keys.size] = keys
        if times is not None and own is not None:
            times[filled : filled + keys.size] = own
        if weights is not None and worth is not None:
            weights[filled : filled + keys.size] = worth
        filled += keys.size
    return indptr, merged


def _user_runs(users: Array, n_users: int) -> Iterator[tuple[int, int, int, int]]:
    """Cuts pairs into runs that hold all pairs of the users they concern.

    Yields ``first, last, user, next_user``: pairs ``first`` to ``last - 1`` are all those of users
    ``user`` to ``next_user - 1``. Runs cover all pairs and all users. Where pairs come user by
    user, as in most files, a run is not much longer than ``FEW_PAIRS``, which bounds the memory;
    otherwise all pairs are one.

    >>> list(_user_runs(np.array([0, 0, 2]), 4))
    [(0, 3, 0, 4)]
    """
    bounds = np.array([0, users.size])
    if users.size > FEW_PAIRS and not np.any(users[1:] < users[:-1]):
        inner = np.searchsorted(users, users[FEW_PAIRS::FEW_PAIRS])
        bounds = np.unique(np.concatenate([bounds, inner]))
    owners = [0, *users[bounds[1:-1]].tolist(), n_users]
    yield from zip(bounds[:-1].tolist(), bounds[1:].tolist(), owners[:-1], owners[1:], strict=True)


def positions_of(wanted: Array, ids: Array) -> Array:
    """Finds positions in sorted ``ids``, ``(len(wanted),)`` int64, -1 where absent.

    12 and "12" are the same id.
    """
    order = np.arange(ids.size)
    if are_texts(wanted) != are_texts(ids):
        wanted, ids = (some if are_texts(some) else some.astype(str) for some in (wanted, ids))
        order = np.argsort(ids, kind="stable")  # numbers sort differently as text
        ids = ids[order]
    if ids.size == 0:
        return np.full(wanted.size, -1, dtype=np.int64)
    spot = np.minimum(np.searchsorted(ids, wanted), ids.size - 1)
    return np.where(ids[spot] == wanted, order[spot], -1).astype(np.int64)
