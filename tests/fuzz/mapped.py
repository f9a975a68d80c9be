"""Feed the reader of mapped interaction files with damaged and hostile ones.

    python -m tests.fuzz.mapped --count 100000 --seed 0

What must hold of any file at all: it is refused with one sentence, or its interactions are what
their class promises. As in ``run``, a file is made from a seed and its own number; the exit code is
1 if the reader failed on one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np

from sparserec_np.data.formats import read_file, write_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import DataError
from tests.fuzz.check import LONGEST_SENTENCE, MEMORY, MEMORY_PER_BYTE, SECONDS, Fault, time_limit
from tests.fuzz.mutations import mutate
from tests.fuzz.run import shape_of
from tests.fuzz.scratch import SCRATCH


def sound_files() -> list[bytes]:
    """Small files of every kind: ids as integers and as text, times of both types and none, idle users."""
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((9, 14)) < 0.3)
    logs = [
        Interactions.from_pairs(users, items, user_ids=np.arange(9), item_ids=np.arange(14)),
        Interactions.from_pairs(
            users * 7 - 20, items + 2**40, times=rng.integers(0, 99, len(users)), user_ids=[999]
        ),
        Interactions.from_pairs([f"Größe {user}" for user in users], items, times=rng.random(len(users))),
        Interactions.from_pairs([5], ["an item"]),
    ]
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        path = Path(folder) / "log.safetensors"
        made = []
        for log in logs:
            write_interactions(log, path)
            made.append(path.read_bytes())
    return made


def check(path: Path) -> str | None:
    """Reads a file; returns the sentence it was refused with, or None.

    Raises Fault, or whatever the reader should not have raised, unless it is refused with a
    DataError of one printable line or read soundly; in time, and in memory in proportion to its
    size.
    """
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    with time_limit(SECONDS):
        sentence = _read_and_look(path)
    if tracemalloc.is_tracing():
        _, peak = tracemalloc.get_traced_memory()
        if peak - before > MEMORY + MEMORY_PER_BYTE * os.path.getsize(path):
            raise Fault(f"took {peak - before:,} bytes of memory")
    return sentence


def _read_and_look(path: Path) -> str | None:
    try:
        reading = read_file(path, format="safetensors")
    except DataError as error:
        sentence = str(error).replace(str(path), "FILE")
        if not sentence.isprintable() or len(sentence) > LONGEST_SENTENCE:
            raise Fault(f"refused with {len(sentence):,} characters: {sentence[:200]!r}") from error
        return sentence
    log = reading.interactions
    pairs = set(zip(log.pair_users().tolist(), log.items.tolist(), strict=True))
    if not 0 < len(pairs) == log.n_interactions == reading.pairs_read or log.user_degrees.sum() != len(pairs):
        raise Fault("a pair is there twice, or is not there")
    if not all(0 <= user < log.n_users and 0 <= item < log.n_items for user, item in pairs):
        raise Fault("a pair is of no user or item")
    for ids in (log.user_ids.tolist(), log.item_ids.tolist()):
        if sorted(set(ids)) != ids:
            raise Fault("ids are not ascending")
    if log.times is not None and not (len(log.times) == len(pairs) and np.isfinite(log.times).all()):
        raise Fault("times are not finite, or not one for each pair")
    log.digest()
    return None


def fuzz(
    seed: int, first: int, count: int, folder: Path, trace: bool = True
) -> tuple[Counter[str], list[str]]:
    """Checks files ``first`` to ``first + count`` of a seed: how often each sentence was said, and what went wrong."""
    sound = sound_files()
    path = folder / "log.safetensors"
    sentences: Counter[str] = Counter()
    faults = []
    if trace:
        tracemalloc.start()
    try:
        for number in range(first, first + count):
            rng = np.random.default_rng([seed, number])
            path.write_bytes(mutate(sound[int(rng.integers(len(sound)))], rng))
            try:
                sentence = check(path)
            except Exception as error:  # whatever it is, it is what we look for
                faults.append(f"file {number} of seed {seed}: {type(error).__name__}: {str(error)[:300]}")
            else:
                sentences["accepted" if sentence is None else shape_of(sentence)] += 1
    finally:
        tracemalloc.stop()
    return sentences, faults


def main() -> int:
    """Parses, runs and prints; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000, help="files (default: 100,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    given = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        sentences, faults = fuzz(given.seed, given.first, given.count, Path(folder))
    for sentence, times in sentences.most_common():
        print(f"{times:9,}  {sentence[:140]}")
    for fault in faults[:50]:
        print(fault, file=sys.stderr)
    seconds = time.perf_counter() - start
    print(f"{given.count:,} files in {seconds:.0f} s, {len(sentences)} answers, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
