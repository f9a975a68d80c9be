"""What is noted of compilation, and turns at it where there can be none."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparserec_np.kernels import compiling
from sparserec_np.kernels.compiling import Progress, Turns


def test_the_innermost_kernel_is_told_and_all_are_noted() -> None:
    told: list[str] = []
    progress = Progress()
    progress.tell = told.append
    progress.begin("outer")
    progress.begin("inner")
    progress.end("inner", 0.5)
    progress.begin("read after all")
    progress.leave("read after all")
    progress.end("outer", 2.0)
    assert told == ["outer", "inner", "outer", "read after all", "outer", ""]
    assert progress.compiled == [("inner", 0.5), ("outer", 2.0)]


def test_what_failed_inside_is_left_with_what_is_around_it() -> None:
    progress = Progress()
    for name in ("outer", "failed"):
        progress.begin(name)
    progress.end("outer", 1.0)
    told: list[str] = []
    progress.tell = told.append
    progress.begin("next")
    progress.end("next", 1.0)
    assert told == ["next", ""]


def test_where_there_are_no_locks_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns()
    turns.take(str(tmp_path / "nothing"), "kernel")
    turns.give_back(str(tmp_path / "nothing"), "kernel")
    monkeypatch.setattr(compiling, "fcntl", None)
    turns.take(str(tmp_path / "nothing"), "kernel")
    turns.give_back(str(tmp_path / "nothing"), "kernel")


def test_a_turn_is_one_byte_of_a_file_that_stays_as_it_was(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "stamp"
    path.write_text("0.1.0")
    turns = Turns()
    turns.take(str(path), "one")
    turns.take(str(path), "other")
    turns.give_back(str(path), "one")
    turns.give_back(str(path), "other")
    assert path.read_text() == "0.1.0"
    assert compiling._place("one") != compiling._place("other")
    with path.open("r+") as stream:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
