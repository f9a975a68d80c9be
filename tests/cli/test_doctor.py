"""``sparserec doctor``: what it finds on a sound machine, and what it says of a broken one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.doctor import _processor
from cli.main import main as root
from tests.makers.small import needs_compiler

CHECKOUT = Path(__file__).parents[2]


def doctor(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in an interpreter of its own: Numba reads its environment once, when it is imported."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    return subprocess.run(
        [sys.executable, "-m", "cli", "doctor", *args],
        cwd=CHECKOUT,
        env={**variables, **environment},
        capture_output=True,
        text=True,
    )


def report(**environment: str) -> tuple[int, dict[str, Any]]:
    done = doctor("--json", **environment)
    assert done.stdout.count("\n") == 1, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


def test_json_on_a_sound_machine(tmp_path: Path) -> None:
    code, found = report(NUMBA_CACHE_DIR=str(tmp_path), NUMBA_NUM_THREADS="1")
    assert (code, found["ok"], found["problems"]) == (0, True, [])
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert all(found["packages"][name] for name in ("numpy", "numba", "scipy", "scikit-learn", "click"))
    assert 1 <= found["cores"]["usable"] <= found["cores"]["present"]
    assert found["numba"]["threading_layer"] in {"tbb", "omp", "workqueue"}
    assert found["numba"]["threads"] == 1
    assert found["processor"]["name"] and found["processor"]["unfolded_rows"] in ("AVX-512", "loops")
    assert len(found["processor"]["kernels"]) == 4 and all(found["processor"]["kernels"].values())
    assert found["cache"]["writable"] is True
    assert found["cache"]["folder"].startswith(str(tmp_path))
    assert all(pool["threads"] >= 1 for pool in found["blas"])


def test_table_for_eyes(tmp_path: Path) -> None:
    done = doctor(NUMBA_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0
    assert "numba threading layer" in done.stdout
    assert done.stdout.endswith("Everything works.\n")


@needs_compiler
def test_a_cache_folder_that_cannot_be_written_to_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)  # Numba tries its folders in this way too
    result = CliRunner().invoke(root, ["doctor", "--json"])
    found = json.loads(result.stdout)
    assert (result.exit_code, found["ok"], found["cache"]["writable"]) == (1, False, False)
    assert any("set NUMBA_CACHE_DIR" in problem for problem in found["problems"])


def test_problems_are_printed_below_the_table(tmp_path: Path) -> None:
    done = doctor(NUMBA_DISABLE_JIT="1", NUMBA_CACHE_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("Problem: NUMBA_DISABLE_JIT is set")


def test_a_missing_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.doctor.PACKAGES", ("numpy", "no-such-package"))
    result = CliRunner().invoke(root, ["doctor"])
    assert result.exit_code == 1
    assert "Problem: The package no-such-package is not installed" in result.stdout


@pytest.mark.parametrize(
    ("variable", "value"), [("NUMBA_DISABLE_JIT", "1"), ("NUMBA_THREADING_LAYER", "no-such-layer")]
)
def test_a_numba_that_cannot_compile_or_run_threads_is_a_problem(
    variable: str, value: str, tmp_path: Path
) -> None:
    code, found = report(**{variable: value, "NUMBA_CACHE_DIR": str(tmp_path)})
    assert code == 1
    assert any(variable in problem for problem in found["problems"])
    assert found["numba"]["threading_layer"] is None


@pytest.mark.parametrize(
    ("printed", "sentence"),
    [
        ("import os; os.abort()", "Kernels cannot be compiled for this processor"),
        (
            'print(\'{"name": "x", "unfolded_rows": "loops", "kernels": {"lines": false}}\')',
            "wrong numbers (lines)",
        ),
    ],
)
def test_what_the_compiler_cannot_do_or_does_wrong_is_a_problem(
    printed: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = subprocess.run
    monkeypatch.setattr(
        "cli.doctor.subprocess.run", lambda words, **kw: run([sys.executable, "-c", printed], **kw)
    )
    problems: list[str] = []
    found = _processor(problems)
    assert len(problems) == 1 and sentence in problems[0]
    assert set(found) == {"name", "unfolded_rows", "kernels"}
