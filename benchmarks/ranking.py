"""What ranking all items for all users costs, beside dense peers in the same run.

    python benchmarks/ranking.py RUN [--repeats 5] [--json]

Lists of 20, seen items left out: those of ``restore(load_model(RUN)).ranker()``; the product of blocks of 1,024 users
with a dense (items, dim) float32 table and ``argpartition``, as one writes it in NumPy; and ``recommend`` of implicit's
matrix factorisation for all users at once, if implicit is installed. The peers' tables have the run's shape and
normal values: their time does not depend on the values. All use ``--threads`` threads and take turns; printed are the
least wall and the least processor time of the repeats, the latter being the one to trust on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array
from sparserec_np.serving.model_file import load_model
from sparserec_np.training.saving import restore

N = 20
BLOCK = 1024


def dense_way(users: Array, items: Array, seen: Interactions) -> Callable[[], Any]:
    """Products with the whole table, then the best of all scores."""

    def rank() -> None:
        for start in range(0, len(users), BLOCK):
            rows = np.arange(start, min(start + BLOCK, len(users)))
            scores = users[rows] @ items.T
            owners = np.repeat(rows - start, seen.user_degrees[rows])
            scores[owners, seen.items[seen.indptr[rows[0]] : seen.indptr[rows[-1] + 1]]] = -np.inf
            best = np.argpartition(scores, -N, axis=1)[:, -N:]
            order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
            np.take_along_axis(best, order, axis=1)

    return rank


def implicit_way(users: Array, items: Array, seen: Interactions, threads: int) -> Callable[[], Any] | None:
    """implicit's ``recommend`` for all users; None where implicit is not installed."""
    try:
        from implicit.cpu.als import AlternatingLeastSquares
    except ImportError:
        return None
    from scipy.sparse import csr_matrix

    ones = np.ones(seen.n_interactions, dtype=np.float32)
    matrix = csr_matrix((ones, seen.items, seen.indptr), shape=(seen.n_users, seen.n_items))
    peer = AlternatingLeastSquares(factors=users.shape[1], num_threads=threads)
    peer.user_factors, peer.item_factors = users, items
    everybody = np.arange(len(users))
    return lambda: peer.recommend(everybody, matrix, N=N, filter_already_liked_items=True)


def main() -> None:
    """Measures and prints; see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--threads", type=int, default=min(len(os.sched_getaffinity(0)), numba.get_num_threads())
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    numba.set_num_threads(options.threads)
    model = load_model(options.run)
    seen = Interactions(model.seen_indptr, model.seen_items, model.user_ids, model.item_ids)
    ranker = restore(model).ranker()
    everybody = np.arange(seen.n_users, dtype=np.int32)
    random = np.random.default_rng(0)
    users, items = (
        random.standard_normal((n, model.dim), dtype=np.float32) for n in (seen.n_users, seen.n_items)
    )
    ways = {
        "sparserec_np": lambda: ranker.rank(everybody, N, seen),
        "NumPy": dense_way(users, items, seen),
        "implicit": implicit_way(users, items, seen, options.threads),
    }
    found: dict[str, dict[str, float]] = {}
    with threadpool_limits(options.threads):
        ranker.rank(everybody[:10], N, seen)
        for _ in range(options.repeats):
            for name, way in ways.items():
                if way is None:
                    continue
                wall, processor = time.perf_counter(), time.process_time()
                way()
                taken = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
                known = found.setdefault(name, taken)
                found[name] = {clock: min(known[clock], taken[clock]) for clock in taken}
    if options.json:
        print(json.dumps({"threads": options.threads, "seconds": found}))
        return
    print(f"{seen.n_users:,} users, {seen.n_items:,} items, dim {model.dim}, {options.threads} threads")
    for name, seconds in found.items():
        print(f"{name:13} wall {seconds['wall']:6.3f} s   processor {seconds['processor']:6.3f} s")


if __name__ == "__main__":
    main()
