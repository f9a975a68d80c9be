"""Baselines through the installed command: trained, evaluated, inspected, recommended from, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sparserec_np.data.formats import write_interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.data.synthetic import generate


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of a train and a test file, and the interactions in the first."""
    folder = tmp_path_factory.mktemp("data")
    kept, test = split_random(
        generate(n_users=300, n_items=200, n_interactions=5000, groups=6, seed=1),
        0.2,
        np.random.default_rng(0),
    )
    write_interactions(kept, folder / "train.csv")
    write_interactions(test, folder / "test.csv")
    return str(folder / "train.csv"), str(folder / "test.csv"), kept


def test_popularity_from_end_to_end(installed, files, tmp_path):
    train_file, test_file, kept = files
    made = installed("train", train_file, "-o", tmp_path / "r", "--model", "popularity", "--json")
    assert (made.returncode, made.stderr) == (0, "")
    report = json.loads(made.stdout)
    assert (report["model"], report["method"], report["dim"], report["nnz"]) == (
        "popularity",
        "counted",
        1,
        500,
    )
    assert report["validation_ndcg@20"] > 0
    listed = json.loads(installed("recommend", tmp_path / "r", "--user", "7", "-n", "5", "--json").stdout)
    user = int(np.flatnonzero(kept.user_ids == 7)[0])
    own = kept.items[kept.indptr[user] : kept.indptr[user + 1]]
    order = [item for item in np.argsort(-kept.item_degrees, kind="stable") if item not in own]
    assert listed["items"] == kept.item_ids[order[:5]].tolist()
    measured = json.loads(installed("evaluate", tmp_path / "r", test_file, "--json").stdout)
    assert 0 < measured["recall@20"] < 1


def test_neighbours_from_end_to_end(run, files, tmp_path):
    train_file, test_file, _ = files
    made = run("train", train_file, "-o", tmp_path / "r", "--model", "itemknn", "--neighbours", "20")
    assert (made.returncode, made.stderr) == (0, "")
    assert "Budget" not in made.stdout
    inspected = json.loads(run("inspect", tmp_path / "r", "--json").stdout)
    assert (inspected["model"], inspected["dim"], inspected["items"]) == ("itemknn", 200, 200)
    assert json.loads((tmp_path / "r" / "config.json").read_text())["neighbours"] == 20
    run("train", train_file, "-o", tmp_path / "p", "--model", "popularity")
    personal, popular = (
        json.loads(run("evaluate", tmp_path / name, test_file, "--json").stdout)["ndcg@20"]
        for name in ("r", "p")
    )
    assert personal > 1.2 * popular
    again = run("train", "--config", tmp_path / "r" / "config.json", "-o", tmp_path / "again")
    assert again.returncode == 0, again.stderr
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("r", "again"))
    assert first == second


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "popularity", "--density", "0.1"), "--density has no meaning for the model popularity"),
        (("--model", "itemknn", "--epochs", "3"), "--epochs has no meaning for the model itemknn"),
        (("--model", "popularity", "--shrinkage", "3"), "shrinkage is no setting of the model popularity"),
        (("--model", "itemknn", "--entries", "99"), "--entries has no meaning for the model itemknn"),
        (("--model", "itemknn", "--shrinkage", "-1"), "shrinkage must be 0 or more, found -1"),
    ],
)
def test_settings_without_a_meaning_are_refused(run, files, tmp_path, words, said):
    done = run("train", files[0], "-o", tmp_path / "r", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("model", ["popularity", "itemknn"])
def test_a_file_without_what_users_had_is_evaluated_with_it(run, files, tmp_path, model):
    run("train", files[0], "-o", tmp_path / "r", "--model", model)
    wanted = run("evaluate", tmp_path / "r", files[1], "--json")
    for drop in ("seen", "users"):
        slim = tmp_path / f"without-{drop}"
        run("export", tmp_path / "r", "-o", slim, "--drop", drop, "--dtype", "float32")
        assert "--known FILE" in run("evaluate", slim, files[1], "--json").stderr
        found = run("evaluate", slim, files[1], "--known", files[0], "--json")
        assert (found.returncode, found.stderr) == (0, "")
        if drop == "seen":
            assert found.stdout == wanted.stdout
    if model == "itemknn":  # somebody who is folded in is a user who had these items
        assert json.loads(found.stdout) == pytest.approx(json.loads(wanted.stdout), abs=1e-3)


def test_too_many_items_for_neighbours(run, tmp_path):
    (tmp_path / "wide.csv").write_text(
        "user,item\n" + "".join(f"{item % 50},{item}\n" for item in range(65_537))
    )
    done = run("train", tmp_path / "wide.csv", "-o", tmp_path / "r", "--model", "itemknn")
    assert done.returncode == 1
    assert "at most 65,536; found 65,537 items" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "r" / "model.safetensors").exists()


def test_a_baseline_is_no_teacher(run, files, tmp_path):
    run("train", files[0], "-o", tmp_path / "r", "--model", "itemknn")
    done = run("distill", tmp_path / "r", files[0], "-o", tmp_path / "student")
    assert done.returncode == 2
    assert "A teacher is a model that was trained, found the model itemknn" in done.stderr
