"""The transcripts that documents show: what a block of ``console`` types, run again and compared.

Every block of ``console`` in README.md and ``docs/`` is run, in the order of its page and in one
empty folder. A line that begins with ``$`` is a command; what stands below it is what it prints, in
which a line of ``...`` stands for any lines. Where nothing stands below it, the command has to
succeed. A comment above the block says what else there is to know::

    <!-- shown: on lastfm; needs make
    sparserec train lastfm-train.txt -o run
    -->

``on NAME`` are data that are not here: the block is run on small made-up data in files of the same
names, and compared by its shape: words, headings, keys, and how tables are aligned, but no numbers.
``numbers vary`` asks for no more either, as where rounding errors are printed. ``needs NAME``
leaves a block out where there is no such program or package. Lines below are commands that are run before.

``python -m tests.makers.transcripts PAGE [--data FOLDER]`` writes what is printed now into a page.
Blocks that are compared by their shape need the real files, which are taken from FOLDER.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cli.output import table
from sparserec_np import Interactions, generate, split_random, write_interactions

CHECKOUT = Path(__file__).parents[2]
ANY = "..."
TIMEOUT = 600
# What depends on the machine and on the hour, not on what is computed.
VARYING = (
    (re.compile(r"^(seconds +)[\d.]+$"), r"\1#"),
    (re.compile(r"^(peak resident memory +)[\d.]+ [kMG]?B$"), r"\1#"),
    (re.compile(r"^(kept in +)\S+$"), r"\1#"),
    (re.compile(r"^(Memory: about ).*$"), r"\1#"),
)
# What depends on the data, in a line whose other words do not.
OF_DATA = (
    (re.compile(r"\b(?:fism|mf) \d+ \([^()]*\)"), "MODEL"),
    (re.compile(r"(?<=the best of )\d+( starts? looked at: ).*"), r"#\1"),
    (re.compile(r"\b(?:none|yes|no)\b"), "#"),
    (re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[-+]?\d+)?(?: [kMG]?B\b|%)?"), "#"),
    (re.compile(r"#(?: #| \(#\))+"), "#"),
)
# Lines that some data bring and others do not.
NOW_AND_THEN = re.compile(
    r"Users' rows are no plain sums|Users averaged over|itemknn ranks|popularity ranks|.* left out[.:]"
    r"|.*interactions? in TRAIN too"
)
RULE = re.compile(r"-+(?:  -+)+")


@dataclass
class Call:
    """A command and the lines below it.

    Attributes:
        command: what is typed, without the prompt.
        shown: what stands below it, without blank lines at the end.
        first: number of the first of these lines in the page, from 0.
    """

    command: str
    shown: list[str]
    first: int


@dataclass
class Block:
    """A block of ``console``.

    Attributes:
        line: number of its first line in the page, from 1.
        calls: what it types.
        before: commands that are run before, which nobody sees.
        data: names of the data that it is on; none where it makes them itself.
        needs: programs and packages without which it is not run.
        by_shape: whether numbers are not compared.
    """

    line: int
    calls: list[Call]
    before: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    by_shape: bool = False

    def runs_here(self) -> bool:
        """Whether this machine has the programs and packages."""
        return all(shutil.which(name) or importlib.util.find_spec(name) for name in self.needs)


def blocks(text: str) -> Iterator[Block]:
    """The blocks of ``console`` in a page.

    Raises:
        ValueError: a mark that is none, or a block that does not begin with a command.
    """
    lines = text.splitlines()
    for fence in re.finditer(r"^```console\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        start = text.count("\n", 0, fence.start()) + 1
        end = start + fence[1].count("\n")
        if not fence[1].startswith("$ "):
            raise ValueError(f"line {start + 1}: a block of console begins with $ and a command")
        firsts = [number for number in range(start, end) if lines[number].startswith("$ ")]
        calls = [
            Call(lines[first][2:], _without_end(lines[first + 1 : last]), first + 1)
            for first, last in zip(firsts, [*firsts[1:], end], strict=True)
        ]
        yield _marked(Block(start + 1, calls), text[: fence.start()])


def _without_end(lines: list[str]) -> list[str]:
    return "\n".join(lines).rstrip("\n").split("\n") if any(lines) else []


def _marked(block: Block, before: str) -> Block:
    """Takes in what the comment right above a block says."""
    mark = re.search(r"<!-- shown: ((?:(?!-->).)*?)\s*-->\n+\Z", before, flags=re.DOTALL)
    if mark is None:
        return block
    first, *block.before = mark[1].splitlines()
    for word in first.split("; ") if first else []:
        if word == "numbers vary":
            block.by_shape = True
        elif word.startswith("on "):
            block.by_shape = True
            block.data.append(word.removeprefix("on "))
        elif word.startswith("needs "):
            block.needs.append(word.removeprefix("needs "))
        elif word != "after":
            raise ValueError(f"line {block.line}: {word!r} is no mark of a block")
    return block


def stale(text: str, folder: Path, by_shape: bool = False) -> list[str]:
    """Runs the blocks of a page, and says what they print now where it is not what they show.

    Args:
        text: the page.
        folder: an empty folder to run them in.
        by_shape: compare no numbers, on a machine that rounds in another way, say.
    """
    found = []
    for block in blocks(text):
        if not block.runs_here():
            continue
        for name in block.data:
            STAND_INS[name](folder)
        for command in block.before:
            printed(command, folder)
        for call in block.calls:
            lines = printed(call.command, folder)
            what = difference(call.shown, lines, by_shape or block.by_shape)
            if call.shown and what:
                found.append(f"line {call.first}: $ {call.command}\n{what}")
    return found


def printed(command: str, folder: Path) -> list[str]:
    """What a command of the shell prints, on both streams, line by line.

    Raises:
        AssertionError: it fails.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-eu", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}"
    return _without_end(done.stdout.splitlines())


