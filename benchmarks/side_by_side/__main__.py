"""Speed and memory beside peers, in one run on one machine.

    python -m benchmarks.side_by_side DATA              about half an hour on two cores
    python -m benchmarks.side_by_side --quick [DATA]    a few minutes; generated data by default

DATA is a folder with train.txt and test.txt in LightGCN's format, plain or with .gz. Each measurement is a process of
its own; the contenders of a part take turns. The JSON file grows with every measurement: a run that was stopped goes on
where it was, as long as code, data and machine are the same. At the end the tables go into RESULTS.md, between two
marks, and pictures beside the JSON. A peer that is not installed is named as missing: pip install -e '.[bench]' has
them all.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.side_by_side import machine, plots
from benchmarks.side_by_side.contender import Setting
from benchmarks.side_by_side.parts import PARTS, Part
from benchmarks.side_by_side.processes import CHECKOUT, MeasurementError, run
from benchmarks.side_by_side.results import Results, write, write_between_marks

BENCHMARKS = CHECKOUT / "benchmarks"


def say(text: str) -> None:
    """A line for the eyes, with the time that has passed."""
    print(f"{time.perf_counter() - START:6.0f} s  {text}", file=sys.stderr, flush=True)


START = time.perf_counter()


def find_file(folder: str, stem: str) -> str:
    """``stem``.txt or ``stem``.txt.gz in the folder; leaves the program where there is none."""
    for ending in (".txt.gz", ".txt"):
        path = Path(folder) / f"{stem}{ending}"
        if path.exists():
            return str(path.resolve())
    raise SystemExit(f"Error: {folder} must hold {stem}.txt or {stem}.txt.gz")


def generate(folder: str, users: int, items: int, interactions: int) -> None:
    """Writes train.txt and test.txt, a fifth of generated interactions."""
    import numpy as np

    from sparserec_np.data.formats import write_interactions
    from sparserec_np.data.splitting import split_random
    from sparserec_np.data.synthetic import generate as generate_log

    log = generate_log(users, items, interactions, groups=20)
    for name, part in zip(("train", "test"), split_random(log, 0.2, np.random.default_rng(0)), strict=True):
        write_interactions(part, os.path.join(folder, f"{name}.txt"))


def measure(name: str, part: Part, setting: Setting, tiny: Setting, results: Results) -> None:
    """All repetitions of a part that the results do not hold yet."""
    repeat = setting.pick(*part.repeat)
    wanted = {}
    results.missing[name], results.failed[name] = {}, {}
    for row, contender in part.contenders.items():
        if contender.needs and importlib.util.find_spec(contender.needs) is None:
            results.missing[name][row] = contender.needs
            say(f"{name}: {row}: {contender.needs} is not installed")
        elif results.done(name, row) < repeat:
            wanted[row] = contender
    results.save()
    if not wanted:
        return
    steps = [(None, tiny)] if any(contender.ours for contender in wanted.values()) else []
    steps += [("prepare", setting)] if part.prepare else []
    for row, where in steps:
        say(f"{name}: {'compiling' if row is None else 'preparing'}")
        try:
            run(name, row, where)
        except MeasurementError as error:
            results.failed[name]["before all rows"] = str(error)
            say(f"{name}: FAILED: {error}")
    for turn in range(repeat):
        for row, contender in wanted.items():
            if results.done(name, row) > turn or row in results.failed[name]:
                continue
            own = setting._replace(threads=contender.threads or setting.threads)
            clock = time.perf_counter()
            try:
                record = run(name, row, own)
            except MeasurementError as error:
                results.failed[name][row] = str(error)
                results.save()
                say(f"{name}: {row}: FAILED: {error}")
                continue
            results.add(name, row, record)
            took = time.perf_counter() - clock
            say(f"{name} {turn + 1}/{repeat}: {row}: {summary(record)}{took:.0f} s in all")


def summary(record: dict[str, object]) -> str:
    """The figure to watch while a run goes on."""
    seconds = record.get("seconds")
    return f"{seconds:.3f} s, " if isinstance(seconds, float) else ""


def parse() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.side_by_side", description="Speed and memory beside peers, in one run."
    )
    parser.add_argument("data", nargs="?", help="folder with train.txt[.gz] and test.txt[.gz]")
    parser.add_argument("--quick", action="store_true", help="a look at whether everything works")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="by default all")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="by default 2")
    parser.add_argument("--fresh", action="store_true", help="measure anew what an earlier run has measured")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="folder for results; by default benchmarks/results, and build/bench-quick with --quick",
    )
    given = parser.parse_args()
    if given.data is None and not given.quick:
        parser.error("DATA is missing: a folder with train.txt[.gz] and test.txt[.gz]; or give --quick")
    if not 1 <= given.threads <= (os.cpu_count() or 1):
        parser.error(f"--threads must be from 1 to {os.cpu_count()}, found {given.threads}")
    return given


def main() -> int:
    """Measures, and writes JSON, tables and pictures. Returns 1 if a measurement failed."""
    given = parse()
    folder = given.output or (CHECKOUT / "build/bench-quick" if given.quick else BENCHMARKS / "results")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        small = os.path.join(scratch, "small")
        os.makedirs(small)
        generate(small, 300, 250, 16_000)  # seven batches: LightGCN's first three are not counted
        data = given.data
        if data is None:
            data = os.path.join(scratch, "generated")
            os.makedirs(data)
            generate(data, 3000, 2500, 80_000)
        name = Path(data).resolve().name
        setting, tiny = (
            Setting(find_file(where, "train"), find_file(where, "test"), given.threads, quick, room)
            for where, quick, room in ((data, given.quick, scratch), (small, True, small))
        )
        results = Results(folder / f"{name}-side-by-side.json", describe(given, setting, name))
        if not given.fresh and (found := results.take_up()):
            say(f"going on with {found} measurements of an earlier run; --fresh starts anew")
        try:
            for part in given.parts:
                measure(part, PARTS[part], setting, tiny, results)
        except KeyboardInterrupt:
            say("stopped; the same command goes on from here")
            return 130
    where = BENCHMARKS if folder == BENCHMARKS / "results" else folder
    drawn = plots.draw(results.runs, str(folder / name))
    pictures = {part: os.path.relpath(path, where) for part, path in drawn.items()}
    if importlib.util.find_spec("matplotlib") is None:
        say("no pictures: matplotlib is not installed; pip install -e '.[bench]' has it")
    text = results.markdown(pictures)
    if where == BENCHMARKS:
        write_between_marks(BENCHMARKS / "RESULTS.md", text)
    else:
        write(folder / f"{name}-side-by-side.md", text + "\n")
    print(text)
    say(f"written: {results.path}")
    return int(any(results.failed.values()))


def describe(given: argparse.Namespace, setting: Setting, name: str) -> dict[str, object]:
    """What is measured, where, and how to do it again."""
    from sparserec_np.data.formats import read_interactions

    log = read_interactions(setting.train)
    words = ["python -m benchmarks.side_by_side", *(["--quick"] if given.quick else [])]
    words += [name] if given.data else []
    words += ["--threads", str(given.threads)]
    return {
        "data": name,
        "digest": log.digest(),
        "users": log.n_users,
        "items": log.n_items,
        "interactions": log.n_interactions,
        "quick": given.quick,
        "command": " ".join(words),
        "machine": machine.describe(given.threads),
    }


if __name__ == "__main__":
    sys.exit(main())
