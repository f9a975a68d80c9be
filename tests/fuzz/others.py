"""Feed the readers of all other files with damaged ones: interactions, settings, records, checkpoints.

    python -m tests.fuzz.others --kind checkpoints --count 100000 --seed 0

Every file is made from the seed and its own number, as in :mod:`tests.fuzz.run`. Files are changed
byte by byte, cut, doubled, and given pieces of others and numbers that tend to be dangerous; those
that are packed are changed before they are packed, too. A reader must refuse a file with a sentence,
or give what is sound, within its time and memory.
"""

from __future__ import annotations

import argparse
import bz2
import faulthandler
import gzip
import io
import json
import lzma
import sys
import tempfile
import time
import tracemalloc
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sparserec_np.data.formats import read_interactions, write_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import SparseRecError
from sparserec_np.runtime import ArtifactError
from sparserec_np.training.checkpoints import Checkpoint, CheckpointFile
from sparserec_np.training.run_directory import CONFIG, FILES, METRICS, load_run, read_config, save_run
from sparserec_np.training.train import train
from tests.fuzz.check import LONGEST_SENTENCE, MEMORY, MEMORY_PER_BYTE, SECONDS, Fault, time_limit
from tests.fuzz.run import parts, shape_of
from tests.fuzz.scratch import SCRATCH
from tests.makers.small import small_log
from tests.makers.trainings import LOG, TINY, stop_at

Rng = np.random.Generator

PIECES = (
    *(bytes([byte]) for byte in b"\0\n\r\t ,\"'-0[{%\xff\xc3"),
    *b" :: -1 1e400 nan Infinity null true {} [[[[[[[[ 0.1 2147483648 4294967296".split(b" "),
    *b"9223372036854775807 9223372036854775808 -9223372036854775809 user,item,rating".split(),
    *(b'{"a":', b"\xff\xfe", b"\xef\xbb\xbf", b"1" * 400, b"\x1f\x8b", b"PK\x03\x04"),
    b"%%MatrixMarket matrix coordinate real general\n",
)


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        sound: makes sound files, by name.
        check: reads one; returns the sentence it was refused with, or None where what it gives is sound.
    """

    sound: Callable[[Path], list[tuple[str, bytes]]]
    check: Callable[[Path], str | None]


def refused(path: Path, read: Callable[[], object]) -> tuple[str | None, object]:
    """Reads; returns the sentence of a refusal, or what was read."""
    try:
        return None, read()
    except (SparseRecError, ArtifactError, OSError) as error:
        sentence = str(error).replace(str(path.parent), "FOLDER").replace(path.name, "FILE")
        if isinstance(error, OSError):  # as of packed files that are damaged
            sentence = f"{type(error).__name__}: {sentence}"
        if not sentence.isprintable() or len(sentence) > LONGEST_SENTENCE:
            raise Fault(f"refused with {len(sentence):,} characters: {sentence[:200]!r}") from error
        return sentence, None


def _interactions(folder: Path) -> list[tuple[str, bytes]]:
    files = []
    logs = [small_log(12, 9, 45), small_log(5, 40, 80)]
    texts = Interactions.from_pairs([f"u{i % 7}" for i in range(40)], [f"Größe {i % 11}" for i in range(40)])
    endings = ("csv", "tsv", "inter", "npz", "mtx", "safetensors", "jsonl", "txt")
    for number, log in enumerate((*logs, texts)):
        for ending in endings:
            path = folder / f"{number}.{ending}"
            try:
                _write(path, log, ending)
            except SparseRecError:  # texts in a matrix
                continue
            files.append((path.name, path.read_bytes()))
    rated = "".join(f"{i % 5}\t{i % 8}\t{i % 6}\t{88000 + i}\n" for i in range(40)).encode()
    colons = "".join(f"{i % 5}::{i % 8}::{i % 6}::{88000 + i}\n" for i in range(40)).encode()
    files += [
        ("u.data", rated),
        ("ratings.dat", colons),
        ("quoted.csv", b'user,item\n"a ""b""",1\nc,"2\n3"\n'),
    ]
    files += [
        ("x.csv.gz", gzip.compress(rated)),
        ("x.csv.bz2", bz2.compress(rated)),
        ("x.csv.xz", lzma.compress(rated)),
    ]
    return files


