"""The run directory: what a training run leaves behind.

``config.json`` holds every setting as resolved, and where the data came from: enough to run it
again. ``metrics.jsonl`` holds a line for each epoch. ``model.safetensors`` is the model. The three
appear at once, or none of them.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import os
import tempfile
import warnings
from typing import IO, Any

from sparserec_np.data.formats.options import KINDS
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.machine.file_lock import FileLock
from sparserec_np.machine.files import is_unfinished, put_in_place, replacing, sweep, sync_folder
from sparserec_np.runtime import COMPLETE_NAME, MODEL_NAME, ArtifactError
from sparserec_np.serving.model_file import load_model, save_model
from sparserec_np.training.fitted import LOOKED, SELECT_BY, Fitted, Record
from sparserec_np.training.saving import fitted_from, served_model
from sparserec_np.training.settings import Config

CONFIG, METRICS, MODEL = "config.json", "metrics.jsonl", MODEL_NAME
FILES = (CONFIG, METRICS, MODEL)
LOCK, STAGED, COMPLETE = ".lock", ".training", COMPLETE_NAME
CHECKPOINT = ".checkpoint.safetensors"  # how far a training has come that goes on, or was stopped
TRIALS = "trials."  # how the names of files begin in which a search keeps what it tried
TRIES = 20  # to read a run that is replaced meanwhile
DATA = ("train", "validation", "reader", "former", "new", "item_features")


class RecordsWarning(UserWarning):
    """The records of a training cannot be written while it goes on."""


class RunDirectory:
    """A run directory that is being written, by this process alone.

    A context: the directory is held while it is open, and what was begun in it and not finished is
    gone when it closes. Records grow in a folder of their own, ``.training``. There the settings
    and the model are laid beside them, and renaming that folder to ``.complete`` makes the new run
    the one that is there. Its files then take their places; where a crash prevents that, whoever
    reads finds them in ``.complete``, and whoever writes next moves them. So there is the run of
    before or the new one, and never a part of each.

    Args:
        path: the directory; made if missing. One that holds a run is written over; any other must
            be empty.

    Raises:
        SparseRecError: the path is a file, a directory of something else, or in a place that cannot
            be written to; or, when it is entered, another training writes to it.
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
            others = [name for name in os.listdir(self.path) if not _is_ours(name)]
            if others and not os.path.exists(self.file(CONFIG)):
                raise SparseRecError(
                    f"{self.path} holds {others[0]!r} and no run; give a new or an empty directory for the run"
                )
        _try_to_write(self.path)  # before hours of work are in vain
        self._records: list[str] = []
        self._metrics: IO[str] | None = None
        self._loses_records = False

    def __enter__(self) -> RunDirectory:
        self._made = _missing_folders(self.path)
        os.makedirs(self.path, exist_ok=True)
        try:
            self._lock = FileLock(self.file(LOCK))
        except BlockingIOError as error:
            raise SparseRecError(
                f"Another training writes to {self.path}: wait for it, or name another directory"
            ) from error
        try:
            settle(self.path)
            self._sweep()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._sweep()
        self._lock.release()
        with contextlib.suppress(OSError):  # it holds a run
            for folder in self._made:
                os.rmdir(folder)

    def file(self, name: str) -> str:
        """Returns the path of one of the run's files."""
        return os.path.join(self.path, name)

    def add(self, record: Record) -> None:
        """Appends the record of an epoch, for whoever watches ``.training/metrics.jsonl``.

        A disk that is full ends no training: records are kept, and written when it is finished.
        """
        self._records.append(json.dumps(record) + "\n")
        try:
            stream = self._open()
            stream.write(self._records[-1])
            stream.flush()
        except OSError as error:
            if not self._loses_records:
                warnings.warn(
                    f"{self._staged(METRICS)}: {error.strerror}; training goes on, and writes its records at the end",
                    RecordsWarning,
                    stacklevel=2,
                )
            self._loses_records = True

    def finish(self, fitted: Fitted, log: Interactions, data: dict[str, Any] | None = None) -> int:
        """Writes the settings and the model; returns the bytes of the model file.

        Args:
            fitted: what training gave.
            log: all interactions that the user gave to train on: none of them is recommended.
            data: where they came from, if from files; see :func:`read_config`.

        Raises:
            SparseRecError: the model cannot be saved, as after a training that diverged.
            OSError: the disk is full; an earlier run stays as it was.
        """
        self.close()
        os.makedirs(self.file(STAGED), exist_ok=True)
        data = data or {"train": None, "validation": None, "reader": {}}
        text = json.dumps(fitted.config.resolved().said() | {"data": data}, indent=2) + "\n"
        try:
            size = save_model(self._staged(MODEL), served_model(fitted, log))
        except ArtifactError as error:
            raise SparseRecError(str(error)) from error
        for name, content in ((CONFIG, text), (METRICS, "".join(self._records))):
            with replacing(self._staged(name)) as stream:
                stream.write(content.encode())
        os.rename(self.file(STAGED), self.file(COMPLETE))  # from here on it is the run
        sync_folder(self.path)
        with contextlib.suppress(OSError):  # it is found there, and moved by the next training
            settle(self.path)
        return size

    def _staged(self, name: str) -> str:
        return os.path.join(self.path, STAGED, name)

    def _open(self) -> IO[str]:
        """Opens the file of growing records; makes its folder."""
        if self._metrics is None:
            os.makedirs(self.file(STAGED), exist_ok=True)
            self._metrics = open(self._staged(METRICS), "a", encoding="utf-8")  # noqa: SIM115  # closed by close()
        return self._metrics

    def close(self) -> None:
        """Closes the file of growing records."""
        if self._metrics is not None:
            with contextlib.suppress(OSError):  # a full disk
                self._metrics.close()
            self._metrics = None

    def _sweep(self) -> None:
        """Removes what a training that did not finish has left here."""
        for name in (*FILES, CHECKPOINT):
            sweep(self.path, f".{name}.")
        if os.path.isdir(self.file(STAGED)):
            for name in os.listdir(self.file(STAGED)):
                if is_unfinished(name) or name in FILES:
                    os.unlink(self._staged(name))
            os.rmdir(self.file(STAGED))


