"""What the study of kills calls before, new and torn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies.kills import COMMANDS, ended, kept


def test_what_counts_are_contents_and_leftovers(tmp_path: Path) -> None:
    run = tmp_path / "x"
    (run / ".complete").mkdir(parents=True)
    (run / "config.json").write_text("old")
    (run / ".complete" / "config.json").write_text("new")  # renamed, and not yet moved
    (run / "metrics.jsonl").write_text('{"epoch": 0, "seconds": 1.5, "loss": 2}\n')
    found = kept(tmp_path)
    assert found.files == {"x/config.json": b"new", "x/metrics.jsonl": b": 2}\n"}
    assert found.others == ["x/.complete", "x/.complete/config.json"]


@pytest.mark.slow
def test_commands_that_are_killed_leave_one_or_the_other(tmp_path: Path) -> None:
    data, more, run, out = (tmp_path / name for name in ("data.csv", "more.csv", "run", "out/x"))
    for users, place in ((60, data), (70, more)):
        place.write_text(
            "".join(f"{user},{(user * 7 + k * k) % 40}\n" for user in range(users) for k in range(12))
        )
    lines = [line.format(data=data, more=more, run=run, out=out) for line in COMMANDS["data convert"]]
    counts = ended((lines[0], lines[1]), ["KILL", "TERM"], 3, np.random.default_rng(0), tmp_path)
    for found in counts:
        assert found["before"] + found["new"] == 3 and not found["torn"] and not found["left behind"]
