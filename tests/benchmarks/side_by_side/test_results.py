"""The results file: it grows, is gone on with, and becomes Markdown that leaves nothing out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import machine, output
from benchmarks.side_by_side import pictures
from benchmarks.side_by_side.epochs import MASKED
from benchmarks.side_by_side.results import BEGIN, END, Results

OURS = "sparserec_np, BPR, 1 negative, SGD, density 0.1"
PEER = "implicit, BPR, 1 negative, full table"


def about(**changes: Any) -> dict[str, Any]:
    given = machine.describe(2) | {"commit": "abc1234"} | changes
    return {"data": "d", "users": 3, "items": 4, "interactions": 5, "command": "run it", "machine": given}


def record(seconds: float) -> dict[str, Any]:
    sizes = {"peak_bytes": 3_000_000, "imports_bytes": 1_000_000, "above_imports_bytes": 2_000_000}
    return {"seconds": seconds, "pairs_per_second": 1e6 / seconds, **sizes}


@pytest.fixture
def results(tmp_path: Path) -> Results:
    made = Results(tmp_path / "found.json", about())
    for seconds in (2.0, 4.0, 3.0):
        made.add("epochs", OURS, record(seconds))
    made.add("epochs", PEER, record(6.0))
    made.missing["epochs"] = {MASKED: "torch"}
    made.failed["ranking"] = {"some way": "it fell"}
    made.save()
    return made


def test_a_run_is_gone_on_with_on_another_day(results: Results) -> None:
    later = Results(results.path, about(date="2000-01-01"))
    assert later.take_up() == 4
    assert later.runs == results.runs
    assert later.done("epochs", OURS) == 3
    assert later.done("epochs", MASKED) == 0


@pytest.mark.parametrize(
    "changes",
    [{"commit": "def5678"}, {"threads": 1}, {"processor": "another"}, {"commit": "abc1234 with changes"}],
)
def test_other_code_or_another_machine_starts_anew(results: Results, changes: dict[str, Any]) -> None:
    other = Results(results.path, about(**changes))
    assert other.take_up() == 0
    assert other.runs == {}


def test_markdown_names_what_is_missing_and_what_failed(results: Results) -> None:
    text = results.markdown({"epochs": "d-epochs.png"})
    row = next(line for line in text.splitlines() if line.startswith(f"| {OURS} |"))
    assert "3.00 (2.00 to 4.00)" in row
    assert "| 2 |" in row
    peer = next(line for line in text.splitlines() if line.startswith(f"| {PEER} |"))
    assert "| 2.00 |" in peer  # times as long
    assert f"* {MASKED}: torch is not installed." in text
    assert "* some way: FAILED, it fell" in text
    assert "![Training epochs](d-epochs.png)" in text
    assert "abc1234" in text
    assert "Quality over time" not in text  # nothing was measured


def test_the_page_replaces_what_the_last_run_wrote(results: Results) -> None:
    page = results.path.with_suffix(".md")
    page.write_text(f"ours\n{BEGIN}\nold\n{END}\nmore of ours\n")
    where, text = results.write_page()
    assert where == page
    assert page.read_text() == f"ours\n{BEGIN}\n{text}\n{END}\nmore of ours\n"
    assert not list(page.parent.glob(".*"))


def test_what_is_read_is_what_was_saved(results: Results) -> None:
    again = Results.read(results.path)
    assert vars(again) == vars(results)


def test_there_are_no_pictures_without_matplotlib(monkeypatch: pytest.MonkeyPatch, results: Results) -> None:
    monkeypatch.setattr(output.importlib.util, "find_spec", lambda name: None)
    assert pictures.draw(results.runs, results.path) == {}


def test_pictures_are_drawn(results: Results) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'sparserec_np[bench]'")
    curve = {"points": [[1.0, 0.1], [2.0, 0.2]]}
    runs = results.runs | {"time-to-quality": {"sparserec_np": [curve], "a peer": [curve]}}
    drawn = pictures.draw(runs, results.path.parent / "d.1")
    assert {name: path.name for name, path in drawn.items()} == {
        "epochs": "d.1-epochs.png",
        "time-to-quality": "d.1-time-to-quality.png",
    }
    for path in drawn.values():
        assert path.read_bytes().startswith(b"\x89PNG")
