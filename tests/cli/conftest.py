"""The installed command, or the one in this checkout, as a function."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _command():
    """The console script beside this Python; where the project is not installed, the folder ``cli``."""
    script = shutil.which("sparserec", path=os.path.dirname(sys.executable))
    return [script] if script else [sys.executable, "-m", "cli"]


@pytest.fixture
def run():
    """``run("data", "describe", path, stdin=b"...")`` -> CompletedProcess with text output."""

    def call(*arguments, stdin=b"", timeout=300, env=None):
        done = subprocess.run(
            [*_command(), *map(str, arguments)],
            input=stdin,
            capture_output=True,
            timeout=timeout,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            check=False,
        )
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done

    return call
