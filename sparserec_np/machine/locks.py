"""Locks that a forked process finds open."""

from __future__ import annotations

import os
import threading
import weakref


class ForkLock:
    """A lock for one thread at a time, again for the same thread, and open in a forked child.

    A plain lock that another thread holds when the process forks stays shut in the child for ever:
    the thread that would open it is not there. The thread that forks must not hold it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def open(self) -> None:
        """Opens the lock, whoever holds it."""
        self._lock = threading.RLock()


_locks: weakref.WeakSet[ForkLock] = weakref.WeakSet()


def _open_all() -> None:
    for lock in list(_locks):
        lock.open()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_open_all)
