"""Feed the model file's reader with damaged and hostile files, a given number of them.

    python -m tests.fuzz.run --count 100000 --seed 0

Every file is made from the seed and its own number, so a run can be repeated, and one file made
again with ``--first NUMBER --count 1``. Files that the reader fails on are kept; the exit code is 1
if there are any.
"""

from __future__ import annotations

import argparse
import faulthandler
import re
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.fuzz.check import check
from tests.fuzz.mutations import mutate, sound_files
from tests.fuzz.scratch import SCRATCH

PART = 10_000  # files


def make_file(sound: list[bytes], seed: int, number: int) -> bytes:
    """File ``number`` of a seed."""
    rng = np.random.default_rng([seed, number])
    return mutate(sound[int(rng.integers(len(sound)))], rng)


def fuzz(
    seed: int, first: int, count: int, folder: Path, keep: Path | None = None, trace: bool = True
) -> tuple[Counter[str], list[str]]:
    """Checks files ``first`` to ``first + count``, written one after the other into ``folder``.

    Returns how often each sentence was said (without its numbers and names; "accepted" for none),
    and what went wrong. Files that did go wrong are copied to ``keep``. Each allocation
    is counted if ``trace`` is set, which takes most of the time; else what the system sees.
    """
    sound = sound_files()
    path = folder / "model.safetensors"
    sentences: Counter[str] = Counter()
    faults = []
    if trace:
        tracemalloc.start()
    try:
        for number in range(first, first + count):
            data = make_file(sound, seed, number)
            path.write_bytes(data)
            try:
                sentence = check(path)
            except Exception as error:  # whatever it is, it is what we look for
                faults.append(f"file {number} of seed {seed}: {type(error).__name__}: {str(error)[:300]}")
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{seed}-{number}.safetensors").write_bytes(data)
            else:
                sentences["accepted" if sentence is None else shape_of(sentence)] += 1
    finally:
        tracemalloc.stop()
    return sentences, faults


def parts(first: int, count: int) -> Iterator[tuple[int, int]]:
    """Splits a run into parts of ``PART`` files, after each of which is told how it stands."""
    for start in range(first, first + count, PART):
        yield start, min(PART, first + count - start)


def shape_of(sentence: str) -> str:
    """A sentence without what is particular to one file: quoted names, lists and numbers."""
    return re.sub(
        r"'[^']*'|\"[^\"]*\"|\[.*?\]|[-\d,.]*\d|None",
        "_",
        sentence.removeprefix("FILE is not a sound model file: "),
    )


def main() -> int:
    """Parses, runs and prints; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000, help="files (default: 100,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument(
        "--trace-every", type=int, default=1, help="count allocations in one of so many parts (default: 1)"
    )
    parser.add_argument("--keep", type=Path, default=Path("fuzz-faults"), help="where faulty cases go")
    given = parser.parse_args()
    faulthandler.enable()
    start = time.perf_counter()
    sentences: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        for first, count in parts(given.first, given.count):
            trace = first // PART % given.trace_every == 0
            said, wrong = fuzz(given.seed, first, count, Path(folder), given.keep, trace)
            sentences += said
            faults += wrong
            print(
                f"to {first + count:,}: {len(faults)} faults", *wrong, sep="\n", file=sys.stderr, flush=True
            )
    seconds = time.perf_counter() - start
    for sentence, times in sentences.most_common():
        print(f"{times:9,}  {sentence[:140]}")
    print(f"{given.count:,} files in {seconds:.0f} s, {len(sentences)} answers, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
