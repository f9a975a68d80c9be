"""The search over starts and learning rates, which held-out interactions decide."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from sparserec_np.data.interactions import PAIRS_AT_ONCE, Interactions
from sparserec_np.errors import SparseRecError
from sparserec_np.runtime import FOLDED_DIMENSIONS
from sparserec_np.starts.condensed import Condensed
from sparserec_np.training.checkpoints import NO_CHECKPOINTS, Checkpoints, Stage
from sparserec_np.training.fitted import Fitted, Record, Report
from sparserec_np.training.loop import Phase, fit
from sparserec_np.training.memory_estimate import MemoryEstimate, fitting
from sparserec_np.training.plan import Plan
from sparserec_np.training.settings import RATES, Config
from sparserec_np.training.snapshot import Snapshot, table_in, within
from sparserec_np.training.starting import Beginning, MadeOnce, make_start

STARTS_TO_TRY = ("spectral", "condensed", "als")
SOLVED_STARTS = ("als", "condensed")  # where users' rows are solved for
# Least squares solve for a row in the cube of its entries' number. That takes long where rows store
# more than these on average, or are full, and is not tried there.
TRIED_ENTRIES = 64
# Multiplications for which "condensed" is tried: it takes some two minutes for as many on one
# thread.
TRIED_PRODUCTS = 4e11
TRIED_BYTES = 1 << 28  # of its full rows
TRIED_PAIRS = PAIRS_AT_ONCE  # as both hold the interactions as a matrix, which may be too many for memory


def search(
    log: Interactions,
    held_out: Interactions,
    plan: Plan,
    threads: int,
    report: Report,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> Fitted:
    """Trains with each start and learning rate to try, and keeps the best on held-out interactions.

    All epochs are compared, and of starts and learning rates all that are tried where none is
    given. Ctrl-C ends the search with the best so far; before there is any, it is raised.

    Raises:
        SparseRecError: training diverged, with every start and at every rate.
    """
    best: Stage | None = None
    history = []
    failure: SparseRecError | None = None
    phase = Phase("search", plan.settings.epochs, held_out)
    try:
        names = fitting(log, plan, starts_to_try(plan, log), threads)
        for name in names:
            reached: list[float] = []
            first = plan.with_trial(name, plan.highest_rate)
            start = MadeOnce(functools.partial(make_start, log, first, threads))  # the one before goes
            if plan.made is not None and len(names) == 1:
                start = MadeOnce(plan.made)
            while (rate := next_rate(plan, reached)) is not None:
                trial = Trial(log, plan.with_trial(name, rate), start, phase, checkpoints)
                try:
                    stage = checkpoints.take(f"{name} at {rate:g}", trial.train, report, trial.again)
                except SparseRecError as error:  # this rate was too high, and another may not be
                    failure = error
                    reached.append(-2.0)
                    continue
                history += stage.history
                reached.append(stage.reached)
                if best is None or stage.reached > best.reached:
                    best = stage
                if stage.interrupted:
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        if best is None or best.fitted is None:  # before a stop another was better
            raise
        return replace(best.fitted, interrupted=True, history=history)
    if best is None:
        assert failure is not None
        raise failure
    assert best.fitted is not None
    return replace(best.fitted, history=history)


class Trial(NamedTuple):
    """A training that a search tries.

    Attributes:
        log: the interactions.
        plan: with the start and the learning rate that are tried.
        start: makes the start.
        phase: which training it is, and what it is measured by.
        checkpoints: what keeps its epochs.
    """

    log: Interactions
    plan: Plan
    start: Callable[[], Beginning]
    phase: Phase
    checkpoints: Checkpoints

    def train(self, report: Report) -> Fitted:
        """Trains. Raises SparseRecError where it diverges."""
        return fit(self.log, self.plan, self.start, self.phase, report, self.checkpoints)

    def again(self, kept: Snapshot, history: list[Record]) -> Fitted:
        """Makes once more what it gave, of what was kept of it."""
        plan = self.plan
        model = plan.model_over(table_in(within("table", kept.arrays)), self.log)
        if len(kept.arrays["weights"]):
            model.load_weights(kept.arrays["weights"])
        facts = kept.facts
        return Fitted(
            model, self.log, plan.budget, plan.settings, history, facts["best_epoch"], False, facts["bytes"]
        )


def starts_to_try(plan: Plan, log: Interactions) -> tuple[str, ...]:
    """Names the starts to choose from, the usual one first.

    It is one name where a start is given, or where there is only one.
    """
    assert plan.settings.start is not None
    if plan.given.start is not None or not plan.source.fresh:
        return (plan.settings.start,)
    budget, method = plan.budget, plan.method
    soon = Condensed().products(log, budget.dim) <= TRIED_PRODUCTS
    small = Condensed().full_bytes(log, budget.dim) <= TRIED_BYTES
    if plan.settings.solved:
        return SOLVED_STARTS if soon and small else SOLVED_STARTS[:1]
    if not plan.base.stores_users:
        return (plan.settings.start,)
    within = plan.base.stored_rows and not (method.full or method.full_until)
    long = budget.dim > FOLDED_DIMENSIONS or budget.nnz > TRIED_ENTRIES * budget.rows
    if not within or long or log.n_interactions > TRIED_PAIRS:
        return STARTS_TO_TRY[:1]
    first, better, cheaper = STARTS_TO_TRY
    return first, better if soon and small else cheaper


def estimate(log: Interactions, config: Config, threads: int) -> MemoryEstimate:
    """Estimates the memory that a training takes at its peak, with the start that takes the most.

    Raises:
        ConfigError: the budget is impossible.
    """
    plan = Plan.of(config, log)
    all_tried = [MemoryEstimate.of(log, plan, name, threads) for name in starts_to_try(plan, log)]
    return max(all_tried, key=lambda one: one.total)


def next_rate(plan: Plan, reached: Sequence[float]) -> float | None:
    """Returns the learning rate to try next, given what those before have reached; None at the end.

    The rate that is given, or else three: the first two of the order of an epoch, and the one
    beyond the better of these. Where both ended below their start they are equal, and too high.
    """
    if plan.given.learning_rate is not None or not plan.settings.trained:
        return None if reached else plan.highest_rate
    first, second, higher, lower = RATES[plan.settings.order]
    if len(reached) < 2:
        return (first, second)[len(reached)]
    if len(reached) == 2:
        return higher if reached[0] > reached[1] else lower
    return None
