"""What does each part of the method add, beside other ways to spend the same budget of entries?

    python -m benchmarks.studies.quality DATA -o OUT.json [--plan ladder others headline losses]
    [--threads 2]

About 25 minutes for Gowalla with the plan `headline` (50 with `losses`, 65 with `others`, 3 hours
with `ladder`). DATA is a folder with train.txt and test.txt, plain or with .gz. Every row is
trained by the installed command `sparserec`, in a process of its own. Where a row has several
settings to choose from, each is trained with a tenth of the training data held out, and the one
with the best NDCG@20 there is trained again on all training data and evaluated on the test part:
once, at the end. Peak memory is the operating system's figure for the process that trained. Results
are added to the JSON file row by row, so that a run can be stopped and taken up again.
"""

from __future__ import annotations

import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.arguments import parser_of
from benchmarks.data import find_file
from benchmarks.figures import table
from benchmarks.installed import Done, sparserec
from benchmarks.output import write_json

# A learning rate out of place would decide a comparison: methods that stand beside each other
# choose from one grid.
GRID = [("--learning-rate", rate) for rate in ("0.003", "0.01", "0.03")]
BUDGET = ("--dim", "64", "--density", "0.1")
ALONE = ("--epochs", "0", "--validation", "0")
Choices = list[tuple[str, ...]]


def ladder() -> dict[str, Choices]:
    """Lists rungs that each add one part of the method; by row name, settings to choose from."""
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
    """Lists other ways to spend the same entries, with the same grid; and the full table."""
    names = ("magnitude", "dense-small", "dense")
    return {f"method {name}": [(*BUDGET, "--method", name, *rate) for rate in GRID] for name in names}


def headline() -> dict[str, Choices]:
    """Lists the defaults with a method, a dimension, a density or a loss and nothing else."""
    dense = ("--method", "dense", "--loss", "bpr", "--dim", "64")
    return {
        "dense BPR, dim 64": [dense],
        "dense BPR, dim 64, start at random": [(*dense, "--start", "uniform")],
        "sparserec, dim 64, density 0.1": [BUDGET],
        "sparserec with BPR, dim 64, density 0.1": [(*BUDGET, "--loss", "bpr")],
        "sparserec, dim 256, density 0.025": [("--dim", "256", "--density", "0.025")],
    }


def losses() -> dict[str, Choices]:
    """Lists losses of strong matrix factorisations, on sparse and on full tables, and NeuMF."""
    tables = {"density 0.1": BUDGET, "dense": ("--dim", "64", "--method", "dense")}
    rows: dict[str, Choices] = {
        f"{loss}, {name}": [(*table, "--loss", loss, "--start", "spectral")]
        for loss in ("bsl", "softmax")
        for name, table in tables.items()
    }
    return rows | {"NeuMF, density 0.1": [(*BUDGET, "--model", "neumf")]}


PLANS = {"ladder": ladder, "others": others, "headline": headline, "losses": losses}


def train(data: str, run: str, threads: int, options: tuple[str, ...]) -> Done:
    """Trains on the folder's train part."""
    return sparserec(
        "train", find_file(data, "train"), "-o", run, "--overwrite", "--threads", threads, *options
    )


def measure(data: str, threads: int, choices: Choices) -> dict[str, Any]:
    """Chooses among settings by validation, trains on all data and evaluates on the test part."""
    with tempfile.TemporaryDirectory() as folder:
        run = os.path.join(folder, "run")
        tried = []
        for options in choices if len(choices) > 1 else []:
            done = train(data, run, threads, (*options, "--no-refit"))
            reached = done.report["validation_ndcg@20"]
            tried.append({"options": options, "validation_ndcg@20": reached, "seconds": done.seconds})
            print("   ", f"{reached:.4f}", f"{done.seconds:.0f} s", *options, flush=True)
        best = max(tried, key=lambda entry: entry["validation_ndcg@20"])["options"] if tried else choices[0]
        report, seconds, peak = train(data, run, threads, best)
        tested = sparserec("evaluate", run, find_file(data, "test"), "--threads", threads).report
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
        "commit": machine.commit(),
    }


def markdown(rows: dict[str, dict[str, Any]]) -> str:
    """Writes the rows as a table."""
    head = ["row", "R@20", "N@20", "held-out N@20", "entries", "served MB", "train s", "peak MB"]
    lines = []
    for name, row in rows.items():
        held = "-" if row["validation_ndcg@20"] is None else f"{row['validation_ndcg@20']:.4f}"
        reached = [f"{row['recall@20']:.4f}", f"{row['ndcg@20']:.4f}", held, f"{row['nnz']:,}"]
        peak = f"{row['peak_resident_bytes'] / 1e6:.0f}"
        lines.append(
            [name, *reached, f"{row['serving_bytes'] / 1e6:.2f}", f"{row['train_seconds']:.0f}", peak]
        )
    return table(head, lines)


def main() -> None:
    """Runs the plans asked for, and prints the table."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("data", help="folder with train.txt[.gz] and test.txt[.gz]")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file to add results to")
    parser.add_argument("--plan", nargs="+", choices=PLANS, default=["headline"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--jobs", type=int, default=1, help="rows at once; with more than one, times mean little"
    )
    given = parser.parse_args()
    results: dict[str, Any] = {"rows": {}}
    if given.output.exists():
        results = json.loads(given.output.read_text(encoding="utf-8"))
    results["machine"] = machine.describe(given.threads) | {"jobs": given.jobs}
    rows = {name: choices for plan in given.plan for name, choices in PLANS[plan]().items()}
    missing = {name: choices for name, choices in rows.items() if name not in results["rows"]}
    with ThreadPoolExecutor(given.jobs) as pool:
        runs = {
            pool.submit(measure, given.data, given.threads, choices): name
            for name, choices in missing.items()
        }
        for run in as_completed(runs):
            results["rows"][runs[run]] = run.result()
            write_json(given.output, results)
    rows = {name: results["rows"][name] for name in rows} | results["rows"]
    print(json.dumps(results | {"rows": rows}) if given.json else markdown(rows))


if __name__ == "__main__":
    main()
