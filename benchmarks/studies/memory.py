"""How much memory does a training run take at its peak, and what holds it?

    python -m benchmarks.studies.memory TRAIN [--dim 64] [--density 0.1] [--epochs 3] [--json]

About 3 minutes for Gowalla. The run is made twice. A process of its own says what the operating
system sees: resident memory after the imports, after the compiled kernels are loaded (by training
on a tiny data set), and at its peak. This process makes the same run under tracemalloc, which NumPy
reports its arrays to, and so knows the bytes held before each stage and the most held while it
lasts. The account of a stage is imports, kernels, what was held before, and what came on top; the
largest should be close to the peak. Run it a second time if kernels had to be compiled: compiling
takes far more memory than loading.

Exits with 1 if an array of (users + items) x dim elements is alive after the mask is made, or if
the account misses the peak by more than 15 %.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tracemalloc
from typing import Any

import sparserec_np
from benchmarks.arguments import parser_of
from benchmarks.processes import memory, peak_resident, run_module

TOLERANCE = 0.15


def options(given: argparse.Namespace) -> dict[str, Any]:
    """Picks the settings of the run."""
    return {
        "dim": given.dim,
        "density": given.density,
        "epochs": given.epochs,
        "learning_rate": given.learning_rate,
    }


def load_kernels(given: argparse.Namespace) -> None:
    """Runs everything the measured run runs, on next to nothing."""
    pairs = [(user, (user * 7 + step * step) % 50) for user in range(80) for step in range(8)]
    log = sparserec_np.Interactions.from_pairs(*zip(*pairs, strict=True))
    sparserec_np.train(log, sparserec_np.Config(**options(given) | {"epochs": 2}), threads=given.threads)


def make_run(given: argparse.Namespace, log: sparserec_np.Interactions, **watching: Any) -> Any:
    """Trains on the interactions with the settings of the study."""
    config = sparserec_np.Config(**options(given))
    return sparserec_np.train(log, config, threads=given.threads, **watching)


def seen_from_outside(given: argparse.Namespace) -> dict[str, int]:
    """Makes the run in this process, without tracemalloc: resident bytes on the way."""
    import scipy.sparse  # noqa: F401  # the start loads them, and imports are counted on their own
    import threadpoolctl  # noqa: F401

    import sparserec_np.data.formats
    import sparserec_np.training.train

    imports = memory("VmRSS")
    load_kernels(given)
    kernels = memory("VmRSS") - imports
    make_run(given, sparserec_np.read_interactions(given.train))
    return {"imports": imports, "compiled kernels": kernels, "peak": peak_resident()}


class Stages:
    """The stages of a run under tracemalloc: bytes held before, on top at the most, and after.

    Attributes:
        found: a row for each stage, in order.
    """

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self._before = tracemalloc.get_traced_memory()[0]

    def end(self, name: str) -> None:
        """Ends a stage; one of the same name as the last goes on with it."""
        held, most = tracemalloc.get_traced_memory()
        if self.found and self.found[-1]["stage"] == name:
            last = self.found[-1]
            last["on top"] = max(last["on top"], most - last["held before"])
        else:
            self.found.append({"stage": name, "held before": self._before, "on top": most - self._before})
        self.found[-1]["held after"] = self._before = held
        tracemalloc.reset_peak()


def seen_from_inside(given: argparse.Namespace) -> dict[str, Any]:
    """Makes the run in this process, under tracemalloc: stages, bytes by name, large arrays."""
    load_kernels(given)
    gc.collect()
    tracemalloc.start()
    large: dict[str, int] = {}
    alive: dict[str, int] = {}
    stages = Stages()
    log = sparserec_np.read_interactions(given.train)
    stages.end("reading")
    limit = (log.n_users + log.n_items) * given.dim

    def look(record: dict[str, Any]) -> None:
        second = "" if record["phase"] == "search" else "second "
        stages.end(f"{second}start" if record["epoch"] == 0 else f"{second}training")
        alive.clear()
        for trace in tracemalloc.take_snapshot().traces:
            place = trace.traceback[0]
            alive[place.filename] = alive.get(place.filename, 0) + trace.size
            # The pairs themselves may be more than the table's entries; they are no table.
            if trace.size >= limit and os.path.basename(place.filename) != "interactions.py":
                large[f"{place.filename}:{place.lineno}"] = trace.size
        tracemalloc.reset_peak()

    fitted = make_run(given, log, on_epoch=look)
    most = sorted(alive.items(), key=lambda one: -one[1])[:8]
    return {
        "stages": stages.found,
        "loop": fitted.bytes,
        "alive": {os.sep.join(name.split(os.sep)[-2:]): size for name, size in most},
        "large": large,
        "limit": limit,
    }


def report(outside: dict[str, int], inside: dict[str, Any]) -> dict[str, Any]:
    """Makes the account of the stage that needs the most, beside the peak."""
    fixed = outside["imports"] + outside["compiled kernels"]
    for one in inside["stages"]:
        one["account"] = fixed + one["held before"] + one["on top"]
    top = max(inside["stages"], key=lambda one: one["account"])
    account = {
        "imports": outside["imports"],
        "compiled kernels": outside["compiled kernels"],
        f"held before: {top['stage']}": top["held before"],
        f"on top of it: {top['stage']}": top["on top"],
    }
    total = sum(account.values())
    return {
        "account": account,
        "sum": total,
        "peak resident": outside["peak"],
        "ratio": total / outside["peak"],
        **inside,
    }


def show(result: dict[str, Any]) -> None:
    """Prints the tables, in MB of a million bytes."""

    def lines(title: str, rows: dict[str, int]) -> None:
        print(title)
        for name, value in rows.items():
            print(f"  {name:32s}{value / 1e6:9.1f}")

    lines("Account at the peak, MB", result["account"])
    lines("", {"sum": result["sum"], "peak resident": result["peak resident"]})
    print(f"  {'ratio':32s}{result['ratio']:9.2f}\n")
    names = ("held before", "on top", "held after", "account")
    print(f"{'Stage, MB':18s}" + "".join(f"{name:>13s}" for name in names))
    for one in result["stages"]:
        print(f"  {one['stage']:16s}" + "".join(f"{one[name] / 1e6:13.1f}" for name in names))
    lines("\nHeld by the loop, MB", result["loop"])
    lines("\nAlive after the last epoch, by where it was made, MB", result["alive"])
    print(f"\nArrays of {result['limit']:,} bytes or more alive after the mask is made: ", end="")
    print(", ".join(f"{place} ({size:,})" for place, size in result["large"].items()) or "none")


def main() -> int:
    """Runs both and prints the account."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("train", help="the interactions to train on")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--outside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.outside:
        print(json.dumps(seen_from_outside(given)))
        return 0
    # First, while this process is small: by ru_maxrss a peak starts from the parent's.
    outside = json.loads(run_module("benchmarks.studies.memory", [*sys.argv[1:], "--outside"]))
    result = report(outside, seen_from_inside(given))
    if given.json:
        print(json.dumps(result))
    else:
        show(result)
    return int(bool(result["large"]) or abs(result["ratio"] - 1) > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
