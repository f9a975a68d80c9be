"""Measurements that are taken up again where they were stopped."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from benchmarks.cells import Cells, digest, finish


def test_a_measurement_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "new", threads=1)
    found = cells.make({"way": "one", "files": ("a", "b")}, lambda: {"ndcg": 0.5})
    assert (found["ndcg"], found["machine"]["threads"]) == (0.5, 1)
    again = Cells(tmp_path / "new", threads=2)
    assert again.make({"way": "one", "files": ["a", "b"]}, lambda: pytest.fail("made again")) == found
    again.make({"way": "two"}, lambda: {"ndcg": 0.6})
    lines = again.path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 and all(line.startswith('{"what": ') for line in lines)


def test_what_fails_is_not_kept(tmp_path: Path) -> None:
    cells = Cells(tmp_path, threads=1)
    cells.make({"way": "one"}, lambda: {"ndcg": 0.5})
    with pytest.raises(ZeroDivisionError):
        cells.make({"way": "two"}, lambda: {"ndcg": 1 / 0})
    assert [cell["what"] for cell in Cells(tmp_path, threads=1).all] == [{"way": "one"}]


def test_measurements_are_found_by_some_of_what_they_are_of(tmp_path: Path) -> None:
    cells = Cells(tmp_path, threads=1)
    for way, seed in (("one", 0), ("one", 1), ("two", 0)):
        cells.make({"way": way, "seed": seed}, lambda way=way: {"of": way})  # type: ignore[misc]
    assert [cell["of"] for cell in cells.of(seed=0)] == ["one", "two"]
    assert len(cells.of(way="one")) == 2 and cells.of(way="three") == []


def test_files_are_told_apart_by_their_content(tmp_path: Path) -> None:
    for name, text in (("a", "1 2"), ("b", "1 2"), ("c", "1 3")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    one, same, other = (digest(tmp_path / name) for name in "abc")
    assert one == same != other


def test_a_study_ends_with_the_page_and_the_cells_that_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells, page = Cells(tmp_path, threads=1), tmp_path / "page.md"

    def end(page: Path | None, as_json: bool) -> str:
        given = argparse.Namespace(page=page, json=as_json)
        finish(given, cells, lambda cells, path: f"{len(cells.all)} for {path.name}")
        return capsys.readouterr().out

    assert json.loads(end(page, True)) == [] and not page.exists()  # nothing to show
    cells.make({"way": "one"}, lambda: {"ndcg": 0.5})
    capsys.readouterr()
    assert end(None, False) == "" and not page.exists()
    assert json.loads(end(page, True)) == cells.all
    assert page.read_text(encoding="utf-8") == "1 for page.md"
