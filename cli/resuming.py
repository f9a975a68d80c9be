"""``--resume``: a command that trains goes on after a stop, as it was asked for when it was begun."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.training.checkpoints import EVERY, Checkpoint, CheckpointFile
from sparserec_np.training.run_directory import CHECKPOINT, RunDirectory

from .groups import RUNNING, GroupedCommand, GroupedOption

Command = TypeVar("Command", bound=Callable[..., Any])

# What may be said anew, and how many words it takes: it changes no bit of the model.
SAID_ANEW = {"--threads": 2, "--json": 1, "--checkpoint-every": 2, "--keep-checkpoints": 1}
UNITS = {"s": 1, "m": 60, "h": 3600}
NEVER = float("inf")


class Duration(click.ParamType):
    """A time: a number of seconds, or one with its unit; "never" for no such time."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Returns seconds."""
        if isinstance(value, float) or value == "never":
            return value if isinstance(value, float) else NEVER
        number, unit = (value[:-1], value[-1]) if value[-1:] in UNITS else (value, "s")
        try:
            seconds = float(number) * UNITS[unit]
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < NEVER:
            self.fail(f"{value!r} is no time: expected one such as 30s, 5m or 2h, or never", param, ctx)
        return seconds


@dataclass(frozen=True)
class Keeping:
    """What is kept of a training while it goes on.

    Attributes:
        command: the name of the command.
        words: of its command line, without that name.
        every: seconds between checkpoints.
        stays: whether the last stays when the run is complete.
        resumed: what to go on from; None to begin.
    """

    command: str
    words: list[str] = field(default_factory=list)
    every: float = EVERY
    stays: bool = False
    resumed: Checkpoint | None = None

    def file_in(self, directory: RunDirectory) -> CheckpointFile:
        """Makes the checkpoints of a run."""
        request = {"command": self.command, "words": self.words, "folder": os.getcwd()}
        return CheckpointFile(directory.file(CHECKPOINT), self.every, request, self.resumed)


class ResumableCommand(GroupedCommand):
    """A command that trains into a run directory, and goes on with one that was stopped.

    What it was begun with is in the checkpoint, word for word, and is parsed once more. The
    callback gets ``keeping`` besides its options.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        for names, rest in _OPTIONS:
            self.params.append(GroupedOption(names, group=RUNNING, **rest))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts the words that a training was begun with before those that are given."""
        run, words = _without_resume(list(args))
        name, resumed, parsed = ctx.info_name or "", None, list(words)
        if run is not None:
            _check_said_anew(words)
            resumed = _load(run, name)
            parsed = [*resumed.request["words"]]
            end = parsed.index("--") if "--" in parsed else len(parsed)
            parsed[end:end] = [*words, "--output", run]
            words = resumed.request["words"]
        left = super().parse_args(ctx, parsed)
        every, stays = (ctx.params.pop(option) for option in ("checkpoint_every", "keep_checkpoints"))
        ctx.params["keeping"] = Keeping(name, words, every, stays, resumed)
        return left


_OPTIONS: tuple[tuple[list[str], dict[str, Any]], ...] = (
    (
        ["--resume"],
        {
            "metavar": "RUN",
            "expose_value": False,
            "help": "Go on with the training in RUN that was stopped, with what it was begun with, to the same bytes;"
            " nothing else is needed.",
        },
    ),
    (
        ["--checkpoint-every"],
        {
            "type": Duration(),
            "metavar": "TIME",
            "default": "5m",
            "show_default": True,
            "help": "Time between checkpoints, which are written at the end of an epoch; 0 for each, or never.",
        },
    ),
    (
        ["--keep-checkpoints"],
        {"is_flag": True, "help": "Leave the last checkpoint in RUN when the training is complete."},
    ),
)


def _without_resume(words: list[str]) -> tuple[str | None, list[str]]:
    """Finds the run after ``--resume``, and the other words."""
    for place, word in enumerate(words[: words.index("--")] if "--" in words else words):
        if word.startswith("--resume="):
            return word.removeprefix("--resume="), words[:place] + words[place + 1 :]
        if word == "--resume" and place + 1 < len(words):
            return words[place + 1], words[:place] + words[place + 2 :]
    return None, words


def _check_said_anew(words: list[str]) -> None:
    """Refuses words that would change what was begun."""
    place = 0
    while place < len(words):
        name, equals, _ = words[place].partition("=")
        if name in ("-h", "--help"):
            return
        if name not in SAID_ANEW:
            raise click.UsageError(
                f"--resume goes on with what the training was begun with: leave out {words[place]}, or begin anew"
            )
        place += 1 if equals else SAID_ANEW[name]


def _load(run: str, command: str) -> Checkpoint:
    """Reads the checkpoint in a run directory, of a training that this command began."""
    path = os.path.join(run, CHECKPOINT)
    if not os.path.isdir(run):
        raise ConfigError(f"{run} is no folder: expected the run directory of a training that was stopped")
    if not os.path.exists(path):
        raise ConfigError(
            f"{run} holds no checkpoint, so there is nothing to go on from: its training is complete, or was"
            " stopped before the first"
        )
    checkpoint = Checkpoint.load(path)
    request = checkpoint.request
    if request.get("command") != command:
        raise ConfigError(
            f"{run} was begun by another command: go on with `sparserec {request.get('command')} --resume {run}`"
        )
    for word in request["words"]:
        name = word.rpartition("=")[2]
        there = os.path.join(request["folder"], name)
        is_file = bool(name) and os.path.exists(there) and not os.path.samefile(there, run)
        if is_file and not os.path.exists(name):
            raise SparseRecError(
                f"{name!r} is not here; the training was begun in {request['folder']}: go there, and resume it"
            )
    return checkpoint
