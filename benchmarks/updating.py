"""What a run that learns on reaches, beside one trained anew on everything: quality and time, by the installed command.

    python benchmarks/updating.py TRAIN TEST [--part 0.2] [--seed 0] [--threads N] [--json] [-- SETTINGS]

Users and items drawn at random are hidden, so that about PART of TRAIN is theirs; a run is trained on the others, and
updated with the rest. Beside it: the run as it was, into which new users are folded when a list is asked for, and which
has no new items; the start of the update, not trained; and a run trained on all of TRAIN in the same budget. All are
evaluated on TEST. SETTINGS go to `sparserec train`. To hold out a part of TRAIN in place of TEST, as one should to
choose anything: `sparserec data split`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparserec_np.data.formats import read_interactions, write_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array
from sparserec_np.evaluation.evaluate import evaluate


def command() -> str:
    """The installed command, that beside this Python before others."""
    return shutil.which("sparserec", path=str(Path(sys.executable).parent)) or "sparserec"


def sparserec(*words: Any) -> tuple[dict[str, Any], float]:
    """What the command printed as JSON, and the seconds it took."""
    clock = time.perf_counter()
    done = subprocess.run(
        [command(), *map(str, words), "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout), time.perf_counter() - clock


@dataclass
class Served:
    """Ranks by the run as it is, through `sparserec recommend`: users it does not know are folded in.

    Attributes:
        run: the run directory.
        first: the interactions it was trained on.
        log: numbers the users and items of the evaluation.
    """

    run: Path
    first: Interactions
    log: Interactions

    def rank(self, users: Array, n: int, seen: Interactions) -> tuple[Array, Array]:
        """See ``sparserec_np.evaluation.ranker.Ranker``. Items that the run does not know are in no list."""
        known_users, known_items = (set(ids.tolist()) for ids in (self.first.user_ids, self.first.item_ids))
        requests: list[dict[str, Any]] = []
        places = []
        for place, user in enumerate(users.tolist()):
            own = seen.item_ids[seen.items[seen.indptr[user] : seen.indptr[user + 1]]].tolist()
            had = [item for item in own if item in known_items]
            name = self.log.user_ids[user].item()
            if name in known_users or had:
                requests.append({"user": name, "n": n} if name in known_users else {"items": had, "n": n})
                places.append(place)
        done = subprocess.run(
            [command(), "recommend", str(self.run), "-"],
            input="\n".join(map(json.dumps, requests)),
            capture_output=True,
            text=True,
            check=True,
        )
        items = np.full((len(users), n), -1, dtype=np.int32)
        for place, line in zip(places, done.stdout.splitlines(), strict=True):
            found = json.loads(line)["items"]
            items[place, : len(found)] = np.searchsorted(self.log.item_ids, found)
        return items, np.zeros(items.shape, dtype=np.float32)


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
        done = {"as it was, users folded in": (run, seconds)}
        for title, words in (
            (
                "rows solved for, no training",
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
        test, _ = read_interactions(given.test).aligned_to(log)
        for title, (made, seconds) in done.items():
            if made == run:
                found = evaluate(Served(run, first, log), test, log)
            else:
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
        print(f"{title:29s}" + "  ".join(f"{key} {value:.4g}" for key, value in row.items()))


if __name__ == "__main__":
    main()
