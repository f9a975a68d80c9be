"""Work that is done one step ahead, on a thread beside the one that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from sparserec_np.machine.threads import set_kernel_threads

Made = TypeVar("Made")


def one_ahead(parts: Iterator[Made], threads: int) -> Iterator[Made]:
    """Yields ``parts``, and has the next one made on another thread while the caller works on one.

    What comes, and in which order, is the same for any number of threads. Of one thread, or where
    the system starts no other, each part is made when it is asked for.

    Raises:
        Exception: what making a part raised.

    >>> list(one_ahead(iter("abc"), threads=2))
    ['a', 'b', 'c']
    """
    if threads == 1:
        yield from parts
        return
    with ThreadPoolExecutor(1, initializer=set_kernel_threads, initargs=(1,)) as beside:
        try:
            coming: Future[Made | None] = beside.submit(next, parts, None)
        except (RuntimeError, MemoryError):  # no thread can be started
            yield from parts
            return
        while (part := coming.result()) is not None:
            coming = beside.submit(next, parts, None)
            yield part
