"""From a file to lists: phases, the table, and all of it on a small log."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.data import generate_split
from benchmarks.machine import CHECKOUT
from benchmarks.studies.time_to_lists import ALS, Phases, written
from tests.makers.small import needs_compiler


class Owner:
    """Something with a method that takes a while."""

    def slow(self, value: int) -> int:
        time.sleep(0.01)
        return 2 * value

    def broken(self) -> None:
        raise ValueError


def test_calls_count_for_their_phase_while_they_are_watched() -> None:
    phases, owner, before = Phases(), Owner(), Owner.slow
    with phases.watching((Owner, "slow", "slow")):
        assert [owner.slow(value) for value in (1, 2)] == [2, 4]
    assert phases.seconds["slow"] >= 0.02
    assert Owner.slow is before
    with pytest.raises(ValueError), phases.watching((Owner, "broken", "broken"), (Owner, "slow", "slow")):
        owner.broken()
    assert Owner.slow is before and "broken" in phases.seconds


def test_the_table_shows_the_phases_there_are() -> None:
    def record(seconds: float, **phases: float) -> dict[str, Any]:
        figures = {"entries": 100, "bytes": 2000, "recall": 0.2, "ndcg": 0.1, "peak_bytes": 10**8}
        return {"seconds": seconds, "processor_seconds": 1.5, "phases": phases, **figures}

    ours = [record(1.0, read=0.1, vectors=0.6, rest=0.3), record(2.0, read=0.1, vectors=1.0, rest=0.9)]
    text = written({"64:100": ours, ALS: [record(3.0, read=0.5, iterations=2.5, rest=0.0)]}, "spectral")
    head, _, one, other = text.splitlines()
    assert head.split(" | ")[2:6] == ["s", "read", "vectors", "iterations"]
    assert one.startswith(
        "| fism, 64 columns, spectral | 100 | 1.50 (1.00 to 2.00) | 0.10 | 0.80 | - | 0.60 |"
    )
    assert other.endswith("| 0.50 | - | 2.50 | 0.00 | 1.50 | 0.2000 / 0.1000 | 2 | 100 |")


@pytest.mark.slow
@needs_compiler
def test_all_of_it_on_a_small_log(tmp_path: Path) -> None:
    generate_split(tmp_path / "data", 80, 60, 1500)
    files = [tmp_path / "data" / f"{name}.txt" for name in ("train", "test")]
    words = [*files, "--rows", "8:200", "--repeat", "1", "--start", "fitted", "--threads", "1", "--json"]
    words += ["--page", tmp_path / "page.md"]
    command = [sys.executable, "-m", "benchmarks.studies.time_to_lists", *map(str, words)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    (ours,) = found["8:200"]
    phases = ours["phases"]
    assert list(phases) == ["read", "vectors", "rotation", "pruning", "fit", "rest"]
    assert sum(phases.values()) == pytest.approx(ours["seconds"])
    assert all(seconds > 0 for seconds in phases.values())
    assert ours["entries"] == 200 and 0 < ours["ndcg"] <= 1
    assert (ALS in found) == (importlib.util.find_spec("implicit") is not None)
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| fism, 8 columns, fitted | 200 | " in page and "| command | `python -m " in page
