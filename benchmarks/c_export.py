"""A trained model as C: its size, and whether it gives everybody the lists that NumPy and Numba give.

    python benchmarks/c_export.py RUN [--n 20] [--cc cc] [--cflags "-std=c99 -O2"] [--json]

Writes the model in RUN as C into a temporary folder, compiles it with every warning an error, and compares the lists
of all users, ids and scores to the last bit. Exits with 1 if any differ.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from sparserec_np.data.table import SparseTable
from sparserec_np.kernels.compiled.ranking import top_items
from sparserec_np.runtime import Recommender
from sparserec_np.serving.c.export import HEADER, MAIN, write_c
from sparserec_np.serving.model_file import load_model

STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]


def main() -> int:
    """Measures, prints and returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--cflags", default="-std=c99 -O2")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    report = measure(given.run, given.n, [*shlex.split(given.cc), *shlex.split(given.cflags), *STRICT])
    if given.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name.replace('_', ' '):28}{value:,}" if isinstance(value, int) else f"{name:28}{value}")
    return 0 if report["differ_from_numpy"] == report["differ_from_numba"] == 0 else 1


def measure(run: str, n: int, compiler: list[str]) -> dict[str, Any]:
    """Sizes, seconds, and the number of users whose lists differ."""
    model = load_model(run)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes, write_seconds = timed(lambda: write_c(model, folder))
        command = [*compiler, f"-DMOST_ITEMS={n}", "-o", folder / "recommend", folder / MAIN]
        _, compile_seconds = timed(lambda: subprocess.run(command, check=True))
        output, run_seconds = timed(lambda: subprocess.check_output([folder / "recommend", "-", str(n)]))
        size = subprocess.check_output(["size", folder / "recommend"], text=True).splitlines()[1].split()
        header_bytes = (folder / HEADER).stat().st_size
    lines = output.decode().removesuffix("\n").split("\n")
    by_c = [line.split("\t")[1:] for line in lines]
    recommender = Recommender.open(run)
    ids = recommender.user_ids
    by_numpy = [printed(*recommender.recommend(ids[row], n)) for row in range(len(ids))]
    rows = np.arange(model.users.rows, dtype=np.int32)
    items, scores = np.empty((len(rows), n), np.int32), np.empty((len(rows), n), np.float32)
    users = SparseTable(*(np.require(array, requirements=["C", "A", "W"]) for array in model.users))
    top_items(
        users,
        model.items.by_column(model.dim),
        model.items.rows,
        model.seen_indptr,
        model.seen_items,
        rows,
        items,
        scores,
    )
    by_numba = [
        printed(model.item_ids[items[row][items[row] >= 0]].tolist(), scores[row][items[row] >= 0].tolist())
        for row in rows.tolist()
    ]
    return {
        "users": len(by_c),
        "differ_from_numpy": differing(by_c, by_numpy),
        "differ_from_numba": differing(by_c, by_numba),
        **{f"{name}_bytes": count for name, count in sizes.items()},
        **{f"size_{name}": int(count) for name, count in zip(("text", "data", "bss"), size, strict=False)},
        "header_text_bytes": header_bytes,
        "write_seconds": round(write_seconds, 2),
        "compile_seconds": round(compile_seconds, 2),
        "rank_all_seconds": round(run_seconds, 2),
    }


def timed(action: Any) -> tuple[Any, float]:
    """What an action returns, and how long it takes."""
    start = time.perf_counter()
    return action(), time.perf_counter() - start


def printed(items: list[Any], scores: list[float]) -> list[str]:
    """A list as the C program prints it: nine digits tell any two float32 apart."""
    return [word for item, score in zip(items, scores, strict=True) for word in (str(item), f"{score:.9g}")]


def differing(one: list[list[str]], other: list[list[str]]) -> int:
    """The number of users whose lists are not the same."""
    return sum(a != b for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    sys.exit(main())
