"""Whether parallel kernels share out their loops from their first call.

By themselves they begin on one thread, which compiles in less than half the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Haste:
    """Whether kernels are compiled for all threads at once, however short they run."""

    on = False


@contextmanager
def sharing_at_once() -> Iterator[None]:
    """Lets parallel kernels share out their loops from their first call, where there are threads.

    For compiling ahead, and for whoever measures how fast they are.
    """
    before, Haste.on = Haste.on, True
    try:
        yield
    finally:
        Haste.on = before
