"""The command ``sparserec``: subcommands that load when called, and errors as sentences."""

from __future__ import annotations

import difflib
import importlib
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from click.shell_completion import CompletionItem

from sparserec_np import __version__
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.runtime import ArtifactError

from .completion import complete_paths
from .interrupts import Interrupts
from .streams import sound_streams

# Name -> what the help page says of it: each is the attribute `command` of a module of that name in
# this package. The order is the order of use, and that of the help page, which loads none of them.
COMMANDS = {
    "quickstart": "Generate data, train, evaluate and recommend, with no input.",
    "data": "Look at interaction files, convert, split, generate and download them.",
    "train": "Train a model within a budget, into a run directory.",
    "evaluate": "Rank the whole catalogue for the users of a test file.",
    "compare": "Train many ways to spend a budget, and set them side by side.",
    "report": "Write a page of one or several finished runs.",
    "tune": "Search for the best settings, and train with them.",
    "distill": "Train a small model that ranks like a trained one.",
    "update": "Let a saved run learn on, within the same budget.",
    "federate": "Learn from clients who keep their items, simulated or over HTTP.",
    "recommend": "The best items for given users, or for a list of items.",
    "similar": "The items or users nearest to a given one.",
    "export": "Write one small file for a device, C source, or a page for browsers.",
    "serve": "Show a page of `export --to web` on this machine.",
    "inspect": "What a model is and where its bytes go.",
    "gradcheck": "Check losses, gradients and training steps against PyTorch or finite differences.",
    "warmup": "Compile the kernels now, so that no later run waits for it.",
    "doctor": "Check that this machine can train, and what to do if not.",
}

# What Python says where there is no memory for another thread.
NO_THREAD = ("can't start new thread", "can't allocate lock")
SIGNALLED = 128  # and the signal's number: what a shell reports for a program that a signal ended


class WrongSetting(click.ClickException):
    """An error that prints as Click's one line, with the exit code that wrong options have too.

    The line is ``Error: ...``, on stderr.
    """

    exit_code = 2


class Root(click.Group):
    """A group that imports commands when needed, and turns the library's errors into one line.

    The errors are the library's own.
    """

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Runs the command line, with streams that bear what is written to them."""
        with sound_streams():
            return super().main(*arguments, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names the commands, in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command of that name; returns None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f".{cmd_name}", __package__).command
        complete_paths(command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offers the names of commands without loading them, and options."""
        names = [
            CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands, as Click does, without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command that is asked for; answers an unknown one with the nearest there is.

        That is answered with the nearest one there is.
        """
        name = args[0]
        if not name.startswith("-") and name not in COMMANDS:
            near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(COMMANDS)}."
            ctx.fail(f"No such command {name!r}. {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command, and turns errors into sentences.

        A bug keeps its traceback; everything a user can cause or mend becomes a sentence.
        """
        with Interrupts() as interrupts, own_warnings_as_sentences():
            ctx.obj = interrupts
            try:
                return self._invoke(ctx)
            except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
                raise
            except (KeyboardInterrupt, Exception) as error:
                # A compiler that was interrupted may raise anything.
                if interrupts.asked is None and not isinstance(error, KeyboardInterrupt):
                    raise
                click.echo("\nInterrupted.", err=True)
                ctx.exit(SIGNALLED + (interrupts.asked or signal.SIGINT))

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise WrongSetting(str(error)) from error
        except (SparseRecError, ArtifactError) as error:
            raise click.ClickException(str(error)) from error
        except BrokenPipeError:  # the reader of a pipe has left, as `head` does; Click ends quietly
            raise
        except OSError as error:
            raise click.ClickException(_os_sentence(error)) from error
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and str(error) not in NO_THREAD:
                raise
            message = "memory ran out; a smaller --dim, --density or --batch-size needs less."
            raise click.ClickException(message) from error


@contextmanager
def own_warnings_as_sentences() -> Iterator[None]:
    """Prints the library's warnings as one line on stderr.

    Those of other packages stay as they are.
    """
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if category.__module__.startswith("sparserec_np."):
            click.echo(f"Warning: {message}", err=True)
        else:
            usual(message, category, *rest, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = usual


def _os_sentence(error: OSError) -> str:
    """Says what the operating system refused, with the file's name before the reason."""
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None and _is_lost():
        return "The working directory is gone: change to a folder that is there"
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _is_lost() -> bool:
    """Tells whether the folder that this process works in was removed."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="sparserec")
def main() -> None:
    """Train, evaluate and serve recommenders whose embedding tables are sparse throughout.

    A first run, which needs no data: `sparserec quickstart`.
    """