def difference(shown: list[str], now: list[str], by_shape: bool) -> str | None:
    """Where what is printed now is not what is shown, as the first line of each that differs; else None."""
    told, found = (_comparable(lines, by_shape) for lines in (shown, now))
    if not _matches(told, found):
        kept = [line for line in told if line != ANY]
        old = next((line for line in kept if line not in found), "(the order of the lines)")
        new = next((line for line in found if line not in kept), "(the order of the lines)")
        return (
            f"shown, and not printed: {old}\nprinted, and not shown: {new}\nall that is printed:\n"
            + "\n".join(now)
        )
    return _misaligned(shown, now) if by_shape else None


def _comparable(lines: list[str], by_shape: bool) -> list[str]:
    return (
        [_shape(line) for line in lines if not NOW_AND_THEN.match(line)]
        if by_shape
        else list(map(_steady, lines))
    )


def _steady(line: str) -> str:
    """A line without what varies."""
    for pattern, instead in VARYING:
        line = pattern.sub(instead, line)
    return line


def _shape(line: str) -> str:
    """A line without numbers, and without how far its words stand from each other."""
    if line == ANY:
        return line
    if line.startswith("{"):
        return f"keys {' '.join(json.loads(line))}"
    if RULE.fullmatch(line):
        return "rule"
    for pattern, instead in OF_DATA:
        line = pattern.sub(instead, " ".join(_steady(line).split()))
    return line


def _matches(shown: list[str], now: list[str]) -> bool:
    """Whether lines are those shown, of which ``...`` stands for any number of lines."""
    pattern = "".join("(?:.*\n)*?" if line == ANY else f"{re.escape(line)}\n" for line in shown)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in now)) is not None


@dataclass(frozen=True)
class Column:
    """How a column of a printed table stands.

    Attributes:
        heading: its name.
        side: left or right, where its name and cells stand there; mixed, if they disagree; None
            where they are all as wide as the column.
        points_aligned: whether all decimal points stand in one place; None where there are none.
    """

    heading: str
    side: str | None
    points_aligned: bool | None


def tables(lines: list[str]) -> list[list[Column]]:
    """The columns of the tables with headings that are among some lines."""
    found = []
    for place, line in enumerate(lines):
        if place and RULE.fullmatch(line):
            body = lines[place + 1 :]
            body = body[
                : next((at for at, one in enumerate(body) if not one.strip() or one == ANY), len(body))
            ]
            spans = [match.span() for match in re.finditer("-+", line)]
            found.append([_column(lines[place - 1], body, span) for span in spans])
    return found


def _column(headings: str, body: list[str], span: tuple[int, int]) -> Column:
    width = span[1] - span[0]
    words = [line[slice(*span)].ljust(width) for line in (headings, *body)]
    short = [word for word in words if word.strip() and len(word.strip()) < width]
    sides = {"right" if word.startswith(" ") else "left" for word in short}
    # Sizes with a unit are text to a table.
    points = {word.index(".") for word in words[1:] if re.search(r"\d\.\d+ *$", word)}
    side = None if not sides else sides.pop() if len(sides) == 1 else "mixed"
    return Column(words[0].strip(), side, len(points) == 1 if points else None)


