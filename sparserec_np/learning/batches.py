"""Batches of training pairs with their negatives.

A batch is a random part of the training pairs, ordered by user, so that each user's row is read
once. Negatives are drawn in one of two ways: one for each pair, or one block for the whole batch,
whose cost is shared by all its pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import PAIRS_AT_ONCE, Interactions
from sparserec_np.data.table import Array

CHUNK = 4096  # pairs, or more, that lie beside each other and come in the same part of an epoch


class Groups(NamedTuple):
    """Members that lie together by row: ``members[starts[g]:starts[g + 1]]`` belong to ``rows[g]``.

    Attributes:
        rows: (groups,) int32, no row twice.
        starts: (groups + 1,) int32.
    """

    rows: Array
    starts: Array

    @property
    def sizes(self) -> Array:
        """Number of members of each group, (groups,) int32."""
        return np.diff(self.starts)


class Batch(NamedTuple):
    """Pairs of a user and a touched item, and items to set against them.

    Rows are those of the stacked table, users first.

    Attributes:
        users: the pairs by user.
        user_of: (b,) int32 user row of each pair.
        positives: (b,) int32 item row of each pair.
        negatives: (b,) int32, one for each pair; or (s,) int32, distinct, for all of them.
        shared: whether all pairs share the negatives.
        weights: (b,) float32 what each pair's loss is multiplied by, 1 on average over all training
            pairs; None where all weigh alike.
    """

    users: Groups
    user_of: Array
    positives: Array
    negatives: Array
    shared: bool
    weights: Array | None = None

    @property
    def size(self) -> int:
        """Number of pairs."""
        return len(self.positives)

    def renumbered(self, places: Array) -> Batch:
        """Makes the same batch over rows that lie elsewhere: row r at ``places[r]``, (rows,) int32."""
        return self._replace(
            users=Groups(places[self.users.rows], self.users.starts),
            user_of=places[self.user_of],
            positives=places[self.positives],
            negatives=places[self.negatives],
        )


class Negatives(Protocol):
    """A way to draw negatives."""

    @property
    def shared(self) -> bool:
        """Whether one block serves the whole batch."""
        ...

    def draw(self, users: Array, log: Interactions, rng: np.random.Generator) -> Array:
        """Draws items (not rows) for pairs of ``users`` (b,)."""
        ...


@dataclass(frozen=True)
class OnePerPair:
    """One uniform negative for each pair, never an item that the user touched.

    Only a user who touched all items gets one of them.
    """

    tries: int = 4
    shared: bool = False

    def draw(self, users: Array, log: Interactions, rng: np.random.Generator) -> Array:
        """Draws (b,) int32 items."""
        draws = rng.integers(log.n_items, size=(len(users), self.tries), dtype=np.int32)
        picked = np.empty(len(users), dtype=np.int32)
        kernels.sampling.pick_unseen(users, draws, log.n_items, log.indptr, log.items, picked)
        return picked


@dataclass(frozen=True)
class SharedBlock:
    """One block of ``size`` distinct uniform negatives for a whole batch.

    Those a user touched count for nothing.
    """

    size: int = 256
    shared: bool = True

    def draw(self, users: Array, log: Interactions, rng: np.random.Generator) -> Array:
        """Draws (s,) int32 items, s = ``size`` or the number of items if that is less."""
        size = min(self.size, log.n_items)
        return rng.choice(log.n_items, size, replace=False, shuffle=False).astype(np.int32)


@dataclass(frozen=True)
class DislikesFirst:
    """Negatives of which a part is drawn from what users dislike, as far as they dislike anything.

    Attributes:
        others: draws all negatives, some of which are then replaced.
        part: of the pairs whose user dislikes something, where each has a negative of its own; or
            of a shared block, whose items are drawn from all that the batch's users dislike.
    """

    others: Negatives
    part: float

    @property
    def shared(self) -> bool:
        """Whether one block serves the whole batch."""
        return self.others.shared

    def draw(self, users: Array, log: Interactions, rng: np.random.Generator) -> Array:
        """Draws items as the others do, and puts dislikes in place of some."""
        items = self.others.draw(users, log, rng)
        if log.disliked is None:
            return items
        indptr, disliked = log.disliked.indptr, log.disliked.items
        if not self.shared:
            counts = indptr[users + 1] - indptr[users]
            places = indptr[users] + (rng.random(len(users)) * counts).astype(np.int64)
            chosen = (counts > 0) & (rng.random(len(users)) < self.part)
            items[chosen] = disliked[places[chosen]]
            return items
        some = np.unique(users)
        lengths = indptr[some + 1] - indptr[some]
        places = np.repeat(indptr[some] - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
        known = np.unique(disliked[places])
        first = rng.permutation(known)[: round(self.part * len(items))]
        rest = items[~np.isin(items, first)][: len(items) - len(first)]
        return np.concatenate([first, rest]).astype(np.int32)


@dataclass(frozen=True)
class PairSampler:
    """A sampler that goes through all training pairs once an epoch, in random batches.

    Attributes:
        log: the training interactions.
        batch_size: pairs in a batch; the last one of an epoch may be smaller.
        negatives: how negatives are drawn.
        together: most pairs of a user that stay together when pairs are shuffled.
    """

    log: Interactions
    batch_size: int
    negatives: Negatives
    together: int = 1

    @property
    def batches(self) -> int:
        """Number of batches in an epoch."""
        return -(-self.log.n_interactions // self.batch_size)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yields the batches of one epoch.

        Memory: 12 bytes for each pair of a window while it lasts.
        """
        log, scale = self.log, self.log.weight_scale
        for user_of_pair, items, weights in self._windows(rng):
            order = shuffled(user_of_pair, self.together, rng)
            for start in range(0, len(order), self.batch_size):
                pairs = np.sort(order[start : start + self.batch_size])
                users = user_of_pair[pairs]
                heads = np.flatnonzero(np.diff(users, prepend=-1))
                negatives = self.negatives.draw(users, log, rng)
                yield Batch(
                    Groups(users[heads], np.append(heads, len(users)).astype(np.int32)),
                    users,
                    items[pairs] + np.int32(log.n_users),
                    negatives + np.int32(log.n_users),
                    self.negatives.shared,
                    None if weights is None or scale is None else weights[pairs] * scale,
                )

    def _windows(self, rng: np.random.Generator) -> Iterator[tuple[Array, Array, Array | None]]:
        """Yields users and items of all pairs, (w,) int32 each and ascending, and their weights.

        Of many, window by window.

        A window is made of chunks of neighbouring pairs that were drawn at random, so that a file
        of any size is read in long runs, a batch still mixes thousands of places in it, and memory
        does not grow with it (our choice).
        """
        log, n = self.log, self.log.n_interactions
        if n <= PAIRS_AT_ONCE:
            yield log.pair_users(), log.items, log.weights
            return
        chunk = self.batch_size * -(
            -CHUNK // self.batch_size
        )  # whole batches: one alone in an epoch is smaller
        chunks = rng.permutation(-(-n // chunk))
        together = max(1, PAIRS_AT_ONCE // chunk)
        for start in range(0, len(chunks), together):
            firsts = np.sort(chunks[start : start + together]) * chunk
            lasts = np.minimum(firsts + chunk, n)
            pairs = np.concatenate([np.arange(*ends) for ends in zip(firsts, lasts, strict=True)])
            users = np.searchsorted(log.indptr, pairs, side="right") - 1
            yield (
                users.astype(np.int32),
                log.items[pairs],
                None if log.weights is None else log.weights[pairs],
            )


def shuffled(users: Array, together: int, rng: np.random.Generator) -> Array:
    """Draws an order of pairs (n,), in which up to ``together`` pairs of a user follow each other.

    Which of a user's pairs these are is drawn, too.

    Args:
        users: ``(n,)`` the user of each pair, ascending.
        together: at least 1, for any order.
        rng: draws.

    Returns:
        ``(n,)`` int32 places of pairs.

    >>> users = np.repeat([0, 1, 2], 4)
    >>> users[shuffled(users, 4, np.random.default_rng(0))].tolist()
    [2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0]
    """
    places = np.arange(len(users), dtype=np.int32)
    mixed = rng.permutation(places)
    if together == 1:
        return mixed
    mixed = mixed[np.argsort(users[mixed], kind="stable")]  # by user, each user's at random
    first = np.flatnonzero(np.diff(users, prepend=-1))
    among_own = places - np.repeat(first, np.diff(np.append(first, len(users))))
    starts = np.flatnonzero(among_own % together == 0)
    sizes = np.diff(np.append(starts, len(users)))
    drawn = rng.permutation(len(starts))
    ends = np.cumsum(sizes[drawn])
    return mixed[np.repeat(starts[drawn] - ends + sizes[drawn], sizes[drawn]) + places]
