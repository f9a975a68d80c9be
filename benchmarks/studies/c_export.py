"""Does a model as C give everybody the lists that NumPy and Numba give, and how large is it?

    python -m benchmarks.studies.c_export RUN [--n 20] [--cc cc] [--cflags "-std=c99 -O2"] [--json]

About 1 minute. Writes the model in RUN as C into a temporary folder, compiles it with every warning
an error, and compares the lists of all users, ids and scores to the last bit. Exits with 1 if any
differ. Needs a C compiler and `size`.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import sparserec_np
from benchmarks.arguments import parser_of
from benchmarks.output import tell
from benchmarks.timing import timed
from sparserec_np.serving.c.export import HEADER, MAIN
from sparserec_np.training.saving import restore

STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
Lists = list[list[str]]


def main() -> int:
    """Measures, prints and returns the exit code."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("run", help="a run directory or a model file")
    parser.add_argument("--n", type=int, default=20, help="items of a list")
    parser.add_argument("--cc", default="cc", help="the compiler")
    parser.add_argument("--cflags", default="-std=c99 -O2", help="what it is given besides warnings")
    given = parser.parse_args()
    compiler = [*shlex.split(given.cc), *shlex.split(given.cflags), *STRICT]
    report = measure(given.run, given.n, compiler)
    tell(report, given.json, written)
    return 0 if report["differ_from_numpy"] == report["differ_from_numba"] == 0 else 1


def written(report: dict[str, Any]) -> str:
    """Writes a line for each figure."""
    return "\n".join(f"{name.replace('_', ' '):28}{value:,}" for name, value in report.items())


def measure(run: str, n: int, compiler: list[str]) -> dict[str, Any]:
    """Measures sizes and seconds, and counts the users whose lists differ."""
    model = sparserec_np.load_model(run)
    by_c, report = lists_of_c(model, n, compiler)
    return {
        "users": len(by_c),
        "differ_from_numpy": differing(by_c, lists_of_numpy(run, n)),
        "differ_from_numba": differing(by_c, lists_of_numba(model, n)),
        **report,
    }


def lists_of_c(model: Any, n: int, compiler: list[str]) -> tuple[Lists, dict[str, Any]]:
    """Lists for all users by the compiled program; returns bytes and seconds of that, too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = folder / "recommend"
        sizes, write_seconds = timed(lambda: sparserec_np.write_c(model, folder))
        command = [*compiler, f"-DMOST_ITEMS={n}", "-o", program, folder / MAIN]
        _, compile_seconds = timed(lambda: subprocess.run(command, check=True))
        output, run_seconds = timed(lambda: subprocess.check_output([program, "-", str(n)]))
        parts = subprocess.check_output(["size", program], text=True).splitlines()[1].split()
        header_bytes = (folder / HEADER).stat().st_size
    lines = output.decode().removesuffix("\n").split("\n")
    return [line.split("\t")[1:] for line in lines], {
        **{f"{part}_bytes": count for part, count in sizes.items()},
        **{f"size_{part}": int(count) for part, count in zip(("text", "data", "bss"), parts, strict=False)},
        "header_text_bytes": header_bytes,
        "write_seconds": round(write_seconds, 2),
        "compile_seconds": round(compile_seconds, 2),
        "rank_all_seconds": round(run_seconds, 2),
    }


def lists_of_numpy(run: str, n: int) -> Lists:
    """Lists for all users by the runtime, which is NumPy alone."""
    recommender = sparserec_np.Recommender.open(run)
    ids = recommender.user_ids
    return [printed(*recommender.recommend(ids[row], n)) for row in range(len(ids))]


def lists_of_numba(model: Any, n: int) -> Lists:
    """Lists for all users by the compiled kernel."""
    seen = sparserec_np.Interactions(model.seen_indptr, model.seen_items, model.user_ids, model.item_ids)
    rows = np.arange(model.users.rows, dtype=np.int32)
    items, scores = restore(model).ranker().rank(rows, n, seen)
    return [
        printed(model.item_ids[own[own >= 0]].tolist(), reached[own >= 0].tolist())
        for own, reached in zip(items, scores, strict=True)
    ]


def printed(items: list[Any], scores: list[float]) -> list[str]:
    """Writes a list as the C program prints it: nine digits tell any two float32 apart."""
    return [word for item, score in zip(items, scores, strict=True) for word in (str(item), f"{score:.9g}")]


def differing(one: Lists, other: Lists) -> int:
    """Counts the users whose lists are not the same."""
    return sum(a != b for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    sys.exit(main())
