"""Recommenders whose embedding tables are sparse from the first training step to the last.

The names below are loaded on first use: importing ``sparserec_np`` itself loads neither Numba,
SciPy nor scikit-learn.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # who wants the lines says where they go

# Public name -> the module that defines it.
_HOMES = {
    "ArtifactError": "runtime",
    "CheckpointFile": "training.checkpoints",
    "Choice": "training.choosing",
    "Config": "training.settings",
    "ConfigError": "errors",
    "DataError": "errors",
    "Fitted": "training.fitted",
    "InteractionKFold": "data.folds",
    "Interactions": "data.interactions",
    "ItemFeatures": "data.item_features",
    "LeaveLastOut": "data.folds",
    "LeaveOneOut": "data.folds",
    "Recommender": "runtime",
    "SeenItemsMissingError": "runtime",
    "SparseRec": "estimator",
    "SparseRecError": "errors",
    "SparseTable": "data.table",
    "TableRanker": "models.table_ranker",
    "UnknownItemError": "runtime",
    "UnknownUserError": "runtime",
    "UserKFold": "data.folds",
    "add_items": "training.cold_items",
    "as_interactions": "data.conversion",
    "choose": "training.choosing",
    "evaluate": "evaluation.evaluate",
    "evaluate_users": "evaluation.evaluate",
    "generate": "data.synthetic",
    "load_model": "serving.model_file",
    "load_run": "training.run_directory",
    "paired_tests": "evaluation.user_values",
    "read_interactions": "data.formats",
    "save_run": "training.run_directory",
    "split_last": "data.splitting",
    "split_random": "data.splitting",
    "split_time": "data.splitting",
    "train": "training.train",
    "train_with_features": "training.cold_items",
    "update": "training.updating",
    "write_c": "serving.c.export",
    "write_interactions": "data.formats",
}

__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:  # the same names for type checkers, which do not follow __getattr__
    from sparserec_np.data.conversion import as_interactions as as_interactions
    from sparserec_np.data.folds import InteractionKFold as InteractionKFold
    from sparserec_np.data.folds import LeaveLastOut as LeaveLastOut
    from sparserec_np.data.folds import LeaveOneOut as LeaveOneOut
    from sparserec_np.data.folds import UserKFold as UserKFold
    from sparserec_np.data.formats import read_interactions as read_interactions
    from sparserec_np.data.formats import write_interactions as write_interactions
    from sparserec_np.data.interactions import Interactions as Interactions
    from sparserec_np.data.item_features import ItemFeatures as ItemFeatures
    from sparserec_np.data.splitting import split_last as split_last
    from sparserec_np.data.splitting import split_random as split_random
    from sparserec_np.data.splitting import split_time as split_time
    from sparserec_np.data.synthetic import generate as generate
    from sparserec_np.data.table import SparseTable as SparseTable
    from sparserec_np.errors import ConfigError as ConfigError
    from sparserec_np.errors import DataError as DataError
    from sparserec_np.errors import SparseRecError as SparseRecError
    from sparserec_np.estimator import SparseRec as SparseRec
    from sparserec_np.evaluation.evaluate import evaluate as evaluate
    from sparserec_np.evaluation.evaluate import evaluate_users as evaluate_users
    from sparserec_np.evaluation.user_values import paired_tests as paired_tests
    from sparserec_np.models.table_ranker import TableRanker as TableRanker
    from sparserec_np.runtime import ArtifactError as ArtifactError
    from sparserec_np.runtime import Recommender as Recommender
    from sparserec_np.runtime import SeenItemsMissingError as SeenItemsMissingError
    from sparserec_np.runtime import UnknownItemError as UnknownItemError
    from sparserec_np.runtime import UnknownUserError as UnknownUserError
    from sparserec_np.serving.c.export import write_c as write_c
    from sparserec_np.serving.model_file import load_model as load_model
    from sparserec_np.training.checkpoints import CheckpointFile as CheckpointFile
    from sparserec_np.training.choosing import Choice as Choice
    from sparserec_np.training.choosing import choose as choose
    from sparserec_np.training.cold_items import add_items as add_items
    from sparserec_np.training.cold_items import train_with_features as train_with_features
    from sparserec_np.training.fitted import Fitted as Fitted
    from sparserec_np.training.run_directory import load_run as load_run
    from sparserec_np.training.run_directory import save_run as save_run
    from sparserec_np.training.settings import Config as Config
    from sparserec_np.training.train import train as train
    from sparserec_np.training.updating import update as update


def __getattr__(name: str) -> Any:
    """Loads a public name from its module on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))
