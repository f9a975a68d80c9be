"""Limits on the memory of this process, and what libraries take of it before any data is read.

Nothing here needs NumPy: a limit has to be looked at before it is loaded, as BLAS waits for ever,
or ends the process, where memory for its threads is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

try:
    import resource as _resource
except ImportError:  # on Windows, which has no such module
    _resource = None  # type: ignore[assignment]

resource: Any = _resource

CGROUPS = "/sys/fs/cgroup"
OWN_CGROUPS = "/proc/self/cgroup"
NO_LIMIT = 1 << 60  # and more: what control groups say where there is none
POOLS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Need(NamedTuple):
    """The bytes that libraries take, by what a limit counts.

    Each is for one thread, and for each further one. Measured on Linux with NumPy 2.4, SciPy 1.17
    and Numba 0.68, kernels compiled, and a tenth added.

    Attributes:
        address: of address space, which a thread takes in advance.
        data: of address space that can be written to.
        resident: of memory.
    """

    address: tuple[int, int]
    data: tuple[int, int]
    resident: tuple[int, int]


_MB = 1_000_000
NUMPY = Need((125 * _MB, 46 * _MB), (66 * _MB, 46 * _MB), (50 * _MB, _MB))
COMPILED = Need((570 * _MB, 400 * _MB), (220 * _MB, 130 * _MB), (215 * _MB, 5 * _MB))


class Limit(NamedTuple):
    """A limit on the memory of this process.

    Attributes:
        name: what sets it, for messages.
        bytes: the most there may be.
        counts: what it counts, an attribute of :class:`Need`.
    """

    name: str
    bytes: int
    counts: str = "resident"

    def taken(self, need: Need, threads: int) -> int:
        """Returns the bytes that libraries take of it, on so many threads."""
        first, more = getattr(need, self.counts)
        return int(first + (threads - 1) * more)


def hard_limits() -> list[Limit]:
    """Finds the limits that the system sets on this process: its own, and those of its control group."""
    found = []
    for name, counts, said in (
        ("RLIMIT_AS", "address", "RLIMIT_AS (ulimit -v)"),
        ("RLIMIT_DATA", "data", "RLIMIT_DATA (ulimit -d)"),
    ):
        kind = getattr(resource, name, None)
        if kind is not None and 0 <= (most := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY:
            found.append(Limit(said, most, counts))
    if (group := _group_bytes()) is not None:
        found.append(Limit("the control group of this process", group))
    return found


def _group_bytes() -> int | None:
    """Reads the smallest limit of the control groups that this process is in; None for none."""
    try:
        with open(OWN_CGROUPS) as stream:
            lines = [line.rstrip("\n").split(":", 2) for line in stream]
    except OSError:
        return None
    found = []
    for line in lines:
        if len(line) < 3 or (line[1] and "memory" not in line[1].split(",")):
            continue
        top, name = (CGROUPS, "memory.max") if not line[1] else (f"{CGROUPS}/memory", "memory.limit_in_bytes")
        path = line[2].strip("/")
        while True:  # what is outside of a container is not there, and what is above counts as well
            found.append(_number_in(os.path.join(top, path, name)))
            if not path:
                break
            path = os.path.dirname(path)
    return min((some for some in found if some is not None), default=None)


def _number_in(path: str) -> int | None:
    try:
        with open(path) as stream:
            number = int(stream.read())
    except (OSError, ValueError):  # it is not there, or says "max"
        return None
    return number if number < NO_LIMIT else None


@dataclass
class Asked:
    """The memory that a piece of work may take, as somebody has asked.

    Attributes:
        limit: the most; None leaves it to the limits of the system.
        left_out: what was not tried, as it needs more, and the bytes that it needs.
    """

    limit: Limit | None = None
    left_out: dict[str, int] = field(default_factory=dict)


_asked: ContextVar[Asked | None] = ContextVar("asked", default=None)


@contextmanager
def asked_memory(limit: Limit | None = None) -> Iterator[Asked]:
    """Lets what is done in a block heed a limit, and notes what is left out for it."""
    asked = Asked(limit)
    token = _asked.set(asked)
    try:
        yield asked
    finally:
        _asked.reset(token)


def limits_to_heed() -> list[Limit]:
    """Returns the limit that was asked for; without one, those of the system."""
    asked = _asked.get()
    return hard_limits() if asked is None or asked.limit is None else [asked.limit]


def note_left_out(what: str, size: int) -> None:
    """Notes that something is not tried, as it needs so many bytes."""
    asked = _asked.get()
    if asked is not None:
        asked.left_out[what] = size


def usual_threads() -> int:
    """Returns the number of threads that BLAS and Numba start by themselves."""
    said = [os.environ.get(name, "") for name in ("OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(int(some) if some.isdigit() and int(some) else cores for some in said)


def make_room(need: Need) -> str:
    """Sees to it that libraries can be loaded under the limits of this process, before they are.

    Where there is no room for all of their threads, they get one, if nobody has said otherwise.

    Returns:
        Why they cannot be loaded, in a sentence; empty if they can.
    """
    for limit in hard_limits():
        if limit.taken(need, usual_threads()) > limit.bytes:
            for name in POOLS:
                os.environ.setdefault(name, "1")
        threads = usual_threads()
        taken = limit.taken(need, threads)
        if taken > limit.bytes:
            on = "1 thread" if threads == 1 else f"{threads} threads"
            less = "" if threads == 1 else ", or set OPENBLAS_NUM_THREADS=1 and NUMBA_NUM_THREADS=1"
            return (
                f"{limit.name} allows {megabytes(limit.bytes)} of memory, and the libraries that this needs"
                f" take about {megabytes(taken)} on {on} before any data is read; raise it{less}"
            )
    return ""


def megabytes(size: int) -> str:
    """Writes a number of bytes for messages, rounded up.

    >>> megabytes(1_200_001)
    '2 MB'
    """
    return f"{-(-size // _MB):,} MB"
