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
    """What caught each fault, found in two interpreters at once with kernels as plain Python."""
    running = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "verify" / "mutants.py"), str(part), "2"],
            cwd=ROOT,
            env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for part in range(2)
    ]
    found: dict[str, str | None] = {}
    for process in running:
        said, wrong = process.communicate(timeout=600)
        assert process.returncode == 0, wrong
        found |= json.loads(said)
    return found


def test_the_list_is_long_and_names_nothing_twice() -> None:
    names = [*NOTHING, *(mutant.what for mutant in MUTANTS)]
    assert len(set(names)) == len(names) and len(MUTANTS) >= 50


@pytest.mark.parametrize("what", NOTHING)
def test_without_a_fault_nothing_is_caught(what: str, caught: dict[str, str | None]) -> None:
    assert caught[what] is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_the_fault_is_caught(mutant: Mutant, caught: dict[str, str | None]) -> None:
    assert mutant.old != mutant.new
    assert caught[mutant.what] is not None
