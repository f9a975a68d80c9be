"""A sweep: the runs of all variants in one directory, which goes on where it was stopped.

A directory holds ``comparison.json`` (what is the same for all runs), ``runs/`` with an ordinary
run directory for each variant and seed, ``measured/`` with what each reached on the test part,
``trials/`` and ``failed/``. A run is finished when its directory is complete and is of these data
and settings; nothing finished is trained again.

The first seed of a variant chooses by validation: among trials where they are asked for, and else
starts and learning rates as an ordinary training does. The other seeds train with what it chose.
"""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sparserec_np import __version__
from sparserec_np.comparison.measured import Measured
from sparserec_np.comparison.sources import Loaded, Sources
from sparserec_np.comparison.trials import Tuning, expect_whole, seconds_of, tune
from sparserec_np.comparison.variants import Variant
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.evaluation.measuring import Measures, measure_users
from sparserec_np.machine.cluster import connected
from sparserec_np.machine.file_lock import FileLock
from sparserec_np.machine.files import replacing
from sparserec_np.machine.memory import Peak
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.runtime import ArtifactError, Recommender
from sparserec_np.serving.model_file import load_model
from sparserec_np.training.checkpoints import CheckpointFile
from sparserec_np.training.ranges import RANGES
from sparserec_np.training.run_directory import (
    CHECKPOINT,
    CONFIG,
    RunDirectory,
    file_of,
    is_finished,
    read_config,
)
from sparserec_np.training.saving import ranker_for
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train

DESCRIBED = "comparison.json"
LOCK = ".lock"
BACKENDS = ("loky", "dask")
# Settings that the first seed chooses for the others.
CHOSEN = ("start", "learning_rate", *(name for name in RANGES if name != "learning_rate"))


@dataclass(frozen=True)
class Sweep:
    """What all runs of a directory have in common.

    Attributes:
        folder: the directory.
        sources: the data.
        common: settings that all variants have, by name.
        tuning: how much each variant is tuned.
        ks: lengths of the lists that are measured.
        threads: of each process; None for all.
    """

    folder: str
    sources: Sources
    common: dict[str, Any]
    tuning: Tuning
    ks: tuple[int, ...] = (20,)
    threads: int | None = None

    def path(self, *names: str) -> str:
        """Returns the path of a file in the directory."""
        return os.path.join(self.folder, *names)

    def run_path(self, variant: Variant, seed: int) -> str:
        """Returns the run directory of a seed."""
        return self.path("runs", variant.run(seed))

    def measured_path(self, variant: Variant, seed: int) -> str:
        """Returns the file of what a run reached."""
        return self.path("measured", f"{variant.run(seed)}.npz")

    def said(self) -> dict[str, Any]:
        """Returns what has to be the same whenever the directory is worked in."""
        return {
            "digests": self.sources.digests,
            "reader": self.sources.reader,
            "settings": self.common,
            "trials": self.tuning.trials,
            "lists": list(self.ks),
        }

    def measured(self, variant: Variant, seeds: Sequence[int]) -> list[Measured]:
        """Reads what the runs of a variant reached, those that are finished."""
        paths = [self.measured_path(variant, seed) for seed in seeds]
        return [Measured.load(path) for path in paths if os.path.exists(path)]

    def is_finished(self, variant: Variant, seeds: Sequence[int]) -> bool:
        """Tells whether there is nothing left to do for a variant."""
        return all(
            is_finished(self.run_path(variant, seed)) and os.path.exists(self.measured_path(variant, seed))
            for seed in seeds
        )


class Outcome(NamedTuple):
    """What came of a variant.

    Attributes:
        variant: which.
        trained: how many runs were trained just now, and not found finished.
        seconds: how long it took.
        failure: why it failed; None where it did not.
    """

    variant: Variant
    trained: int
    seconds: float
    failure: str | None


class Workers(NamedTuple):
    """Who does the work.

    Attributes:
        jobs: processes, at least 1.
        backend: a member of ``BACKENDS``.
        scheduler: the address of Dask's, with that backend.
    """

    jobs: int = 1
    backend: str = "loky"
    scheduler: str | None = None


