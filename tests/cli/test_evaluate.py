"""``sparserec evaluate``: the numbers, in ids of the file's own, and clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from sparserec_np.data.interactions import Interactions
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.models.table_ranker import TableRanker
from sparserec_np.serving.model_file import load_model, save_model
from tests.makers.served_models import make_model


def sparserec(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, words)])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of 30 users and 50 items whose ids have gaps."""
    save_model(
        tmp_path / "model.safetensors", make_model(user_ids=np.arange(30) * 3, item_ids=np.arange(50) * 10)
    )
    return tmp_path


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    """Two users of the model and one it does not know; one unknown item. In the adjacency format."""
    path = tmp_path / "test.txt"
    path.write_text("0 10 20 490\n87 30 55\n1 10\n")
    return path


def test_json_holds_the_numbers_and_what_was_left_out(run: Path, held_out: Path) -> None:
    result = sparserec(run, held_out, "--k", "5", "--k", "10", "--threads", "1", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    model = load_model(run)
    seen = Interactions(model.seen_indptr, model.seen_items, model.user_ids, model.item_ids)
    test = Interactions.from_pairs(
        [0, 0, 0, 87], [10, 20, 490, 30], user_ids=model.user_ids, item_ids=model.item_ids
    )
    expected = evaluate(TableRanker(model.users, model.items, model.dim), test, seen, (5, 10))
    assert found == {
        **expected,
        "unknown_users": 1,
        "unknown_items": 1,
        "dropped_pairs": 2,
        "pairs_in_training": test.shared_with(seen),
    }
    assert found["users"] == 2


def test_the_table_is_for_people(run: Path, held_out: Path) -> None:
    result = sparserec(run / "model.safetensors", held_out)
    assert result.exit_code == 0, result.output
    assert "recall" in result.stdout
    assert "@20" in result.stdout
    assert "averaged over: 2. Left out as unseen in training: users 1, items 1, and" in result.stdout


def test_reader_options_are_passed_on(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("who,what,stars\n0,10,5\n0,20,1\n3,20,1\n")
    words = [
        "--user-col",
        "who",
        "--item-col",
        "what",
        "--rating-col",
        "stars",
        "--min-rating",
        "4",
        "--json",
    ]
    result = sparserec(run, path, *words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["users"] == 1


def test_ids_that_are_all_unknown_are_refused(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("1 11 12\n2 13\n")
    result = sparserec(run, path, "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: No interaction in")
    assert "like 0, 3, 6" in result.stderr
    assert "like 11, 12, 13" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("missing", ["run", "test"])
def test_missing_files_are_named(run: Path, held_out: Path, missing: str) -> None:
    nowhere = run / "nowhere"
    result = sparserec(nowhere if missing == "run" else run, nowhere if missing == "test" else held_out)
    assert result.exit_code == 1
    assert "nowhere" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [("--k", "0"), ("--threads", "0"), ("--k", "many")])
def test_bad_options_are_usage_errors(run: Path, held_out: Path, words: tuple[str, str]) -> None:
    assert sparserec(run, held_out, *words).exit_code == 2


def test_test_items_that_were_in_training_are_counted_and_said(run: Path, tmp_path: Path) -> None:
    model = load_model(run)
    user = int(np.flatnonzero(np.diff(model.seen_indptr))[0])
    had = model.item_ids[model.seen_items[model.seen_indptr[user] : model.seen_indptr[user + 1]]]
    path = tmp_path / "leak.txt"
    path.write_text(f"{model.user_ids[user]} {' '.join(map(str, had))}\n")
    result = sparserec(run, path, "--json")
    assert json.loads(result.stdout)["pairs_in_training"] == len(had)
    assert "were in training" in result.stderr


def test_text_ids_are_shown_as_such(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("user,item\n007,x\nA 1,y\n")
    assert "'007', 'A 1'" in sparserec(run, path).stderr
