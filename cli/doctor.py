"""``sparserec doctor``: whether this installation can train here, and what to do if not."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from typing import Any

import click

from sparserec_np import __version__, kernels

from .output import counted, emit_json, table

PACKAGES = ("numpy", "numba", "scipy", "scikit-learn", "click")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """Check that this machine can train, and say what to do if not.

    Shown are versions, cores, the processor and the form of kernels that it gets, Numba's threading
    layer and cache folder, and the BLAS pools. Parts are tried rather than looked up: a kernel of
    each kind is compiled and compared with plain Python, every file of compiled kernels is read and
    loaded, a file is written. The exit code is 1 if something is broken; what to do about it is
    printed below the table.
    """
    problems: list[str] = []
    report: dict[str, Any] = {
        "sparserec_np": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": _packages(problems),
        "cores": _cores(),
        "numba": _numba(problems),
        "processor": _processor(problems),
        "cache": _cache(problems),
        "blas": _blas(problems),
    }
    report = {"ok": not problems, **report, "problems": problems}
    if as_json:
        emit_json(report)
    else:
        _print(report)
    if problems:
        sys.exit(1)


def _packages(problems: list[str]) -> dict[str, str | None]:
    """Returns the installed version of each package the library needs.

    Where one is missing it is None, and a problem.
    """
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
            problems.append(f"The package {name} is not installed: run `pip install {name}`.")
    return versions


def _cores() -> dict[str, int]:
    """Counts the logical cores of the machine, and those this process may use."""
    present = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else present
    return {"present": present, "usable": usable}


def _numba(problems: list[str]) -> dict[str, Any]:
    """Compiles and runs a parallel function, which is what decides Numba's threading layer."""
    try:
        import numba
        import numpy as np

        compiled = numba.njit(parallel=True)(_double)
        if compiled is _double:
            problems.append("NUMBA_DISABLE_JIT is set, so kernels run as plain Python: unset it.")
            return {"threading_layer": None, "threads": 1}
        if not np.array_equal(compiled(np.arange(1000)), 2 * np.arange(1000)):
            problems.append("A compiled parallel function gave wrong numbers: reinstall numba and llvmlite.")
        return {"threading_layer": numba.threading_layer(), "threads": numba.get_num_threads()}
    except Exception as error:  # whatever an installation can break is to be reported, not raised
        problems.append(
            f"Numba cannot run a parallel function ({_first_line(error)}): "
            "install versions of numba and numpy that go together, and leave NUMBA_THREADING_LAYER unset."
        )
        return {"threading_layer": None, "threads": None}


def _double(numbers: Any) -> Any:
    """Doubles the numbers; Numba splits the array expression over its threads."""
    return numbers * 2


