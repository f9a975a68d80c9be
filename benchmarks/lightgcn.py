"""Seconds and memory of LightGCN, beside a straightforward one in PyTorch.

    python benchmarks/lightgcn.py TRAIN -o results.json [--threads 2] [--steps 40] [--repeat 5]

Both train with BPR, one uniform negative for each pair, batches of 2048, 3 layers and 64 dimensions, on the same
threads. Each measurement is a process of its own; they take turns, and the medians are reported. PyTorch propagates a
full table with ``torch.sparse.mm`` over a CSR adjacency and steps with Adam, once as it is written down and once with
the backward pass written by hand; ours makes the rows of the batch alone.
Peak memory is that of the process, the loading of the interactions included. Where PyTorch is not installed, it is
named as missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

BATCH, DIM, LAYERS = 2048, 64, 3


def ours(path: str, threads: int, steps: int, density: float) -> tuple[float, int]:
    """Seconds for each step, and the number of steps in an epoch."""
    import numba
    import numpy as np

    from sparserec_np import Config
    from sparserec_np.data.formats import read_interactions
    from sparserec_np.learning.batches import PairSampler
    from sparserec_np.learning.optimizers import OPTIMIZERS
    from sparserec_np.models.model import Gradients
    from sparserec_np.sparsity.growth import Explored
    from sparserec_np.starts import STARTS

    numba.set_num_threads(threads)
    log = read_interactions(path)
    rows = log.n_users + log.n_items
    config = Config(model="lightgcn", loss="bpr", negatives=1, batch_size=BATCH, dim=DIM, density=density)
    table = STARTS["uniform"](log, DIM, round(density * rows * DIM), np.random.default_rng(0), threads)
    model = config.model_over(table, DIM, log)
    optimizer = OPTIMIZERS["adam"](table.nnz, rows)
    wanted = config.exploration.draw(
        np.concatenate([log.user_degrees, log.item_degrees]), np.zeros(0), np.random.default_rng(1)
    )
    explored = Explored.of(wanted if density < 1 else wanted[:0], rows, DIM)
    gradients = Gradients(np.zeros(table.nnz, np.float32), explored)
    decay = config.decay(np.zeros_like(table.values))
    sampler = PairSampler(log, BATCH, config.drawn_negatives)
    times = []
    for step, batch in enumerate(sampler.epoch(np.random.default_rng(2))):
        clock = time.perf_counter()
        scores = model.forward(batch)
        config.objective.slopes(batch, scores)
        model.backward(batch, scores, decay, gradients)
        optimizer.step(model.table, model.touched(batch), gradients.active, 1e-3)
        times.append(time.perf_counter() - clock)
        if step == steps:
            break
    return statistics.median(times[3:]), sampler.batches


def torch_full(path: str, threads: int, steps: int, by_hand: bool) -> tuple[float, int]:
    """The same in PyTorch; ``by_hand`` tells it that the adjacency is symmetric, which autograd does not know."""
    import numpy as np
    import torch

    from sparserec_np.data.formats import read_interactions
    from sparserec_np.learning.batches import OnePerPair, PairSampler
    from sparserec_np.models.lightgcn import Graph

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    log = read_interactions(path)
    rows = log.n_users + log.n_items
    graph = Graph.of(log)
    degrees = np.maximum(np.diff(graph.indptr), 1).astype(np.float32)
    owners = np.repeat(np.arange(rows), np.diff(graph.indptr))
    weights = 1 / np.sqrt(degrees[owners] * degrees[graph.neighbours])
    adjacency = torch.sparse_csr_tensor(
        torch.from_numpy(graph.indptr.astype(np.int32)),
        torch.from_numpy(graph.neighbours),
        torch.from_numpy(weights),
        (rows, rows),
    )
    table = torch.nn.Parameter(0.1 * torch.randn(rows, DIM))
    optimizer = torch.optim.Adam([table], lr=1e-3)

    class Step(torch.autograd.Function):
        """The adjacency is symmetric: the way back is the same product."""

        @staticmethod
        def forward(context, x):  # type: ignore[no-untyped-def]
            return torch.sparse.mm(adjacency, x)

        @staticmethod
        def backward(context, gradient):  # type: ignore[no-untyped-def]
            return torch.sparse.mm(adjacency, gradient)

    sampler = PairSampler(log, BATCH, OnePerPair())
    times = []
    for step, batch in enumerate(sampler.epoch(np.random.default_rng(2))):
        users, positives, negatives = (
            torch.from_numpy(array).long() for array in (batch.user_of, batch.positives, batch.negatives)
        )
        clock = time.perf_counter()
        total = layer = table
        for _ in range(LAYERS):
            layer = Step.apply(layer) if by_hand else torch.sparse.mm(adjacency, layer)
            total = total + layer
        read = total / (LAYERS + 1)
        u, i, j = read[users], read[positives], read[negatives]
        loss = torch.nn.functional.softplus((u * j).sum(1) - (u * i).sum(1)).sum()
        own = table[users].pow(2).sum() + table[positives].pow(2).sum() + table[negatives].pow(2).sum()
        optimizer.zero_grad()
        (loss + 5e-4 * own).backward()
        optimizer.step()
        times.append(time.perf_counter() - clock)
        if step == steps:
            break
    return statistics.median(times[3:]), sampler.batches


WAYS = {
    "sparserec_np, density 1.0": lambda path, threads, steps: ours(path, threads, steps, 1.0),
    "sparserec_np, density 0.1": lambda path, threads, steps: ours(path, threads, steps, 0.1),
    "PyTorch": lambda path, threads, steps: torch_full(path, threads, steps, False),
    "PyTorch, way back by hand": lambda path, threads, steps: torch_full(path, threads, steps, True),
}


def main() -> None:
    """Measures all ways in turn, prints a table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", help="interactions to train on")
    parser.add_argument("-o", "--output", required=True, help="JSON file to write")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40, help="batches in a measurement")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        seconds, batches = WAYS[given.way](given.train, given.threads, given.steps)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"step": seconds, "epoch": seconds * batches, "peak": peak}))
        return
    ways = list(WAYS)
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: measured without it.")
        ways = [way for way in ways if not way.startswith("PyTorch")]
    environment = os.environ | {
        name: str(given.threads) for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    }
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for turn in range(given.repeat + 1):
        for way in ways:
            command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
            output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
            if turn:  # the first fills the kernel cache
                runs[way].append(json.loads(output.stdout))
    results = {
        way: {name: statistics.median(run[name] for run in measured) for name in ("step", "epoch", "peak")}
        | {"steps": [run["step"] for run in measured]}
        for way, measured in runs.items()
    }
    machine = {"cores": os.cpu_count(), "threads": given.threads, "python": platform.python_version()}
    for name in ("numpy", "numba", "torch"):
        machine[name] = version(name) if importlib.util.find_spec(name) else "missing"
    with open(given.output, "w", encoding="utf-8") as stream:
        json.dump({"rows": results, "machine": machine}, stream, indent=1)
    peer = results.get("PyTorch")
    print("| way | ms a step | s an epoch | times as fast as PyTorch | peak MB |\n|---|---|---|---|---|")
    for way, row in results.items():
        ratio = f"{peer['step'] / row['step']:.1f}" if peer else "-"
        print(f"| {way} | {row['step'] * 1e3:.1f} | {row['epoch']:.1f} | {ratio} | {row['peak'] / 1e6:.0f} |")


if __name__ == "__main__":
    main()
