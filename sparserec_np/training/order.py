"""The order of an epoch's training pairs: random batches, or pair after pair in cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError
from sparserec_np.kernels.arguments import Shared, Single, Steps
from sparserec_np.learning.batches import PairSampler
from sparserec_np.learning.cells import BLOCK_LOSSES, GROUP, RUN, CellDivision
from sparserec_np.learning.losses import Loss, Objective
from sparserec_np.learning.optimizers import SGD, Adagrad, Optimizer, one_column
from sparserec_np.models.model import Gradients
from sparserec_np.sparsity.growth import Growth
from sparserec_np.training.state import Training


class Order(Protocol):
    """An order in which an epoch goes through all training pairs."""

    def epoch(
        self,
        training: Training,
        rng: np.random.Generator,
        rate: Callable[[int, int], float],
        growth: Growth | None,
    ) -> float:
        """Goes once through all training pairs.

        Args:
            training: changed in place.
            rng: draws order and negatives.
            rate: the learning rate after ``n`` of ``m`` steps of this epoch, by n and m.
            growth: that of the topology update at the end of this epoch; None if there is none.

        Returns:
            The sum of the pairs' losses.
        """
        ...

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes of what the order holds beside the model and its state, by name."""
        ...

    def state(self) -> dict[str, Array]:
        """Names the arrays that go on from epoch to epoch."""
        ...

    def load(self, state: Mapping[str, Array]) -> None:
        """Takes such arrays, copied."""
        ...


class BatchOrder:
    """An order of random batches, each followed by one step of every row that it touched.

    Attributes:
        sampler: draws the batches.
        loss: what is minimised.
        weights_optimizer: optimizer of what the model trains besides its table.
    """

    def __init__(self, sampler: PairSampler, loss: Objective, weights_optimizer: Optimizer) -> None:
        self.sampler = sampler
        self.loss = loss
        self.weights_optimizer = weights_optimizer
        self._active = np.empty(0, dtype=np.float32)
        self._weights = np.empty(0, dtype=np.float32)

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes of the gradient of stored entries, and of gradient and moments of the weights."""
        return {
            "gradient": self._active.nbytes,
            "weights": self._weights.nbytes + self.weights_optimizer.nbytes,
        }

    def state(self) -> dict[str, Array]:
        """Names the moments of the weights; see :meth:`Order.state`."""
        return self.weights_optimizer.state()

    def load(self, state: Mapping[str, Array]) -> None:
        """Takes the moments of the weights; see :meth:`Order.load`."""
        self.weights_optimizer.load(state)

    def epoch(
        self,
        training: Training,
        rng: np.random.Generator,
        rate: Callable[[int, int], float],
        growth: Growth | None,
    ) -> float:
        """Goes once through all pairs in random batches; see :meth:`Order.epoch`."""
        model, state = training.model, training.state
        weights = one_column(model.weights)
        if len(self._active) != model.table.nnz:
            self._active = np.zeros(model.table.nnz, np.float32)
            self._weights = np.zeros_like(model.weights)
        batches = self.sampler.batches
        total = 0.0
        for number, batch in enumerate(self.sampler.epoch(rng)):
            touched = model.touched(batch)
            if growth is not None and number == batches - 1:
                wanted = growth.explore_last(touched)
                if len(wanted):
                    training.explore(wanted)
            gradients = Gradients(self._active, training.explored, self._weights)
            scores = model.forward(batch)
            total += float(self.loss.slopes(batch, scores).sum(dtype=np.float64))
            model.backward(batch, scores, training.decay, gradients)
            if len(training.norms):
                kernels.gradients.add_row_norms(model.table.indptr, touched, self._active, training.norms)
            now = rate(number, batches)
            state.optimizer.step(model.table, touched, self._active, now * training.unit)
            self.weights_optimizer.step(weights, model.touched_weights(batch), self._weights, now)
        return total


class CellOrder:
    """An order of pair after pair, in cells that threads share out.

    This is matrix factorisation in a single kernel. Rows move at once, by plain descent or by
    Adagrad, and no gradient outlasts its step. In which order, and what a step is, say the kernels'
    specifications in ``kernels/reference/cells.py``: ``sweep_pairs`` for a negative for each pair,
    ``sweep_blocks`` for shared ones.

    Attributes:
        division: division of the pairs into cells.
        shared: the blocks of negatives.

    Raises:
        ConfigError: a loss that no kernel knows, as that of a teacher.
    """

    def __init__(self, log: Interactions, loss: Objective, negatives: int, batch: int) -> None:
        known = BLOCK_LOSSES if negatives > 1 else BLOCK_LOSSES[:1]
        if not isinstance(loss, Loss) or loss.block not in known:
            raise ConfigError(
                "In cells, pairs learn by softmax against shared negatives, or by bpr, and not from a teacher; change"
                " loss or negatives, or set order to batches"
            )
        self.division = CellDivision(log)
        self.shared = Shared(BLOCK_LOSSES.index(loss.block), batch, negatives, RUN)
        self._row_bits = 0

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes of the ordered pairs, and of the rows' bits, none where rows do not unfold."""
        return {"pairs": self.division.nbytes, "row_bits": self._row_bits}

    def state(self) -> dict[str, Array]:
        """Names nothing: every epoch divides the pairs anew; see :meth:`Order.state`."""
        return {}

    def load(self, state: Mapping[str, Array]) -> None:
        """Does nothing: there is no state."""

    def epoch(
        self,
        training: Training,
        rng: np.random.Generator,
        rate: Callable[[int, int], float],
        growth: Growth | None,
    ) -> float:
        """Goes once through all pairs, cell by cell; see :meth:`Order.epoch`.

        The rate changes with the turn.
        """
        table, decay, optimizer = training.model.table, training.decay, training.state.optimizer
        if not isinstance(optimizer, SGD | Adagrad):
            raise ConfigError(
                "In cells, rows move by adagrad or sgd; change optimizer, or set order to batches"
            )
        kind = table.values.dtype
        parts = self.division.parts
        weights = np.array(decay[:3], dtype=kind)
        steps = Steps(
            np.array([rate(turn, parts) * training.unit for turn in range(parts)], dtype=kind),
            weights,
            decay.origin,
            optimizer.squares if isinstance(optimizer, Adagrad) else table.values[:0],
        )
        cells = self.division.cells(rng)
        losses = np.zeros((parts, parts))
        if self.shared.negatives > 1:
            kernels.cells.sweep_blocks(table, cells, self.shared, steps, training.explored, losses)
        else:
            single = Single(np.uint64(rng.integers(2**63)), GROUP)
            # The kernel makes them for itself, for all rows or for none; the first row tells which.
            first = kernels.unfolding.row_bits(table.indptr[:2], table.columns, training.model.dim)
            self._row_bits = first.nbytes * table.rows
            kernels.cells.sweep_pairs(table, cells, single, steps, training.explored, losses)
        return float(losses.sum())
