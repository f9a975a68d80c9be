"""The option --threads."""

from __future__ import annotations

import click

threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads to work on, at most one a core; by default all. They change the time and never the result.",
)


def set_threads(threads: int | None) -> None:
    """Lets the compiled kernels work on ``threads`` threads, or on all there are.

    Imports Numba.
    """
    import numba

    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(most if threads is None else min(threads, most))
