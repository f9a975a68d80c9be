"""Seconds of ``sparserec quickstart``: the first time, when every kernel is compiled, and afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from benchmarks.figures import spread, table
from benchmarks.machine import CHECKOUT
from benchmarks.side_by_side.contender import Contender, Record, Setting

TITLE = "The first command"
REPEAT = (2, 1)


def measure(setting: Setting) -> Record:
    """Wall seconds with an empty kernel cache, and the later ones' with the cache that the first has left."""
    command = [sys.executable, "-m", "cli", "quickstart", "--threads", str(setting.threads), "--json"]
    walls = []
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        for _ in range(setting.pick(4, 2)):
            clock = time.perf_counter()
            subprocess.run(command, env=environment, cwd=CHECKOUT, check=True, capture_output=True)
            walls.append(time.perf_counter() - clock)
    return {"cold": walls[0], "warm": walls[1:]}


CONTENDERS = {"sparserec quickstart": Contender(measure, ())}


def section(runs: dict[str, list[Record]]) -> str:
    """Two rows."""
    records = next(iter(runs.values()))
    cold = spread(one["cold"] for one in records)
    warm = spread(wall for one in records for wall in one["warm"])
    rows = [["the first, kernels compiled", str(cold)], ["afterwards", str(warm)]]
    return "Wall seconds of the whole process: data, training, evaluation and a list.\n\n" + table(
        ["sparserec quickstart", "s"], rows
    )
