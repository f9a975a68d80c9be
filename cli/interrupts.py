"""Ctrl-C, a hangup and a request to end, also where they would be lost.

Compilers and callbacks swallow the exception that Python makes of it.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import click

# What ends a command: Ctrl-C; kill, or a machine that shuts down; a terminal that is closed.
ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
USUAL = (signal.default_int_handler, signal.SIG_DFL)
# Compilers free memory twice if an exception comes in between: 2 of 220 processes died of that.
COMPILERS = tuple(f"{os.sep}{name}{os.sep}" for name in ("numba", "llvmlite"))
SOON = 0.02  # seconds until it is tried again


class Interrupts:
    """A context in which the first signal to end raises KeyboardInterrupt, and is remembered.

    It is raised as soon as no compiler is at work. A second signal ends the process at once,
    wherever it is.

    Attributes:
        asked: the number of the signal that came; None for none.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._holding = False
        self._tries = False
        self._is_over = False

    def __enter__(self) -> Interrupts:
        in_main = threading.current_thread() is threading.main_thread()
        found = {number: signal.getsignal(number) for number in ENDING if in_main}
        # What is ignored stays so: Ctrl-C in the background of a shell, hangups under nohup.
        self._former = {number: handler for number, handler in found.items() if handler in USUAL}
        self._hook = sys.unraisablehook
        for number in self._former:
            signal.signal(number, self._remember)
        if self._former:
            sys.unraisablehook = self._report
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        for number, handler in self._former.items():
            signal.signal(number, handler)
        if self._former:
            sys.unraisablehook = self._hook

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Lets a block end before a signal counts; it raises nothing after it, but is remembered."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.asked is not None and not self._tries:  # a second one, while the first had to wait
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.asked, self._tries = number, False
        waits = not self._holding and is_compiling(frame)
        for each in self._former:
            if not (waits and each == number):
                signal.signal(each, signal.SIG_DFL)
        if waits:
            timer = threading.Timer(SOON, self._try_again)
            timer.daemon = True
            timer.start()
        elif not self._holding:
            raise KeyboardInterrupt

    def _try_again(self) -> None:
        """Lets the main thread take the signal once more, as if it came now."""
        if not self._is_over and self.asked is not None:
            self._tries = True
            _thread.interrupt_main(signal.Signals(self.asked))

    def _report(self, unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):  # that one is remembered
            self._hook(unraisable)


def is_compiling(frame: FrameType | None) -> bool:
    """Tells whether a compiler is among the callers of a frame, which is one of them itself."""
    while frame is not None:
        if any(name in frame.f_code.co_filename for name in COMPILERS):
            return True
        frame = frame.f_back
    return False


def check_interrupts() -> None:
    """Raises KeyboardInterrupt if a signal to end came in this command, and nothing came of it."""
    interrupts = _of_this_command()
    if interrupts is not None and interrupts.asked is not None:
        raise KeyboardInterrupt


@contextlib.contextmanager
def held_interrupts() -> Iterator[None]:
    """Lets a block end before Ctrl-C counts; a second Ctrl-C ends the command at once."""
    interrupts = _of_this_command()
    with interrupts.held() if interrupts is not None else contextlib.nullcontext():
        yield


def _of_this_command() -> Interrupts | None:
    context = click.get_current_context(silent=True)
    return context.find_object(Interrupts) if context else None
