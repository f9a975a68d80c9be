"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

# Spelt out, because importing the readers to ask them would slow down every --help.
FORMATS = ("adjacency", "udata", "ratings-dat", "csv", "tsv", "inter", "npz", "mtx", "safetensors")
WRITABLE = ("adjacency", "csv", "tsv", "inter", "npz", "mtx", "safetensors")

_READER_OPTIONS = (
    click.option(
        "--format",
        type=click.Choice(FORMATS),
        help="Grammar of the file; by default told from its content and name.",
    ),
    click.option(
        "--user-col",
        metavar="NAME|N",
        help="Column of the users: its name in the header, or its number from 0.",
    ),
    click.option("--item-col", metavar="NAME|N", help="Column of the items."),
    click.option("--rating-col", metavar="NAME|N", help="Column of the ratings."),
    click.option("--time-col", metavar="NAME|N", help="Column of the times."),
    click.option("--min-rating", type=float, metavar="X", help="Leave out interactions rated below X."),
)
_READER_NAMES = ("format", "user_col", "item_col", "rating_col", "time_col", "min_rating")


def reader_options(command: Command) -> Command:
    """Adds the options that say how an interaction file is to be read.

    The command gets them as one keyword argument ``reader``, a dict for
    :func:`sparserec_np.data.formats.read_interactions`, which holds the options that were given and
    no others.
    """

    @functools.wraps(command)
    def with_reader(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in _READER_NAMES}
        return command(
            *args, reader={name: value for name, value in given.items() if value is not None}, **kwargs
        )

    wrapped: Any = with_reader
    for option in reversed(_READER_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


to_option = click.option(
    "--to", "to", type=click.Choice(WRITABLE), help="Grammar to write; by default told from the ending."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else there."
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace a finished run in RUN; without it that is refused."
)
