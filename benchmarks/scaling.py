"""Seconds an epoch and peak memory from ten thousand rows to ten million, each size in a process of its own.

    python benchmarks/scaling.py [--quick] [--most 1000000] [--threads 2] [--epochs 2]

Density, dimension and interactions per row stay as they are, so time and memory should grow as the rows do: both are
drawn over the rows on logarithmic axes, with a line of slope one. The data are generated, two users to an item, and
written as mapped files, which go again. No part is held out. The largest size up to 100,000 rows is also
trained with one thread and with two, and both model files must have the same bytes.

Peak memory is given twice: all of it, and without the pages of the mapped file, which the system can take back at any
time. Writes ``scaling.json`` and ``scaling.png`` to ``results`` beside this file; exits with 1 if the files differ.
The picture needs matplotlib (``pip install matplotlib``); without it the figures are written all the same.

Ten million rows are a hundred million interactions: 2.7 GB of memory, 1 GB of disk and about 15 minutes on two cores,
of which the last epoch of two is a third (`--epochs 1` saves it, and the topology update with it).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
QUICK = 100_000
RESULTS = Path(__file__).parent / "results"


class AnonymousPeak:
    """Watches how much memory that belongs to no file this process has resident, bytes (Linux; elsewhere None)."""

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
        while os.path.exists("/proc/self/status"):
            with open("/proc/self/status") as stream:
                found = [line for line in stream if line.startswith("RssAnon:")]
            if not found:
                return
            self.most = max(self.most or 0, 1024 * int(found[0].split()[1]))
            if self._end.wait(0.05):
                return


def generate(path: str, rows: int, per_row: int) -> None:
    """Writes the interactions of ``rows`` users and items together."""
    from sparserec_np.data.formats import write_interactions
    from sparserec_np.data.synthetic import generate

    items = rows // 3
    log = generate(rows - items, items, per_row * rows, groups=max(20, rows // 5000), seed=0)
    write_interactions(log, path)


def measure(path: str, given: argparse.Namespace, threads: int) -> dict[str, Any]:
    """One training run in this process."""
    from sparserec_np import Config, read_interactions, save_run, train

    with AnonymousPeak() as anonymous, tempfile.TemporaryDirectory() as folder:
        clock = time.perf_counter()
        log = read_interactions(path)
        reading = time.perf_counter() - clock
        config = Config(
            dim=given.dim, density=given.density, epochs=given.epochs, validation=0, learning_rate=0.01
        )
        fitted = train(log, config, threads=threads)
        clock = time.perf_counter()
        run = os.path.join(folder, "run")
        save_run(run, fitted, log)
        saving = time.perf_counter() - clock
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
        "peak_resident": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "peak_anonymous": anonymous.most,
        "sha256": sha.hexdigest(),
    }


def in_a_process(words: list[str], threads: int = 1) -> str:
    """Standard output of this script, run with other words and so many threads."""
    done = subprocess.run(
        [sys.executable, __file__, *words],
        env={**os.environ, "NUMBA_NUM_THREADS": str(threads)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Both measures over the rows. Raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [one["rows"] for one in results]
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
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
    figure.savefig(path, dpi=150)


def main() -> int:
    """Runs all sizes and writes what they took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"up to {QUICK:,} rows")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="leave out sizes above")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--per-row", type=int, default=10, help="interactions for each row")
    parser.add_argument("--epochs", type=int, default=2, help="the mask changes in the first of two")
    parser.add_argument(
        "--folder", help="where the data are written for a while (default: the temporary folder)"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of scaling.json and scaling.png")
    parser.add_argument("--generate", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.generate:
        generate(given.file, given.generate, given.per_row)
        return 0
    if given.measure:
        print(json.dumps(measure(given.file, given, given.threads)))
        return 0
    for name in ("threads", "dim", "per_row", "epochs"):
        if getattr(given, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be 1 or more, found {getattr(given, name)}")
    sizes = [size for size in SIZES if size <= (min(given.most, QUICK) if given.quick else given.most)]
    if not sizes:
        parser.error(f"--most must be {SIZES[0]:,} or more, found {given.most:,}")
    settings = [
        f"--dim={given.dim}",
        f"--density={given.density}",
        f"--epochs={given.epochs}",
        f"--per-row={given.per_row}",
    ]
    results, same = [], {}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = os.path.join(folder, "log.safetensors")

        def run(threads: int) -> dict[str, Any]:
            words = ["--measure", "--file", path, "--threads", str(threads), *settings]
            measured: dict[str, Any] = json.loads(in_a_process(words, threads))
            return measured

        in_a_process(["--generate", "1000", "--file", path, *settings])
        run(given.threads)  # compiles, which takes time and memory of its own
        for rows in sizes:
            in_a_process(["--generate", str(rows), "--file", path, *settings])
            if rows <= QUICK:
                same = {str(threads): run(threads)["sha256"] for threads in (1, 2)}
            results.append(run(given.threads))
            one = results[-1]
            print(
                f"{one['rows']:>11,} rows {one['interactions']:>12,} interactions: start {one['start_seconds']:8.1f} s,"
                f" epoch {one['epoch_seconds']:8.1f} s, peak {one['peak_resident'] / 1e6:8,.0f} MB",
                flush=True,
            )
    report = {
        "settings": {
            "dim": given.dim,
            "density": given.density,
            "epochs": given.epochs,
            "per_row": given.per_row,
            "threads": given.threads,
        },
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
        "sizes": results,
        "sha256_by_threads": same,
    }
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "scaling.json").write_text(json.dumps(report, indent=2) + "\n")
    try:
        draw(results, given.output / "scaling.png")
    except ImportError:
        print("The picture needs matplotlib: pip install matplotlib, and run this again.", file=sys.stderr)
    if len(set(same.values())) > 1:
        print(f"The model files of one thread and of two differ: {same}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
