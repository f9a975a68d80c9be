"""The run directory: what a training run leaves behind.

``config.json`` holds every setting as resolved, and where the data came from: enough to run it
again. ``metrics.jsonl`` holds a line for each epoch and grows while training goes on.
``model.safetensors`` is the model; it appears last, and at once.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import tempfile
from typing import IO, Any

from sparserec_np.data.formats.options import KINDS
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.machine.files import is_unfinished, replacing
from sparserec_np.runtime import ArtifactError
from sparserec_np.serving.model_file import load_model, save_model
from sparserec_np.training.fitted import LOOKED, Fitted, Record
from sparserec_np.training.saving import fitted_from, served_model
from sparserec_np.training.settings import Config

CONFIG, METRICS, MODEL = "config.json", "metrics.jsonl", "model.safetensors"
DATA = ("train", "validation", "reader", "former", "new", "item_features")


class RunDirectory:
    """A run directory that is being written.

    Args:
        path: the directory; made if missing. One that holds a run is written over; any other must
            be empty.

    Raises:
        SparseRecError: the path is a file, a directory of something else, or in a place that cannot
            be written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        if not self.path:
            raise SparseRecError("The name of the run directory is empty; give it one")
        if os.path.exists(self.path):
            if not os.path.isdir(self.path):
                raise SparseRecError(
                    f"{self.path} is a file; expected a directory for the run, or a new name"
                )
            others = [
                name
                for name in os.listdir(self.path)
                if name not in (CONFIG, METRICS, MODEL) and not is_unfinished(name)
            ]
            if others and not os.path.exists(self.file(CONFIG)):
                raise SparseRecError(
                    f"{self.path} holds {others[0]!r} and no run; give a new or an empty directory for the run"
                )
        _try_to_write(self.path)  # before hours of work are in vain
        self._metrics: IO[str] | None = None
        self._begun = False

    def file(self, name: str) -> str:
        """Returns the path of one of the run's files."""
        return os.path.join(self.path, name)

    def add(self, record: Record) -> None:
        """Appends the record of an epoch.

        The first makes the directory and replaces an earlier run's records.
        """
        stream = self._open()
        stream.write(json.dumps(record) + "\n")
        stream.flush()

    def finish(self, fitted: Fitted, log: Interactions, data: dict[str, Any] | None = None) -> int:
        """Writes the settings and the model; returns the bytes of the model file.

        Args:
            fitted: what training gave.
            log: all interactions that the user gave to train on: none of them is recommended.
            data: where they came from, if from files; see :func:`read_config`.

        Raises:
            SparseRecError: the model cannot be saved, as after a training that diverged.
        """
        self._open()  # a training that was interrupted early has no records, and none of an earlier run
        self.close()
        data = data or {"train": None, "validation": None, "reader": {}}
        text = json.dumps(fitted.config.resolved().said() | {"data": data}, indent=2) + "\n"
        try:  # before the settings: where it cannot be saved, an earlier run's model stays with its own
            size = save_model(self.file(MODEL), served_model(fitted, log))
        except ArtifactError as error:
            raise SparseRecError(str(error)) from error
        with replacing(self.file(CONFIG)) as stream:
            stream.write(text.encode())
        return size

    def _open(self) -> IO[str]:
        """Opens the file of records.

        The first call makes the directory and an empty file, later ones go on with it.
        """
        if self._metrics is None:
            os.makedirs(self.path, exist_ok=True)
            mode = "a" if self._begun else "w"
            self._metrics = open(self.file(METRICS), mode, encoding="utf-8")  # noqa: SIM115  # closed by close()
            self._begun = True
        return self._metrics

    def close(self) -> None:
        """Closes the file of records."""
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None


def is_finished(path: str | os.PathLike[str]) -> bool:
    """Tells whether a folder holds a run whose training has ended: its model is there."""
    return os.path.isfile(os.path.join(path, MODEL))


