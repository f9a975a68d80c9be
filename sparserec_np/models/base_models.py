"""Base recommenders by name: what a table's rows mean.

A model is a row of a table; the training loop knows none by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import SparseTable
from sparserec_np.models.model import Model
from sparserec_np.models.views import View


@dataclass(frozen=True)
class BaseModel:
    """A base recommender.

    Attributes:
        name: as on the command line.
        summary: one line for the help.
        place: module in ``sparserec_np.models`` and class; imported when a model is made, since it loads Numba.
        settings: what it can be told besides, by name, and the defaults.
        saved: settings of the training run that a model file tells, because the stored rows alone do not.
        common: settings of every training run that it is made with, too.
        negatives: shared by a batch, by default.
        ordered: whether it reads the first columns in another way than the last, and starts with the strongest first.
        products: whether the scores are inner products of rows, which can be made cosines or divided by a
            temperature by changing the rows.
        graph: whether it goes on reading the interactions it was trained on, so that a model file tells which these
            are.
        stored_rows: whether the stored rows are those that are multiplied, so that rows can be solved for from each
            other, learn from a teacher and be updated one pair at a time.
        counting: for a baseline, whose table is counted and not trained: module in ``sparserec_np.models`` and function
            that makes the table, and its dim, of interactions. Its settings are those of the counting; settings of
            training, and a budget, mean nothing to it.
    """

    name: str
    summary: str
    place: tuple[str, str]
    settings: Mapping[str, Any]
    saved: tuple[str, ...] = ()
    common: tuple[str, ...] = ()
    negatives: int = 256
    products: bool = True
    graph: bool = False
    ordered: bool = False
    stored_rows: bool = False

    counting: tuple[str, str] | None = None

    @property
    def counted(self) -> bool:
        """Whether the table is counted, and not trained."""
        return self.counting is not None

    def takes(self, setting: str) -> bool:
        """Whether a setting of a training run, by name, means anything to this model."""
        if self.counted:
            return setting in self.settings or setting in COUNTED
        return setting in self.settings or setting not in MODEL_SETTINGS

    def way(self, method: str, loss: str) -> dict[str, str]:
        """How the table came about, as a model file tells it."""
        return {"method": "counted"} if self.counted else {"method": method, "loss": loss}

    def count(self, log: Interactions, **settings: Any) -> tuple[SparseTable, int]:
        """The table of a baseline, users first, and its number of columns."""
        assert self.counting is not None
        counted: tuple[SparseTable, int] = _load(self.counting)(log, **settings)
        return counted

    def over(
        self, table: SparseTable, dim: int, log: Interactions, views: tuple[View, ...], **settings: Any
    ) -> Model:
        """A model of a table (users first), with these settings; a counted one is scored by the rows as they are."""
        own = {} if self.counted else settings
        model: Model = _load(self.place)(table, dim, log, () if self.counted else views, **own)
        return model


def _load(place: tuple[str, str]) -> Any:
    module, name = place
    return getattr(importlib.import_module(f"sparserec_np.models.{module}"), name)


# Settings that a baseline has besides its own: those of measuring it.
COUNTED = ("model", "seed", "validation", "refit")

BASE_MODELS = {
    model.name: model
    for model in (
        BaseModel(
            "mf",
            "matrix factorisation",
            ("matrix_factorization", "MatrixFactorization"),
            {},
            stored_rows=True,
        ),
        BaseModel(
            "lightgcn",
            "rows averaged over the graph (He et al. 2020)",
            ("lightgcn", "LightGCN"),
            settings={"layers": 3},
            saved=("layers", "similarity", "temperature"),
            graph=True,
        ),
        BaseModel(
            "neumf",
            "weighted products and two dense layers (He et al. 2017)",
            ("neumf", "NeuMF"),
            settings={"hidden": 16},
            saved=("hidden",),
            common=("seed",),
            negatives=64,
            products=False,
            ordered=True,
        ),
        BaseModel(
            "popularity",
            "the items that most users have",
            ("matrix_factorization", "MatrixFactorization"),
            {},
            counting=("baselines", "popularity"),
            stored_rows=True,
        ),
        BaseModel(
            "itemknn",
            "the items most similar to those a user had",
            ("matrix_factorization", "MatrixFactorization"),
            settings={"neighbours": 50, "shrinkage": 30.0},
            counting=("baselines", "item_neighbours"),
            stored_rows=True,
        ),
    )
}
MODEL_SETTINGS = tuple(dict.fromkeys(name for model in BASE_MODELS.values() for name in model.settings))
