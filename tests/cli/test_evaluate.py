"""``sparserec evaluate``: the numbers, in ids of the file's own, and clear refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from sparserec_np.data.formats import read_interactions, write_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.evaluation.beyond import Catalogue
from sparserec_np.evaluation.evaluate import evaluate, evaluate_users
from sparserec_np.evaluation.metrics import per_user
from sparserec_np.evaluation.user_values import UserValues, paired_tests
from sparserec_np.models.table_ranker import TableRanker
from sparserec_np.runtime import Recommender
from sparserec_np.serving.model_file import ServedModel, load_model, save_model
from sparserec_np.serving.packing import pack, write_export
from sparserec_np.serving.slices import keep_users, without_seen
from sparserec_np.training.saving import restore
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train
from tests.makers.served_models import as_lightgcn, make_fism_model, make_model

# Of files whose columns are who, what and stars.
RATED = ("--user-col", "who", "--item-col", "what", "--rating-col", "stars", "--min-rating", "4", "--json")


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
    result = sparserec(run, path, *RATED)
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


def a_model(kind: str) -> ServedModel:
    """Of 30 users and 50 items whose ids have gaps."""
    make = make_fism_model if kind == "fism" else make_model
    return make(user_ids=np.arange(30) * 3, item_ids=np.arange(50) * 10)


def both(folder: Path, model: ServedModel) -> tuple[Path, Path, Path]:
    """The complete file, that without what users had in training, and that as a file of interactions."""
    complete, slim, train = folder / "complete", folder / "slim", folder / "train.csv"
    save_model(complete, model)
    write_export(slim, pack(without_seen(model), "float32"))
    write_interactions(model.seen, train)
    return complete, slim, train


@pytest.mark.parametrize("kind", ["mf", "fism"])
def test_what_users_had_is_read_where_the_file_lacks_it(
    tmp_path: Path, held_out: Path, installed: Any, kind: str
) -> None:
    complete, slim, train = both(tmp_path, a_model(kind))
    words = (held_out, "--k", "3", "--k", "20", "--json")
    wanted = sparserec(complete, *words)
    found = installed("evaluate", slim, *words, "--known", train)
    assert (found.returncode, found.stderr) == (wanted.exit_code, wanted.stderr) == (0, "")
    assert found.stdout == wanted.stdout and json.loads(found.stdout)["users"] == 2
    table = sparserec(slim, held_out, "--known", train)
    assert table.stdout == sparserec(complete, held_out).stdout != ""
    lacking = installed("evaluate", slim, *words)
    assert (lacking.returncode, lacking.stdout) == (1, "")
    assert "was exported without" in lacking.stderr and "--known FILE" in lacking.stderr
    assert lacking.stderr.count("\n") == 1


def test_the_training_file_changes_nothing_of_a_complete_model(tmp_path: Path, held_out: Path) -> None:
    held = (3, 9, 40)  # no edges of the graph, which is that of the model file
    for model in (a_model("mf"), a_model("fism"), as_lightgcn(a_model("mf"), held_out=held)):
        save_model(tmp_path / "complete", model)
        write_interactions(model.seen, tmp_path / "train.csv")
        wanted = sparserec(tmp_path / "complete", held_out, "--json")
        found = sparserec(tmp_path / "complete", held_out, "--known", tmp_path / "train.csv", "--json")
        assert (found.exit_code, found.stderr, found.stdout) == (0, "", wanted.stdout)


@pytest.mark.parametrize("kind", ["mf", "fism", "lightgcn"])
def test_what_is_known_goes_before_what_the_model_has_seen(tmp_path: Path, held_out: Path, kind: str) -> None:
    model = a_model(kind) if kind != "lightgcn" else as_lightgcn(a_model("mf"))
    save_model(tmp_path / "complete", model)
    (tmp_path / "known.csv").write_text("user,item\n0,30\n0,40\n87,50\n")
    found = sparserec(tmp_path / "complete", held_out, "--known", tmp_path / "known.csv", "--json")
    assert (found.exit_code, found.stderr) == (0, "")
    known = Interactions.from_pairs(
        [0, 0, 87], [30, 40, 50], user_ids=model.user_ids, item_ids=model.item_ids
    )
    test = Interactions.from_pairs(
        [0, 0, 0, 87], [10, 20, 490, 30], user_ids=model.user_ids, item_ids=model.item_ids
    )
    users_are = known if kind == "fism" else model.seen
    expected = evaluate(restore(model, users_are).ranker(), test, known, (20,))
    told = json.loads(found.stdout)
    assert {name: told[name] for name in expected} == expected
    assert told["pairs_in_training"] == 0


def test_users_that_the_file_lacks_are_folded_in(tmp_path: Path, held_out: Path) -> None:
    model = a_model("mf")
    slim = tmp_path / "slim"
    write_export(slim, pack(keep_users(model, np.zeros(0, dtype=np.intp)), "float32"))
    write_interactions(model.seen, tmp_path / "train.csv")
    assert "--known FILE" in sparserec(slim, held_out).stderr
    found = sparserec(slim, held_out, "--known", tmp_path / "train.csv", "--json")
    assert (found.exit_code, found.stderr) == (0, "")
    told, hits = json.loads(found.stdout), 0
    recommender = Recommender.open(slim)
    for user, wanted in ((0, {10, 20, 490}), (87, {30})):
        row = user // 3
        own = model.seen_items[model.seen_indptr[row] : model.seen_indptr[row + 1]] * 10
        listed = recommender.recommend_for_items(own.tolist(), 20).items
        hits += len(wanted & set(listed)) / len(wanted) / 2
    assert told["recall@20"] == pytest.approx(hits)
    assert (told["users"], told["unknown_users"], told["dropped_pairs"]) == (2, 1, 2)


def test_what_the_model_does_not_know_is_left_out_of_what_is_known(tmp_path: Path, held_out: Path) -> None:
    for kind, left in (("mf", 2), ("fism", 1)):  # the file of a fism names no users, and takes any
        complete, slim, train = both(tmp_path, a_model(kind))
        train.write_text(train.read_text() + "0,55\n2,10\n")
        found = sparserec(slim, held_out, "--known", train, "--json")
        noun = "interaction" + "s" * (left > 1)
        said = f"{train}: {left} {noun} of users or items that the model does not know left out.\n"
        assert (found.exit_code, found.stderr) == (0, said)
        told, wanted = (
            json.loads(text) for text in (found.stdout, sparserec(complete, held_out, "--json").stdout)
        )
        others = {name for name in told if told[name] != wanted[name]}
        # Of a fism the file tells of one user more, who counts where items are popular.
        assert others == ({"novelty@20", "mean_popularity@20"} if kind == "fism" else set())
        assert told.keys() == wanted.keys()


def test_bad_input_of_what_is_known_is_refused_in_one_sentence(tmp_path: Path, held_out: Path) -> None:
    _, slim, train = both(tmp_path, a_model("fism"))
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "other.csv").write_text("user,item\n0,11\n3,12\n")
    for name, code, said in (
        ("none.csv", 1, "none.csv: No such file"),
        ("empty.csv", 1, "empty.csv"),
        ("other.csv", 1, "No interaction in"),
    ):
        found = sparserec(slim, held_out, "--known", tmp_path / name, "--json")
        assert (found.exit_code, found.stdout) == (code, "")
        assert said in found.stderr and found.stderr.count("\n") == 1
    found = sparserec(slim, "-", "--known", "-")
    assert found.exit_code == 2 and "TEST and --known cannot both be standard input." in found.stderr
    leak = sparserec(slim, train, "--known", train)
    assert leak.exit_code == 0 and f"are in {train}, too; these are never" in leak.stderr


def test_the_reader_options_are_for_both_files(tmp_path: Path) -> None:
    complete, slim, train = both(tmp_path, a_model("fism"))
    rows = [line.split(",") for line in train.read_text().splitlines()[1:]]
    lines = ["what,stars,who", *(f"{item},5,{user}" for user, item in rows), "20,1,0", ""]
    (tmp_path / "rated.csv").write_text("\n".join(lines))
    (tmp_path / "test.csv").write_text("what,stars,who\n10,5,0\n490,4,3\n30,5,87\n")
    wanted = sparserec(complete, tmp_path / "test.csv", *RATED)
    found = sparserec(slim, tmp_path / "test.csv", *RATED, "--known", tmp_path / "rated.csv")
    assert (found.exit_code, found.stdout) == (0, wanted.stdout)


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


@pytest.fixture
def rivals(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Two runs, the second of which lacks user 0 and item 490, and a test file of four users."""
    for name, seed, users, items in (("one", 0, np.arange(30), 50), ("two", 1, np.arange(1, 31), 49)):
        model = make_model(user_ids=users * 3, item_ids=np.arange(items) * 10, n_items=items, seed=seed)
        save_model(tmp_path / name, model)
    rng = np.random.default_rng(0)
    lines = [f"{user} {' '.join(map(str, rng.permutation(49)[:8] * 10))}" for user in (0, 3, 30, 60, 61)]
    (tmp_path / "many.txt").write_text("\n".join(lines) + " 490\n")
    return tmp_path / "one", tmp_path / "two", tmp_path / "many.txt"


