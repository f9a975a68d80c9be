"""How do the seconds of an epoch and the peak of memory grow from ten thousand rows to ten million?

    python -m benchmarks.studies.scaling [--quick] [--most 1000000] [--threads 2] [--epochs 2]
    [--model fism --start spectral --dim 512 --entries-per-row 6.4 --pairs-together 8
    --name scaling-fism] [--json]

About 15 minutes on two cores (1 minute with `--quick`), 2.7 GB of memory and 1 GB of disk: ten
million rows are a hundred million interactions. The last epoch of two is a third of it; `--epochs
1` saves it, and the topology update with it.

Density, dimension and interactions per row stay as they are, so time and memory should grow as the
rows do: both are drawn over the rows on logarithmic axes, with a line of slope one. The data are
generated, two users to an item, and written as mapped files, which go again. No part is held out.
Each size is measured in a process of its own. The largest size up to 100,000 rows is also trained
with one thread and with two, and both model files must have the same bytes.

Peak memory is given twice: all of it, and without the pages of the mapped file, which the system
can take back at any time. Writes NAME.json and NAME.png to benchmarks/results; exits with 1 if the
files differ. The picture needs matplotlib; without it the figures are written all the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import sparserec_np
from benchmarks import machine
from benchmarks.arguments import parser_of
from benchmarks.output import find_pyplot, save_picture, write_json
from benchmarks.processes import memory, peak_resident, run_module
from benchmarks.timing import timed
from sparserec_np.kernels.sharing import sharing_at_once

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
QUICK = 100_000
SETTINGS = ("model", "start", "dim", "entries_per_row", "epochs", "per_row", "pairs_together")
RESULTS = machine.CHECKOUT / "benchmarks/results"


class AnonymousPeak:
    """A watch over the memory of this process that belongs to no file.

    Attributes:
        most: the peak so far, bytes; None on systems but Linux.
    """

    def __init__(self) -> None:
        self.most: int | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> AnonymousPeak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while found := memory("RssAnon"):
            self.most = max(self.most or 0, found)
            if self._end.wait(0.05):
                return


def generate(path: str, rows: int, per_row: int) -> None:
    """Writes the interactions of ``rows`` users and items together."""
    items = rows // 3
    groups = max(20, rows // 5000)
    log = sparserec_np.generate(rows - items, items, per_row * rows, groups=groups, seed=0)
    sparserec_np.write_interactions(log, path)


def measure(path: str, given: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Measures one training run in this process."""
    with AnonymousPeak() as anonymous, tempfile.TemporaryDirectory() as folder:
        log, reading = timed(lambda: sparserec_np.read_interactions(path))
        config = sparserec_np.Config(
            model=given.model,
            start=given.start,
            dim=given.dim,
            entries=round(given.entries_per_row * (log.n_users + log.n_items)),
            epochs=given.epochs,
            pairs_together=given.pairs_together,
            validation=0,
            learning_rate=0.01,
        )
        with sharing_at_once():
            fitted = sparserec_np.train(log, config, threads=threads)
        run = os.path.join(folder, "run")
        _, saving = timed(lambda: sparserec_np.save_run(run, fitted, log))
        sha = hashlib.sha256()
        with open(os.path.join(run, "model.safetensors"), "rb") as stream:
            while block := stream.read(1 << 24):
                sha.update(block)
    epochs = [record["seconds"] for record in fitted.history if record["epoch"]]
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "rows": log.n_users + log.n_items,
        "interactions": log.n_interactions,
        "nnz": fitted.model.table.nnz,
        "threads": threads,
        "reading_seconds": reading,
        "start_seconds": fitted.history[0]["seconds"],
        "epoch_seconds": sum(epochs) / len(epochs),
        "saving_seconds": saving,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "loss": fitted.history[-1]["loss"],
        "peak_resident": peak_resident(),
        "peak_anonymous": anonymous.most,
        "sha256": sha.hexdigest(),
    }


def in_a_process(task: str, path: str, given: argparse.Namespace, *more: object, threads: int = 1) -> str:
    """Asks this study for one task with a file, in a process of its own; returns what it prints."""
    settings = [f"--{name.replace('_', '-')}={getattr(given, name)}" for name in SETTINGS]
    words = [f"--{task}", *map(str, more), "--file", path, "--threads", str(threads), *settings]
    return run_module("benchmarks.studies.scaling", words, threads)