def settle(path: str) -> None:
    """Moves the files of a run that is complete to their places, where a crash has left them beside.

    Raises OSError where the directory cannot be written to; the run can be read all the same.
    """
    complete = os.path.join(path, COMPLETE)
    if not os.path.isdir(complete):
        return
    for name in FILES:
        newer, place = os.path.join(complete, name), os.path.join(path, name)
        if os.path.exists(newer):
            put_in_place(newer, os.path.realpath(place))  # a link stays a link
    os.rmdir(complete)
    sync_folder(path)


def file_of(path: str | os.PathLike[str], name: str) -> str:
    """Returns where a file of a run is: in its place, or where a crash has left it."""
    beside = os.path.join(path, COMPLETE, name)
    return beside if os.path.exists(beside) else os.path.join(path, name)


def _is_ours(name: str) -> bool:
    """Tells whether a name in a run directory is one that a training gives, or a search for settings."""
    known = name in (*FILES, LOCK, STAGED, COMPLETE, CHECKPOINT) or name.lstrip(".").startswith(TRIALS)
    return known or is_unfinished(name)


def is_finished(path: str | os.PathLike[str]) -> bool:
    """Tells whether a folder holds a run whose training has ended: its model is there."""
    return os.path.isfile(file_of(path, MODEL))


def was_stopped(path: str | os.PathLike[str]) -> bool:
    """Tells whether a folder holds a checkpoint, of a training that can go on."""
    return os.path.isfile(os.path.join(path, CHECKPOINT))


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
    with RunDirectory(path) as directory:
        for record in fitted.history:
            directory.add(record)
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
    for _ in range(TRIES):
        before = _state(path)
        try:
            fitted = _loaded(path, known)
        except Exception:
            if before == _state(path):
                raise
        else:
            if before == _state(path):
                return fitted
    raise SparseRecError(f"{path} is being written to all the time; read it once that has ended")


def _loaded(path: str, known: Interactions | None) -> Fitted:
    if not os.path.isfile(file_of(path, CONFIG)):
        raise SparseRecError(
            f"{path} is no run directory: expected the folder that `sparserec train -o` wrote, with {CONFIG} in it"
        )
    config, _ = read_config(file_of(path, CONFIG))
    return fitted_from(load_model(path), config, _read_records(file_of(path, METRICS)), known)


def _state(path: str) -> list[tuple[str, int, int, int] | None]:
    """Says which files the run consists of, so that one that was replaced meanwhile shows."""
    found: list[tuple[str, int, int, int] | None] = []
    for name in FILES:
        place = file_of(path, name)
        try:
            stat = os.stat(place)
            found.append((place, stat.st_ino, stat.st_size, stat.st_mtime_ns))
        except OSError:  # it is not there
            found.append(None)
    return found


def read_records(path: str | os.PathLike[str]) -> list[Record]:
    """Reads the records of a run's epochs, in their order.

    Raises:
        SparseRecError: they are not there, or are none.
    """
    return _read_records(file_of(path, METRICS))


def _read_records(path: str) -> list[Record]:
    """Reads the records of epochs; looks are none."""
    try:
        with open(path, encoding="utf-8") as stream:
            lines = stream.readlines()
    except FileNotFoundError as error:
        raise SparseRecError(
            f"{path} is missing: expected the records of the run's epochs; copy the whole run directory"
        ) from error
    except UnicodeDecodeError as error:
        raise SparseRecError(f"{path} is no text: expected a JSON object in each line") from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise SparseRecError(
                f"{path}, line {number}: expected a JSON object, found {line[:40].strip()!r}"
            )
        _check_record(record, f"{path}, line {number}")
        if record.get("phase") != LOOKED:  # looks are no epochs of it
            records.append(record)
    return records


def _check_record(record: Record, place: str) -> None:
    """Refuses a record whose epoch or metric is none."""
    epoch, reached = record.get("epoch"), record.get(SELECT_BY, 0.0)
    if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
        raise SparseRecError(f"{place}: epoch must be a whole number from 0, found {epoch!r:.40}")
    if not isinstance(reached, (int, float)) or isinstance(reached, bool):
        raise SparseRecError(f"{place}: {SELECT_BY} must be a number, found {reached!r:.40}")


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


def _missing_folders(path: str) -> list[str]:
    """Lists the folders on the way to ``path`` that are not there, the innermost first."""
    missing, folder = [], os.path.abspath(path)
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def _try_to_write(path: str) -> None:
    """Writes a file without a name where ``path`` is, to learn whether it can be written to.

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
