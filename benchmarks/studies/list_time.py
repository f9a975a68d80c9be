"""How long does one list take, one user at a time, beside dense peers in the same run?

    python -m benchmarks.studies.list_time RUN [--users 10000] [--columns 64] [--name NAME]
    [--page PAGE.md] [--json]

About 2 minutes for Gowalla. A list of 10 for users drawn at random, on one thread, seen items left
out: ``Recommender.recommend``, as trained and from an int8 export, and ``recommend_for_items`` of
what the same user had, as for somebody unknown; the product with a dense (items, columns) float32
table and ``argpartition``, as one writes it in NumPy; and ``recommend`` of implicit's matrix
factorisation, if implicit is installed. The peers' tables have normal values: their time does not
depend on the values, and equal scores, which would slow ``argpartition`` down, do not come up. They
take turns, a hundred users each. Then the seconds that a process needs to open each, its file and a
first list, and the memory that is resident then, above that of a bare Python: least of five.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

import sparserec_np
from benchmarks import machine
from benchmarks.arguments import add_page, parser_of
from benchmarks.data import as_matrix
from benchmarks.figures import table
from benchmarks.output import tell, write
from benchmarks.pages import page_of
from benchmarks.peers import implicit_model
from benchmarks.studies.start_up import START, begin
from benchmarks.timing import milliseconds
from sparserec_np.runtime import Array
from sparserec_np.serving.packing import pack, write_export

N = 10
TURN = 100
WARM = 50  # lists of each before the clock
OURS = "sparserec_np"
Way = Callable[[int], Any]


class Peers(NamedTuple):
    """What the dense peers are given.

    Attributes:
        log: what users had.
        users, items: (rows, columns) float32.
    """

    log: sparserec_np.Interactions
    users: Array
    items: Array


def our_ways(model: Any, path: str, small: str) -> dict[str, Way]:
    """Makes lists from the file as trained, from its int8 export, and of items alone."""
    one, other = (sparserec_np.Recommender.open(each) for each in (path, small))
    bounds = model.seen_indptr.tolist()
    had = [
        one.item_ids.of_rows(model.seen_items[a:b].tolist()) for a, b in zip(bounds, bounds[1:], strict=False)
    ]
    ids = [one.user_ids[row] for row in range(len(one.user_ids))]
    return {
        OURS: lambda row: one.recommend(ids[row], N),
        f"{OURS}, int8": lambda row: other.recommend(ids[row], N),
        f"{OURS}, recommend_for_items": lambda row: one.recommend_for_items(had[row], N),
    }


def dense_way(peers: Peers) -> Way:
    """Makes a product with the whole table, then the best of all scores."""
    log, users, items = peers

    def recommend(row: int) -> Any:
        scores = items @ users[row]
        scores[log.items[log.indptr[row] : log.indptr[row + 1]]] = -np.inf
        best = np.argpartition(scores, -N)[-N:]
        return best[np.argsort(-scores[best])]

    return recommend


def implicit_way(peers: Peers) -> Way:
    """Makes implicit's ``recommend`` for one user."""
    seen = as_matrix(peers.log)
    peer = implicit_model(peers.users, peers.items, threads=1)
    return lambda row: peer.recommend(row, seen[row], N=N, filter_already_liked_items=True)


def time_lists(ways: dict[str, Way], rows: Array) -> dict[str, dict[str, float]]:
    """Times lists in ms, p50 and p99, for each of ``ways``."""
    walls: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        for row in rows[:WARM].tolist():
            way(row)
    for start in range(0, len(rows), TURN):
        for name, way in ways.items():
            for row in rows[start : start + TURN].tolist():
                clock = time.perf_counter()
                way(row)
                walls[name].append(time.perf_counter() - clock)
    return {name: milliseconds(wall) for name, wall in walls.items()}


# ---- the start of a process

DENSE_START = """
import sys, time
clock = time.perf_counter()
import numpy as np
imported = time.perf_counter()
users, items, indptr, seen = (np.load(path) for path in sys.argv[1:5])
opened = time.perf_counter()
scores = items @ users[0]
scores[seen[indptr[0] : indptr[1]]] = -np.inf
best = np.argpartition(scores, -10)[-10:]
best = best[np.argsort(-scores[best])]
walls = [1000 * (imported - clock), 1000 * (opened - imported), 1000 * (time.perf_counter() - opened)]
"""
IMPLICIT_START = """
import os, sys, time
os.environ["OPENBLAS_NUM_THREADS"] = "1"
clock = time.perf_counter()
import numpy as np
from scipy.sparse import csr_matrix
from implicit.cpu.als import AlternatingLeastSquares
imported = time.perf_counter()
users, items, indptr, seen = (np.load(path) for path in sys.argv[1:5])
model = AlternatingLeastSquares(factors=users.shape[1], num_threads=1)
model.user_factors, model.item_factors = users, items
had = csr_matrix((np.ones(len(seen), np.float32), seen, indptr), shape=(len(users), len(items)))
opened = time.perf_counter()
model.recommend(0, had[0], N=10, filter_already_liked_items=True)
walls = [1000 * (imported - clock), 1000 * (opened - imported), 1000 * (time.perf_counter() - opened)]
"""


