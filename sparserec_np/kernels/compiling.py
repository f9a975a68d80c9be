"""The compilation of kernels: one process at a time for each, noted, and told to whoever waits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

try:
    import fcntl as _fcntl
except ImportError:  # on Windows, which has no such module
    _fcntl = None  # type: ignore[assignment]

fcntl: Any = _fcntl


class Progress:
    """The kernels that this process compiles, one inside another where one calls another.

    Attributes:
        compiled: what has been compiled, in its order: the name, and seconds of processor time,
            those of kernels inside it among them.
        tell: called with the name of what is being compiled now; with "" when it ends.
    """

    def __init__(self) -> None:
        self.compiled: list[tuple[str, float]] = []
        self.tell: Callable[[str], None] | None = None
        self._open: list[str] = []

    def begin(self, name: str) -> None:
        """Notes that a kernel is about to be compiled."""
        self._open.append(name)
        self._tell()

    def end(self, name: str, seconds: float) -> None:
        """Notes that a kernel is compiled, and took so many seconds."""
        self.compiled.append((name, seconds))
        self.leave(name)

    def leave(self, name: str) -> None:
        """Notes that a kernel need not be compiled after all."""
        while self._open and self._open.pop() != name:  # what failed inside never ended
            pass
        self._tell()

    def _tell(self) -> None:
        if self.tell is not None:
            self.tell(self._open[-1] if self._open else "")


progress = Progress()


class Turns:
    """Turns at compiling a kernel: other processes that want the same wait, and then read it.

    A turn is a lock on one byte of a file, which the system takes back from a process that ends. It
    is no more than a courtesy: where there are no such locks, both compile.
    """

    def __init__(self) -> None:
        self._files: dict[str, int] = {}

    def take(self, path: str, name: str) -> None:
        """Waits for the turn at the kernel of that name, by a lock in the file at ``path``."""
        if fcntl is not None:
            with suppress(OSError):  # a folder that nobody can write to, or a system without locks
                fcntl.lockf(self._open(path), fcntl.LOCK_EX, 1, _place(name))

    def give_back(self, path: str, name: str) -> None:
        """Ends the turn."""
        if fcntl is not None:
            with suppress(OSError):
                fcntl.lockf(self._open(path), fcntl.LOCK_UN, 1, _place(name))

    def _open(self, path: str) -> int:
        """Opens the file, which stays open: closing it would give back all turns."""
        if path not in self._files:
            self._files[path] = os.open(path, os.O_RDWR)
        return self._files[path]


turns = Turns()


def _place(name: str) -> int:
    """Makes a place in a file, which need not reach so far, of a kernel's name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little") >> 1
