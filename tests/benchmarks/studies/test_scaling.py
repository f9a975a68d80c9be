"""Time and memory over the rows: a small measurement, input that is refused, and the whole command."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.machine import CHECKOUT
from benchmarks.studies import scaling
from tests.makers.small import needs_compiler


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "benchmarks.studies.scaling", *map(str, arguments)]
    return subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True)


@pytest.mark.parametrize("model", ["mf", "fism"])
def test_a_size_is_measured(tmp_path: Path, model: str) -> None:
    path = str(tmp_path / "log.safetensors")
    scaling.generate(path, rows=300, per_row=5)
    settings = argparse.Namespace(
        model=model, start="spectral", dim=8, entries_per_row=2.0, epochs=1, pairs_together=3
    )
    one, two = (scaling.measure(path, settings, threads) for threads in (1, 2))
    assert (one["rows"], one["interactions"], one["nnz"]) == (300, 1500, 600)
    assert one["epoch_seconds"] > 0 and one["peak_resident"] > 1_000_000
    assert one["sha256"] == two["sha256"] and len(one["sha256"]) == 64


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--epochs", "0"), "--epochs must be 1 or more, found 0"),
        (("--threads", "0"), "--threads must be 1 or more, found 0"),
        (("--dim", "-1"), "--dim must be 1 or more, found -1"),
        (("--per-row", "0"), "--per-row must be 1 or more, found 0"),
        (("--most", "9999"), "--most must be 10,000 or more, found 9,999"),
    ],
)
def test_bad_input_is_refused(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = command(*arguments, "--quick", "--output", tmp_path / "out")
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@needs_compiler
def test_the_smallest_size_from_end_to_end(tmp_path: Path) -> None:
    quick = ("--most", "10000", "--per-row", "2", "--dim", "8", "--epochs", "1", "--threads", "1")
    done = command(*quick, "--folder", tmp_path, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "10,000 rows" in done.stdout
    found = json.loads((tmp_path / "out" / "scaling.json").read_text())
    (one,) = found["sizes"]
    assert (one["rows"], one["interactions"], one["threads"]) == (10_000, 20_000, 1)
    assert set(found["sha256_by_threads"].values()) == {one["sha256"]}
    assert list(found["sha256_by_threads"]) == ["1", "2"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # the data are gone again
