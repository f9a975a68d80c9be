"""The options by which ``sparserec federate`` is asked over HTTP."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from typing import Any

import click
from click.core import ParameterSource

from sparserec_np.errors import DataError
from sparserec_np.federated.desk import Desk, Rules
from sparserec_np.federated.endpoint import Manners
from sparserec_np.federated.tokens import read_tokens
from sparserec_np.machine.http_server import CONNECTIONS

from .audience import Served, serving
from .groups import SERVED, GroupedOption
from .resuming import Duration

LOOPBACK = "127.0.0.1"
# What is about simulated clients, or about the files they come from.
OF_CONDITIONS = ("asked", "silent", "late", "repeated", "gone")
OF_HIDING = ("secure", "noise", "clip", "delta")
OF_SIMULATIONS = (*OF_CONDITIONS, *OF_HIDING)
OF_SERVERS = ("tokens", "origins", "deadline", "least", "pause", "connections")


class Place(click.ParamType):
    """A host and a port; a port alone is one of this machine, which nobody else reaches."""

    name = "HOST:PORT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Returns the host and the port."""
        host, colon, port = str(value).rpartition(":")
        host = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
        if not port.isascii() or not port.isdigit() or int(port) > 65535 or (colon and not host):
            self.fail(f"{value!r} is no place: expected a port such as 8000, or HOST:PORT", param, ctx)
        return host or LOOPBACK, int(port)


def _option(*names: str, **rest: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=GroupedOption, group=SERVED, **rest)


def serve_options(command: Any) -> Any:
    """Adds the options; :func:`devices` takes what they say."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    _option(
        "--serve",
        "place",
        type=Place(),
        metavar="HOST:PORT",
        help="Let devices ask over HTTP, here; a port alone is reached from this machine only. TRAIN is then a"
        " list of items, an id a line.",
    ),
    _option(
        "--tokens", metavar="FILE", help="With --serve: a token a line, for each client that may take part."
    ),
    _option(
        "--origin",
        "origins",
        multiple=True,
        metavar="URL",
        help="Let browser pages of this origin ask; may be repeated. By default none may.",
    ),
    _option(
        "--deadline",
        type=Duration(),
        default="never",
        show_default=True,
        metavar="TIME",
        help="Time after which a pass ends with fewer answers than --enough, such as 30m.",
    ),
    _option(
        "--least",
        type=click.FloatRange(0, 1, min_open=True),
        default=0.5,
        show_default=True,
        metavar="PART",
        help="Part of the clients without whom no pass ends, whatever the deadline.",
    ),
    _option(
        "--pause",
        type=click.IntRange(1, 3600),
        default=2,
        show_default=True,
        metavar="SECONDS",
        help="Time after which a client is to ask again, when there is nothing to do for it.",
    ),
    _option(
        "--connections",
        type=click.IntRange(1, 10_000),
        default=CONNECTIONS,
        show_default=True,
        metavar="N",
        help="Connections at once, at most; each takes a thread.",
    ),
)


def refuse_misplaced(ctx: click.Context, simulated: bool) -> None:
    """Refuses options of a server where clients are simulated, and those of simulations where they are not.

    Raises click.UsageError.
    """
    misplaced, other = (OF_SERVERS, "--serve") if simulated else (OF_SIMULATIONS, "--simulate")
    for param in ctx.command.get_params(ctx):
        given = ctx.get_parameter_source(str(param.name)) is not ParameterSource.DEFAULT
        if given and param.name in misplaced:
            raise click.UsageError(f"{param.opts[0]} goes with {other} alone.")


@contextlib.contextmanager
def devices(place: tuple[str, int], items_file: str, given: dict[str, Any], part: float) -> Iterator[Served]:
    """Lets devices ask, as the options say.

    Args:
        place: host and port.
        items_file: the catalogue.
        given: values of the options but ``--serve``, by name.
        part: of its items that a client keeps back, where lists are measured.
    """
    if given["tokens"] is None:
        raise click.UsageError("With --serve give --tokens FILE: who may take part has to be decided before.")
    tokens = read_tokens(given["tokens"])
    desk = Desk(len(tokens), Rules(given["deadline"], given["least"]))
    manners = Manners(given["origins"], given["pause"], given["connections"])
    with contextlib.ExitStack() as stack:
        try:
            served = stack.enter_context(serving(place, items_file, tokens, desk, manners, part))
        except OSError as error:
            raise _about_place(place, error) from error
        yield served


def _about_place(place: tuple[str, int], error: OSError) -> Exception:
    """Says what is wrong with the place where to listen."""
    host, port = place
    if error.filename is not None:
        return error
    if error.errno == errno.EADDRINUSE:
        return DataError(f"Something listens on port {port} of {host} already: name another, or 0 for any")
    return DataError(f"Cannot listen on port {port} of {host}: {error.strerror or error}")
