"""The memory of this process: what it holds, and what the C library keeps of what was freed."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

try:
    import resource as _resource
except ImportError:  # on Windows, which has no such module
    _resource = None  # type: ignore[assignment]

resource: Any = _resource


def peak_bytes() -> int:
    """Returns the most memory this process has had resident, bytes.

    It is 0 where the system does not say.
    """
    if resource is None:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def resident_bytes() -> int:
    """Returns the memory this process has resident now, bytes; 0 where the system does not say."""
    if resource is None:
        return 0
    try:
        with open("/proc/self/statm") as stream:
            return int(stream.read().split()[1]) * int(resource.getpagesize())
    except OSError:
        return 0


def available_bytes() -> int | None:
    """Returns the memory that the machine has left for processes, bytes; None where it does not say."""
    try:
        with open("/proc/meminfo") as stream:
            return next(
                (1024 * int(line.split()[1]) for line in stream if line.startswith("MemAvailable")), None
            )
    except OSError:
        return None


def give_back_freed() -> None:
    """Gives freed memory back to the system, where the C library would rather keep it."""
    trim = _trimmer()
    if trim is not None:
        trim(0)


@cache
def _trimmer() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # a C library without it
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return trim


class Peak:
    """A context that tells the most memory that was resident inside it.

    Attributes:
        bytes: that, once it has ended. Where the system cannot start counting anew, as it can on
            Linux, it is the most of the whole process; 0 where it says nothing.
    """

    bytes = 0

    def __enter__(self) -> Peak:
        try:
            with open("/proc/self/clear_refs", "w") as stream:
                stream.write("5")
            self._anew = True
        except OSError:
            self._anew = False
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = (_high_water() if self._anew else 0) or peak_bytes()


def _high_water() -> int:
    """Returns the most memory since it was last counted anew, bytes; 0 where that is not told."""
    try:
        with open("/proc/self/status") as stream:
            lines = dict(line.split(":", 1) for line in stream if ":" in line)
        return int(lines["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 0
