"""``sparserec quickstart``: nothing to bring, and better than popularity."""

from __future__ import annotations

import json


def test_quickstart_goes_from_nothing_to_recommendations(installed):
    made = installed("quickstart", "--json")
    assert made.returncode == 0, made.stderr
    report = json.loads(made.stdout)
    assert report["recall@20"] > 1.5 * report["popularity_recall@20"] > 0
    assert len(set(report["recommended"])) == 5
    assert report["bytes"] < 0.2 * report["dense_bytes"]


def test_quickstart_keeps_the_run_where_told(run, tmp_path):
    made = run("quickstart", "-o", str(tmp_path / "run"))
    assert made.returncode == 0, made.stderr
    assert "Recall@20" in made.stdout
    assert run("inspect", str(tmp_path / "run")).returncode == 0
