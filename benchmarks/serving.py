"""What serving costs: time of a list, beside dense peers in the same run; start-up, memory, and bytes of the file.

    python benchmarks/serving.py RUN [--test TEST] [--users 10000] [--json]

* **A list of 10** for users drawn at random, one at a time on one thread, seen items left out:
  ``Recommender.recommend``; the product with a dense (items, dim) float32 table and ``argpartition``, as one writes it
  in NumPy; and ``recommend`` of implicit's matrix factorisation, if implicit is installed. The peers' tables have the
  run's shape and normal values: their time does not depend on the values, and equal scores, which would slow
  ``argpartition`` down, do not come up. They take turns, a thousand users each.
* **Start**: wall of importing a copy of ``runtime.py``, opening the file and making the first list, in a process of its
  own, and its resident memory above that of a bare Python, beside what importing NumPy alone takes and the bytes of the
  file. Least of five.
* **Bytes** of the tables in each dtype beside a full float32 table, and what NDCG@20 is on TEST.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from sparserec_np import runtime
from sparserec_np.data.formats import read_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.models.table_ranker import TableRanker
from sparserec_np.runtime import Array, Recommender
from sparserec_np.serving.model_file import ServedModel, load_model, served_from
from sparserec_np.serving.packing import VALUES, count_tables, pack, write_export

N = 10
TURN = 1000

START = """
import time
begin = time.perf_counter()
import sys
from served import Recommender
imported = time.perf_counter()
recommender = Recommender.open(sys.argv[1])
opened = time.perf_counter()
recommender.recommend(recommender.user_ids[0], n=10)
done = time.perf_counter()
walls = [1000 * (imported - begin), 1000 * (opened - imported), 1000 * (done - opened)]
"""
REPORT = """
import json
with open("/proc/self/status") as stream:
    lines = dict(line.split(":") for line in stream)
print(json.dumps([walls, *(1024 * int(lines[name].split()[0]) for name in ("VmRSS", "VmHWM"))]))
"""


def our_way(model: ServedModel, path: str) -> Callable[[int], Any]:
    """``recommend`` from the file."""
    recommender = Recommender.open(path)
    ids = [recommender.user_ids[row] for row in range(model.users.rows)]
    return lambda row: recommender.recommend(ids[row], N)


def dense_way(model: ServedModel, users: Array, items: Array) -> Callable[[int], Any]:
    """A product with the whole table, then the best of all scores."""
    bounds, seen = model.seen_indptr, model.seen_items

    def recommend(row: int) -> Any:
        scores = items @ users[row]
        scores[seen[bounds[row] : bounds[row + 1]]] = -np.inf
        best = np.argpartition(scores, -N)[-N:]
        return best[np.argsort(-scores[best])]

    return recommend


def implicit_way(model: ServedModel, users: Array, items: Array) -> Callable[[int], Any] | None:
    """implicit's ``recommend`` for one user; None where implicit is not installed."""
    try:
        from implicit.cpu.als import AlternatingLeastSquares
    except ImportError:
        return None
    from scipy.sparse import csr_matrix

    ones = np.ones(len(model.seen_items), dtype=np.float32)
    shape = (model.users.rows, model.items.rows)
    seen = csr_matrix((ones, model.seen_items, model.seen_indptr), shape=shape)
    peer = AlternatingLeastSquares(factors=model.dim, num_threads=1)
    peer.user_factors, peer.item_factors = users, items
    return lambda row: peer.recommend(row, seen[row], N=N, filter_already_liked_items=True)


def time_lists(ways: dict[str, Callable[[int], Any]], rows: Array) -> dict[str, dict[str, float]]:
    """Milliseconds of a list, p50 and p99, for each of ``ways``."""
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
    return {
        name: {f"p{part}": float(np.percentile(wall, part)) * 1000 for part in (50, 99)}
        for name, wall in walls.items()
    }


