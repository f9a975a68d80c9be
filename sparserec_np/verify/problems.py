"""A small training problem, drawn from a seed, and what the engine makes of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.batches import Batch, Negatives, OnePerPair, PairSampler, SharedBlock
from sparserec_np.learning.losses import LOSSES, Scores
from sparserec_np.learning.optimizers import OPTIMIZERS, one_column
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.models.model import Decay, Gradients, Model
from sparserec_np.models.views import similarity_views
from sparserec_np.sparsity.exploration import Exploration
from sparserec_np.sparsity.growth import AccumulatedGrowth
from sparserec_np.sparsity.topology import TopologyUpdate
from sparserec_np.training.state import EntryState
from sparserec_np.verify import plain

LEAST_TURNED = 2  # columns of a row that can turn, as a cosine wants it: of one column it is 1 or -1

NEGATIVES: dict[str, Negatives] = {"pairs": OnePerPair(), "block": SharedBlock(7)}


@dataclass(frozen=True)
class Settings:
    """The settings of a check: what is checked, and how large.

    Attributes:
        model, loss, optimizer: by name.
        similarity: of two rows, "dot" or "cosine"; None takes the one that the loss is for.
        negatives: "pairs" draws one for each pair, "block" a few for all of a batch.
        users, items, interactions, dim: sizes.
        density: part of all entries that is active.
        batch_size: pairs in a batch.
        learning_rate: learning rate of a step.
        l2: weights of the user, the positive and the negatives of a pair.
        explore: part of the rows that is explored.
        drop_fraction, floor, regrow_start: of the topology update.
        seed: seed of everything drawn at random.
        weighted: whether interactions have weights.
    """

    model: str = "mf"
    loss: str = "bpr"
    optimizer: str = "adam"
    similarity: str | None = None
    negatives: str = "block"
    users: int = 12
    items: int = 15
    interactions: int = 60
    dim: int = 8
    density: float = 0.4
    batch_size: int = 25
    learning_rate: float = 0.01
    l2: tuple[float, float, float] = (0.02, 0.03, 0.05)
    explore: float = 0.6
    drop_fraction: float = 0.3
    floor: int = 2
    regrow_start: float = 0.5
    seed: int = 0
    weighted: bool = False

    def __post_init__(self) -> None:
        """Raises ConfigError for an unknown name or a number out of range.

        It does so too where the loss wants other negatives.
        """
        known: dict[str, Collection[str | None]] = {
            "model": plain.MODELS,
            "loss": plain.LOSSES,
            "optimizer": plain.OPTIMIZERS,
            "negatives": NEGATIVES,
            "similarity": (*plain.SIMILARITIES, None),
        }
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"{name} must be one of {', '.join(filter(None, choices))}, found {getattr(self, name)!r}"
                )
        if self.negatives == "pairs" and LOSSES[self.loss].pairs is None:
            raise ConfigError(f"The loss {self.loss} needs a block of negatives; set negatives to block")
        if self.similarity == "dot" and LOSSES[self.loss].cosine:
            raise ConfigError(f"The loss {self.loss} is one of cosines; set similarity to cosine")
        if self.scored_by not in similarities(self.loss, self.model):
            raise ConfigError(f"The model {self.model} has no cosines; take another loss, or similarity dot")
        for name in ("users", "items", "interactions", "dim", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, found {getattr(self, name)!r}")
        least = plain.MODELS[self.model].least_dim
        if self.dim < least:
            raise ConfigError(
                f"The model {self.model} has a part that needs columns of its own, so dim must be {least} or more,"
                f" found {self.dim}"
            )
        if self.scored_by == "cosine" and self.dim < LEAST_TURNED:
            raise ConfigError(
                f"A cosine of rows of one column has no gradient, so dim must be {LEAST_TURNED} or more,"
                f" found {self.dim}"
            )
        if self.dim > 512:
            raise ConfigError(
                f"dim must be at most 512 in a check, which holds whole tables, found {self.dim}"
            )
        if not 0 < self.density <= 1:
            raise ConfigError(f"density must be above 0 and at most 1, found {self.density!r}")
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or more, found {self.seed!r}")

    @property
    def scored_by(self) -> str:
        """The similarity that is meant: the one named, or the one that the loss is for."""
        return self.similarity or ("cosine" if LOSSES[self.loss].cosine else "dot")

    @property
    def temperature(self) -> float:
        """The temperature of training by default: of cosines the loss's, of inner products 1."""
        return LOSSES[self.loss].temperature if self.scored_by == "cosine" else 1.0


