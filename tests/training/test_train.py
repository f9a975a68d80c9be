"""Training as a whole: what is held out, fitted again and refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest

from sparserec_np.errors import ConfigError, DataError
from sparserec_np.training.fitted import SELECT_BY
from sparserec_np.training.train import train
from tests.makers.small import needs_compiler, same_bits
from tests.makers.trainings import LARGER, LOG, TINY, fit, stop_at


def test_the_callers_threads_and_data_are_left_as_they_were() -> None:
    before, digest = numba.get_num_threads(), LOG.digest()
    fit(epochs=1)
    with pytest.raises(DataError):
        train(LOG.subset(np.zeros(LOG.n_interactions, dtype=bool)))
    assert numba.get_num_threads() == before and LOG.digest() == digest


@needs_compiler
def test_refit_trains_on_all_data_for_the_number_of_epochs_found() -> None:
    changes = {"epochs": 12, "dim": 16, "learning_rate": 0.05, "patience": 2}
    fitted = fit(LARGER, **changes)
    search = [r for r in fitted.history if r["phase"] == "search"]
    again = [r for r in fitted.history if r["phase"] == "refit"]
    best = max((r[SELECT_BY], -r["epoch"]) for r in search)
    assert fitted.best_epoch == -best[1] > 0
    assert [r["epoch"] for r in again] == list(range(fitted.best_epoch + 1))
    assert fitted.log is LARGER and not fitted.interrupted
    assert not any(SELECT_BY in r for r in again)
    whole = fit(
        LARGER, **changes, validation=0.0
    )  # the same schedule, started the same way, on the same data
    assert [r["loss"] for r in again] == [r["loss"] for r in whole.history][: len(again)]

    only = fit(LARGER, **changes, refit=False)
    assert only.log.n_interactions < LARGER.n_interactions
    assert (only.best_epoch, len(only.history)) == (fitted.best_epoch, len(search))


def test_without_validation_all_epochs_are_trained() -> None:
    fitted = fit(validation=0.0)
    assert fitted.best_epoch == 4 and {r["phase"] for r in fitted.history} == {"train"}
    assert [r["epoch"] for r in fitted.history] == [0, 1, 2, 3, 4]
    assert fitted.history[0]["loss"] is None
    for record in fitted.history[1:]:
        assert record["seconds"] > 0
        assert record["triplets_per_second"] == pytest.approx(LOG.n_interactions / record["seconds"])


def test_ctrl_c_while_fitting_again_leaves_what_the_search_found() -> None:
    config = replace(TINY, learning_rate=0.05, epochs=6)
    fitted = train(LARGER, config, threads=1, on_epoch=stop_at("refit", 1))
    only = train(LARGER, replace(config, refit=False), threads=1)
    assert fitted.interrupted and not only.interrupted
    assert same_bits(fitted.model.table, only.model.table)
    assert fitted.best_epoch == only.best_epoch and fitted.log.digest() == only.log.digest()
    assert [r["phase"] for r in fitted.history[-2:]] == ["refit", "refit"]


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(DataError, match="no interaction to train on"):
        fit(LOG.subset(np.zeros(LOG.n_interactions, dtype=bool)))


@pytest.mark.parametrize("threads", [0, -1, 2.0, "2"])
def test_threads_are_counted_in_whole_numbers(threads: Any) -> None:
    with pytest.raises(ConfigError, match="threads must be a whole number, 1 or more, found"):
        train(LOG, TINY, threads=threads)


def test_a_path_without_a_file_is_no_interactions() -> None:
    with pytest.raises(DataError, match="found 'x.csv'; use read_interactions"):
        train("x.csv")
    with pytest.raises(FileNotFoundError):
        train("x.csv")


def test_settings_are_a_config() -> None:
    with pytest.raises(ConfigError, match="Settings are a Config, found dict"):
        train(LOG, {"dim": 8})  # type: ignore[arg-type]
