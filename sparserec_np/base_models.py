"""Base recommenders by name: what a table's rows mean.

A model is a row of a table; the training loop knows none by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sparserec_np.interactions import Interactions
from sparserec_np.models.lightgcn import LightGCN
from sparserec_np.models.matrix_factorization import MatrixFactorization
from sparserec_np.models.model import Model
from sparserec_np.models.neumf import NeuMF
from sparserec_np.models.views import View
from sparserec_np.table import SparseTable


@dataclass(frozen=True)
class BaseModel:
    """A base recommender.

    Attributes:
        name: as on the command line.
        summary: one line for the help.
        make: from a table, its dim, the training interactions, views, and the settings below, a model.
        settings: what it can be told besides, by name, and the defaults.
        saved: settings of the training run that a model file tells, because the stored rows alone do not.
        common: settings of every training run that it is made with, too.
        negatives: shared by a batch, by default.
        ordered: whether it reads the first columns in another way than the last, and starts with the strongest first.
        products: whether the scores are inner products of rows, which can be made cosines or divided by a
            temperature by changing the rows.
    """

    name: str
    summary: str
    make: Callable[..., Model]
    settings: Mapping[str, Any]
    saved: tuple[str, ...] = ()
    common: tuple[str, ...] = ()
    negatives: int = 256
    products: bool = True
    ordered: bool = False

    def over(
        self, table: SparseTable, dim: int, log: Interactions, views: tuple[View, ...], **settings: Any
    ) -> Model:
        """A model of a table (users first), with these settings."""
        return self.make(table, dim, log, views, **settings)


BASE_MODELS = {
    model.name: model
    for model in (
        BaseModel("mf", "matrix factorisation", MatrixFactorization, {}),
        BaseModel(
            "lightgcn",
            "rows averaged over the graph (He et al. 2020)",
            LightGCN,
            settings={"layers": 3},
            saved=("layers", "similarity", "temperature"),
        ),
        BaseModel(
            "neumf",
            "weighted products and two dense layers (He et al. 2017)",
            NeuMF,
            settings={"hidden": 16},
            saved=("hidden",),
            common=("seed",),
            negatives=64,
            products=False,
            ordered=True,
        ),
    )
}
MODEL_SETTINGS = tuple(dict.fromkeys(name for model in BASE_MODELS.values() for name in model.settings))
