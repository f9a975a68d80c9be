"""Ctrl-C, also where it would be lost.

Compilers and callbacks swallow the exception that Python makes of it.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

import click


class Interrupts:
    """A context that remembers that Ctrl-C was pressed; it raises KeyboardInterrupt all the same.

    Attributes:
        asked: whether it was pressed.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interrupts:
        self._handler = signal.getsignal(signal.SIGINT)
        self._hook = sys.unraisablehook
        # Where Ctrl-C is ignored, as in the background of a shell, it stays so.
        self._ours = (
            self._handler is signal.default_int_handler
            and threading.current_thread() is threading.main_thread()
        )
        if self._ours:
            signal.signal(signal.SIGINT, self._remember)
            sys.unraisablehook = self._report
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, self._handler)
            sys.unraisablehook = self._hook

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.default_int_handler(number, frame)

    def _report(self, unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):  # that one is remembered
            self._hook(unraisable)


def check_interrupts() -> None:
    """Raises KeyboardInterrupt if Ctrl-C was pressed in this command and nothing came of it."""
    context = click.get_current_context(silent=True)
    interrupts = context.find_object(Interrupts) if context else None
    if interrupts is not None and interrupts.asked:
        raise KeyboardInterrupt
