"""How close the hot kernels come to what the machine's memory gives.

Bytes are counted from the shapes. Calls go round a number of batches, so that what a batch reads
has left the core's caches when its turn comes again, as in training.
"""

from __future__ import annotations

from benchmarks.figures import number, prose, spread, table
from benchmarks.side_by_side.contender import OURS, Contender, Record, Setting

TITLE = "Kernels beside the machine's limits"
REPEAT = (3, 1)
BATCHES, BATCH, NEGATIVES, DIM, DENSITY = 32, 2048, 256, 64, 0.1
LIMITS = {
    "stream, 400 MB": "STREAM triad, arrays of 400 MB",
    "stream, 1 MB": "the same, arrays of 1 MB",
    "gather, 1 MB": "rows of 64 bytes at random, table of 1 MB",
    "gather, 10 MB": "the same, table of 10 MB",
    "gather, 200 MB": "the same, table of 200 MB",
}
HERE_AND_THERE, NEAR = "gather, 10 MB", "stream, 1 MB"


def measure(setting: Setting) -> Record:
    """The machine's limits, then each kernel."""
    import numba  # here, after a look at memory

    from benchmarks.side_by_side import kernel_calls, limits

    numba.set_num_threads(setting.threads)
    least = setting.pick(0.3, 0.02)
    return {
        "limits": limits.measure(least),
        "kernels": {work.name: work.measure(least) for work in kernel_calls.works(setting.train)},
    }


IMPORTS = (*OURS, "sparserec_np.models.lightgcn")
CONTENDERS = {
    "1 thread": Contender(measure, IMPORTS, ours=True, threads=1),
    "all threads": Contender(measure, IMPORTS, ours=True),
}


def section(runs: dict[str, list[Record]]) -> str:
    """The limits, and a row for each kernel."""

    def limit(records: list[Record], name: str) -> float:
        return spread(one["limits"][name] for one in records).median

    limits = [
        [text, *(number(limit(records, name) / 1e9) for records in runs.values())]
        for name, text in LIMITS.items()
    ]
    rows = []
    for name, work in next(iter(runs.values()))[0]["kernels"].items():
        row = [name, number(work["bytes"] / 1e6), work["limit"]]
        for records in runs.values():
            seconds = spread(one["kernels"][name]["seconds"] for one in records).median
            rate = work["bytes"] / seconds
            row += [
                number(seconds * 1e6),
                number(rate / 1e9),
                f"{rate / limit(records, work['limit']):.0%}",
            ]
        rows.append(row)
    heads = [head for name in runs for head in (f"µs, {name}", "GB/s", "of the limit")]
    words = (
        f"Batches of {BATCH} pairs, {NEGATIVES} shared negatives, {DIM} columns at density {DENSITY}, entries at"
        f" random; medians of many calls, which go round {BATCHES} batches. Bytes are counted from the shapes: each"
        " read and write of an argument once, whether or not a cache answers it; an entry is 5 bytes, the bounds of a"
        " row 8. So a kernel whose data stay next to the core passes its limit, and one that computes exponentials"
        " stays far below. Gathered rows count the bytes that are wanted, of the lines of 64 that have to come for"
        " them."
    )
    tables = (
        table(["limit", *(f"GB/s, {name}" for name in runs)], limits),
        table(["kernel", "MB", "limit", *heads], rows),
    )
    return "\n\n".join((prose(words), *tables))
