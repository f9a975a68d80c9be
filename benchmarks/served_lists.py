"""Lists as a Recommender makes them, for an evaluation whose rows are others than the model's."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

import sparserec_np
from sparserec_np.runtime import Array


@dataclass
class ServedLists:
    """A ranker by outside ids, which folds users in whom the model does not know.

    A user of whom the model knows neither the id nor any item has an empty list, and an item it
    does not know is in no list.

    Attributes:
        recommender: the model.
        log: numbers the users and items of the evaluation.
        walls: seconds of each list, appended to.
    """

    recommender: sparserec_np.Recommender
    log: sparserec_np.Interactions
    walls: list[float] = field(default_factory=list)

    def rank(self, users: Array, n: int, seen: sparserec_np.Interactions) -> tuple[Array, Array]:
        """Ranks as ``sparserec_np.evaluation.ranker.Ranker`` has it: items int32, then scores float32.

        Where a list ends early, items are -1 and scores -inf.
        """
        items = np.full((len(users), n), -1, dtype=np.int32)
        scores = np.full((len(users), n), -np.inf, dtype=np.float32)
        for place, row in enumerate(users.tolist()):
            user = self.log.user_ids[row].item()
            own = seen.item_ids[seen.items[seen.indptr[row] : seen.indptr[row + 1]]].tolist()
            had = [item for item in own if self.recommender.item_ids.find(item) is not None]
            folds_in = self.recommender.user_ids.find(user) is None
            if folds_in and not had:
                continue
            known, folded = self.recommender.recommend, self.recommender.recommend_for_items
            make, wanted = (folded, had) if folds_in else (known, user)
            begin = time.perf_counter()
            found = make(wanted, n)
            self.walls.append(time.perf_counter() - begin)
            items[place, : len(found.items)] = np.searchsorted(self.log.item_ids, found.items)
            scores[place, : len(found.items)] = found.scores
        return items, scores
