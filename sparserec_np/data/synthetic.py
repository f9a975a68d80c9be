"""A made-up data set with the traits of real ones, of any size.

It is for a first try, for tests and for measuring scale. Items and users follow power laws, as in
shops and playlists. Beneath lie groups of items: a user prefers three of them, and strays now and
then to whatever is popular. A model that finds the groups recommends far better than a list of the
most popular items.

All of this is our choice; no array of users x items exists at any time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import row_blocks
from sparserec_np.errors import ConfigError

Array = npt.NDArray[Any]

TASTES = (0.6, 0.3, 0.1)  # how much of a user's choices goes to the first, second and third preferred group
STRAY = 0.12  # share of choices made by popularity alone
ITEM_EXPONENT = 0.8  # popularity falls with rank to this power
USER_EXPONENT = 1.6  # tail of the Pareto law of activity: smaller is heavier
BUSIEST = 100.0  # the law is cut off here, as a multiple of the least active user

_PAIRS_AT_ONCE = 1 << 22
_ROUNDS_BY_TASTE = 8  # afterwards a user who has seen almost all of a group takes items at random


def generate(
    n_users: int = 2000, n_items: int = 1500, n_interactions: int = 40_000, groups: int = 20, seed: int = 0
) -> Interactions:
    """Makes up interactions of users ``0..n_users-1`` with items ``0..n_items-1``.

    The same arguments give the same pairs.

    Args:
        n_users: users, each with at least one item.
        n_items: items; a few may stay untouched.
        n_interactions: distinct pairs, exactly; at least one per user, at most half of all items
            per user.
        groups: latent groups of items, at most ``n_items``.
        seed: where the random numbers start, 0 or above.

    Raises:
        ConfigError: a number is out of range.

    >>> generate(n_users=100, n_items=50, n_interactions=800, groups=5, seed=3)
    Interactions(users=100, items=50, interactions=800)
    """
    _check(n_users, n_items, n_interactions, groups, seed)
    rng = np.random.default_rng(seed)
    catalogue = _Catalogue(n_items, groups, rng)
    degrees = _activity(n_users, n_items // 2, n_interactions, rng)
    tastes = catalogue.draw_groups((n_users, len(TASTES)), rng)
    items = np.empty(n_interactions, dtype=np.int32)
    bounds = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(degrees)])
    for start, stop in row_blocks(bounds, _PAIRS_AT_ONCE):
        keys = _choose(catalogue, degrees[start:stop], tastes[start:stop], rng)
        items[bounds[start] : bounds[stop]] = keys % n_items
    ids = np.arange(n_users, dtype=np.int64), np.arange(n_items, dtype=np.int64)
    return Interactions(bounds, items, *ids)


class _Catalogue:
    """Items by group, with their popularity, drawn by inverting cumulated weights."""

    def __init__(self, n_items: int, groups: int, rng: np.random.Generator) -> None:
        self.n_items = n_items
        sizes = np.cumsum((np.arange(groups) + 1.0) ** -0.5)
        group = np.searchsorted(sizes, rng.random(n_items) * sizes[-1], side="right")
        group = np.unique(np.minimum(group, groups - 1), return_inverse=True)[1].reshape(
            -1
        )  # no group is empty
        rank = np.argsort(rng.random(n_items), kind="stable")
        weight = (rank + 1.0 + n_items / 200) ** -ITEM_EXPONENT
        order = np.argsort(group, kind="stable")
        total = np.bincount(group, weights=weight)
        self._by_group = order
        # Group g owns (g, g + 1]: one bisection finds an item in any group.
        self._within = np.cumsum((weight / total[group])[order])
        self._overall = np.cumsum(weight)
        self._groups = np.cumsum(total)

    def draw_groups(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Draws groups, each as likely as its items are popular together."""
        return _invert(self._groups, rng.random(shape) * self._groups[-1])

    def draw_items(self, tastes: Array, rng: np.random.Generator) -> Array:
        """Draws an item for each row of preferred groups ``(n, 3)``."""
        n = len(tastes)
        slot = np.searchsorted(np.cumsum(TASTES)[:-1], rng.random(n), side="right")
        group = tastes[np.arange(n), slot]
        by_taste = self._by_group[_invert(self._within, group + rng.random(n))]
        by_popularity = _invert(self._overall, rng.random(n) * self._overall[-1])
        return np.where(rng.random(n) < STRAY, by_popularity, by_taste)


def _choose(catalogue: _Catalogue, degrees: Array, tastes: Array, rng: np.random.Generator) -> Array:
    """Draws as many distinct items for each user of a block as ``degrees`` says.

    Returns sorted ``user * n_items + item``.
    """
    n_items = catalogue.n_items
    missing = degrees.copy()
    taken = np.zeros(0, dtype=np.int64)
    finished: list[Array] = []
    turn = 0
    while missing.any():
        owners = np.repeat(np.arange(degrees.size), missing)
        if turn < _ROUNDS_BY_TASTE:
            items = catalogue.draw_items(tastes[owners], rng)
        else:
            items = (rng.random(owners.size) * n_items).astype(np.int64)
        taken = np.concatenate([taken, owners * n_items + items])
        taken.sort()
        taken = taken[np.diff(taken, prepend=-1) > 0]
        users = taken // n_items
        missing = np.where(missing > 0, degrees - np.bincount(users, minlength=degrees.size), 0)
        waiting = missing[users] > 0
        finished.append(taken[~waiting])
        taken = taken[waiting]
        turn += 1
    return np.sort(np.concatenate(finished))


def _activity(n_users: int, most: int, total: int, rng: np.random.Generator) -> Array:
    """Draws ``(n_users,)`` int64 degrees in 1..``most``, with a Pareto tail.

    They sum to ``total``.
    """
    least = max(1, min(5, total // (2 * n_users), most))
    weight = np.minimum((1.0 - rng.random(n_users)) ** (-1.0 / USER_EXPONENT), BUSIEST)
    degrees = least + _share(total - least * n_users, weight)
    over = int(np.maximum(degrees - most, 0).sum())
    degrees = np.minimum(degrees, most)
    if over:
        degrees += _share(over, (most - degrees).astype(np.float64))
    return degrees


def _share(total: int, weight: Array) -> Array:
    """Shares ``total`` out as whole numbers in proportion to ``weight``.

    Running sums are rounded, so nothing is lost.
    """
    running = np.cumsum(weight)
    ends = np.rint(running * (total / running[-1])).astype(np.int64)
    return np.diff(ends, prepend=0)


def _invert(cumulated: Array, points: Array) -> Array:
    """Finds where each point falls among cumulated weights.

    Rounding never leads beyond the last.
    """
    return np.minimum(np.searchsorted(cumulated, points, side="right"), cumulated.size - 1)


def _check(n_users: int, n_items: int, n_interactions: int, groups: int, seed: int) -> None:
    if n_users < 1 or n_items < 2:
        raise ConfigError(f"Expected at least 1 user and 2 items, found {n_users} and {n_items}.")
    if not n_users <= n_interactions <= n_users * (n_items // 2):
        raise ConfigError(
            f"{n_users:,} users and {n_items:,} items can have {n_users:,} (one per user) to "
            f"{n_users * (n_items // 2):,} (half of all items per user) interactions, found {n_interactions:,}."
        )
    if not 1 <= groups <= n_items:
        raise ConfigError(
            f"The number of groups must lie in 1..{n_items} (the number of items), found {groups}."
        )
    if seed < 0:
        raise ConfigError(f"The seed must be 0 or above, found {seed}.")
