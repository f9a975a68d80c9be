"""The model ``fism`` on the command line: trained, listed, exported, and what it refuses in one sentence."""

from __future__ import annotations

import json
import shutil
from typing import Any, NamedTuple

import numpy as np
import pytest

from sparserec_np import load_model
from sparserec_np.data.formats import write_interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.data.synthetic import generate
from tests.makers.small import same_bits

QUICK = (
    "--epochs",
    "2",
    "--evaluate-every",
    "1",
    "--negatives",
    "64",
    "--batch-size",
    "512",
    "--learning-rate",
    "0.01",
)
DIM, DENSITY = 32, 0.3


class Made(NamedTuple):
    """Paths of a training file, of held-out interactions and of a run, and what training reported."""

    train: str
    test: str
    run: str
    report: dict[str, Any]


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    """One training, which no test changes."""
    folder = tmp_path_factory.mktemp("fism")
    log = generate(n_users=150, n_items=100, n_interactions=3000, groups=6, seed=1)
    kept, test = split_random(log, 0.2, np.random.default_rng(0))
    write_interactions(kept, folder / "train.csv")
    write_interactions(test, folder / "test.csv")
    train, out = str(folder / "train.csv"), str(folder / "run")
    options = ("--model", "fism", *QUICK, "--dim", str(DIM), "--density", str(DENSITY), "--json")
    done = run("train", train, "-o", out, *options)
    assert (done.returncode, done.stderr) == (0, "")
    return Made(train, str(folder / "test.csv"), out, json.loads(done.stdout))


def lists(done):
    """The items and the scores of each line."""
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [(answer["items"], answer["scores"]) for answer in answers]


def seen_items(path, user):
    """Ids of what a user had in training, joined as the command takes them."""
    model = load_model(path)
    own = model.seen_items[model.seen_indptr[user] : model.seen_indptr[user + 1]]
    return ",".join(str(item) for item in model.item_ids[own])


def test_the_whole_budget_goes_to_items(run, made):
    model = load_model(made.run)
    assert made.report["nnz"] == made.report["budget"] == model.items.nnz
    assert model.items.nnz == round(DENSITY * DIM * model.items.rows)
    assert model.users.nnz == 0 and len(model.weights) == model.items.rows
    told = json.loads(run("inspect", made.run, "--json").stdout)
    assert (told["model"], told["users"], told["nnz"]) == ("fism", model.users.rows, model.items.nnz)


