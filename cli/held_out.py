"""The interactions to choose the epoch by, as --validation says: a part, or a file."""

from __future__ import annotations

from typing import Any

import click

from sparserec_np.data.formats import without_core
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import DataError

from .aligning import align
from .output import counted
from .reading import read_log


def part_or_file(given: str | None, part: Any, file: str | None) -> tuple[Any, str | None]:
    """Returns the part to hold out and the file to validate by.

    They are as given, or else ``part`` and ``file``.

    >>> part_or_file("0.2", 0.1, None), part_or_file("some.csv", 0.1, None), part_or_file(None, 0.1, None)
    ((0.2, None), (0.1, 'some.csv'), (0.1, None))
    """
    if given is None:
        return part, file
    try:
        return float(given), None
    except ValueError:
        return part, given


def read_held_out(
    file: str | None, train_file: str, log: Interactions, reader: dict[str, Any]
) -> tuple[Interactions | None, dict[str, int]]:
    """Reads the interactions to validate by, over the ids of ``log``; counts those of no use.

    Without a file there are none, and nothing to count.

    Raises:
        DataError: all of them are in ``log``, which was read from ``train_file``.
    """
    if not file:
        return None, {}
    given = read_log(file, without_core(reader))
    placed, unknown = align(given, log, file, train_file)
    shared = placed.shared_with(log)
    if shared == placed.n_interactions:
        raise DataError(
            f"All interactions in {file} are in {train_file} too, which leaves nothing to choose by;"
            " give a part that was held out, or --validation 0.1 to hold one out."
        )
    if unknown.dropped_pairs:
        left = counted(unknown.dropped_pairs, "interaction")
        click.echo(f"{file}: {left} of unknown users or items left out.", err=True)
    if shared:
        click.echo(f"{file}: {counted(shared, 'interaction')} in TRAIN too, which no list can hit.", err=True)
    return placed, {
        "validation_dropped_pairs": unknown.dropped_pairs,
        "validation_pairs_in_training": shared,
    }
