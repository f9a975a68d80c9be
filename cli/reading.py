"""Interaction files as commands read them: what was left out, or is doubtful, is said on stderr."""

from __future__ import annotations

from typing import Any

import click

from sparserec_np.data.formats import Reading, read_file
from sparserec_np.data.interactions import Interactions


def read_reading(file: str, reader: dict[str, Any], reported: bool = False) -> Reading:
    """Reads a file, prints its notes on stderr, and returns how it was understood, too.

    Where the counts are ``reported`` anyway, the notes do not repeat them.
    """
    reading = read_file(file, **reader)
    for note in reading.doubts if reported else reading.notes:
        click.echo(note, err=True)
    return reading


def read_log(file: str, reader: dict[str, Any]) -> Interactions:
    """Reads a file, and prints its notes on stderr."""
    return read_reading(file, reader).interactions
