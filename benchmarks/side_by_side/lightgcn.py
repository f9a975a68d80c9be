"""Steps of LightGCN, ours and a straightforward one in PyTorch.

Both train with BPR, one uniform negative for each pair, batches of 2048, 3 layers and 64
dimensions. PyTorch propagates a full table with ``torch.sparse.mm`` over a CSR adjacency and steps
with Adam, once as it is written down and once with the backward pass written by hand; ours makes
the rows of the batch alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import sparserec_np
from benchmarks.timing import times_of

BATCH, DIM, LAYERS = 2048, 64, 3
Way = Callable[[sparserec_np.Interactions, int, int], tuple[list[float], int]]


def ours(density: float, log: sparserec_np.Interactions, threads: int, steps: int) -> tuple[list[float], int]:
    """Times our steps, in seconds; returns the number of steps in an epoch, too."""
    import numba

    from sparserec_np.kernels.arguments import Explored
    from sparserec_np.learning.batches import PairSampler
    from sparserec_np.learning.optimizers import OPTIMIZERS
    from sparserec_np.models.model import Gradients
    from sparserec_np.sparsity.exploration import Exploration
    from sparserec_np.starts import STARTS
    from sparserec_np.training.plan import Plan

    numba.set_num_threads(threads)
    rows = log.n_users + log.n_items
    config = sparserec_np.Config(
        model="lightgcn", loss="bpr", negatives=1, batch_size=BATCH, dim=DIM, density=density
    )
    table = STARTS["uniform"](log, DIM, round(density * rows * DIM), np.random.default_rng(0), threads)
    plan = Plan.of(config, log)
    model = plan.model_over(table, log)
    optimizer = OPTIMIZERS["adam"](table.nnz, rows)
    wanted = Exploration(config.explore, config.importance).draw(
        np.concatenate([log.user_degrees, log.item_degrees]),
        np.zeros(0),
        np.ones(rows, dtype=bool),
        np.random.default_rng(1),
    )
    explored = Explored.of(wanted if density < 1 else wanted[:0], rows, DIM)
    gradients = Gradients(np.zeros(table.nnz, np.float32), explored)
    decay = plan.decay(np.zeros_like(table.values))

    def step(batch: Any) -> None:
        scores = model.forward(batch)
        plan.objective.slopes(batch, scores)
        model.backward(batch, scores, decay, gradients)
        optimizer.step(model.table, model.touched(batch), gradients.active, 1e-3)

    sampler = PairSampler(log, BATCH, plan.negatives)
    return times_of(step, _batches(sampler, steps)), sampler.batches


def in_torch(log: sparserec_np.Interactions, threads: int, steps: int) -> tuple[list[float], int]:
    """Times steps in PyTorch, as LightGCN is written down."""
    import torch

    adjacency = _adjacency(log)
    return _of_torch(lambda layer: torch.sparse.mm(adjacency, layer), log, threads, steps)


def in_torch_by_hand(log: sparserec_np.Interactions, threads: int, steps: int) -> tuple[list[float], int]:
    """Times steps in PyTorch that know the adjacency is symmetric, as autograd does not."""
    import torch

    adjacency = _adjacency(log)

    class Product(torch.autograd.Function):
        """The adjacency is symmetric: the way back is the same product."""

        @staticmethod
        def forward(context, x):  # type: ignore[no-untyped-def]
            return torch.sparse.mm(adjacency, x)

        @staticmethod
        def backward(context, gradient):  # type: ignore[no-untyped-def]
            return torch.sparse.mm(adjacency, gradient)

    return _of_torch(Product.apply, log, threads, steps)


def _adjacency(log: sparserec_np.Interactions) -> Any:
    """Makes the symmetrically normalised adjacency, a sparse CSR tensor (rows, rows) float32."""
    import torch

    from sparserec_np.kernels.arguments import Graph

    rows = log.n_users + log.n_items
    graph = Graph.of(log)
    degrees = np.maximum(np.diff(graph.indptr), 1).astype(np.float32)
    owners = np.repeat(np.arange(rows), np.diff(graph.indptr))
    weights = 1 / np.sqrt(degrees[owners] * degrees[graph.neighbours])
    return torch.sparse_csr_tensor(
        torch.from_numpy(graph.indptr.astype(np.int32)),
        torch.from_numpy(graph.neighbours),
        torch.from_numpy(weights),
        (rows, rows),
    )


def _of_torch(
    propagate: Callable[[Any], Any], log: sparserec_np.Interactions, threads: int, steps: int
) -> tuple[list[float], int]:
    """Times steps over a full table, whose layers ``propagate`` makes one from another."""
    import torch

    from sparserec_np.learning.batches import OnePerPair, PairSampler

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    table = torch.nn.Parameter(0.1 * torch.randn(log.n_users + log.n_items, DIM))
    optimizer = torch.optim.Adam([table], lr=1e-3)

    def step(batch: tuple[Any, Any, Any]) -> None:
        users, positives, negatives = batch
        total = layer = table
        for _ in range(LAYERS):
            layer = propagate(layer)
            total = total + layer
        read = total / (LAYERS + 1)
        u, i, j = read[users], read[positives], read[negatives]
        loss = torch.nn.functional.softplus((u * j).sum(1) - (u * i).sum(1)).sum()
        own = table[users].pow(2).sum() + table[positives].pow(2).sum() + table[negatives].pow(2).sum()
        optimizer.zero_grad()
        (loss + 5e-4 * own).backward()
        optimizer.step()

    sampler = PairSampler(log, BATCH, OnePerPair())
    batches = (
        tuple(torch.from_numpy(rows).long() for rows in (batch.user_of, batch.positives, batch.negatives))
        for batch in _batches(sampler, steps)
    )
    return times_of(step, batches), sampler.batches


def _batches(sampler: Any, steps: int) -> Iterator[Any]:
    """Draws the first batches of an epoch, one more than the steps."""
    return itertools.islice(sampler.epoch(np.random.default_rng(2)), steps + 1)