def _processor(problems: list[str]) -> dict[str, Any]:
    """Compiles a kernel of each kind, and tells which processor they are made for.

    That is a process of its own: LLVM ends it where it fails.
    """
    nothing: dict[str, Any] = {"name": None, "unfolded_rows": None, "kernels": {}}
    if problems:  # one that says why is there already
        return nothing
    done = subprocess.run(
        [sys.executable, "-m", "sparserec_np.kernels.trial"], capture_output=True, text=True, check=False
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        said = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        problems.append(
            f"Kernels cannot be compiled for this processor ({said}): set NUMBA_CPU_NAME=generic and an empty"
            " NUMBA_CPU_FEATURES, and try again."
        )
        return nothing
    wrong = [kind for kind, right in found["kernels"].items() if not right]
    if wrong:
        problems.append(
            f"Compiled kernels give wrong numbers ({', '.join(wrong)}): set NUMBA_CPU_NAME=generic and an empty"
            " NUMBA_CPU_FEATURES, or reinstall numba and llvmlite."
        )
    return found


def _cache(problems: list[str]) -> dict[str, Any]:
    """Tells where Numba keeps the compiled kernels, and whether a file can be written there."""
    folder: str | None = None
    try:
        cache = kernels.compiled.CACHE_FOLDER  # loads Numba
        folder = cache.path
        if folder is None:  # compilation is switched off, which _numba() reports
            return {"folder": None, "writable": None}
        if not cache.lasting:
            raise OSError("kernels are compiled anew in every run")
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        _remove_damaged(folder, problems)
        return {"folder": folder, "writable": True, "loaded": _load_all(folder, problems)}
    except Exception as error:
        problems.append(
            f"Numba has no cache folder that it can write to ({_first_line(error)}): "
            "set NUMBA_CACHE_DIR to a folder of yours."
        )
        return {"folder": folder, "writable": False}


def _remove_damaged(folder: str, problems: list[str]) -> None:
    """Reads every file of compiled kernels, and removes what is not as it was written."""
    # Loads Numba.
    damaged = list(importlib.import_module("sparserec_np.kernels.cache_files").damaged_files(folder))
    for path in damaged:
        os.remove(path)
    if damaged:
        problems.append(
            f"{counted(len(damaged), 'damaged file')} of compiled kernels {'was' if len(damaged) == 1 else 'were'}"
            f" removed from {folder} ({', '.join(map(os.path.basename, damaged))}): run `sparserec warmup`, or let"
            " the next run compile them anew."
        )


def _load_all(folder: str, problems: list[str]) -> int | None:
    """Loads all compiled kernels that are kept, in a process of its own; returns how many.

    None is where that process ended: machine code that cannot be loaded may do that.
    """
    done = subprocess.run(
        [sys.executable, "-m", "sparserec_np.kernels.loading"], capture_output=True, text=True, check=False
    )
    try:
        found = json.loads(done.stdout)
    except ValueError:
        problems.append(
            f"Loading the compiled kernels in {folder} ended the process (code {done.returncode}): remove that folder,"
            " and run `sparserec warmup`."
        )
        return None
    for path in found["failed"]:
        os.remove(path)
        problems.append(
            f"A compiled kernel cannot be loaded and was removed ({os.path.basename(path)}): run `sparserec warmup`, or"
            " let the next run compile it anew."
        )
    return int(found["forms"])


def _blas(problems: list[str]) -> list[dict[str, Any]]:
    """Lists the thread pools of the linear algebra libraries that NumPy and SciPy have loaded."""
    try:
        import numpy  # noqa: F401  importing is what loads the libraries
        import scipy.linalg  # noqa: F401
        from threadpoolctl import threadpool_info
    except Exception as error:
        problems.append(f"NumPy and SciPy do not load ({_first_line(error)}): reinstall them together.")
        return []
    return [
        {"library": pool["internal_api"], "version": pool["version"], "threads": pool["num_threads"]}
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]


def _cache_in_words(cache: dict[str, Any]) -> str:
    """Says where compiled kernels are kept, and how many of them load here."""
    if cache["writable"] is False:
        return f"{cache['folder'] or 'none'} (not writable)"
    loaded = "" if cache.get("loaded") is None else f", {counted(cache['loaded'], 'kernel')} loaded"
    return f"{cache['folder'] or 'none'}{loaded}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _print(report: dict[str, Any]) -> None:
    cores, numba, cache = report["cores"], report["numba"], report["cache"]
    processor = report["processor"]
    rows = [
        ["sparserec_np", report["sparserec_np"]],
        ["python", report["python"]],
        ["platform", report["platform"]],
        *([name, version or "missing"] for name, version in report["packages"].items()),
        ["cores", f"{cores['usable']} usable of {cores['present']}"],
        ["processor", processor["name"] or "unknown"],
        [
            "kernels tried",
            f"{len(processor['kernels'])}, unfolded rows by {processor['unfolded_rows'] or 'none'}",
        ],
        [
            "numba threading layer",
            f"{numba['threading_layer'] or 'none'}, threads: {numba['threads'] or 'none'}",
        ],
        [
            "numba cache",
            _cache_in_words(cache),
        ],
        *(
            ["blas pool", f"{pool['library']} {pool['version']}, threads: {pool['threads']}"]
            for pool in report["blas"]
        ),
    ]
    click.echo(table(rows))
    click.echo()
    if report["ok"]:
        click.echo("Everything works.")
    for problem in report["problems"]:
        click.echo(f"Problem: {problem}")
