"""What the memory of this machine gives: the best that kernels which stream, or read rows here and there, can do."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from benchmarks.timing import median_seconds
from sparserec_np.kernels.arguments import STRIP_COLUMNS
from sparserec_np.kernels.compiled.elementary import sum_rows

STREAMS = {"stream, 400 MB": 400_000_000, "stream, 1 MB": 1_000_000}  # bytes of the three arrays
GATHERS = {
    "gather, 1 MB": 1_000_000,
    "gather, 10 MB": 10_000_000,
    "gather, 200 MB": 200_000_000,
}  # of the table


@numba.njit(parallel=True, nogil=True, cache=True)
def triad(a: Any, b: Any, c: Any, times: int) -> None:
    """``a = b + k c`` (McCalpin's STREAM) for ``times`` values of k, each thread over a part of its own."""
    parts = numba.get_num_threads()
    each = (len(a) + parts - 1) // parts
    for part in numba.prange(parts):
        x = a[part * each : (part + 1) * each]
        y = b[part * each : (part + 1) * each]
        z = c[part * each : (part + 1) * each]
        for k in range(times):
            scale = np.float64(k)
            for i in range(len(x)):
                x[i] = y[i] + scale * z[i]


@numba.njit(parallel=True, nogil=True, cache=True)
def gather(table: Any, order: Any, sums: Any) -> None:
    """Sums rows of ``table`` in the order given, each part of ``order`` into a row of ``sums``."""
    parts = len(sums)
    each = (len(order) + parts - 1) // parts
    for part in numba.prange(parts):
        own = np.zeros(STRIP_COLUMNS, dtype=table.dtype)
        sum_rows(table, order, part * each, min(len(order), (part + 1) * each), own)
        sums[part] = own


def measure(least: float) -> dict[str, float]:
    """Bytes per second of each limit, on the threads that Numba is set to, from ``least`` seconds each."""
    rng = np.random.default_rng(0)
    found = {}
    for name, size in STREAMS.items():
        times = max(1, 100_000_000 // size)
        a, b, c = (np.ones(size // 24) for _ in range(3))
        seconds = median_seconds(lambda a=a, b=b, c=c, times=times: triad(a, b, c, times), least=least)
        found[name] = 24 * len(a) * times / seconds
    for name, size in GATHERS.items():
        table = rng.random((size // (4 * STRIP_COLUMNS), STRIP_COLUMNS), dtype=np.float32)
        order = rng.integers(len(table), size=1 << 20, dtype=np.int32)
        sums = np.zeros((numba.get_num_threads(), STRIP_COLUMNS), dtype=np.float32)
        seconds = median_seconds(lambda t=table, o=order, s=sums: gather(t, o, s), least=least)
        found[name] = table[0].nbytes * len(order) / seconds
    return found
