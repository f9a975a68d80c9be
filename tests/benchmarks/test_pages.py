"""What gave the figures of a page."""

from __future__ import annotations

import re
import sys

import pytest

from benchmarks import machine
from benchmarks.pages import command_line, provenance


def test_the_head_says_command_date_commit_and_machine() -> None:
    one = machine.describe(1)
    text = provenance("python -m x", [one, one, one | {"date": "2000-01-01", "threads": 2}])
    assert text.startswith("| | |\n|---|---|\n| command | `python -m x` |\n")
    for what in ("command", "date", "commit", "machine"):  # as every page of results must have it
        assert re.search(rf"^\| {what} \| \S.* \|$", text, flags=re.MULTILINE)
    assert f"| {one['date']}; 2000-01-01 |" in text  # each once
    assert "1 thread," in text and "2 threads," in text


def test_the_command_names_no_folder_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["x", "/home/ann/data/gowalla/train.txt.gz", "--name", "A b", "--threads", "2"]
    monkeypatch.setattr(sys, "argv", words)
    assert command_line("x") == "python -m benchmarks.studies.x gowalla/train.txt.gz --name 'A b' --threads 2"
