"""``sparserec distill`` through its installed command: a student of a LightGCN, its figures, and refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sparserec_np.data.formats import write_interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.data.synthetic import generate

QUICK = ("--epochs", "2", "--evaluate-every", "1", "--negatives", "64", "--batch-size", "512")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of a train and a test file."""
    folder = tmp_path_factory.mktemp("data")
    log = generate(n_users=300, n_items=200, n_interactions=5000, groups=6, seed=1)
    kept, test = split_random(log, 0.2, np.random.default_rng(0))
    write_interactions(kept, folder / "train.csv")
    write_interactions(test, folder / "test.csv")
    return str(folder / "train.csv"), str(folder / "test.csv")


def test_a_student_of_a_lightgcn(run, installed, files, tmp_path):
    train_file, test_file = files
    teacher, student = str(tmp_path / "teacher"), str(tmp_path / "student")
    made = run(
        *("train", train_file, "-o", teacher, *QUICK, "--model", "lightgcn", "--layers", "2"),
        *("--dim", "16", "--learning-rate", "0.01", "--density", "0.5"),
    )
    assert made.returncode == 0, made.stderr
    seen = json.loads(run("inspect", teacher, "--json").stdout)
    assert seen["model"] == "lightgcn"
    made = installed(
        *("distill", teacher, train_file, "-o", student, *QUICK, "--entries", "2400"),
        *("--learning-rate", "0.01", "--test", test_file, "--json"),
    )
    assert made.returncode == 0, made.stderr
    report = json.loads(made.stdout)
    assert (report["model"], report["dim"], report["teacher"]) == ("mf", 16, teacher)
    assert report["nnz"] == report["budget"] == 2400
    assert report["ndcg_kept"] == pytest.approx(
        report["test"]["ndcg@20"] / report["test_of_teacher"]["ndcg@20"]
    )
    for path, wanted in ((teacher, report["test_of_teacher"]), (student, report["test"])):
        told = json.loads(run("evaluate", path, test_file, "--json").stdout)
        assert told["ndcg@20"] == pytest.approx(wanted["ndcg@20"], rel=1e-6)


def test_refusals(run, installed, files, tmp_path):
    train_file, _ = files
    done = installed("distill", "nowhere", train_file, "-o", str(tmp_path / "s"))
    assert done.returncode == 1 and "nowhere" in done.stderr and "Traceback" not in done.stderr
    teacher = str(tmp_path / "teacher")
    assert (
        run("train", train_file, "-o", teacher, *QUICK, "--dim", "8", "--learning-rate", "0.01").returncode
        == 0
    )
    done = installed("distill", teacher, train_file, "-o", str(tmp_path / "s"), "--model", "lightgcn")
    assert done.returncode == 2 and "No such option '--model'" in done.stderr
    done = run("distill", teacher, train_file, "-o", str(tmp_path / "s"), "--loss", "ccl")
    assert done.returncode == 2 and "'ccl' is not one of" in done.stderr
    done = run("distill", teacher, train_file, "-o", str(tmp_path / "s"), "--dim", "4", *QUICK)
    assert done.returncode == 2 and "as many dimensions as its teacher has, 8" in done.stderr
    done = run(
        *("distill", teacher, train_file, "-o", str(tmp_path / "s"), *QUICK, "--entries", "9"),
        *("--memory-budget", "9kB"),
    )
    assert done.returncode == 2 and "Give --entries or --memory-budget, not both." in done.stderr
    (tmp_path / "others.csv").write_text("user,item\na,b\nc,d\n")
    done = run("distill", teacher, str(tmp_path / "others.csv"), "-o", str(tmp_path / "s"), *QUICK)
    assert done.returncode == 1 and "is between a user and an item of the teacher" in done.stderr
    assert not (tmp_path / "s" / "model.safetensors").exists()