def test_it_is_evaluated(run, made):
    done = run("evaluate", made.run, made.test, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["ndcg@20"] > 0.2  # chance is about 0.1


def test_a_user_is_the_items_they_had(run, made):
    for user in (3, 77):
        own = lists(run("recommend", made.run, "--user", user, "-n", "10", "--json"))
        folded = lists(
            run("recommend", made.run, "--items", seen_items(made.run, user), "-n", "10", "--json")
        )
        assert own == folded and len(own[0][0]) == 10


def test_an_exported_file_serves(run, made, tmp_path):
    asked = ("--user", "3", "-n", "10", "--json")
    same, small = tmp_path / "same.safetensors", tmp_path / "small.safetensors"
    done = run("export", made.run, "-o", same, "--dtype", "float32", "--json")
    report = json.loads(done.stdout)
    assert report["bytes_after"]["weights"] == 4 * load_model(made.run).items.rows
    assert report["overlap@20"] == 1
    wanted = lists(run("recommend", made.run, *asked))
    assert lists(run("recommend", same, *asked)) == wanted
    assert run("export", made.run, "-o", small, "--drop", "users").returncode == 0
    folded = lists(run("recommend", small, "--items", seen_items(made.run, 3), "-n", "10", "--json"))
    assert len(set(folded[0][0]) & set(wanted[0][0])) >= 8  # values of a byte


@pytest.mark.parametrize("drop", ["seen", "users"])
def test_a_file_without_what_users_touched_is_evaluated_with_it(run, installed, made, tmp_path, drop):
    slim = tmp_path / "slim.safetensors"
    done = run("export", made.run, "-o", slim, "--drop", drop, "--dtype", "float32")
    assert done.returncode == 0, done.stderr
    words = (made.test, "--k", "5", "--k", "20", "--json")
    wanted = run("evaluate", made.run, *words)
    found = installed("evaluate", slim, *words, "--known", made.train)
    assert (found.returncode, found.stderr, found.stdout) == (0, "", wanted.stdout)
    refused(installed("evaluate", slim, *words), "give what they had in training with --known FILE", 1)


def test_the_budget_can_be_named_in_entries(installed, made, tmp_path):
    words = ("--model", "fism", "--epochs", "0", "--dim", "300", "--entries", "777", "--json")
    done = installed("train", made.train, "-o", tmp_path / "run", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["nnz"] == load_model(tmp_path / "run").items.nnz == 777
    done = installed("train", made.train, "-o", tmp_path / "no", *words, "--density", "0.1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: Give --density or --entries, not both." in done.stderr
    assert not (tmp_path / "no").exists()


def test_a_budget_of_bytes_holds_what_is_served(run, made, tmp_path):
    words = ("--model", "fism", "--epochs", "0", "--dim", "64", "--memory-budget", "20kB", "--json")
    done = run("train", made.train, "-o", tmp_path / "run", *words)
    assert done.returncode == 0, done.stderr
    served = json.loads(done.stdout)["serving_bytes"]
    assert 19_000 < served <= 20_000
    told = json.loads(run("inspect", tmp_path / "run", "--json").stdout)
    assert served - 8 < told["bytes"]["total"] <= served and told["bytes"]["weights"] == 400


@pytest.fixture(scope="module")
def solved(run, made, tmp_path_factory):
    """A run whose users' rows are solved for."""
    out = str(tmp_path_factory.mktemp("solved") / "run")
    words = ("--user-rows", "ridge", "--dim", str(DIM), "--density", str(DENSITY))
    done = run("train", made.train, "-o", out, "--model", "fism", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return out, done.stdout


def test_rows_that_are_solved_for_are_the_start_and_that_is_said(run, made, solved):
    out, said = solved
    assert (
        "Users' rows are no plain sums, which no gradient is taken through: the start is kept, epoch 0."
        in said
    )
    assert "kept epoch            0" in said or "kept epoch             0" in said
    told = json.loads(run("inspect", out, "--json").stdout)
    assert told["bytes"]["weights"] == 0 and told["resident_bytes"]["products of columns"] > 0
    done = run("evaluate", out, made.test, "--json")
    assert json.loads(done.stdout)["ndcg@20"] > 0.2
    known = lists(run("recommend", out, "--user", "3", "-n", "10", "--json"))
    folded = lists(run("recommend", out, "--items", seen_items(out, 3), "-n", "10", "--json"))
    assert known == folded and len(known[0][0]) == 10


def test_rows_that_are_solved_for_are_exported_to_a_file_alone(run, solved, tmp_path):
    out, small = solved[0], tmp_path / "small.safetensors"
    assert run("export", out, "-o", small, "--dtype", "float32").returncode == 0
    asked = ("--user", "3", "-n", "10", "--json")
    assert lists(run("recommend", small, *asked)) == lists(run("recommend", out, *asked))
    refused(run("export", out, "-o", tmp_path / "c", "--to", "c"), "metadata user_rows is 'ridge'", 1)


def test_an_update_where_users_are_solved_for_trains_nothing(run, solved, tmp_path):
    lines = [f"{user},991" for user in range(0, 60, 2)]
    (tmp_path / "new.csv").write_text("user,item\nzoe,3\nzoe,5\n" + "\n".join(lines) + "\n")
    done = run("update", solved[0], tmp_path / "new.csv", "-o", tmp_path / "out", "--epochs", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "they touched, and 1 new item solved for; nothing is trained\nBudget: " in done.stdout
    assert "kept epoch            0" in done.stdout or "kept epoch             0" in done.stdout
    before, after = load_model(solved[0]), load_model(tmp_path / "out")
    assert after.items.nnz == before.items.nnz and after.metadata["user_rows"] == "ridge"
    (items, _), *_ = lists(run("recommend", tmp_path / "out", "--user", "zoe", "-n", "5", "--json"))
    assert len(items) == 5 and not {3, 5} & set(items)


def test_rows_that_are_solved_for_teach_a_matrix_factorisation(run, made, solved, tmp_path):
    words = ("--test", made.test, "--density", "0.3", *QUICK, "--json")
    done = run("distill", solved[0], made.train, "-o", tmp_path / "student", *words)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["model"] == "mf" and report["ndcg_kept"] > 0.8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--start", "nmf"),
            "which the model fism does not store; set start to spectral, fitted, als, condensed, neighbours,"
            " plain-neighbours or uniform",
        ),
        (("--ridge", "2"), "ridge has no meaning where users' rows are not solved for"),
        (("--l2-user", "0.1"), "l2_user has no meaning for the model fism; leave it out"),
        (("--embedding-dropout", "0.1"), "embedding_dropout has no meaning for the model fism; leave it out"),
        (("--order", "cells"), "model cannot be 'fism'"),
        (("--loss", "bsl"), "are no inner products of rows"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_settings_without_meaning_are_refused(run, made, tmp_path, words, said):
    refused(run("train", made.train, "-o", tmp_path / "run", "--model", "fism", *words), said, 2)
    assert not (tmp_path / "run").exists()


def test_an_update_with_settings_of_users_is_refused(run, made, tmp_path):
    out = tmp_path / "out"
    said = "l2_user has no meaning for the model fism"
    refused(run("update", made.run, made.test, "-o", out, "--l2-user", "0.1"), said, 2)
    assert not out.exists()


def test_an_update_keeps_the_rows_and_knows_the_new_users(run, installed, made, tmp_path):
    (tmp_path / "new.csv").write_text("user,item\nzoe,3\nzoe,5\n3,5\n")
    out = tmp_path / "out"
    done = installed("update", made.run, tmp_path / "new.csv", "-o", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 new user, 0 new items, ")
    said = "\nUsers are made from what they touched; nothing is trained (--epochs N trains on)\nBudget: "
    assert said in done.stdout
    before, after = load_model(made.run), load_model(out)
    assert np.array_equal(after.item_ids, before.item_ids)
    assert same_bits(after.items, before.items)
    (items, _), *_ = lists(run("recommend", out, "--user", "zoe", "-n", "5", "--json"))
    assert len(items) == 5 and not {3, 5} & set(items)
    refused(run("update", out, tmp_path / "new.csv", "-o", out), "knows all of these interactions", 1)


def test_an_update_with_new_items_says_how_many_and_trains_where_asked(run, made, tmp_path):
    lines = [f"{user},99{item}" for user in range(0, 60, 3) for item in (1, 2) if (user + item) % 4]
    (tmp_path / "new.csv").write_text("user,item\n" + "\n".join(lines) + "\n")
    words = ("update", made.run, tmp_path / "new.csv", "-o")
    done = run(*words, tmp_path / "plain")
    assert (done.returncode, done.stderr) == (0, "")
    assert "they touched, and 2 new items solved for; nothing is trained" in done.stdout
    report = json.loads(run(*words, tmp_path / "json", "--json").stdout)
    assert report["nnz"] == report["budget"] == made.report["nnz"] and report["best_epoch"] == 0
    assert (report["new_users"], report["new_items"]) == (0, 2)
    done = run(*words, tmp_path / "more", "--epochs", "2", "--validation", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing is trained" not in done.stdout and "kept epoch             2" in done.stdout
    for name in ("plain", "more"):
        model = load_model(tmp_path / name)
        rows = np.flatnonzero(np.isin(model.item_ids, [991, 992]))
        assert len(rows) == 2 and np.diff(model.items.indptr)[rows].all()
        assert model.items.nnz == made.report["nnz"]


def test_an_update_with_neighbours_says_that_all_is_made_anew(run, made, tmp_path):
    words = ("--model", "fism", "--dim", "16", "--density", "0.3", "--start", "neighbours", "--threads", "1")
    done = run("train", made.train, "-o", tmp_path / "run", *words, "--validation", "0", "--json")
    report, items = json.loads(done.stdout), len(load_model(tmp_path / "run").item_ids)
    assert (report["dim"], report["item_columns"]) == (16, items)
    assert report["density"] == report["nnz"] / (16 * items)
    (tmp_path / "new.csv").write_text("user,item\nzoe,3\nzoe,990\n3,990\n")
    done = run("update", tmp_path / "run", tmp_path / "new.csv", "-o", tmp_path / "after")
    assert done.returncode == 0, done.stderr
    assert (
        "\nThe start is made anew of all interactions, and is all there is; nothing is trained\n"
        in done.stdout
    )
    assert "solved for" not in done.stdout


def test_an_update_of_a_run_without_what_users_had_is_told_it(run, made, tmp_path):
    place = shutil.copytree(made.run, tmp_path / "run")
    slim = tmp_path / "slim.safetensors"
    assert run("export", place, "-o", slim, "--drop", "seen", "--dtype", "float32").returncode == 0
    slim.replace(place / "model.safetensors")
    words = ("update", place, made.test, "-o", tmp_path / "after")
    refused(run(*words), "does not hold the interactions", 1)
    assert not (tmp_path / "after").exists()
    done = run(*words, "--known", made.train, "--json")
    assert (done.returncode, json.loads(done.stdout)["new_users"]) == (0, 0), done.stderr
    whole = run("update", made.run, made.test, "-o", tmp_path / "whole")
    assert whole.returncode == 0
    ours, theirs = (load_model(tmp_path / name) for name in ("after", "whole"))
    assert np.array_equal(ours.items.values, theirs.items.values)


def test_it_teaches_a_matrix_factorisation(run, made, tmp_path):
    out = tmp_path / "student"
    words = ("--test", made.test, "--density", "0.3", *QUICK, "--json")
    done = run("distill", made.run, made.train, "-o", out, *words)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["model"], report["dim"]) == ("mf", DIM) and report["ndcg_kept"] > 0.8
    assert load_model(out).users.nnz > 0


def refused(done, said, code):
    """One sentence, and nothing else."""
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
