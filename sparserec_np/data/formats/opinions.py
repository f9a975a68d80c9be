"""What the rows of a file say beside who touched what: dislikes, and the weights of the others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sparserec_np.data.interactions import Interactions

Array = npt.NDArray[np.generic]

WEIGHT = "a weight that is a finite number above 0"
ADVICE = "rows that are no interactions need a rating of 0, or --on-bad-line skip leaves them out"


def sound_weights(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tells which of (n,) numbers can be weights, as float32 too: finite, and above 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = values.astype(np.float32)
    return np.asarray(np.isfinite(narrow) & (narrow > 0))


class CodedRows(NamedTuple):
    """The rows of a file or frame, by positions in arrays of unique ids, all of which are in some row.

    Attributes:
        users, items: ``(n,)`` positions.
        user_ids, item_ids: the ids.
        times: ``(n,)`` or None.
        weights: ``(n,)`` or None; those of dislikes mean nothing.
        disliked: ``(n,)`` bool, which rows are dislikes; None for none.
    """

    users: npt.NDArray[np.integer]
    items: npt.NDArray[np.integer]
    user_ids: Array
    item_ids: Array
    times: Array | None = None
    weights: Array | None = None
    disliked: npt.NDArray[np.bool_] | None = None

    def interactions(self) -> Interactions:
        """Makes interactions of the rows that are no dislikes, over the users and items of these."""
        users, items, user_ids, item_ids, times, weights, disliked = self
        if disliked is None or not disliked.any():
            return Interactions.from_codes(users, items, user_ids, item_ids, times, weights)
        kept = ~disliked
        theirs = Interactions.from_codes(users[disliked], items[disliked], user_ids, item_ids)
        own_users, user_codes = np.unique(users[kept], return_inverse=True)
        own_items, item_codes = np.unique(items[kept], return_inverse=True)
        times, weights = (None if array is None else array[kept] for array in (times, weights))
        log = Interactions.from_codes(
            user_codes.reshape(-1),
            item_codes.reshape(-1),
            user_ids[own_users],
            item_ids[own_items],
            times,
            weights,
        )
        return log.disliking(theirs)
