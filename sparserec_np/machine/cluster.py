"""The connection to a scheduler of Dask, whose workers may be on other machines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sparserec_np.errors import SparseRecError

PATIENCE = "20s"  # to find the scheduler


@contextmanager
def connected(scheduler: str) -> Iterator[Any]:
    """Yields a client of the scheduler at an address, and closes it.

    Raises:
        SparseRecError: Dask is not installed, or nobody answers.
    """
    try:
        import distributed
    except ImportError as error:
        raise SparseRecError(
            "The backend dask needs the packages dask and distributed: pip install 'sparserec_np[dask]'"
        ) from error
    try:
        client = distributed.Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise SparseRecError(
            f"No scheduler of Dask answers at {scheduler}: start one with `dask scheduler`, and workers with"
            " `dask worker`"
        ) from error
    with client:
        yield client