def start_up(path: str) -> dict[str, float]:
    """Milliseconds and bytes of a process that imports the runtime alone, opens the file and makes a list."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(runtime.__file__, os.path.join(folder, "served.py"))

        def measure(code: str) -> list[Any]:
            done = [
                subprocess.run(
                    [sys.executable, "-c", code + REPORT, os.path.abspath(path)],
                    cwd=folder,
                    check=True,
                    capture_output=True,
                )
                for _ in range(5)
            ]
            found = [json.loads(one.stdout) for one in done]
            return [
                min((one[0] for one in found), key=sum),
                min(one[1] for one in found),
                min(one[2] for one in found),
            ]

        _, bare, bare_peak = measure("walls = [0]")
        _, numpy, _ = measure("import numpy; walls = [0]")
        walls, resident, peak = measure(START)
    return {
        "import ms": walls[0],
        "open ms": walls[1],
        "first list ms": walls[2],
        "together ms": sum(walls),
        "resident above bare Python": resident - bare,
        "of which NumPy": numpy - bare,
        "NumPy and the whole file": numpy - bare + os.path.getsize(runtime.locate(path)),
        "peak above bare Python": peak - bare_peak,
    }


def weigh(model: ServedModel, test_file: str | None) -> dict[str, dict[str, float]]:
    """Bytes of the file and of its tables for each dtype, and NDCG@20 where there is a test file."""
    seen = Interactions(model.seen_indptr, model.seen_items, model.user_ids, model.item_ids)
    test = read_interactions(test_file).aligned_to(seen)[0] if test_file else None

    def ndcg(one: ServedModel) -> dict[str, float]:
        if test is None:
            return {}
        return {"ndcg@20": evaluate(TableRanker(one.users, one.items, one.dim), test, seen)["ndcg@20"]}

    dense = 4 * model.dim * (model.users.rows + model.items.rows)
    found: dict[str, dict[str, float]] = {"full float32 table": {"table bytes": dense, "part": 1.0}}
    before = ndcg(model)
    with tempfile.TemporaryDirectory() as folder:
        for dtype in VALUES:
            artifact = pack(model, dtype)
            tables = count_tables(artifact)
            after = ndcg(served_from(artifact))
            found[dtype] = {
                "table bytes": tables,
                "part": tables / dense,
                "file bytes": write_export(os.path.join(folder, dtype), artifact),
                **after,
                **({"lost": 1 - after["ndcg@20"] / before["ndcg@20"]} if after else {}),
            }
    return found


def show(result: dict[str, Any]) -> None:
    """Prints the tables."""
    ours = result["lists"]["sparserec_np"]
    print(f"{'A list of 10, ms':24s}{'p50':>9s}{'p99':>9s}{'p50, ours = 1':>15s}{'p99, ours = 1':>15s}")
    for name, one in result["lists"].items():
        print(f"  {name:22s}{one['p50']:9.3f}{one['p99']:9.3f}", end="")
        print(f"{one['p50'] / ours['p50']:15.1f}{one['p99'] / ours['p99']:15.1f}")
    for name in result["missing"]:
        print(f"  {name:22s}  not installed")
    for path, one in result["start"].items():
        print(f"\nStart-up, {path}")
        for name, value in one.items():
            print(f"  {name:34s}" + (f"{value:9.1f}" if name.endswith("ms") else f"{value / 1e6:9.1f} MB"))
    print(f"\n{'Bytes':24s}{'tables':>12s}{'of full':>9s}{'file':>12s}{'NDCG@20':>9s}{'lost':>8s}")
    for name, one in result["bytes"].items():
        print(f"  {name:22s}{one['table bytes']:12,}{one['part']:9.2%}{one.get('file bytes', 0):12,}", end="")
        print(f"{one['ndcg@20']:9.4f}{one['lost']:8.2%}" if "lost" in one else "")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """All of it."""
    model = load_model(given.run)
    rng = np.random.default_rng(0)
    users, items = (
        rng.standard_normal((rows, model.dim), dtype=np.float32)
        for rows in (model.users.rows, model.items.rows)
    )
    peers = {
        "dense NumPy": dense_way(model, users, items),
        "implicit": implicit_way(model, users, items),
    }
    with tempfile.TemporaryDirectory() as folder:
        small = os.path.join(folder, "int8")
        write_export(small, pack(model, "int8"))
        ways = {"sparserec_np": our_way(model, given.run), "sparserec_np, int8": our_way(model, small)}
        ways |= {name: way for name, way in peers.items() if way is not None}
        return {
            "lists": time_lists(ways, rng.integers(0, model.users.rows, given.users)),
            "missing": [name for name, way in peers.items() if way is None],
            "start": {"float32 as trained": start_up(given.run), "int8 export": start_up(small)},
            "bytes": weigh(model, given.test),
        }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="What serving costs, beside dense peers.")
    parser.add_argument("run", help="a run directory or a model file")
    parser.add_argument("--test", help="interactions to measure NDCG@20 on")
    parser.add_argument("--users", type=int, default=10_000, help="lists to time")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    with threadpool_limits(1):
        result = measure(given)
    if given.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
