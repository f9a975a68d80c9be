"""One measurement, in a process of its own, on as many cores as it has threads."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.side_by_side.contender import Contender, Record, Setting

CHECKOUT = Path(__file__).parents[2]
POOLS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MINUTES = 20  # no measurement takes as long: one that does hangs


class MeasurementError(Exception):
    """A process that gave no measurement; its last words are the message."""


def run(part: str, row: str, setting: Setting) -> Record:
    """The record of the contender ``row`` of ``part``, measured in a new process.

    Raises:
        MeasurementError: it failed, or took longer than MINUTES.
    """
    environment = os.environ | dict.fromkeys(POOLS, str(setting.threads))
    command = [sys.executable, "-m", "benchmarks.side_by_side.worker", json.dumps([part, row, setting])]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        try:
            done = subprocess.run(
                command, env=environment, cwd=CHECKOUT, stdout=output, stderr=errors, timeout=60 * MINUTES
            )
        except subprocess.TimeoutExpired:
            raise MeasurementError(f"no answer after {MINUTES} minutes") from None
        output.seek(0)
        errors.seek(0)
        if done.returncode:
            words = errors.read().strip().splitlines() or [f"exit code {done.returncode}"]
            raise MeasurementError(words[-1])
        record: Record = json.loads(output.read().splitlines()[-1])
        return record


def measure(contender: Contender, setting: Setting) -> Record:
    """The contender's record, made in this process, with its peak of resident memory above its bare imports.

    A contender that does more than it is measured by says itself, as ``peak_bytes``, what its peak was.
    """
    pin(setting.threads)
    for name in contender.imports:
        importlib.import_module(name)
    imports = memory("VmRSS")
    record = contender.measure(setting)
    peak = record.setdefault("peak_bytes", memory("VmHWM"))
    return record | {"imports_bytes": imports, "above_imports_bytes": peak - imports}


def pin(threads: int) -> None:
    """Keeps this process on the first ``threads`` cores it may use, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def memory(field: str) -> int:
    """Bytes that Linux reports of this process: VmRSS, resident now, or VmHWM, at its peak; 0 on other systems.

    ``ru_maxrss`` would not do: it starts from the size of the process that this one was forked from.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return 1024 * int(lines[field].split()[0])
