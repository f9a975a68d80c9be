"""Training against its start: the comparison by seeds, the table, and all of it on a small log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

import sparserec_np
from benchmarks.machine import CHECKOUT, describe
from benchmarks.studies.training_against_start import compare, hold_out, section
from tests.makers.small import needs_compiler, small_log


def cell(way: str, seed: int, ndcg: float, options: str = "") -> dict[str, Any]:
    """A measurement as it is kept."""
    what = {"data": "Some", "file": "f", "way": way, "seed": seed, "base": "--dim 8", "options": options}
    more = {"epochs": 3, "seconds": 2.0, "peak_bytes": 10**8, "machine": describe(1)}
    return {"what": what, "ndcg": ndcg, "recall": ndcg, **more}


def test_differences_are_paired_by_seed() -> None:
    start, trained = [0.10, 0.12, 0.11, 0.13], [0.11, 0.125, 0.121, 0.139]
    found = compare(start, trained)
    apart = [one - other for one, other in zip(trained, start, strict=True)]
    assert (found.seeds, found.mean) == (4, pytest.approx(sum(apart) / 4))
    assert found.t == pytest.approx(stats.ttest_1samp(apart, 0).pvalue)
    assert found.wilcoxon == pytest.approx(0.125)  # all of four in one direction: 2 / 2^4


@pytest.mark.parametrize("seeds", [1, 3])
def test_where_nothing_differs_no_test_says_anything(seeds: int) -> None:
    found = compare([0.1] * seeds, [0.1] * seeds)
    assert (found.mean, found.deviation, found.t, found.wilcoxon) == (0, 0, None, None)


def test_parts_are_held_out_by_seed(tmp_path: Path) -> None:
    log = small_log()
    sparserec_np.write_interactions(log, tmp_path / "log.csv")
    found = []
    for seed in (0, 0, 1):
        folder = tmp_path / f"{len(found)}"
        folder.mkdir()
        parts = [
            sparserec_np.read_interactions(path)
            for path in hold_out(str(tmp_path / "log.csv"), seed, str(folder))
        ]
        assert sum(part.n_interactions for part in parts) == log.n_interactions
        found.append(parts[1].items.tolist())
    assert found[0] == found[1] != found[2]
    assert 0.05 < len(found[0]) / log.n_interactions < 0.15


def test_the_table_compares_seeds_that_have_a_start() -> None:
    cells = [cell("start", 0, 0.10), cell("start", 1, 0.12), cell("bpr", 0, 0.11), cell("bpr", 1, 0.14)]
    cells += [cell("softmax", 0, 0.10), cell("softmax", 2, 0.5)]  # the start of seed 2 is yet to come
    cells.append({"what": cells[0]["what"] | {"way": "static"}, "refused": "it does not go together"})
    text = section("Some", cells)
    assert text.startswith("## Some, `--model fism --user-rows sum --dim 8`\n")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert [(row[0], *row[2:5]) for row in rows] == [
        ("| start alone", "2", "0.1100", ""),
        ("| softmax, growth", "1", "0.1000", "+0.0000"),
        ("| bpr, growth", "2", "0.1250", "+0.0150"),
    ]
    assert "* softmax, mask kept: it does not go together" in text


@pytest.mark.slow
@needs_compiler
def test_all_of_it_on_a_small_log(tmp_path: Path) -> None:
    sparserec_np.write_interactions(small_log(), tmp_path / "log.csv")
    words = [tmp_path / "log.csv", "--folder", tmp_path / "cells", "--seeds", "2", "--ways", "softmax"]
    words += ["--base", "--dim 8 --entries 200 --start spectral", "--threads", "1", "--json"]
    words += ["--options", "--epochs 2 --learning-rate 0.01 --validation 0", "--page", tmp_path / "page.md"]
    command = [sys.executable, "-m", "benchmarks.studies.training_against_start", *map(str, words)]
    done, again = (subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True) for _ in range(2))
    assert done.returncode == again.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert again.stdout == done.stdout.splitlines()[-1] + "\n"  # nothing was made again
    assert [(one["what"]["way"], one["epochs"]) for one in found] == [("start", 0), ("softmax", 2)] * 2
    assert all(one["entries"] == 200 and one["chosen"]["dim"] == 8 for one in found)
    assert "| softmax, growth | " in (tmp_path / "page.md").read_text(encoding="utf-8")
