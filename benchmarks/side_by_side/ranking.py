"""Seconds to list the best 20 of all items for every user, seen items left out."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import sparserec_np
from benchmarks.data import as_matrix
from benchmarks.figures import number, prose, spread, table
from benchmarks.peers import implicit_model
from benchmarks.processes import memory
from benchmarks.side_by_side import ours
from benchmarks.side_by_side.contender import IMPLICIT, NUMPY, OURS, Contender, Record, Setting
from benchmarks.side_by_side.epochs import megabytes
from benchmarks.timing import timed

TITLE = "Full ranking"
REPEAT = (3, 1)
N = 20
BLOCK = 512  # users whose scores NumPy holds at once


def prepare(setting: Setting) -> Record:
    """Trains the models and leaves their tables in the scratch folder; the dense one is what the peers are given."""
    log = sparserec_np.read_interactions(setting.train)
    for name, settings in ours.RANKED.items():
        if os.path.exists(factors_file(setting, name)):
            continue
        config = sparserec_np.Config(**settings, validation=0.0)
        fitted = sparserec_np.train(log, config, threads=setting.threads)
        served = fitted.model.served()
        np.savez(factors_file(setting, name), dim=fitted.model.dim, **served._asdict())
    return {}


def factors_file(setting: Setting, name: str) -> str:
    """Where :func:`prepare` leaves a model."""
    return os.path.join(setting.scratch, f"{name}.npz")


def load_factors(setting: Setting, name: str) -> tuple[Any, int]:
    """The stacked table of a model, and its dimension."""
    with np.load(factors_file(setting, name)) as arrays:
        parts = (arrays[field] for field in sparserec_np.SparseTable._fields)
        return sparserec_np.SparseTable(*parts), int(arrays["dim"])


def of_ours(name: str, checked: int, setting: Setting) -> Record:
    """Our exact lists; those of ``checked`` users have to be, bit for bit, those of the plain NumPy twin."""
    from sparserec_np.kernels.reference import ranking as twin
    from sparserec_np.models.table_ranker import table_ranker

    log = sparserec_np.read_interactions(setting.train)
    stacked, dim = load_factors(setting, name)
    everyone = np.arange(log.n_users, dtype=np.int32)
    table_ranker(stacked, log.n_users, dim).rank(everyone[:128], N, log)  # loads the kernel
    ranker = table_ranker(stacked, log.n_users, dim)
    (items, scores), clocks = clocked(lambda: ranker.rank(everyone, N, log))
    record = of_lists(clocks, items, log, setting)
    count = min(log.n_users, setting.pick(checked, checked // 5))
    some = np.sort(np.random.default_rng(0).choice(everyone, count, replace=False))
    plain_items, plain_scores = items[:count].copy(), scores[:count].copy()
    by_dimension = ranker.items_by_dimension
    twin.top_items(
        ranker.users, by_dimension, log.n_items, log.indptr, log.items, some, plain_items, plain_scores
    )
    if not (np.array_equal(items[some], plain_items) and np.array_equal(scores[some], plain_scores)):
        raise AssertionError("the lists are not those of the plain NumPy twin")
    digest = hashlib.sha256(items.tobytes() + scores.tobytes()).hexdigest()
    return record | {"checked": count, "sha256": digest}


def of_implicit(setting: Setting) -> Record:
    """One call of implicit's ``recommend`` for all users."""
    log = sparserec_np.read_interactions(setting.train)
    matrix = as_matrix(log)
    users, items = dense_factors(setting, log)
    model = implicit_model(users, items, setting.threads)
    everyone = np.arange(log.n_users)
    model.recommend(everyone[:128], matrix[:128], N=N)
    (found, _), clocks = clocked(
        lambda: model.recommend(everyone, matrix, N=N, filter_already_liked_items=True)
    )
    return of_lists(clocks, found, log, setting)


