"""What does a run that learns on reach, and how fast, beside one trained anew on everything?

    python -m benchmarks.studies.updating TRAIN TEST [--part 0.2] [--seed 0] [--threads N] [--json]
    [-- SETTINGS]

About 2 minutes for LastFM. By the installed command. Users and items drawn at random are hidden, so
that about PART of TRAIN is theirs; a run is trained on the others, and updated with the rest.
Beside it: the run as it was, into which new users are folded when a list is asked for, and which
has no new items; the start of the update, not trained; and a run trained on all of TRAIN in the
same budget. All are evaluated on TEST. SETTINGS go to `sparserec train`. To hold out a part of
TRAIN in place of TEST, as one should to choose anything: `sparserec data split`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import sparserec_np
from benchmarks.arguments import parser_of
from benchmarks.installed import sparserec
from benchmarks.output import tell
from benchmarks.served_lists import ServedLists

Log = sparserec_np.Interactions
Rows = dict[str, dict[str, Any]]
AS_IT_WAS, ANEW = "as it was, users folded in", "trained anew on all"


def cut(log: Log, part: float, seed: int) -> tuple[Log, Log]:
    """Cuts off what is between known users and items, about 1 - ``part`` of all, from the rest."""
    rng = np.random.default_rng(seed)
    users, items = log.pair_users(), log.items
    known = np.ones(log.n_interactions, dtype=bool)
    for count, of_pair in ((log.n_users, users), (log.n_items, items)):
        known &= (rng.random(count) < np.sqrt(1 - part))[of_pair]
    first, rest = (
        sparserec_np.Interactions.from_pairs(log.user_ids[users[some]], log.item_ids[items[some]])
        for some in (known, ~known)
    )
    return first, rest


def train_all(given: argparse.Namespace, parts: dict[str, Log], folder: Path) -> tuple[Rows, int]:
    """Trains all rows: their run directories and seconds, and the entries that all have to keep to.

    Args:
        given: the settings.
        parts: the interactions called all, first and rest.
        folder: where files and runs are written.
    """
    for name, log in parts.items():
        sparserec_np.write_interactions(log, folder / f"{name}.csv")
    log, run, threads = parts["all"], folder / "run", ("--threads", given.threads)
    before = sparserec("train", folder / "first.csv", "-o", run, *threads, *given.settings)
    budget = before.report["budget"]
    same = budget / ((log.n_users + log.n_items) * before.report["dim"])
    update = ("update", run, folder / "rest.csv")
    rows: Rows = {AS_IT_WAS: {"run": run, "seconds": before.seconds}}
    for title, words in (
        ("rows solved for, no training", (*update, "--epochs", 0, "--validation", 0)),
        ("updated", update),
        (ANEW, ("train", folder / "all.csv", *given.settings, "--density", same)),
    ):
        made = folder / title.replace(" ", "-")
        done = sparserec(*words, "-o", made, *threads)
        if done.report["nnz"] > budget:
            sys.exit(f"{title}: {done.report['nnz']} entries in a budget of {budget}")
        rows[title] = {"run": made, "seconds": done.seconds}
    return rows, budget


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measures quality and seconds of each row."""
    log = sparserec_np.read_interactions(given.train)
    first, rest = cut(log, given.part, given.seed)
    test, _ = sparserec_np.read_interactions(given.test).aligned_to(log)
    with tempfile.TemporaryDirectory() as folder:
        rows, budget = train_all(given, {"all": log, "first": first, "rest": rest}, Path(folder))
        for title, row in rows.items():
            run = row.pop("run")
            if title == AS_IT_WAS:
                ranker = ServedLists(sparserec_np.Recommender.open(run), log)
                found = sparserec_np.evaluate(ranker, test, log)
            else:
                found = sparserec("evaluate", run, given.test).report
            row |= {key: found[key] for key in ("users", "recall@20", "ndcg@20")}
    for row in rows.values():
        row |= {f"{key} kept": row[key] / rows[ANEW][key] for key in ("ndcg@20", "seconds")}
    return {
        "first": first.n_interactions,
        "rest": rest.n_interactions,
        "entries": budget,
        "rows": rows,
        "new users": log.n_users - first.n_users,
        "new items": log.n_items - first.n_items,
    }


def written(report: dict[str, Any]) -> str:
    """Writes what the log is, and a line for each row."""
    about = (
        f"{report['first']:,} interactions, then {report['rest']:,} more, of {report['new users']:,} new"
        f" users and {report['new items']:,} new items among others; {report['entries']:,} entries"
    )
    rows = [
        f"{title:29s}" + "  ".join(f"{key} {value:.4g}" for key, value in row.items())
        for title, row in report["rows"].items()
    ]
    return "\n".join([about, *rows])


def main() -> None:
    """Trains, updates, evaluates, prints."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("train", help="the interactions to train on")
    parser.add_argument("test", help="the interactions to evaluate on")
    parser.add_argument("--part", type=float, default=0.2, help="of the interactions, to come later")
    parser.add_argument("--seed", type=int, default=0, help="of who and what is hidden")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("settings", nargs="*", help="of training, after --")
    given = parser.parse_args()
    tell(measure(given), given.json, written)


if __name__ == "__main__":
    main()
