"""What each part of the method adds, and how it stands beside other ways to spend the same budget.

    python benchmarks/quality.py DATA -o results.json [--plan ladder others headline losses] [--threads 2] [--jobs 1]

DATA is a folder with train.txt.gz and test.txt.gz. Every row is trained by the installed command ``sparserec``, in a
process of its own. Where a row has several settings to choose from, each is trained with a tenth of the training data
held out, and the one with the best NDCG@20 there is trained again on all training data and evaluated on the test part:
once, at the end. Peak memory is the operating system's figure for the process that trained. Results are added to the
JSON file row by row, so that a run can be stopped and taken up again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import version

# A learning rate out of place would decide a comparison: methods that stand beside each other choose from one grid.
GRID = [("--learning-rate", rate) for rate in ("0.003", "0.01", "0.03")]
BUDGET = ("--dim", "64", "--density", "0.1")
ALONE = ("--epochs", "0", "--validation", "0")
Choices = list[tuple[str, ...]]


def ladder() -> dict[str, Choices]:
    """Each rung adds one part of the method to the one before; by row name, the settings to choose from."""
    rows: dict[str, Choices] = {
        f"start alone: {start}": [(*BUDGET, "--start", start, *ALONE)]
        for start in ("uniform", "nmf", "spectral", "als", "condensed")
    }
    rungs = {
        "stored entries trained": ("--method", "static"),
        "+ random growth": ("--method", "set"),
        "+ last-batch growth": ("--method", "rigl"),
        "+ accumulated growth, all rows": ("--method", "sparserec", "--explore", "1"),
        "+ accumulated growth, sampled rows": ("--method", "sparserec"),
    }
    for loss in ("softmax", "bpr"):
        for start in ("spectral", "uniform"):
            for name, rung in rungs.items():
                options = (*BUDGET, "--loss", loss, "--start", start, *rung)
                tuned = loss == "softmax" and start == "spectral"
                rows[f"{loss}, {start} start: {name}"] = (
                    [(*options, *rate) for rate in GRID] if tuned else [options]
                )
    for start in ("als", "condensed"):
        for name in ("stored entries trained", "+ accumulated growth, sampled rows"):
            options = (*BUDGET, "--start", start, *rungs[name])
            rows[f"softmax, {start} start: {name}"] = [(*options, *rate) for rate in GRID]
    return rows


def others() -> dict[str, Choices]:
    """Other ways to spend the same entries, from the same start and choosing from the same grid; and the full table."""
    names = ("magnitude", "dense-small", "dense")
    return {f"method {name}": [(*BUDGET, "--method", name, *rate) for rate in GRID] for name in names}


def headline() -> dict[str, Choices]:
    """The default settings, with a method, a dimension, a density or a loss and nothing else."""
    dense = ("--method", "dense", "--loss", "bpr", "--dim", "64")
    return {
        "dense BPR, dim 64": [dense],
        "dense BPR, dim 64, start at random": [(*dense, "--start", "uniform")],
        "sparserec, dim 64, density 0.1": [BUDGET],
        "sparserec with BPR, dim 64, density 0.1": [(*BUDGET, "--loss", "bpr")],
        "sparserec, dim 256, density 0.025": [("--dim", "256", "--density", "0.025")],
    }


def losses() -> dict[str, Choices]:
    """The losses of today's strongest matrix factorisations, on the sparse table and on a full one, and NeuMF."""
    tables = {"density 0.1": BUDGET, "dense": ("--dim", "64", "--method", "dense")}
    rows: dict[str, Choices] = {
        f"{loss}, {name}": [(*table, "--loss", loss, "--start", "spectral")]
        for loss in ("bsl", "softmax")
        for name, table in tables.items()
    }
    return rows | {"NeuMF, density 0.1": [(*BUDGET, "--model", "neumf")]}


PLANS = {"ladder": ladder, "others": others, "headline": headline, "losses": losses}


