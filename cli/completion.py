"""What a shell offers behind a command: names of commands, choices, and files where a file belongs."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

# What a metavar stands for -> which paths a shell offers for it.
PATHS = dict.fromkeys(
    ("FILE", "TRAIN", "TEST", "NEW", "TEACHER", "RUN", "RUN0", "RUN2", "OUT", "PATH", "PART|FILE"), "file"
) | {"DIR": "dir"}


class PathText(click.types.StringParamType):
    """Text that names a path: taken as it is, and completed by the shell.

    Args:
        kind: "file" for any path, "dir" for folders.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Lets the shell offer its own paths."""
        return [CompletionItem(incomplete, type=self.kind)]


def complete_paths(command: click.Command) -> None:
    """Has paths offered for each parameter of a command, or of a group's commands, that takes one."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            complete_paths(each)
    for param in command.params:
        kind = PATHS.get(stands_for(param))
        if kind is not None and param.type is click.STRING:
            param.type = PathText(kind)


def stands_for(param: click.Parameter) -> str:
    """Returns the metavar of a parameter, without what says that it may be left out or repeated."""
    return (param.metavar or param.human_readable_name).partition(" ")[0].strip("[]")