class SweepDirectory:
    """The directory of a sweep that is being worked in, by this command alone: a context.

    Raises:
        SparseRecError: the directory holds something else, or another comparison works in it.
        ConfigError: it was made of other data or with other settings.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep

    def __enter__(self) -> None:
        sweep = self._sweep
        check_folder(sweep)
        os.makedirs(sweep.folder, exist_ok=True)
        try:
            self._lock = FileLock(sweep.path(LOCK))
        except BlockingIOError as error:
            raise SparseRecError(
                f"Another comparison works in {sweep.folder}: wait for it, or name another directory"
            ) from error
        if not os.path.exists(sweep.path(DESCRIBED)):
            with replacing(sweep.path(DESCRIBED)) as stream:
                stream.write(json.dumps(sweep.said() | {"version": __version__}, indent=2).encode() + b"\n")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def check_folder(sweep: Sweep) -> None:
    """Refuses a directory that is of something else.

    Raises:
        SparseRecError: the path is a file, or holds no comparison.
        ConfigError: the comparison in it is of other data or settings; the sentence names which.
    """
    folder = sweep.folder
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise SparseRecError(f"{folder} is a file; expected a directory for the comparison, or a new name")
    try:
        with open(sweep.path(DESCRIBED), encoding="utf-8") as stream:
            found = json.load(stream)
    except FileNotFoundError:
        others = [name for name in os.listdir(folder) if name != LOCK] if os.path.isdir(folder) else []
        others = [name for name in others if not name.startswith(f".{DESCRIBED}.")]
        if others:
            raise SparseRecError(
                f"{folder} holds {others[0]!r} and no comparison; give a new or an empty directory"
            ) from None
        return
    except ValueError as error:
        raise SparseRecError(f"{sweep.path(DESCRIBED)} is not JSON; give another directory") from error
    for place, old, new in _differences(found, json.loads(json.dumps(sweep.said()))):
        raise ConfigError(
            f"{folder} holds a comparison with another {place}: {old} there, {new} here; give what is there, or"
            " another directory"
        )


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yields what two descriptions differ in: its name, and both values in words."""
    for name, value in wanted.items():
        old = found.get(name)
        if old == value:
            continue
        if not (isinstance(old, dict) and isinstance(value, dict)):
            yield name, _worded(old), _worded(value)
            continue
        for key in [*value, *(key for key in old if key not in value)]:
            if old.get(key) != value.get(key):
                place = f"{key} part" if name == "digests" else key
                yield place, _worded(old.get(key)), _worded(value.get(key))


def _worded(value: Any) -> str:
    text = "none" if value is None else str(value)
    return f"{text[:12]}..." if len(text) > 40 else text


def sweep_through(
    sweep: Sweep, variants: Sequence[Variant], seeds: Sequence[int], workers: Workers
) -> Iterator[Outcome]:
    """Yields the outcome of each variant as soon as it is there.

    Raises:
        SparseRecError: the workers cannot be had.
        KeyboardInterrupt: it was interrupted; what is finished stays.
    """
    import joblib

    ordered = "generator_unordered" if _version(joblib.__version__) >= (1, 4) else None
    how: dict[str, Any] = {"return_as": ordered} if ordered else {}
    with _backend(workers):
        jobs = workers.jobs if workers.scheduler is None else -1  # as many as the scheduler has workers
        # No more than can be worked on: an interrupt has nothing to call back.
        parallel = joblib.Parallel(n_jobs=jobs, batch_size=1, pre_dispatch="n_jobs", **how)
        call = joblib.delayed(_work_for)
        yield from parallel(call(os.getpid(), sweep, variant, tuple(seeds)) for variant in variants)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])


@contextmanager
def _backend(workers: Workers) -> Iterator[None]:
    """Chooses joblib's backend: processes of this machine, or those of a scheduler."""
    import joblib

    if workers.scheduler is not None:
        with connected(workers.scheduler), joblib.parallel_config(backend=workers.backend):
            yield
    elif workers.jobs > 1:
        with joblib.parallel_config(backend=workers.backend):
            yield
    else:
        yield


def _work_for(parent: int, sweep: Sweep, variant: Variant, seeds: Sequence[int]) -> Outcome:
    """Works in a process that ends with the one that started it, if that was the one of number ``parent``.

    Else a comparison that was killed would hold its runs, and could not be taken up at once.
    """
    if os.getppid() == parent:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    return work(sweep, variant, seeds)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def work(sweep: Sweep, variant: Variant, seeds: Sequence[int]) -> Outcome:
    """Trains and measures the runs of a variant that are missing, in whatever process it is called.

    A failure of any kind is told in the outcome, and in ``failed/``.
    """
    clock, trained = time.perf_counter(), 0
    failed = sweep.path("failed", f"{variant.name}.txt")
    try:
        data = sweep.sources.load()
        for seed in seeds:
            trained += _run(sweep, variant, seed, seeds[0], data)
    except Exception as error:  # whatever it is, it is this variant's own
        os.makedirs(os.path.dirname(failed), exist_ok=True)
        with replacing(failed) as stream:
            stream.write(traceback.format_exc().encode())
        known = isinstance(error, (SparseRecError, OSError))
        sentence = str(error) if known else f"{type(error).__name__}: {error}"
        return Outcome(variant, trained, time.perf_counter() - clock, sentence)
    if os.path.exists(failed):
        os.unlink(failed)
    return Outcome(variant, trained, time.perf_counter() - clock, None)


