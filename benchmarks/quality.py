"""What each part of the method adds, and how it stands beside other ways to spend the same budget.

    python benchmarks/quality.py DATA -o results.json [--plan ladder methods headline] [--threads 2]

DATA is a folder with train.txt.gz and test.txt.gz. Every row is trained by the installed command ``sparserec``, in a
process of its own. Where a row has several settings to choose from, each is trained with a tenth of the training data
held out, and the one with the best NDCG@20 there is trained again on all training data and evaluated on the test part:
once, at the end. Peak memory is the operating system's figure for the process that trained. Results are added to the
JSON file row by row, so that a run can be stopped and taken up again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version

# A learning rate or an L2 weight out of place would decide a comparison: every trained row may choose from one grid.
RATES = (("--learning-rate", "0.003"), ("--learning-rate", "0.01"))
DECAYS = tuple(
    ("--l2-user", weight, "--l2-positive", weight, "--l2-negative", weight) for weight in ("0.003", "0.03")
)
GRID = [(*rate, *decay) for rate, decay in itertools.product(RATES, DECAYS)]
BUDGET = ("--dim", "64", "--density", "0.1")
ALONE = ("--epochs", "0", "--validation", "0")


def ladder() -> list[tuple[str, list[tuple[str, ...]]]]:
    """Each rung adds one part of the method to the one before."""
    rows: list[tuple[str, list[tuple[str, ...]]]] = [
        (f"start alone: {start}", [(*BUDGET, "--start", start, *ALONE)])
        for start in ("uniform", "nmf", "spectral")
    ]
    for loss in ("bpr", "softmax"):
        rungs = {
            "stored entries trained": ("--method", "static"),
            "+ random growth": ("--method", "set"),
            "+ last-batch growth": ("--method", "rigl"),
            "+ accumulated growth, all rows": ("--method", "sparserec", "--explore", "1"),
            "+ accumulated growth, sampled rows": ("--method", "sparserec"),
        }
        for start in ("uniform", "spectral"):
            rows += [
                (
                    f"{loss}, {start} start: {name}",
                    [(*BUDGET, "--loss", loss, "--start", start, *rung, *some) for some in GRID],
                )
                for name, rung in rungs.items()
            ]
    return rows


def methods() -> list[tuple[str, list[tuple[str, ...]]]]:
    """Every method, at the same budget and from the same start, choosing from the same grid."""
    names = ("sparserec", "rigl", "set", "static", "magnitude", "dense-small", "dense")
    return [(f"method {name}", [(*BUDGET, "--method", name, *some) for some in GRID]) for name in names]


def headline() -> list[tuple[str, list[tuple[str, ...]]]]:
    """The default settings, with a dimension and a density and nothing else."""
    return [
        ("dense BPR, dim 64", [("--method", "dense", "--loss", "bpr", "--dim", "64")]),
        ("sparserec, dim 64, density 0.1", [BUDGET]),
        ("sparserec BPR, dim 64, density 0.1", [(*BUDGET, "--loss", "bpr")]),
        ("sparserec, dim 256, density 0.025", [("--dim", "256", "--density", "0.025")]),
    ]


PLANS = {"ladder": ladder, "methods": methods, "headline": headline}


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


def measure(data: str, threads: str, choices: list[tuple[str, ...]]) -> dict:
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
    given = parser.parse_args()
    results: dict = {"rows": {}}
    if os.path.exists(given.output):
        with open(given.output, encoding="utf-8") as stream:
            results = json.load(stream)
    results["machine"] = {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": int(given.threads),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "numba", "scipy", "scikit-learn", "sparserec_np")},
    }
    for plan in given.plan:
        for name, choices in PLANS[plan]():
            if name in results["rows"]:
                continue
            print(name, flush=True)
            results["rows"][name] = measure(given.data, given.threads, choices)
            unfinished = given.output + ".unfinished"
            with open(unfinished, "w", encoding="utf-8") as stream:
                json.dump(results, stream, indent=1)
            os.replace(unfinished, given.output)
    print(markdown(results))


if __name__ == "__main__":
    main()
