"""``sparserec tune``: an ordinary run comes of it, also after a crash and of two processes."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from sparserec_np.data.formats import write_interactions
from sparserec_np.training.run_directory import load_run
from tests.cli.conftest import ROOT, _command
from tests.makers.trainings import KEPT

QUICK = (
    *("--dim", "8", "--density", "0.3", "--epochs", "2", "--evaluate-every", "1", "--negatives", "16"),
    *("--batch-size", "200", "--start", "uniform", "--threads", "1"),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "train.csv"
    write_interactions(KEPT, path)
    return str(path)


@pytest.mark.slow
def test_an_ordinary_run_comes_of_it(run, file, tmp_path):
    pytest.importorskip("optuna")
    words = ("tune", file, "-o", tmp_path / "run", *QUICK)
    done = run(*words, "--trials", "2")
    assert done.returncode == 0, done.stderr
    assert "trial 0: ndcg@20" in done.stdout and "Taken: trial" in done.stdout
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        *("config.json", "metrics.jsonl", "model.safetensors", "trials.sqlite3", "trials.html")
    }
    before = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    again = json.loads(run(*words, "--trials", "2", "--json").stdout)  # nothing is left to do
    assert len(again["trials"]) == 2 and (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == before
    report = json.loads(run(*words, "--trials", "3", "--json").stdout)
    best = max(report["trials"], key=lambda trial: trial["reached"] or 0)
    assert (
        len(report["trials"]) == 3
        and report["winner"] == best["number"]
        and report["front"] == [best["number"]]
    )
    config = load_run(tmp_path / "run").config
    assert {name: getattr(config, name) for name in best["settings"]} == best["settings"]
    assert run("tune", file, "-o", tmp_path / "run", *QUICK, "--epochs", "3").returncode == 2


def test_a_finished_run_of_something_else_is_kept(run, file, tmp_path):
    pytest.importorskip("optuna")
    assert run("train", file, "-o", tmp_path / "run", *QUICK, "--learning-rate", "0.01").returncode == 0
    done = run("tune", file, "-o", tmp_path / "run", *QUICK)
    assert done.returncode == 2 and "holds a finished run" in done.stderr
    assert not (tmp_path / "run" / "trials.sqlite3").exists()


def test_without_optuna_that_is_said(run, file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = run("tune", file, "-o", tmp_path / "run", *QUICK)
    assert done.returncode == 1 and "pip install 'sparserec_np[tune]'" in done.stderr


def ended(path):
    """How many trials the storage holds that ended."""
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(path, timeout=10) as base:
            return base.execute(
                "SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')"
            ).fetchone()[0]
    except sqlite3.OperationalError:  # it is being made
        return 0


def start(words):
    return subprocess.Popen(
        [*_command(), *map(str, words)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_search_that_was_stopped_goes_on(installed, file, tmp_path, how):
    pytest.importorskip("optuna")
    words = ("tune", file, "-o", tmp_path / "run", *QUICK, "--epochs", "30", "--trials", "12")
    stopped = start(words)
    while ended(tmp_path / "run" / "trials.sqlite3") < 2:
        assert stopped.poll() is None
        time.sleep(0.01)
    stopped.send_signal(how)
    stopped.communicate(timeout=60)
    assert stopped.returncode != 0 and not (tmp_path / "run" / "model.safetensors").exists()
    before = ended(tmp_path / "run" / "trials.sqlite3")
    done = installed(*words)
    assert (
        done.returncode == 0
        and done.stdout.count("ndcg@20 0.") + done.stdout.count(": pruned") >= 12 - before
    )
    assert ended(tmp_path / "run" / "trials.sqlite3") == 12 and load_run(tmp_path / "run")


@pytest.mark.slow
def test_two_processes_share_a_search(file, tmp_path):
    pytest.importorskip("optuna")
    words = ("tune", file, "-o", tmp_path / "run", *QUICK, "--epochs", "30", "--trials", "16")
    both = [start(words), start(words)]
    said = [one.communicate(timeout=200)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    numbers = [line.split(":")[0] for text in said for line in text.splitlines() if line.startswith("trial ")]
    numbers = [word for word in numbers if word[6:].isdigit()]
    assert len(set(numbers)) == len(numbers) >= 16 and all("trial " in text for text in said)
    assert load_run(tmp_path / "run")
