"""The three ideas: the drop fraction that a row shows, the table, and all of it on a small log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparserec_np
from benchmarks.machine import CHECKOUT, describe
from benchmarks.studies.ablation import WAYS, best_of, section
from tests.makers.small import needs_compiler, small_log


def cell(start: str, way: str, drop: float | None, seed: int, held_out: float, ndcg: float) -> dict[str, Any]:
    """A measurement as it is kept."""
    what = {"data": "Some", "files": ["f", "g"], "start": start, "way": way, "drop": drop, "seed": seed}
    more = {"epochs": 3, "seconds": 2.0, "peak_bytes": 10**8, "machine": describe(1), "entries": 9}
    return {
        "what": what | {"options": "--dim 8"},
        "held_out": held_out,
        "ndcg": ndcg,
        "recall": ndcg,
        **more,
    }


def test_held_out_data_choose_the_drop_fraction_and_not_the_test_part() -> None:
    low = [cell("nmf", "sums", 0.3, seed, 0.10, 0.9) for seed in (0, 1)]
    high = [cell("nmf", "sums", 0.9, seed, 0.11, 0.2) for seed in (0, 1)]
    unfinished = [cell("nmf", "sums", 0.6, 0, 0.5, 0.5)]
    assert best_of([*low, *high, *unfinished]) == high


def test_the_table_has_a_row_for_each_start_and_way() -> None:
    cells = [cell("uniform", "static", None, 0, 0.01, 0.02), cell("nmf", "sampled", 0.9, 0, 0.2, 0.3)]
    cells += [cell("nmf", "sampled", 0.9, 1, 0.3, 0.4)]
    text = section("Some", cells)
    assert text.startswith("## Some\n\n`sparserec train` with `--dim 8`.\n")
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines()[4:]][2:]
    assert [row[:8] for row in rows] == [
        ["", "", "", "`uniform`, the mask stays", "-", "1", "0.0100", "-"],
        ["yes", "yes", "yes", f"`nmf`, {WAYS['sampled'].name}", "0.9", "2", "0.2500", "0.0707"],
    ]
    assert rows[1][8:11] == ["0.3500", "0.3500", "3, 3"]


@pytest.mark.slow
@needs_compiler
def test_all_of_it_on_a_small_log(tmp_path: Path) -> None:
    train, test = sparserec_np.split_random(small_log(), 0.3, np.random.default_rng(0))
    files = [tmp_path / "train.csv", tmp_path / "test.csv"]
    for log, path in zip((train, test), files, strict=True):
        sparserec_np.write_interactions(log, path)
    words = [*files, "--folder", tmp_path / "cells", "--seeds", "1", "--starts", "uniform", "--drops", "0.5"]
    words += ["--base", "--model mf --dim 8 --entries 200", "--options", "--epochs 4 --learning-rate 0.01"]
    words += ["--json", "--page", tmp_path / "page.md"]
    command = [sys.executable, "-m", "benchmarks.studies.ablation", *map(str, words)]
    done, again = (subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True) for _ in range(2))
    assert done.returncode == again.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert again.stdout == done.stdout.splitlines()[-1] + "\n"  # nothing was made again
    assert [one["what"]["way"] for one in found] == list(WAYS)
    assert all(one["entries"] == 200 for one in found)
    assert "growth by sums of a quarter of the rows" in (tmp_path / "page.md").read_text(encoding="utf-8")
