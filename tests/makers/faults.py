"""Kills and errors at each call that changes files, in turn.

``python -m pytest`` uses it in-process: nothing is really killed. After the call of a kill no later
call reaches the disk either, so what cleans up does nothing, as in a process that is gone.
"""

from __future__ import annotations

import builtins
import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

CALLS = ("fsync", "replace", "rename", "unlink", "remove", "mkdir", "rmdir", "chmod")


class Killed(BaseException):
    """The process is gone."""


class Faults:
    """Calls that change files, counted, of which one fails.

    Args:
        at: the number of the call that fails, the first being 1; 0 for none.
        kills: whether no later call works either; else that one says that the disk is full.
    """

    def __init__(self, at: int, kills: bool) -> None:
        self.count = 0
        self._streams: list[Any] = []
        self._at, self._kills = at, kills

    def patch(self, patcher: pytest.MonkeyPatch) -> None:
        for name in CALLS:
            patcher.setattr(os, name, self._guarded(getattr(os, name)))
        plain = builtins.open

        def opened(file: Any, mode: str = "r", *arguments: Any, **more: Any) -> Any:
            if set(mode) & set("wax+"):
                self._call(file)
            stream = plain(file, mode, *arguments, **more)
            self._streams.append(stream)
            return stream

        patcher.setattr(builtins, "open", opened)

    def bury(self) -> None:
        """Closes the files that a process leaves open when it is killed, and with them its locks."""
        for stream in self._streams:
            stream.close()

    def _guarded(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self._call(arguments[0])
            return plain(*arguments, **more)

        return call

    def _call(self, path: Any) -> None:
        self.count += 1
        if self._at and (self.count == self._at or (self._kills and self.count > self._at)):
            if self._kills:
                raise Killed
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
