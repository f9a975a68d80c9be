"""What is seen of compilation on a terminal, and when a second process takes part in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from cli import compiling
from cli.compiling import compile_line, compiled_in_two_processes
from sparserec_np.kernels.cache import CacheFolder
from sparserec_np.kernels.compiling import progress


@pytest.mark.parametrize("terminal", [True, False])
def test_a_line_on_a_terminal_says_what_is_compiled_and_goes(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(progress, "compiled", [])
    with compile_line():
        progress.begin("slopes.softmax_block")
        progress.end("slopes.softmax_block", 1.0)
    assert progress.tell is None
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.split("\r")
    assert ("Compiling slopes.softmax_block" in said.err) == terminal
    assert not terminal or lines[-2].strip() == "" and {len(line) for line in lines} == {0, 79}


class Folder:
    """A folder of kernels, two cores and memory, of which one may be missing."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self._patch = path, monkeypatch
        self.set(lasting=True, cores=2, memory=1 << 31)

    def set(self, lasting: bool = True, cores: int = 2, memory: int | None = 1 << 31) -> None:
        self._patch.setattr(compiling.kernels.compiled, "CACHE_FOLDER", CacheFolder(str(self.path), lasting))
        self._patch.setattr(compiling.os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
        self._patch.setattr(compiling, "available_bytes", lambda: memory)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(tmp_path, monkeypatch)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Mock:
    made = Mock()
    monkeypatch.setattr(subprocess, "Popen", made)
    return made


def test_a_second_process_compiles_while_nothing_is_there_and_ends_with_the_first(
    folder: Folder, started: Mock
) -> None:
    with compiled_in_two_processes():
        assert started.call_args.args[0][1:] == ["-m", "sparserec_np.warmup"]
        started.return_value.terminate.assert_not_called()
    started.return_value.terminate.assert_called_once()
    started.return_value.wait.assert_called_once()


@pytest.mark.parametrize("missing", [{"lasting": False}, {"cores": 1}, {"memory": 1 << 29}], ids=str)
def test_none_is_started_where_it_would_not_help(
    folder: Folder, started: Mock, missing: dict[str, int]
) -> None:
    folder.set(**missing)
    with compiled_in_two_processes():
        pass
    started.assert_not_called()


def test_none_is_started_where_kernels_are_there(folder: Folder, started: Mock) -> None:
    (folder.path / "updates.adam_alone-35.py311.nbi").touch()
    with compiled_in_two_processes():
        pass
    started.assert_not_called()


def test_where_it_cannot_be_started_the_first_does_without(folder: Folder, started: Mock) -> None:
    started.side_effect = OSError
    with compiled_in_two_processes():
        pass
