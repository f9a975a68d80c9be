"""Rounds of gradients: points on the way, their means over seeds, and all of it on a small log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sparserec_np
from benchmarks.machine import CHECKOUT, describe
from benchmarks.studies.federated_rounds import DRAWN, WAYS, curves_of, learned, means, section
from tests.makers.small import small_log


def cell(way: str, seed: int, points: list[list[float]]) -> dict:
    """A measurement as it is kept."""
    what = {"data": "Some", "way": way, "seed": seed, "dim": 6, "entries": 120}
    return {"what": what, "points": points, "ndcg": points[-1][2], "machine": describe(1)}


def test_points_are_averaged_over_seeds() -> None:
    cells = [cell("start", seed, [[0, 100, 0.1], [10, 300, 0.2 + seed]]) for seed in (0, 1)]
    assert means(cells) == [[0, 100, 0.1], [10, 300, pytest.approx(0.7)]]
    over_rounds, over_bytes = (curves_of(cells, axis)[DRAWN.index("start")].points for axis in (0, 1))
    assert over_rounds == [(10, pytest.approx(0.7))]  # nothing before the first round
    assert over_bytes == [(0.1, 0.1), (0.3, pytest.approx(0.7))]
    written = section("Some", cells, ["one.png"])
    assert "means of 2 seeds" in written and "0.2000 to 1.2000" in written and "(one.png)" in written


def test_a_way_is_measured_as_it_goes() -> None:
    found = learned("start", small_log(), 0, 6, 100)
    rounds = [point[0] for point in found["points"]]
    assert rounds == [0, 1, 2, 5, 10, 20, 40] and found["passes"] == 44
    sent = [point[1] for point in found["points"]]
    assert sent == sorted(sent) and sent[-1] == found["bytes"]["up_median"] > sent[0] > 0
    assert found["points"][-1][2] == found["ndcg"]
    alone = learned("spectral", small_log(), 0, 6, 100)
    assert len(alone["points"]) == 1 and alone["points"][0][2] == pytest.approx(
        found["points"][0][2], abs=0.02
    )


@pytest.mark.slow
def test_all_of_it_on_a_small_log(tmp_path: Path) -> None:
    sparserec_np.write_interactions(small_log(), tmp_path / "log.csv")
    page = tmp_path / "page.md"
    command = [sys.executable, "-m", "benchmarks.studies.federated_rounds", str(tmp_path / "log.csv")]
    given = ["--folder", str(tmp_path), "--page", str(page), "--seeds", "1", "--dim", "6", "--entries", "100"]
    done = subprocess.run([*command, *given], capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert done.returncode == 0, done.stderr
    written = page.read_text()
    assert all(f"| {title} |" in written for title, _ in WAYS.values())
