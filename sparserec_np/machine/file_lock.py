"""A lock that one holder has, in whatever process, and that the system opens when that process ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt
else:
    try:
        import fcntl
    except ModuleNotFoundError:  # a system that has neither: nobody is kept out there
        fcntl = None  # type: ignore[assignment]


class FileLock:
    """A lock on a file of its own, which is there while somebody holds it.

    A process that is killed leaves the file behind, open: the next one takes it over. Where the
    file system knows no locks, as some network drives, everybody gets one.

    Args:
        path: the file, in a folder that can be written to.

    Raises:
        BlockingIOError: somebody else holds it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        while True:
            self._stream = open(path, "ab")  # noqa: SIM115  # closed by release(), or when the process ends
            try:
                _lock(self._stream)
            except BaseException:
                self._stream.close()
                raise
            if self._is_the_file():
                return
            self._stream.close()  # who held it has removed the file meanwhile

    def release(self) -> None:
        """Removes the file and opens the lock; does nothing a second time."""
        if self._stream.closed:
            return
        if os.name != "nt":  # where an open file cannot be removed
            self._remove()
            self._stream.close()
        else:
            self._stream.close()
            self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def _is_the_file(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._stream.fileno()), os.stat(self._path))
        except FileNotFoundError:
            return False


CAN_HOLD = sys.platform != "win32" and fcntl is not None  # whether :func:`hold` does anything


def hold(descriptor: int) -> None:
    """Marks an open file or folder as in use, until it is closed or the process is gone.

    It may be gone by then: who removes what nobody uses (:func:`unused`) holds it meanwhile, and is
    waited for.
    """
    if sys.platform != "win32" and fcntl is not None:
        with contextlib.suppress(OSError):  # the file system has no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)


@contextlib.contextmanager
def unused(path: str) -> Iterator[bool]:
    """Gives whether nobody has a file or folder in use; if so, nobody can while the block lasts.

    Where that cannot be told, somebody has.
    """
    if sys.platform == "win32" or fcntl is None:
        yield False
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except OSError:
            free = False
        yield free
    finally:
        os.close(descriptor)


def _lock(stream: BinaryIO) -> None:
    """Locks an open file for this holder; raises BlockingIOError where another one has it."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        elif fcntl is not None:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except PermissionError as error:  # as Windows says it
        raise BlockingIOError(error.errno, error.strerror) from error
    except OSError:
        pass  # the file system has no locks
