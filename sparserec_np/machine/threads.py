"""The number of threads that BLAS and Numba work on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from sparserec_np.errors import ConfigError

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
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(parts), threads):
            yield from pool.map(make, parts[first : first + threads])


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Lets BLAS work on one thread, so that it always gives the same bits.

    BLAS splits sums by its number of threads, and rounds accordingly.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


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


@contextmanager
def kernel_threads(threads: int | None) -> Iterator[int]:
    """Sets Numba's threads as :func:`set_kernel_threads` does, and sets them back afterwards."""
    import numba

    before = numba.get_num_threads()
    try:
        yield set_kernel_threads(threads)
    finally:
        numba.set_num_threads(before)