def save_run(path: str | os.PathLike[str], fitted: Fitted, log: Interactions) -> int:
    """Writes a run directory: the settings, the record of each epoch, and the model.

    Returns the model file's bytes.

    Args:
        path: the directory; made if missing. One that holds a run is written over; any other must
            be empty.
        fitted: what :func:`~sparserec_np.training.train.train` gave.
        log: the interactions given to it: none of them will be recommended.

    Raises:
        SparseRecError: the path is no place for a run, or the model cannot be saved.
    """
    directory = RunDirectory(path)
    try:
        for record in fitted.history:
            directory.add(record)
    finally:
        directory.close()
    return directory.finish(fitted, log)


def load_run(path: str | os.PathLike[str], known: Interactions | None = None) -> Fitted:
    """Loads a run as training left it, to evaluate it or to go on from it.

    Args:
        path: the run directory.
        known: the interactions it was trained on, for a run whose model file does not hold them;
            those of users or items that the model does not know are left out. A model that makes
            users from what they touched takes all of its users from there, if its file has none.

    Raises:
        SparseRecError: the path is no run directory.
        DataError: the model file does not hold them, and ``known`` is not given or of other users
            and items; or it was exported without users that the model stores.
        ArtifactError, ConfigError: the model file, or the settings, are not sound.
        OSError: one of them cannot be read.
    """
    path = os.fspath(path)
    if not os.path.isfile(os.path.join(path, CONFIG)):
        raise SparseRecError(
            f"{path} is no run directory: expected the folder that `sparserec train -o` wrote, with {CONFIG} in it"
        )
    config, _ = read_config(os.path.join(path, CONFIG))
    with open(os.path.join(path, METRICS), encoding="utf-8") as stream:
        records = [json.loads(line) for line in stream]
    history = [record for record in records if record.get("phase") != LOOKED]  # looks are no epochs of it
    return fitted_from(load_model(path), config, history, known)


def read_config(path: str) -> tuple[Config, dict[str, Any]]:
    """Reads the settings in a file, and where its data came from.

    The latter is ``{"train": path, "validation": path, "reader": {...}}``, for an update
    ``"former"`` and ``"new"``, the run it went on from and the file it went on with, and
    ``"item_features"``, a file of attributes; any may be missing or None. The reader's are keywords
    of :func:`~sparserec_np.data.formats.read_interactions`.

    Raises:
        ConfigError: it is no JSON object, or holds a name or a value that is no setting.
        OSError: it cannot be read.
    """
    with open(path, "rb") as stream:
        content = stream.read()
    try:
        given = json.loads(content)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is not JSON: {error.msg} in line {error.lineno}") from error
    except (ValueError, RecursionError) as error:  # no text, numbers too long, lists too deep
        raise ConfigError(f"{path} is not JSON that holds settings") from error
    if not isinstance(given, dict):
        raise ConfigError(f"{path} must hold one JSON object of settings")
    data = given.pop("data", None) or {}
    if not isinstance(data, dict):
        raise ConfigError(f"data in {path} must be an object with {', '.join(DATA)}, found {data!r}")
    _check_names(data, DATA, f"data in {path}")
    reader = data.get("reader") or {}
    if not isinstance(reader, dict):
        raise ConfigError(f"reader in {path} must be an object of reader options, found {reader!r}")
    _check_names(reader, tuple(KINDS), f"reader in {path}")
    for name in ("train", "validation", "former", "new", "item_features"):
        _check_value(data.get(name), (str,), f"{name} in {path}")
    for name, value in reader.items():
        _check_value(value, KINDS[name], f"{name} in {path}")
    return Config.from_dict(given), data


def _check_names(given: dict[str, Any], known: tuple[str, ...], place: str) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
            raise ConfigError(f"{name!r} is nothing that {place} can hold; {hint}")


def _check_value(value: Any, kinds: tuple[type, ...], place: str) -> None:
    good = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
    if value is not None and not (good and (not isinstance(value, float) or math.isfinite(value))):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise ConfigError(f"{place} must be of type {wanted}, found {value!r}")


def _try_to_write(path: str) -> None:
    """Writes a file without a name where ``path`` is, to learn whether it can be written to.

    Where nothing is there, it writes where the first missing folder would be made.

    Where it is missing, that is where its first missing folder would be made.
    """
    folder = os.path.abspath(path)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise SparseRecError(f"{folder} is a file; expected a folder to make the run directory in")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SparseRecError(
            f"{folder} cannot be written to ({error.strerror or error}); give another place for the run"
        ) from error
