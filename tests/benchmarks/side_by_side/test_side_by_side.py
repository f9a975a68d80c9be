"""The command: small measurements in real processes, and input that it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.machine import CHECKOUT
from benchmarks.side_by_side import ours, ranking
from benchmarks.side_by_side.contender import Setting
from benchmarks.side_by_side.parts import PARTS
from benchmarks.side_by_side.processes import MeasurementError, run
from benchmarks.side_by_side.time_to_quality import seconds_to
from sparserec_np.data.formats import write_interactions
from sparserec_np.training.settings import Config
from tests.makers.small import needs_compiler, small_log


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    log = small_log()
    for name in ("train.txt", "test.txt"):
        write_interactions(log, tmp_path / name)
    paths = (str(tmp_path / name) for name in ("train.txt", "test.txt"))
    return Setting(*paths, threads=1, quick=True, scratch=str(tmp_path))


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "benchmarks.side_by_side", *map(str, arguments)]
    return subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True)


@pytest.mark.parametrize("table", [ours.EPOCHS, ours.QUALITY, ours.RANKED, ours.SCALED])
def test_our_settings_are_settings(table: dict[str, ours.Settings]) -> None:
    for settings in table.values():
        Config(**settings)


def test_names_of_rows_fit_into_a_table() -> None:
    rows = [row for part in PARTS.values() for row in part.contenders]
    assert len(rows) > 20
    assert not any("|" in row for row in rows)


def test_a_measurement_is_a_process_of_its_own(setting: Setting) -> None:
    ranking.prepare(setting)
    record = run("ranking", "NumPy, product and argpartition, the same factors", setting)
    assert record["seconds"] > 0
    assert record["ndcg@20"] == 0.0  # all test items are seen, and so are in no list
    if sys.platform == "linux":
        assert record["peak_bytes"] - record["imports_bytes"] == record["above_imports_bytes"] > 0


@needs_compiler
def test_our_lists_are_the_twins(setting: Setting) -> None:
    ranking.prepare(setting)
    records = [ranking.of_ours("sparse", 50, setting._replace(threads=threads)) for threads in (1, 2)]
    assert records[0]["checked"] == 10
    assert records[0]["sha256"] == records[1]["sha256"]


def test_a_measurement_that_fails_says_why(setting: Setting) -> None:
    with pytest.raises(MeasurementError, match=r"FileNotFoundError.*dense\.npz"):
        run("ranking", "NumPy, product and argpartition, the same factors", setting)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((), 2, "DATA is missing"),
        (("/no/such/folder",), 1, "must hold train.txt or train.txt.gz"),
        (("--quick", "--threads", "0"), 2, "--threads must be from 1"),
        (("--quick", "--parts", "nothing"), 2, "invalid choice"),
    ],
)
def test_bad_input_is_refused(arguments: tuple[str, ...], status: int, words: str, tmp_path: Path) -> None:
    done = command(*arguments, "-o", tmp_path / "out")
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_curve_reaches_a_goal_or_does_not() -> None:
    curve = [[1.0, 0.1], [2.0, 0.3], [3.0, 0.2]]
    assert seconds_to(curve, 0.2) == 2.0
    assert seconds_to(curve, 0.31) is None


@pytest.mark.slow
@needs_compiler
def test_a_quick_part_from_end_to_end(setting: Setting, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = command(tmp_path, "--quick", "--threads", "1", "--parts", "ranking", "-o", out)
    assert done.returncode == 0, done.stderr
    found = json.loads((out / f"{tmp_path.name}-side-by-side.json").read_text())
    rows = PARTS["ranking"].contenders
    assert sorted([*found["runs"]["ranking"], *found["missing"]["ranking"]]) == sorted(rows)
    assert "## Full ranking" in done.stdout
    assert done.stdout in (out / f"{tmp_path.name}-side-by-side.md").read_text()
