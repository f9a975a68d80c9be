"""The option --memory-limit, and what is said of the memory that a training takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from sparserec_np.machine.limits import Limit, asked_memory, megabytes
from sparserec_np.sparsity.budget import parse_bytes

memory_limit_option = click.option(
    "--memory-limit",
    metavar="SIZE",
    help="Most memory that the command may take while it works, as 500MB; starts that need more are left out, and"
    " where nothing fits it is refused. By default, what ulimit and control groups allow. The size of the"
    " model is --memory-budget.",
)


@contextmanager
def heeding(size: str | None, quiet: bool) -> Iterator[dict[str, int]]:
    """Lets a block heed the limit that was given, if one was; says in a line what it leaves out.

    Gives what is left out, and the bytes that it needs, which grows meanwhile.

    Raises:
        ConfigError: it is no number of bytes.
    """
    limit = None if size is None else Limit(f"--memory-limit {size}", parse_bytes(size))
    with asked_memory(limit) as asked:
        yield asked.left_out
    if asked.left_out and not quiet:
        each = [f"{what} ({megabytes(size)})" for what, size in asked.left_out.items()]
        shown = ", ".join(each[:3]) + (f" and {len(each) - 3} more" if len(each) > 3 else "")
        click.echo(f"Left out, as memory does not allow it: {shown}.", err=True)
