"""``sparserec report``: the page of finished runs in three grammars, and what is refused."""

from __future__ import annotations

import json

import pytest

from sparserec_np.training.run_directory import save_run
from tests.comparison.test_document import check
from tests.makers.trainings import KEPT, fit


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two run directories, one of several trainings."""
    folder = tmp_path_factory.mktemp("runs")
    save_run(folder / "one", fit(KEPT, epochs=3, learning_rate=None, validation=0.2), KEPT)
    save_run(folder / "other", fit(KEPT, method="static", epochs=2), KEPT)
    return folder / "one", folder / "other"


def test_the_page_of_runs(run, runs, tmp_path):
    done = run("report", *runs, "-o", tmp_path / "page.html")
    assert done.returncode == 0 and "2 runs" in done.stdout
    text = (tmp_path / "page.html").read_text()
    check(text)
    records = [json.loads(line) for line in (runs[0] / "metrics.jsonl").read_text().splitlines()]
    best = max(record.get("ndcg@20", 0) for record in records)
    assert f"{best:.4f}" in text and "drop_fraction 0.3" in text and "refit" in text


def test_curves_are_drawn_where_they_can_be(run, runs, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    run("report", *runs, "-o", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count("<svg") == 2 and ">one<" in text and ">other<" in text
    for module in ("run_report", "drawing"):
        monkeypatch.setattr(f"sparserec_np.comparison.{module}.can_draw", lambda: False)
    monkeypatch.setattr("cli.report.can_draw", lambda: False)
    done = run("report", *runs, "-o", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "matplotlib is not installed" in done.stderr and "<svg" not in text and "Trainings" in text


def test_the_same_as_tables_and_as_json(run, runs, tmp_path):
    for name in ("page.md", "page.json"):
        assert run("report", runs[0], "-o", tmp_path / name).returncode == 0
    assert (tmp_path / "page.md").read_text().startswith("# Run ")
    (told,) = json.loads((tmp_path / "page.json").read_text())["runs"]
    assert told["config"]["method"] == "sparserec" and told["model"]["nnz"] == 240
    assert [record["phase"] for record in told["history"]].count("refit") == 1 + max(
        record["epoch"] for record in told["history"] if record["phase"] == "refit"
    )


def test_refusals(run, runs, tmp_path):
    done = run("report", runs[0], "-o", tmp_path / "page.pdf")
    assert done.returncode == 2 and ".html, .md, .json" in done.stderr
    done = run("report", tmp_path, "-o", tmp_path / "page.html")
    assert done.returncode == 1 and "is no run directory" in done.stderr
    done = run("report", runs[0], "-o", tmp_path / "missing" / "page.html")
    assert done.returncode == 1 and "missing" in done.stderr
