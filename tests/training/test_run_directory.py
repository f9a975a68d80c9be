"""The run directory: what is written, when, and what is refused; also from Python, without the command line."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

import sparserec_np
from sparserec_np import Config, Recommender, load_model, load_run, save_run, train
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.training.fitted import SELECT_BY
from sparserec_np.training.run_directory import (
    FILES,
    METRICS,
    RecordsWarning,
    RunDirectory,
    file_of,
    read_config,
)
from tests.makers.faults import Faults, Killed
from tests.makers.small import small_log
from tests.makers.trainings import LOG, fit

QUICK = Config(
    dim=8, density=0.3, epochs=2, evaluate_every=1, batch_size=128, negatives=32, learning_rate=0.01
)


def test_a_run_is_saved_from_python_as_the_command_does_it(tmp_path: Path) -> None:
    log = small_log()
    fitted = train(log, QUICK)
    size = save_run(tmp_path / "run", fitted, log)
    assert sorted(os.listdir(tmp_path / "run")) == ["config.json", "metrics.jsonl", "model.safetensors"]
    assert size == (tmp_path / "run" / "model.safetensors").stat().st_size
    written = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert written == fitted.history
    config, data = read_config(str(tmp_path / "run" / "config.json"))
    assert config == QUICK.resolved() and data == {"train": None, "validation": None, "reader": {}}
    user = log.user_ids[0].item()
    listed = Recommender.open(tmp_path / "run").recommend(user, 5).items
    had = set(log.item_ids[log.items[: log.indptr[1]]].tolist())
    assert len(listed) == 5 and not had & set(listed)
    assert (
        load_model(tmp_path / "run").users.nnz + load_model(tmp_path / "run").items.nnz == fitted.budget.nnz
    )


def test_a_run_is_saved_over_a_run_and_over_nothing_else(tmp_path: Path) -> None:
    log = small_log()
    fitted = train(log, QUICK)
    for _ in range(2):
        save_run(tmp_path / "run", fitted, log)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("words")
    with pytest.raises(SparseRecError, match="thesis.tex"):
        save_run(tmp_path / "thesis", fitted, log)
    assert os.listdir(tmp_path / "thesis") == ["thesis.tex"]


def test_a_run_without_records_keeps_none_of_an_earlier_one(tmp_path: Path) -> None:
    log = small_log()
    fitted = train(log, QUICK)
    save_run(tmp_path / "run", fitted, log)
    with RunDirectory(tmp_path / "run") as directory:
        directory.finish(fitted, log)  # as after Ctrl-C before the first record
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == ""


def test_a_model_that_cannot_be_saved_leaves_an_earlier_run_its_settings(tmp_path: Path) -> None:
    log = small_log()
    save_run(tmp_path / "run", train(log, QUICK), log)
    before = [(tmp_path / "run" / name).read_bytes() for name in ("config.json", "model.safetensors")]
    diverged = train(log, replace(QUICK, dim=4))
    diverged.model.table.values[:] = 1e20
    with pytest.raises(SparseRecError, match="diverged"):
        save_run(tmp_path / "run", diverged, log)
    assert before == [(tmp_path / "run" / name).read_bytes() for name in ("config.json", "model.safetensors")]


def test_a_place_is_tried_before_the_work_is_done_and_nothing_stays_there(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "new" / "run") as directory:
        directory.add({"epoch": 0})
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").write_text("")
    for place in ("file", "file/run"):
        with pytest.raises(SparseRecError, match="is a file"):
            RunDirectory(tmp_path / place)
    with pytest.raises(SparseRecError, match="name"):
        RunDirectory("")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="a folder that nobody can write to is needed")
def test_a_folder_that_cannot_be_written_to_is_refused() -> None:
    with pytest.raises(SparseRecError, match="/proc"):
        RunDirectory("/proc/run")


def test_two_trainings_do_not_write_to_one_directory(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with RunDirectory(run), pytest.raises(SparseRecError, match="Another training"), RunDirectory(run):
        pass
    with RunDirectory(run):  # the first one has ended
        assert os.listdir(run) == [".lock"]


def test_a_lock_is_open_once_its_process_is_gone(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    code = (
        "import os, sys\nfrom sparserec_np.training.run_directory import RunDirectory\n"
        "RunDirectory(sys.argv[1]).__enter__().add({'epoch': 0})\nos._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, run]).returncode == 9
    assert sorted(os.listdir(run)) == [".lock", ".training"]
    with RunDirectory(run):
        assert os.listdir(run) == [".lock"]
    assert not os.path.exists(run) or os.listdir(run) == []


def test_records_grow_while_training_goes_on_and_a_full_disk_ends_it_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = small_log()
    fitted = train(log, QUICK)
    with RunDirectory(tmp_path / "run") as directory:
        directory.add(fitted.history[0])
        assert json.loads((tmp_path / "run" / ".training" / "metrics.jsonl").read_text()) == fitted.history[0]
        directory.close()
        with monkeypatch.context() as patcher:
            Faults(2, kills=False).patch(patcher)  # the folder is made, and no file in it
            with pytest.warns(RecordsWarning, match="No space left"):
                directory.add(fitted.history[1])
        for record in fitted.history[2:]:
            directory.add(record)
        directory.finish(fitted, log)
    assert load_run(tmp_path / "run").history == fitted.history


@pytest.mark.filterwarnings("ignore::sparserec_np.training.run_directory.RecordsWarning")
@pytest.mark.parametrize("kills", [True, False], ids=["killed", "full"])
def test_whatever_call_fails_there_is_the_run_of_before_or_the_new_one(
    kills: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = small_log()
    older, newer = train(log, QUICK), train(log, replace(QUICK, epochs=1, seed=1))
    for fitted, name in ((older, "older"), (newer, "newer")):
        save_run(tmp_path / name, fitted, log)
    before, after = (_files(tmp_path / name) for name in ("older", "newer"))
    assert not set(before.values()) & set(after.values())
    seen, at = [], 0
    while True:
        at += 1
        run = tmp_path / str(at)
        shutil.copytree(tmp_path / "older", run)
        faults = Faults(at, kills)
        with monkeypatch.context() as patcher, contextlib.suppress(Killed, OSError):
            faults.patch(patcher)
            save_run(run, newer, log)
        faults.bury()
        if faults.count < at:
            break
        read = load_run(run)  # by what is there, before anybody writes
        seen.append(_files(run, complete=True) == after)
        assert seen[-1] or _files(run, complete=True) == before
        assert read.history == (newer if seen[-1] else older).history
        assert len(Recommender.open(run).recommend(log.user_ids[0].item(), 3).items) == 3
        with RunDirectory(run):
            assert sorted(os.listdir(run)) == [".lock", *FILES]  # nothing is left of it
        assert sorted(os.listdir(run)) == [*FILES]
        assert _files(run) == (after if seen[-1] else before)
    assert at > 10 and {*seen} == {False, True}
    if kills:  # while an error need not matter, as where the folder is there that is to be made
        assert seen == sorted(seen)  # one moment, from which on it is the new one


def _files(run: Path, complete: bool = False) -> dict[str, bytes]:
    """The contents of a run's files, as they are in their places or, else, as a reader finds them."""
    return {name: Path(file_of(run, name) if complete else run / name).read_bytes() for name in FILES}


