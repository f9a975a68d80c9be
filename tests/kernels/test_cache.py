"""Where compiled kernels are kept, and what is said where that is not where one would look."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from sparserec_np.kernels import cache_files
from sparserec_np.kernels.cache import CacheFolderWarning
from sparserec_np.kernels.cache_files import KernelFiles, damaged_files

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
    index.write_bytes(index.read_bytes().replace(b"Array", b"Arrau"))
    assert found(python(sealed, "-c", USE, **kept)) == (folder, "True")
    assert stamp.read_text() != "0.0.0" and index.stat().st_mtime_ns > compiled


def damages(content: bytes) -> dict[str, bytes]:
    """What a power cut, a short copy and a bad disk make of a file."""
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 4
    return {
        "empty": b"",
        "short": content[: len(content) // 2],
        "flipped": bytes(flipped),
        "long": content + b"0",
    }


def test_damaged_files_are_compiled_anew_with_one_warning(sealed: Path, tmp_path: Path) -> None:
    own = {"NUMBA_CACHE_DIR": str(tmp_path / "own")}
    folder, _ = found(python(sealed, "-c", USE, **own))
    for ending, damage in (("nbi", "short"), ("nbc", "flipped")):
        (path,) = folder.glob(f"*group_by_row*.{ending}")
        path.write_bytes(damages(path.read_bytes())[damage])
        assert list(damaged_files(str(folder))) == [str(path)]
        done = python(sealed, "-c", USE, **own)
        assert found(done)[0] == folder
        assert done.stderr.count("Warning") == 1 and f"{path} is damaged" in done.stderr
        assert list(damaged_files(str(folder))) == []
    assert python(sealed, "-c", USE, **own).stderr == ""


@pytest.mark.parametrize("damage", damages(b"12345678"))
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_a_damaged_file_of_any_kind_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, damage: str
) -> None:
    """Whatever is wrong with it: nothing is unpickled, one warning names it, and it is written anew."""
    monkeypatch.setattr(cache_files, "_told", cache_files._Told())
    files, key = KernelFiles(str(tmp_path), "kernel-1.py311", "stamp"), ("int32", "cpu", "code")
    files.save(key, "for int32")
    (path,) = tmp_path.glob(f"*.{ending}")
    path.write_bytes(damages(path.read_bytes())[damage])
    assert list(damaged_files(str(tmp_path))) == [str(path)]
    with pytest.warns(CacheFolderWarning, match="is damaged") as told:
        assert files.load(key) is None and files.load(key) is None
    assert len(told) == 1 and str(path) in str(told[0].message)
    files.save(key, "for int32")
    assert files.load(key) == "for int32" and list(damaged_files(str(tmp_path))) == []


def test_doctor_finds_and_removes_damaged_files(sealed: Path, tmp_path: Path) -> None:
    own = {"NUMBA_CACHE_DIR": str(tmp_path / "own")}
    folder, _ = found(python(sealed, "-c", USE, **own))
    (path,) = folder.glob("*group_by_row*.nbc")
    path.write_bytes(b"")
    first, second = (python(sealed, "-m", "cli", "doctor", **own) for _ in range(2))
    assert first.returncode == 1 and first.stderr == ""
    assert "1 damaged file of compiled kernels was removed" in first.stdout
    assert second.returncode == 0 and "damaged" not in second.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: pickle.dumps("something else"), "cannot be loaded and was removed"),
        (lambda content: content.replace(b"\x7fELF", b"\x00ELF"), "ended the process"),
    ],
    ids=["no kernel", "no machine code"],
)
def test_doctor_loads_what_is_kept_and_says_what_does_not_load(
    sealed: Path, tmp_path: Path, change: Callable[[bytes], bytes], said: str
) -> None:
    """The sum is right, so only loading tells."""
    own = {"NUMBA_CACHE_DIR": str(tmp_path / "own")}
    folder, _ = found(python(sealed, "-c", USE, **own))
    (path,) = folder.glob("*group_by_row*.nbc")
    content = change(path.read_bytes()[: -cache_files.SUM_BYTES])
    path.write_bytes(content + hashlib.sha256(content).digest())
    done = python(sealed, "-m", "cli", "doctor", **own)
    assert done.returncode == 1 and done.stderr == "" and said in done.stdout
    path.unlink(missing_ok=True)
    assert python(sealed, "-m", "cli", "doctor", **own).returncode == 0


def test_a_folder_that_is_full_ends_nothing(sealed: Path, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    code = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    code += "import sparserec_np.kernels.compiled\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n" + USE
    done = python(sealed, "-c", code, NUMBA_CACHE_DIR=str(tmp_path / "own"))
    folder, _ = found(done)
    assert done.stderr.count("Compiled kernels cannot be kept in") == done.stderr.count("Warning") == 1
    assert [path for path in folder.iterdir() if path.suffix != ".version"] == []


def test_processes_that_compile_at_once_for_different_types_never_take_each_other_s(tmp_path: Path) -> None:
    one, other = (KernelFiles(str(tmp_path), "kernel-1.py311", "stamp") for _ in range(2))
    before = one._load_index()
    other.save(("int32", "cpu", "code"), "for int32")
    one._load_index = lambda: before  # as read before the other wrote
    one.save(("int64", "cpu", "code"), "for int64")
    reader = KernelFiles(str(tmp_path), "kernel-1.py311", "stamp")
    assert reader.load(("int64", "cpu", "code")) == "for int64"
    assert reader.load(("int32", "cpu", "code")) in ("for int32", None)
    other.save(("int32", "cpu", "code"), "for int32")
    assert reader.load(("int32", "cpu", "code")) == "for int32"
    assert reader.load(("int64", "cpu", "code")) == "for int64"


def test_a_file_is_there_before_the_index_names_it(tmp_path: Path) -> None:
    files = KernelFiles(str(tmp_path), "kernel-1.py311", "stamp")
    written: list[str] = []
    write = files._write
    files._write = lambda path, content: (written.append(Path(path).suffix), write(path, content))
    files.save(("int32", "cpu", "code"), "for int32")
    assert written == [".nbc", ".nbi"]


def test_what_it_took_to_compile_is_kept_beside_it(tmp_path: Path) -> None:
    files = KernelFiles(str(tmp_path), "kernel-1.py311", "stamp")
    for kind, price in (("int32", 1.5), ("int64", 2.5)):
        files.price = price
        files.save((kind, "cpu", "code"), kind)
    again = KernelFiles(str(tmp_path), "kernel-1.py311", "stamp")
    assert again.holds(("int32", "cpu", "code")) and not again.holds(("int16", "cpu", "code"))
    assert again.load(("int32", "cpu", "code")) == "int32" and again.price == 1.5
    assert again.load(("int64", "cpu", "code")) == "int64" and again.price == 2.5
    assert again.load(("int16", "cpu", "code")) is None


# Has its turn at a kernel until somebody is waiting for it, and compiles it then.
HOLD = """
import sys
import numpy as np
from sparserec_np.kernels.compiled.sampling import group_by_row
from sparserec_np.kernels.compiling import turns
turns.take(*group_by_row._cache._turn)
print("mine", flush=True)
sys.stdin.readline()
numbers = np.zeros(3, np.int32)
group_by_row(numbers[:1], numbers, numbers, numbers, numbers)
"""


def test_a_process_waits_for_what_another_is_compiling_and_reads_it(sealed: Path, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "own"), "NUMBA_NUM_THREADS": "1"}
    stats = "\nprint(len(group_by_row.stats.cache_hits), len(group_by_row.stats.cache_misses))"
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": sealed, "env": environment}
    with subprocess.Popen([sys.executable, "-c", HOLD], text=True, **streams) as first:
        assert first.stdout is not None and first.stdout.readline() == "mine\n"
        with subprocess.Popen([sys.executable, "-c", USE + stats], text=True, **streams) as second:
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(4)
            first.communicate("\n")
            said, _ = second.communicate()
    assert said.splitlines()[-1] == "1 0"


class _Gone(NamedTuple):
    """A type that a later version does not have."""


def test_what_was_compiled_for_types_that_are_gone_is_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = KernelFiles(str(tmp_path), "kernel-1.py311", "stamp")
    files.save((_Gone, "cpu", "code"), _Gone())
    assert files.load((_Gone, "cpu", "code")) == _Gone()
    key = (_Gone, "cpu", "code")
    monkeypatch.delitem(globals(), "_Gone")
    assert files.load(key) is None
    files.save(("int32", "cpu", "code"), "for int32")
    assert files.load(("int32", "cpu", "code")) == "for int32"
