"""What a person sees of kernels that are compiled, and a second process that compiles them, too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sparserec_np import kernels
from sparserec_np.kernels.compiling import progress
from sparserec_np.machine.memory import available_bytes

LINE = 79  # columns
HELPER_BYTES = 1 << 30  # to be free for a second process, which takes some 300 MB


@contextmanager
def compile_line() -> Iterator[None]:
    """Shows on a terminal what is being compiled, on one line of stderr that goes again."""
    if not sys.stderr.isatty():
        yield
        return

    def tell(name: str) -> None:
        text = f"Compiling {name} ... (once, then it is kept)" if name else ""
        sys.stderr.write(f"\r{text[:LINE]:{LINE}}\r")
        sys.stderr.flush()

    progress.tell = tell
    try:
        yield
    finally:
        progress.tell = None


@contextmanager
def compiled_in_two_processes() -> Iterator[None]:
    """Has a second process compile a first training's kernels from the other end, while this one goes on.

    Only where nothing is compiled yet, and a core and memory are there for it. Whoever needs what
    the other is compiling waits for it, and reads it.
    """
    if not _is_worth_it():
        yield
        return
    command = [sys.executable, "-m", "sparserec_np.warmup"]
    try:
        helper = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError:  # no more processes: this one does without
        yield
        return
    try:
        yield
    finally:
        helper.terminate()
        helper.wait()


def _is_worth_it() -> bool:
    folder = kernels.compiled.CACHE_FOLDER  # loads Numba
    if folder.path is None or not folder.lasting:
        return False
    if any(name.endswith(".nbi") for name in os.listdir(folder.path)):
        return False
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    left = available_bytes()
    return cores > 1 and (left is None or left >= HELPER_BYTES)
