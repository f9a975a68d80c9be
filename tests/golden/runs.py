"""Small runs of the command, one of each kind, and the SHA-256 sums of the files they write.

A change that moves code leaves every byte of a model as it was. ``python -m tests.golden.runs``
prints the sums and, with ``--write``, keeps them in ``sums.json``, beside what they were made with:
bytes differ between processors, BLAS kernels and versions of the packages below.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import llvmlite.binding
import threadpoolctl
from click.testing import CliRunner

import sparserec_np
from cli.main import main

SUMS = Path(__file__).with_name("sums.json")
PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "llvmlite")
SAVED_VERSION = '"library_version":"0.1.0"'  # which a model file tells, and which may change

SHORT = "--dim 12 --density 0.3 --epochs 3 --learning-rate 0.01 --batch-size 128"
# Name of a run -> the options of `train`.
TRAININGS = {
    "sparserec-uniform": f"{SHORT} --start uniform",
    "rigl-nmf": f"{SHORT} --method rigl --start nmf",
    "set-spectral": f"{SHORT} --method set --start spectral --optimizer sgd",
    "static-als": f"{SHORT} --method static --start als --optimizer adagrad",
    "magnitude-spectral": f"{SHORT} --method magnitude --start spectral --loss bpr",
    "granet-uniform": f"{SHORT} --method granet --start uniform",
    "dense-small": f"{SHORT} --method dense-small --start spectral --negatives 1 --loss bpr",
    "dense-uniform": f"{SHORT} --method dense --start uniform --loss bce --embedding-dropout 0.2",
    "search": "--dim 16 --density 0.3 --epochs 4 --evaluate-every 2 --batch-size 256",
    "condensed": f"{SHORT} --start condensed --importance gradient --explore 0.5",
    "bsl": f"{SHORT} --loss bsl --start spectral --decay-to zero --l2-user 0.01 --l2-positive 0.01",
    "budget-no-validation": "--dim 300 --memory-budget 40kB --epochs 2 --validation 0 --loss ccl --batch-size 128",
    "lightgcn": f"{SHORT} --model lightgcn --layers 2 --no-refit",
    "neumf": f"{SHORT} --model neumf --hidden 8",
    "popularity": "--model popularity",
    "itemknn": "--model itemknn --neighbours 20",
    "cells-softmax": f"{SHORT} --order cells --start spectral",
    "cells-pairs": f"{SHORT} --order cells --loss bpr --negatives 1 --optimizer sgd --start spectral",
}
EXPORTED = "static-als"


def made_with() -> dict[str, Any]:
    """What the bytes of a model depend on, besides the code."""
    import scipy.linalg  # noqa: F401  # its BLAS is loaded with it

    features = ",".join(sorted(name for name, on in llvmlite.binding.get_host_cpu_features().items() if on))
    return {
        "processor": llvmlite.binding.get_host_cpu_name(),
        "features": hashlib.sha256(features.encode()).hexdigest()[:16],
        "overridden": os.environ.get("NUMBA_CPU_NAME", ""),
        "blas": sorted(
            f"{pool['internal_api']} {pool.get('architecture', '')}"
            for pool in threadpoolctl.threadpool_info()
            if pool["user_api"] == "blas" and "torch" not in pool["filepath"]
        ),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def sums() -> dict[str, str]:
    """File -> its sum, for every file that the runs write."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # settings name their files as they were given
        try:
            _run_all()
            return {
                path.as_posix(): _sum_of(path) for path in sorted(Path(".").rglob("*")) if _is_result(path)
            }
        finally:
            os.chdir(before)


def _run_all() -> None:
    _call("data generate all.csv --users 90 --items 70 --interactions 1500 --groups 6 --seed 5")
    _call("data split all.csv -o . --test 0.2 --to csv --seed 1")
    for name, options in TRAININGS.items():
        _call(f"train train.csv -o {name} --threads 1 {options}")
    _call(f"distill lightgcn train.csv -o distilled --threads 1 {SHORT}")
    _call(f"update {EXPORTED} test.csv -o updated --threads 1")
    _call("update condensed test.csv -o updated-condensed --threads 1 --validation 0")
    for dtype in ("float32", "float16", "int8"):
        _call(f"export {EXPORTED} -o exported/{dtype}.safetensors --dtype {dtype}")
    _call(f"export {EXPORTED} -o without-users.safetensors --drop users --drop seen")
    _call(f"export {EXPORTED} -o c-source --to c")


def _call(arguments: str) -> None:
    os.makedirs("exported", exist_ok=True)
    done = CliRunner().invoke(main, arguments.split(), catch_exceptions=False)
    if done.exit_code:
        raise RuntimeError(f"sparserec {arguments}: {done.output}")


def _is_result(path: Path) -> bool:
    return path.suffix in (".safetensors", ".h", ".c") or path.name in ("config.json", "Makefile")


def _sum_of(path: Path) -> str:
    content = path.read_bytes()
    own = f'"library_version":"{sparserec_np.__version__}"'
    assert len(own) == len(SAVED_VERSION)  # or the header would change its length
    return hashlib.sha256(content.replace(own.encode(), SAVED_VERSION.encode())).hexdigest()


if __name__ == "__main__":
    found = {"made_with": made_with(), "sums": sums()}
    text = json.dumps(found, indent=1)
    if "--write" in sys.argv:
        SUMS.write_text(text + "\n")
    else:
        sys.stdout.write(text)
