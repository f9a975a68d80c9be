"""The loss of an export: lists of the exported file, against those of the model it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.evaluation.measuring import measure
from sparserec_np.runtime import Array, Artifact, Recommender
from sparserec_np.serving.model_file import ServedModel

K = 20  # length of the lists that are compared
METRICS = (f"recall@{K}", f"ndcg@{K}")
SAMPLED_USERS = 1000  # whose lists are compared: one by one, as a device makes them


def can_compare(model: ServedModel) -> bool:
    """Tells whether a model has users, and knows what they have seen: else there are no lists."""
    return model.has_seen and model.users.rows > 0


def compare_metrics(model: ServedModel, artifact: Artifact, test: Interactions) -> dict[str, Any]:
    """Evaluates a model, and the file exported of it, on a test part.

    Args:
        model: what was packed, but with its users and what they have seen; see ``can_compare``.
        artifact: what ``pack`` made of it. Where it holds no users, each is folded in from the
            items they have seen.
        test: interactions over the users and items of the model, one or more.

    Returns:
        ``measured_users``; by metric ``metrics_before``, ``metrics_after`` and ``lost``, the part
        of the one that the other lacks.
    """
    seen = model.seen
    before, after = (measure(ranker, test, seen, (K,)) for ranker in _rankers(model, artifact))
    return {
        "measured_users": int(before["users"]),
        "metrics_before": {name: before[name] for name in METRICS},
        "metrics_after": {name: after[name] for name in METRICS},
        "lost": {name: 1 - after[name] / before[name] if before[name] else 0.0 for name in METRICS},
    }


def compare_lists(model: ServedModel, artifact: Artifact) -> dict[str, Any]:
    """Compares lists of a model with those of the file exported of it, over a sample of users.

    Takes what ``compare_metrics`` takes. Returns ``measured_users`` and ``overlap@20``, the part
    of the lists' items that stays.
    """
    users, seen = np.arange(model.users.rows), model.seen
    if len(users) > SAMPLED_USERS:
        users = np.sort(np.random.default_rng(0).choice(users, SAMPLED_USERS, replace=False))
    n = min(K, model.items.rows)
    lists = [ranker.rank(users, n, seen)[0] for ranker in _rankers(model, artifact)]
    return {"measured_users": len(users), f"overlap@{K}": overlap(*lists)}


def _rankers(model: ServedModel, artifact: Artifact) -> tuple[DeviceRanker, DeviceRanker]:
    exported = Recommender(artifact)
    return (
        DeviceRanker(Recommender(model.encode())),
        DeviceRanker(exported, folds_in=not len(exported.user_ids)),
    )


@dataclass(frozen=True)
class DeviceRanker:
    """A ranker that works as a device does which holds the file: one user after another.

    Attributes:
        recommender: the file.
        folds_in: make each user's row from their seen items, as where the file holds no users.
    """

    recommender: Recommender
    folds_in: bool = False

    def rank(self, users: Array, n: int, seen: Interactions) -> tuple[Array, Array]:
        """Ranks ``users`` (m,): items (m, n) and scores (m, n); see ``evaluation.Ranker``."""
        items = np.full((len(users), n), -1, dtype=np.int32)
        scores = np.full((len(users), n), -np.inf, dtype=np.float32)
        for place, user in enumerate(users.tolist()):
            own = slice(seen.indptr[user], seen.indptr[user + 1])
            order = slice(None) if seen.times is None else np.argsort(seen.times[own], kind="stable")
            known = seen.item_ids[seen.items[own][order]].tolist()
            disliked = seen.item_ids[seen.disliked_by(user)].tolist()
            if not self.folds_in:
                found = self.recommender.recommend(
                    seen.user_ids[user], n, exclude=known + disliked, filter_seen=False
                )
            elif known:
                found = self.recommender.recommend_for_items(known, n, exclude=disliked)
            else:  # nothing to make a row from, and so no list
                continue
            rows = map(self.recommender.item_ids.find, found.items)
            items[place, : len(found.items)] = np.array(list(rows), dtype=np.int32)
            scores[place, : len(found.items)] = found.scores
        return items, scores


def overlap(one: Array, other: Array) -> float:
    """Measures which part of the items in lists ``one`` (m, n) is in ``other``, row by row.

    -1 is no item.

    >>> overlap(np.array([[1, 2], [3, -1]]), np.array([[2, 5], [3, -1]]))
    0.6666666666666666
    """
    shared = sum(np.intersect1d(a[a >= 0], b[b >= 0]).size for a, b in zip(one, other, strict=True))
    return float(shared / max(int(np.count_nonzero(one >= 0)), 1))
