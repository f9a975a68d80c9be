"""Checkpoints: how far a training has come, in a file, so that it goes on after a stop to the same bits.

A training is a row of stages: looks at starts, counts of baselines, trials of a search, and the
last one on all data. What they give follows from data, settings and seed. So a training that goes
on does all of it once more, but takes from the file what that holds: of each stage that had ended
its records, of the best trial its model too, and of the stage at hand what an epoch changes. Starts
are not in the file. They are made again where they are asked for.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple, Protocol

import numpy as np

from sparserec_np import __version__, errors
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError, DataError, SparseRecError
from sparserec_np.runtime import ArtifactError, read_artifact
from sparserec_np.training.fitted import Fitted, Record, Report, reached_in
from sparserec_np.training.settings import Config
from sparserec_np.training.snapshot import Snapshot, under, within

FORMAT = "sparserec_np checkpoint"
FORMAT_VERSION = "1"
EVERY = 300.0  # seconds
# A stage that ends is worth a checkpoint once so many times the seconds of one have passed since
# the last, and at least this many.
WORTH, SHORTEST = 100.0, 1.0
PACKAGES = ("numpy", "scipy", "numba")
# What a training follows from besides settings, as digests.
DATA = ("interactions", "held-out interactions", "rows of the teacher", "rows of the model", "item features")


class CheckpointWarning(UserWarning):
    """A checkpoint cannot be written: training goes on without."""


@dataclass(frozen=True)
class Stage:
    """A stage of a training that has ended, just now or before a stop.

    Attributes:
        history: its records.
        fitted: what it gave; None of one that ended before a stop and was not the best.
    """

    history: list[Record]
    fitted: Fitted | None

    @property
    def reached(self) -> float:
        """The best NDCG@20 on held-out interactions; -1 where it was never measured."""
        return reached_in(self.history)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.fitted is not None and self.fitted.interrupted


Make = Callable[[Report], Fitted]
Again = Callable[[Snapshot, list[Record]], Fitted]


class Checkpoints(Protocol):
    """What keeps the course of a training, and gives back what was kept before a stop."""

    def expect(self, part: str, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Says what a part of the training follows from.

        Raises:
            ConfigError, DataError: what was kept came from something else.
        """
        ...

    def take(self, name: str, make: Make, report: Report, again: Again | None = None) -> Stage:
        """Takes the next stage, or gives back what it gave before a stop.

        Args:
            name: what it is, in words that tell it from others.
            make: takes it, and calls what it is given with each record.
            report: is called with each record, also with those of before.
            again: makes what it gave again, of the best; None where records are all that is asked
                for.

        Raises:
            SparseRecError: the stage fails, or has failed.
            ConfigError: another stage was taken in its place, as where less memory than now left
                starts out.
        """
        ...

    def running(self) -> Snapshot | None:
        """Returns the state of the stage that is being taken as it was kept, if it was."""
        ...

    def epoch(self, state: Callable[[], Snapshot]) -> None:
        """Says that an epoch of the stage at hand has ended, in a state that may be kept."""
        ...


