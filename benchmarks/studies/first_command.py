"""How long does the first command take with nothing compiled, and which kernels does it compile?

    python -m benchmarks.studies.first_command [--before CHECKOUT] [--runs 5] [--json]

About 5 minutes with ``--before``. Wall and processor time (user and system, of all its processes) of
``sparserec quickstart`` on an empty folder of compiled kernels, and then of the same once more;
medians. Then one process on one core, which notes what it compiles, in seconds of processor time.
With ``--before`` the checkout of another version takes turns with this one.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.arguments import parser_of
from benchmarks.output import tell

HERE = Path(__file__).parents[2]
COMMAND = ["quickstart", "--json"]
# Runs the command, and prints what was compiled that no other kernel called: name, whether it was
# for all threads, and seconds.
NOTED = """
import json, os, sys, time
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
from numba.core import event
noted, begun = [], []
class Notes(event.Listener):
    def on_start(self, one):
        begun.append(time.thread_time())
    def on_end(self, one):
        seconds, kernel = time.thread_time() - begun.pop(), one.data["dispatcher"]
        if not begun:
            name = f"{kernel.py_func.__module__.split('.')[-1]}.{kernel.py_func.__name__}"
            noted.append([name, bool(kernel.targetoptions.get("parallel")), seconds])
event.register("numba:compile", Notes())
from cli.main import main
main(sys.argv[1:], standalone_mode=False)
print(json.dumps(noted))
"""


def timed(checkout: Path, folder: str) -> dict[str, float]:
    """Runs the command of a checkout with its kernels in ``folder``: wall and processor seconds."""
    clock = time.perf_counter()
    running = subprocess.Popen(
        [sys.executable, "-m", "cli", *COMMAND],
        cwd=checkout,
        env=environment(folder),
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(running.pid, 0)
    if status:
        raise RuntimeError(f"quickstart of {checkout} failed")
    return {"wall": time.perf_counter() - clock, "processor": usage.ru_utime + usage.ru_stime}


def compiled(checkout: Path, folder: str) -> list[list[Any]]:
    """Lists what the command of a checkout compiles: name, whether for all threads, seconds."""
    done = subprocess.run(
        [sys.executable, "-c", NOTED, *COMMAND],
        cwd=checkout,
        env=environment(folder),
        stdout=subprocess.PIPE,
        check=True,
    )
    found: list[list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return sorted(found, key=lambda one: -one[2])


def environment(folder: str) -> dict[str, str]:
    """Makes an environment in which compiled kernels are kept in a folder of their own."""
    return {**os.environ, "NUMBA_CACHE_DIR": folder, "PYTHONPATH": ""}


def measure(checkouts: dict[str, Path], runs: int) -> dict[str, Any]:
    """Measures each checkout, by its name, in turns."""
    times: dict[str, Any] = {name: {"first": [], "second": []} for name in checkouts}
    for _ in range(runs):
        for name, checkout in checkouts.items():
            with tempfile.TemporaryDirectory() as folder:
                for which in times[name].values():
                    which.append(timed(checkout, folder))
            print(name, times[name]["first"][-1], times[name]["second"][-1], file=sys.stderr)
    for name, checkout in checkouts.items():
        with tempfile.TemporaryDirectory() as folder:
            times[name]["kernels"] = compiled(checkout, folder)
    return times


def written(result: dict[str, Any]) -> str:
    """Writes the medians, and a line for each kernel."""
    lines = []
    for name, found in result.items():
        for which in ("first", "second"):
            walls, cpus = ([one[kind] for one in found[which]] for kind in ("wall", "processor"))
            lines.append(
                f"{name}, {which} run: {statistics.median(walls):.1f} s wall ({min(walls):.1f} to {max(walls):.1f}),"
                f" {statistics.median(cpus):.1f} s processor ({min(cpus):.1f} to {max(cpus):.1f})"
            )
        total = sum(seconds for _, _, seconds in found["kernels"])
        lines.append(f"{name}, compiled: {len(found['kernels'])} kernels, {total:.1f} s processor")
        lines += [
            f"  {kernel:36s} {'all threads' if shared else 'one thread':12s} {seconds:6.2f}"
            for kernel, shared, seconds in found["kernels"]
        ]
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("--before", type=Path, help="a checkout of another version")
    parser.add_argument("--runs", type=int, default=5, help="runs of each; by default 5")
    given = parser.parse_args()
    checkouts = {"before": given.before.resolve()} if given.before else {}
    tell(measure({**checkouts, "here": HERE}, given.runs), given.json, written)


if __name__ == "__main__":
    main()
