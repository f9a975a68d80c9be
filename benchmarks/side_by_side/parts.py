"""The parts of the suite, in the order in which they are measured and written."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from benchmarks.side_by_side import epochs, first_run, kernels, ranking, threads, time_to_quality
from benchmarks.side_by_side.contender import Contender, Record, Setting


class Part(NamedTuple):
    """One question, and the contenders that answer it.

    Attributes:
        title: its heading.
        repeat: how often each contender runs, in a measurement and in a quick look.
        contenders: by the name of their row.
        section: Markdown of the records of each row; rows without records are left out.
        prepare: leaves in the scratch folder what the contenders find there.
    """

    title: str
    repeat: tuple[int, int]
    contenders: dict[str, Contender]
    section: Callable[[dict[str, list[Record]]], str]
    prepare: Callable[[Setting], Record] | None


def _part(module: ModuleType) -> Part:
    given = (module.TITLE, module.REPEAT, module.CONTENDERS, module.section)
    return Part(*given, getattr(module, "prepare", None))


PARTS: dict[str, Part] = {
    "epochs": _part(epochs),
    "ranking": _part(ranking),
    "time-to-quality": _part(time_to_quality),
    "kernels": _part(kernels),
    "threads": _part(threads),
    "first-run": _part(first_run),
}
