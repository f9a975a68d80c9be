"""How long does one list take, one user at a time, beside dense peers in the same run?

    python -m benchmarks.studies.list_time RUN [--users 10000] [--json]

About 1 minute for Gowalla. A list of 10 for users drawn at random, on one thread, seen items left
out: ``Recommender.recommend``, as trained and from an int8 export; the product with a dense (items,
dim) float32 table and ``argpartition``, as one writes it in NumPy; and ``recommend`` of implicit's
matrix factorisation, if implicit is installed. The peers' tables have the run's shape and normal
values: their time does not depend on the values, and equal scores, which would slow
``argpartition`` down, do not come up. They take turns, a thousand users each.
"""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import sparserec_np
from benchmarks.arguments import parser_of
from benchmarks.data import as_matrix
from benchmarks.peers import implicit_model
from benchmarks.timing import milliseconds
from sparserec_np.runtime import Array
from sparserec_np.serving.model_file import ServedModel
from sparserec_np.serving.packing import pack, write_export

N = 10
TURN = 1000
Way = Callable[[int], Any]


def our_way(model: ServedModel, path: str) -> Way:
    """Makes ``recommend`` from the file."""
    recommender = sparserec_np.Recommender.open(path)
    ids = [recommender.user_ids[row] for row in range(model.users.rows)]
    return lambda row: recommender.recommend(ids[row], N)


def dense_way(model: ServedModel, users: Array, items: Array) -> Way:
    """Makes a product with the whole table, then the best of all scores."""
    bounds, seen = model.seen_indptr, model.seen_items

    def recommend(row: int) -> Any:
        scores = items @ users[row]
        scores[seen[bounds[row] : bounds[row + 1]]] = -np.inf
        best = np.argpartition(scores, -N)[-N:]
        return best[np.argsort(-scores[best])]

    return recommend


def implicit_way(model: ServedModel, users: Array, items: Array) -> Way:
    """Makes implicit's ``recommend`` for one user."""
    seen = as_matrix(
        sparserec_np.Interactions(model.seen_indptr, model.seen_items, model.user_ids, model.item_ids)
    )
    peer = implicit_model(users, items, threads=1)
    return lambda row: peer.recommend(row, seen[row], N=N, filter_already_liked_items=True)


def time_lists(ways: dict[str, Way], rows: Array) -> dict[str, dict[str, float]]:
    """Times lists in ms, p50 and p99, for each of ``ways``."""
    walls: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        for row in rows[:50].tolist():
            way(row)
    for start in range(0, len(rows), TURN):
        for name, way in ways.items():
            for row in rows[start : start + TURN].tolist():
                begin = time.perf_counter()
                way(row)
                walls[name].append(time.perf_counter() - begin)
    return {name: milliseconds(wall) for name, wall in walls.items()}


def measure(run: str, users: int) -> dict[str, Any]:
    """Times all ways that are installed."""
    model = sparserec_np.load_model(run)
    rng = np.random.default_rng(0)
    factors = [
        rng.standard_normal((rows, model.dim), dtype=np.float32)
        for rows in (model.users.rows, model.items.rows)
    ]
    has_implicit = importlib.util.find_spec("implicit") is not None
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        small = os.path.join(folder, "int8")
        write_export(small, pack(model, "int8"))
        ways = {
            "sparserec_np": our_way(model, run),
            "sparserec_np, int8": our_way(model, small),
            "dense NumPy": dense_way(model, *factors),
            **({"implicit": implicit_way(model, *factors)} if has_implicit else {}),
        }
        lists = time_lists(ways, rng.integers(0, model.users.rows, users))
    return {"lists": lists, "missing": [] if has_implicit else ["implicit"]}


def show(result: dict[str, Any]) -> None:
    """Prints the table."""
    ours = result["lists"]["sparserec_np"]
    print(f"{'A list of 10, ms':24s}{'p50':>9s}{'p99':>9s}{'p50, ours = 1':>15s}{'p99, ours = 1':>15s}")
    for name, one in result["lists"].items():
        print(f"  {name:22s}{one['p50']:9.3f}{one['p99']:9.3f}", end="")
        print(f"{one['p50'] / ours['p50']:15.1f}{one['p99'] / ours['p99']:15.1f}")
    for name in result["missing"]:
        print(f"  {name:22s}  not installed")


def main() -> None:
    """Measures and prints."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("run", help="a run directory or a model file")
    parser.add_argument("--users", type=int, default=10_000, help="lists to time")
    given = parser.parse_args()
    result = measure(given.run, given.users)
    if given.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
