"""Weights and dislikes on the command line: from a file's columns to lists, and what is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparserec_np import load_model, read_interactions
from sparserec_np.data.synthetic import generate

SHORT = ("--dim", "8", "--density", "0.3", "--epochs", "1", "--batch-size", "128", "--threads", "1")
SHORT += ("--learning-rate", "0.01", "--start", "als")
ASKED = ("--weight-col", "plays", "--dislike-below", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, run: Any) -> Path:
    path = tmp_path_factory.mktemp("weights")
    log, rng = generate(40, 30, 500, groups=4, seed=3), np.random.default_rng(0)
    rows = [
        f"{user},{item},{rng.integers(1, 6)},{rng.integers(1, 99) / 4}"
        for user, item in zip(log.pair_users(), log.items, strict=True)
    ]
    (path / "all.csv").write_text("\n".join(["user,item,rating,plays", *rows]) + "\n")
    assert run("data", "split", path / "all.csv", "-o", path, *ASKED, "--json").returncode == 0
    return path


def test_describe_counts_dislikes_and_shows_weights(folder: Path, run: Any) -> None:
    told = json.loads(run("data", "describe", folder / "all.csv", *ASKED, "--json").stdout)
    log = read_interactions(folder / "all.csv", weight_col="plays", dislike_below=2)
    assert told["weight_column"] == "plays" and told["dislikes"] == log.disliked.n_interactions > 0
    assert (told["weight_from"], told["weight_to"]) == (log.weights.min(), log.weights.max())
    plain = json.loads(run("data", "describe", folder / "all.csv", "--json").stdout)
    assert plain["weight_column"] is None and plain["weight_from"] is None and plain["dislikes"] == 0
    assert plain["digest"] != told["digest"]


def test_parts_hold_both_and_are_read_by_their_columns(folder: Path) -> None:
    whole = read_interactions(folder / "all.csv", weight_col="plays", dislike_below=2)
    train, test = (
        read_interactions(folder / f"{part}.csv", weight_col="weight", dislike_below=0)
        for part in ("train", "test")
    )
    assert set(train.disliked) == set(whole.disliked)
    assert set(test.disliked) <= set(whole.disliked)  # of users and items that have some there
    both = train.joined(test)
    assert both.n_interactions == whole.n_interactions
    assert sorted(both.weights.tolist()) == sorted(whole.weights.tolist())


@pytest.mark.parametrize("ending", ["npz", "safetensors", "tsv"])
def test_convert_keeps_both(ending: str, folder: Path, run: Any) -> None:
    out = folder / f"all.{ending}"
    done = run("data", "convert", folder / "all.csv", out, *ASKED, "--renumber", "--json")
    (told,) = json.loads(done.stdout)["files"]
    assert not told["weights_lost"] and told["dislikes_lost"] == 0
    values = {"npz": "values", "tsv": "weight"}
    asked = {"weight_col": values[ending], "dislike_below": 0} if ending in values else {}
    wanted = read_interactions(folder / "all.csv", weight_col="plays", dislike_below=2)
    assert read_interactions(out, **asked).digest() == wanted.renumbered().digest()


def test_convert_says_what_adjacency_loses(folder: Path, run: Any) -> None:
    done = run("data", "convert", folder / "all.csv", folder / "all.txt", *ASKED)
    assert done.returncode == 0
    assert "adjacency cannot hold the weights; csv can." in done.stderr
    assert "dislikes; csv can." in done.stderr


def trained(folder: Path, run: Any, name: str, *options: str) -> Path:
    done = run("train", folder / "train.csv", "-o", folder / name, "--overwrite", *SHORT, *options)
    assert done.returncode == 0, done.stderr
    return folder / name


@pytest.mark.parametrize("model", ["mf", "fism"])
def test_train_evaluate_and_update_heed_both(model: str, folder: Path, run: Any) -> None:
    asked = ("--weight-col", "weight", "--dislike-below", "0")
    start = ("--model", model) if model == "mf" else ("--model", model, "--user-rows", "ridge")
    path = trained(folder, run, f"run-{model}", *start, *asked)
    plain = trained(folder, run, f"plain-{model}", *start)
    assert load_model(path).seen.weights is not None and load_model(plain).seen.weights is None
    assert load_model(path).seen.disliked.n_interactions
    assert not np.array_equal(load_model(path).items.values, load_model(plain).items.values)
    again = run("train", "-o", folder / "again", "--overwrite", "--config", path / "config.json")
    assert again.returncode == 0, again.stderr
    assert (folder / "again" / "model.safetensors").read_bytes() == (path / "model.safetensors").read_bytes()
    by_run, by_file = (
        json.loads(run("evaluate", path, folder / "test.csv", *more, "--json").stdout)
        for more in (("--dislike-below", "0"), (*asked, "--known", folder / "train.csv"))
    )
    assert by_run["ndcg@20"] == by_file["ndcg@20"] > 0
    done = run(
        "update",
        path,
        folder / "test.csv",
        "-o",
        folder / f"later-{model}",
        *asked,
        "--threads",
        "1",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    later = load_model(folder / f"later-{model}").seen
    assert later.weights is not None and set(later.disliked) == set(load_model(path).seen.disliked)


def test_lists_leave_out_what_is_disliked(folder: Path, run: Any) -> None:
    path = trained(folder, run, "run-lists", "--weight-col", "weight", "--dislike-below", "0")
    seen = load_model(path).seen
    user = int(np.argmax(seen.disliked.user_degrees))
    disliked = set(seen.item_ids[seen.disliked_by(user)].tolist())
    for more in ((), ("--include-seen",)):
        done = run("recommend", path, "--user", seen.user_ids[user], "-n", "30", "--json", *more)
        if done.returncode == 2:  # no such option here
            continue
        listed = {row["item"] if isinstance(row, dict) else row for row in json.loads(done.stdout)["items"]}
        assert listed and not disliked & listed


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("train", "all.csv", "-o", "no", "--weight-col", "count"), "has no column 'count' for --weight-col"),
        (("train", "zero.csv", "-o", "no", "--weight-col", "plays"), "zero.csv, line 3: expected a weight"),
        (("train", "train.csv", "-o", "no", "--dislike-below", "nan"), "must be a finite number"),
        (("evaluate", "run-lists", "test.csv", "--weight-col", "weight"), "for the file of --known"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    command: tuple[str, ...], said: str, folder: Path, run: Any
) -> None:
    (folder / "zero.csv").write_text("user,item,plays\n1,7,2\n2,7,0\n")
    trained(folder, run, "run-lists", "--weight-col", "weight", "--dislike-below", "0")
    name, file, *rest = command
    files = {"no": folder / "no", "test.csv": folder / "test.csv"}
    done = run(name, folder / file, *(files.get(word, word) for word in rest))
    assert done.returncode in (1, 2) and said in done.stderr and "Traceback" not in done.stderr
    assert not (folder / "no" / "model.safetensors").exists()
