"""What is left of a command that a signal ends at a random moment?

    python -m benchmarks.studies.kills [--times 500] [--seed 0] [--signals KILL TERM HUP INT]
    [--commands train update ...] [--after-checkpoint] [--page PAGE.md]

About 60 minutes for 500 of one signal on one core. Each command writes over what an earlier one wrote,
and is sent the signal after a time drawn evenly from a little more than its usual one. What is
there then must be what was there before or what is new, byte for byte (seconds in records left
out): anything else is counted as torn, and the study fails. After a signal that lets a command
save the best state so far, that counts as new where it can be read. Where a checkpoint is left, the
training goes on from there, and must end in the bytes of one that was let alone. Else the same
command is run in full. Either must leave nothing but its own files. Data are generated. With
``--after-checkpoint`` the signal waits until there is a checkpoint, so that every training goes on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.arguments import add_page, parser_of
from benchmarks.figures import table
from benchmarks.machine import describe
from benchmarks.pages import page_of
from sparserec_np.errors import SparseRecError
from sparserec_np.runtime import ArtifactError, Recommender
from sparserec_np.training.run_directory import CHECKPOINT, FILES, file_of, load_run

KEPT = "--overwrite --checkpoint-every 0 --patience 0 --evaluate-every 1"
SHORT = "--dim 8 --density 0.3 --learning-rate 0.01 --threads 1 --json"
TRAIN = f"train {{data}} -o {{out}} --start spectral {SHORT} --model"
# Command -> what writes first, and what writes over it.
COMMANDS = {
    "train": (f"{TRAIN} mf --epochs 1", f"{TRAIN} fism --epochs 60 {KEPT}"),
    "choose": (f"{TRAIN} mf --epochs 1", f"train {{data}} -o {{out}} --epochs 40 --threads 1 --json {KEPT}"),
    "update": (
        f"{TRAIN} mf --epochs 1",
        f"update {{run}} {{more}} -o {{out}} --epochs 60 --threads 1 --json {KEPT}",
    ),
    "distill": (f"{TRAIN} mf --epochs 1", f"distill {{run}} {{data}} -o {{out}} {SHORT} --epochs 40 {KEPT}"),
    "export": ("export {run} -o {out} --json", "export {run} -o {out} --dtype float32 --json"),
    "data convert": ("data convert {data} {out}.npz", "data convert {more} {out}.npz"),
    "recommend": ("recommend {run} --all-users -o {out}", "recommend {run} --all-users -n 30 -o {out}"),
}
COUNTED = ("before", "new", "torn", "gone on", "other bytes", "left behind")
SIGNALS = ("KILL", "TERM", "HUP", "INT")
LOOKS = 3  # at the usual time, of which the shortest counts
LONGER = 1.1  # than its usual time, in which the signal may find that the command has ended


class Kept(NamedTuple):
    """The files of a folder, by name.

    Attributes:
        files: their contents, without what differs from run to run.
        others: names that begin with a dot.
    """

    files: dict[str, bytes]
    others: list[str]


def kept(folder: Path) -> Kept:
    """Reads what is in a folder, a run's files from where a reader finds them."""
    files, others = {}, []
    for place in sorted(folder.rglob("*")):
        name = place.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in place.relative_to(folder).parts):
            others.append(name)
        elif place.is_file():
            files[name] = place.read_bytes()
    if (folder / "x").is_dir():
        for name in FILES:
            if os.path.exists(file_of(folder / "x", name)):
                files[f"x/{name}"] = Path(file_of(folder / "x", name)).read_bytes()
    return Kept({name: _without_seconds(content) for name, content in files.items()}, others)


def _without_seconds(content: bytes) -> bytes:
    """Takes the times out of records of epochs."""
    if not content.startswith(b'{"epoch"'):
        return content
    lines = content.split(b"\n")
    return b"\n".join(line.split(b'"loss"')[-1].split(b'"triplets')[0] for line in lines)


def is_sound(folder: Path) -> bool:
    """Tells whether the run in a folder can be opened for lists and for training on."""
    try:
        Recommender.open(folder / "x")
        load_run(folder / "x")
    except (ArtifactError, SparseRecError, OSError):
        return False
    return True


