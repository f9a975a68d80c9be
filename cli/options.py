"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from .groups import DATA, GroupedOption

Command = TypeVar("Command", bound=Callable[..., Any])

# Spelt out, because importing the readers to ask them would slow down every --help.
FORMATS = (
    "adjacency",
    "udata",
    "ratings-dat",
    "csv",
    "tsv",
    "inter",
    "jsonl",
    "npz",
    "mtx",
    "parquet",
    "feather",
    "safetensors",
)
WRITABLE = ("adjacency", "csv", "tsv", "inter", "npz", "mtx", "safetensors")

# Adds an option that says what is read, and how.
data_option = functools.partial(click.option, cls=GroupedOption, group=DATA)
_READER_OPTIONS = (
    data_option(
        "--format",
        type=click.Choice(FORMATS),
        help="Grammar of the file; by default told from its content and name.",
    ),
    data_option(
        "--user-col",
        metavar="NAME|N",
        help="Column of the users: its name in the header, or its number from 0.",
    ),
    data_option("--item-col", metavar="NAME|N", help="Column of the items."),
    data_option(
        "--rating-col", metavar="NAME|N|none", help="Column of the ratings; none for no such column."
    ),
    data_option("--time-col", metavar="NAME|N|none", help="Column of the times; none for no such column."),
    data_option(
        "--min-rating",
        type=float,
        metavar="X",
        help="Leave out interactions rated below X, instead of those rated 0 or less.",
    ),
    data_option(
        "--dislike-below",
        type=float,
        metavar="X",
        help="Take rows rated below X for dislikes: they are no interactions, and are never recommended.",
    ),
    data_option(
        "--header/--no-header",
        default=None,
        help="Whether the first line names the columns; by default told from the first lines.",
    ),
    data_option(
        "--quote",
        type=click.Choice(("double", "none")),
        help="Fields may stand in double quotes as in CSV, or quotes are plain characters.",
    ),
    data_option(
        "--on-bad-line",
        type=click.Choice(("error", "skip")),
        help="Refuse a line that is no interaction (the default), or leave it out and count it.",
    ),
    data_option("--encoding", metavar="NAME", help="Encoding of text, such as cp1252; by default UTF-8."),
    data_option("--decimal", type=click.Choice((".", ",")), help="Mark in decimal fractions."),
    data_option(
        "--line-order",
        type=click.Choice(("time", "none")),
        help="Whether the items of an adjacency line stand in the order of time; by default they do, unless"
        " nearly all lines are sorted.",
    ),
)
# What is said of interactions that users' rows are made of, or that are trained on.
_WEIGHT_OPTION = data_option(
    "--weight-col",
    metavar="NAME|N|values|none",
    help="Column of weights, as counts are, or values of a matrix; by default all interactions count alike.",
)
# What is said of all interactions to train on, and of no test file.
_CORE_OPTIONS = (
    data_option(
        "--min-user",
        type=click.IntRange(min=1),
        metavar="N",
        help="Leave out users with fewer interactions, again and again until all have enough.",
    ),
    data_option(
        "--min-item", type=click.IntRange(min=1), metavar="N", help="Likewise items with fewer interactions."
    ),
)


def reader_options(command: Command) -> Command:
    """Adds the options that say how an interaction file is to be read.

    The command gets them as one keyword argument ``reader``, a dict for
    :func:`sparserec_np.data.formats.read_interactions`, which holds the options that were given and
    no others.
    """
    return _with_options(command, _READER_OPTIONS)


def weighed_reader_options(command: Command) -> Command:
    """Adds the same, and the column of weights."""
    return _with_options(command, (*_READER_OPTIONS, _WEIGHT_OPTION))


def core_reader_options(command: Command) -> Command:
    """Adds these, too, and how many interactions users and items are to have."""
    return _with_options(command, (*_READER_OPTIONS, _WEIGHT_OPTION, *_CORE_OPTIONS))


def _with_options(command: Command, options: tuple[Callable[[Any], Any], ...]) -> Command:
    names: list[str] = []

    @functools.wraps(command)
    def with_reader(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in names}
        return command(
            *args, reader={name: value for name, value in given.items() if value is not None}, **kwargs
        )

    wrapped: Any = with_reader
    before = len(getattr(command, "__click_params__", ()))
    for option in reversed(options):
        wrapped = option(wrapped)
    names += [param.name for param in wrapped.__click_params__[before:]]
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
