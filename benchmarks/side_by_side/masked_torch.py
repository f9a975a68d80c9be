"""Dynamic sparse training as a mask over full tables, in PyTorch: how DSL (Wang et al. 2024) would run on a CPU.

The table is full, and so are its gradient and Adam's moments; a mask of zeros and ones says which
entries count. Once an epoch the smallest active entries are pruned and as many inactive ones
regrown, where the last batch's gradient is largest. It is written as one would write it by hand,
with what PyTorch has to be fast: Adam's step is a fused one.
"""

from __future__ import annotations

import torch

Tensor = torch.Tensor


class MaskedFactorization:
    """Matrix factorisation over one masked table, users first.

    Attributes:
        table: (rows, dim) float32 parameter; inactive entries are zero.
        mask: (rows, dim) float32 of zeros and ones, as many ones at all times.
        optimizer: Adam over the full table.
    """

    def __init__(self, rows: int, dim: int, density: float, rate: float = 1e-3, l2: float = 1e-4) -> None:
        order = torch.randperm(rows * dim)[: round(density * rows * dim)]
        self.mask = torch.zeros(rows * dim).index_fill_(0, order, 1.0).view(rows, dim)
        self.table = torch.nn.Parameter(0.1 * torch.randn(rows, dim) * self.mask)
        self.optimizer = torch.optim.Adam([self.table], lr=rate, fused=True)
        self.l2 = l2
        self.last_gradient = torch.zeros(rows, dim)

    def step(self, users: Tensor, positives: Tensor, negatives: Tensor, keep_gradient: bool = False) -> None:
        """One step of BPR on rows (b,) each; ``keep_gradient`` keeps the gradient of all entries for regrowth."""
        weights = self.table * self.mask
        if keep_gradient:
            weights.retain_grad()
        u, i, j = weights[users], weights[positives], weights[negatives]
        loss = torch.nn.functional.softplus((u * j).sum(1) - (u * i).sum(1)).mean()
        own = (u.square().sum() + i.square().sum() + j.square().sum()) / len(users)
        self.optimizer.zero_grad()
        (loss + self.l2 * own).backward()
        self.optimizer.step()
        if keep_gradient:
            self.last_gradient = weights.grad

    @torch.no_grad()
    def update_mask(self, fraction: float) -> int:
        """Prunes ``fraction`` of the active entries and regrows as many, from zero; returns how many."""
        flat, active = self.table.view(-1), self.mask.view(-1)
        count = min(int(fraction * int(active.sum())), len(active) - int(active.sum()))
        weak = torch.where(active > 0, flat.abs(), torch.inf).topk(count, largest=False).indices
        scores = torch.where(active > 0, -1.0, self.last_gradient.view(-1).abs())
        grown = scores.topk(count).indices
        active[weak] = 0.0
        active[grown] = 1.0
        flat[weak] = 0.0
        for name in ("exp_avg", "exp_avg_sq"):
            moments = self.optimizer.state[self.table][name].view(-1)
            moments[weak] = 0.0
            moments[grown] = 0.0
        return count
