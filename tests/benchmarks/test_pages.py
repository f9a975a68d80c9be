"""Pages: their parts, and what gave the figures."""

from __future__ import annotations

import re
import sys

import pytest

from benchmarks import machine
from benchmarks.pages import command_line, page_of, provenance


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


def test_a_page_is_a_title_its_head_its_words_and_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--threads", "2"])
    one = machine.describe(1)
    text = page_of("A title", "some_study", [one], "word " * 30, ["| a |", "## b"])
    title, head, words, *parts = text.removesuffix("\n").split("\n\n")
    assert (title, parts) == ("# A title", ["| a |", "## b"]) and text.endswith("b\n")
    assert head == provenance("python -m benchmarks.studies.some_study --threads 2", [one])
    assert [len(line) <= 100 for line in words.splitlines()] == [True, True]
