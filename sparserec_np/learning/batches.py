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
    """

    users: Groups
    user_of: Array
    positives: Array
    negatives: Array
    shared: bool

    @property
    def size(self) -> int:
        """Number of pairs."""
        return len(self.positives)


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
class PairSampler:
    """A sampler that goes through all training pairs once an epoch, in random batches.

    Attributes:
        log: the training interactions.
        batch_size: pairs in a batch; the last one of an epoch may be smaller.
        negatives: how negatives are drawn.
    """

    log: Interactions
    batch_size: int
    negatives: Negatives

    @property
    def batches(self) -> int:
        """Number of batches in an epoch."""
        return -(-self.log.n_interactions // self.batch_size)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yields the batches of one epoch.

        Memory: 12 bytes for each pair of a window while it lasts.
        """
        log = self.log
        for user_of_pair, items in self._windows(rng):
            order = rng.permutation(np.arange(len(items), dtype=np.int32))
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
                )

    def _windows(self, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
        """Yields users and items of all pairs, (w,) int32 each and ascending.

        Of many, window by window.

        A window is made of chunks of neighbouring pairs that were drawn at random, so that a file
        of any size is read in long runs, a batch still mixes thousands of places in it, and memory
        does not grow with it (our choice).
        """
        log, n = self.log, self.log.n_interactions
        if n <= PAIRS_AT_ONCE:
            yield log.pair_users(), log.items
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
            yield users.astype(np.int32), log.items[pairs]
