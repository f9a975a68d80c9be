"""The same work on one thread and on all: how much faster, and whether the bits are the same."""

from __future__ import annotations

import hashlib
import statistics
from functools import partial

import sparserec_np
from benchmarks.figures import spread, table
from benchmarks.side_by_side import ours, ranking
from benchmarks.side_by_side.contender import OURS, Contender, Record, Setting

TITLE = "Threads"
REPEAT = (2, 1)
prepare = ranking.prepare


def of_epoch(settings: ours.Settings, setting: Setting) -> Record:
    """The median epoch, and the digest of the table after the last."""
    ours.load_kernels(settings)
    log = sparserec_np.read_interactions(setting.train)
    config = sparserec_np.Config(**settings, epochs=4, validation=0.0, learning_rate=0.01)
    fitted = sparserec_np.train(log, config, threads=setting.threads)
    seconds = [record["seconds"] for record in fitted.history if record["epoch"] > 0]
    digest = hashlib.sha256(b"".join(array.tobytes() for array in fitted.model.table)).hexdigest()
    return {"seconds": statistics.median(seconds[1:]), "sha256": digest}


WORK = {
    **{name: partial(of_epoch, settings) for name, settings in ours.SCALED.items()},
    "full ranking, density 0.1": partial(ranking.of_ours, "sparse", 0),
    "full ranking, density 1.0": partial(ranking.of_ours, "dense", 0),
}
ONE, ALL = "1 thread", "all threads"
CONTENDERS = {
    f"{name}, {label}": Contender(measure, OURS, ours=True, threads=threads)
    for name, measure in WORK.items()
    for label, threads in ((ONE, 1), (ALL, None))
}


def section(runs: dict[str, list[Record]]) -> str:
    """A row for each piece of work."""
    rows = []
    for name in WORK:
        if not all(f"{name}, {label}" in runs for label in (ONE, ALL)):
            continue
        one, all_ = (runs[f"{name}, {label}"] for label in (ONE, ALL))
        seconds = [spread(record["seconds"] for record in records) for records in (one, all_)]
        digests = {record["sha256"] for record in (*one, *all_)}
        same = f"the same, {digests.copy().pop()[:12]}" if len(digests) == 1 else "DIFFERENT"
        rows.append([name, *map(str, seconds), f"{seconds[0].median / seconds[1].median:.2f}", same])
    head = ["work", f"s, {ONE}", f"s, {ALL}", "times as fast", "SHA-256 of the result"]
    return "Every run of a row, on any number of threads, has to give the same bits.\n\n" + table(head, rows)