def _run(sweep: Sweep, variant: Variant, seed: int, first: int, data: Loaded) -> int:
    """Trains a run, and measures it, unless that is done; returns how many were trained."""
    folder = sweep.run_path(variant, seed)
    wanted = variant.with_seed(seed)
    seconds = peak = None
    trained = not is_finished(folder)
    if trained:
        if seed == first:
            chosen = _tuned(sweep, variant, data)
        else:
            chosen = _chosen(wanted, read_config(file_of(sweep.run_path(variant, first), CONFIG))[0])
        seconds, peak = _train(folder, replace(wanted, **chosen), sweep, data)
    path = sweep.measured_path(variant, seed)
    check_run(folder, wanted, data)
    if trained or not os.path.exists(path):
        facts = {"seed": seed, "seconds": seconds, "peak_bytes": peak}
        facts["trial_seconds"] = seconds_of(_trials_path(sweep, variant)) if seed == first else 0.0
        measure(folder, data, sweep, facts).save(path)
    return int(trained)


def _trials_path(sweep: Sweep, variant: Variant) -> str:
    return sweep.path("trials", f"{variant.name}.jsonl")


def _tuned(sweep: Sweep, variant: Variant, data: Loaded) -> dict[str, Any]:
    """Tunes, where that is asked for; returns the settings that were chosen."""
    if not sweep.tuning.trials or BASE_MODELS[variant.model].counted:
        return {}
    path = _trials_path(sweep, variant)
    return tune(variant.with_seed(sweep.tuning.seed), data, sweep.tuning, path, sweep.threads)


def _chosen(wanted: Config, first: Config) -> dict[str, Any]:
    """Returns what the first run of a variant has chosen for the others."""
    base = BASE_MODELS[wanted.model]
    found = {name: getattr(first, name) for name in CHOSEN if base.takes(name)}
    return {name: value for name, value in found.items() if value is not None}


def _train(folder: str, config: Config, sweep: Sweep, data: Loaded) -> tuple[float, int]:
    """Trains and writes a run, from where it was stopped; returns its seconds, and the most memory that it took."""
    clock, sources = time.perf_counter(), sweep.sources
    with Peak() as peak, RunDirectory(folder) as directory:
        kept = _checkpoints(directory)
        how: dict[str, Any] = {"threads": sweep.threads, "on_epoch": directory.add, "checkpoints": kept}
        fitted = train(data.log, config, validation=data.held_out, **how)
        directory.finish(
            expect_whole(fitted),
            data.log,
            {"train": sources.train, "validation": sources.validation, "reader": sources.reader},
        )
        kept.remove()
    return kept.earlier + time.perf_counter() - clock, peak.bytes


def _checkpoints(directory: RunDirectory) -> CheckpointFile:
    """Goes on from the checkpoint in a run directory, or begins where there is none that can be used."""
    path = directory.file(CHECKPOINT)
    try:
        return CheckpointFile.at(path)
    except (ArtifactError, ConfigError):  # damaged, or of another version
        return CheckpointFile(path)


def check_run(folder: str, wanted: Config, data: Loaded) -> None:
    """Refuses a finished run that is of other data or settings than it should be.

    Raises:
        SparseRecError: it is.
    """
    config, _ = read_config(file_of(folder, CONFIG))
    usual = Config(model=wanted.model).to_dict()
    resolved = wanted.resolved().to_dict()
    given = {name: resolved[name] for name, value in wanted.to_dict().items() if value != usual[name]}
    found = config.to_dict()
    for name, value in given.items():
        if found[name] != value:
            raise SparseRecError(
                f"{folder} holds a run with {name} {found[name]}, expected {value}: remove it to train it again"
            )
    digest = load_model(folder).metadata.get("train_digest")
    if digest != data.log.digest():
        raise SparseRecError(f"{folder} holds a run on other data: remove it to train it again")


def measure(folder: str, data: Loaded, sweep: Sweep, facts: dict[str, Any]) -> Measured:
    """Measures a finished run on the test part, as it would be served."""
    model, told = load_model(folder), Recommender.open(folder).inspect()
    config, _ = read_config(file_of(folder, CONFIG))
    test, _ = data.test.aligned_to(model.seen)
    measures = Measures(sweep.ks, catalogue=data.catalogue.aligned_to(model.seen.item_ids))
    values = measure_users(ranker_for(model, model.seen), test, model.seen, measures)
    rows = sum(table.rows for table in model.tables.values())
    facts = facts | {
        "run": os.path.basename(folder),
        "entries": told["nnz"],
        "columns": told["dim"],
        "density": told["nnz"] / max(1, rows * config.dim),  # of the table that the budget is a part of
        "bytes": told["bytes"]["total"],
        "validation": json.loads(model.metadata.get("metrics", "{}")).get("validation_ndcg@20"),
        "config": config.said(),
    }
    return Measured(facts, values)