def start(line: str) -> subprocess.Popen[bytes]:
    """Starts a command."""
    script = shutil.which("sparserec", path=str(Path(sys.executable).parent)) or "sparserec"
    return subprocess.Popen(
        [script, *line.split()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_listen
    )


def _listen() -> None:
    """Takes signals as a command on a terminal does, also where the study itself ignores them."""
    for name in SIGNALS[1:]:
        signal.signal(signal.Signals[f"SIG{name}"], signal.SIG_DFL)


def finish(line: str) -> float:
    """Runs a command to its end; returns the seconds, and leaves the program if it fails."""
    clock = time.perf_counter()
    if start(line).wait():
        raise SystemExit(f"Error: sparserec {line} failed")
    return time.perf_counter() - clock


def await_checkpoint(process: subprocess.Popen[bytes], run: Path, there: bool) -> None:
    """Waits until a training has its first checkpoint, or has none any more; or has ended."""
    while process.poll() is None and os.path.exists(run / CHECKPOINT) != there:
        time.sleep(0.002)


def seconds_with_checkpoint(line: str, run: Path) -> float:
    """Runs a training to its end; returns for how many seconds it has a checkpoint."""
    process = start(line)
    await_checkpoint(process, run, there=True)
    clock = time.perf_counter()
    await_checkpoint(process, run, there=False)
    seconds = time.perf_counter() - clock
    if process.wait():
        raise SystemExit(f"Error: sparserec {line} failed")
    return seconds


def ended(
    lines: tuple[str, str],
    names: list[str],
    times: int,
    rng: np.random.Generator,
    folder: Path,
    after_checkpoint: bool,
) -> list[Counter[str]]:
    """Ends a command so many times with each signal; counts what is there then, and exit codes."""
    out, before_folder = folder / "out", folder / "before"
    for place in (out, before_folder):
        shutil.rmtree(place, ignore_errors=True)
    out.mkdir()
    finish(lines[0])
    shutil.copytree(out, before_folder)
    before = kept(out)
    finish(lines[1])
    usual = min(
        seconds_with_checkpoint(lines[1], out / "x") if after_checkpoint else finish(lines[1])
        for _ in range(LOOKS)
    )
    after = kept(out)
    if before.files == after.files:
        raise SystemExit(f"Error: {lines[1]} writes what {lines[0]} writes, so nothing can be told")
    counts = []
    for name in names:
        found: Counter[str] = Counter()
        for _ in range(times):
            shutil.rmtree(out)
            shutil.copytree(before_folder, out)
            process = start(lines[1])
            if after_checkpoint:
                await_checkpoint(process, out / "x", there=True)
            time.sleep(rng.random() * LONGER * usual)
            process.send_signal(signal.Signals[f"SIG{name}"])
            found[f"exit {process.wait()}"] += 1
            files = kept(out).files
            saved = name != "KILL" and files.keys() == after.files.keys() and (out / "x").is_dir()
            is_new = files == after.files or (files != before.files and saved and is_sound(out))
            found["before" if files == before.files else "new" if is_new else "torn"] += 1
            stopped = os.path.exists(out / "x" / CHECKPOINT)
            finish(f"{lines[1].split()[0]} --resume {out / 'x'}" if stopped else lines[1])
            clean = kept(out)
            found["gone on"] += stopped
            found["other bytes"] += clean.files != after.files
            found["left behind"] += clean.others != []
        counts.append(found)
    return counts


def main() -> None:
    """Ends all commands, and prints or writes the table."""
    parser = parser_of(__file__, __doc__ or "")
    parser.add_argument("--times", type=int, default=500, help="kills in all, by each signal (default 500)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signals", nargs="+", choices=SIGNALS, default=list(SIGNALS))
    parser.add_argument("--commands", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--after-checkpoint", action="store_true", help="wait for a checkpoint first")
    add_page(parser)
    given: argparse.Namespace = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    rows, torn = [], 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        places = {name: folder / f"{name}.csv" for name in ("data", "more")}
        for users, place in zip((300, 330), places.values(), strict=True):
            finish(f"data generate {place} --users {users} --items 200 --interactions 6000 --seed {users}")
        places |= {"run": folder / "run", "out": folder / "out" / "x"}
        finish(f"{TRAIN} mf --epochs 6".format(**{**places, "out": places["run"]}))
        for command in given.commands:
            lines = COMMANDS[command]
            times = -(-given.times // len(given.commands))
            spelled = lines[0].format(**places), lines[1].format(**places)
            counts = ended(spelled, given.signals, times, rng, folder, given.after_checkpoint)
            for name, found in zip(given.signals, counts, strict=True):
                codes = ", ".join(
                    f"{code[5:]}: {n}" for code, n in sorted(found.items()) if code.startswith("exit")
                )
                rows.append(
                    [
                        command,
                        name,
                        str(times),
                        *(str(found[what]) for what in COUNTED),
                        codes,
                    ]
                )
                torn += found["torn"] + found["other bytes"] + found["left behind"]
                sys.stderr.write(f"{rows[-1]}\n")
    shown = table(["command", "signal", "times", *COUNTED, "exit codes"], rows)
    words = "What is there after a signal at a random moment, and what is left behind after the next command."
    if given.page:
        Path(given.page).write_text(
            page_of("Ended at random moments", "kills", [describe(1)], words, [shown])
        )
    else:
        sys.stdout.write(shown + "\n")
    sys.exit(1 if torn else 0)


if __name__ == "__main__":
    main()
