"""What does a user get who is folded in from their items, beside the same user trained in full?

    python -m benchmarks.studies.folding_in TRAIN TEST [--hidden 300] [--epochs N --learning-rate X]
    [--json]

About 2 minutes for LastFM. Users drawn at random are hidden, and a model is trained on the others;
then each hidden user is folded in from their train items and ranked for. A second model is trained
on everybody. Both are evaluated on the hidden users' items in TEST; an item that only hidden users
have touched is unknown to the first model, and missed. To hold out a part of TRAIN in place of
TEST, as one should to choose anything: `sparserec data split`.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import numpy as np

import sparserec_np
from benchmarks.arguments import parser_of
from benchmarks.output import tell
from benchmarks.served_lists import ServedLists
from benchmarks.timing import milliseconds


def measure(given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measures quality and ms of both, and what part of quality folding in keeps."""
    log = sparserec_np.read_interactions(given.train)
    test, _ = sparserec_np.read_interactions(given.test).aligned_to(log)
    hidden = np.zeros(log.n_users, dtype=bool)
    hidden[np.random.default_rng(1).choice(log.n_users, given.hidden, replace=False)] = True
    others = ~hidden[log.pair_users()]
    pairs = log.user_ids[log.pair_users()[others]], log.item_ids[log.items[others]]
    less = sparserec_np.Interactions.from_pairs(*pairs)
    wanted = test.subset(hidden[test.pair_users()])
    settings: dict[str, Any] = {} if given.epochs is None else {"epochs": given.epochs, "validation": 0.0}
    config = sparserec_np.Config(learning_rate=given.learning_rate, **settings)
    report = {}
    for name, part in (("folded in", less), ("trained in full", log)):
        with tempfile.TemporaryDirectory() as run:
            sparserec_np.save_run(run, sparserec_np.train(part, config, threads=given.threads), part)
            ranker = ServedLists(sparserec_np.Recommender.open(run), log)
            found = sparserec_np.evaluate(ranker, wanted, log)
        report[name] = {key: found[key] for key in ("users", "recall@20", "ndcg@20")}
        report[name] |= {f"ms {part}": wall for part, wall in milliseconds(ranker.walls).items()}
    one, other = report.values()
    return report | {"kept": {key: one[key] / other[key] for key in ("recall@20", "ndcg@20")}}


def written(report: dict[str, dict[str, float]]) -> str:
    """Writes a line for each way."""
    return "\n".join(
        f"{name:16s}" + "  ".join(f"{key} {value:.4g}" for key, value in row.items())
        for name, row in report.items()
    )


def main() -> None:
    """Trains both, evaluates, prints."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("train", help="the interactions to train on")
    parser.add_argument("test", help="the interactions to evaluate on")
    parser.add_argument("--hidden", type=int, default=300, help="users to hide")
    parser.add_argument("--epochs", type=int, help="train for so many, with no validation part")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    report = measure(given)
    tell(report, given.json, written)


if __name__ == "__main__":
    main()
