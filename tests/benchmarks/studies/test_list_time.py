"""The time of one list: what ways list, the table, and all of it for a small model."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparserec_np
from benchmarks.machine import CHECKOUT
from benchmarks.studies.list_time import OURS, Peers, dense_way, our_ways, time_lists, written
from tests.makers.small import needs_compiler, small_log

LOG = small_log()


def save(run: Path, model: str) -> str:
    """A run directory of the start of a model."""
    settings: dict[str, Any] = {"model": model, "dim": 8, "epochs": 0, "validation": 0.0}
    fitted = sparserec_np.train(LOG, sparserec_np.Config(**settings, start="spectral"), threads=1)
    sparserec_np.save_run(run, fitted, LOG)
    return str(run)


def test_dense_lists_leave_out_what_was_seen_and_begin_with_the_best() -> None:
    rng = np.random.default_rng(0)
    peers = Peers(LOG, *(rng.random((rows, 4), np.float32) for rows in (LOG.n_users, LOG.n_items)))
    listed = dense_way(peers)(3)
    scores = peers.items @ peers.users[3]
    seen = LOG.items[LOG.indptr[3] : LOG.indptr[4]]
    scores[seen] = -np.inf
    assert listed.tolist() == np.argsort(-scores)[:10].tolist()
    assert not np.isin(listed, seen).any()


def test_all_ways_of_a_model_without_users_list_the_same(tmp_path: Path) -> None:
    run = save(tmp_path / "run", "fism")
    ways = our_ways(sparserec_np.load_model(run), run, run)
    for row in range(20):
        one, other, unknown = (way(row) for way in ways.values())
        assert one.items == other.items == unknown.items
    walls = time_lists({"a": ways[OURS], "b": ways[OURS]}, np.arange(30))
    assert set(walls) == {"a", "b"} and 0 < walls["a"]["p50"] <= walls["a"]["p99"]


def test_the_table_says_what_is_not_installed() -> None:
    start = {"import ms": 70.0, "open ms": 20.0, "first ms": 1.0, "resident": 2e7}
    lists = {OURS: {"p50": 0.1, "p99": 0.3}, "dense NumPy": {"p50": 0.5, "p99": 0.6}}
    text = written({"lists": lists, "starts": {OURS: start}, "missing": ["implicit"]})
    rows = text.splitlines()[2:]
    assert rows[0] == f"| {OURS} | 0.100 | 0.300 | 1.0 | 70.0 | 20.0 | 1.0 | 20.0 |"
    assert rows[1] == "| dense NumPy | 0.500 | 0.600 | 5.0 | - | - | - | - |"
    assert rows[2].startswith("| implicit | not installed |")


@pytest.mark.slow
@needs_compiler
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_all_of_it_for_a_small_model(tmp_path: Path) -> None:
    run = save(tmp_path / "run", "fism")
    words = [run, "--users", "40", "--columns", "8", "--page", str(tmp_path / "page.md"), "--json"]
    command = [sys.executable, "-m", "benchmarks.studies.list_time", *words]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    has_implicit = importlib.util.find_spec("implicit") is not None
    assert ("implicit" in found["lists"]) == ("implicit" in found["starts"]) == has_implicit
    assert {OURS, "dense NumPy"} <= set(found["starts"])
    assert all(start["resident"] > 0 and start["open ms"] > 0 for start in found["starts"].values())
    assert "| dense NumPy | " in (tmp_path / "page.md").read_text(encoding="utf-8")
