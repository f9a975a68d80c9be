"""``sparserec similar``: neighbours for people and for programs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from sparserec_np.runtime import Recommender
from sparserec_np.serving.model_file import save_model
from tests.makers.served_models import make_model


def sparserec(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["similar", *map(str, words)])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    names = np.array([f"user-{i:02}" for i in range(30)])
    save_model(tmp_path / "model.safetensors", make_model(user_ids=names, item_ids=np.arange(50) * 10))
    return tmp_path


def test_json_is_what_the_recommender_says(run: Path) -> None:
    recommender = Recommender.open(run)
    result = sparserec(run, "--item", "30", "-n", "4", "--json")
    assert (result.exit_code, result.stderr, result.stdout.count("\n")) == (0, "", 1)
    found = recommender.similar_items(30, 4)
    assert json.loads(result.stdout) == {"item": 30, "items": found.items, "cosines": found.scores}
    result = sparserec(run, "--user", "user-03", "--json")
    found = recommender.similar_users("user-03", 10)
    assert json.loads(result.stdout) == {"user": "user-03", "users": found.items, "cosines": found.scores}


def test_the_table_says_the_same(run: Path) -> None:
    result = sparserec(run, "--user", "user-03", "-n", "2")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["rank", "user", "cosine"]
    names = Recommender.open(run).similar_users("user-03", 2).items
    assert [line[:2] for line in lines[2:]] == [[str(rank), name] for rank, name in enumerate(names, 1)]


def test_wrong_turns_are_answered(run: Path) -> None:
    result = sparserec(run, "--item", "31")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: unknown item '31': the model knows 50 items; near it: 20, 30, 40.\n"
    for words in ([], ["--item", "30", "--user", "user-03"], ["--item", "30", "-n", "0"]):
        assert sparserec(run, *words).exit_code == 2
    assert "does not exist" in sparserec(run / "none", "--item", "30").stderr


def test_what_nobody_touched_is_near_to_nothing(run: Path) -> None:
    model = make_model(item_ids=np.arange(50) * 10)
    kept = model.seen_items != 3
    before = np.concatenate(([0], np.cumsum(kept)))
    save_model(
        run / "model.safetensors",
        replace(model, seen_indptr=before[model.seen_indptr], seen_items=model.seen_items[kept]),
    )
    result = sparserec(run, "--item", "30", "--json")
    assert json.loads(result.stdout) == {"item": 30, "items": [], "cosines": []}
    said = "Nothing is near to item 30: nobody touched it, or the row is empty.\n"
    assert (result.exit_code, result.stderr) == (0, said)
    result = sparserec(run, "--item", "30")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", said)
