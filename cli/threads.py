"""The option --threads."""

from __future__ import annotations

import click

threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads to work on, at most one a core; by default all. They change the time and never the result.",
)
