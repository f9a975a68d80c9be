"""Training as a whole: what is held out, fitted again and refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.training.fitted import SELECT_BY, Fitted, Record
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train
from tests.makers.small import needs_compiler, same_bits, small_log

LOG = small_log(60, 40, 900)
ROWS = LOG.n_users + LOG.n_items
LARGER = small_log(300, 150, 6000)
KEPT, HELD = split_random(LOG, 0.2, np.random.default_rng(0))
TINY = Config(
    dim=8,
    density=0.3,
    start="uniform",
    start_score=0,
    epochs=4,
    batch_size=200,
    negatives=16,
    evaluate_every=1,
    learning_rate=0.01,
)
# Compiled kernels say nothing of an overflow; as plain Python, with NUMBA_DISABLE_JIT=1, they warn.
WITHOUT_WARNINGS = pytest.mark.filterwarnings("ignore::RuntimeWarning")
EVERY_METHOD = pytest.mark.parametrize("method", METHODS)


def fit(log: Interactions = LOG, *, validation_log: Interactions | None = None, **changes: Any) -> Fitted:
    return train(log, replace(TINY, **changes), validation=validation_log, threads=1)


def stop_at(phase: str, epoch: int) -> Callable[[Record], None]:
    """Presses Ctrl-C at the end of an epoch."""

    def on_epoch(record: Record) -> None:
        if (record["phase"], record["epoch"]) == (phase, epoch):
            raise KeyboardInterrupt

    return on_epoch


def ndcg(fitted: Fitted, test: Interactions = HELD, seen: Interactions = KEPT) -> float:
    return evaluate(fitted.model.ranker(), test, seen)[SELECT_BY]


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


def test_a_path_is_no_interactions() -> None:
    with pytest.raises(DataError, match="found 'x.csv'; use read_interactions"):
        train("x.csv")  # type: ignore[arg-type]
