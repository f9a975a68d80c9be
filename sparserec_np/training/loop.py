"""The training loop, the only one.

It knows models, losses, growth and optimizers by their protocols alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.errors import SparseRecError
from sparserec_np.evaluation.evaluate import evaluate_accuracy
from sparserec_np.kernels.arguments import Explored
from sparserec_np.models.model import Decay, Model, root_mean_square
from sparserec_np.sparsity.growth import NO_ROWS
from sparserec_np.sparsity.schedules import cosine
from sparserec_np.sparsity.topology import prune
from sparserec_np.training.checkpoints import NO_CHECKPOINTS, Checkpoints
from sparserec_np.training.fitted import SELECT_BY, Fitted, Record, Report
from sparserec_np.training.order import Order
from sparserec_np.training.plan import Plan
from sparserec_np.training.snapshot import (
    Snapshot,
    give_back,
    of_training,
    set_states,
    states_of,
    table_in,
    under,
    within,
)
from sparserec_np.training.starting import Beginning, levelled
from sparserec_np.training.state import NO_ORIGIN, EntryState, Training

NO_TABLE = SparseTable(np.zeros(1, np.int32), np.empty(0, np.uint8), np.empty(0, np.float32))


class Phase(NamedTuple):
    """One training among those of a search.

    Attributes:
        name: "search", "refit" or "train"; records carry it.
        epochs: epochs to train, of the ``settings.epochs`` that all schedules are laid out for.
        held_out: interactions to choose the best epoch by; None keeps the last.
    """

    name: str
    epochs: int
    held_out: Interactions | None = None


def fit(
    log: Interactions,
    plan: Plan,
    start: Callable[[], Beginning],
    phase: Phase,
    report: Report,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> Fitted:
    """Trains on ``log`` from the start that ``start`` makes, or from where a checkpoint has it stand.

    Ctrl-C ends the training, with the best state so far.

    Raises:
        SparseRecError: training diverged.
    """
    kept = checkpoints.running()
    beginning = levelled(log, plan, start()) if kept is None else _beginning_of(kept)
    del start  # and what it may hold
    training = begin(log, plan, beginning)
    order = plan.order(log, len(training.model.weights))
    records = _Records(plan, phase, beginning.name, report)
    best = _Best(log, phase.held_out, plan.budget.nnz)
    epochs = _Epochs(log, plan, training, order)
    course = _Course(training, order, epochs, best, records, beginning._replace(table=NO_TABLE))
    del beginning
    interrupted = False
    try:
        ended = course.begin() if kept is None else course.go_on(kept)
        for epoch in range(course.epoch + 1, 1 if ended else phase.epochs + 1):
            record = epochs.train(epoch)
            if epoch % plan.settings.evaluate_every == 0 or epoch == plan.settings.epochs:
                record |= best.validate(training.model, epoch)
            ended = records.add(record, training.model)
            if ended or (plan.settings.patience and best.misses >= plan.settings.patience):
                break
            checkpoints.epoch(course.snapshot)
    except KeyboardInterrupt:
        interrupted = True
    if training.model.table.nnz > plan.budget.nnz:  # it ended while the table was full
        training.model.table, _ = prune(training.model.table, plan.budget.nnz, plan.settings.floor)
    best_epoch = best.restore(training.model, course.epoch)
    held = bytes_held(log, training, order, copies=2 if phase.held_out is not None else 1)
    return Fitted(
        training.model, log, plan.budget, plan.settings, records.history, best_epoch, interrupted, held
    )


def begin(log: Interactions, plan: Plan, start: Beginning) -> Training:
    """Makes what the first epoch changes: a copy of the start, with the state beside it."""
    rows = plan.budget.rows
    model = plan.model_over(start.table.copy(), log)
    if len(start.weights):
        model.load_weights(start.weights)
    origin = start.table.values if plan.keeps_near(start.from_data) else NO_ORIGIN
    state = EntryState(plan.optimizer(start.table.nnz, rows), origin)
    asked = plan.growth.grows and plan.settings.importance == "gradient"
    norms = np.zeros(rows if asked else 0, dtype=np.float32)
    waiting = np.ones(rows if plan.growth.grows else 0, dtype=bool)
    explored = Explored.of(NO_ROWS, rows, plan.budget.dim)
    decay, margin = plan.decay(state.origin), plan.margin(start.from_data)
    return Training(model, state, explored, norms, waiting, decay, margin=margin)


def bytes_held(log: Interactions, training: Training, order: Order, copies: int) -> dict[str, int]:
    """Counts the bytes in memory while training, by name, with ``copies`` of the table."""
    model, state = training.model, training.state
    held = {
        "interactions": log.nbytes,
        "tables": model.table.nbytes * copies,
        "optimizer": state.optimizer.nbytes,
        "origin": state.origin.nbytes,
        "explored": training.explored_bytes,
        "workspaces": model.workspace_bytes,
        **order.bytes,
    }
    held["weights"] = held.get("weights", 0) + model.weights.nbytes
    return held


def _beginning_of(kept: Snapshot) -> Beginning:
    """Makes what a training that is kept began with, with the table that it has now."""
    name, seconds = kept.facts["start"], kept.facts["seconds"]
    return Beginning(name, table_in(within("table", kept.arrays)), seconds, False, kept.arrays["begun"])


@dataclass
class _Course:
    """One training as it stands, which can be kept between two epochs, and go on from there.

    Attributes:
        training, order, epochs, best, records: what changes.
        beginning: what it began with, without its table.
    """

    training: Training
    order: Order
    epochs: _Epochs
    best: _Best
    records: _Records
    beginning: Beginning

    @property
    def epoch(self) -> int:
        """The last epoch that has ended."""
        history = self.records.history
        return int(history[-1]["epoch"]) if history else 0

    def begin(self) -> bool:
        """Measures the start as epoch 0; returns whether the training is to end there."""
        first: Record = {"epoch": 0, "seconds": self.beginning.seconds, "loss": None}
        return self.records.add(first | self.best.validate(self.training.model, 0), self.training.model)

    def go_on(self, kept: Snapshot) -> bool:
        """Takes the state of before, and tells its records once more; returns that it is not to end."""
        self.records.history = list(kept.facts["history"])  # first, as Ctrl-C may come in between
        give_back(self.training, kept.arrays)
        self.training.decay = self.epochs.decay()
        self.training.explored_bytes = kept.facts["explored_bytes"]
        self.order.load(within("order", kept.arrays))
        set_states(self.generators, kept.facts["generators"])
        self.training.unit, self.training.margin = kept.facts["rate_unit"], kept.facts["margin"]
        self.best.load(kept)
        self.records.tell_all()
        return False

    @property
    def generators(self) -> list[np.random.Generator]:
        """All random numbers that are drawn from."""
        views = self.training.model.views
        return [*self.epochs.generators, *(one for view in views for one in view.generators)]

    def snapshot(self) -> Snapshot:
        """Names all that the next epoch goes on from."""
        best, kept = self.best.snapshot()
        arrays = of_training(self.training) | under("order", self.order.state()) | best
        facts = {
            "start": self.beginning.name,
            "seconds": self.beginning.seconds,
            "history": self.records.history,
            "explored_bytes": self.training.explored_bytes,
            "generators": states_of(self.generators),
            "best": kept,
            "rate_unit": self.training.unit,
            "margin": self.training.margin,
        }
        return Snapshot(arrays | {"begun": self.beginning.weights}, facts)


class _Epochs:
    """The epochs of a training, each with the topology update at its end.

    Attributes:
        generators: of random numbers.
    """

    def __init__(self, log: Interactions, plan: Plan, training: Training, order: Order) -> None:
        self._log, self._plan, self._training, self._order = log, plan, training, order
        training.unit = root_mean_square(training.model) if plan.settings.relative_rate else 1.0
        seed = plan.settings.seed
        self.generators = [np.random.default_rng([seed, stream]) for stream in (3, 4)]
        self._batch_rng, self._growth_rng = self.generators
        self._degrees = plan.base.degrees(log)

    def train(self, epoch: int) -> Record:
        """Trains the epoch of that number, the first being 1, and returns its record.

        Raises:
            SparseRecError: training diverged.
        """
        clock = time.perf_counter()
        plan, training = self._plan, self._training
        growth, epochs = plan.growth, plan.settings.epochs
        fraction = plan.drops.fraction(epoch, epochs) if growth.grows else 0.0
        self._explore(epoch)

        def rate(step: int, steps: int) -> float:
            return plan.highest_rate * cosine(((epoch - 1) * steps + step) / (epochs * steps))

        total = self._order.epoch(training, self._batch_rng, rate, growth if fraction > 0 else None)
        if not (np.isfinite(total) and training.is_finite()):
            raise SparseRecError(
                f"Training diverged in epoch {epoch}: numbers are no longer finite; lower --learning-rate"
            )
        changed = self._change_mask(epoch, fraction)
        training.decay = self.decay()
        seconds = time.perf_counter() - clock
        return {
            "epoch": epoch,
            "seconds": seconds,
            "loss": total / self._log.n_interactions,
            "triplets_per_second": self._log.n_interactions / seconds,
            "mask_churn": changed / training.model.table.nnz,
        }

    def decay(self) -> Decay:
        """Makes the L2 terms of the entries as they are now."""
        return self._plan.decay(self._training.state.origin)

    def _explore(self, epoch: int) -> None:
        """Draws the rows to explore up to the next topology update, if one has just been made."""
        plan, training = self._plan, self._training
        interval = plan.settings.drop_interval
        # The last update lies ``interval`` epochs back; what is explored now serves the next one.
        if not plan.growth.grows or (epoch - 1) % interval:
            return
        wanted = plan.growth.explore(self._degrees, training.norms, training.waiting, self._growth_rng)
        upcoming = plan.drops.fraction(epoch - 1 + interval, plan.settings.epochs)
        training.explore(wanted if upcoming > 0 else wanted[:0])
        training.norms[:] = 0

    def _change_mask(self, epoch: int, fraction: float) -> int:
        """Prunes a table that has more than the budget where that is due, and does the topology update.

        Returns how many entries are new.
        """
        plan, training = self._plan, self._training
        model, state, changed = training.model, training.state, 0
        entries = plan.entries_after(epoch)
        if model.table.nnz > entries:
            model.table, kept = prune(model.table, entries, plan.settings.floor)
            state.carry(lambda array, grown: array[kept], lambda array: array[:0])
        if fraction > 0:
            # Squared gradients are summed over all epochs, gradients since the last update.
            margin = training.margin * plan.settings.drop_interval / epoch
            update = replace(plan.topology, margin=margin)
            changed = update(model.table, plan.growth, training.explored, fraction, state, self._growth_rng)
            training.explore(NO_ROWS)  # the sums have done their work
        return changed


class _Best:
    """The best state of a training so far, by held-out interactions.

    Attributes:
        misses: how many measurements in a row were not better than the best.
    """

    def __init__(self, log: Interactions, held_out: Interactions | None, nnz: int) -> None:
        self.misses = 0
        self._log, self._held_out, self._nnz = log, held_out, nnz
        self._kept: tuple[float, int, SparseTable, np.ndarray] | None = None

    def validate(self, model: Model, epoch: int) -> Record:
        """Measures the model, keeps a copy of it if it is the best, and returns the metrics.

        Nothing is measured without held-out interactions, nor a table that is still to be pruned to
        the budget.
        """
        if self._held_out is None or model.table.nnz > self._nnz:
            return {}
        measured = evaluate_accuracy(model.ranker(), self._held_out, self._log)
        if self._kept is None or measured[SELECT_BY] > self._kept[0]:
            self._kept = measured[SELECT_BY], epoch, model.table.copy(), model.weights.copy()
            self.misses = 0
        else:
            self.misses += 1
        return {name: measured[name] for name in ("recall@20", SELECT_BY)}

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Names the arrays of the best state, and says how good it is and of which epoch."""
        if self._kept is None:
            return {}, {"misses": self.misses}
        score, epoch, table, weights = self._kept
        arrays = under("best.table", table._asdict()) | {"best.weights": weights}
        return arrays, {"misses": self.misses, "score": score, "epoch": epoch}

    def load(self, kept: Snapshot) -> None:
        """Takes the best state of before."""
        facts = kept.facts["best"]
        self.misses = facts["misses"]
        if "score" in facts:
            table = table_in(within("best.table", kept.arrays))
            self._kept = facts["score"], facts["epoch"], table, kept.arrays["best.weights"].copy()

    def restore(self, model: Model, last: int) -> int:
        """Gives the model its best state back, and returns the epoch of it.

        That is ``last`` where none was measured.
        """
        if self._kept is None:
            return last
        _, epoch, model.table, model.weights[:] = self._kept
        return epoch


class _Records:
    """The records of a training, reported as they come."""

    def __init__(self, plan: Plan, phase: Phase, start: str, report: Report) -> None:
        self.history: list[Record] = []
        self._common = {"phase": phase.name, "start": start, "learning_rate": plan.highest_rate}
        self._report = report

    def add(self, record: Record, model: Model) -> bool:
        """Completes and keeps the record of an epoch; returns whether the training is to end."""
        empty = int(np.count_nonzero(np.diff(model.table.indptr) == 0))
        record |= self._common | {"nnz": model.table.nnz, "rows_without_entries": empty}
        self.history.append(record)
        return bool(self._report(record))

    def tell_all(self) -> None:
        """Reports all records once more."""
        for record in self.history:
            self._report(record)