def measure_in_a_process(path: str, given: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Measures one training run in a process of its own."""
    measured: dict[str, Any] = json.loads(in_a_process("measure", path, given, threads=threads))
    return measured


def measure_sizes(given: argparse.Namespace, sizes: list[int]) -> dict[str, Any]:
    """Measures all sizes, and the digests of one of them on one thread and on two."""
    results: list[dict[str, Any]] = []
    same: dict[str, str] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = os.path.join(folder, "log.safetensors")
        in_a_process("generate", path, given, 1000)
        measure_in_a_process(path, given, given.threads)  # compiles, which takes time and memory of its own
        for rows in sizes:
            in_a_process("generate", path, given, rows)
            if rows <= QUICK:
                same = {str(n): measure_in_a_process(path, given, n)["sha256"] for n in (1, 2)}
            one = measure_in_a_process(path, given, given.threads)
            results.append(one)
            print(
                f"{one['rows']:>11,} rows {one['interactions']:>12,} interactions: start {one['start_seconds']:8.1f} s,"
                f" epoch {one['epoch_seconds']:8.1f} s, peak {one['peak_resident'] / 1e6:8,.0f} MB",
                file=sys.stderr if given.json else sys.stdout,
                flush=True,
            )
    return {"sizes": results, "sha256_by_threads": same}


def draw(pyplot: Any, results: list[dict[str, Any]], path: Path) -> None:
    """Draws both measures over the rows."""
    rows = [one["rows"] for one in results]
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained", dpi=150)
    curves = {
        axes[0]: ("seconds", [("an epoch", "epoch_seconds", 1), ("the start", "start_seconds", 1)]),
        axes[1]: (
            "peak memory, MB",
            [("resident", "peak_resident", 1e6), ("of no file", "peak_anonymous", 1e6)],
        ),
    }
    for axis, (label, lines) in curves.items():
        for name, key, unit in lines:
            if all(one[key] is not None for one in results):
                axis.loglog(rows, [one[key] / unit for one in results], marker="o", label=name)
        last = results[-1][lines[0][1]] / lines[0][2]
        axis.loglog(rows, [last * row / rows[-1] for row in rows], "k:", linewidth=1, label="slope one")
        axis.set(xlabel="rows (users and items)", ylabel=label)
        axis.grid(alpha=0.3)
        axis.legend()
    save_picture(figure, path)


def parse() -> argparse.Namespace:
    """Reads the arguments and checks them."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("--quick", action="store_true", help=f"up to {QUICK:,} rows")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="leave out sizes above")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--model", default="mf", help="base recommender")
    parser.add_argument("--start", default="spectral", help="what it starts from")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument(
        "--entries-per-row",
        type=float,
        default=6.4,
        help="stored entries for each user and item, whoever stores them",
    )
    parser.add_argument("--per-row", type=int, default=10, help="interactions for each row")
    parser.add_argument("--epochs", type=int, default=2, help="the mask changes in the first of two")
    parser.add_argument("--pairs-together", type=int, default=1, help="most pairs of a user in a batch")
    parser.add_argument(
        "--folder", help="where the data are written for a while (default: the temporary folder)"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the figures and the picture")
    parser.add_argument("--name", default="scaling", help="of both files")
    parser.add_argument("--generate", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    given = parser.parse_args()
    for name in ("threads", "dim", "per_row", "epochs", "pairs_together"):
        if getattr(given, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be 1 or more, found {getattr(given, name)}")
    if given.most < SIZES[0]:
        parser.error(f"--most must be {SIZES[0]:,} or more, found {given.most:,}")
    return given


def main() -> int:
    """Runs all sizes and writes what they took."""
    given = parse()
    if given.generate:
        generate(given.file, given.generate, given.per_row)
        return 0
    if given.measure:
        print(json.dumps(measure(given.file, given, given.threads)))
        return 0
    most = min(given.most, QUICK) if given.quick else given.most
    settings = {name: getattr(given, name) for name in (*SETTINGS, "threads")}
    report = {"settings": settings, "machine": machine.describe(given.threads)}
    report |= measure_sizes(given, [size for size in SIZES if size <= most])
    given.output.mkdir(parents=True, exist_ok=True)
    write_json(given.output / f"{given.name}.json", report)
    if pyplot := find_pyplot():
        draw(pyplot, report["sizes"], given.output / f"{given.name}.png")
    else:
        print("The picture needs matplotlib: pip install matplotlib, and run this again.", file=sys.stderr)
    if given.json:
        print(json.dumps(report))
    same = report["sha256_by_threads"]
    if len(set(same.values())) > 1:
        print(f"The model files of one thread and of two differ: {same}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
