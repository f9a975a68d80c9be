"""``sparserec compare``: the plan, the report, going on where it was stopped, and refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from sparserec_np.data.formats import write_interactions
from tests.cli.conftest import ROOT, _command
from tests.makers.trainings import HELD, KEPT

QUICK = (
    *("--dim", "8", "--epochs", "2", "--evaluate-every", "1", "--negatives", "16", "--batch-size", "200"),
    *("--learning-rate", "0.01", "--start", "uniform", "--seeds", "2", "--threads", "1"),
)
TWO = ("--method", "sparserec", "--method", "static", "--density", "0.3")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Words that name a train and a test file."""
    folder = tmp_path_factory.mktemp("data")
    write_interactions(KEPT, folder / "train.csv")
    write_interactions(HELD, folder / "test.csv")
    return (str(folder / "train.csv"), "--test", str(folder / "test.csv"))


def test_a_comparison_says_what_it_does_and_goes_on_where_it_was(run, files, tmp_path):
    folder = tmp_path / "all"
    made = run("compare", *files, "-o", folder, *QUICK, *TWO, "--density", "0.002", "--method", "dense-small")
    assert made.returncode == 0, made.stderr
    assert "Impossible: mf-dense-small-density-0.002-uniform: The method dense-small needs" in made.stdout
    assert "5 variants, 10 runs; 5 to do." in made.stdout and ", by one short training" in made.stdout
    assert "5 of 5  mf-" in made.stdout and "Gain of sparserec over the best other" in made.stdout
    assert {path.name for path in folder.iterdir()} == {
        *("comparison.json", "runs", "measured", "report.html", "report.md", "report.json")
    }
    again = run("compare", *files, "-o", folder, *QUICK, *TWO, "--json")
    report = json.loads(again.stdout)
    assert again.returncode == 0 and [one["method"] for one in report["variants"]] == ["sparserec", "static"]
    before = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/model.safetensors")}
    assert len(before) == 10
    more = run("compare", *files, "-o", folder, *QUICK, *TWO, "--model", "mf", "--model", "popularity")
    assert "3 variants, 6 runs; 1 to do." in more.stdout
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in before.items())
    other = run("compare", *files, "-o", folder, *QUICK, *TWO, "--epochs", "3")
    assert other.returncode == 2 and "another epochs: 2 there, 3 here" in other.stderr


def test_a_plan_trains_nothing(run, files, tmp_path):
    made = run("compare", *files, "-o", tmp_path / "all", *QUICK, *TWO, "--plan", "--json")
    assert [one["entries"] for one in json.loads(made.stdout)["variants"]] == [240, 240]
    assert not (tmp_path / "all").exists()


def test_a_variant_that_fails_is_told_and_the_exit_code_is_1(run, files, tmp_path, monkeypatch):
    usual = sys.modules["sparserec_np.comparison.sweep"].train

    def broken(log, config, **how):
        if config.method == "static":
            raise ZeroDivisionError("by accident")
        return usual(log, config, **how)

    monkeypatch.setattr("sparserec_np.comparison.sweep.train", broken)
    made = run("compare", *files, "-o", tmp_path / "all", *QUICK, *TWO)
    assert made.returncode == 1
    assert "Failed: mf-static-density-0.3-uniform: ZeroDivisionError: by accident" in made.stderr
    assert "ndcg@20" in made.stdout and "by accident" in (tmp_path / "all" / "report.md").read_text()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--density", "0.1", "--entries", "50"), 2, "Give --density or --entries, one of them"),
        (("--backend", "dask"), 2, "--backend dask and --scheduler go together"),
        (("--tune", "3", "--validation", "0"), 2, "--tune needs something to choose by"),
        (("--validation", "-"), 2, "not standard input"),
        (("--entries", "90000"), 2, "There is nothing to compare: A budget of 90,000 entries"),
        (("--memory-budget", "much"), 2, "no amount of memory"),
    ],
)
def test_refusals(run, files, tmp_path, words, code, said):
    made = run("compare", *files, "-o", tmp_path / "all", *QUICK, "--model", "mf", *words)
    assert made.returncode == code and said in made.stderr
    assert not (tmp_path / "all").exists()


def test_without_dask_that_is_said(run, files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    words = ("--backend", "dask", "--scheduler", "tcp://127.0.0.1:1")
    made = run("compare", *files, "-o", tmp_path / "all", *QUICK, *TWO, *words)
    assert made.returncode == 1 and "pip install 'sparserec_np[dask]'" in made.stderr


def figures(folder):
    report = json.loads((folder / "report.json").read_text())
    return {one["name"]: one["figures"] for one in report["variants"]}


def same(one, other):
    return json.dumps(one) == json.dumps(other)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_one_that_was_stopped_ends_as_one_that_was_not(installed, files, tmp_path, how, jobs):
    words = [
        *map(str, ("compare", *files)),
        *QUICK,
        *TWO,
        "--density",
        "0.5",
        "--epochs",
        "40",
        "--jobs",
        jobs,
    ]
    whole = installed(*words, "-o", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    folder = tmp_path / "stopped"
    started = subprocess.Popen(
        [*_command(), *words, "-o", str(folder)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(folder.glob("measured/*.npz")):
        assert started.poll() is None
        time.sleep(0.01)
    started.send_signal(how)
    assert started.wait(60) != 0
    done = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/model.safetensors")}
    time.sleep(1.0)  # in which workers see that they are alone
    again = installed(*words, "-o", folder)
    assert again.returncode == 0, again.stderr
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in done.items())
    assert same(figures(folder), figures(tmp_path / "whole"))
    for path in (tmp_path / "whole").glob("runs/*/model.safetensors"):
        assert path.read_bytes() == (folder / "runs" / path.parent.name / path.name).read_bytes()


@pytest.mark.slow
def test_workers_of_a_scheduler_give_the_same_table(run, files, tmp_path):
    distributed = pytest.importorskip("distributed")
    words = ("compare", *files, *QUICK, *TWO)
    assert run(*words, "-o", tmp_path / "alone").returncode == 0
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster:
            made = run(
                *words,
                "-o",
                tmp_path / "spread",
                "--backend",
                "dask",
                "--scheduler",
                cluster.scheduler_address,
            )
    finally:
        del os.environ["PYTHONPATH"]
    assert made.returncode == 0, made.stderr
    assert same(figures(tmp_path / "alone"), figures(tmp_path / "spread"))
    assert np.all([len(one) for one in figures(tmp_path / "spread").values()])