def of_numpy(setting: Setting) -> Record:
    """A product, seen items struck out, ``argpartition`` and a sort, for a block of users at a time."""
    log = sparserec_np.read_interactions(setting.train)
    users, items = dense_factors(setting, log)
    found = np.empty((log.n_users, N), dtype=np.int64)

    def rank(start: int, stop: int) -> None:
        scores = users[start:stop] @ items.T
        seen = slice(log.indptr[start], log.indptr[stop])
        owners = np.repeat(np.arange(stop - start), log.user_degrees[start:stop])
        scores[owners, log.items[seen]] = -np.inf
        best = np.argpartition(scores, -N, axis=1)[:, -N:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        found[start:stop] = np.take_along_axis(best, order, axis=1)

    rank(0, min(BLOCK, log.n_users))

    def rank_all() -> None:
        for start in range(0, log.n_users, BLOCK):
            rank(start, min(start + BLOCK, log.n_users))

    return of_lists(clocked(rank_all)[1], found, log, setting)


def clocked(action: Callable[[], Any]) -> tuple[Any, Record]:
    """Runs an action; returns its value, and seconds of wall and of all processors.

    Those of processors change less on a busy machine.
    """
    processors = time.process_time()
    found, seconds = timed(action)
    return found, {"seconds": seconds, "processor_seconds": time.process_time() - processors}


def dense_factors(setting: Setting, log: Any) -> tuple[Any, Any]:
    """Users' and items' factors of the dense model, float32: all entries are stored, row after row."""
    stacked, dim = load_factors(setting, "dense")
    full = stacked.values.reshape(-1, dim)
    return full[: log.n_users], full[log.n_users :]


def of_lists(clocks: Record, items: Any, log: Any, setting: Setting) -> Record:
    """Adds to the clocks the peak so far, and NDCG@20 on the test part: all should list the same."""
    from sparserec_np.evaluation.measuring import find_hits
    from sparserec_np.evaluation.metrics import ndcg

    peak = memory("VmHWM")  # what follows is not the contender's

    test, _ = sparserec_np.read_interactions(setting.test).aligned_to(log)
    users = np.flatnonzero(test.user_degrees).astype(np.int32)
    reached = ndcg(find_hits(items[users], users, test), test.user_degrees[users], N).mean()
    return clocks | {
        "users_per_second": log.n_users / clocks["seconds"],
        "ndcg@20": float(reached),
        "peak_bytes": peak,
    }


CONTENDERS = {
    "sparserec_np, dim 64, density 0.1": Contender(partial(of_ours, "sparse", 1000), OURS, ours=True),
    "sparserec_np, dim 64, density 1.0": Contender(partial(of_ours, "dense", 250), OURS, ours=True),
    "implicit, recommend, the same factors": Contender(of_implicit, IMPLICIT, needs="implicit"),
    "NumPy, product and argpartition, the same factors": Contender(of_numpy, NUMPY),
}


def section(runs: dict[str, list[Record]]) -> str:
    """The table, and how many lists were compared with the twin's."""
    rows, checks = [], []
    base = spread(one["seconds"] for one in next(iter(runs.values()))).median
    head = [
        "way",
        "s for all users",
        "users a second",
        "times as long as the first",
        "N@20",
        "MB above imports",
    ]
    clocked_all = all("processor_seconds" in one for records in runs.values() for one in records)
    for name, records in runs.items():
        seconds = spread(one["seconds"] for one in records)
        rate = spread(one["users_per_second"] for one in records).median
        ratio, ndcg = number(seconds.median / base), f"{records[0]['ndcg@20']:.4f}"
        rows.append([name, str(seconds), f"{rate:,.0f}", ratio, ndcg, megabytes(records)])
        if clocked_all:  # records of earlier commits do not say
            rows[-1].append(str(spread(one["processor_seconds"] for one in records)))
        if "checked" in records[0]:
            checks.append(f"{records[0]['checked']:,} users of {name}")
    words = (
        f"The best {N} of all items for every user. The lower three rank the same dense factors, trained for a few"
        " epochs; the first a sparse table of the same dimension, with entries and so scores of its own. Our lists are,"
        f" bit for bit, those of the plain NumPy twin, compared for {' and '.join(checks) or 'nobody'}."
    )
    return prose(words) + "\n\n" + table([*head, *(["s of processors"] if clocked_all else [])], rows)
