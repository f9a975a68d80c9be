"""A search for the best settings with Optuna, kept in the folder of the run that comes of it.

Settings are suggested by a tree of Parzen estimators (TPE) from the ranges of
:mod:`sparserec_np.training.ranges`; the first trial is of the defaults. Where quality alone counts,
a trial that lies below the median of the others at the same epoch is ended (pruned). Trials are in
an SQLite file: a search that was stopped goes on there, and several processes can work on one. The
suggestions of the k-th trial depend on the seed, on k and on the trials before it.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sparserec_np.comparison.sources import digest_of
from sparserec_np.comparison.trials import expect_whole
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.machine.file_lock import FileLock
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.training.fitted import SELECT_BY, Fitted, Record
from sparserec_np.training.plan import Plan
from sparserec_np.training.ranges import SIZES, Range, ranges_for
from sparserec_np.training.search import starts_to_try
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train

STORAGE, LOCK, PAGE = "trials.sqlite3", ".trials.lock", "trials.html"
STUDY = "sparserec"
PATIENCE = 60.0  # seconds to wait for another process that writes to the storage
NEARLY = 0.99  # of the best quality: the smallest model of the front with as much is taken
MISSING = "Tuning needs the package optuna: pip install 'sparserec_np[tune]'"
QUALITY, BYTES = "quality", "quality-bytes"
OBJECTIVES = (QUALITY, BYTES)


@dataclass(frozen=True)
class Search:
    """What is searched, and where it is kept.

    Attributes:
        folder: of the run that comes of it.
        config: the settings as they are given.
        fixed: names of those that stay as they are.
        objective: ``quality``, NDCG@20 on the held-out part; or ``quality-bytes``, that and the
            bytes of the served tables.
        log: the interactions.
        held_out: to choose by; None for a part of ``log``.
        threads: to work on; None for all.
    """

    folder: str
    config: Config
    fixed: tuple[str, ...]
    objective: str
    log: Interactions
    held_out: Interactions | None
    threads: int | None = None

    def said(self) -> dict[str, Any]:
        """Returns what has to be the same whenever the search goes on."""
        return {
            "objective": self.objective,
            "data": digest_of(self.log),
            "validation part": None if self.held_out is None else digest_of(self.held_out),
            **self.config.said(),
        }

    def ranges(self) -> dict[str, Range]:
        """Returns the ranges that are searched, by name."""
        found = ranges_for(self.config, self.fixed)
        if self.objective == BYTES:
            found |= {name: values for name, values in SIZES.items() if name not in self.fixed}
        return found

    def starts(self) -> tuple[str, ...]:
        """Names the starts to choose from."""
        return starts_to_try(Plan.of(self.config, self.log), self.log)

    def path(self, name: str) -> str:
        """Returns the path of a file in the folder."""
        return os.path.join(self.folder, name)


class Tried(NamedTuple):
    """A trial that ended.

    Attributes:
        number: from 0.
        settings: what was suggested, by name.
        reached: NDCG@20 on the held-out part; None where it was pruned or diverged.
        bytes: of the served tables; None where bytes do not count.
        ended: ``"complete"``, ``"pruned"`` or ``"diverged"``.
    """

    number: int
    settings: dict[str, Any]
    reached: float | None
    bytes: int | None
    ended: str


def check_search(search: Search) -> None:
    """Refuses what cannot be searched.

    Raises:
        ConfigError: the model is counted, nothing is held out, or bytes count and are given.
        SparseRecError: Optuna is not there.
    """
    config = search.config
    if BASE_MODELS[config.model].counted:
        raise ConfigError(f"The model {config.model} is counted and not trained; there is nothing to tune")
    if not config.validation and search.held_out is None:
        raise ConfigError("Tuning needs held-out interactions to choose by; set validation above 0")
    if search.objective == BYTES and (config.entries is not None or config.memory_budget is not None):
        raise ConfigError(
            "The objective quality-bytes searches for the budget; leave entries and memory_budget out"
        )
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise SparseRecError(MISSING) from error


def open_study(search: Search) -> Any:
    """Opens the study in the folder, or makes it.

    Raises:
        ConfigError: the one that is there is of other data or settings; the sentence names which.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    os.makedirs(search.folder, exist_ok=True)
    with alone(search):
        storage = storage_at(os.path.abspath(search.path(STORAGE)))
        directions: Any = ["maximize"] if search.objective == QUALITY else ["maximize", "minimize"]
        known = STUDY in optuna.study.get_all_study_names(storage)
        # The median is of five trials or more, each of which has come as far.
        pruner = optuna.pruners.MedianPruner(n_startup_trials=5)
        if known:
            study = optuna.load_study(study_name=STUDY, storage=storage, pruner=pruner)
            _expect_same(study.user_attrs["said"], json.loads(json.dumps(search.said())), search)
            return study
        study = optuna.create_study(storage=storage, study_name=STUDY, directions=directions, pruner=pruner)
        study.set_user_attr("said", search.said())
        study.enqueue_trial(_defaults(search))
    return study


def storage_at(path: str) -> Any:
    """Opens the SQLite file of trials, or makes it."""
    from optuna.storages import RDBStorage

    return RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": PATIENCE}})


@contextmanager
def alone(search: Search) -> Iterator[None]:
    """Waits until no other process makes or ends the same search, and keeps others out."""
    while True:
        try:
            lock = FileLock(search.path(LOCK))
            break
        except BlockingIOError:
            time.sleep(0.2)
    try:
        yield
    finally:
        lock.release()


