"""Speed and memory beside peers, in one run on one machine.

    python -m benchmarks.side_by_side DATA              about half an hour on two cores
    python -m benchmarks.side_by_side --quick [DATA]    a few minutes; generated data by default

DATA is a folder with train.txt and test.txt in LightGCN's format, plain or with .gz. Each
measurement is a process of its own; the contenders of a part take turns. The JSON file grows with
every measurement: a run that was stopped goes on where it was, as long as code, data and machine
are the same. At the end the tables go into a page beside the JSON, between two marks, and so do
pictures. A peer that is not installed is named as missing: pip install -e '.[bench]' has them all.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from pathlib import Path

import sparserec_np
from benchmarks import machine
from benchmarks.data import find_file, generate_split
from benchmarks.machine import CHECKOUT
from benchmarks.side_by_side.contender import Setting
from benchmarks.side_by_side.parts import PARTS, Part
from benchmarks.side_by_side.processes import MeasurementError, run
from benchmarks.side_by_side.results import SUFFIX, Results


def say(text: str) -> None:
    """A line for the eyes, with the time that has passed."""
    print(f"{time.perf_counter() - START:6.0f} s  {text}", file=sys.stderr, flush=True)


START = time.perf_counter()


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
    folder = given.output or CHECKOUT / ("build/bench-quick" if given.quick else "benchmarks/results")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        small, data = os.path.join(scratch, "small"), given.data
        generate_split(small, 300, 250, 16_000)  # seven batches: LightGCN's first three are not counted
        if data is None:
            data = os.path.join(scratch, "generated")
            generate_split(data, 3000, 2500, 80_000)
        name = Path(data).resolve().name
        setting, tiny = (
            Setting(find_file(where, "train"), find_file(where, "test"), given.threads, quick, room)
            for where, quick, room in ((data, given.quick, scratch), (small, True, small))
        )
        results = Results(folder / f"{name}{SUFFIX}.json", describe(given, setting, name))
        if not given.fresh and (found := results.take_up()):
            say(f"going on with {found} measurements of an earlier run; --fresh starts anew")
        try:
            for part in given.parts:
                measure(part, PARTS[part], setting, tiny, results)
        except KeyboardInterrupt:
            say("stopped; the same command goes on from here")
            return 130
    if importlib.util.find_spec("matplotlib") is None:
        say("no pictures: matplotlib is not installed; pip install -e '.[bench]' has it")
    page, text = results.write_page()
    print(text)
    say(f"written: {results.path} and {page}")
    return int(any(results.failed.values()))


def describe(given: argparse.Namespace, setting: Setting, name: str) -> dict[str, object]:
    """What is measured, where, and how to do it again."""
    log = sparserec_np.read_interactions(setting.train)
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
