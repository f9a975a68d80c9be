"""Finished measurements of a study that can be stopped and taken up again: lines of JSON in a folder."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.output import write

Cell = dict[str, Any]
FILE = "cells.jsonl"


class Cells:
    """The measurements that a folder holds, in the order in which they were made.

    Attributes:
        path: the file, one line of JSON a measurement.
        threads: that measurements are made with, which is written down with each.
        all: the measurements: what they are of, what came out, and date, commit and machine.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self.path, self.threads = folder / FILE, threads
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        self.all: list[Cell] = [json.loads(line) for line in lines]

    def make(self, what: Cell, measure: Callable[[], Cell]) -> Cell:
        """Returns the measurement of ``what``: the one that is there, or what ``measure`` gives.

        A new one is written at once.
        """
        what = json.loads(json.dumps(what))  # as it is read
        for cell in self.all:
            if cell["what"] == what:
                return cell
        clock = time.perf_counter()
        found = measure()
        seconds = round(time.perf_counter() - clock, 1)
        cell = {"what": what, **found, "seconds_in_all": seconds, "machine": machine.describe(self.threads)}
        self.all.append(cell)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write(self.path, "".join(json.dumps(one) + "\n" for one in self.all))
        print(f"{seconds:8.0f} s  {' '.join(map(str, what.values()))}", flush=True)
        return cell

    def of(self, **what: Any) -> list[Cell]:
        """Lists the measurements of what has these values."""
        return [cell for cell in self.all if what.items() <= cell["what"].items()]


def finish(given: argparse.Namespace, cells: Cells, page_of: Callable[[Cells, Path], str]) -> None:
    """Ends a study: writes the page that it is asked for, and prints all cells where it is to.

    Args:
        given: what the study was called with: ``page``, a path or None, and ``json``.
        cells: all that there are. Without any there is no page.
        page_of: writes the page of the cells, which goes to the path that it gets.
    """
    if given.page and cells.all:
        write(given.page, page_of(cells, given.page))
    if given.json:
        print(json.dumps(cells.all))


def digest(path: str | Path) -> str:
    """Names the content of a file by 12 digits of its SHA-256."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
