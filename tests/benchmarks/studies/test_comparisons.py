"""Methods at the same budget: what is kept of a report, the tables, and all of it on a small log."""

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
from benchmarks.studies.comparisons import cell_of, section
from tests.makers.small import needs_compiler, small_log


def report(density: float, reached: dict[str, float], p: float) -> dict[str, Any]:
    """A report of one model and density, whose first method is ours."""
    ours, *others = reached
    best = max(others, key=lambda name: reached[name])
    names = {name: f"mf-{name}-density-{density:g}-spectral" for name in reached}
    runs = [{"validation": 0.1, "seconds": 2.0, "peak_bytes": 10**8}]
    figures = {
        name: {metric: {"mean": ndcg, "deviation": 0.001} for metric in ("ndcg@20", "recall@20")}
        for name, ndcg in reached.items()
    }
    return {
        "variants": [
            {"method": name, "entries": 9, "bytes": 99, "figures": figures[name], "runs": runs}
            for name in reached
        ],
        "gains": [{"other": names[best], "gain": reached[ours] / reached[best] - 1, "p": p}],
        "impossible": [],
    }


def cell(density: float, reached: dict[str, float], p: float) -> dict[str, Any]:
    """A measurement as it is kept."""
    what = {"data": "Some", "model": "mf", "density": density, "start": "spectral", "seeds": 1}
    what |= {"options": "--epochs 5", "said": "20 take an hour"}
    return {"what": what, "machine": describe(1), **cell_of(report(density, reached, p))}


def test_the_tables_show_the_best_and_the_gain_over_the_best_other() -> None:
    cells = [cell(0.01, {"sparserec": 0.11, "static": 0.10, "set": 0.09}, 0.02)]
    cells += [cell(0.1, {"sparserec": 0.20, "static": 0.25}, 0.03)]
    text = section("Some", cells)
    assert "start `spectral`, 1 seed, `--epochs 5` (20 take an hour)" in text
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    assert ["mf", "0.01", "**0.1100** ± 0.0010", "0.0900 ± 0.0010", "0.1000 ± 0.0010"] in rows
    assert ["mf", "0.1", "0.2000 ± 0.0010", "-", "**0.2500** ± 0.0010"] in rows
    assert ["mf", "0.01", "static", "+10.00 %", "0.020", "0.040"] in rows
    assert ["mf", "0.1", "static", "-20.00 %", "0.030", "0.040"] in rows  # both corrected, by Holm
    assert ["mf", "0.1", "2 s, 100", "-", "2 s, 100"] in rows


@pytest.mark.slow
@needs_compiler
def test_all_of_it_on_a_small_log(tmp_path: Path) -> None:
    train, test = sparserec_np.split_random(small_log(), 0.3, np.random.default_rng(0))
    files = [tmp_path / "train.csv", tmp_path / "test.csv"]
    for log, path in zip((train, test), files, strict=True):
        sparserec_np.write_interactions(log, path)
    words = [*files, "--folder", tmp_path / "cells", "--runs", tmp_path / "runs", "--seeds", "1"]
    words += ["--models", "mf", "--densities", "0.2", "--methods", "sparserec", "static", "--jobs", "1"]
    words += ["--options", "--dim 8 --epochs 2", "--json", "--page", tmp_path / "page.md"]
    command = [sys.executable, "-m", "benchmarks.studies.comparisons", *map(str, words)]
    done, again = (subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True) for _ in range(2))
    assert done.returncode == again.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout.splitlines()[-1])
    assert again.stdout == done.stdout.splitlines()[-1] + "\n"  # nothing was made again
    assert [one["method"] for one in found["methods"]] == ["sparserec", "static"]
    assert len(found["gains"]) == 1
    assert "| mf | 0.2 | static | " in (tmp_path / "page.md").read_text(encoding="utf-8")
