"""The command as a function: in this process, and as it is installed or lies in this checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from click.testing import CliRunner

from cli.main import main

ROOT = Path(__file__).resolve().parents[2]


def _command():
    """The console script beside this Python; where the project is not installed, the folder ``cli``."""
    script = shutil.which("sparserec", path=os.path.dirname(sys.executable))
    return [script] if script else [sys.executable, "-m", "cli"]


@pytest.fixture(autouse=True)
def threads_as_before():
    """A command may change their number for the rest of its process, which here is that of all tests."""
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


@pytest.fixture(scope="session")
def installed():
    """``installed("data", "describe", path, stdin=b"...")`` -> CompletedProcess with text output.

    For each command and each kind of refusal once: a process takes seconds to import Numba and to
    load kernels.
    """

    def call(*arguments, stdin=b"", timeout=300):
        done = subprocess.run(
            [*_command(), *map(str, arguments)],
            input=stdin,
            capture_output=True,
            timeout=timeout,
            cwd=ROOT,
            check=False,
        )
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done

    return call


@pytest.fixture(scope="session")
def run(installed):
    """The same in this process, where an error that is no refusal is raised. Plain kernels would take minutes here."""

    def call(*arguments, stdin=b""):
        before = os.getcwd()
        os.chdir(ROOT)
        try:
            done = CliRunner().invoke(main, [*map(str, arguments)], input=stdin, catch_exceptions=False)
        finally:
            os.chdir(before)
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    return installed if numba.config.DISABLE_JIT else call
