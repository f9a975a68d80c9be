"""Checkpoints: a training that goes on after a stop, wherever that was, ends in the same bits."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparserec_np.errors import ConfigError, DataError, SparseRecError
from sparserec_np.runtime import ArtifactError
from sparserec_np.starts.teacher import Teacher
from sparserec_np.training import checkpoints
from sparserec_np.training.checkpoints import Checkpoint, CheckpointFile, CheckpointWarning
from sparserec_np.training.choosing import Choice, choose
from sparserec_np.training.distillation import FromTeacher
from sparserec_np.training.fitted import Fitted, Record
from sparserec_np.training.settings import RATES, Config
from sparserec_np.training.train import train
from sparserec_np.training.updating import update
from tests.makers.trainings import HELD, KEPT, LOG, TINY, WITHOUT_WARNINGS, fit, stop_at

# What differs in what an epoch changes: models, methods, optimizers, orders, views.
KINDS: dict[str, dict[str, Any]] = {
    "patience": {"patience": 3, "epochs": 8, "learning_rate": 0.002},
    "gradient": {"importance": "gradient", "explore": 0.3, "drop_until": 1.0, "drop_interval": 2},
    "rigl": {"method": "rigl", "start": "spectral", "decay_to": "start"},
    "set": {"method": "set", "optimizer": "adagrad"},
    "magnitude": {"method": "magnitude", "learning_rate": None},
    "granet": {"method": "granet"},
    "dropout": {"embedding_dropout": 0.2, "similarity": "cosine", "temperature": 0.2},
    "cells": {"order": "cells", "optimizer": "adagrad", "learning_rate": 0.05},
    "pairs": {"order": "cells", "loss": "bpr", "negatives": 1, "optimizer": "adagrad", "learning_rate": None},
    "sgd": {"optimizer": "sgd", "evaluate_every": 2},
    "starts": {"start": None, "learning_rate": None, "epochs": 2},
    "lightgcn": {"model": "lightgcn", "epochs": 3},
    "neumf": {"model": "neumf", "epochs": 3},
    "fism": {"model": "fism", "start": "spectral", "decay_to": "start", "learning_rate": None},
    "relative": {"model": "fism", "start": "spectral", "relative_rate": True, "pairs_together": 3},
    "no validation": {"validation": 0.0},
    "no second training": {"refit": False, "learning_rate": None},
}
FEW = Config(dim=4, density=0.5, epochs=2, evaluate_every=1, batch_size=200, negatives=16)


class Copying(CheckpointFile):
    """Keeps a copy of each checkpoint, beside it: what a kill right after it would leave."""

    def _write(self, *state: Any) -> None:
        super()._write(*state)
        shutil.copy(self.path, f"{self.path}.{len(list(Path(self.path).parent.iterdir()))}")


def stopped_everywhere(
    work: Callable[[CheckpointFile], Fitted], folder: Path, step: int = 1
) -> tuple[Fitted, list[Fitted]]:
    """Does the work once, and goes on from each checkpoint of it, or from some."""
    whole = work(Copying(folder / "x", every=0))
    copies = sorted(folder.glob("x.*"), key=lambda path: int(path.suffix[1:]))[::step]
    return whole, [work(CheckpointFile.at(path, every=np.inf)) for path in copies]


def same(one: Fitted, two: Fitted) -> bool:
    arrays = [(*fitted.model.table, fitted.model.served_weights) for fitted in (one, two)]
    records = [[timeless(record) for record in fitted.history] for fitted in (one, two)]
    return (
        records[0] == records[1]
        and one.best_epoch == two.best_epoch
        and all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(*arrays, strict=True))
    )


def timeless(record: Record) -> Record:
    return {name: value for name, value in record.items() if "second" not in name}


@WITHOUT_WARNINGS
@pytest.mark.parametrize("name", KINDS)
def test_a_training_goes_on_from_any_epoch_to_the_same_bits(name: str, tmp_path: Path) -> None:
    config = replace(TINY, **KINDS[name])
    whole, gone_on = stopped_everywhere(
        lambda kept: train(LOG, config, threads=1, checkpoints=kept), tmp_path
    )
    assert len(gone_on) >= 3
    assert all(same(one, whole) for one in gone_on)
    assert same(train(LOG, config, threads=2), whole)  # nor does keeping them change anything


def test_a_training_that_diverges_at_a_rate_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RATES, "batches", (1e20, 0.01, 1e25, 0.003))
    config = replace(TINY, optimizer="sgd", learning_rate=None)
    whole, gone_on = stopped_everywhere(
        lambda kept: train(LOG, config, threads=1, checkpoints=kept), tmp_path
    )
    assert all(same(one, whole) for one in gone_on) and len(gone_on) > 3


def test_looks_go_on_as_well(tmp_path: Path) -> None:
    seen: list[Choice] = []

    def chosen_and_trained(kept: CheckpointFile) -> Fitted:
        told: list[Record] = []
        choice = choose(LOG, FEW, threads=1, on_look=told.append, checkpoints=kept)
        assert [*choice.looks] == told and len(told) > 4
        seen.append(choice)
        return train(LOG, choice.config, threads=1, checkpoints=kept)

    whole, gone_on = stopped_everywhere(chosen_and_trained, tmp_path, step=6)
    assert 6 * len(gone_on) > len(seen[0].looks) and all(same(one, whole) for one in gone_on)
    first = [timeless(look) for look in seen[0].looks]
    assert all([timeless(look) for look in choice.looks] == first for choice in seen)


def test_what_learns_from_a_model_goes_on(tmp_path: Path) -> None:
    before = fit(KEPT, model="mf")
    source = FromTeacher(Teacher(before.model.factors(), 8))
    for number, work in enumerate(
        (
            lambda kept: update(before, HELD, epochs=3, threads=1, checkpoints=kept),
            lambda kept: train(KEPT, TINY, source=source, threads=1, checkpoints=kept),
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        whole, gone_on = stopped_everywhere(work, folder)
        assert gone_on and all(same(one, whole) for one in gone_on)


def test_a_training_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    whole = fit()
    path = tmp_path / "x"
    stopped = train(LOG, TINY, on_epoch=stop_at("search", 3), checkpoints=CheckpointFile(path, every=0))
    assert stopped.interrupted
    told: list[Record] = []
    gone_on = train(LOG, TINY, on_epoch=told.append, checkpoints=CheckpointFile.at(path))
    assert same(gone_on, whole) and told == gone_on.history


def test_going_on_may_be_interrupted_before_there_is_a_model_to_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RATES, "batches", (1e-9, 0.3, 1e-8, 1e-8))
    path, config = tmp_path / "x", replace(TINY, learning_rate=None, refit=False, epochs=6)
    whole = train(LOG, config, checkpoints=CheckpointFile(path, every=0))
    kept = Checkpoint.load(str(path))
    assert kept.best is not None and kept.best[0] == 1  # so that the first trial is known by records alone

    def stop(record: Record) -> None:
        if record["learning_rate"] == 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(LOG, config, on_epoch=stop, checkpoints=CheckpointFile.at(path))
    assert same(train(LOG, config, checkpoints=CheckpointFile.at(path)), whole)


def test_what_a_checkpoint_is_of_cannot_change(tmp_path: Path) -> None:
    path = tmp_path / "x"
    train(LOG, TINY, on_epoch=stop_at("search", 2), checkpoints=CheckpointFile(path, every=0))
    for log, config, validation, said in (
        (KEPT, TINY, None, "the interactions are others"),
        (LOG, replace(TINY, seed=1), None, "seed was 0 when the training was begun, and is 1"),
        (LOG, replace(TINY, epochs=9), None, "epochs was 4"),
        (LOG, TINY, HELD, "the held-out interactions are others"),
    ):
        with pytest.raises((ConfigError, DataError), match=said):
            train(log, config, validation=validation, checkpoints=CheckpointFile.at(path))
    assert train(LOG, TINY, checkpoints=CheckpointFile.at(path)).best_epoch >= 0


def test_other_versions_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    train(LOG, TINY, on_epoch=stop_at("search", 2), checkpoints=CheckpointFile(path, every=0))
    monkeypatch.setattr(checkpoints, "version", lambda name: "0.1")
    with pytest.raises(ConfigError, match=f"numpy {np.__version__}, and here is 0.1"):
        CheckpointFile.at(path)


def test_other_stages_than_before_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, config = tmp_path / "x", replace(TINY, start=None, epochs=2)
    train(LOG, config, checkpoints=CheckpointFile(path, every=0))
    monkeypatch.setattr("sparserec_np.training.search.starts_to_try", lambda plan, log: ("als",))
    with pytest.raises(ConfigError, match="looked at was spectral at 0.01, and now is als at 0.01"):
        train(LOG, config, checkpoints=CheckpointFile.at(path))


def test_damage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    train(LOG, TINY, on_epoch=stop_at("search", 2), checkpoints=CheckpointFile(path, every=0))
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for place in (*range(0, 60, 7), *rng.integers(len(content), size=150)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises((ArtifactError, ConfigError)):
            CheckpointFile.at(path)
    for end in (0, 5, 100, len(content) - 1):
        path.write_bytes(content[:end])
        with pytest.raises(ArtifactError, match=f"^{re.escape(str(path))} is damaged: .*; begin anew"):
            CheckpointFile.at(path)


def test_checkpoints_are_written_when_they_are_due(tmp_path: Path) -> None:
    path = tmp_path / "x"
    kept = CheckpointFile(path, every=300.0)
    train(LOG, TINY, checkpoints=kept)
    assert not path.exists() and kept.written == 0  # all of it took less than a second
    kept = CheckpointFile(path, every=0)
    train(LOG, TINY, checkpoints=kept)
    assert kept.written == path.stat().st_size and kept.cost > 0
    kept.remove()
    kept.remove()
    assert not path.exists()


def test_a_full_disk_ends_no_training(tmp_path: Path) -> None:
    with pytest.warns(CheckpointWarning, match="No such folder; training goes on") as warned:
        fitted = train(LOG, TINY, checkpoints=CheckpointFile(tmp_path / "none" / "x", every=0))
    assert len(warned) == 1 and same(fitted, fit())


def test_a_training_that_fails_fails_again(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for _ in range(2):
        with pytest.raises(SparseRecError, match="diverged in epoch 1"):
            train(
                LOG,
                replace(TINY, optimizer="sgd", learning_rate=1e30),
                checkpoints=CheckpointFile.at(path, 0),
            )
    assert path.exists()


def test_another_training_s_file_goes_when_one_begins(tmp_path: Path) -> None:
    path = tmp_path / "x"
    train(LOG, TINY, on_epoch=stop_at("search", 2), checkpoints=CheckpointFile(path, every=0))
    train(LOG, TINY, checkpoints=CheckpointFile(path))
    assert not path.exists()


def test_a_table_is_known_again_by_its_digest() -> None:
    table, digest = fit().model.table, checkpoints.digest_of
    other = table._replace(values=table.values * 2)
    assert digest(table._asdict()) == digest(table.copy()._asdict()) != digest(other._asdict())
