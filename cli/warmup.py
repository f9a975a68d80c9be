"""``sparserec warmup``: compile the kernels now, so that no later run waits for them."""

from __future__ import annotations

from typing import Any

import click

from sparserec_np.warmup import warm_up

from .options import json_option
from .output import emit_json, table


@click.command()
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also those of other models, losses, ways to draw negatives and optimizers.",
)
@json_option
def command(everything: bool, as_json: bool) -> None:
    """Compile the kernels that train, evaluate and distill call with their defaults, and keep them.

    Without it the first run compiles them, and takes that much longer. They are kept beside the
    package or, where that cannot be written to, in the user's cache folder; NUMBA_CACHE_DIR names
    another. A new version of Numba or of this library, and another processor, need them compiled
    again.
    """
    done = warm_up(everything)
    if as_json:
        emit_json(done._asdict())
        return
    rows: list[list[Any]] = [
        ["kernels ready", done.kernels],
        ["compiled now", done.compiled],
        ["seconds", round(done.seconds, 1)],
        ["kept in", done.folder or "none: NUMBA_DISABLE_JIT is set"],
    ]
    click.echo(table(rows))
    if done.costs:
        click.echo("\nSeconds of processor time that each took, compiled now:")
        click.echo(table([[name, f"{seconds:.2f}"] for name, seconds in done.costs.items()]))
