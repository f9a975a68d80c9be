"""Where compiled kernels are kept, and what is said where that is not where one would look."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
# Imports the kernels, compiles one, and says where they are kept.
USE = """
import numpy as np
from sparserec_np.kernels.compiled import CACHE_FOLDER
from sparserec_np.kernels.compiled.sampling import group_by_row
numbers = np.zeros(3, np.int32)
group_by_row(numbers[:1], numbers, numbers, numbers, numbers)
print(CACHE_FOLDER.path, CACHE_FOLDER.lasting, group_by_row.stats.cache_path == CACHE_FOLDER.path)
"""


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A copy of the package whose ``__pycache__`` can hold nothing, not even root's: it is a file."""
    folder = tmp_path / "sealed"
    for package in ("sparserec_np", "cli"):
        shutil.copytree(CHECKOUT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "sparserec_np" / "kernels" / "compiled" / "__pycache__").touch()
    return folder


def python(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**kept, "NUMBA_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
    )


def found(done: subprocess.CompletedProcess[str]) -> tuple[Path, str]:
    """The folder, and whether it lasts; the kernels are in it."""
    assert done.returncode == 0, done.stderr
    path, lasting, there = done.stdout.split()
    assert there == "True"
    return Path(path), lasting


def test_the_user_s_cache_is_used_and_named_while_nothing_is_in_it(sealed: Path, tmp_path: Path) -> None:
    first, second = (
        python(sealed, "-c", USE, XDG_CACHE_HOME=str(tmp_path), HOME=str(tmp_path)) for _ in range(2)
    )
    folder, lasting = found(first)
    assert folder.is_relative_to(tmp_path) and not folder.is_relative_to(sealed) and lasting == "True"
    assert any(folder.glob("*.nbc"))
    assert f"cannot be written to; compiled kernels are kept in {folder}." in first.stderr
    assert found(second) == (folder, lasting)
    assert second.stderr == ""


def test_without_any_folder_kernels_live_as_long_as_the_process(sealed: Path, tmp_path: Path) -> None:
    nowhere = {"XDG_CACHE_HOME": os.devnull, "HOME": os.devnull, "TMPDIR": str(tmp_path)}
    done = python(sealed, "-c", USE, **nowhere)
    folder, lasting = found(done)
    assert lasting == "False"
    assert folder.is_relative_to(tmp_path) and not folder.exists()
    assert done.stderr.count("set NUMBA_CACHE_DIR to a folder of yours") == 1

    command = python(sealed, "-m", "cli", "doctor", **nowhere)
    assert command.returncode == 1
    (sentence,) = command.stderr.splitlines()
    assert sentence.startswith("Warning: ") and sentence.endswith("set NUMBA_CACHE_DIR to a folder of yours.")
    assert "Problem: Numba has no cache folder that it can write to" in command.stdout


def test_where_not_even_a_temporary_folder_can_be_made_one_sentence_says_so(sealed: Path) -> None:
    code = (
        f"import tempfile; tempfile.tempdir = {os.devnull!r}; import runpy, sys; sys.argv = ['x', 'warmup']; "
        + ("runpy.run_module('cli', run_name='__main__')")
    )
    done = python(sealed, "-c", code, XDG_CACHE_HOME=os.devnull, HOME=os.devnull)
    assert done.returncode == 1
    assert done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("Error: There is no folder to keep compiled kernels in")


def test_a_folder_that_the_user_names_is_used_and_named_where_it_cannot_be(
    sealed: Path, tmp_path: Path
) -> None:
    wanted = python(sealed, "-c", USE, NUMBA_CACHE_DIR=str(tmp_path / "own"))
    assert found(wanted)[0].is_relative_to(tmp_path / "own")
    assert wanted.stderr == ""
    refused = python(
        sealed, "-c", USE, NUMBA_CACHE_DIR=os.devnull, XDG_CACHE_HOME=str(tmp_path), HOME=str(tmp_path)
    )
    folder, _ = found(refused)
    assert folder.is_relative_to(tmp_path)
    assert f"NUMBA_CACHE_DIR names {os.devnull}, which cannot be written to" in refused.stderr


def test_kernels_of_another_version_are_compiled_anew(sealed: Path, tmp_path: Path) -> None:
    """Their index may name what this version does not have."""
    kept = {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    folder, _ = found(python(sealed, "-c", USE, **kept))
    (index,), (stamp,) = folder.glob("*group_by_row*.nbi"), folder.glob("*.version")
    compiled = index.stat().st_mtime_ns
    found(python(sealed, "-c", USE, **kept))
    assert index.stat().st_mtime_ns == compiled

    stamp.write_text("0.0.0")
    version, rest = pickle.loads(index.read_bytes()), index.read_bytes()
    index.write_bytes(pickle.dumps(version) + rest[len(pickle.dumps(version)) :].replace(b"Array", b"Arrau"))
    assert found(python(sealed, "-c", USE, **kept)) == (folder, "True")
    assert stamp.read_text() != "0.0.0" and index.stat().st_mtime_ns > compiled
