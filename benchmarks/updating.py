"""What a run that learns on reaches, beside one trained anew on everything: quality and time, by the installed command.

    python benchmarks/updating.py TRAIN TEST [--part 0.2] [--seed 0] [--threads N] [--json] [-- SETTINGS]

Users and items drawn at random are hidden, so that about PART of TRAIN is theirs; a run is trained on the others, and
updated with the rest. Beside it: the same start without training (new users and items are folded in), and a run trained
on all of TRAIN in the same budget. All are evaluated on TEST. SETTINGS go to `sparserec train`. To hold out a part of
TRAIN in place of TEST, as one should to choose anything: `sparserec data split`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from sparserec_np.formats import read_interactions, write_interactions
from sparserec_np.interactions import Interactions


def sparserec(*words: Any) -> tuple[dict[str, Any], float]:
    """What the command printed as JSON, and the seconds it took."""
    script = shutil.which("sparserec", path=str(Path(sys.executable).parent)) or "sparserec"
    clock = time.perf_counter()
    done = subprocess.run([script, *map(str, words), "--json"], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout), time.perf_counter() - clock


def cut(log: Interactions, part: float, seed: int) -> tuple[Interactions, Interactions]:
    """What is between known users and known items, about 1 - ``part`` of all, and the rest."""
    rng = np.random.default_rng(seed)
    users, items = log.pair_users(), log.items
    known = np.ones(log.n_interactions, dtype=bool)
    for count, of_pair in ((log.n_users, users), (log.n_items, items)):
        known &= (rng.random(count) < np.sqrt(1 - part))[of_pair]
    first, rest = (
        Interactions.from_pairs(log.user_ids[users[some]], log.item_ids[items[some]])
        for some in (known, ~known)
    )
    return first, rest


def main() -> None:
    """Trains, updates, evaluates, prints."""
    parser = argparse.ArgumentParser(description="A run that learns on, beside one trained anew.")
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--part", type=float, default=0.2, help="of the interactions, to come later")
    parser.add_argument("--seed", type=int, default=0, help="of who and what is hidden")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("settings", nargs="*", help="of training, after --")
    given = parser.parse_args()
    log = read_interactions(given.train)
    first, rest = cut(log, given.part, given.seed)
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, some in (("all.csv", log), ("first.csv", first), ("rest.csv", rest)):
            write_interactions(some, folder / file)
        threads = ("--threads", given.threads)
        run, to = folder / "run", "-o"
        before, seconds = sparserec("train", folder / "first.csv", to, run, *threads, *given.settings)
        same = before["budget"] / ((log.n_users + log.n_items) * before["dim"])
        done = {"trained on the first part": (run, seconds)}
        for title, words in (
            (
                "folded in, not trained",
                ("update", run, folder / "rest.csv", "--epochs", 0, "--validation", 0),
            ),
            ("updated", ("update", run, folder / "rest.csv")),
            ("trained anew on all", ("train", folder / "all.csv", *given.settings, "--density", same)),
        ):
            made = folder / title.replace(" ", "-")
            report, seconds = sparserec(*words, to, made, *threads)
            if report["nnz"] > before["budget"]:
                sys.exit(f"{title}: {report['nnz']} entries in a budget of {before['budget']}")
            done[title] = made, seconds
        for title, (made, seconds) in done.items():
            found, _ = sparserec("evaluate", made, given.test)
            rows[title] = {key: found[key] for key in ("users", "recall@20", "ndcg@20")} | {
                "seconds": seconds
            }
    anew = rows["trained anew on all"]
    for row in rows.values():
        row |= {f"{key} kept": row[key] / anew[key] for key in ("ndcg@20", "seconds")}
    report = {
        "first": first.n_interactions,
        "rest": rest.n_interactions,
        "entries": before["budget"],
        "rows": rows,
    }
    report |= {"new users": log.n_users - first.n_users, "new items": log.n_items - first.n_items}
    if given.json:
        print(json.dumps(report))
        return
    print(
        f"{first.n_interactions:,} interactions, then {rest.n_interactions:,} more, of {report['new users']:,} new"
        f" users and {report['new items']:,} new items among others; {before['budget']:,} entries"
    )
    for title, row in rows.items():
        print(f"{title:26s}" + "  ".join(f"{key} {value:.4g}" for key, value in row.items()))


if __name__ == "__main__":
    main()
