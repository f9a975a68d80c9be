"""The installed command ``sparserec``, each call in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

REFUSED = 2  # exit code of a command that does not do what its options say


class RefusedError(Exception):
    """Options that the command refuses; its sentence has gone to standard error."""


class Done(NamedTuple):
    """A command that ended well.

    Attributes:
        report: the JSON it printed.
        seconds: of wall time.
        peak_bytes: the most memory it had resident, as the system says.
    """

    report: dict[str, Any]
    seconds: float
    peak_bytes: int


def sparserec(*words: object) -> Done:
    """Runs ``sparserec words --json``; leaves the program if it fails.

    The command beside this Python goes before others. What it says on standard error is let
    through.

    Raises:
        RefusedError: it refuses the options.
    """
    script = shutil.which("sparserec", path=str(Path(sys.executable).parent)) or "sparserec"
    command = [script, *map(str, words), "--json"]
    clock = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - clock
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode == REFUSED:
            raise RefusedError(f"sparserec {words[0]} refuses it")
        if process.returncode:
            raise SystemExit(f"Error: {' '.join(command)} ended with {process.returncode}")
        output.seek(0)
        report = json.load(output)
    return Done(report, seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
