"""Grouping of pairs by row, and the search for items that a user has not touched.

The specification of ``kernels.compiled.sampling``.

Seen items come in CSR: user u has touched ``seen_items[seen_indptr[u]:seen_indptr[u + 1]]``, (n,)
int32, ascending and without repetition; ``seen_indptr`` is (users + 1,) int64. Random numbers are
arguments: kernels draw none.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array


def group_by_row(keys: Array, counts: Array, order: Array, starts: Array, rows: Array) -> int:
    """Groups members by key: groups by first appearance, members in their own order.

    Afterwards, for each g below the returned number of groups, ``order[starts[g]:starts[g + 1]]``
    are the members whose key is ``rows[g]``, ascending. What lies beyond in ``starts`` and ``rows``
    is not specified.

    Args:
        keys: (n,) int32, numbers of rows.
        counts: (at least 1 + the largest key,) int32, all 0; room to work in, all 0 again
            afterwards.
        order: (n,) int32, overwritten.
        starts: (n + 1,) int32, overwritten.
        rows: (n,) int32, overwritten.

    Returns:
        The number of groups.
    """
    members: dict[int, list[int]] = {}
    for m, key in enumerate(keys.tolist()):
        members.setdefault(key, []).append(m)
    starts[0] = 0
    for g, (key, group) in enumerate(members.items()):
        rows[g] = key
        starts[g + 1] = starts[g] + len(group)
        order[starts[g] : starts[g + 1]] = group
    return len(members)


def mask_seen(
    rows: Array, seen_indptr: Array, seen_items: Array, places: Array, scores: Array, valid: Array
) -> None:
    """Takes items that users have touched out of a shared block.

    ``scores[g, places[i]] = -inf`` for each item i in the block that user ``rows[g]`` has touched.

    Args:
        rows: (groups,) int32, users.
        seen_indptr: see above.
        seen_items: see above.
        places: (items,) int32, where an item lies in the block, -1 where it does not; no place
            twice.
        scores: (groups, s) float32 or float64; changed in place, other scores stay.
        valid: (groups,) int32, overwritten with the number of scores of a group that stay.
    """
    for g, row in enumerate(rows):
        seen = places[seen_items[seen_indptr[row] : seen_indptr[row + 1]]]
        seen = seen[seen >= 0]
        scores[g, seen] = -np.inf
        valid[g] = scores.shape[1] - len(seen)


def pick_unseen(
    users: Array, draws: Array, n_items: int, seen_indptr: Array, seen_items: Array, picked: Array
) -> None:
    """Picks for each pair the first of its draws that its user has not touched.

    If all were touched, the items after the last draw are tried in order, and after the last item
    the first (our choice: it ends, at the price that items after runs of touched ones are picked a
    little more often). A user who has touched every item gets the last draw.

    Args:
        users: (b,) int32.
        draws: (b, tries) int32, tries >= 1, items drawn at random.
        n_items: number of items.
        seen_indptr: see above.
        seen_items: see above.
        picked: (b,) int32, overwritten.
    """
    for m, user in enumerate(users):
        seen = seen_items[seen_indptr[user] : seen_indptr[user + 1]]
        after = (int(draws[m, -1]) + 1 + np.arange(n_items)) % n_items
        candidates = np.concatenate([draws[m], after])
        unseen = candidates[~np.isin(candidates, seen)]
        picked[m] = unseen[0] if len(unseen) else draws[m, -1]