def _write(path: Path, log: Interactions, ending: str) -> None:
    if ending == "jsonl":
        users, items = log.user_ids[log.pair_users()], log.item_ids[log.items]
        pairs = zip(users.tolist(), items.tolist(), strict=True)
        path.write_text("".join(json.dumps({"user": u, "item": i, "rating": 5}) + "\n" for u, i in pairs))
    elif ending == "txt":
        write_interactions(log, path, "adjacency")
    else:
        write_interactions(log, path)


def _check_interactions(path: Path) -> str | None:
    sentence, log = refused(path, lambda: read_interactions(path))
    if isinstance(log, tuple):
        log = log[0]
    if sentence is None:
        assert isinstance(log, Interactions)
        _must_be_sound(log)
    return sentence


def _must_be_sound(log: Interactions) -> None:
    bounds, items = np.asarray(log.indptr, np.int64), np.asarray(log.items, np.int64)
    if bounds[0] or bounds[-1] != len(items) or (np.diff(bounds) < 0).any() or len(bounds) != log.n_users + 1:
        raise Fault("bounds of rows are wrong")
    if len(items) and (items.min() < 0 or items.max() >= log.n_items):
        raise Fault("an item is out of range")
    places = np.repeat(np.arange(log.n_users), np.diff(bounds)) * log.n_items + items
    if (np.diff(places) <= 0).any():
        raise Fault("pairs are not ascending, or are there twice")
    for ids in (log.user_ids, log.item_ids):
        if len(set(ids.tolist())) != len(ids):
            raise Fault("an id is there twice")
    if log.weights is not None and not (np.isfinite(log.weights).all() and (log.weights >= 0).all()):
        raise Fault("a weight is no weight")


def _run(folder: Path) -> Path:
    run = folder / "run"
    if not run.exists():
        save_run(run, train(LOG, TINY, threads=1), LOG)
    return run


def _configurations(folder: Path) -> list[tuple[str, bytes]]:
    return [
        (CONFIG, (_run(folder) / CONFIG).read_bytes()),
        (CONFIG, b'{"density": 0.2, "data": {"train": "x"}}'),
    ]


def _check_configuration(path: Path) -> str | None:
    sentence, found = refused(path, lambda: read_config(str(path)))
    if isinstance(found, tuple):
        config, data = found
        json.dumps(config.resolved().said() | {"data": data}, allow_nan=False)
    return sentence


def _records(folder: Path) -> list[tuple[str, bytes]]:
    return [(f"run/{METRICS}", (_run(folder) / METRICS).read_bytes())]


def _check_records(path: Path) -> str | None:
    for name in FILES:  # the rest of the run, which is sound
        if not (path.parent / name).exists():
            (path.parent / name).write_bytes((path.parent.parent.parent / "run" / name).read_bytes())
    sentence, fitted = refused(path, lambda: load_run(path.parent))
    if sentence is None:
        json.dumps([record.get("epoch") for record in fitted.history])  # type: ignore[attr-defined]
    return sentence


def _checkpoints(folder: Path) -> list[tuple[str, bytes]]:
    files = []
    for phase, epoch in (("search", 2), ("search", 4)):
        path = folder / f"{phase}{epoch}"
        train(LOG, TINY, threads=1, on_epoch=stop_at(phase, epoch), checkpoints=CheckpointFile(path, every=0))
        files.append(("checkpoint", path.read_bytes()))
    return files


def _check_checkpoint(path: Path) -> str | None:
    sentence, found = refused(path, lambda: Checkpoint.load(str(path)))
    if sentence is None and path.read_bytes() not in SOUND:
        assert isinstance(found, Checkpoint)
        raise Fault("a damaged checkpoint was taken for a sound one")
    return sentence


