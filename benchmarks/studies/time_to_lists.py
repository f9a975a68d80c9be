"""How many seconds pass from reading a file until everybody can have a list, phase by phase, beside ALS?

    python -m benchmarks.studies.time_to_lists TRAIN TEST [--rows 512:453370 512:906740 1024:453370]
    [--start spectral] [--recency 0] [--repeat 3] [--name NAME] [--page PAGE.md] [--threads 2] [--json]

About 4 minutes for Gowalla. A row COLUMNS:ENTRIES is a fism that its start alone makes, without any
training: `sparserec_np.train` with 0 epochs on all of TRAIN. Beside it implicit's ALS with 64
factors and 15 iterations, if implicit is installed. Each measurement is a process of its own, on as
many cores as it has threads, and rows take turns. The clock runs from the start of reading to the
end of a first list; imports and the loading of compiled kernels are before it, and the look at TEST
is after it. Phases are those of the wall clock; what is left of the whole is "rest".
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import sparserec_np
from benchmarks import machine
from benchmarks.arguments import add_page, parser_of
from benchmarks.data import as_matrix
from benchmarks.figures import spread, table
from benchmarks.output import tell, write
from benchmarks.pages import page_of
from benchmarks.peers import als, dense_ranker, fit
from benchmarks.processes import peak_resident, pin, run_module
from benchmarks.side_by_side.ours import load_kernels

ALS = "implicit, ALS"
FACTORS, ITERATIONS = 64, 15
PHASES = ("read", "vectors", "rotation", "pruning", "fit", "iterations")
Record = dict[str, Any]


class Phases:
    """Wall seconds by phase.

    Attributes:
        seconds: by name, summed.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, action: Callable[..., Any]) -> Callable[..., Any]:
        """Returns ``action`` as one whose seconds count for a phase."""

        @functools.wraps(action)
        def call(*arguments: Any, **named: Any) -> Any:
            clock = time.perf_counter()
            try:
                return action(*arguments, **named)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - clock

        return call

    @contextmanager
    def watching(self, *places: tuple[Any, str, str]) -> Iterator[None]:
        """Counts the calls of functions for phases for a while; a place is an owner, a name and a phase."""
        before = [getattr(owner, name) for owner, name, _ in places]
        for (owner, name, phase), action in zip(places, before, strict=True):
            setattr(owner, name, self.timed(phase, action))
        try:
            yield
        finally:
            for (owner, name, _), action in zip(places, before, strict=True):
                setattr(owner, name, action)


# ---- one measurement, in a process of its own


def measure(row: str, train: str, test: str, options: dict[str, Any], threads: int) -> Record:
    """Measures a row: its phases, its quality and its memory. Options are start and recency."""
    pin(threads)
    phases = Phases()
    make = make_als if row == ALS else functools.partial(make_ours, row, options)
    clock = make(train, threads, phases)
    log, ranker, entries, size = clock["log"], clock["ranker"], clock["entries"], clock["bytes"]
    peak = peak_resident()  # what follows is not the row's
    tested, _ = sparserec_np.read_interactions(test).aligned_to(log)
    found = sparserec_np.evaluate(ranker(), tested, log)
    return {
        "seconds": clock["seconds"],
        "processor_seconds": clock["processor_seconds"],
        "phases": phases.seconds | {"rest": clock["seconds"] - sum(phases.seconds.values())},
        "entries": entries,
        "bytes": size,
        "recall": found["recall@20"],
        "ndcg": found["ndcg@20"],
        "peak_bytes": peak,
    }


def make_ours(row: str, options: dict[str, Any], train: str, threads: int, phases: Phases) -> Record:
    """Reads and makes a fism, and the first list of it."""
    from sparserec_np.factorization import own_share
    from sparserec_np.starts import items, spectral

    dim, entries = map(int, row.split(":"))
    settings: dict[str, Any] = {"model": "fism", "dim": dim, "epochs": 0} | options
    load_kernels(settings | {"dim": 32, "entries": 900, "recency": 0.0})  # of a log without an order
    config = sparserec_np.Config(**settings, entries=entries, validation=0.0)
    begin, processors = time.perf_counter(), time.process_time()
    log = phases.timed("read", sparserec_np.read_interactions)(train)
    with phases.watching(
        (spectral, "leading_right_vectors", "vectors"),
        (spectral.Spectral, "_rotate", "rotation"),
        (items, "prune_factors", "pruning"),
        (own_share.OwnShareFit, "__call__", "fit"),
    ):
        model = sparserec_np.train(log, config, threads=threads).model
    model.ranker().rank(log.pair_users()[:1], 20, log)
    clocks = _clocks(begin, processors)
    size = sum(array.nbytes for array in model.served()) + model.served_weights.nbytes
    return {**clocks, "log": log, "ranker": model.ranker, "entries": model.table.nnz, "bytes": size}


