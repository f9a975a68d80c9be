"""``sparserec serve``: a page that `export --to web` has written, on this machine alone."""

from __future__ import annotations

import errno

import click

from sparserec_np.errors import DataError
from sparserec_np.serving.web.server import FolderServer


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
def command(folder: str, port: int) -> None:
    """Serve the files in DIR to browsers of this machine, until Ctrl-C.

    It is for looking at a page that `sparserec export --to web` has written: no other machine
    reaches it, and nothing outside DIR is sent. To publish a page, copy DIR to any web server.
    """
    try:
        server = FolderServer(folder, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise DataError(
            f"Something listens on port {port} already: say --port 0 for any that is free"
        ) from error
    with server:
        click.echo(f"Serving {folder} at {server.address} (Ctrl-C ends it)")
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            click.echo("\nEnded.", err=True)
