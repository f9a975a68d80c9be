"""Methods of training within a budget.

A method is a row of a table; the training loop knows none by name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sparserec_np.errors import ConfigError
from sparserec_np.sparsity.budget import Budget
from sparserec_np.sparsity.exploration import Exploration
from sparserec_np.sparsity.growth import AccumulatedGrowth, Growth, LastBatchGrowth, NoGrowth, RandomGrowth


@dataclass(frozen=True)
class Method:
    """A way to spend a budget: what is stored at first, and how it changes.

    Attributes:
        name: as on the command line.
        summary: one line for the help.
        growth: how inactive entries become active; for :class:`AccumulatedGrowth` the exploration
            is set by the configuration.
        full: store every entry, whatever the budget.
        narrow: spend the budget on a full table of fewer columns.
        full_until: part of the epochs that train more than the budget: a full table, which is then
            pruned to it for good.
        shrinks: whether it is pruned in each of these epochs, and not at their end alone.
    """

    name: str
    summary: str
    growth: Growth
    full: bool = False
    narrow: bool = False
    full_until: float = 0.0
    shrinks: bool = False

    def spend(self, budget: Budget) -> Budget:
        """Makes the budget of the stored table: the same entries, fewer columns, or all entries.

        Raises:
            ConfigError: the budget is less than one full column.
        """
        if self.full:
            return replace(budget, nnz=budget.rows * budget.dim)
        if self.narrow:
            # A full table need not store its columns, but is served in the same format: compare
            # entries for entries.
            dim = budget.nnz // budget.rows
            if dim < 1:
                raise ConfigError(
                    f"The method {self.name} needs an entry for each of {budget.rows:,} rows, found a budget of"
                    f" {budget.nnz:,} entries; raise the budget or take another method"
                )
            return replace(budget, dim=dim, nnz=budget.rows * dim)
        return budget

    def entries_after(self, part: float, full: int, budget: int) -> int:
        """Computes the entries that are left after a ``part`` of the epochs that train more.

        A table that shrinks has ``budget + (full - budget) (1 - part)^3`` (Zhu and Gupta 2017).

        >>> [METHODS["granet"].entries_after(part, 1000, 200) for part in (0, 0.5, 1)]
        [1000, 300, 200]
        """
        if part >= 1:
            return budget
        return budget + round((full - budget) * (1 - part) ** 3) if self.shrinks else full

    def growth_with(self, exploration: Exploration) -> Growth:
        """Makes the growth of this method, which explores as told where it explores at all."""
        if type(self.growth) is AccumulatedGrowth:
            return replace(
                self.growth, exploration=exploration, prunes_explored_only=exploration.fraction < 1
            )
        return self.growth


METHODS = {
    method.name: method
    for method in (
        Method("sparserec", "accumulated growth in explored rows", AccumulatedGrowth()),
        Method("rigl", "growth by the last batch's gradient (RigL, DSL)", LastBatchGrowth()),
        Method("set", "growth at random (SET)", RandomGrowth()),
        Method("static", "the start's mask, never changed", NoGrowth()),
        Method(
            "magnitude", "a full table, pruned once to the budget, trained on", NoGrowth(), full_until=0.6
        ),
        Method(
            "granet",
            "a full table, pruned step by step while it regrows by the last batch's gradient (GraNet)",
            LastBatchGrowth(),
            full_until=0.6,
            shrinks=True,
        ),
        Method("dense-small", "a full table of fewer columns, as many entries", NoGrowth(), narrow=True),
        Method("dense", "a full table, no budget", NoGrowth(), full=True),
    )
}
