"""Shared rows: the width that held-out data choose, what cannot be, and all of it on a small log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sparserec_np
from benchmarks.machine import CHECKOUT
from benchmarks.studies.shared_rows import WAYS, best_shared, section, sparse
from sparserec_np.training.settings import Config
from tests.makers.small import needs_compiler, small_log


def test_bytes_are_those_of_the_sparse_table() -> None:
    log = small_log()
    config = Config(model="mf", dim=64, density=0.2, epochs=1)
    limit = sparse(log, config, "random", 1)[2]["bytes"]
    for way, width in (("hash", 16), ("double", 32)):
        _, _, sizes = best_shared(log, config, way, [width], 1)
        assert sizes["width"] == width
        assert limit - 4 * width < sizes["bytes"] <= limit
    narrow = sparse(log, config, "narrow", 1)[2]
    assert limit - 4 * narrow["rows"] < narrow["bytes"] <= limit


def test_what_cannot_be_is_told_and_has_a_row() -> None:
    config = Config(model="mf", dim=64, density=0.01, epochs=1)
    reason = best_shared(small_log(), config, "quotient", [64], 1)
    assert isinstance(reason, str)
    assert "hold no two rows" in reason or "no pair" in reason
    what = {"data": "Some", "density": 0.01, "way": "quotient", "seed": 0}
    row = section("Some", [{"what": what, "impossible": reason}]).splitlines()[-1]
    assert row == f"| 0.01 | {WAYS['quotient']} |" + " - |" * 9


@pytest.mark.slow
@needs_compiler
def test_all_of_it_on_a_small_log(tmp_path: Path) -> None:
    train, test = sparserec_np.split_random(small_log(), 0.3, np.random.default_rng(0))
    files = [tmp_path / "train.csv", tmp_path / "test.csv"]
    for log, path in zip((train, test), files, strict=True):
        sparserec_np.write_interactions(log, path)
    words = [*files, "--folder", tmp_path / "cells", "--seeds", "1", "--epochs", "2", "--densities", "0.3"]
    words += ["--page", tmp_path / "page.md", "--json"]
    command = [sys.executable, "-m", "benchmarks.studies.shared_rows", *map(str, words)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout.splitlines()[-1])
    assert [cell["what"]["way"] for cell in cells] == list(WAYS)
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert all(f"| 0.3 | {words} |" in text for words in WAYS.values())