def test_a_reader_sees_one_run_while_another_takes_its_place(tmp_path: Path) -> None:
    log = small_log()
    both = [train(log, replace(QUICK, seed=seed, epochs=1 + seed)) for seed in (0, 1)]
    save_run(tmp_path / "run", both[0], log)
    ended = threading.Event()

    def write() -> None:
        for turn in range(30):
            save_run(tmp_path / "run", both[turn % 2], log)
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    read = 0
    while not ended.is_set() or not read:
        fitted = load_run(tmp_path / "run")
        assert fitted.history == both[fitted.config.seed].history
        read += 1
    writer.join()


@pytest.mark.parametrize("torn", ['{"epoch": 0', "[1]", "\0\0\0\0"])
def test_records_that_are_damaged_are_named(torn: str, tmp_path: Path) -> None:
    log = small_log()
    save_run(tmp_path / "run", train(log, QUICK), log)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as stream:
        stream.write(torn + "\n")
    with pytest.raises(SparseRecError, match=r"metrics\.jsonl, line 9: expected a JSON object"):
        load_run(tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").unlink()
    with pytest.raises(SparseRecError, match=r"metrics\.jsonl is missing"):
        load_run(tmp_path / "run")


def test_a_configuration_may_hold_any_part_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"dim": 8, "data": {"train": "x.csv", "reader": {"user_col": 0, "min_rating": 4}}}')
    config, data = read_config(str(path))
    assert config == Config(dim=8)
    assert data == {"train": "x.csv", "reader": {"user_col": 0, "min_rating": 4}}
    path.write_text('{"data": {"reader": {"min_rating": NaN}}}')
    with pytest.raises(ConfigError, match="min_rating"):
        read_config(str(path))


def test_the_public_names_cover_a_whole_run() -> None:
    for name in (
        *("Config", "Fitted", "TableRanker", "load_model", "save_run"),
        *("split_last", "split_random", "split_time"),
    ):
        assert name in sparserec_np.__all__ and getattr(sparserec_np, name).__doc__


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"phase": "train"}, "epoch must be a whole number from 0, found None"),
        ({"epoch": "1"}, "epoch must be a whole number from 0, found '1'"),
        ({"epoch": True}, "epoch must be a whole number from 0, found True"),
        ({"epoch": 1, SELECT_BY: "x"}, "ndcg@20 must be a number, found 'x'"),
    ],
)
def test_records_that_are_none_are_named_with_their_line(
    tmp_path: Path, record: dict[str, object], said: str
) -> None:
    path = tmp_path / "run"
    save_run(path, fit(epochs=1), LOG)
    (path / METRICS).write_text('{"epoch": 0}\n' + json.dumps(record) + "\n")
    with pytest.raises(SparseRecError, match=f"metrics.jsonl, line 2: {re.escape(said)}"):
        load_run(path)
