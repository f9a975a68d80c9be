"""``sparserec data fetch``: a public data set by its name, once its licence is accepted."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import Any

import click

from sparserec_np.data.catalogue import DataSet, catalogue
from sparserec_np.data.published import Fetched, already_fetched, fetch, parts_left

from .interrupts import check_interrupts
from .options import json_option
from .output import emit_json, human_bytes, table

BAR_WIDTH = 20
# Which file is trained on next, and what is done with it.
NEXT = {
    "train.txt": "sparserec train {path} -o RUN",
    "ratings.csv": "sparserec data split {path} -o PARTS",
}


@click.command("fetch", short_help="Download a public data set by its name, and convert it.")
@click.argument("name", type=click.Choice(list(catalogue())), metavar="[NAME]", required=False)
@click.option("-o", "--output", "folder", metavar="DIR", help="Folder to write to; made if it is not there.")
@click.option("--list", "listed", is_flag=True, help="List the data sets, as is done without NAME.")
@click.option(
    "--accept-licence",
    "accepted",
    is_flag=True,
    help="Accept the licence without being asked, as scripts do.",
)
@click.option(
    "--mirror",
    metavar="URL",
    envvar="SPARSEREC_MIRROR",
    show_envvar=True,
    help="Download from URL/host/path instead of https://host/path.",
)
@click.option("--keep", is_flag=True, help="Keep the files as they were published, too, in DIR/original.")
@click.option("--overwrite", is_flag=True, help="Replace files of the same names that are from elsewhere.")
@json_option
def command(name: str | None, folder: str | None, as_json: bool, **options: Any) -> None:
    """Download the public data set NAME, and write it to DIR as files that the other commands read.

    Its licence is shown and has to be accepted first. What arrives is compared with the size and
    the checksum of the catalogue. A download that broke off goes on where it was when the command
    is called again. DIR/SOURCE.json keeps address, licence, citation and checksums.

    Ratings become ratings.csv, beside items.csv with titles and genres; a published split becomes
    train and test files. A data set that DIR holds unchanged is not downloaded again.
    """
    if name is None or options["listed"]:
        _show_list(as_json)
        return
    if folder is None:
        raise click.UsageError("Missing option '-o' / '--output': the folder to write to.")
    mirror = options["mirror"]
    if mirror and not mirror.startswith(("http://", "https://")):
        raise click.UsageError(
            f"--mirror takes an address that begins with http:// or https://, found {mirror!r}."
        )
    chosen = catalogue()[name]
    done = already_fetched(chosen, folder, options["overwrite"])
    if done is None:
        _ask(chosen, options["accepted"])
        try:
            with Progress() as progress:
                done = fetch(chosen, folder, mirror, options["keep"], progress)
        except BaseException:
            for part in parts_left(folder):
                click.echo(f"{part} is kept; the same command goes on from there.", err=True)
            raise
    if as_json:
        emit_json({"folder": folder, "downloaded": done.downloaded, **done.record})
    else:
        _show(done)


def _show_list(as_json: bool) -> None:
    """Prints the catalogue."""
    rows = list(catalogue().values())
    if as_json:
        emit_json(
            {
                "data_sets": [
                    {
                        "name": row.name,
                        "title": row.title,
                        "users": row.users,
                        "items": row.items,
                        "interactions": row.interactions,
                        "to_test": row.to_test,
                        "bytes": row.bytes,
                        "licence": row.licence,
                        "licence_address": row.licence_address,
                        "citation": row.citation,
                        "published": [vars(file) for file in row.files],
                        "files": [part.to for part in row.parts],
                    }
                    for row in rows
                ]
            }
        )
        return
    headers = ["name", "download", "users", "items", "interactions", "to test", "checked by"]
    cells = [
        [row.name, _size(row), row.users, row.items, row.interactions, row.to_test, _compared(row)]
        for row in rows
    ]
    click.echo(table(cells, headers))
    click.echo("\nNext: sparserec data fetch NAME -o DIR")


def _size(row: DataSet) -> str:
    """Writes how much is to be downloaded."""
    return "?" if row.bytes is None else human_bytes(row.bytes)


def _compared(row: DataSet) -> str:
    """Names the kinds of checksums that a data set is compared with."""
    kinds = [(file.checksum or "none known").partition(":")[0] for file in row.files]
    return ", ".join(dict.fromkeys(kinds))


def _ask(chosen: DataSet, accepted: bool) -> None:
    """Shows the licence on stderr, and ends the command unless it is accepted."""
    hosts = ", ".join(dict.fromkeys(file.address.split("/")[2] for file in chosen.files))
    tested = f", {chosen.to_test:,} of them to test" if chosen.to_test else ""
    holds = f"{chosen.users:,} users, {chosen.items:,} items, {chosen.interactions:,} interactions{tested}"
    for word, text in (
        ("Data:", chosen.title),
        ("", holds),
        ("Download:", f"{_size(chosen) if chosen.bytes else 'of a size not published'}, from {hosts}"),
        ("Licence:", chosen.licence),
        ("", chosen.licence_address),
        ("Cite:", chosen.citation),
    ):
        click.echo(click.wrap_text(text, 100, f"{word:<10}", " " * 10), err=True)
    if accepted:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(
            "The licence has to be accepted, and there is no terminal to ask at; give --accept-licence."
        )
    if not click.confirm("Do you accept this licence?", err=True):
        raise click.ClickException("the licence was not accepted, so nothing was downloaded.")


def _show(done: Fetched) -> None:
    """Prints what is in the folder, what it was compared with, and what comes next."""
    record = done.record
    rows = [[os.path.join(done.folder, row["file"]), human_bytes(row["bytes"])] for row in record["files"]]
    click.echo(table(rows, ["file", "size"]))
    if not done.downloaded:
        click.echo(
            f"{done.folder} holds {record['name']} already, unchanged; nothing was downloaded.", err=True
        )
    for file in record["published"]:
        if file["compared"] is None:
            click.echo(
                f"{file['address']} could not be compared: no checksum of it is known. Its SHA-256 is"
                f" {file['sha256']}.",
                err=True,
            )
    for row in record["files"]:
        if row["file"] in NEXT:
            click.echo(f"Next: {NEXT[row['file']].format(path=os.path.join(done.folder, row['file']))}")


class Progress(ExitStack):
    """Bars of downloads with the time left, on stderr where that is a terminal; notes anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None

    def begin(self, name: str, offset: int, total: int | None) -> None:
        """Starts a bar for what is still to come of a file."""
        self.close()
        self._bar = None
        if not sys.stderr.isatty():
            return
        if offset:
            click.echo(f"{name}: going on after {human_bytes(offset)}", err=True)
        size = None if total is None else max(total - offset, 1)
        bar: Any = click.progressbar(
            length=size,
            label=f"{name} {'' if size is None else human_bytes(size)}".strip(),
            file=sys.stderr,
            width=BAR_WIDTH,
            show_eta=True,
        )
        self._bar = self.enter_context(bar)

    def advance(self, count: int) -> None:
        """Moves the bar on; raises KeyboardInterrupt where Ctrl-C was pressed meanwhile."""
        if self._bar is not None:
            self._bar.update(count)
        check_interrupts()

    def note(self, text: str) -> None:
        """Prints a line of its own."""
        self.close()
        self._bar = None
        click.echo(text, err=True)
