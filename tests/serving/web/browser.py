"""Chromium without a window, where it is installed: a page's DOM once its scripts have run."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sparserec_np.serving.web.server import FolderServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium was not found on the path")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serves a folder on this machine, and gives the address."""
    with FolderServer(str(folder)).running() as address:
        yield address


def dump(address: str) -> str:
    """The page at an address as HTML, three seconds of its own time after it was loaded."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            str(CHROMIUM),
            *FLAGS,
            f"--user-data-dir={profile}",
            "--virtual-time-budget=3000",
            "--dump-dom",
            address,
        ]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
