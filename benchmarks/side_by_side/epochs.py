"""Seconds of a training epoch, pairs of a positive and a negative per second, and memory."""

from __future__ import annotations

import statistics
import time
from functools import partial

import numpy as np

import sparserec_np
from benchmarks.data import as_matrix
from benchmarks.figures import number, prose, spread, table
from benchmarks.processes import memory
from benchmarks.side_by_side import lightgcn, ours
from benchmarks.side_by_side.contender import IMPLICIT, OURS, TORCH, Contender, Record, Setting

TITLE = "Training epochs"
REPEAT = (3, 1)
BATCH, DIM, DENSITY = 2048, 64, 0.1
DROP = 0.3  # of the masked loop's entries in a topology update: its time hardly depends on it


def of_ours(settings: ours.Settings, setting: Setting) -> Record:
    """The median epoch of a training run; drawing the negatives and changing the mask are part of it."""
    ours.start_numba()
    started = memory("VmRSS")
    log = sparserec_np.read_interactions(setting.train)
    # The mask changes in every epoch but the last: by default the last quarter of them would be
    # cheaper. Epochs in cells are short: it takes more of them for a steady median.
    epochs = setting.pick(16 if settings.get("order") == "cells" else 4, 3)
    fixed = {"epochs": epochs, "drop_until": 1.0, "validation": 0.0, "learning_rate": 0.01}
    config = sparserec_np.Config(**settings | fixed)
    fitted = sparserec_np.train(log, config, threads=setting.threads)
    seconds = [record["seconds"] for record in fitted.history if record["epoch"] > 0]
    negatives = 1 if config.negatives == 1 else min(config.negatives or 256, log.n_items)
    rate = of_epoch(statistics.median(seconds[1:]), log.n_interactions * negatives)
    return rate | {"epochs": seconds, "started_bytes": started}


def of_implicit_bpr(setting: Setting) -> Record:
    """The difference of a long and a short fit, by epoch. Pairs that its sampler skips are counted as made."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    log = sparserec_np.read_interactions(setting.train)
    matrix = as_matrix(log)
    short, long = setting.pick((5, 30), (2, 6))
    seconds = []
    for iterations in (1, short, long):  # the first is not counted: threads are started, pages touched
        model = BayesianPersonalizedRanking(
            factors=DIM, iterations=iterations, num_threads=setting.threads, random_state=0
        )
        clock = time.perf_counter()
        model.fit(matrix, show_progress=False)
        seconds.append(time.perf_counter() - clock)
    return of_epoch((seconds[2] - seconds[1]) / (long - short), log.n_interactions)


def of_masked_torch(setting: Setting) -> Record:
    """Steps of the masked loop, scaled to an epoch, and one topology update; drawing the pairs is not counted."""
    import torch

    from benchmarks.side_by_side.masked_torch import MaskedFactorization  # imports PyTorch

    torch.set_num_threads(setting.threads)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    log = sparserec_np.read_interactions(setting.train)
    users, batches = log.pair_users(), -(-log.n_interactions // BATCH)
    model = MaskedFactorization(log.n_users + log.n_items, DIM, DENSITY)
    steps = min(setting.pick(40, 12), batches)
    order = rng.permutation(log.n_interactions)
    times = []
    for step in range(steps):
        pairs = np.sort(order[step * BATCH : (step + 1) * BATCH])
        negatives = rng.integers(log.n_items, size=len(pairs))
        rows = [users[pairs], log.items[pairs] + log.n_users, negatives + log.n_users]
        tensors = [torch.from_numpy(each.astype(np.int64)) for each in rows]
        clock = time.perf_counter()
        model.step(*tensors, keep_gradient=step == steps - 1)
        times.append(time.perf_counter() - clock)
    clock = time.perf_counter()
    model.update_mask(DROP)
    update = time.perf_counter() - clock
    seconds = statistics.median(times[min(3, steps - 1) :]) * batches + update
    return of_epoch(seconds, log.n_interactions) | {"steps": steps}


def of_lightgcn(way: lightgcn.Way, setting: Setting) -> Record:
    """Steps of LightGCN, scaled to an epoch; drawing the pairs is not counted for either."""
    log = sparserec_np.read_interactions(setting.train)
    times, batches = way(log, setting.threads, setting.pick(15, 5))
    return of_epoch(statistics.median(times[3:]) * batches, log.n_interactions)


def of_epoch(seconds: float, pairs: int) -> Record:
    """Seconds, and pairs of a positive and a negative per second."""
    return {"seconds": seconds, "pairs_per_second": pairs / seconds}


MASKED = f"PyTorch, BPR, 1 negative, mask over a full table, density {DENSITY}"
GRAPH = (*TORCH, "sparserec_np.models.lightgcn", "sparserec_np.kernels.compiled.sampling")
CONTENDERS = {
    **{
        name: Contender(partial(of_ours, settings), OURS, ours=True) for name, settings in ours.EPOCHS.items()
    },
    "implicit, BPR, 1 negative, full table": Contender(of_implicit_bpr, IMPLICIT, needs="implicit"),
    MASKED: Contender(of_masked_torch, TORCH, needs="torch"),
    "sparserec_np, LightGCN, density 0.1": Contender(
        partial(of_lightgcn, partial(lightgcn.ours, 0.1)), OURS, ours=True
    ),
    "sparserec_np, LightGCN, density 1.0": Contender(
        partial(of_lightgcn, partial(lightgcn.ours, 1.0)), OURS, ours=True
    ),
    "PyTorch, LightGCN": Contender(partial(of_lightgcn, lightgcn.in_torch), GRAPH, needs="torch"),
    "PyTorch, LightGCN, backward pass by hand": Contender(
        partial(of_lightgcn, lightgcn.in_torch_by_hand), GRAPH, needs="torch"
    ),
}


def section(runs: dict[str, list[Record]]) -> str:
    """The table, and what it says of the figures."""
    rows = []
    first = runs.get(next(iter(ours.EPOCHS)))
    base = spread(one["seconds"] for one in first).median if first else None
    for name, records in runs.items():
        seconds = spread(one["seconds"] for one in records)
        rate = spread(one["pairs_per_second"] / 1e6 for one in records).median
        ratio = number(seconds.median / base) if base else "-"
        rows.append([name, str(seconds), number(rate), ratio, megabytes(records), numba(records)])
    head = ["way", "s an epoch", "million pairs a second", "times as long as the first"]
    head += ["MB above imports", "of them Numba's start"]
    words = (
        "A pair is a positive and a negative, and 256 shared negatives make 256 pairs of each positive. Our epochs"
        " include drawing the negatives and changing the mask; PyTorch's and both LightGCNs' are some steps, scaled,"
        f" without drawing. {DIM} columns; LightGCN, PyTorch and what says so go in batches of {BATCH}, all others"
        " pair by pair. The last column is what the first compiled function of a process leaves resident, whatever it"
        " does: Numba's own start, which others have behind them when they are imported."
    )
    return prose(words) + "\n\n" + table(head, rows)


def numba(records: list[Record]) -> str:
    """The median of what Numba's start adds to resident memory, MB; "-" where it is not used, or nobody knows."""
    known = [
        (one["started_bytes"] - one["imports_bytes"]) / 1e6
        for one in records
        if one.get("started_bytes") and one["imports_bytes"]
    ]
    return f"{spread(known).median:.0f}" if known else "-"


def megabytes(records: list[Record]) -> str:
    """The median peak of resident memory above the imports, MB; "-" where the system does not say."""
    known = [one["above_imports_bytes"] / 1e6 for one in records if one["imports_bytes"]]
    return f"{spread(known).median:.0f}" if known else "-"
