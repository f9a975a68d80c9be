"""Compressed ELSA beside ours: settings, rows, bytes, the table, and all of it on a small log."""

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
from benchmarks.machine import CHECKOUT, describe
from benchmarks.studies.compressed_elsa import (
    Lists,
    Setting,
    best_of,
    by_rows,
    bytes_of,
    rounded,
    section,
    table_of,
)
from tests.makers.small import needs_compiler, small_log

SETTING = Setting.read("64:128:0.1:10")


def cell(way: str, per_item: int, ndcg: float, setting: Setting | None = None) -> dict[str, Any]:
    """A measurement as it is kept."""
    what = {"data": "Some", "users": 5, "items": 7, "interactions": 20, "way": way, "per_item": per_item}
    found = {"bytes": 2000, "recall": 2 * ndcg, "ndcg": ndcg}
    more = {"dim": 64, "entries": 7 * per_item, "seconds": 3.2, "peak_bytes": 10**8, "machine": describe(1)}
    more |= {"search_epochs": 9, "stages": 8, "forced": 2} if setting else {"held_out": 0.15}
    return {
        "what": what | ({"setting": list(setting)} if setting else {}),
        "float32": found,
        "int8": found,
        **more,
    }


def some_rows(rows: int = 30, of_each: int = 3, dim: int = 8) -> sparserec_np.SparseTable:
    """Rows of equal length, their columns in any order."""
    rng = np.random.default_rng(0)
    columns = np.array([rng.permutation(dim)[:of_each] for _ in range(rows)])
    return table_of(columns, rng.standard_normal(columns.shape).astype(np.float32), dim)


def test_rows_of_equal_length_become_a_table() -> None:
    columns, values = np.array([[2, 0], [1, 300]]), np.array([[0.6, 0.8], [-1.0, 0.5]])
    rows = table_of(columns, values, 301)
    expected = np.zeros((2, 301), dtype=np.float32)
    np.put_along_axis(expected, columns, values.astype(np.float32), axis=1)
    assert (rows.to_dense(301) == expected).all()
    assert rows.columns.dtype == np.uint16 and table_of(columns[:1], values[:1], 3).columns.dtype == np.uint8


def test_lists_by_rows_are_those_of_the_scores_written_out() -> None:
    log, rest = sparserec_np.split_random(small_log(), 0.3, np.random.default_rng(0))
    rows = some_rows(log.n_items)
    items = rows.to_dense(8)
    touched = np.zeros((log.n_users, log.n_items), dtype=np.float32)
    touched[log.pair_users(), log.items] = 1
    scores = touched @ (items @ items.T - np.eye(log.n_items, dtype=np.float32))
    scores[touched > 0] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable").astype(np.int32)
    own = Lists(order, np.take_along_axis(scores, order, axis=1))
    found, expected = by_rows(rows, 8, rest, log), sparserec_np.evaluate(own, rest, log)
    assert 0 < found["ndcg@20"] == pytest.approx(expected["ndcg@20"], abs=2e-3)


def test_rounding_keeps_each_column_to_a_part_of_its_largest() -> None:
    rows = some_rows()
    off = np.abs(rounded(rows, 8).to_dense(8) - rows.to_dense(8))
    assert (off <= np.abs(rows.to_dense(8)).max(axis=0) / 254 + 1e-7).all()
    assert off.max() > 0


def test_bytes_are_values_columns_and_lengths() -> None:
    rows = some_rows(rows=30, of_each=3, dim=8)
    ends = (30 + 90 + 7) // 8  # a bit for each entry and each row
    assert bytes_of(rows, 8, "float32") == 4 * 90 + 90 + ends
    assert bytes_of(rows, 8, "int8") == 90 + 4 * 8 + 90 + ends


def test_held_out_data_choose_the_setting() -> None:
    low, high = (cell("trial", 6, ndcg, SETTING) for ndcg in (0.1, 0.2))
    assert best_of([low, high, high | {"seconds": 1.0}]) is high


def test_the_tables_have_a_row_for_each_cell() -> None:
    cells = [cell("trial", 6, 0.12, SETTING), cell("trial", 6, 0.1, SETTING._replace(rate=0.03))]
    cells += [cell("elsa", 6, 0.2, SETTING), cell("fism", 6, 0.22), cell("fism", 1, 0.18)]
    lines = [line for line in section("Some", cells).splitlines() if line.startswith("| ")]
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in lines]
    assert [row[:4] for row in rows[1:4]] == [
        ["6", "fism", "64", "42"], ["6", "Compressed ELSA", "64", "42"], ["1", "fism", "64", "7"],
    ]  # fmt: skip
    assert rows[2][4:] == ["2.0", "0.4000 / 0.2000", "2.0", "0.4000 / 0.2000", "0.1200", "3", "100"]
    assert [row[:8] for row in rows[5:]] == [
        ["6", "64", "128", rate, "10", "20", "9", "2 of 8"] for rate in ("0.1", "0.03")
    ]


@pytest.mark.slow
@needs_compiler
def test_all_of_it_on_a_small_log(tmp_path: Path) -> None:
    train, test = sparserec_np.split_random(small_log(), 0.3, np.random.default_rng(0))
    files = [tmp_path / "train.csv", tmp_path / "test.csv"]
    for log, path in zip((train, test), files, strict=True):
        sparserec_np.write_interactions(log, path)
    words = [*files, "--folder", tmp_path / "cells", "--per-item", "2", "--page", tmp_path / "page.md"]
    words += ["--settings", "8:16:0.1:2", "8:16:0.01:1:5", "--json"]
    command = [sys.executable, "-m", "benchmarks.studies.compressed_elsa", *map(str, words)]
    done, again = (subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True) for _ in range(2))
    assert done.returncode == again.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert again.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]  # nothing was made again
    has_peer = importlib.util.find_spec("compresso_recsys") is not None
    ways = [one["what"]["way"] for one in found]
    assert ways == (["trial", "trial", "fism", "elsa"] if has_peer else ["fism"])
    assert "| fism |" in (tmp_path / "page.md").read_text(encoding="utf-8")
    if not has_peer:
        pytest.skip("compresso-recsys is not installed")
    assert all(one["entries"] == 2 * train.n_items for one in found)
    for one in found[:2]:
        own = one["float32"]
        assert 0 < own["ndcg"] == pytest.approx(own["ndcg_of_rows"], abs=0.05)