def command(*arguments: str) -> tuple[str, float, int]:
    """Standard output, wall seconds and peak resident bytes of ``sparserec`` with these arguments."""
    script = shutil.which("sparserec", path=os.path.dirname(sys.executable)) or "sparserec"
    clock = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([script, *arguments], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"sparserec {' '.join(arguments)} failed")
        seconds = time.perf_counter() - clock
        output.seek(0)
        return output.read(), seconds, usage.ru_maxrss * 1024


def train(data: str, run: str, threads: str, options: tuple[str, ...]) -> tuple[dict, float, int]:
    """The report of one training run, its wall seconds and its peak resident bytes."""
    text, seconds, peak = command(
        "train", os.path.join(data, "train.txt.gz"), "-o", run, "--threads", threads, "--json", *options
    )
    return json.loads(text), seconds, peak


def measure(data: str, threads: str, choices: Choices) -> dict:
    """Chooses among the settings by validation, trains on all data, and evaluates on the test part."""
    with tempfile.TemporaryDirectory() as folder:
        run = os.path.join(folder, "run")
        tried = []
        if len(choices) > 1:
            for options in choices:
                report, seconds, _ = train(data, run, threads, (*options, "--no-refit"))
                reached = report["validation_ndcg@20"]
                tried.append({"options": options, "validation_ndcg@20": reached, "seconds": seconds})
                print("   ", f"{reached:.4f}", f"{seconds:.0f} s", *options, flush=True)
            best = max(tried, key=lambda entry: entry["validation_ndcg@20"])["options"]
        else:
            best = choices[0]
        report, seconds, peak = train(data, run, threads, best)
        text, _, _ = command(
            "evaluate", run, os.path.join(data, "test.txt.gz"), "--json", "--threads", threads
        )
        tested = json.loads(text)
    return {
        "options": best,
        "tried": tried,
        "recall@20": tested["recall@20"],
        "ndcg@20": tested["ndcg@20"],
        "validation_ndcg@20": report.get("validation_ndcg@20"),
        "best_epoch": report["best_epoch"],
        "nnz": report["nnz"],
        "serving_bytes": report["serving_bytes"],
        "train_seconds": seconds,
        "peak_resident_bytes": peak,
    }


def markdown(results: dict) -> str:
    """The rows as a table."""
    lines = [
        "| row | R@20 | N@20 | held-out N@20 | entries | served MB | train s | peak MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in results["rows"].items():
        held = "-" if row["validation_ndcg@20"] is None else f"{row['validation_ndcg@20']:.4f}"
        lines.append(
            f"| {name} | {row['recall@20']:.4f} | {row['ndcg@20']:.4f} | {held} | {row['nnz']:,} |"
            f" {row['serving_bytes'] / 1e6:.2f} | {row['train_seconds']:.0f} | {row['peak_resident_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs the plans asked for, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder with train.txt.gz and test.txt.gz")
    parser.add_argument("-o", "--output", required=True, help="JSON file to add results to")
    parser.add_argument("--plan", nargs="+", choices=PLANS, default=["headline"])
    parser.add_argument("--threads", default="2")
    parser.add_argument(
        "--jobs", type=int, default=1, help="rows at once; with more than one, times mean little"
    )
    given = parser.parse_args()
    results: dict = {"rows": {}}
    if os.path.exists(given.output):
        with open(given.output, encoding="utf-8") as stream:
            results = json.load(stream)
    results["machine"] = {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": int(given.threads),
        "jobs": given.jobs,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "numba", "scipy", "scikit-learn", "sparserec_np")},
    }
    rows = {name: choices for plan in given.plan for name, choices in PLANS[plan]().items()}
    missing = {name: choices for name, choices in rows.items() if name not in results["rows"]}
    with ThreadPoolExecutor(given.jobs) as pool:
        runs = {
            pool.submit(measure, given.data, given.threads, choices): name
            for name, choices in missing.items()
        }
        for run in as_completed(runs):
            results["rows"][runs[run]] = run.result()
            unfinished = given.output + ".unfinished"
            with open(unfinished, "w", encoding="utf-8") as stream:
                json.dump(results, stream, indent=1)
            os.replace(unfinished, given.output)
    results["rows"] = {name: results["rows"][name] for name in rows} | results["rows"]
    print(markdown(results))


if __name__ == "__main__":
    main()
