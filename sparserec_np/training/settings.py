"""The settings of a training run: one flat record, written beside the model, that can be read to run it again."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sparserec_np.data.interactions import PAIRS_AT_ONCE, Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.learning.batches import Negatives, OnePerPair, PairSampler, SharedBlock
from sparserec_np.learning.cells import BLOCK_LOSSES
from sparserec_np.learning.losses import LOSSES, Loss, Objective
from sparserec_np.learning.optimizers import OPTIMIZERS, Optimizer
from sparserec_np.models.base_models import BASE_MODELS, COUNTED, MODEL_SETTINGS, Baseline
from sparserec_np.models.model import Decay, Model
from sparserec_np.models.views import SIMILARITIES, Dropout, View, similarity_views
from sparserec_np.runtime import FOLDED_DIMENSIONS
from sparserec_np.sparsity.budget import Budget
from sparserec_np.sparsity.exploration import IMPORTANCES, Exploration
from sparserec_np.sparsity.growth import LastBatchGrowth
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.sparsity.schedules import DropSchedule
from sparserec_np.starts import STARTS
from sparserec_np.starts.condensed import Condensed

if TYPE_CHECKING:
    from sparserec_np.training.order import Pass

STARTS_TO_TRY = ("spectral", "condensed", "als")
# Least squares solve for a row in the cube of its entries' number. That takes long where rows store more than these on
# average, or are full, and is not tried there.
TRIED_ENTRIES = 64
# Multiplications for which "condensed" is tried: it takes some two minutes for as many on one thread.
TRIED_PRODUCTS = 4e11
TRIED_BYTES = 1 << 28  # of its full rows
TRIED_PAIRS = PAIRS_AT_ONCE  # as both hold the interactions as a matrix, which may be too many for memory
# Learning rates to choose from, the first two first: see ``learning_rate`` below.
RATES = (0.01, 0.003, 0.03, 0.001)
CELL_RATES = (0.1, 0.03, 0.3, 0.01)  # where pairs come in cells
L2 = ("l2_user", "l2_positive", "l2_negative")
LOSS_SETTINGS = ("negative_weight", "margin", "sharpness")
CHOICES = {
    "model": tuple(BASE_MODELS),
    "method": tuple(METHODS),
    "start": tuple(STARTS),
    "loss": tuple(LOSSES),
    "optimizer": tuple(OPTIMIZERS),
    "importance": IMPORTANCES,
    "decay_to": ("start", "zero"),
    "similarity": SIMILARITIES,
    "order": ("batches", "cells"),
}


@dataclass(frozen=True)
class Config:
    """Settings of a training run. The defaults were chosen on validation parts of train data, never on test data.

    Attributes:
        model: base recommender.
        layers: steps on the graph, for lightgcn; None takes the model's own.
        hidden: units of the first dense layer, for neumf; the second has half of them. None takes the model's own.
        method: how the budget is spent.
        dim: embedding dimension.
        density: part of all entries that is stored; ``memory_budget`` goes before it.
        memory_budget: bytes of the served model, or None.
        start: what the mask and its values start from. None takes "spectral"; where a part is held out, and a matrix
            factorisation keeps to a budget from its first epoch on, it tries "condensed" as well, or "als" where that
            would take more than two minutes or 256 MiB of full rows, and takes what trains to the best lists; but not
            in more than 4096 columns, where both are refused, nor with more than 64 entries a row on average, where
            they take long, nor over more than 2^23 interactions, of which they hold a matrix.
        start_score: mean score of a training pair at the start; the start is scaled to it. 0 does not.
        loss: what is minimised.
        similarity: "dot", the inner product of two rows, or "cosine"; None takes what suits the loss.
        temperature: scores are divided by it; None takes 1 for inner products, and the loss's own for cosines.
        negative_weight: of all negatives of a pair together, for bce and ccl; None takes the loss's own, as below.
        margin: of ccl.
        sharpness: of bsl, the temperature of the positives divided by that of the negatives.
        neighbours, shrinkage: of itemknn, see :func:`~sparserec_np.models.baselines.item_neighbours`; None takes the
            model's own.
        embedding_dropout: probability that an entry is left out when a batch reads it.
        negatives: size of the block of negatives shared by a batch; 1 draws one for each pair instead. None takes the
            model's own.
        epochs: most epochs; fewer if validation stops getting better.
        order: how an epoch goes through the pairs. "batches": in random batches, a step after each. "cells": pair after
            pair in cells of users and items, rows moving at once, which is many times as fast; for mf with inner
            products, by softmax or bpr, with adagrad or sgd. See :class:`~sparserec_np.training.order.CellPass`.
        batch_size: pairs in a batch; in cells, pairs that share a block of negatives. None takes 2048, in cells 512.
        optimizer: how values follow their gradients; None takes adam, in cells adagrad.
        learning_rate: at first; falls to zero along half a cosine wave over ``epochs``. None tries 0.01 and 0.003, and
            then 0.03 or 0.001, whichever lies on the side of the better, and takes what is best on the validation part;
            where there is none, 0.01.
        l2_user, l2_positive, l2_negative: L2 weights of the rows a pair reads; None takes the loss's own.
        decay_to: what these draw the values towards: "start", their values at the start (0 for regrown ones), or
            "zero". A start at random is nothing to be drawn to: there it is always zero.
        explore: part of the rows explored between two topology updates.
        importance: what the explored rows are drawn by.
        drop_fraction, drop_until, drop_interval: see :class:`~sparserec_np.sparsity.schedules.DropSchedule`.
        regrow_start: see :class:`~sparserec_np.sparsity.topology.TopologyUpdate`.
        floor: entries that a row never loses.
        validation: part of each user's training items held out to choose the epoch by; 0 trains for all
            epochs.
        evaluate_every: epochs between two looks at the validation part.
        patience: looks without a better NDCG@20 before training stops; 0 never stops.
        refit: train again on all data for the number of epochs that was best on the validation part.
        seed: of everything drawn at random.
    """

    model: str = "mf"
    layers: int | None = None
    hidden: int | None = None
    method: str = "sparserec"
    dim: int = 64
    density: float = 0.1
    memory_budget: int | None = None
    start: str | None = None
    start_score: float = 2.0
    loss: str = "softmax"
    similarity: str | None = None
    temperature: float | None = None
    negative_weight: float | None = None
    margin: float | None = None
    sharpness: float | None = None
    neighbours: int | None = None
    shrinkage: float | None = None
    embedding_dropout: float = 0.0
    negatives: int | None = None
    epochs: int = 20
    order: str = "batches"
    batch_size: int | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    l2_user: float | None = None
    l2_positive: float | None = None
    l2_negative: float | None = None
    decay_to: str = "start"
    explore: float = 0.1
    importance: str = "degree"
    drop_fraction: float = 0.3
    drop_until: float = 0.75
    drop_interval: int = 1
    regrow_start: float = 0.5
    floor: int = 1
    validation: float = 0.1
    evaluate_every: int = 5
    patience: int = 4
    refit: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.generic):  # a number or text of NumPy's, which JSON does not know
                value = value.item()
                object.__setattr__(self, field.name, value)
            _check_type(field.name, value, field.type)
        for name, choices in CHOICES.items():
            if getattr(self, name) not in (*choices, _DEFAULTS[name]):
                raise ConfigError(
                    f"{name} must be one of {', '.join(choices)}, found {getattr(self, name)!r}"
                )
        base = BASE_MODELS[self.model]
        if isinstance(base, Baseline):
            for name, default in _DEFAULTS.items():
                if getattr(self, name) != default and name not in (*COUNTED, *MODEL_SETTINGS):
                    raise ConfigError(
                        f"{name} has no meaning for the model {self.model}, which is counted and not trained;"
                        " leave it out"
                    )
        self._within("dim", 1, 65_536)
        if self.start in ("als", "condensed") and self.dim > FOLDED_DIMENSIONS:
            raise ConfigError(
                f"dim must be at most {FOLDED_DIMENSIONS:,} with the start {self.start}, which takes the products of"
                f" all pairs of columns, found {self.dim:,}; set a lower dim, or start to spectral"
            )
        self._within("density", 0, 1, open_below=True)
        self._within("explore", 0, 1, open_below=True)
        self._within("drop_until", 0, 1)
        self._within("drop_fraction", 0, 0.99)
        self._within("validation", 0, 0.9)
        for name in ("evaluate_every", "drop_interval"):
            self._within(name, 1, 2**31 - 1)
        for name in ("batch_size", "negatives"):
            if getattr(self, name) is not None:
                self._within(name, 1, 2**31 - 1)
        for name in ("epochs", "patience", "floor", "seed"):
            self._within(name, 0, 2**31 - 1)
        for name in ("start_score", "regrow_start"):
            self._within(name, 0)
        self._within("embedding_dropout", 0, 0.95)
        for name in (*L2, "negative_weight"):
            if getattr(self, name) is not None:
                self._within(name, 0)
        for name in ("temperature", "sharpness"):
            if getattr(self, name) is not None:
                self._within(name, 0, 1e6, open_below=True)
        if self.margin is not None:
            self._within("margin", -1, 1)
        if self.neighbours is not None:
            self._within("neighbours", 1, 65_536)
        if self.shrinkage is not None:
            self._within("shrinkage", 0)
        if self.learning_rate is not None:
            self._within("learning_rate", 0, 1e30, open_below=True)
        if self.memory_budget is not None:
            self._within("memory_budget", 1, 2**62)
        if self.negatives == 1 and LOSSES[self.loss].pairs is None:
            raise ConfigError(
                f"The loss {self.loss} sets a pair against a block of negatives; set negatives above 1, or loss to bpr"
            )
        if LOSSES[self.loss].cosine and self.similarity == "dot":
            raise ConfigError(
                f"The loss {self.loss} has no bound for inner products; set similarity to cosine, or leave it out"
            )
        self.objective  # noqa: B018  # refuses settings of other losses
        cosine = self.similarity == "cosine" or LOSSES[self.loss].cosine
        if not BASE_MODELS[self.model].scores_are_products and (cosine or self.temperature not in (None, 1)):
            raise ConfigError(
                f"The scores of the model {self.model} are no inner products of rows, so they can be no cosines, nor be"
                " divided by a temperature: set loss to softmax, bpr or bce, and leave similarity and temperature out"
            )
        for name in MODEL_SETTINGS:
            if getattr(self, name) is not None and name not in BASE_MODELS[self.model].settings:
                owners = [model.name for model in BASE_MODELS.values() if name in model.settings]
                raise ConfigError(
                    f"{name} is no setting of the model {self.model}, but of {', '.join(owners)}; leave it out"
                )
        if self.order == "cells":
            self._check_cells()
        if self.layers is not None:
            self._within("layers", 1, 4)
        if self.hidden is not None:
            self._within("hidden", 2, 1024)

    def _check_cells(self) -> None:
        """Cells are for one model and for losses that their kernels know."""
        growth = METHODS[self.method].growth
        fits = {
            "model": self.model == "mf" or isinstance(BASE_MODELS[self.model], Baseline),
            "loss": LOSSES[self.loss].block in BLOCK_LOSSES,
            "optimizer": self.optimizer in (None, "adagrad", "sgd"),
            "similarity": self.similarity in (None, "dot"),
            "temperature": self.temperature in (None, 1),
            "embedding_dropout": self.embedding_dropout == 0,
            "method": not isinstance(growth, LastBatchGrowth),
            "importance": self.importance != "gradient" or not growth.grows,
        }
        for name, good in fits.items():
            if not good:
                raise ConfigError(
                    "In cells, mf learns by softmax or bpr with the inner product as its score, by adagrad or sgd, and"
                    f" looks at no batch as a whole: {name} cannot be {getattr(self, name)!r}; change it, or set order"
                    " to batches"
                )

    def _within(self, name: str, low: float, high: float = float("inf"), open_below: bool = False) -> None:
        value = getattr(self, name)
        if not low <= value <= high or value == math.inf or (open_below and value == low):
            bound = f"above {low:g}" if open_below else f"{low:g} or more"
            most = "" if high == float("inf") else f" and at most {high:g}"
            raise ConfigError(f"{name} must be {bound}{most}, found {value!r}")

    def starts(self, budget: Budget, log: Interactions) -> tuple[str, ...]:
        """Starts to choose from, the usual one first, for a table of this budget over ``log``; see ``start``."""
        if self.start is not None:
            return (self.start,)
        method, dim = METHODS[self.method], budget.dim
        within = self.model == "mf" and not (method.full or method.full_until)
        long = dim > FOLDED_DIMENSIONS or budget.nnz > TRIED_ENTRIES * budget.rows
        if not within or long or log.n_interactions > TRIED_PAIRS:
            return STARTS_TO_TRY[:1]
        first, better, cheaper = STARTS_TO_TRY
        soon = Condensed().products(log, dim) <= TRIED_PRODUCTS
        return first, better if soon and Condensed().full_bytes(log, dim) <= TRIED_BYTES else cheaper

    @property
    def rates(self) -> tuple[float, ...]:
        """Learning rates to choose from; see ``learning_rate``."""
        return CELL_RATES if self.order == "cells" else RATES

    def one_pass(self, log: Interactions, loss: Objective, weights_optimizer: Optimizer) -> Pass:
        """How an epoch goes through the pairs of ``log``."""
        from sparserec_np.training.order import BatchPass, CellPass

        settings = self.resolved()
        assert settings.batch_size is not None and settings.negatives is not None
        if self.order == "cells":
            return CellPass(log, loss, settings.negatives, settings.batch_size)
        sampler = PairSampler(log, settings.batch_size, self.drawn_negatives)
        return BatchPass(sampler, loss, weights_optimizer)

    @property
    def drawn_negatives(self) -> Negatives:
        """How negatives are drawn."""
        count = self.negatives or BASE_MODELS[self.model].negatives
        return OnePerPair() if count == 1 else SharedBlock(count)

    def decay(self, origin: Array) -> Decay:
        """The three L2 weights, and what they draw to, (nnz,), or empty for zero."""
        user, positive, negative = (getattr(self.resolved(), name) for name in L2)
        return Decay(user, positive, negative, origin)

    @property
    def objective(self) -> Loss:
        """The loss with its settings."""
        given = {name: getattr(self, name) for name in LOSS_SETTINGS}
        return LOSSES[self.loss].with_settings(**given)

    def resolved(self) -> Config:
        """The same settings, with those that depend on others filled in; of a baseline, its own alone."""
        base = BASE_MODELS[self.model]
        if isinstance(base, Baseline):
            own = {name: value for name, value in base.settings.items() if getattr(self, name) is None}
            return dataclasses.replace(self, **own)
        loss = self.objective
        similarity = self.similarity or ("cosine" if loss.cosine else "dot")
        defaults: dict[str, Any] = {
            **base.settings,
            **dict.fromkeys(L2, loss.decay),
            **dict(loss.settings),
            "negatives": base.negatives,
            "batch_size": 512 if self.order == "cells" else 2048,
            "optimizer": "adagrad" if self.order == "cells" else "adam",
            "similarity": similarity,
            "temperature": loss.temperature if similarity == "cosine" else 1.0,
        }
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        if self.learning_rate is None:
            missing["learning_rate"] = self.rates[0]
        if self.start is None:
            missing["start"] = STARTS_TO_TRY[0]
        return dataclasses.replace(self, **missing)

    def model_over(self, table: SparseTable, dim: int, log: Interactions) -> Model:
        """The base recommender over a table."""
        base = BASE_MODELS[self.model]
        resolved = self.resolved()
        settings = {name: getattr(resolved, name) for name in (*base.settings, *base.common)}
        return base.over(table, dim, log, self.views, **settings)

    @property
    def views(self) -> tuple[View, ...]:
        """What lies between the stored entries and the rows that are multiplied; nothing in a baseline."""
        if isinstance(BASE_MODELS[self.model], Baseline):
            return ()
        dropout = (
            (Dropout(self.embedding_dropout, np.random.default_rng([self.seed, 5])),)
            if self.embedding_dropout
            else ()
        )
        settings = self.resolved()
        assert settings.similarity is not None and settings.temperature is not None
        return (*dropout, *similarity_views(settings.similarity, settings.temperature))

    @property
    def exploration(self) -> Exploration:
        """Which rows are explored."""
        return Exploration(self.explore, self.importance)

    @property
    def drops(self) -> DropSchedule:
        """When and how much the mask changes."""
        return DropSchedule(self.drop_fraction, self.drop_until, self.drop_interval)

    def to_dict(self) -> dict[str, Any]:
        """All settings by name."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Config:
        """The settings given, and the defaults of those that are not.

        Raises:
            ConfigError: a name that is no setting, a value of the wrong type, or one out of range.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in given:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
                raise ConfigError(f"{name!r} is no setting; {hint}")
        return cls(**given)

    @classmethod
    def from_json(cls, text: str, source: str = "the configuration") -> Config:
        """Reads what ``json.dumps(config.to_dict())`` wrote; see :meth:`from_dict` for what is refused."""
        try:
            given = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{source} is not JSON: {error.msg} in line {error.lineno}") from error
        if not isinstance(given, dict):
            raise ConfigError(f"{source} must hold one JSON object of settings")
        return cls.from_dict(given)


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Config)}


def _check_type(name: str, value: object, annotation: object) -> None:
    """A setting has the type it is declared with; an int will do for a float, and None where that is said."""
    declared = str(annotation).split(" | ")
    if value is None and "None" in declared:
        return
    wanted = {"int": int, "float": float, "str": str, "bool": bool}[declared[0]]
    good = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
    if not good or (isinstance(value, bool) and wanted is not bool):
        raise ConfigError(f"{name} must be of type {wanted.__name__}, found {value!r}")
