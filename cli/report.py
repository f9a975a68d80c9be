"""``sparserec report``: the page of one or several finished runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence

import click

from sparserec_np.comparison.document import as_html, as_markdown
from sparserec_np.comparison.drawing import MISSING, can_draw
from sparserec_np.comparison.run_report import FinishedRun, page, to_dict
from sparserec_np.machine.files import replacing

from .output import counted
from .run_argument import reading_run

# Ending of the file -> what writes it.
WRITERS: dict[str, Callable[[Sequence[FinishedRun]], str]] = {
    ".html": lambda runs: as_html(page(runs)),
    ".md": lambda runs: as_markdown(page(runs)),
    ".json": lambda runs: json.dumps(to_dict(runs), indent=2) + "\n",
}


@click.command()
@click.argument("runs", metavar="RUN [RUN]...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    required=True,
    help="File to write: .html for a page that asks for nothing, .md for its tables, .json for all of it.",
)
def command(runs: tuple[str, ...], output: str) -> None:
    """Write a page of the run directories RUN: what they store and reached, training curves, settings.

    Curves need matplotlib; without it the page has tables alone, and says so. To compare methods on
    a test part, with seeds and tests, there is `sparserec compare`, which writes a page of its own.
    """
    ending = os.path.splitext(output)[1].lower()
    if ending not in WRITERS:
        raise click.UsageError(f"-o takes a file that ends with {', '.join(WRITERS)}, found {output!r}.")
    opened = []
    for run in runs:
        with reading_run(run):
            opened.append(FinishedRun.open(run))
    text = WRITERS[ending](opened)
    with replacing(output) as stream:
        stream.write(text.encode())
    if ending == ".html" and not can_draw():
        click.echo(MISSING, err=True)
    click.echo(f"Written to {output}: {counted(len(opened), 'run')}.")
