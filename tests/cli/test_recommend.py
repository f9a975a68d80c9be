"""``sparserec recommend``: lists for people and for programs, and clear refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from sparserec_np.model_file import save_model
from sparserec_np.runtime import Recommender
from tests.served_models import make_model

NAMES = np.array([f"user-{i:02}" for i in range(30)])


def sparserec(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["recommend", *map(str, words)])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of numbered users; items have gaps."""
    save_model(tmp_path / "model.safetensors", make_model(item_ids=np.arange(50) * 10))
    return tmp_path


@pytest.fixture
def named_run(tmp_path: Path) -> Path:
    """A run of users with names."""
    save_model(tmp_path / "model.safetensors", make_model(user_ids=NAMES))
    return tmp_path


def test_json_is_one_line_a_user_in_the_order_asked(run: Path) -> None:
    for place in (run, run / "model.safetensors"):
        result = sparserec(place, "--user", "7", "--user", "3", "-n", "4", "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        answers = [json.loads(line) for line in result.stdout.splitlines()]
        recommender = Recommender.open(run)
        expected = [(user, *recommender.recommend(user, 4)) for user in (7, 3)]
        assert [(answer["user"], answer["items"], answer["scores"]) for answer in answers] == expected
        assert [list(answer) for answer in answers] == [["user", "items", "scores"]] * 2


def test_names_stay_names(named_run: Path) -> None:
    result = sparserec(named_run, "--user", "user-03", "--json")
    answer = json.loads(result.stdout)
    assert answer["user"] == "user-03"
    assert len(answer["items"]) == len(answer["scores"]) == 20


def test_the_table_holds_the_same(run: Path) -> None:
    result = sparserec(run, "--user", "7", "-n", "3")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["user", "rank", "item", "score"]
    items = Recommender.open(run).recommend(7, 3).items
    assert [line[:3] for line in lines[2:]] == [["7", str(i), str(item)] for i, item in enumerate(items, 1)]


def test_a_list_longer_than_the_catalogue_is_short(run: Path) -> None:
    full = Recommender.open(run).recommend(7, 50)
    result = sparserec(run, "--user", "7", "-n", "1000", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["items"] == full.items
    result = sparserec(run, "--user", "7", "-n", "1000")
    assert result.exit_code == 0
    assert result.stderr == f"User 7: only {len(full.items)} of the 1,000 items asked for are left.\n"


def test_names_that_would_steer_the_terminal_are_spelt_out(tmp_path: Path) -> None:
    items = np.array([f"\x1b[{i:02}" for i in range(50)])
    save_model(tmp_path / "model", make_model(item_ids=items))
    result = sparserec(tmp_path / "model", "--user", "1")
    assert "\x1b" not in result.stdout
    assert "'\\x1b[" in result.stdout


def test_an_unknown_number_is_refused_with_its_neighbours(run: Path) -> None:
    result = sparserec(run, "--user", "3", "--user", "34", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: unknown user '34': the model knows 30 users; near it: 27, 28, 29.\n"


def test_an_unknown_name_is_refused_with_names_like_it(named_run: Path) -> None:
    result = sparserec(named_run, "--user", "user-3")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: unknown user 'user-3': the model knows 30 users; near it: ")
    assert "user-03" in result.stderr
    assert sparserec(named_run, "--user", "%%%").stderr == (
        "Error: unknown user '%%%': the model knows 30 users.\n"
    )


@pytest.mark.parametrize("user", ["ann", "1.5", "", "nan", "9" * 5000, "inf", "-inf", "1e999"])
def test_what_is_no_number_is_refused_where_users_are_numbers(run: Path, user: str) -> None:
    result = sparserec(run, "--user", user)
    assert result.exit_code == 1
    assert result.stderr.endswith(": the model knows 30 users, whose ids are integers.\n")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("n", ["0", "-3", "ten", "1.5"])
def test_n_below_one_is_a_usage_error(run: Path, n: str) -> None:
    result = sparserec(run, "--user", "3", "-n", n)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'-n'" in result.stderr


def test_a_user_must_be_named(run: Path) -> None:
    result = sparserec(run)
    assert result.exit_code == 2
    assert "--user" in result.stderr


def test_a_run_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("0 1 2\n1 2 3\n")
    for place, sentence in (
        (tmp_path, "is a directory without a model.safetensors"),
        (tmp_path / "nowhere", "does not exist: expected a run directory"),
        (tmp_path / "text", "is not a sound model file: the header length is"),
        (Path("/dev/null"), "is not a regular file"),
    ):
        result = sparserec(place, "--user", "3")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"Error: {place} {sentence}")
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["recommend", "--user", "3"], ["inspect"]])
def test_nothing_heavy_is_loaded(run: Path, command: list[str]) -> None:
    code = (
        "import sys; from cli.main import main; main(sys.argv[1:], standalone_mode=False);"
        "sys.exit(str([n for n in ('numba', 'llvmlite', 'scipy', 'sklearn') if n in sys.modules] or ''))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command, str(run)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == ""
    assert done.stdout
