"""What processes say of themselves, and how they are started."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from benchmarks.processes import POOLS, environment_for, memory, peak_resident, run_module


def test_every_pool_has_as_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = environment_for(3)
    assert {found[name] for name in POOLS} == {"3"}
    assert "PATH" in found


def test_a_module_runs_in_a_process_of_its_own() -> None:
    assert run_module("platform", []) == run_module("platform", [], threads=1)
    with pytest.raises(subprocess.CalledProcessError):
        run_module("no_such_module_of_anybody", [])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/self/status")
def test_memory_grows_with_what_is_held() -> None:
    before = memory("RssAnon")
    held = np.ones(8_000_000)
    assert memory("RssAnon") - before > 0.9 * held.nbytes
    assert memory("VmHWM") >= memory("VmRSS") >= memory("RssAnon")
    assert memory("NoSuchField") == 0


def test_a_peak_is_known_on_every_system(monkeypatch: pytest.MonkeyPatch) -> None:
    known = peak_resident()
    monkeypatch.setattr("benchmarks.processes.memory", lambda field: 0)
    assert peak_resident() == pytest.approx(known, rel=0.5)
