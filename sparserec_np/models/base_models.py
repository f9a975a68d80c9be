"""The base recommenders by name: each gives the rows of a table another meaning.

A model is a row of a table; the training loop knows none by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.models.baselines import item_neighbours, popularity
from sparserec_np.models.fism_ways import fism
from sparserec_np.models.lightgcn import LightGCN
from sparserec_np.models.matrix_factorization import MatrixFactorization
from sparserec_np.models.model import Model
from sparserec_np.models.neumf import NeuMF
from sparserec_np.models.towers import product_columns
from sparserec_np.models.user_rows import USER_ROWS
from sparserec_np.models.views import View
from sparserec_np.starts.neighbours import NEIGHBOUR_POPULARITY, NEIGHBOUR_SHARE, NEIGHBOUR_WEIGHT


@dataclass(frozen=True)
class BaseModel:
    """A base recommender: a model class, its settings, and what holds for it.

    Attributes:
        name: as on the command line.
        summary: one line for the help.
        make: a model of a table, its number of columns, interactions and views; the settings come
            by name.
        settings: what it can be told besides, by name, and the defaults.
        saved: settings of the training run that a model file tells, because the stored rows alone
            do not.
        unsaid: settings among these, and the values that a model file means by not telling them.
        common: settings of every training run that it is made with, too.
        negatives: shared by a batch, by default.
        first_columns: for one that reads its first columns in another way than the last, and starts
            with the strongest first, how many these are of all.
        scores_are_products: whether the scores are inner products of rows, which can be made
            cosines or divided by a temperature by changing the rows.
        graph: whether it goes on reading the interactions it was trained on, so that a model file
            tells which these are.
        stored_rows: whether the stored rows are those that are multiplied, so that rows can be
            solved for from each other, learn from a teacher and be updated one pair at a time.
        stores_users: whether the first rows of the table are users; else users are made from what
            they touched.
        without: settings of training that mean nothing to it.
        advice: settings that it trains best with, for who leaves the choice of the model to us.
        counting: for a baseline, which is counted and not trained: what makes the table, and its
            number of columns, of interactions. Its settings are those of the counting; settings of
            training, and a budget, mean nothing to it.
    """

    name: str
    summary: str
    make: Callable[..., Model]
    settings: Mapping[str, Any]
    saved: tuple[str, ...] = ()
    unsaid: Mapping[str, Any] = field(default_factory=dict)
    common: tuple[str, ...] = ()
    negatives: int = 256
    scores_are_products: bool = True
    graph: bool = False
    first_columns: Callable[[int], int] | None = None
    stored_rows: bool = False
    stores_users: bool = True
    without: tuple[str, ...] = ()
    advice: Mapping[str, Any] = field(default_factory=dict)
    counting: Callable[..., tuple[SparseTable, int]] | None = None

    @property
    def counted(self) -> bool:
        """Whether the table is counted, and not trained."""
        return self.counting is not None

    def takes(self, setting: str) -> bool:
        """Whether a setting of a training run, by name, means anything to this model."""
        if self.counted:
            return setting in self.settings or setting in COUNTED
        return setting in self.settings or setting not in (*MODEL_SETTINGS, *self.without)

    def rows(self, log: Interactions) -> int:
        """Counts the rows of the table over these users and items."""
        return log.n_users + log.n_items if self.stores_users else log.n_items

    def degrees(self, log: Interactions) -> Array:
        """Counts the interactions of each row: (rows,) int32."""
        sides = (log.user_degrees, log.item_degrees) if self.stores_users else (log.item_degrees,)
        return np.concatenate(sides, dtype=np.int32)

    def weight_bytes(self, log: Interactions, user_rows: str | None) -> int:
        """Bytes of what is served beside the table and within a budget of bytes, without users.

        ``user_rows`` says how their rows are made; None where the model stores them.
        """
        return 0 if user_rows is None else USER_ROWS[user_rows].item_bytes * log.n_items

    def kinds(self, dim: int) -> tuple[int, ...]:
        """Lists the columns at which another kind of columns begins, of so many."""
        return () if self.first_columns is None else (self.first_columns(dim),)

    def marks(self, log: Interactions, user_rows: str | None) -> int:
        """Counts the columns that stand for items, behind those that settings name ``dim``."""
        return log.n_items if user_rows is not None and USER_ROWS[user_rows].marks_items else 0

    def way(self, method: str, loss: str) -> dict[str, str]:
        """Says how the table came about, as a model file tells it."""
        return {"method": "counted"} if self.counted else {"method": method, "loss": loss}

    def count(self, log: Interactions, **settings: Any) -> tuple[SparseTable, int]:
        """Counts the table of a baseline, users first; returns it and its number of columns."""
        assert self.counting is not None
        return self.counting(log, **settings)

    def over(
        self, table: SparseTable, dim: int, log: Interactions, views: tuple[View, ...], **settings: Any
    ) -> Model:
        """Makes a model of a table (users first), with these settings.

        A counted one is scored by its rows as they are.
        """
        if self.counted:
            return self.make(table, dim, log, ())
        return self.make(table, dim, log, views, **settings)


# Settings that a baseline has besides its own: those of measuring it.
COUNTED = ("model", "seed", "validation", "refit")

BASE_MODELS = {
    model.name: model
    for model in (
        BaseModel(
            "mf",
            "matrix factorisation",
            MatrixFactorization,
            {},
            stored_rows=True,
        ),
        BaseModel(
            "lightgcn",
            "rows averaged over the graph (He et al. 2020)",
            LightGCN,
            settings={"layers": 3},
            saved=("layers", "similarity", "temperature"),
            graph=True,
        ),
        BaseModel(
            "neumf",
            "weighted products and two dense layers (He et al. 2017)",
            NeuMF,
            settings={"hidden": 16},
            saved=("hidden",),
            common=("seed",),
            negatives=64,
            scores_are_products=False,
            first_columns=product_columns,
        ),
        BaseModel(
            "fism",
            "users who are made of what they touched, only items stored (Kabbur et al. 2013)",
            fism,
            settings={
                "user_rows": None,
                "recency": 0.0,
                "untouched_weight": 0.2,
                "ridge": 1.0,
                "neighbour_share": NEIGHBOUR_SHARE,
                "neighbour_weight": NEIGHBOUR_WEIGHT,
                "neighbour_popularity": NEIGHBOUR_POPULARITY,
            },
            saved=("user_rows", "recency", "untouched_weight", "ridge"),
            unsaid={"user_rows": "sum", "recency": 0.0, "untouched_weight": None, "ridge": None},
            scores_are_products=False,
            stores_users=False,
            without=("l2_user", "embedding_dropout"),
            advice={"learning_rate": 0.003, "epochs": 6, "evaluate_every": 2},
        ),
        BaseModel(
            "popularity",
            "the items that most users have",
            MatrixFactorization,
            {},
            counting=popularity,
            stored_rows=True,
        ),
        BaseModel(
            "itemknn",
            "the items most similar to those a user had",
            MatrixFactorization,
            settings={"neighbours": 50, "shrinkage": 30.0},
            counting=item_neighbours,
            stored_rows=True,
        ),
    )
}
MODEL_SETTINGS = tuple(dict.fromkeys(name for model in BASE_MODELS.values() for name in model.settings))
