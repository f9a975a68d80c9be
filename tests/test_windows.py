"""Everything that a user does, without what Windows lacks; see ``tests.makers.windows``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lacks it already")
@pytest.mark.parametrize("where", [".", pytest.param("LONG", marks=pytest.mark.slow)])
def test_every_module_and_command_works_without_what_windows_lacks(where: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.makers.windows", where if where == "LONG" else str(tmp_path)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}
