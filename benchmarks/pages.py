"""Pages of results: their parts, what gave the figures, and the command line as a reader can use it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.figures import prose, table


def command_line(study: str) -> str:
    """Spells the command of this process, files by their names and folders alone.

    >>> shortened("/home/ann/data/gowalla/train.txt.gz"), shortened("--epochs")
    ('gowalla/train.txt.gz', '--epochs')
    """
    return f"python -m benchmarks.studies.{study} {shlex.join(map(shortened, sys.argv[1:]))}"


def shortened(word: str) -> str:
    """Leaves the last two parts of a path, and any other word as it is."""
    return "/".join(Path(word).parts[-2:]) if "/" in word else word


def page_of(
    title: str, study: str, machines: Iterable[dict[str, Any]], words: str, parts: Iterable[str]
) -> str:
    """Writes a page: its title, what gave the figures, what they are, and then its parts.

    Args:
        title: without a mark.
        study: the name of the study, whose command line this process has.
        machines: those that measured, as ``machine.describe`` does.
        words: what the figures are, which is wrapped here.
        parts: tables and sections, which are not.
    """
    head = provenance(command_line(study), machines)
    return "\n\n".join([f"# {title}", head, prose(words), *parts]) + "\n"


def provenance(command: str, machines: Iterable[dict[str, Any]]) -> str:
    """Writes the table of command, date, commit and machine; machines are those of ``machine.describe``."""
    found = list(machines)
    dates, commits, places = (_joined(said) for said in zip(*map(_said, found), strict=True))
    rows = [["command", f"`{command}`"], ["date", dates], ["commit", commits], ["machine", places]]
    return table(["", ""], rows).replace("|  |  |", "| | |")


def _joined(said: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(said))


def _said(one: dict[str, Any]) -> tuple[str, str, str]:
    versions = ", ".join(f"{name} {version}" for name, version in one["versions"].items())
    threads = f"{one['threads']} thread{'s' * (one['threads'] != 1)}"
    place = f"{one['processor']}, {one['cores']} cores, {threads}, {one['system']}, Python {one['python']}, {versions}"
    return one["date"], one["commit"], place