def time_starts(path: str, small: str, peers: Peers, folder: str) -> dict[str, dict[str, float]]:
    """Measures ms and resident bytes of the start of a process, for each way that has one."""
    files = []
    arrays = {"users": peers.users, "items": peers.items, "indptr": peers.log.indptr, "seen": peers.log.items}
    for name, array in arrays.items():
        files.append(os.path.join(folder, f"{name}.npy"))
        np.save(files[-1], array)
    codes = {
        OURS: (START, [path]),
        f"{OURS}, int8": (START, [small]),
        "dense NumPy": (DENSE_START, files),
        "implicit": (IMPLICIT_START, files),
    }
    if not _has_implicit():
        del codes["implicit"]
    _, bare, _ = begin("walls = [0]")
    found = {}
    for name, (code, given) in codes.items():
        walls, resident, _ = begin(code, *given)
        found[name] = {
            "import ms": walls[0],
            "open ms": walls[1],
            "first ms": walls[2],
            "resident": resident - bare,
        }
    return found


# ---- all of it


def _has_implicit() -> bool:
    return importlib.util.find_spec("implicit") is not None


def measure(run: str, users: int, columns: int) -> dict[str, Any]:
    """Measures all ways that are installed."""
    model = sparserec_np.load_model(run)
    log = sparserec_np.Interactions(model.seen_indptr, model.seen_items, model.user_ids, model.item_ids)
    rng = np.random.default_rng(0)
    sides = (rng.standard_normal((rows, columns), dtype=np.float32) for rows in (log.n_users, log.n_items))
    peers = Peers(log, *sides)
    drawn = rng.choice(np.flatnonzero(log.user_degrees), users)  # those without items have no list
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        small = os.path.join(folder, "int8")
        write_export(small, pack(model, "int8"))
        ways = our_ways(model, run, small) | {"dense NumPy": dense_way(peers)}
        if _has_implicit():
            ways["implicit"] = implicit_way(peers)
        lists = time_lists(ways, drawn)
        starts = time_starts(run, small, peers, folder)
    return {
        "model": model.metadata["model"],
        "dim": model.dim,
        "entries": sum(len(table.values) for table in (model.users, model.items)),
        "columns of peers": columns,
        "lists": lists,
        "starts": starts,
        "missing": [] if _has_implicit() else ["implicit"],
    }


def written(result: dict[str, Any]) -> str:
    """Writes what was measured as a table."""
    ours = result["lists"][OURS]
    head = [
        "",
        "p50, ms",
        "p99, ms",
        "p50, ours = 1",
        "import, ms",
        "open, ms",
        "first list, ms",
        "resident MB",
    ]
    rows = []
    for name, one in result["lists"].items():
        times = [f"{one['p50']:.3f}", f"{one['p99']:.3f}", f"{one['p50'] / ours['p50']:.1f}"]
        start = result["starts"].get(name)
        began = ["-"] * 4
        if start is not None:
            began = [f"{start[key]:.1f}" for key in ("import ms", "open ms", "first ms")]
            began.append(f"{start['resident'] / 1e6:.1f}")
        rows.append([name, *times, *began])
    rows += [[name, "not installed", *["-"] * 6] for name in result["missing"]]
    return table(head, rows)


def page(name: str, result: dict[str, Any]) -> str:
    """Writes the page of one run."""
    words = (
        f"A list of {N}, one user at a time on one thread, seen items left out: a {result['model']} of"
        f" {result['dim']:,} columns and {result['entries']:,} entries, beside full tables of"
        f" {result['columns of peers']} columns. The ways took turns in one run. Imports, the opening of a file, a"
        " first list and the memory that is resident then, above that of a bare Python, are those of processes of"
        " their own."
    )
    return page_of(f"One list: {name}", "list_time", [machine.describe(1)], words, [written(result)])


def main() -> None:
    """Measures and prints."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("run", help="a run directory or a model file")
    parser.add_argument("--users", type=int, default=10_000, help="lists to time")
    parser.add_argument("--columns", type=int, default=64, help="of the dense peers")
    add_page(parser)
    given = parser.parse_args()
    result = measure(given.run, given.users, given.columns)
    if given.page:
        write(given.page, page(given.name, result))
    tell(result, given.json, written)


if __name__ == "__main__":
    main()
