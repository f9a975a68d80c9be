"""The installed command, as benchmarks call it."""

from __future__ import annotations

from pathlib import Path

import pytest

import sparserec_np
from benchmarks.installed import sparserec
from tests.makers.small import small_log


def test_a_report_comes_with_seconds_and_memory(tmp_path: Path) -> None:
    log = small_log()
    sparserec_np.write_interactions(log, tmp_path / "log.csv")
    done = sparserec("data", "describe", tmp_path / "log.csv")
    assert done.report["users"] == log.n_users
    assert 0 < done.seconds < 60
    assert done.peak_bytes > 1_000_000


def test_a_command_that_fails_ends_the_program(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="data describe .* ended with 1"):
        sparserec("data", "describe", tmp_path / "none.csv")
    assert "none.csv" in capfd.readouterr().err
