"""``sparserec serve``: a page that `export --to web` has written, on this machine alone."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile

import click

from sparserec_np.errors import DataError
from sparserec_np.serving.web.server import FolderServer
from sparserec_np.serving.web.training import with_training

from .interrupts import check_interrupts


@click.command(short_help="Show a page of `export --to web` on this machine.")
@click.argument("folder", metavar="DIR")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    metavar="N",
    help="Port to listen on; 0 for any that is free.",
)
@click.option(
    "--federated",
    "address",
    metavar="URL",
    help="Let the page take part in the training of `federate --serve` at URL, if the person says yes.",
)
def command(folder: str, port: int, address: str | None) -> None:
    """Serve the files in DIR to browsers of this machine, until Ctrl-C.

    It is for looking at a page that `sparserec export --to web` has written: no other machine
    reaches it, and nothing outside DIR is sent. To publish a page, copy DIR to any web server.

    With --federated the page has a switch, off until the person says yes, by which it answers the
    questions of a federated server, and shows what it sends. No file in DIR changes. To publish
    such a page, give --federated to `sparserec export`. The server has to name the page's origin,
    as `sparserec federate --serve 9000 --origin http://127.0.0.1:8000` does.
    """
    with contextlib.ExitStack() as stack:
        instead = None if address is None else _with_training(folder, address, stack)
        _serve(folder, port, instead)


def _with_training(folder: str, address: str, stack: contextlib.ExitStack) -> str:
    """Writes the files of a page that takes part in training, for as long as the stack is open."""
    files = with_training(_read(folder, "index.html"), _read(folder, "worker.js"), address)
    instead = stack.enter_context(tempfile.TemporaryDirectory())
    for name, text in files.items():
        with open(os.path.join(instead, name), "w", encoding="utf-8", newline="") as file:
            file.write(text)
    return instead


def _read(folder: str, name: str) -> str:
    """Reads a file of a page. Raises DataError where there is none."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return file.read()
    except (FileNotFoundError, UnicodeDecodeError):
        raise DataError(
            f"{folder} holds no {name} of a page: expected what `sparserec export --to web` writes"
        ) from None


def _serve(folder: str, port: int, instead: str | None) -> None:
    try:
        server = FolderServer(folder, port, instead)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise DataError(
            f"Something listens on port {port} already: say --port 0 for any that is free"
        ) from error
    with server:
        server.on_turn = check_interrupts  # of which nothing may have come
        click.echo(f"Serving {folder} at {server.address} (Ctrl-C ends it)")
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            click.echo("\nEnded.", err=True)
