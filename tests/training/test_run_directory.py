"""The run directory: what is written, when, and what is refused; also from Python, without the command line."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

import sparserec_np
from sparserec_np import Config, Recommender, load_model, save_run, train
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.training.run_directory import RunDirectory, read_config
from tests.makers.small import small_log

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
    RunDirectory(tmp_path / "run").finish(fitted, log)  # as after Ctrl-C before the first record
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
    RunDirectory(tmp_path / "new" / "run")
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
