"""Ranking for users whom a model does not know, folded in from what they are known to have."""

from __future__ import annotations

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array
from sparserec_np.runtime import Recommender


class FoldedIn:
    """A ranker for users who are folded in, one by one, from items they have.

    Args:
        recommender: the model.
        item_ids: (n_items,) its items, sorted; numbers of items are places in it.
    """

    def __init__(self, recommender: Recommender, item_ids: Array) -> None:
        self._recommender, self._item_ids = recommender, item_ids

    def rank(self, users: Array, n: int, seen: Interactions) -> tuple[Array, Array]:
        """Ranks as ``Ranker.rank`` says; users are folded in from their items in ``seen``.

        Raises:
            ArtifactError: a model that folds nobody in.
        """
        items = np.full((len(users), n), -1, dtype=np.int32)
        scores = np.full((len(users), n), -np.inf, dtype=np.float32)
        for place, user in enumerate(np.asarray(users).tolist()):
            liked = seen.items[seen.indptr[user] : seen.indptr[user + 1]]
            disliked = self._item_ids[seen.disliked_by(user)].tolist()
            found = self._recommender.recommend_for_items(self._item_ids[liked].tolist(), n, exclude=disliked)
            items[place, : len(found.items)] = np.searchsorted(self._item_ids, found.items)
            scores[place, : len(found.items)] = found.scores
        return items, scores
