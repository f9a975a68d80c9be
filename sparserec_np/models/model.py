"""The protocol of models, and what passes between a model and the training loop."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.evaluation.ranker import Ranker
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.batches import Batch
from sparserec_np.learning.losses import Scores
from sparserec_np.models.views import View

NO_WEIGHTS = np.empty(0, dtype=np.float32)


class Gradients(NamedTuple):
    """The arrays that a backward pass adds to.

    Attributes:
        active: (nnz,) gradient of each stored entry; zero outside of a batch.
        explored: gradient of every entry of the explored rows.
        weights: (n,) gradient of the dense weights; zero outside of a batch.
    """

    active: Array
    explored: Explored
    weights: Array = NO_WEIGHTS


def scale_values(table: SparseTable, factor: float) -> None:
    """Multiplies products of rows by a factor, and so the values in place by its root."""
    table.values[:] *= np.asarray(np.sqrt(factor), table.values.dtype)


class Decay(NamedTuple):
    """The weights of L2 terms, and what they draw rows towards.

    A pair's loss grows by half of weight times the squared distance of each row it reads from its
    origin.

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

    The mask may change under a model: a topology update overwrites ``table``, and pruning replaces
    it.

    Attributes:
        table: the stored entries.
        dim: number of columns.
        weights: (n,) what is trained besides the table, outside of the budget; empty for most.
            Written to in place.
    """

    table: SparseTable
    dim: int
    log: Interactions
    weights: Array

    @property
    def views(self) -> tuple[View, ...]:
        """What lies between stored entries and multiplied rows; none of some models."""
        ...

    def forward(self, batch: Batch) -> Scores:
        """Scores the pairs of the batch and their negatives."""
        ...

    def touched(self, batch: Batch) -> Array:
        """Finds the rows whose entries get a gradient from this batch, (t,) int32, none twice."""
        ...

    def touched_weights(self, batch: Batch) -> Array:
        """Finds the dense weights that get a gradient from this batch, (t,) int32, none twice."""
        ...

    def backward(self, batch: Batch, slopes: Scores, decay: Decay, gradients: Gradients) -> None:
        """Adds the gradient of the loss, and of the L2 terms, to ``gradients``.

        ``gradients.active`` is zero in the rows touched before. ``gradients.explored`` gets that of
        the loss alone; what it holds at stored entries is of no use.
        """
        ...

    def ranker(self) -> Ranker:
        """Makes a ranker of the scores as they are now; no good any more once training goes on."""
        ...

    def served(self) -> SparseTable:
        """Makes the table that is saved, users first."""
        ...

    @property
    def served_weights(self) -> Array:
        """The dense weights as a model file holds them, (n,) or empty."""
        ...

    def load_weights(self, weights: Array) -> None:
        """Takes the dense weights of a model file."""
        ...

    def factors(self) -> SparseTable:
        """Makes the table whose inner products are the scores, users first.

        It is what a student learns from.

        Raises:
            ConfigError: the scores are no inner products.
        """
        ...

    def mean_product(self) -> float:
        """Computes the mean score of the training pairs, before any similarity.

        A start is scaled by it. 0 where scaling would change no list and no score.
        """
        ...

    def scale_scores(self, factor: float) -> None:
        """Multiplies all scores by a factor, above 0, by changing the stored values in place."""
        ...

    @property
    def workspace_bytes(self) -> int:
        """Bytes of the arrays that batches are worked on in."""
        ...


@runtime_checkable
class OfParts(Protocol):
    """A model that stores values of two kinds, whose sizes can be brought together."""

    def level(self) -> None:
        """Brings all stored values to one root mean square, and leaves scores as they are."""
        ...


def root_mean_square(model: Model) -> float:
    """Computes that of the stored values, in float64; 1 where all are 0."""
    values = model.table.values
    return float(np.sqrt(np.square(values, dtype=np.float64).mean())) or 1.0 if len(values) else 1.0
