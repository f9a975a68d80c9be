"""A masked PyTorch loop, as one would write it by hand, against the engine: every parameter after 100 steps.

It shares nothing with the plain definitions of ``sparserec_np.verify`` but the scores and losses,
which ``test_plain.py`` holds against PyTorch's own.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest

from sparserec_np.verify import every_case, plain
from sparserec_np.verify.checking import largest_errors
from sparserec_np.verify.problems import Engine, Problem, Settings, drop_rounding
from tests.makers.small import Array

torch: Any = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install 'sparserec_np[verify]'"
)

# Every optimizer for one model and loss, and for all models, losses and similarities one of them.
CASES = pytest.mark.parametrize(
    "settings",
    [
        *every_case(optimizer="adam"),
        *every_case(model="mf", loss="bpr", negatives="block", similarity="dot", optimizer="sgd"),
        *every_case(model="mf", loss="bpr", negatives="block", similarity="dot", optimizer="adagrad"),
    ],
    ids=lambda s: f"{s.model} {s.scored_by} {s.loss} {s.negatives} {s.optimizer}",
)
TORCH_OPTIM = {"adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad, "sgd": torch.optim.SGD}
# PyTorch's names of the state that lies beside each entry, and what a regrown entry starts with, in
# means of its row.
ENTRY_STATE = {"adam": {"exp_avg": 0.0, "exp_avg_sq": 1.0}, "adagrad": {"sum": 1.0}, "sgd": {}}


class LazyRows:
    """A ``torch.optim`` optimizer for each row, or for each weight, of which those step that a batch reads.

    Each has a step count of its own. It is the definition of lazy steps, and slow.
    """

    def __init__(self, table: Any, kind: Any, rate: float) -> None:
        self.table = table
        self.rows = [torch.nn.Parameter(row.detach().clone()) for row in table]
        self.each = [kind([row], lr=rate) for row in self.rows]

    def step(self, read: Array) -> None:
        for row in read:
            self.rows[row].grad = self.table.grad[row].clone()
            self.each[row].step()
        with torch.no_grad():
            self.table.copy_(torch.stack([row.detach() for row in self.rows]))

    def change(self, table: Any, names: dict[str, float], before: Any, kept: Any, regrown: Any) -> None:
        for row, optimizer in enumerate(self.each):
            self.rows[row].data = table[row].detach().clone()
            for name, share in names.items():
                if name in optimizer.state[self.rows[row]]:
                    state = optimizer.state[self.rows[row]][name]
                    mean = state[before[row]].sum() / max(1, int(before[row].sum()))
                    state[:] = torch.where(regrown[row], share * mean, torch.where(kept[row], state, 0.0))


class WholeTable:
    """A ``torch.optim`` optimizer as it is: every row makes every step."""

    def __init__(self, table: Any, kind: Any, rate: float) -> None:
        self.table = table
        self.optimizer = kind([table], lr=rate)

    def step(self, read: Array) -> None:
        assert len(read) == len(self.table)
        self.optimizer.step()

    def change(self, table: Any, names: dict[str, float], before: Any, kept: Any, regrown: Any) -> None:
        for name, share in names.items():
            state = self.optimizer.state[self.table][name]
            means = (state * before).sum(1, keepdim=True) / before.sum(1, keepdim=True).clamp(min=1)
            state[:] = torch.where(regrown, share * means, torch.where(kept, state, 0.0))


def torch_loop(
    problem: Problem, stepper: type[LazyRows] | type[WholeTable], steps: int
) -> tuple[Array, Array]:
    """All parameters after ``steps`` batches, and its mask after the topology update in the middle."""
    settings = problem.settings
    mask = torch.tensor(problem.active())
    table = torch.nn.Parameter(torch.tensor(problem.dense(problem.table.values)))
    origin = torch.tensor(problem.dense(problem.origin))
    optimizer = stepper(table, TORCH_OPTIM[settings.optimizer], settings.learning_rate)
    weights = torch.nn.Parameter(torch.tensor(problem.weights))
    of_weights = stepper(weights, TORCH_OPTIM[settings.optimizer], settings.learning_rate)
    sums = torch.zeros_like(table)
    for number, batch in enumerate(islice(problem.batches(), steps), 1):
        table.grad = None
        pull = plain.Pull(*settings.l2, origin)  # type: ignore[arg-type]
        weights.grad = None
        sum(problem.costs({"table": table, "weights": weights}, batch, pull, torch)).backward()
        sums += table.grad
        table.grad *= mask
        optimizer.step(problem.rows(batch))
        if problem.weights.size:
            drop_rounding(weights.grad.numpy(), np.float64)
            of_weights.step(problem.weights_moved(batch))
        if number == steps // 2:
            # Prune: per explored row the floor is safe, of all others the smallest go.
            explored = torch.zeros(len(table), 1, dtype=torch.bool)
            explored[torch.tensor(problem.explored, dtype=torch.int64)] = True
            size = torch.where(mask, table.detach().abs(), -1.0)
            safe = torch.zeros_like(mask)
            safe.scatter_(1, size.topk(settings.floor, dim=1).indices, True)
            free = mask & explored & ~safe
            inactive = ~mask & explored
            count = min(
                int(settings.drop_fraction * (mask & explored).sum()),
                int(free.sum()),
                int((inactive & (sums != 0)).sum()),
            )
            assert count > 2
            going = torch.where(free, size, torch.inf).flatten().topk(count, largest=False)
            coming = torch.where(inactive, sums.abs(), -1.0).flatten().topk(count)
            before = mask.clone()
            mask.view(-1)[going.indices] = False
            mask.view(-1)[coming.indices] = True
            regrown = mask & ~before
            with torch.no_grad():
                table *= before & mask
                start = -sums.sign() * settings.regrow_start * going.values.max()
                table.copy_(torch.where(regrown, start, table))
            optimizer.change(table, ENTRY_STATE[settings.optimizer], before, mask & before, regrown)
            origin = origin * (mask & before)
            sums.zero_()
            after = mask.numpy().copy()
    return np.append(table.detach().numpy(), weights.detach().numpy()), after


def engine_loop(problem: Problem, steps: int) -> tuple[Array, Array]:
    engine = Engine(problem)
    for number, batch in enumerate(islice(problem.batches(), steps), 1):
        engine.differentiate(batch)
        engine.step(batch)
        if number == steps // 2:
            engine.update()
            after = problem.active(engine.model.table)
    table = problem.dense(engine.model.table.values, engine.model.table)
    return np.append(table, engine.model.weights), after


def assert_equal_runs(problem: Problem, stepper: type[LazyRows] | type[WholeTable]) -> None:
    expected, mask = torch_loop(problem, stepper, 100)
    found, chosen = engine_loop(problem, 100)
    np.testing.assert_array_equal(chosen, mask)
    _, relative = largest_errors(found, expected)
    assert relative < 1e-9


@CASES
def test_a_lazy_run(settings: Settings) -> None:
    sizes = {"density": 0.25, "seed": 11}
    if not plain.MODELS[settings.model].stores_users:  # a batch moves all that its users touched
        sizes |= {"items": 40, "batch_size": 4}
    problem = Problem.draw(replace(settings, **sizes))
    moved = [len(problem.rows(batch)) for batch in islice(problem.batches(), 9)]
    # Some rows rest, or it would not be lazy; but those of a graph never do.
    assert (min(moved) == problem.table.rows) == (settings.model == "lightgcn")
    assert_equal_runs(problem, LazyRows)


@CASES
def test_where_all_rows_step_it_is_torch_optim_itself(settings: Settings) -> None:
    problem = Problem.draw(replace(settings, interactions=150, batch_size=10_000, seed=12))
    assert_equal_runs(problem, WholeTable)
