"""The core of interactions: the users and items that have enough of each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import DataError

Array = npt.NDArray[Any]


def k_core(log: Interactions, min_user: int, min_item: int) -> Interactions:
    """Leaves out users and items with too few interactions, again and again until all have enough.

    Dislikes are not counted; those of whoever is left are kept.

    Args:
        log: the interactions.
        min_user: the fewest that a user keeps, 1 or more.
        min_item: the fewest that an item keeps, 1 or more.

    Raises:
        DataError: nothing is left.

    >>> log = Interactions.from_pairs([1, 1, 2, 2, 3], [7, 8, 7, 8, 9])
    >>> k_core(log, 2, 2)
    Interactions(users=2, items=2, interactions=4)
    """
    users, items = log.pair_users(), log.items
    keep = np.ones(items.size, dtype=bool)
    while True:
        many = np.bincount(users[keep], minlength=log.n_users) >= min_user
        much = np.bincount(items[keep], minlength=log.n_items) >= min_item
        kept = keep & many[users] & much[items]
        if np.array_equal(kept, keep):
            break
        keep = kept
    if not keep.any():
        raise DataError(
            f"No interaction is left where every user is to have {min_user:,} or more, and every item {min_item:,} or"
            " more; lower --min-user or --min-item."
        )
    times, weights = (None if array is None else array[keep] for array in (log.times, log.weights))
    core = Interactions.from_codes(
        _renumbered(users[keep], many),
        _renumbered(items[keep], much),
        log.user_ids[many],
        log.item_ids[much],
        times,
        weights,
    )
    return core.dated_as(log.dated).disliking(log.disliked)


def _renumbered(codes: Array, kept: Array) -> Array:
    """Numbers the rows that are kept, (n,) bool, from 0, and codes to match."""
    return (np.cumsum(kept, dtype=np.int64) - 1)[codes]