SOUND: set[bytes] = set()
KINDS = {
    "interactions": Kind(_interactions, _check_interactions),
    "configurations": Kind(_configurations, _check_configuration),
    "records": Kind(_records, _check_records),
    "checkpoints": Kind(_checkpoints, _check_checkpoint),
}
PACKERS: tuple[tuple[bytes, Callable[[bytes], bytes], Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", gzip.decompress, gzip.compress),
    (b"BZh", bz2.decompress, bz2.compress),
    (b"\xfd7zXZ", lzma.decompress, lzma.compress),
)


def mutate(data: bytes, others: list[bytes], rng: Rng) -> bytes:
    """A file, changed in a few places; what is packed inside, half of the time."""
    if rng.random() < 0.5:
        for magic, unpack, pack in PACKERS:
            if data.startswith(magic):
                return pack(_changed(unpack(data), others, rng))
        if data.startswith(b"PK"):
            return _changed_member(data, others, rng)
    return _changed(data, others, rng)


def _changed_member(data: bytes, others: list[bytes], rng: Rng) -> bytes:
    """An archive of which one member is changed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chosen = list(members)[int(rng.integers(len(members)))]
    members[chosen] = _changed(members[chosen], others, rng)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def _changed(data: bytes, others: list[bytes], rng: Rng) -> bytes:
    """Bytes, changed in one to four places."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(len(changed) + 1))
        length = int(rng.integers(1, 1 + max(1, min(64, len(changed)))))
        what = int(rng.integers(7))
        if what == 0 and place < len(changed):
            changed[place] ^= 1 << int(rng.integers(8))
        elif what == 1 and place < len(changed):
            changed[place] = int(rng.integers(256))
        elif what == 2:
            changed[place : place + length] = PIECES[int(rng.integers(len(PIECES)))]
        elif what == 3:
            changed[place:place] = changed[place : place + length] * int(rng.integers(1, 40))
        elif what == 4:
            del changed[place : place + length]
        elif what == 5:
            del changed[place:]
        else:
            other = others[int(rng.integers(len(others)))]
            start = int(rng.integers(len(other) + 1))
            changed[place : place + length] = other[start : start + length]
    return bytes(changed)


def files_of(kind: Kind, folder: Path) -> list[tuple[str, bytes]]:
    """The sound files of a kind; all of them have to be accepted."""
    sound = kind.sound(folder)
    SOUND.update(content for _, content in sound)
    for name, content in sound:
        path = folder / "sound" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        sentence = kind.check(path)
        if sentence is not None:
            raise Fault(f"{name} is sound, and refused: {sentence}")
    return sound


def fuzz(
    kind: Kind, seed: int, first: int, count: int, folder: Path, trace: bool = True
) -> tuple[Counter[str], list[str]]:
    """Checks files ``first`` to ``first + count``; returns how often each sentence was said, and what went wrong."""
    sound = files_of(kind, folder)
    contents = [content for _, content in sound]
    sentences: Counter[str] = Counter()
    faults: list[str] = []
    if trace:
        tracemalloc.start()
    try:
        for number in range(first, first + count):
            rng = np.random.default_rng([seed, number])
            name, content = sound[int(rng.integers(len(sound)))]
            path = folder / "fuzzed" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(mutate(content, contents, rng))
            try:
                sentence = _within_limits(kind, path)
            except Exception as error:  # whatever it is, it is what we look for
                said = f"{type(error).__name__}: {str(error)[:300]}"
                faults.append(f"file {number} of seed {seed} ({name}): {said}")
            else:
                sentences["accepted" if sentence is None else shape_of(sentence)] += 1
    finally:
        tracemalloc.stop()
    return sentences, faults


def _within_limits(kind: Kind, path: Path) -> str | None:
    """Checks one file, in the time and the memory that it may take."""
    with time_limit(SECONDS), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not tracemalloc.is_tracing():
            return kind.check(path)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        sentence = kind.check(path)
        _, peak = tracemalloc.get_traced_memory()
    allowed = 4 * MEMORY + 4 * MEMORY_PER_BYTE * path.stat().st_size
    if peak - before > allowed:
        raise Fault(f"took {peak - before:,} bytes of memory, expected at most {allowed:,}")
    return sentence


def main() -> int:
    """Parses, runs and prints; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument("--count", type=int, default=100_000, help="files of each kind (default: 100,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--trace", action="store_true", help="look at memory, which takes most of the time")
    given = parser.parse_args()
    faulthandler.enable()
    failed = 0
    for name in given.kind:
        clock = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
            sentences: Counter[str] = Counter()
            faults: list[str] = []
            for first, count in parts(given.first, given.count):
                said, wrong = fuzz(KINDS[name], given.seed, first, count, Path(folder), given.trace)
                sentences += said
                faults += wrong
                told = f"{name}, to {first + count:,}: {len(faults)} faults"
                sys.stderr.write("\n".join([told, *wrong]) + "\n")
        for line in _shown(sentences):
            sys.stdout.write(f"{line}\n")
        seconds = time.perf_counter() - clock
        found = f"{len(sentences)} answers, {len(faults)} faults"
        sys.stdout.write(f"{name}: {given.count:,} files in {seconds:.0f} s, {found}\n")
        failed += len(faults)
    return 1 if failed else 0


def _shown(sentences: Counter[str]) -> Iterator[str]:
    for sentence, times in sentences.most_common(40):
        yield f"{times:9,}  {sentence[:140]}"


if __name__ == "__main__":
    sys.exit(main())
