"""Rounds of gradients: clients answer slopes of a loss, and the server steps, prunes and regrows.

As in the paper (arXiv 2411.12205), gradients of the stored entries move them, those of a few
explored rows are accumulated over rounds, and now and then the smallest entries are pruned and as
many regrown where the accumulated gradient is largest: the number of stored entries never changes.
Here every part of it runs on sums over clients. What clients answer is in
:mod:`~sparserec_np.federated.gradient`.

A table that other passes made is first scaled to a mean score, for which one round measures the
scores: where they are flat, a softmax sees nothing. All else is as in training on one machine, and
the numbers below are our choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.federated.gradient import LOSSES, Announced
from sparserec_np.federated.gradient_sums import GradientSums
from sparserec_np.federated.packets import Kind, Question, grid_for, quantised
from sparserec_np.federated.server import MOST_SHIFT, Count, Learned, Step, Way
from sparserec_np.federated.spectral import SpectralWay
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.optimizers import OPTIMIZERS
from sparserec_np.sparsity.exploration import Exploration
from sparserec_np.sparsity.growth import AccumulatedGrowth
from sparserec_np.sparsity.schedules import DropSchedule, cosine
from sparserec_np.sparsity.topology import TopologyUpdate
from sparserec_np.starts.uniform import Uniform
from sparserec_np.training.snapshot import under, within
from sparserec_np.training.state import NO_ORIGIN, EntryState

# How far numbers reach before they are cut: x, as often as the largest of the rows that it is the
# sum of; y likewise; and slopes, of which a positive's is at most 1.
ROW_REACH, PULL_REACH, SLOPE_REACH = 256.0, 1024.0, 127.0
STREAM = 4  # of random numbers: explored rows, by round


@dataclass(frozen=True)
class GradientWay:
    """The passes of rounds of gradients.

    Attributes:
        begin: the protocol that makes the first table; None for one at random.
        rounds: how many.
        rate: learning rate at first; it falls to 0 along half a cosine wave.
        loss: "softmax" or "bpr".
        negatives: how many each client draws in a round.
        asked: part of the clients that answer in a round.
        optimizer: "adam", "adagrad" or "sgd".
        score: mean score of what clients have, that a first table which is not random is scaled to.
        exploration: which rows' every entry gets a gradient.
        drops: how much of the mask changes, and when, in rounds.
        deviation: of the values of a random table.
    """

    begin: Way | None = SpectralWay()
    rounds: int = 40
    rate: float = 0.05
    loss: str = "softmax"
    negatives: int = 64
    asked: float = 0.1
    optimizer: str = "adam"
    score: float = 2.0
    exploration: Exploration = Exploration()
    drops: DropSchedule = DropSchedule(interval=5)
    deviation: float = 0.3

    start: ClassVar[str] = "spectral"
    settings: ClassVar[Mapping[str, Any]] = {"user_rows": "sum"}

    def steps(self, learned: Learned) -> Sequence[Step]:
        """Plans the passes; see :class:`~sparserec_np.federated.server.Way`."""
        before = [Count()] if self.begin is None else [*self.begin.steps(learned), Scale(self)]
        return [*before, *(Round(self, number) for number in range(1, self.rounds + 1))]

    def ask(self, learned: Learned, seed: Sequence[int], explored: Array) -> Question:
        """Asks for the gradient at the table as it is, rounded to int8."""
        table = learned.table
        assert table is not None
        steps, values = quantised_table(table)
        weights = 1 / learned.degrees
        largest = float(steps.max(initial=0.0) * 127)
        heaviest = float((steps * weights).max(initial=0.0) * 127)
        grids = (
            grid_for(ROW_REACH * heaviest, MOST_SHIFT),
            grid_for(PULL_REACH * largest, MOST_SHIFT),
            grid_for(SLOPE_REACH, MOST_SHIFT),
        )
        lengths = np.diff(table.indptr)
        asked = Announced(
            list(LOSSES).index(self.loss),
            grids,
            explored,
            weights.astype(np.float32),
            steps,
            lengths.astype(np.uint16),
            values,
            table.columns,
            table.indptr.astype(np.int64),
        )
        drawn = int(np.random.SeedSequence([learned.seed, STREAM, *seed]).generate_state(1, np.uint64)[0])
        return Question(
            Kind.GRADIENT,
            0,
            learned.n_items,
            learned.dim,
            grid=grids[0] + grids[2],
            most=MOST_SHIFT,
            seed=drawn,
            list_length=min(self.negatives, learned.n_items),
            model=asked.encode(),
        )


@dataclass(frozen=True)
class Scale:
    """A round that measures scores, and scales the table to the mean that is wanted.

    Attributes:
        way: the protocol.
    """

    way: GradientWay

    name: str = "scale"

    @property
    def part(self) -> float:
        """The part of the clients that answers."""
        return self.way.asked

    def ask(self, learned: Learned) -> Question:
        """Asks for a gradient, with which scores come."""
        return self.way.ask(learned, [0], np.empty(0, np.int64))

    def take(self, learned: Learned, sums: GradientSums) -> None:
        """Scales the table."""
        count, score = sums.pairs.tolist()
        mean = score * sums.step / max(count, 1)
        assert learned.table is not None
        if mean > 0:
            learned.table.values[:] *= np.float32(np.sqrt(self.way.score / mean))


@dataclass(frozen=True)
class Round:
    """A round of gradients, and the step that the server takes.

    Attributes:
        way: the protocol.
        number: of the round, from 1.
    """

    way: GradientWay
    number: int

    @property
    def name(self) -> str:
        """A word for the pass."""
        return f"round {self.number}"

    @property
    def part(self) -> float:
        """The part of the clients that answers."""
        return self.way.asked

    def ask(self, learned: Learned) -> Question:
        """Asks for the gradient at the table as it is now."""
        if learned.table is None:
            rng = np.random.default_rng([learned.seed, STREAM])
            learned.table = Uniform(self.way.deviation).rows(learned.n_items, learned.dim, learned.nnz, rng)
        if "slots" not in learned.kept:
            waiting = learned.kept.get("waiting", np.ones(learned.n_items, np.uint8)).astype(bool)
            rows = self._growth.explore(learned.counts, np.empty(0), waiting, self._rng(learned, 1))
            explored = Explored.of(rows, learned.n_items, learned.dim)
            learned.kept |= explored._asdict() | {"waiting": waiting.astype(np.uint8)}
        return self.way.ask(learned, [self.number], _explored_in(learned).rows.astype(np.int64))

    def take(self, learned: Learned, sums: GradientSums) -> None:
        """Steps along the gradient; then prunes and regrows, where it is time to."""
        table, explored = learned.table, _explored_in(learned)
        assert table is not None
        explored.sums[:] += (sums.explored * sums.step).astype(np.float32)
        optimizer = OPTIMIZERS[self.way.optimizer](table.nnz, table.rows)
        if state := within("optimizer", learned.kept):
            optimizer.load(state)
        touched = np.unique(table.row_numbers()[sums.entries != 0])
        rate = self.way.rate * cosine((self.number - 1) / self.way.rounds)
        optimizer.step(table, touched, (sums.entries * sums.step).astype(np.float32), rate)
        beside = EntryState(optimizer, NO_ORIGIN)
        if fraction := self.way.drops.fraction(self.number, self.way.rounds):
            update = TopologyUpdate()
            update(table, self._growth, explored, fraction, beside, self._rng(learned, 2))
            learned.kept = {"waiting": learned.kept["waiting"]}  # explored sums have done their work
        learned.kept |= under("optimizer", optimizer.state())

    @property
    def _growth(self) -> AccumulatedGrowth:
        return AccumulatedGrowth(self.way.exploration)

    def _rng(self, learned: Learned, stream: int) -> np.random.Generator:
        return np.random.default_rng([learned.seed, STREAM, self.number, stream])


def _explored_in(learned: Learned) -> Explored:
    return Explored(learned.kept["slots"], learned.kept["sums"])


def quantised_table(table: SparseTable) -> tuple[Array, Array]:
    """Rounds the stored values to int8: a scale for each row (rows,) float32, and values (nnz,).

    >>> scales, values = quantised_table(SparseTable.from_dense(np.array([[1.0, -2.0], [0.0, 0.5]])))
    >>> values.tolist()
    [64, -127, 127]
    """
    largest = np.zeros(table.rows)
    np.maximum.at(largest, table.row_numbers(), np.abs(table.values))
    scales, _ = quantised(largest[:, None])
    return scales, np.rint(table.values / scales[table.row_numbers()]).astype(np.int8)
