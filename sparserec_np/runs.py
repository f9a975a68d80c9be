"""The run directory: what a training run leaves behind.

``config.json`` holds every setting as resolved, and where the data came from: enough to run it again.
``metrics.jsonl`` holds a line for each epoch and grows while training goes on. ``model.safetensors`` is the model; it
appears last, and at once.
"""

from __future__ import annotations

import json
import math
import os
from typing import IO, Any

from sparserec_np.artifact import replacing
from sparserec_np.config import Config
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.interactions import Interactions
from sparserec_np.model_file import ServedModel, save_model
from sparserec_np.runtime import ArtifactError
from sparserec_np.training import SELECT_BY, Fitted, Record

CONFIG, METRICS, MODEL = "config.json", "metrics.jsonl", "model.safetensors"


class RunDirectory:
    """A run directory while it is being written.

    Args:
        path: the directory; made if missing. One that holds a run is written over; any other must be empty.

    Raises:
        SparseRecError: the path is a file, or a directory of something else.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        if os.path.exists(self.path):
            if not os.path.isdir(self.path):
                raise SparseRecError(
                    f"{self.path} is a file; expected a directory for the run, or a new name"
                )
            others = [name for name in os.listdir(self.path) if name not in (CONFIG, METRICS, MODEL)]
            if others and not os.path.exists(self.file(CONFIG)):
                raise SparseRecError(
                    f"{self.path} holds {others[0]!r} and no run; give a new or an empty directory for the run"
                )
        self._metrics: IO[str] | None = None

    def file(self, name: str) -> str:
        """The path of one of the run's files."""
        return os.path.join(self.path, name)

    def add(self, record: Record) -> None:
        """Appends the record of an epoch; the first makes the directory and replaces an earlier run's records."""
        if self._metrics is None:
            os.makedirs(self.path, exist_ok=True)
            self._metrics = open(self.file(METRICS), "w", encoding="utf-8")  # noqa: SIM115  # closed by close()
        self._metrics.write(json.dumps(record) + "\n")
        self._metrics.flush()

    def finish(self, fitted: Fitted, log: Interactions, data: dict[str, Any]) -> int:
        """Writes the settings and the model; returns the bytes of the model file.

        Args:
            fitted: what training gave.
            log: all interactions that the user gave to train on: none of them is recommended.
            data: where they came from; see :func:`read_config`.

        Raises:
            SparseRecError: the model cannot be saved, as after a training that diverged.
        """
        self.close()
        os.makedirs(self.path, exist_ok=True)
        text = json.dumps(fitted.config.to_dict() | {"data": data}, indent=2) + "\n"
        with replacing(self.file(CONFIG)) as stream:
            stream.write(text.encode())
        try:
            return save_model(self.file(MODEL), served_model(fitted, log))
        except ArtifactError as error:
            raise SparseRecError(str(error)) from error

    def close(self) -> None:
        """Ends the records."""
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None


def served_model(fitted: Fitted, log: Interactions) -> ServedModel:
    """The model as it is served: two tables, the ids, and the items that each user had."""
    table, config = fitted.model.table, fitted.config
    metadata = {
        "model": config.model,
        "method": config.method,
        "budget": str(fitted.budget.nnz),
        "loss": config.loss,
        "seed": str(config.seed),
        "train_digest": log.digest(),
        "metrics": json.dumps(validation_metrics(fitted)),
    }
    return ServedModel(
        users=table.slice_rows(0, log.n_users),
        items=table.slice_rows(log.n_users, table.rows),
        dim=fitted.model.dim,
        user_ids=log.user_ids,
        item_ids=log.item_ids,
        seen_indptr=log.indptr,
        seen_items=log.items,
        metadata=metadata,
    )


def validation_metrics(fitted: Fitted) -> dict[str, float]:
    """What the best epoch reached on the validation part; empty where there was none."""
    measured = [record for record in fitted.history if SELECT_BY in record]
    if not measured:
        return {}
    best = max(measured, key=lambda record: record[SELECT_BY])
    return {
        f"validation_{name}": best[name] for name in ("recall@20", SELECT_BY) if math.isfinite(best[name])
    }


def read_config(path: str) -> tuple[Config, dict[str, Any]]:
    """The settings in a file, and where its data came from.

    The latter is ``{"train": path, "validation": path or None, "reader": {...}}``, or empty.

    Raises:
        ConfigError: it is no JSON object, or holds a name or a value that is no setting.
    """
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is not JSON: {error.msg} in line {error.lineno}") from error
    if not isinstance(given, dict):
        raise ConfigError(f"{path} must hold one JSON object of settings")
    data = given.pop("data", {})
    if not isinstance(data, dict):
        raise ConfigError(f"data in {path} must be an object with train, validation and reader")
    return Config.from_dict(given), data