def _misaligned(shown: list[str], now: list[str]) -> str | None:
    """A column that stands otherwise than it is printed now."""
    for old, new in zip(tables(shown), tables(now), strict=False):
        for told, found in zip(old, new, strict=False):
            # A mixed one is aligned by decimal points, and has cells of several widths.
            if (
                told.side
                and found.side
                and "mixed" not in (told.side, found.side)
                and told.side != found.side
            ):
                return f"below {told.heading!r} stands {told.side} what is printed {found.side}"
    return None


def scattered(lines: list[str]) -> list[str]:
    """The headings of columns whose decimal points are not in one place, where tables put them there."""
    if not tables(table([["a", 0.83], ["b", 0.2489]], ["name", "number"]).splitlines())[0][1].points_aligned:
        return []
    return [
        column.heading for columns in tables(lines) for column in columns if column.points_aligned is False
    ]


def rewritten(text: str, folder: Path, real: Path | None) -> str:
    """A page in which the blocks show what is printed now; what is left out stays so.

    Args:
        text: the page.
        folder: an empty folder to run the blocks in.
        real: where the files of real data are. Without it, blocks on such data stay as they are.
    """
    lines: list[str | None] = [*text.splitlines()]
    if real is not None:
        shutil.copytree(real, folder, dirs_exist_ok=True)
    for block in blocks(text):
        if not block.runs_here() or (block.data and real is None):
            continue
        for command in block.before:
            printed(command, folder)
        for call in block.calls:
            now = printed(call.command, folder)
            if not call.shown or difference(call.shown, now, False) is None:
                continue
            lines[call.first] = "\n".join(_cut_alike(call.shown, now))
            for number in range(call.first + 1, call.first + len(call.shown)):
                lines[number] = None
    return "\n".join(line for line in lines if line is not None) + "\n"


def _cut_alike(shown: list[str], now: list[str]) -> list[str]:
    """What is printed now, cut where what is shown is: as many lines at its start and at its end.

    A line that differs only in what varies stays as it is.
    """
    kept = {_steady(line): line for line in shown}
    now = [kept.get(_steady(line), line) for line in now]
    if ANY not in shown:
        return now
    first, last = shown.index(ANY), shown[::-1].index(ANY)
    return [*now[:first], ANY, *(now[len(now) - last :] if last else [])]


def _movielens(folder: Path) -> None:
    """Makes ``u.data``, of ratings from 1 to 5 with times."""
    log = generate(220, 200, 6000, groups=6, seed=3)
    rng = np.random.default_rng(0)
    ratings = rng.choice([2, 3, 4, 5], log.n_interactions, p=[0.1, 0.2, 0.4, 0.3])
    times = rng.integers(870_000_000, 890_000_000, log.n_interactions)
    columns = (log.pair_users() + 1, log.item_ids[log.items] + 1, ratings, times)
    rows = ("\t".join(map(str, row)) for row in zip(*(column.tolist() for column in columns), strict=True))
    (folder / "u.data").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _lastfm(folder: Path) -> None:
    """Makes ``lastfm-train.txt`` and ``lastfm-test.txt``."""
    parts = split_random(generate(200, 180, 4000, groups=6, seed=4), 0.2, np.random.default_rng(0))
    for name, log in zip(("train", "test"), parts, strict=True):
        write_interactions(log, folder / f"lastfm-{name}.txt", format="adjacency")


def _lastfm_late(folder: Path) -> None:
    """Makes the files of which a part came late: its users and items are not in the first."""
    log = generate(200, 180, 4000, groups=6, seed=4)
    users, items = log.pair_users(), log.items
    first = (users % 9 > 0) & (items % 9 > 0)
    for name, some in {"first": first, "rest": ~first, "more": ~first}.items():
        part = Interactions.from_pairs(log.user_ids[users[some]], log.item_ids[items[some]])
        write_interactions(part, folder / f"lastfm-{name}.csv")


def _gowalla(folder: Path) -> None:
    """Makes ``gowalla/train.txt.gz``."""
    (folder / "gowalla").mkdir(exist_ok=True)
    write_interactions(
        generate(200, 180, 4000, seed=5), folder / "gowalla" / "train.txt.gz", format="adjacency"
    )


# Name of data -> what makes small files of the same names.
STAND_INS: dict[str, Callable[[Path], None]] = {
    "ml-100k": _movielens,
    "lastfm": _lastfm,
    "lastfm, a part of which came late": _lastfm_late,
    "gowalla": _gowalla,
}


def main() -> None:
    """Writes what is printed now into a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    for page in given.pages:
        with TemporaryDirectory() as folder:
            page.write_text(
                rewritten(page.read_text(encoding="utf-8"), Path(folder), given.data), encoding="utf-8"
            )


if __name__ == "__main__":
    main()
