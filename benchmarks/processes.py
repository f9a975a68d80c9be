"""Processes that measure: their threads, their cores and their memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

POOLS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def environment_for(threads: int) -> dict[str, str]:
    """Copies the environment of this process, with every pool of threads set to this size."""
    return os.environ | dict.fromkeys(POOLS, str(threads))


def run_module(module: str, words: Sequence[str], threads: int | None = None) -> str:
    """Runs ``python -m module words`` in this folder, and returns its standard output.

    Args:
        module, words: what is run.
        threads: the size of all its pools; None leaves them as the environment says.

    Raises:
        subprocess.CalledProcessError: it ended with another status than 0.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        env=None if threads is None else environment_for(threads),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def pin(threads: int) -> None:
    """Keeps this process on the first ``threads`` cores it may use, where systems can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def memory(field: str) -> int:
    """Reads bytes that Linux reports of this process; 0 on other systems, and for unknown fields.

    ``VmRSS`` is what is resident now, ``RssAnon`` the part of it that belongs to no file, ``VmHWM``
    the peak. ``ru_maxrss`` would not do for the peak: it starts from the size of the process that
    this one was forked from.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return 1024 * int(lines[field].split()[0]) if field in lines else 0


def peak_resident() -> int:
    """Reads the most memory this process has had resident, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return memory("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