def values_in(run: Path, test_file: Path, users: list[int], catalogue: Catalogue | None = None) -> UserValues:
    """What the library measures of some users."""
    model = load_model(run)
    test = read_interactions(test_file).aligned_to(model.seen)[0]
    test = test.subset(np.isin(model.user_ids[test.pair_users()], users))
    return evaluate_users(restore(model), test, model.seen, (5,), catalogue=catalogue)


def test_runs_side_by_side_are_compared_over_the_users_whom_all_know(
    rivals: tuple[Path, Path, Path], tmp_path: Path, installed: Any
) -> None:
    one, two, test_file = rivals
    words = (one, two, test_file, "--k", "5", "--intervals", "--seed", "3")
    done = installed("evaluate", *words, "--json", "--per-user", tmp_path / "users.csv")
    assert done.returncode == 0
    shared = (f"{test_file}: 5 interactions of 32 were in", f"{test_file}: 3 interactions of 24 were in")
    for line, start, run in zip(done.stderr.splitlines(), shared, (one, two), strict=True):
        assert line.startswith(f"{start} training of {run}, too; these are never")
    told = json.loads(done.stdout)
    assert (told["users"], told["users_left_out"]) == (3, 1)
    first = load_model(one)
    catalogue = Catalogue.of(first.seen, first.items)
    users = [3, 30, 60]
    measured = [values_in(run, test_file, users, catalogue) for run in (one, two)]
    for values, run, found in zip(measured, (one, two), told["runs"], strict=True):
        assert found["run"] == str(run) and found["unknown_users"] == 1 + (run == two)
        assert {name: found[name] for name in values.summary} == pytest.approx(values.summary)
        assert found["intervals"] == {name: list(ends) for name, ends in values.intervals(seed=3).items()}
    wanted = paired_tests(measured[0], measured[1:], seed=3)
    assert [(t["metric"], t["difference"], t["p"], t["p_holm"]) for t in told["tests"]] == [
        (test.name, test.difference, test.p, test.p_holm) for test in wanted
    ]
    assert {(t["run"], t["against"]) for t in told["tests"]} == {(str(two), str(one))}
    lines = (tmp_path / "users.csv").read_text().splitlines()
    assert lines[0].split(",") == ["run", "user", *measured[0].values]
    assert [line.split(",")[:2] for line in lines[1:]] == [
        [str(run), str(u)] for run in (one, two) for u in users
    ]
    assert float(lines[1].split(",")[2]) == measured[0].values["recall@5"][0]
    shown = sparserec(*words).stdout
    assert "corrected for 9 tests (Holm)" in shown and "95 % from" in shown
    assert "averaged over: 3. 1 user left out, whom only some of the models know.\n" in shown
    assert f"Left out as unseen in training of {two}: users 2, items 1, and" in shown