def similarities(loss: str, model: str, dim: int = LEAST_TURNED) -> list[str]:
    """Lists the similarities that a loss is for, a model has, and rows of ``dim`` columns have a gradient of."""
    turned = BASE_MODELS[model].scores_are_products and dim >= LEAST_TURNED
    ours = plain.SIMILARITIES if turned else ("dot",)
    return [name for name in ours if name == "cosine" or not LOSSES[loss].cosine]


def forms(loss: str) -> list[str]:
    """Lists the ways of drawing negatives that a loss has."""
    return [name for name in NEGATIVES if name == "block" or LOSSES[loss].pairs is not None]


@dataclass(frozen=True)
class Problem:
    """Everything that a batch, a step and a topology update depend on.

    Attributes:
        settings: names and weights.
        log: the training interactions.
        table: users and items, stacked; or items alone, where the model stores no users.
        origin: (nnz,) what L2 terms draw to.
        batch: one batch.
        explored: (m,) int32 explored rows, ascending.
        weights: (n,) what the model has besides the table.
    """

    settings: Settings
    log: Interactions
    table: SparseTable
    origin: Array
    batch: Batch
    explored: Array
    weights: Array

    @classmethod
    def draw(cls, settings: Settings, to_zero: bool = False) -> Problem:
        """Draws a problem in float64, whose numbers are float32's too.

        The first user has touched all items; a row in five is empty, if the density leaves room for
        that.

        Args:
            settings: sizes and the seed.
            to_zero: draw L2 terms to zero, instead of somewhere else.
        """
        rng = np.random.default_rng(settings.seed)
        n_users, n_items, dim = settings.users, settings.items, settings.dim
        touched = np.zeros((n_users, n_items), dtype=bool)
        wanted = min(settings.interactions, touched.size)
        touched.ravel()[rng.choice(touched.size, wanted, replace=False)] = True
        touched[0] = True
        users, items = np.nonzero(touched)
        ids = {"user_ids": np.arange(n_users), "item_ids": np.arange(n_items)}
        # Of a generator of their own, so that a problem is the same with weights and without.
        weights = np.random.default_rng([settings.seed, 2]).integers(1, 20, users.size) / 4
        log = Interactions.from_pairs(users, items, **ids, weights=weights if settings.weighted else None)
        rows = n_items + n_users * plain.MODELS[settings.model].stores_users
        keep = rng.random((rows, dim)) < settings.density
        if settings.density < 1:
            keep[rng.permutation(rows)[: rows // 5]] = False
        if settings.scored_by == "cosine":
            # A row of zeros has no direction, and one of a single entry no way to turn: its
            # gradient is 0, of which Adam in float32 would make steps out of rounding.
            for first in (0, 1):
                keep[np.arange(rows), (np.arange(rows) + first) % dim] = True
        dense = rng.standard_normal((rows, dim)).astype(np.float32).astype(np.float64)
        table = SparseTable.from_dense(dense, keep)
        origin = rng.standard_normal(table.nnz).astype(np.float32).astype(np.float64)
        explored = np.sort(rng.permutation(rows)[: max(1, round(settings.explore * rows))]).astype(np.int32)
        count = len(base_model(settings, table, log).weights)
        weights = (0.5 * rng.standard_normal(count)).astype(np.float32).astype(np.float64)
        nothing: Any = None
        problem = cls(settings, log, table, origin * (not to_zero), nothing, explored, weights)
        return replace(problem, batch=next(problem.batches()))

    @property
    def stored_users(self) -> int:
        """How many rows of the table are users, its first: all of them or none."""
        return self.log.n_users if plain.MODELS[self.settings.model].stores_users else 0

    def batches(self) -> Iterator[Batch]:
        """Yields batches without end, the same ones each time."""
        settings = self.settings
        sampler = PairSampler(self.log, settings.batch_size, NEGATIVES[settings.negatives])
        rng = np.random.default_rng([settings.seed, 1])
        while True:
            yield from sampler.epoch(rng)

    def as_dtype(self, dtype: npt.DTypeLike) -> Problem:
        """Converts the problem to float32 or float64."""
        table = self.table._replace(values=self.table.values.astype(dtype))
        return replace(
            self, table=table, origin=self.origin.astype(dtype), weights=self.weights.astype(dtype)
        )

    def dense(self, entries: Array, table: SparseTable | None = None) -> Array:
        """Spreads ``entries`` (nnz,) over (rows, dim) of their dtype, 0 elsewhere.

        There is one value for each stored entry.
        """
        return (table or self.table)._replace(values=entries).to_dense(self.settings.dim)

    def active(self, table: SparseTable | None = None) -> Array:
        """Marks the stored entries, (rows, dim) bool."""
        table = table or self.table
        return self.dense(np.ones(table.nnz, dtype=bool), table)

    def pairs(self, batch: Batch) -> plain.Pairs:
        """Converts the batch to what the plain definitions take."""
        before = self.log.n_users - self.stored_users  # a batch numbers items as if all users were stored
        users, positives = batch.user_of.astype(np.int64), batch.positives.astype(np.int64) - before
        negatives = batch.negatives.astype(np.int64) - before
        weights = plain.relative_weights(self.log)[users, positives - self.stored_users]
        if not batch.shared:
            counted = np.ones((batch.size, 1), dtype=bool)
            return plain.Pairs(users, positives, negatives[:, None], counted, weights)
        seen = np.zeros((self.log.n_users, self.log.n_items), dtype=bool)
        seen[self.log.pair_users(), self.log.items] = True
        counted = ~seen[users[:, None], negatives[None] - self.stored_users]
        return plain.Pairs(users, positives, negatives[None], counted, weights)

    def rows(self, batch: Batch) -> Array:
        """Returns the rows that the batch moves, (t,) int64, ascending."""
        if plain.MODELS[self.settings.model].whole:
            return np.arange(self.table.rows)
        pairs = self.pairs(batch)
        of_users = pairs.users
        if not self.stored_users:
            of_users = self.log.items[np.isin(self.log.pair_users(), pairs.users)]
        return np.unique(np.concatenate([of_users, pairs.positives, pairs.negatives.ravel()])).astype(
            np.int64
        )

    def weights_moved(self, batch: Batch) -> Array:
        """Returns the weights that the batch moves, (t,) int64, ascending: all, or those of its items."""
        return self.rows(batch) if not self.stored_users else np.arange(len(self.weights))

    def costs(
        self,
        parameters: plain.Parameters,
        batch: Batch,
        pull: plain.Pull,
        xp: plain.Library,
    ) -> tuple[plain.Tensor, plain.Tensor]:
        """Computes loss and L2 terms of a batch by the plain definitions."""
        settings = self.settings
        scoring = plain.Scoring(self.log, settings.scored_by, settings.temperature)
        own = dict(LOSSES[settings.loss].settings)
        objective = plain.Objective(settings.model, settings.loss, scoring, own)
        return plain.costs(objective, parameters, self.pairs(batch), pull, xp)

    def pull(self) -> plain.Pull:
        """Converts the L2 terms to what the plain definitions take."""
        return plain.Pull(*self.settings.l2, self.dense(self.origin))


def base_model(settings: Settings, table: SparseTable, log: Interactions) -> Model:
    """Makes the engine's model of a table, with the settings that it has by default."""
    views = similarity_views(settings.scored_by, settings.temperature)
    base = BASE_MODELS[settings.model]
    return base.over(table, settings.dim, log, views, **base.settings)


def drop_rounding(gradient: Array, dtype: npt.DTypeLike) -> None:
    """Sets to 0, in place, what is only rounding of ``dtype`` beside the largest entry.

    ``gradient`` is (n,). A ranking loss does not change with what all scores of a user have in
    common, such as the bias of a layer's unit that every pair switches on: its gradient is 0, and
    Adam would make full steps of what rounding leaves of it. Rows need no such care, since L2 terms
    pull on them.
    """
    gradient[np.abs(gradient) < 1000 * np.finfo(dtype).eps * np.abs(gradient).max(initial=0)] = 0


class Engine:
    """The library's own arithmetic, over a problem: the parts of a training step, one call each.

    Attributes:
        problem: what it works on; its arrays are left as they are.
        model: the model that the settings name.
        gradients: gradients of the last batch, and the sums of the explored rows.
        state: the table's optimizer, and what L2 terms draw to.
        weights_optimizer: that of the weights.
    """

    def __init__(self, problem: Problem) -> None:
        settings, dtype = problem.settings, problem.table.values.dtype
        table = problem.table.copy()
        self.problem = problem
        self.dtype = dtype
        self.model = base_model(settings, table, problem.log)
        self.model.weights[:] = problem.weights
        size = len(problem.weights)
        self.weights_optimizer = OPTIMIZERS[settings.optimizer](size, size, dtype)
        self.loss = LOSSES[settings.loss]
        self.state = EntryState(OPTIMIZERS[settings.optimizer](table.nnz, table.rows, dtype), problem.origin)
        self.gradients = Gradients(
            np.zeros(table.nnz, dtype), self._none_explored(), np.zeros(len(problem.weights), dtype)
        )

    def _none_explored(self) -> Explored:
        problem = self.problem
        return Explored.of(problem.explored, problem.table.rows, problem.settings.dim, self.dtype)

    def differentiate(
        self,
        batch: Batch,
        l2: tuple[float, float, float] | None = None,
        change: Callable[[Scores], None] = lambda slopes: None,
    ) -> Array:
        """Returns the losses of the pairs, (b,), and adds their gradient to :attr:`gradients`.

        The gradient is with that of the L2 terms.

        Args:
            batch: pairs and negatives.
            l2: weights, by default those of the settings.
            change: what is done to the slopes on the way, in place.
        """
        scores = self.model.forward(batch)
        losses = self.loss.slopes(batch, scores)
        change(scores)
        weights = self.problem.settings.l2 if l2 is None else l2
        self.model.backward(batch, scores, Decay(*weights, self.state.origin), self.gradients)
        return losses

    def step(self, batch: Batch) -> None:
        """Moves the rows that the batch touches, and the weights; sets the gradients to zero."""
        rate = self.problem.settings.learning_rate
        self.state.optimizer.step(self.model.table, self.model.touched(batch), self.gradients.active, rate)
        drop_rounding(self.gradients.weights, self.dtype)
        weights, moved = one_column(self.model.weights), self.model.touched_weights(batch)
        self.weights_optimizer.step(weights, moved, self.gradients.weights, rate)

    def update(
        self, *, prunes_explored_only: bool = True, floor: int | None = None, start: float | None = None
    ) -> int:
        """Makes one topology update, and returns how many entries are new.

        By default it is as the settings say. The sums begin anew.
        """
        settings = self.problem.settings
        change = TopologyUpdate(
            settings.floor if floor is None else floor, settings.regrow_start if start is None else start
        )
        growth = AccumulatedGrowth(Exploration(settings.explore), prunes_explored_only=prunes_explored_only)
        changed = change(
            self.model.table,
            growth,
            self.gradients.explored,
            settings.drop_fraction,
            self.state,
            np.random.default_rng(settings.seed),
        )
        self.gradients = self.gradients._replace(explored=self._none_explored())
        return changed

    def inactive_sums(self) -> Array:
        """Returns the sums of the inactive entries of explored rows, (rows, dim), 0 elsewhere."""
        sums = np.zeros((self.model.table.rows, self.problem.settings.dim), self.dtype)
        sums[self.problem.explored] = self.gradients.explored.sums
        sums[self.problem.active(self.model.table)] = 0
        return sums
