"""Lists for every user of a model, in blocks or one by one, as an iterator."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.evaluation.ranker import Ranker
from sparserec_np.runtime import Recommendation, Recommender

BLOCK_PLACES = 1 << 18  # places of the lists that exist at once: some 30 MB

List = tuple[int | str, Recommendation]  # of the user with this outside id


class Part(NamedTuple):
    """One of several parts of all users, which together are everybody in the order of their rows.

    Attributes:
        number: from 1.
        of: how many parts there are.
    """

    number: int = 1
    of: int = 1

    def rows(self, users: int) -> range:
        """Returns the rows of its users.

        >>> [Part(number, 3).rows(10) for number in (1, 2, 3)]
        [range(0, 3), range(3, 6), range(6, 10)]
        """
        return range(users * (self.number - 1) // self.of, users * self.number // self.of)


EVERYBODY = Part()


def rank_everybody(ranker: Ranker, seen: Interactions, n: int, part: Part = EVERYBODY) -> Iterator[List]:
    """Ranks all users in blocks, and yields each user's ``n`` best items that are not in ``seen``.

    ``seen`` is over the users and items that ``ranker`` ranks, and tells their outside ids. Lists
    are shorter where fewer than ``n`` items are left. Those of a ``part`` of the users are the same
    as among all.
    """
    n = min(n, seen.n_items)
    block = max(1, BLOCK_PLACES // max(1, n))
    wanted = part.rows(seen.n_users)
    for start in wanted[::block]:
        rows = np.arange(start, min(start + block, wanted.stop))
        items, scores = ranker.rank(rows, n, seen)
        users, ids = seen.user_ids[rows].tolist(), seen.item_ids[items].tolist()
        lengths = (items >= 0).sum(axis=1).tolist()  # past the end of a list, ids and scores mean nothing
        for user, length, some, theirs in zip(users, lengths, ids, scores.tolist(), strict=True):
            yield user, Recommendation(some[:length], theirs[:length])


def recommend_to_everybody(
    recommender: Recommender, n: int, filter_seen: bool, part: Part = EVERYBODY
) -> Iterator[List]:
    """Yields the list of each user of a model file, or of a part of them, made with NumPy alone.

    The lists are those of :func:`rank_everybody`, and take longer.
    """
    for row in part.rows(len(recommender.user_ids)):
        user = recommender.user_ids[row]
        yield user, recommender.recommend(user, n, filter_seen=filter_seen)


def as_line(user: int | str, found: Recommendation) -> bytes:
    """Writes a user's list as a line of JSON, whose scores are finite."""
    return json.dumps({"user": user, **found._asdict()}).encode() + b"\n"


def lines_of(path: str, n: int, filter_seen: bool, part: Part) -> bytes:
    """Returns the lines of a part of the users of a model file, made with NumPy and the runtime alone.

    A worker far away calls it, part after part, and opens the file once.
    """
    lists = recommend_to_everybody(_opened(path), n, filter_seen, part)
    return b"".join(as_line(user, found) for user, found in lists)


@functools.lru_cache(maxsize=1)
def _opened(path: str) -> Recommender:
    return Recommender.open(path)


def with_strangers(
    lists: Iterator[List], recommender: Recommender, n: int, filter_seen: bool
) -> Iterator[List]:
    """Yields ``lists``, but of users without interactions those that ``recommender`` makes for them.

    Ranked like others, such users would get the items in the order of the table.
    """
    strangers = {recommender.user_ids[row] for row in recommender.strangers()}
    for user, found in lists:
        yield user, recommender.recommend(user, n, filter_seen=filter_seen) if user in strangers else found