class NoCheckpoints:
    """Nothing is kept."""

    def expect(self, part: str, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Does nothing."""

    def take(self, name: str, make: Make, report: Report, again: Again | None = None) -> Stage:
        """Takes the stage."""
        fitted = make(report)
        return Stage(fitted.history, fitted)

    def running(self) -> None:
        """Returns None."""

    def epoch(self, state: Callable[[], Snapshot]) -> None:
        """Does nothing."""


NO_CHECKPOINTS = NoCheckpoints()


class _Ended(NamedTuple):
    """A stage that has ended: its name and records, and the error that it ended in, by class and sentence."""

    name: str
    history: list[Record]
    error: list[str] | None = None


class Checkpoint(NamedTuple):
    """The content of a checkpoint.

    Attributes:
        request: what was asked for, for whoever asks for it again.
        begun: part of a training -> what it follows from, by name.
        ended: the stages that have ended.
        best: number of the best of them, and its model; None before the first trial ends.
        running: the state of the stage at hand; None where none is.
        seconds: spent so far.
    """

    request: dict[str, Any]
    begun: dict[str, dict[str, Any]]
    ended: list[_Ended]
    best: tuple[int, Snapshot] | None
    running: Snapshot | None
    seconds: float

    def save(self, path: str) -> int:
        """Writes the file, whole or not at all; returns its bytes.

        Raises OSError where it cannot be written.
        """
        arrays: dict[str, Array] = {}
        facts: dict[str, Any] = {
            "request": self.request,
            "begun": self.begun,
            "ended": self.ended,
            "seconds": self.seconds,
        }
        if self.best is not None:
            facts["best"] = self.best[0], self.best[1].facts
            arrays |= under("best", self.best[1].arrays)
        if self.running is not None:
            facts["running"] = self.running.facts
            arrays |= under("running", self.running.arrays)
        arrays["facts"] = np.frombuffer(json.dumps(facts).encode("ascii"), np.uint8)
        versions = {"format": FORMAT, "format_version": FORMAT_VERSION, **_versions()}
        return write_artifact(path, arrays, versions | {"digest": digest_of(arrays)})

    @classmethod
    def load(cls, path: str) -> Checkpoint:
        """Reads a file.

        Raises:
            ArtifactError: it is damaged, or no checkpoint.
            ConfigError: another version of this package has written it, or of those that it
                computes with.
            OSError: it cannot be read.
        """
        with open(path, "rb") as stream:
            content = stream.read()
        try:
            artifact = read_artifact(content)
        except ArtifactError as error:
            reason = str(error).partition(": ")[2]
            raise ArtifactError(f"{path} is damaged: {reason}; begin anew with --overwrite") from error
        arrays, metadata = dict(artifact.arrays), artifact.metadata
        if metadata.get("format") != FORMAT:
            raise ArtifactError(f"{path} is no checkpoint of a training")
        if metadata.get("digest") != digest_of(arrays) or "facts" not in arrays:
            raise ArtifactError(
                f"{path} is damaged: it holds something else than what was written; begin anew with --overwrite"
            )
        for name, here in {"format_version": FORMAT_VERSION, **_versions()}.items():
            if (there := metadata.get(name)) != here:
                raise ConfigError(
                    f"{path} was written with {name} {there}, and here is {here}, which may round in another way: go"
                    " on with that one, or begin anew with --overwrite"
                )
        facts = json.loads(bytes(arrays["facts"]))
        best, running = facts.get("best"), facts.get("running")
        return cls(
            facts["request"],
            facts["begun"],
            [_Ended(*stage) for stage in facts["ended"]],
            None if best is None else (best[0], Snapshot(within("best", arrays), best[1])),
            None if running is None else Snapshot(within("running", arrays), running),
            facts["seconds"],
        )


def _versions() -> dict[str, str]:
    return {"sparserec_np": __version__, **{name: version(name) for name in PACKAGES}}


def digest_of(arrays: Mapping[str, Array]) -> str:
    """Returns a digest of named arrays."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        sha.update(f"{name} {array.dtype.newbyteorder('<').str} {array.shape} ".encode())
        sha.update(np.ascontiguousarray(array).view(np.uint8).data)
    return sha.hexdigest()


def facts_of(config: Config, log: Interactions, held_out: Interactions | None) -> dict[str, Any]:
    """Says what a training follows from: settings, and digests of the interactions."""
    others = None if held_out is None else _digest_of_log(held_out)
    return config.to_dict() | {"interactions": _digest_of_log(log), "held-out interactions": others}


def _digest_of_log(log: Interactions) -> str:
    """Returns a digest of interactions, and of when they were."""
    sha = hashlib.sha256(log.digest().encode())
    if log.times is not None:
        sha.update(log.times.tobytes())
    return sha.hexdigest()


class CheckpointFile:
    """Checkpoints in one file, which is written anew whenever that is due.

    Args:
        path: of the file.
        every: seconds between two, 0 for one after each epoch, infinity for none. At the end of a
            stage one is written sooner, if it costs a hundredth of the time since the last.
        request: what to keep besides, for whoever goes on.
        resumed: what the file holds, to go on from; None to begin anew.

    Attributes:
        written: bytes of the last; 0 before there is any.
        cost: seconds that went into writing them.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every: float = EVERY,
        request: Mapping[str, Any] | None = None,
        resumed: Checkpoint | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.written, self.cost = 0, 0.0
        self._every, self._fresh = every, resumed is None
        self._before = resumed or Checkpoint({}, {}, [], None, None, 0.0)
        self._request = dict(request or self._before.request)
        self._begun: dict[str, dict[str, Any]] = {}
        self._ended: list[_Ended] = []
        self._best: tuple[int, Snapshot] | None = None
        self._reached = -np.inf
        self._began = self._last = time.perf_counter()
        self._last_cost = 0.0
        self._fails = False

    @classmethod
    def at(cls, path: str | os.PathLike[str], every: float = EVERY) -> CheckpointFile:
        """Goes on from a file where there is one, or else begins.

        Raises:
            ArtifactError, ConfigError, OSError: see :meth:`Checkpoint.load`.
        """
        there = os.path.exists(path)
        return cls(path, every, resumed=Checkpoint.load(os.fspath(path)) if there else None)

    @property
    def earlier(self) -> float:
        """Seconds that the training took before the stop; 0 where it begins."""
        return self._before.seconds

    def expect(self, part: str, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Says what a part of the training follows from; see :meth:`Checkpoints.expect`."""
        if not self._begun and self._fresh:
            self.remove()  # what another has left
        here = self._begun[part] = json.loads(json.dumps(facts()))
        there = self._before.begun.get(part, here)
        for name in here.keys() | there.keys():
            if here.get(name) != there.get(name):
                raise _refusal(self.path, name, there.get(name), here.get(name))

    def take(self, name: str, make: Make, report: Report, again: Again | None = None) -> Stage:
        """Takes the next stage, or gives back what it gave; see :meth:`Checkpoints.take`."""
        number = len(self._ended)
        if number < len(self._before.ended):
            ended = self._before.ended[number]
            if ended.name != name:
                raise ConfigError(
                    f"{self.path}: what was looked at was {ended.name}, and now is {name}, as where less memory leaves"
                    " starts out; go on with as much memory as then, or begin anew with --overwrite"
                )
            return self._replayed(ended, report, again)
        told: list[Record] = []

        def tell(record: Record) -> bool | None:
            told.append(record)
            return report(record)

        try:
            fitted = make(tell)
        except SparseRecError as error:
            self._end(_Ended(name, told, [type(error).__name__, str(error)]))
            raise
        stage = Stage(fitted.history, fitted)
        if not fitted.interrupted:
            if again is not None and stage.reached > self._reached:
                self._reached, self._best = stage.reached, (number, model_of(fitted))
            self._end(_Ended(name, stage.history))
        return stage

    def running(self) -> Snapshot | None:
        """Returns the state of the stage at hand, if it is the one that was; see :meth:`Checkpoints.running`."""
        return self._before.running if len(self._ended) == len(self._before.ended) else None

    def epoch(self, state: Callable[[], Snapshot]) -> None:
        """Writes a checkpoint if one is due; see :meth:`Checkpoints.epoch`."""
        if time.perf_counter() - self._last >= self._every:
            self._write(state())

    def remove(self) -> None:
        """Removes the file, if there is one.

        Raises OSError where it cannot be.
        """
        if os.path.exists(self.path):
            os.unlink(self.path)

    def _replayed(self, ended: _Ended, report: Report, again: Again | None) -> Stage:
        """Tells the records of a stage once more, and gives back what it gave."""
        number, best = len(self._ended), self._before.best
        self._ended.append(ended)
        for record in ended.history:
            report(record)
        if ended.error is not None:
            name, sentence = ended.error
            raise getattr(errors, name, SparseRecError)(sentence)
        if again is None or best is None or best[0] != number:
            return Stage(ended.history, None)
        stage = Stage(ended.history, again(best[1], ended.history))
        self._reached, self._best = stage.reached, best
        return stage

    def _end(self, ended: _Ended) -> None:
        """Keeps a stage that has ended, and writes a checkpoint if it is worth one."""
        self._ended.append(ended)
        worth = min(self._every, max(SHORTEST, WORTH * self._last_cost))
        if np.isfinite(self._every) and time.perf_counter() - self._last >= worth:
            self._write(None)

    def _write(self, running: Snapshot | None) -> None:
        clock = time.perf_counter()
        seconds = self.earlier + clock - self._began
        kept = Checkpoint(self._request, self._begun, self._ended, self._best, running, seconds)
        try:
            self.written = kept.save(self.path)
        except (OSError, ArtifactError) as error:
            if not self._fails:
                said = error.strerror if isinstance(error, OSError) else error
                warnings.warn(
                    f"{self.path}: {said}; training goes on, and this checkpoint is left out",
                    CheckpointWarning,
                    stacklevel=2,
                )
            self._fails = True
        self._last = time.perf_counter()
        self._last_cost = self._last - clock
        self.cost += self._last_cost


def model_of(fitted: Fitted) -> Snapshot:
    """Names what makes a trained model again, given its plan."""
    model = fitted.model
    arrays = under("table", model.table._asdict()) | {"weights": model.served_weights}
    return Snapshot(arrays, {"best_epoch": fitted.best_epoch, "bytes": fitted.bytes})


def _refusal(path: str, name: str, there: Any, here: Any) -> SparseRecError:
    """Says what differs from what a checkpoint was made of."""
    way = "give what was given then, or begin anew with --overwrite"
    if name in DATA:
        return DataError(f"{path}: the {name} are others than those that the training was begun with; {way}")
    return ConfigError(f"{path}: {name} was {there!r} when the training was begun, and is {here!r}; {way}")
