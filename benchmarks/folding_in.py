"""What a user folded in from their items gets, beside the same user trained in full.

    python benchmarks/folding_in.py TRAIN TEST [--hidden 300] [--epochs N --learning-rate X] [--json]

Users drawn at random are hidden, and a model is trained on the others; then each hidden user is folded in from their
train items and ranked for. A second model is trained on everybody. Both are evaluated on the hidden users' items in
TEST; an item that only hidden users have touched is unknown to the first model, and missed. To hold out a part of
TRAIN in place of TEST, as one should to choose anything: `sparserec data split`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field

import numpy as np

from sparserec_np.data.formats import read_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.runtime import Recommender
from sparserec_np.training.saving import served_model
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train


@dataclass
class ServedLists:
    """Ranks through a Recommender whose rows are not those of the evaluation: by outside ids, and timed.

    Attributes:
        recommender: the model.
        log: numbers the users and items of the evaluation.
        folds_in: whether users are folded in from their items, or have rows of their own.
        walls: seconds of each list, appended to.
    """

    recommender: Recommender
    log: Interactions
    folds_in: bool
    walls: list[float] = field(default_factory=list)

    def rank(self, users: Array, n: int, seen: Interactions) -> tuple[Array, Array]:
        """See ``sparserec_np.evaluation.ranker.Ranker``."""
        items = np.full((len(users), n), -1, dtype=np.int32)
        scores = np.full((len(users), n), -np.inf, dtype=np.float32)
        for place, user in enumerate(users.tolist()):
            own = seen.item_ids[seen.items[seen.indptr[user] : seen.indptr[user + 1]]].tolist()
            known = [item for item in own if self.recommender.item_ids.find(item) is not None]
            if self.folds_in and not known:
                continue
            begin = time.perf_counter()
            if self.folds_in:
                found = self.recommender.recommend_for_items(known, n)
            else:
                found = self.recommender.recommend(self.log.user_ids[user].item(), n)
            self.walls.append(time.perf_counter() - begin)
            items[place, : len(found.items)] = np.searchsorted(self.log.item_ids, found.items)
            scores[place, : len(found.items)] = found.scores
        return items, scores


def main() -> None:
    """Trains both, evaluates, prints."""
    parser = argparse.ArgumentParser(description="Users folded in, beside users trained in full.")
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--hidden", type=int, default=300, help="users to hide")
    parser.add_argument("--epochs", type=int, help="train for so many, with no validation part")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    log = read_interactions(given.train)
    test, _ = read_interactions(given.test).aligned_to(log)
    hidden = np.zeros(log.n_users, dtype=bool)
    hidden[np.random.default_rng(1).choice(log.n_users, given.hidden, replace=False)] = True
    settings = {} if given.epochs is None else {"epochs": given.epochs, "validation": 0.0}
    config = Config(learning_rate=given.learning_rate, **settings)
    others = ~hidden[log.pair_users()]
    less = Interactions.from_pairs(log.user_ids[log.pair_users()[others]], log.item_ids[log.items[others]])
    wanted = test.subset(hidden[test.pair_users()])
    report = {}
    for name, part in (("folded in", less), ("trained in full", log)):
        fitted = train(part, config, threads=given.threads)
        ranker = ServedLists(Recommender(served_model(fitted, part).encode()), log, part is less)
        found = evaluate(ranker, wanted, log)
        report[name] = {key: found[key] for key in ("users", "recall@20", "ndcg@20")}
        report[name] |= {f"ms p{q}": float(np.percentile(ranker.walls, q)) * 1000 for q in (50, 99)}
    one, other = report.values()
    report["kept"] = {key: one[key] / other[key] for key in ("recall@20", "ndcg@20")}
    if given.json:
        print(json.dumps(report))
        return
    for name, row in report.items():
        print(f"{name:16s}" + "  ".join(f"{key} {value:.4g}" for key, value in row.items()))


if __name__ == "__main__":
    main()
