"""Cross-validation beside honest splits: the folds, the table, and all of it on a small log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.machine import CHECKOUT
from benchmarks.studies.cross_validation import DEALT, folds_of, pairs_of, written
from sparserec_np import generate, write_interactions
from tests.makers.small import needs_compiler, small_log

pytest.importorskip("pandas")


@pytest.mark.parametrize("how", DEALT)
def test_folds_hold_out_every_row_once(how: str) -> None:
    pairs = pairs_of(small_log())
    folds = folds_of(pairs, how, 4, 0)
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(len(pairs)))
    for kept, held_out in folds:
        assert sorted([*kept, *held_out]) == list(range(len(pairs)))
    of_user = [np.unique(pairs[held_out, 0], return_counts=True) for _, held_out in folds]
    counts = {
        user: [dict(zip(*one, strict=True)).get(user, 0) for one in of_user] for user in set(pairs[:, 0])
    }
    assert all(max(count) - min(count) < 2 for count in counts.values()) == (how == "user by user")
    assert not np.array_equal(folds[0][1], folds_of(pairs, how, 4, 1)[0][1])


def test_pairs_stand_in_the_order_of_rows() -> None:
    log = small_log()
    pairs = [tuple(pair) for pair in pairs_of(log).tolist()]
    assert pairs == list(log) and len(set(pairs)) == log.n_interactions


def test_the_table_shows_differences() -> None:
    row = {"form": "pairs", "dealt": "all alike", "honest": [0.1, 0.3], "on the first folds": 0.1}
    other = {"form": "frame", "dealt": "user by user", "honest": [0.2], "on the first folds": 0.21}
    found = {"rows": [row | {"crossed": [0.2, 0.22]}, other | {"crossed": [0.18]}], "rows of a matrix": None}
    text = written(found)
    assert "| 0.2000 (0.1000 to 0.3000) | 0 | `KFold` | 0.2100 (0.2000 to 0.2200) | +5.00 % |" in text
    assert "| 1e-02 | `InteractionKFold` | 0.1800 (0.1800 to 0.1800) | -10.00 % |" in text
    assert text.endswith("\n\n> NOT REFUSED.")
    lines = written(found | {"rows of a matrix": "Split pairs. " * 20}).splitlines()[-3:]
    assert all(line.startswith("> ") and len(line) <= 100 for line in lines)


@needs_compiler
def test_cross_validation_agrees_with_honest_splits(tmp_path: Path) -> None:
    write_interactions(generate(500, 120, 12_000, groups=5, seed=1), tmp_path / "log.csv")
    words = [str(tmp_path / "log.csv"), "--dim", "16", "--folds", "3", "--draws", "4", "--epochs", "1"]
    words += ["--page", str(tmp_path / "page.md"), "--name", "Generated", "--json"]
    command = [sys.executable, "-m", "benchmarks.studies.cross_validation", *words]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [row["form"] for row in found["rows"]] == ["pairs", "frame", "Interactions"] * 2
    for row in found["rows"]:
        assert row["on the first folds"] == pytest.approx(row["honest"][0], abs=1e-12)
        assert np.mean(row["crossed"]) == pytest.approx(np.mean(row["honest"]), rel=0.02)
        assert len(set(row["crossed"])) == 4
    assert "split pairs, not rows" in found["rows of a matrix"]
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert page.startswith("# Cross-validation: Generated\n") and "| commit | " in page
