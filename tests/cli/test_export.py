"""``sparserec export``: a smaller file that is served, with byte counts and losses that are true."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from sparserec_np.data.interactions import Interactions
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.models.table_ranker import TableRanker
from sparserec_np.runtime import Recommender
from sparserec_np.serving.model_file import ServedModel, load_model, save_model
from tests.makers.served_models import make_fism_model, make_model

MODEL = make_model(n_users=60, n_items=50, item_ids=np.arange(50) * 10, seed=4)


def sparserec(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, words)])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    save_model(tmp_path / "model.safetensors", MODEL)
    return tmp_path


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    """Two items that a user has not seen, for each."""
    rng = np.random.default_rng(0)
    lines = []
    for user in range(60):
        seen = MODEL.seen_items[MODEL.seen_indptr[user] : MODEL.seen_indptr[user + 1]]
        lines += [f"{user},{item * 10}" for item in rng.choice(np.setdiff1d(np.arange(50), seen), 2, False)]
    path = tmp_path / "test.csv"
    path.write_text("user,item\n" + "\n".join(lines) + "\n")
    return path


def metrics(model: ServedModel, held_out: Path) -> dict[str, float]:
    from sparserec_np.data.formats import read_interactions

    seen = Interactions(MODEL.seen_indptr, MODEL.seen_items, MODEL.user_ids, MODEL.item_ids)
    test, _ = read_interactions(str(held_out)).aligned_to(seen)
    report = evaluate(TableRanker(model.users, model.items, model.dim), test, seen)
    return {name: report[name] for name in ("recall@20", "ndcg@20")}


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_what_is_reported_is_so(run: Path, held_out: Path, dtype: str) -> None:
    output = run / "device.safetensors"
    result = sparserec("export", run, "-o", output, "--dtype", dtype, "--test", held_out, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert report["file_bytes"] == output.stat().st_size
    served = Recommender.open(output).inspect()
    assert {**served["bytes"], "seen": served["seen_bytes"]} == {
        name: count for name, count in report["bytes_after"].items() if name != "tables"
    }
    assert served["values"] == report["dtype"] == dtype
    before = Recommender.open(run).inspect()["bytes"]
    assert report["bytes_before"]["total"] == before["total"]
    assert report["dense_bytes"] == 4 * 8 * 110
    tables = served["bytes"]["total"] - served["bytes"]["ids"]
    assert report["tables_of_dense"] == tables / report["dense_bytes"]
    assert report["metrics_before"] == pytest.approx(metrics(MODEL, held_out))
    assert report["metrics_after"] == pytest.approx(metrics(load_model(output), held_out))
    for name, part in report["lost"].items():
        assert part == pytest.approx(1 - report["metrics_after"][name] / report["metrics_before"][name])
    assert report["measured_users"] == 60


def test_without_a_test_file_the_lists_are_compared(run: Path) -> None:
    report = json.loads(sparserec("export", run, "-o", run / "same", "--dtype", "float32", "--json").stdout)
    assert (report["overlap@20"], report["measured_users"]) == (1.0, 60)
    report = json.loads(sparserec("export", run, "-o", run / "folds", "--drop", "users", "--json").stdout)
    assert 0.4 < report["overlap@20"] < 1
    assert report["users"] == 0


def test_the_table_says_the_same(run: Path, held_out: Path) -> None:
    output = run / "device"
    result = sparserec("export", run, "-o", output, "--test", held_out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search(r"^tables +[\d,]+ +[\d,]+$", result.stdout, re.MULTILINE)
    assert re.search(
        r"ndcg@20 over 60 users: 0\.\d{4} before, 0\.\d{4} after; lost -?\d+\.\d\d%\.", result.stdout
    )
    assert f"Written to {output}: {output.stat().st_size:,} B." in result.stdout
    plain = sparserec("export", run, "-o", output).stdout
    assert "stays." in plain and "weights" not in plain


def test_weights_have_a_line_where_there_are_any(tmp_path: Path) -> None:
    model = make_fism_model()
    save_model(tmp_path / "model.safetensors", model)
    result = sparserec("export", tmp_path, "-o", tmp_path / "device")
    assert (result.exit_code, result.stderr) == (0, "")
    filled = np.count_nonzero(np.diff(model.items.indptr))
    before, after = 4 * model.items.rows, 5 * filled  # a byte each, and the levels, all of which differ
    assert re.search(rf"^ids .*\nweights +{before} +{after}\nseen ", result.stdout, re.MULTILINE)


def test_slices_hold_what_was_asked_for(run: Path) -> None:
    (run / "users.txt").write_text("7\n3\n\n7\n")
    (run / "items.txt").write_text("\n".join(str(item * 10) for item in range(0, 50, 2)))
    output = run / "device"
    words = ["--users", run / "users.txt", "--items", run / "items.txt", "--dtype", "float32"]
    report = json.loads(sparserec("export", run, "-o", output, *words, "--json").stdout)
    assert (report["users"], report["items"]) == (2, 25)
    recommender = Recommender.open(output)
    assert recommender.user_ids.to_array().tolist() == [3, 7]
    candidates = list(range(0, 500, 20))
    assert recommender.recommend(7, 5) == Recommender.open(run).recommend(7, 5, items=candidates)


@pytest.mark.parametrize("option", ["--users", "--items"])
def test_one_slice_alone_is_measured(run: Path, option: str, held_out: Path) -> None:
    (run / "ids.txt").write_text("\n".join(str(name * 10) for name in range(5)))
    for words in ([], ["--test", held_out]):
        result = sparserec("export", run, "-o", run / "device", option, run / "ids.txt", "--json", *words)
        assert (result.exit_code, result.stderr) == (0, "")
        assert json.loads(result.stdout)[option.strip("-")] == 5


def test_an_export_is_exported_again(run: Path) -> None:
    for drop in ("users", "seen"):
        sparserec("export", run, "-o", run / "once", "--drop", drop)
        result = sparserec("export", run / "once", "-o", run / "twice")
        assert (result.exit_code, result.stderr) == (0, "")
        assert "What it cost in the lists is unknown" in result.stdout
    again = sparserec("export", run / "once", "-o", run / "twice", "--test", run / "once")
    assert again.exit_code == 1
    assert "export from the run it came from" in again.stderr


@pytest.mark.parametrize(
    ("content", "option", "sentence"),
    [
        ("99\n", "--users", "unknown user '99': the model knows 60 users; near it: 57, 58, 59."),
        ("5\n", "--items", "unknown item '5': the model knows 50 items; near it: 0, 10, 20."),
        ("\n \n", "--items", "holds no ids; expected one item id a line"),
        (b"\xff\xfe", "--users", "is not text in UTF-8"),
        ("1,2\n", "--test", "No interaction in"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
    run: Path, content: str | bytes, option: str, sentence: str
) -> None:
    (run / "given.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    result = sparserec("export", run, "-o", run / "device", option, run / "given.csv")
    assert (result.exit_code, result.stdout) == (1, "")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (run / "device").exists()


def test_values_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = make_model()
    model.items.values[0] = 1e6
    save_model(tmp_path / "model.safetensors", model)
    result = sparserec("export", tmp_path, "-o", tmp_path / "device", "--dtype", "float16")
    assert result.exit_code == 1
    assert "items.values reach beyond 65,504" in result.stderr


@pytest.mark.parametrize("words", [[], ["-o", "x", "--dtype", "int4"], ["-o", "x", "--drop", "items"]])
def test_wrong_options_are_usage_errors(run: Path, words: list[str]) -> None:
    assert sparserec("export", run, *words).exit_code == 2


def test_missing_places_are_named(run: Path) -> None:
    result = sparserec("export", run, "-o", run / "no" / "device")
    assert result.exit_code == 1
    assert "no: No such folder" in result.stderr and len(result.stderr.splitlines()) == 1
    assert "does not exist" in sparserec("export", run / "none", "-o", run / "device").stderr


def test_an_export_without_users_or_seen_items_is_not_evaluated(run: Path, held_out: Path) -> None:
    for drop in ("users", "seen"):
        sparserec("export", run, "-o", run / "device", "--drop", drop)
        result = sparserec("evaluate", run / "device", held_out)
        assert result.exit_code == 1
        assert "was exported without" in result.stderr
