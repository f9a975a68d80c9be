"""The check of gradients can fail: it catches every one of a list of deliberate faults, and nothing without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.verify.mutants import MUTANTS, NOTHING, Mutant

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def caught() -> dict[str, str | None]:
    """What caught each fault, found in an interpreter of its own with kernels as plain Python."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "verify" / "mutants.py")],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str | None] = json.loads(done.stdout)
    return found


def test_the_list_is_long_and_names_nothing_twice() -> None:
    names = [mutant.what for mutant in NOTHING + MUTANTS]
    assert len(set(names)) == len(names) and len(MUTANTS) >= 50


@pytest.mark.parametrize("mutant", NOTHING, ids=lambda mutant: mutant.what)
def test_without_a_fault_nothing_is_caught(mutant: Mutant, caught: dict[str, str | None]) -> None:
    assert caught[mutant.what] is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_the_fault_is_caught(mutant: Mutant, caught: dict[str, str | None]) -> None:
    assert mutant.old != mutant.new
    assert caught[mutant.what] is not None