def make_als(train: str, threads: int, phases: Phases) -> Record:
    """Reads and fits implicit's ALS, and makes the first list of it."""
    from sparserec_np.machine.threads import one_blas_thread

    with one_blas_thread():  # implicit warns of others
        model = als(FACTORS, ITERATIONS, threads)
    begin, processors = time.perf_counter(), time.process_time()
    log = phases.timed("read", sparserec_np.read_interactions)(train)
    matrix = as_matrix(log)
    phases.timed("iterations", fit)(model, matrix)
    model.recommend(0, matrix[0], N=20)
    clocks = _clocks(begin, processors)
    users, items = model.user_factors, model.item_factors
    ranker = functools.partial(dense_ranker, users, items)
    entries = users.size + items.size
    return {**clocks, "log": log, "ranker": ranker, "entries": entries, "bytes": 4 * entries}


def _clocks(begin: float, processors: float) -> dict[str, float]:
    return {
        "seconds": time.perf_counter() - begin,
        "processor_seconds": time.process_time() - processors,
    }


# ---- the table


def measure_all(given: argparse.Namespace) -> dict[str, list[Record]]:
    """Measures all rows in turns, each in a process of its own; returns the records by row."""
    rows = [*given.rows, *([ALS] if importlib.util.find_spec("implicit") else [])]
    found: dict[str, list[Record]] = {row: [] for row in rows}
    for turn in range(given.repeat):
        for row, records in found.items():
            options = {"start": given.start, "recency": given.recency}
            words = json.dumps([row, given.train, given.test, options, given.threads])
            said = run_module("benchmarks.studies.time_to_lists", ["--one", words], given.threads)
            records.append(json.loads(said.splitlines()[-1]))
            print(f"{turn + 1}  {records[-1]['seconds']:7.2f} s  {row}", flush=True)
    return found


def written(found: dict[str, list[Record]], start: str) -> str:
    """Writes the records as a table; phases are medians."""
    named = [one for one in PHASES if any(one in some["phases"] for some in sum(found.values(), []))]
    head = ["way", "entries", "s", *named, "rest", "s of processors", "R@20 / N@20", "kB", "peak MB"]
    rows = []
    for row, records in found.items():
        first = records[0]
        name = f"{ALS}, {FACTORS} factors, {ITERATIONS} iterations"
        if row != ALS:
            name = f"fism, {int(row.split(':')[0]):,} columns, {start}"
        whole = str(spread(one["seconds"] for one in records))
        parts = [_median(records, phase) for phase in (*named, "rest")]
        processors = f"{spread(one['processor_seconds'] for one in records).median:.2f}"
        reached = f"{first['recall']:.4f} / {first['ndcg']:.4f}"
        sizes = [f"{first['bytes'] / 1000:,.0f}", f"{max(one['peak_bytes'] for one in records) / 1e6:.0f}"]
        rows.append([name, f"{first['entries']:,}", whole, *parts, processors, reached, *sizes])
    return table(head, rows)


def _median(records: list[Record], phase: str) -> str:
    seconds = [one["phases"][phase] for one in records if phase in one["phases"]]
    return f"{np.median(seconds):.2f}" if seconds else "-"


def page(name: str, text: str, about: dict[str, Any]) -> str:
    """Writes the page of one run."""
    words = (
        "Seconds from the start of reading the training file to the end of a first list, without any training; imports"
        " and compiled kernels were loaded before, and the test part was looked at afterwards. Each measurement is a"
        " process of its own and rows take turns: medians, with the least and the most behind them. kB are those of"
        " the tables as they lie in memory, with item weights."
    )
    return page_of(f"From a file to lists: {name}", "time_to_lists", [about], words, [text])


def main() -> None:
    """Measures, prints and writes the page."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("train", nargs="?", help="the interactions to read")
    parser.add_argument("test", nargs="?", help="the interactions to measure quality on")
    parser.add_argument("--rows", nargs="*", default=["512:453370", "512:906740", "1024:453370"])
    parser.add_argument("--start", default="spectral", help="spectral, fitted or neighbours")
    parser.add_argument("--recency", type=float, default=0.0, help="of users' rows")
    parser.add_argument("--repeat", type=int, default=3)
    add_page(parser)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(*json.loads(given.one))))
        return
    if not (given.train and given.test):
        parser.error("expected TRAIN and TEST")
    found = measure_all(given)
    text = written(found, given.start)
    if given.page:
        write(given.page, page(given.name, text, machine.describe(given.threads)))
    tell(found, given.json, lambda _: text)


if __name__ == "__main__":
    main()
