"""The results file: it grows, is gone on with, and becomes Markdown that leaves nothing out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.side_by_side import machine, plots
from benchmarks.side_by_side.epochs import MASKED
from benchmarks.side_by_side.results import BEGIN, END, Results, write_between_marks

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
    [{"commit": "def5678"}, {"threads": 1}, {"processor": "another"}, {"commit": "abc1234 + changes"}],
)
def test_other_code_or_another_machine_starts_anew(results: Results, changes: dict[str, Any]) -> None:
    other = Results(results.path, about(**changes))
    assert other.take_up() == 0
    assert other.runs == {}


def test_markdown_names_what_is_missing_and_what_failed(results: Results) -> None:
    text = results.markdown({"epochs": "results/d-epochs.png"})
    row = next(line for line in text.splitlines() if line.startswith(f"| {OURS} |"))
    assert "3.00 (2.00 to 4.00)" in row
    assert "| 2 |" in row
    peer = next(line for line in text.splitlines() if line.startswith(f"| {PEER} |"))
    assert "| 2.00 |" in peer  # times as long
    assert f"* {MASKED}: torch is not installed." in text
    assert "* some way: FAILED, it fell" in text
    assert "![Training epochs](results/d-epochs.png)" in text
    assert "abc1234" in text
    assert "Quality over time" not in text  # nothing was measured


def test_results_replace_those_of_the_last_run(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    path.write_text(f"ours\n{BEGIN}\nold\n{END}\n")
    write_between_marks(path, "new")
    assert path.read_text() == f"ours\n{BEGIN}\nnew\n{END}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["RESULTS.md"]


def test_the_machine_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(json.dumps(machine.describe(1)))
    assert found["threads"] == 1
    assert found["versions"]["numpy"][0].isdigit()
    assert machine.package_version("no-such-package-of-anybody") == "missing"
    monkeypatch.setenv("PATH", "")
    assert machine.commit() == "unknown"


def test_there_are_no_pictures_without_matplotlib(monkeypatch: pytest.MonkeyPatch, results: Results) -> None:
    monkeypatch.setattr(plots.importlib.util, "find_spec", lambda name: None)
    assert plots.draw(results.runs, str(results.path)) == {}


def test_pictures_are_drawn(results: Results) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'sparserec_np[bench]'")
    curve = {"points": [[1.0, 0.1], [2.0, 0.2]]}
    runs = results.runs | {"time-to-quality": {"sparserec_np": [curve], "a peer": [curve]}}
    drawn = plots.draw(runs, str(results.path.parent / "d"))
    assert sorted(drawn) == ["epochs", "time-to-quality"]
    for path in drawn.values():
        assert Path(path).read_bytes().startswith(b"\x89PNG")
