"""Quality at a number of bytes: rounding, the table, the picture's curves, and all of it on a small log."""

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
from benchmarks.data import generate_split
from benchmarks.machine import CHECKOUT, describe
from benchmarks.studies.quality_at_bytes import (
    CURVES,
    LIGHTGCN,
    WAYS,
    curves_of,
    measure_ours,
    published_for,
    rounded,
    section,
)
from tests.makers.small import needs_compiler

GOWALLA = dict(zip(("users", "items", "interactions"), LIGHTGCN[0][:3], strict=True))


def cell(way: str, size: float, ndcg: float, **shape: int) -> dict[str, Any]:
    """A measurement as it is kept."""
    found = {"bytes": round(1e6 * size), "recall": 2 * ndcg, "ndcg": ndcg}
    what = {"data": "Some", "way": way, "size": size, "users": 5, "items": 7, "interactions": 20} | shape
    small = {"float32": found, "int8": found | {"bytes": found["bytes"] // 4}}
    more = {"dim": 64, "entries": 77, "seconds": 3.2, "peak_bytes": 10**8, "machine": describe(1)}
    return {"what": what, **small, **more}


def test_rounding_to_int8_keeps_each_column_to_a_part_of_its_largest() -> None:
    side = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32) * [1, 10, 0.1, 0]
    off = np.abs(rounded(side.astype(np.float32)) - side)
    assert (off <= np.abs(side).max(axis=0) / 254 + 1e-7).all()
    assert off.max() > 0


def test_published_figures_belong_to_their_split_alone() -> None:
    assert published_for(cell("fism", 0.1, 0.2)) is None
    found = published_for(cell("fism", 0.1, 0.2, **GOWALLA))
    assert found is not None and (found.recall, found.ndcg) == (0.1830, 0.1554)


def test_the_table_has_a_row_for_each_cell_and_tells_what_was_refused() -> None:
    cells = [cell("mf", 0.1, 0.15), cell("fism", 0.1, 0.2), cell("fism", 0.01, 0.18), cell("als", 32, 0.1)]
    cells.append({"what": cells[0]["what"] | {"way": "dense-small", "size": 0.01}, "refused": "too small"})
    text = section("Some", cells, "some.png")
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[:2] for row in rows] == [
        ["| fism", "1.0%"], ["| fism", "10.0%"], ["| mf", "10.0%"], ["| implicit ALS", "50%"],
    ]  # fmt: skip
    assert "| 100 | 0.4000 / 0.2000 | 25 | 0.4000 / 0.2000 | 3 | 100 |" in rows[1]
    assert f"* {CURVES['dense-small']} at 0.01: too small" in text
    assert text.endswith("](some.png)")
    assert "LightGCN" not in text
    of_gowalla = section("Gowalla", [cell("fism", 0.1, 0.2, **GOWALLA)], None)
    assert "| 4,533,696 | 18,135 | 0.1830 / 0.1554 |" in of_gowalla


def test_curves_keep_their_places_and_rise() -> None:
    cells = [cell("fism", 0.1, 0.2, **GOWALLA), cell("fism", 0.01, 0.18, **GOWALLA)]
    one, other = (curves_of(cells, dtype) for dtype in ("float32", "int8"))
    assert [curve.label for curve in one] == [curve.label for curve in other] == list(CURVES.values())
    assert one[0].points == [(10, 0.18), (100, 0.2)]
    assert other[0].points == [(2.5, 0.18), (25, 0.2)]
    assert [len(curve.points) for curve in one][-1] == 1 and not other[-1].points  # as published


@pytest.mark.slow
@needs_compiler
def test_all_of_it_on_a_small_log(tmp_path: Path) -> None:
    generate_split(tmp_path / "data", 80, 60, 1500)
    files = [str(tmp_path / "data" / f"{name}.txt") for name in ("train", "test")]
    refused = measure_ours(*files, WAYS["dense-small"].format(density=0.001), 1)
    assert list(refused) == ["refused"]
    peer = ["als"] if importlib.util.find_spec("implicit") else []
    words = [*files, "--name", "Small", "--folder", tmp_path / "cells", "--ways", "dense-small", *peer]
    words += ["--densities", "0.1", "--factors", "4", "--threads", "1", "--page", tmp_path / "page.md"]
    command = [sys.executable, "-m", "benchmarks.studies.quality_at_bytes", *map(str, words), "--json"]
    done, again = (subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True) for _ in range(2))
    assert done.returncode == again.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert again.stdout == done.stdout.splitlines()[-1] + "\n"  # nothing was made again
    n_rows = sum(len(ids) for ids in _ids(files[0]))
    for one in found:
        assert one["float32"]["bytes"] > 2 * one["int8"]["bytes"] > 0
        assert 0 < one["int8"]["ndcg"] <= 1 and one["peak_bytes"] > 10**7
    if peer:
        assert found[1]["float32"]["bytes"] == 4 * 4 * n_rows
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "## Small" in page and "| commit | " in page
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / "page-small.png").exists()


def _ids(path: str) -> tuple[Any, Any]:
    log = sparserec_np.read_interactions(path)
    return log.user_ids, log.item_ids
