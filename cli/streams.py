"""The three standard streams as a command needs them, whatever they are: closed, full, of any encoding.

What a stream's encoding lacks is written as an escape, as Python writes it to stderr. A stream that
was closed before the command began takes what is written to it, and gives nothing. A result that
cannot be written ends the command with a sentence; progress and warnings that cannot be are lost.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import click


class _Output:
    """A text stream whose errors name it."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            return self._failed(error)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> int:
        if error.filename is None and not isinstance(error, BrokenPipeError):
            error.filename = self._name
        raise error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Asides(_Output):
    """The stream for what is said besides: where it cannot be, the command goes on."""

    def _failed(self, error: OSError) -> int:
        _forget(self._stream)
        return 0


class _ClosedInput(io.TextIOBase):
    """Standard input that was closed before the command began."""

    @property
    def buffer(self) -> Any:
        raise OSError(errno.EBADF, "closed, so there is nothing to read; give it a file", "standard input")


@contextmanager
def sound_streams() -> Iterator[None]:
    """Makes the standard streams as this module says, and puts them back afterwards.

    Raises SystemExit, once it has said why, where the result cannot be written.
    """
    _keep_numbers_of_streams()
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin = sys.stdin or _ClosedInput()
    out, aside = (_escaping(stream or open(os.devnull, "w")) for stream in before[1:])  # noqa: SIM115
    sys.stdout, sys.stderr = _Output(out, "standard output"), _Asides(aside, "standard error")
    try:
        try:
            yield
        finally:  # what is left to be written, while somebody is there to say that it cannot be
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has left, and wants to hear of nothing
        _forget(out)
        sys.exit(1)
    except OSError as error:
        _forget(out)
        click.echo(f"Error: {error.filename}: {error.strerror or error}", err=True)
        sys.exit(1)
    finally:
        sys.stderr.flush()
        sys.stdin, sys.stdout, sys.stderr = before


def _keep_numbers_of_streams() -> None:
    """Takes the numbers 0 to 2 where they are free: a file that got one would be written into."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)


def _escaping(stream: TextIO) -> TextIO:
    """Lets a stream write escapes for what its encoding lacks."""
    if stream.errors == "strict" and isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _forget(stream: TextIO) -> None:
    """Lets go of what a stream still holds and cannot write: the end of the process would try again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
