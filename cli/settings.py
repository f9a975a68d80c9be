"""The options of commands that train: one for each setting that the command takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import click

from sparserec_np.training.setting import COUNT, Setting
from sparserec_np.training.settings import SETTINGS

from .groups import OF_SETTINGS, GroupedOption

Command = TypeVar("Command", bound=Callable[..., Any])


class SettingOption(GroupedOption):
    """An option that shows a default and does not set it.

    A configuration file may set it, or a saved run.

    Args:
        shown: the default in words; empty where there is nothing to show.
    """

    def __init__(self, *names: Any, shown: str, **rest: Any) -> None:
        super().__init__(*names, **rest)
        self.shown = shown

    def get_help_extra(self, ctx: click.Context) -> click.types.OptionHelpExtra:
        """Returns Click's own extra lines of help, and the default."""
        extra = super().get_help_extra(ctx)
        if self.shown:
            extra["default"] = self.shown
        return extra


def setting_options(
    command: str, shown: Mapping[str, str] | None = None, repeated: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Adds an option for each setting that ``command`` takes: "train", "distill" or "update".

    The function gets the value under the setting's name, and None where the option is not given.

    Args:
        command: whose settings they are.
        shown: defaults in words that differ from those of ``command``, by name.
        repeated: names of the options that may be given several times; the function gets a tuple.
    """

    def add(function: Command) -> Command:
        for row in reversed(SETTINGS.values()):
            if row.in_command(command) is not None:
                words = (shown or {}).get(row.name)
                function = _option(row, command, words, row.name in repeated)(function)
        return function

    return add


def flag(name: str) -> str:
    """Names the option of a setting.

    >>> flag("batch_size")
    '--batch-size'
    """
    return f"--{name.replace('_', '-')}"


def _option(row: Setting, command: str, shown: str | None, repeated: bool) -> Callable[[Command], Command]:
    """Makes the option of one setting in a command."""
    own = row.in_command(command)
    assert own is not None
    written = own.written or row.written
    is_switch = row.kind is bool
    names = f"{flag(row.name)}/{flag('no_' + row.name)}" if is_switch else flag(row.name)
    usual = "" if row.tells_default(command) else row.shown_default(command)
    return click.option(
        names,
        row.name,
        type=str if written else _type(row, command),
        metavar=written or None,
        default=None,
        cls=SettingOption,
        group=OF_SETTINGS[row.group],
        help=row.line(command) + (" May be repeated." if repeated else ""),
        shown=usual if shown is None else shown,
        multiple=repeated,
    )


def _type(row: Setting, command: str) -> Any:
    """Returns what Click reads and checks: choices, and ranges of whole numbers.

    The library checks the rest.
    """
    if row.choices:
        return click.Choice(row.choices_in(command))
    low = row.low_in(command)
    if row.kind is int and low is not None:
        return click.IntRange(int(low), None if row.high >= COUNT else int(row.high))
    return row.kind
