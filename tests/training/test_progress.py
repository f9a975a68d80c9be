"""How a training is told of while it goes on, and ended."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sparserec_np import SparseRec
from sparserec_np.training import progress
from sparserec_np.training.fitted import Record
from tests.makers.trainings import LOG, TINY, fit

QUICK = {name: value for name, value in TINY.to_dict().items() if value is not None} | {"threads": 1}


def model(**changes: Any) -> SparseRec:
    return SparseRec(**QUICK | changes)


def test_callbacks_get_a_copy_of_each_record_and_change_nothing() -> None:
    seen: list[Record] = []

    def spoil(record: Record) -> float:
        seen.append(dict(record))
        record.clear()
        return 7.0  # is no wish to end it

    one = model(validation=0.0).fit(LOG, callbacks=spoil)
    two = model(validation=0.0).fit(LOG, callbacks=[lambda record: None, lambda record: False])
    assert seen == one.fitted_.history and [record["epoch"] for record in seen] == [0, 1, 2, 3, 4]
    assert one.fitted_.model.table.values.tobytes() == two.fitted_.model.table.values.tobytes()


@pytest.mark.parametrize("answer", [True, np.True_])
def test_a_callback_ends_the_training_at_hand(answer: Any) -> None:
    calls = []
    callbacks = [lambda record: answer if record["epoch"] == 2 else None, calls.append]
    ended = model(validation=0.0).fit(LOG, callbacks=callbacks)
    assert [record["epoch"] for record in calls] == [0, 1, 2]
    assert ended.fitted_.best_epoch == 2 and not ended.fitted_.interrupted
    searched = model().fit(LOG, callbacks=lambda record: record["phase"] == "search" and record["epoch"] == 1)
    phases = [record["phase"] for record in searched.fitted_.history]
    assert phases.count("search") == 2 and phases.count("refit") == searched.fitted_.best_epoch + 1
    at_once = model(validation=0.0).fit(LOG, callbacks=lambda record: True)
    assert len(at_once.fitted_.history) == 1 and at_once.fitted_.best_epoch == 0


def test_what_ends_while_its_table_is_full_is_pruned_to_the_budget() -> None:
    ended = fit(method="magnitude", validation=0.0)
    stopped = model(method="magnitude", validation=0.0).fit(
        LOG, callbacks=lambda record: record["epoch"] == 1
    )
    assert stopped.fitted_.model.table.nnz <= stopped.fitted_.budget.nnz == ended.budget.nnz


def test_an_update_is_told_of_too() -> None:
    first = LOG.subset(np.arange(LOG.n_interactions) % 4 > 0)
    seen: list[int] = []
    made = model(validation=0.0).fit(first)
    made.partial_fit(LOG, callbacks=lambda record: seen.append(record["epoch"]), epochs=2, validation=0.0)
    assert seen == [0, 1, 2]


def test_lines_of_the_log_come_now_and_then(caplog: Any, monkeypatch: Any, capsys: Any) -> None:
    with caplog.at_level(logging.INFO, logger="sparserec_np"):
        model(validation=0.0).fit(LOG)
        assert not caplog.records
        for quiet, lines in ((1e9, ["start"]), (0.0, ["start", "epoch 1", "epoch 2", "epoch 3", "epoch 4"])):
            caplog.clear()
            monkeypatch.setattr(progress, "QUIET_SECONDS", quiet)
            model(validation=0.0).fit(LOG, verbose=True)
            told = [record.getMessage() for record in caplog.records]
            assert [line.split(": ")[1].split(",")[0] for line in told] == lines
            assert told[0] == "train, uniform, rate 0.01: start"
    assert capsys.readouterr() == ("", "")


def test_lines_reach_stderr_where_nobody_said_where_they_are_to_go(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(progress.LOGGER, "propagate", False)
    model(validation=0.0, epochs=0).fit(LOG, verbose=True)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "train, uniform, rate 0.01: start\n")
    assert progress.LOGGER.level == logging.NOTSET
    assert [type(one) for one in progress.LOGGER.handlers] == [logging.NullHandler]


def test_in_a_notebook_one_line_is_written_anew(capsys: Any, monkeypatch: Any) -> None:
    shell = type("ZMQInteractiveShell", (), {})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=shell))
    model(validation=0.0).fit(LOG, verbose=True)
    out, err = capsys.readouterr()
    lines = out.split("\r")
    assert err == "" and lines[0] == "" and out.count("\n") == 1 and out.endswith("\n")
    assert len(lines) == 6 and "epoch 4, loss" in lines[-1]