def test_baselines_stand_beside_the_run(run: Path, held_out: Path) -> None:
    model = load_model(run)
    found = json.loads(sparserec(run, held_out, "--baselines", "--json").stdout)
    assert [one["run"] for one in found["runs"]] == [str(run), "popularity", "itemknn"]
    assert found["users_left_out"] == 0 and len(found["tests"]) == 18
    alone = json.loads(sparserec(run, held_out, "--json").stdout)
    assert {name: found["runs"][0][name] for name in alone} == pytest.approx(alone)
    test = Interactions.from_pairs(
        [0, 0, 0, 87], [10, 20, 490, 30], user_ids=model.user_ids, item_ids=model.item_ids
    )
    for one in found["runs"][1:]:
        counted = train(model.seen, Config(model=one["run"], validation=0))
        expected = evaluate(counted, test, model.seen)
        own = expected.pop("intra_list_similarity@20")  # the rows of the first model are asked, not its own
        assert {name: one[name] for name in expected} == pytest.approx(expected)
        assert one["intra_list_similarity@20"] != pytest.approx(own)


def test_a_baseline_that_cannot_be_counted_is_left_out(
    run: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparserec_np.models.baselines.MOST_ITEMS", 49)
    found = sparserec(run, held_out, "--baselines", "--json")
    assert [one["run"] for one in json.loads(found.stdout)["runs"]] == [str(run), "popularity"]
    assert found.stderr.startswith("itemknn is left out: The model itemknn needs a column")
    assert found.stderr.count("\n") == 1


def test_figures_of_users_are_written_whole_or_not_at_all(run: Path, held_out: Path, tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    found = sparserec(run, held_out, "--k", "1", "--k", "5", "--per-user", path, "--json")
    assert found.exit_code == 0, found.output
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    told = json.loads(found.stdout)
    assert told == json.loads(sparserec(run, held_out, "--k", "1", "--k", "5", "--json").stdout)
    assert [row["user"] for row in rows] == ["0", "87"]
    assert sum(float(row["recall@5"]) for row in rows) / 2 == pytest.approx(told["recall@5"])
    assert {row["intra_list_similarity@1"] for row in rows} == {""} and told[
        "intra_list_similarity@1"
    ] is None
    nowhere = sparserec(run, held_out, "--per-user", tmp_path / "no" / "users.csv")
    assert (nowhere.exit_code, nowhere.stdout) == (1, "") and nowhere.stderr.count("\n") == 1
    assert {one.name for one in tmp_path.iterdir()} == {"model.safetensors", "test.txt", "users.csv"}


def test_conventions_are_options(run: Path, held_out: Path) -> None:
    usual, other = (
        json.loads(sparserec(run, held_out, "--k", "2", "--json", *words).stdout)
        for words in ((), ("--recall-of", "reachable", "--map-of", "relevant"))
    )
    model = load_model(run)
    test = read_interactions(held_out).aligned_to(model.seen)[0]
    expected = evaluate(restore(model), test, model.seen, (2,), metrics=per_user("reachable", "relevant"))
    assert {name: other[name] for name in expected} == expected
    assert {name: usual[name] for name in usual if name not in ("recall@2", "map@2")} == {
        name: other[name] for name in other if name not in ("recall@2", "map@2")
    }
    assert sparserec(run, held_out, "--map-of", "all").exit_code == 2


def test_runs_that_share_no_test_user_are_refused(rivals: tuple[Path, Path, Path], tmp_path: Path) -> None:
    one, two, _ = rivals
    (tmp_path / "apart.csv").write_text("user,item\n0,10\n90,20\n")
    found = sparserec(one, two, tmp_path / "apart.csv", "--json")
    assert (found.exit_code, found.stdout) == (1, "")
    assert "known to all of the runs" in found.stderr and found.stderr.count("\n") == 1
    alone = sparserec(one)
    assert alone.exit_code == 2 and "Missing argument" in alone.stderr
