"""Full ranking over all items, and metrics averaged over users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.evaluation.metrics import PER_USER, best_places
from sparserec_np.evaluation.ranker import Ranker

BLOCK_USERS = 16_384


def measure(
    model: Ranker,
    test: Interactions,
    seen: Interactions,
    ks: Sequence[int] = (20,),
    block: int = BLOCK_USERS,
) -> dict[str, float]:
    """Measures as :func:`evaluate` does, of interactions over the same users and items.

    Where all test interactions are in ``seen``, too, nothing is said.
    """
    _check(test, seen, ks, block)
    degrees = test.user_degrees
    users = np.flatnonzero(degrees).astype(np.int32)
    if not users.size:
        raise DataError("No user has test items, so there is nothing to evaluate.")
    n = min(max(ks), test.n_items)
    totals = {f"{name}@{k}": 0.0 for k in ks for name in PER_USER}
    best = np.full(test.n_items, n)
    for start in range(0, users.size, block):
        some = users[start : start + block]
        top, _ = model.rank(some, n, seen)
        hits = find_hits(top, some, test)
        for k in ks:
            for name, metric in PER_USER.items():
                totals[f"{name}@{k}"] += float(metric(hits, degrees[some], k).sum())
        np.minimum(best, best_places(top, test.n_items), out=best)
    result: dict[str, float] = {}
    for k in ks:
        result |= {f"{name}@{k}": totals[f"{name}@{k}"] / users.size for name in PER_USER}
        result[f"coverage@{k}"] = float((best < min(k, n)).mean())
    result["users"] = int(users.size)
    return result


def _check(test: Interactions, seen: Interactions, ks: Sequence[int], block: int) -> None:
    """Raises ConfigError and DataError for the arguments that :func:`measure` refuses."""
    if not ks or min(ks) < 1 or block < 1:
        raise ConfigError(
            f"Evaluation needs list lengths and a block of 1 or more, found {list(ks)} and {block}."
        )
    if (test.n_users, test.n_items) != (seen.n_users, seen.n_items):
        raise DataError(
            f"Test and seen interactions must be over the same users and items, found {test.n_users} x {test.n_items}"
            f" and {seen.n_users} x {seen.n_items}; use aligned_to first."
        )
    for name in ("user_ids", "item_ids"):
        if not np.array_equal(getattr(test, name), getattr(seen, name)):
            raise DataError(
                f"Test and seen interactions must be over the same users and items, but their {name} differ;"
                " use aligned_to first."
            )


def find_hits(top: Array, users: Array, test: Interactions) -> Array:
    """Marks the places (m, n) bool of ``top`` that hold the user's test items.

    ``top`` holds the (m, n) lists of ascending ``users`` (m,).
    """
    first, last = int(users[0]), int(users[-1]) + 1
    begin, end = test.indptr[first], test.indptr[last]
    owners = np.repeat(np.arange(first, last), test.user_degrees[first:last])
    # A pair as one number; those of the test part ascend, and are looked up by bisection.
    relevant = owners * test.n_items + test.items[begin:end]
    wanted = users[:, None].astype(np.int64) * test.n_items + top
    at = np.searchsorted(relevant, wanted.ravel()).reshape(top.shape)
    found = relevant[np.minimum(at, relevant.size - 1)] == wanted
    return found & (top >= 0)
