"""Does the estimate of memory that training prints bound the peak that the system sees?

    python -m benchmarks.studies.memory_estimate [--train FILE] [--page PAGE.md]

About 10 minutes. Each model and start is trained for an epoch by the command, in a process of its
own and on one thread, on generated data of three sizes, or on the interactions in FILE. The peak is
that of resident memory (VmHWM), with kernels compiled before. The study fails where the peak is
above the estimate.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.arguments import add_page, parser_of
from benchmarks.figures import table
from benchmarks.machine import describe
from benchmarks.output import tell, write
from benchmarks.pages import page_of
from benchmarks.processes import environment_for

SIZES = ((2_000, 1_000, 60_000), (20_000, 5_000, 400_000), (10_000, 40_000, 1_000_000))
KINDS = (
    "--model mf --start spectral",
    "--model mf --start condensed",
    "--model mf --start als",
    "--model mf --start nmf",
    "--model mf --start uniform",
    "--model fism --user-rows sum --start spectral",
    "--model fism --user-rows sum --start fitted",
    "--model fism --user-rows neighbours --start neighbours",
    "--model fism --user-rows ridge --start als",
    "--model lightgcn --start spectral",
    "--model neumf --start spectral",
)
COMMON = "--dim 64 --density 0.1 --epochs 1 --learning-rate 0.01 --threads 1 --overwrite --json"
# The command in a process that says its peak at the end; ``ru_maxrss`` would begin with its parent's.
RUN = """
import sys
from cli.main import main
from benchmarks.processes import memory
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print(memory("VmHWM"))
"""


def measured(file: Path, kind: str, folder: Path) -> dict[str, Any]:
    """Trains once more after kernels were compiled; returns the estimate and the peak, bytes."""
    words = ["train", str(file), "-o", str(folder / "run"), *kind.split(), *COMMON.split()]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words],
        env=environment_for(1),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    report, peak = done.stdout.splitlines()
    return {"kind": kind, "estimate": json.loads(report)["memory"]["estimate"], "peak": int(peak)}


def made(folder: Path, sizes: tuple[tuple[int, int, int], ...]) -> list[tuple[str, Path]]:
    """Generates data of all sizes: what they are called, and where they are."""
    from sparserec_np import generate, write_interactions

    found = []
    for users, items, pairs in sizes:
        path = folder / f"{users}.csv"
        write_interactions(generate(users, items, pairs, seed=1), path)
        found.append((f"{users:,} users, {items:,} items, {pairs:,}", path))
    return found


def shown(rows: list[dict[str, Any]]) -> str:
    """Writes the figures as a table, in MB of a million bytes."""
    head = ["data", "model and start", "estimate MB", "peak MB", "estimate / peak"]
    cells = [
        [
            row["data"],
            row["kind"].replace("--", ""),
            f"{row['estimate']['total'] / 1e6:.0f}",
            f"{row['peak'] / 1e6:.0f}",
            f"{row['estimate']['total'] / row['peak']:.2f}",
        ]
        for row in rows
    ]
    return table(head, cells)


def main() -> int:
    """Runs the study and prints the table."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("--train", type=Path, help="interactions to train on instead")
    parser.add_argument("--quick", action="store_true", help="the smallest size alone")
    add_page(parser)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = (
            [(given.name, given.train)] if given.train else made(folder, SIZES[: 1 if given.quick else None])
        )
        for kind in KINDS:
            measured(data[0][1], kind, folder)  # compiles
            for called, path in data:
                rows.append({"data": called, **measured(path, kind, folder)})
    tell(rows, given.json, shown)
    if given.page:
        words = (
            "Memory that training prints before it begins, beside the most that the system saw of its process"
            " (VmHWM), one epoch, on one thread, kernels compiled before. Libraries count 215 MB in each estimate."
        )
        write(
            given.page,
            page_of("Memory: estimate and peak", "memory_estimate", [describe(1)], words, [shown(rows)]),
        )
    return int(any(row["peak"] > row["estimate"]["total"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
