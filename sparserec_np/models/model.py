"""What a model is to the training loop, the evaluation and the model file."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.evaluation.ranker import Ranker
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.batches import Batch
from sparserec_np.learning.losses import Scores

NO_WEIGHTS = np.empty(0, dtype=np.float32)


class Gradients(NamedTuple):
    """Where a backward pass adds to.

    Attributes:
        active: (nnz,) gradient of each stored entry; zero outside of a batch.
        explored: gradient of every entry of the explored rows.
        weights: (n,) gradient of the dense weights; zero outside of a batch.
    """

    active: Array
    explored: Explored
    weights: Array = NO_WEIGHTS


class Decay(NamedTuple):
    """L2 terms: a pair's loss grows by half of weight times the squared distance of each row it reads from its origin.

    Attributes:
        user, positive, negative: weights of the three rows.
        origin: (nnz,) what the stored values are drawn towards; empty for zero.
    """

    user: float
    positive: float
    negative: float
    origin: Array


class Model(Protocol):
    """A recommender over one stacked table, users first.

    The mask may change under a model: a topology update overwrites ``table``, and pruning replaces it.

    Attributes:
        table: the stored entries.
        dim: number of columns.
        weights: (n,) what is trained besides the table, outside of the budget; empty for most. Written to in place.
    """

    table: SparseTable
    dim: int
    log: Interactions
    weights: Array

    def forward(self, batch: Batch) -> Scores:
        """The scores that the loss asks for."""
        ...

    def touched(self, batch: Batch) -> Array:
        """Rows whose entries get a gradient from this batch, (t,) int32, none twice."""
        ...

    def backward(self, batch: Batch, slopes: Scores, decay: Decay, gradients: Gradients) -> None:
        """Adds the gradient of the loss, and of the L2 terms, to ``gradients``.

        ``gradients.active`` is zero in the rows touched before. ``gradients.explored`` gets that of the loss alone;
        what it holds at stored entries is of no use.
        """
        ...

    def ranker(self) -> Ranker:
        """What ranks items as the model scores them now; no good any more once training goes on."""
        ...

    def served(self) -> SparseTable:
        """The table that is saved, users first."""
        ...

    def factors(self) -> SparseTable:
        """The table whose inner products are the scores, users first: what a student learns from.

        Raises:
            ConfigError: the scores are no inner products.
        """
        ...

    def mean_product(self) -> float:
        """Mean inner product of the rows of the training pairs, before any similarity: what a start is scaled by.

        0 where the scores do not grow with the square of the stored values.
        """
        ...

    @property
    def workspace_bytes(self) -> int:
        """Bytes of the arrays that batches are worked on in."""
        ...
