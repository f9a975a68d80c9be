"""Limits on memory: found, and refused in a sentence before libraries are loaded that would hang."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from sparserec_np.machine import limits
from sparserec_np.machine.limits import COMPILED, NUMPY, POOLS, Limit, hard_limits, make_room

CHECKOUT = Path(__file__).parents[2]


def limited(monkeypatch: pytest.MonkeyPatch, folder: Path, data: int = -1, groups: str = "") -> None:
    """Sets limits that are not those of this process."""
    known = {"RLIMIT_AS": 1, "RLIMIT_DATA": 2, "RLIM_INFINITY": -1}
    fake = SimpleNamespace(**known, getrlimit=lambda kind: (data if kind == 2 else -1, -1))
    monkeypatch.setattr(limits, "resource", fake)
    (folder / "own").write_text(groups)
    monkeypatch.setattr(limits, "OWN_CGROUPS", str(folder / "own"))
    monkeypatch.setattr(limits, "CGROUPS", str(folder))


def test_no_limit_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limited(monkeypatch, tmp_path, groups="0::/some/where\n")
    assert hard_limits() == []
    assert make_room(COMPILED) == ""


def test_a_system_without_limits_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limited(monkeypatch, tmp_path)
    monkeypatch.setattr(limits, "resource", None)
    monkeypatch.setattr(limits, "OWN_CGROUPS", str(tmp_path / "none"))
    assert hard_limits() == []


@pytest.mark.parametrize(
    ("groups", "name"),
    [
        ("0::/outer/inner\n", "outer/memory.max"),
        ("0::/not/there\n", "memory.max"),
        ("2:cpu:/\n4:memory:/box\n0::/\n", "memory/box/memory.limit_in_bytes"),
        ("4:memory:/box\n", "memory/memory.limit_in_bytes"),
    ],
)
def test_the_smallest_of_the_control_groups_counts(
    groups: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limited(monkeypatch, tmp_path, groups=groups)
    place = tmp_path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("300000000\n")
    (tmp_path / "outer/inner").mkdir(parents=True, exist_ok=True)
    (tmp_path / "outer/inner/memory.max").write_text("max\n")
    (tmp_path / "memory").mkdir(exist_ok=True)
    if "box" in name:
        (tmp_path / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert hard_limits() == [Limit("the control group of this process", 300_000_000)]


def test_one_thread_is_taken_where_there_is_no_room_for_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limited(monkeypatch, tmp_path, data=NUMPY.data[0])
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    assert make_room(NUMPY) == ""
    assert dict.fromkeys(POOLS, "1") == os.environ
    os.environ["OPENBLAS_NUM_THREADS"] = "3"  # which somebody has asked for
    assert "allows 66 MB of memory, and the libraries that this needs take about 158 MB on 3 threads" in (
        make_room(NUMPY)
    )
    os.environ.clear()
    assert "on 1 thread before any data is read; raise it" in make_room(COMPILED)


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits")
@pytest.mark.parametrize("megabytes", [30, 100, 130])
def test_a_low_limit_ends_in_a_sentence_and_at_once(megabytes: int) -> None:
    def lower() -> None:
        limits.resource.setrlimit(limits.resource.RLIMIT_DATA, (megabytes * 10**6,) * 2)

    clock = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "cli", "train", "none.csv", "-o", "nowhere"],
        cwd=CHECKOUT,
        preexec_fn=lower,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: RLIMIT_DATA (ulimit -d) allows {megabytes} MB of memory, and the")
    assert done.stderr.count("\n") == 1
    assert time.monotonic() - clock < 10
