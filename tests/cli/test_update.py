"""``sparserec update`` through its installed command: a run learns on, and what is refused in one sentence."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from sparserec_np import load_model, update
from sparserec_np.data.formats import read_interactions, write_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.synthetic import generate
from sparserec_np.training.run_directory import load_run, read_config, save_run

QUICK = ("--epochs", "2", "--evaluate-every", "1", "--negatives", "64", "--batch-size", "512", "--dim", "16")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of what is known, and of the rest, of which a third of the users and of the items are new."""
    folder = tmp_path_factory.mktemp("data")
    log = generate(n_users=150, n_items=100, n_interactions=3000, groups=6, seed=1)
    users, items = log.pair_users(), log.items
    known = (users < 100) & (items % 3 > 0)
    for name, some in (("known", known), ("new", ~known)):
        part = Interactions.from_pairs(log.user_ids[users[some]], log.item_ids[items[some]])
        write_interactions(part, folder / f"{name}.csv")
    return str(folder / "known.csv"), str(folder / "new.csv"), log


@pytest.fixture(scope="module")
def once(run, files, tmp_path_factory):
    """The directory of a run on what is known, which no test changes."""
    place = tmp_path_factory.mktemp("once") / "run"
    made = run("train", files[0], "-o", place, *QUICK, "--learning-rate", "0.01", "--density", "0.3")
    assert made.returncode == 0, made.stderr
    return place


@pytest.fixture
def trained(once, tmp_path):
    """A copy of it."""
    return shutil.copytree(once, tmp_path / "run")


def test_a_run_learns_on(installed, files, trained, tmp_path):
    done = installed("update", trained, files[1], "-o", tmp_path / "after", "--epochs", "3", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    log = files[2]
    before = load_model(trained)
    assert report["nnz"] == report["budget"] == before.users.nnz + before.items.nnz
    assert (report["former"], report["run"]) == (str(trained), str(tmp_path / "after"))
    assert report["new_users"] == log.n_users - before.users.rows > 0
    assert report["new_items"] == log.n_items - before.items.rows > 0
    assert report["new_interactions"] == read_interactions(files[1]).n_interactions
    assert report["validation_ndcg@20"] > 0
    records = [json.loads(line) for line in (tmp_path / "after" / "metrics.jsonl").read_text().splitlines()]
    assert {record["phase"] for record in records} == {"search", "refit"}
    _, data = read_config(str(tmp_path / "after" / "config.json"))
    assert (data["train"], data["former"], data["new"]) == (None, str(trained), files[1])
    listed = installed("recommend", tmp_path / "after", "--user", str(log.user_ids[-1]), "-n", "3")
    assert listed.returncode == 0, listed.stderr


def test_the_bytes_are_those_of_the_function_for_any_threads(run, installed, files, trained, tmp_path):
    for threads, call in (("1", run), ("2", installed)):
        done = call("update", trained, files[1], "-o", tmp_path / threads, "--threads", threads)
        assert done.returncode == 0, done.stderr
    made = update(load_run(trained), read_interactions(files[1]), threads=1)
    save_run(tmp_path / "python", made, made.log)
    one, two, three = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("1", "2", "python"))
    assert one == two == three


def test_eyes_get_a_table_and_a_run_may_be_replaced(run, files, trained):
    done = run("update", trained, files[1], "-o", trained, "--epochs", "1", "--validation", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("50 new users, 34 new items, ") and "\nBudget: " in done.stdout
    assert load_model(trained).users.rows == files[2].n_users
    again = run("update", trained, files[1], "-o", trained)
    assert (again.returncode, again.stdout) == (1, "")
    assert "knows all" in again.stderr and len(again.stderr.splitlines()) == 1


def test_a_run_without_what_users_had_is_told_it(run, files, trained, tmp_path):
    slim = tmp_path / "slim.safetensors"
    assert run("export", trained, "-o", slim, "--drop", "seen", "--dtype", "float32").returncode == 0
    slim.replace(trained / "model.safetensors")
    done = run("update", trained, files[1], "-o", tmp_path / "after")
    assert done.returncode == 1
    assert "does not hold the interactions" in done.stderr and "--known" in done.stderr
    assert not (tmp_path / "after").exists()
    done = run("update", trained, files[1], "-o", tmp_path / "after", "--known", files[0], "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["new_interactions"] == read_interactions(files[1]).n_interactions


@pytest.mark.parametrize(
    ("model", "said", "code"),
    [("popularity", "counted, not trained", 2), ("lightgcn", "not what is multiplied", 2)],
)
def test_models_that_cannot_learn_on_are_refused(run, files, tmp_path, model, said, code):
    words = () if model == "popularity" else (*QUICK, "--learning-rate", "0.01")
    assert run("train", files[0], "-o", tmp_path / "run", "--model", model, *words).returncode == 0
    done = run("update", tmp_path / "run", files[1], "-o", tmp_path / "after")
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "after").exists()


def test_bad_input_is_refused_in_one_sentence(run, installed, files, trained, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.csv").write_text("user,item\n")
    file = trained / "model.safetensors"
    for words, code, said in (
        ((tmp_path / "none", files[1]), 1, "no run directory"),
        ((tmp_path / "empty", files[1]), 1, "no run directory"),
        ((file, files[1]), 1, "no run directory"),
        ((trained, tmp_path / "none.csv"), 1, "none.csv: No such file"),
        ((trained, tmp_path / "bad.csv"), 1, "bad.csv"),
        ((trained, files[1], "--known", tmp_path / "none.csv"), 1, "none.csv: No such file"),
        ((trained, files[1], "--validation", "2"), 2, "validation must be 0 or more and at most 0.9"),
        ((trained, files[1], "--learning-rate", "-1"), 2, "learning_rate must be above 0"),
        ((trained, "-", "--known", "-"), 2, "can be standard input"),
    ):
        done = run("update", *words, "-o", tmp_path / "after")
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "after" / "model.safetensors").exists()
    done = installed("update", trained, files[1], "-o", tmp_path / "after", "--dim", "8")
    assert done.returncode == 2 and "No such option" in done.stderr


def test_a_damaged_model_is_refused(installed, files, trained, tmp_path):
    whole = (trained / "model.safetensors").read_bytes()
    (trained / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    done = installed("update", trained, files[1], "-o", tmp_path / "after")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert np.array_equal(list(tmp_path.iterdir()), [trained])


def test_another_finished_run_is_not_replaced_unless_it_is_said(run, files, trained, tmp_path):
    other = shutil.copytree(trained, tmp_path / "other")
    before = (other / "model.safetensors").read_bytes()
    words = ("update", trained, files[1], "--epochs", "0", "--validation", "0", "--threads", "1", "-o")
    done = run(*words, other)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr.count("\n") == 1
        and "other holds a finished run: name another, or say --overwrite" in done.stderr
    )
    assert (other / "model.safetensors").read_bytes() == before
    assert run(*words, other, "--overwrite").returncode == 0
    assert (other / "model.safetensors").read_bytes() != before
    inside = ("update", trained / "model.safetensors", *words[2:], f"{trained}/")
    done = run(*inside)
    assert "holds a finished run" not in done.stderr  # RUN2 is RUN, in other words
