"""One measurement, in a process of its own, on as many cores as it has threads."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile

from benchmarks.machine import CHECKOUT
from benchmarks.processes import environment_for, memory, pin
from benchmarks.side_by_side.contender import Contender, Record, Setting

MINUTES = 20  # no measurement takes as long: one that does hangs


class MeasurementError(Exception):
    """A process that gave no measurement; its last words are the message."""


def run(part: str, row: str, setting: Setting) -> Record:
    """The record of the contender ``row`` of ``part``, measured in a new process.

    Raises:
        MeasurementError: it failed, or took longer than MINUTES.
    """
    command = [sys.executable, "-m", "benchmarks.side_by_side.worker", json.dumps([part, row, setting])]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        try:
            done = subprocess.run(
                command,
                env=environment_for(setting.threads),
                cwd=CHECKOUT,
                stdout=output,
                stderr=errors,
                timeout=60 * MINUTES,
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

    A contender that does more than it is measured by says itself, as ``peak_bytes``, what its peak
    was.
    """
    pin(setting.threads)
    for name in contender.imports:
        importlib.import_module(name)
    imports = memory("VmRSS")
    record = contender.measure(setting)
    peak = record.setdefault("peak_bytes", memory("VmHWM"))
    return record | {"imports_bytes": imports, "above_imports_bytes": peak - imports}
