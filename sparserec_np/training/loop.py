"""The training loop, the only one.

It knows models, losses, growth and optimizers by their protocols alone.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import SparseRecError
from sparserec_np.evaluation.evaluate import evaluate_accuracy
from sparserec_np.kernels.arguments import Explored
from sparserec_np.models.model import Model
from sparserec_np.sparsity.growth import NO_ROWS
from sparserec_np.sparsity.schedules import cosine
from sparserec_np.sparsity.topology import prune
from sparserec_np.training.fitted import SELECT_BY, Fitted, Record, Report
from sparserec_np.training.order import Order
from sparserec_np.training.plan import Plan
from sparserec_np.training.starting import Beginning
from sparserec_np.training.state import NO_ORIGIN, EntryState, Training


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


def fit(log: Interactions, plan: Plan, start: Beginning, phase: Phase, report: Report) -> Fitted:
    """Trains on ``log`` from ``start``.

    A caller that lets go of the start saves its memory.

    Ctrl-C ends the training, with the best state so far.

    Raises:
        SparseRecError: training diverged.
    """
    training = begin(log, plan, start)
    order = plan.order(log, len(training.model.weights))
    records = _Records(plan, phase, start.name, report)
    best = _Best(log, phase.held_out, plan.budget.nnz)
    seconds = start.seconds
    del start
    epochs = _Epochs(log, plan, training, order)
    interrupted = False
    try:
        first: Record = {"epoch": 0, "seconds": seconds, "loss": None}
        ended = records.add(first | best.validate(training.model, 0), training.model)
        for epoch in range(1, 1 if ended else phase.epochs + 1):
            record = epochs.train(epoch)
            if epoch % plan.settings.evaluate_every == 0 or epoch == plan.settings.epochs:
                record |= best.validate(training.model, epoch)
            ended = records.add(record, training.model)
            if ended or (plan.settings.patience and best.misses >= plan.settings.patience):
                break
    except KeyboardInterrupt:
        interrupted = True
    if training.model.table.nnz > plan.budget.nnz:  # it ended while the table was full
        training.model.table, _ = prune(training.model.table, plan.budget.nnz, plan.settings.floor)
    last = records.history[-1]["epoch"] if records.history else 0
    best_epoch = best.restore(training.model, last)
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
    explored = Explored.of(NO_ROWS, rows, plan.budget.dim)
    return Training(model, state, explored, norms, plan.decay(state.origin))


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


class _Epochs:
    """The epochs of a training, each with the topology update at its end."""

    def __init__(self, log: Interactions, plan: Plan, training: Training, order: Order) -> None:
        self._log, self._plan, self._training, self._order = log, plan, training, order
        seed = plan.settings.seed
        self._batch_rng, self._growth_rng = (np.random.default_rng([seed, stream]) for stream in (3, 4))
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
        training.decay = plan.decay(training.state.origin)
        seconds = time.perf_counter() - clock
        return {
            "epoch": epoch,
            "seconds": seconds,
            "loss": total / self._log.n_interactions,
            "triplets_per_second": self._log.n_interactions / seconds,
            "mask_churn": changed / training.model.table.nnz,
        }

    def _explore(self, epoch: int) -> None:
        """Draws the rows to explore up to the next topology update, if one has just been made."""
        plan, training = self._plan, self._training
        interval = plan.settings.drop_interval
        # The last update lies ``interval`` epochs back; what is explored now serves the next one.
        if not plan.growth.grows or (epoch - 1) % interval:
            return
        wanted = plan.growth.explore(self._degrees, training.norms, self._growth_rng)
        upcoming = plan.drops.fraction(epoch - 1 + interval, plan.settings.epochs)
        training.explore(wanted if upcoming > 0 else wanted[:0])
        training.norms[:] = 0

    def _change_mask(self, epoch: int, fraction: float) -> int:
        """Does this epoch's topology update, and prunes a full table where it is due.

        Returns how many entries are new.
        """
        plan, training = self._plan, self._training
        model, state, changed = training.model, training.state, 0
        if fraction > 0:
            changed = plan.topology(
                model.table, plan.growth, training.explored, fraction, state, self._growth_rng
            )
            training.explore(NO_ROWS)  # the sums have done their work
        if epoch == plan.full_epochs:
            model.table, kept = prune(model.table, plan.budget.nnz, plan.settings.floor)
            state.carry(lambda array, grown: array[kept], lambda array: array[:0])
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