def _expect_same(found: dict[str, Any], wanted: dict[str, Any], search: Search) -> None:
    for name, value in wanted.items():
        if found.get(name) != value:
            told = "other data"
            if name not in ("data", "validation part"):
                told = f"another {name}: {found.get(name)} there, {value} here"
            raise ConfigError(
                f"{search.folder} holds a search with {told}; give what is there, or another directory"
            )


def _defaults(search: Search) -> dict[str, Any]:
    """Returns the defaults of what is searched, those that lie within the ranges."""
    resolved = search.config.resolved()
    found = {name: getattr(resolved, name) for name in search.ranges()}
    found = {name: value for name, value in found.items() if search.ranges()[name].holds(value)}
    return found | ({"start": search.starts()[0]} if len(search.starts()) > 1 else {})


def ended_trials(study: Any) -> list[Tried]:
    """Returns the trials that ended, in their order; those that were interrupted are none."""
    from optuna.trial import TrialState

    found = []
    for trial in study.get_trials(deepcopy=False):
        diverged = trial.state == TrialState.FAIL and trial.user_attrs.get("diverged")
        if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED) and not diverged:
            continue
        complete = trial.state == TrialState.COMPLETE
        values: list[Any] = list(trial.values) if complete else [None]
        size = int(values[1]) if len(values) > 1 else None
        ended = "diverged" if diverged else trial.state.name.lower()
        found.append(Tried(trial.number, dict(trial.params), values[0], size, ended))
    return found


def make_trials(study: Any, search: Search, trials: int, told: Callable[[Tried], None]) -> None:
    """Makes trials until the study holds as many that ended, those of other processes included.

    Raises:
        KeyboardInterrupt: it was interrupted; the trial at hand does not count.
    """
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    while len(ended_trials(study)) < trials:
        trial = study.ask()
        # One for each trial, so that processes that share a study do not suggest the same.
        words = np.random.SeedSequence([search.config.seed, 7, trial.number]).generate_state(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is new in Optuna
            study.sampler = TPESampler(seed=int(words[0]))
            try:
                _tell(study, trial, search)
            except BaseException:
                study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
                raise
        told(next(one for one in reversed(ended_trials(study)) if one.number == trial.number))


def _tell(study: Any, trial: Any, search: Search) -> None:
    """Trains by the suggestions of a trial, and tells the study what came of it."""
    from optuna.trial import TrialState

    pruned = False

    def on_epoch(record: Record) -> bool:
        nonlocal pruned
        if SELECT_BY in record and search.objective == QUALITY:
            trial.report(record[SELECT_BY], record["epoch"])
            pruned = pruned or trial.should_prune()
        return pruned

    try:
        config = replace(search.config, **suggested(trial, search), refit=False)
        fitted = expect_whole(
            train(search.log, config, validation=search.held_out, threads=search.threads, on_epoch=on_epoch)
        )
    except SparseRecError as error:  # it diverged, or the budget is impossible in this width
        trial.set_user_attr("diverged", str(error))
        study.tell(trial, state=TrialState.FAIL)
        return
    if pruned:
        study.tell(trial, state=TrialState.PRUNED)
    elif search.objective == QUALITY:
        study.tell(trial, fitted.reached)
    else:
        study.tell(trial, [fitted.reached, served_size(fitted)])


def suggested(trial: Any, search: Search) -> dict[str, Any]:
    """Asks for the settings of a trial, by name."""
    found: dict[str, Any] = {}
    starts = search.starts()
    found["start"] = trial.suggest_categorical("start", starts) if len(starts) > 1 else starts[0]
    for name, values in search.ranges().items():
        if values.whole:
            found[name] = trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
        else:
            step = values.step or None
            found[name] = trial.suggest_float(name, values.low, values.high, log=values.log, step=step)
    return found


def served_size(fitted: Fitted) -> int:
    """Returns the bytes of a model's served tables, ids and weights."""
    return fitted.budget.total_bytes + fitted.model.weights.nbytes


def front_of(tried: list[Tried]) -> list[Tried]:
    """Returns the trials that no other is better than in both quality and bytes, the smallest first.

    Where bytes do not count that is the best trial alone.

    >>> some = [Tried(0, {}, 0.3, 9, ""), Tried(1, {}, 0.2, 5, ""), Tried(2, {}, 0.1, 6, "")]
    >>> [one.number for one in front_of(some)]
    [1, 0]
    """
    complete = [one for one in tried if one.reached is not None]
    found: list[Tried] = []
    for one in sorted(complete, key=lambda one: (one.bytes or 0, -(one.reached or 0.0), one.number)):
        if not found or (one.reached or 0.0) > (found[-1].reached or 0.0):
            found.append(one)
    return found if any(one.bytes is not None for one in found) else found[-1:]


def winner_of(tried: list[Tried]) -> Tried:
    """Returns the best trial; where bytes count, the smallest that is nearly as good.

    Raises:
        SparseRecError: no trial ended well.
    """
    front = front_of(tried)
    if not front:
        raise SparseRecError(
            "No trial ended well; allow more trials, or fix settings that let training diverge"
        )
    most = front[-1].reached or 0.0
    return next(one for one in front if (one.reached or 0.0) >= NEARLY * most)


def winning_config(search: Search, winner: Tried) -> Config:
    """Returns the settings to train the winner with."""
    starts = search.starts()
    return replace(search.config, **{"start": starts[0], **winner.settings})
