"""Reading by every kind of file and frame: the same interactions, the same model, and the page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.machine import CHECKOUT
from benchmarks.studies.reading import (
    FRAMES,
    IDS,
    YARDSTICKS,
    check_same,
    make_files,
    make_rows,
    measure,
    name_ids,
    page_of,
    reader_of,
    ways_of,
    written,
)
from sparserec_np import SparseRec
from tests.makers.small import needs_compiler

ROWS = 3_000
for library in FRAMES:
    pytest.importorskip(library)


def test_rows_are_drawn_as_unequal_as_in_logs() -> None:
    users, items = make_rows(20_000)
    for codes, share in ((users, 50), (items, 200)):
        degrees = np.sort(np.bincount(codes))
        assert degrees[0] > 0 and abs(codes.size / degrees.size / share - 1) < 0.3
        assert degrees[-1] > 8 * share and degrees[degrees.size // 2] < 0.7 * share
    assert np.array_equal(make_rows(20_000)[0], users)
    assert not np.array_equal(np.sort(users), users)


@pytest.mark.parametrize("kind", IDS)
def test_names_are_in_the_order_of_numbers(kind: str) -> None:
    names = list(name_ids(kind, "user", 300, 1))
    assert names == sorted(set(names)) and len(names) == 300
    assert kind == "numbers" or {len(name) for name in names} == {{"names": 12, "uuids": 36}[kind]}


@needs_compiler
@pytest.mark.parametrize("kind", IDS)
def test_every_way_gives_the_same_model(kind: str, tmp_path: Path) -> None:
    make_files(tmp_path, kind, ROWS)
    models: dict[bytes, list[str]] = {}
    for way in ways_of(kind):
        if way in YARDSTICKS:
            continue
        log = reader_of(way, tmp_path)()
        assert log.n_interactions + log.duplicates in (ROWS, log.n_interactions)  # a matrix holds sums
        settings: dict[str, Any] = {"dim": 8, "density": 0.5, "epochs": 1, "start": "spectral"}
        SparseRec(**settings, learning_rate=0.01, threads=1).fit(log).save(tmp_path / "model")
        content = b"".join(path.read_bytes() for path in sorted((tmp_path / "model").glob("*.safetensors")))
        assert len(content) > 1000
        models.setdefault(content, []).append(way)
    assert len(models) == 1, list(models.values())


@pytest.mark.parametrize("way", YARDSTICKS)
@pytest.mark.parametrize("kind", IDS)
def test_yardsticks_number_the_ids(kind: str, way: str, tmp_path: Path) -> None:
    make_files(tmp_path, kind, ROWS)
    found = reader_of(way, tmp_path)()
    for noun, codes in zip(("user", "item"), make_rows(ROWS), strict=True):
        theirs = np.asarray(found[noun] if way == "polars alone" else found[noun == "item"][0]).astype(int)
        assert len(np.unique(theirs)) == len(np.unique(codes))
        assert len(np.unique(np.stack([theirs, codes]), axis=1).T) == len(np.unique(codes))


def test_a_measurement_says_what_was_read(tmp_path: Path) -> None:
    make_files(tmp_path, "numbers", ROWS)
    one = measure("csv", str(tmp_path), 1)
    assert one["seconds"] > 0 and one["rows"] == ROWS and len(one["digest"]) == 64
    assert measure("pandas alone", str(tmp_path), 1)["digest"] is None


def test_other_interactions_are_refused() -> None:
    check_same({"csv": [{"digest": "a"}], "pandas alone": [{"digest": None}]})
    with pytest.raises(SystemExit, match="csv and tsv give other interactions"):
        check_same({"csv": [{"digest": "a"}], "tsv": [{"digest": "b"}]})


def test_the_table_shows_medians(tmp_path: Path) -> None:
    def record(seconds: float, held: int | None) -> dict[str, Any]:
        return {"seconds": seconds, "processor_seconds": 0.5, "peak_bytes": 3 * 10**8, "held_bytes": held}

    found = {"csv": [record(1.0, 10**8), record(2.0, 10**8)], "pandas alone": [record(3.0, None)]}
    text = written(found, tmp_path)
    assert "| CSV | - | 1.50 (1.00 to 2.00) | 0.50 | 300 | 100 |" in text
    assert "| *pandas: `read_csv`, `factorize`* | - | 3.00 | 0.50 | 300 | - |" in text
    about = {"date": "d", "commit": "c", "processor": "p", "cores": 2, "threads": 1, "system": "s"}
    page = page_of({"names": text}, 10, "python", {**about, "python": "3", "versions": {"numpy": "2"}})
    assert "## Ids that are texts such as `user-0012345`" in page and "| command | `python` |" in page


@pytest.mark.slow
def test_all_of_it_on_few_rows(tmp_path: Path) -> None:
    words = [
        str(tmp_path / "data"),
        "--rows",
        "2000",
        "--repeat",
        "1",
        "--page",
        str(tmp_path / "page.md"),
        "--json",
    ]
    words += ["--ways", "csv", "jsonl", "polars", "pandas alone", "--ids", "numbers", "uuids"]
    command = [sys.executable, "-m", "benchmarks.studies.reading", *words]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert list(found) == ["numbers", "uuids"]
    assert list(found["uuids"]) == ["csv", "jsonl", "polars", "pandas alone"]
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| JSON lines | " in page and "polars" in page
