"""The threads that BLAS and Numba work on: how many, and which of them may be used where.

Numba runs parallel loops by one of three layers. ``tbb`` and ``omp`` (OpenMP) may be entered by
several threads at once; ``workqueue`` ends the process then, so one at a time may enter. Threads do
not survive a fork: GNU's OpenMP ends a child that enters a parallel loop after its parent did, and
other layers wait for ever. Such a child is told by :func:`threads_are_gone`, and runs its kernels
on the thread it has.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Generic, TypeVar

import numpy as np

from sparserec_np.errors import ConfigError
from sparserec_np.machine.locks import ForkLock

# A batch is a dozen short parallel loops. By default a thread that waits for the others at the end
# of one keeps its core busy for milliseconds; where another program wants that core, the loop waits
# for it in turn, and training takes ten times as long. A thousand turns cover the wait on an idle
# machine. Read once, when the first OpenMP library of the process starts, as the first question
# about Numba's threads may do: so it stands here, before any of the functions below can be called.
# What the user has set goes before.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


Part = TypeVar("Part")
Made = TypeVar("Made")


def made_in_order(make: Callable[[Part], Made], parts: Sequence[Part], threads: int) -> Iterator[Made]:
    """Yields what ``make`` makes of each of ``parts``, in their order, whatever the number of threads.

    So sums of what is yielded have the same bits. As many are made at a time as there are threads,
    and no more than those are held.

    >>> list(made_in_order(abs, [-1, 2, -3], threads=2))
    [1, 2, 3]
    """
    if threads == 1:
        yield from map(make, parts)
        return
    for first in range(0, len(parts), threads):
        yield from made_together(make, parts[first : first + threads], threads)


def made_together(make: Callable[[Part], Made], parts: Sequence[Part], threads: int) -> list[Made]:
    """Makes something of each of ``parts``, on so many threads, this one among them; in their order.

    Where the system starts fewer threads, as where memory for them is refused, those that there are
    do the work. Nobody waits for a thread that is gone.

    Raises:
        MemoryError: a thread was lost.
        Exception: what ``make`` raised first.

    >>> made_together(abs, [-1, 2, -3], threads=2)
    [1, 2, 3]
    """
    crew = _Crew(make, parts)
    helpers = []
    for _ in range(min(threads, len(parts)) - 1):
        helper = threading.Thread(target=crew.work, daemon=True)
        try:
            helper.start()
        except (RuntimeError, MemoryError):  # it cannot be started
            break
        helpers.append(helper)
    crew.work()
    for helper in helpers:
        helper.join()
    return crew.result()


class _Crew(Generic[Part, Made]):
    """The threads that make something of parts: what is to be done, and what was made."""

    def __init__(self, make: Callable[[Part], Made], parts: Sequence[Part]) -> None:
        self._make, self._parts = make, parts
        self._made: dict[int, Made] = {}
        self._next, self._lock = 0, threading.Lock()
        self._failure: BaseException | None = None

    def work(self) -> None:
        """Makes one thing after the other, until there is nothing left to do or somebody failed."""
        try:
            while self._failure is None:
                with self._lock:
                    number, self._next = self._next, self._next + 1
                if number >= len(self._parts):
                    return
                self._made[number] = self._make(self._parts[number])
        except BaseException as error:
            with self._lock:
                self._failure = self._failure or error

    def result(self) -> list[Made]:
        """Returns what was made; raises what somebody failed by."""
        if self._failure is not None:
            raise self._failure
        if len(self._made) < len(self._parts):
            raise MemoryError("a thread was lost")
        return [self._made[number] for number in range(len(self._parts))]


class _BlasLimit:
    """The limit of BLAS to one thread, for as long as anybody asks for it.

    It is one for the process. Where threads come and go one by one, the first to come sets it and
    the last to go takes it back.
    """

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._asking = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        from threadpoolctl import threadpool_limits

        with self._lock:
            if not self._asking:
                self._limit = threadpool_limits(1, user_api="blas")
            self._asking += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._asking -= 1
            if not self._asking:
                self._limit.restore_original_limits()


_blas_limit = _BlasLimit()


def one_blas_thread() -> AbstractContextManager[None]:
    """Lets BLAS work on one thread, so that it always gives the same bits.

    BLAS splits sums by its number of threads, and rounds accordingly.
    """
    return _blas_limit


def most_threads() -> int:
    """Returns the largest number of threads that Numba may be set to.

    It is one a core, unless NUMBA_NUM_THREADS says otherwise.
    """
    import numba

    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    return most


def set_kernel_threads(threads: int | None) -> int:
    """Sets the threads of compiled kernels, by default all there are, and returns their number.

    Raises:
        ConfigError: ``threads`` is no whole number, or below 1.
    """
    import numba

    if threads is not None and not (isinstance(threads, int | np.integer) and threads >= 1):
        raise ConfigError(f"threads must be a whole number, 1 or more, found {threads!r}")
    count = most_threads() if threads is None else min(int(threads), most_threads())
    numba.set_num_threads(count)
    return count


def shared_threads() -> int:
    """Returns the number of threads that Numba is set to, for work that is shared out without Numba.

    It is 1 where Numba's threads were left behind by a fork.
    """
    import numba

    return 1 if _gone else int(numba.get_num_threads())


@contextmanager
def kernel_threads(threads: int | None) -> Iterator[int]:
    """Sets Numba's threads as :func:`set_kernel_threads` does, and sets them back afterwards."""
    import numba

    before = numba.get_num_threads()
    try:
        yield set_kernel_threads(threads)
    finally:
        numba.set_num_threads(before)


# Whether Numba's threads were started by a process that this one was forked from.
_gone = False


def threads_are_gone() -> bool:
    """Tells whether Numba's threads were left behind in a process that this one was forked from."""
    return _gone


def _note_fork() -> None:
    global _gone
    launched = getattr(sys.modules.get("numba.np.ufunc.parallel"), "_is_initialized", None)
    # Numba may come to say it otherwise: then any fork after its threads could be had counts.
    _gone = _gone or ("numba.np.ufunc.parallel" in sys.modules if launched is None else bool(launched))


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_note_fork)

_one_at_a_time = ForkLock()
# What a thread holds while it is in a parallel kernel; None until Numba has chosen its layer.
_turn: AbstractContextManager[None] | None = None


def parallel_turn() -> AbstractContextManager[None]:
    """Returns what a thread has to hold while it runs a parallel kernel.

    It is a lock where Numba's layer bears one thread at a time, and nothing elsewhere.
    """
    global _turn
    if _turn is None:
        import numba

        numba.get_num_threads()  # which makes Numba choose
        _turn = _one_at_a_time if numba.threading_layer() == "workqueue" else nullcontext()
    return _turn
