"""``sparserec train`` through its installed command: files written, settings taken, refusals."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sparserec_np.data.formats import write_interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.data.synthetic import generate

QUICK = (
    *("--epochs", "3", "--dim", "16", "--evaluate-every", "1", "--negatives", "64", "--batch-size", "512"),
    *("--learning-rate", "0.01"),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of a train and a test file."""
    folder = tmp_path_factory.mktemp("data")
    log = generate(n_users=300, n_items=200, n_interactions=5000, groups=6, seed=1)
    kept, test = split_random(log, 0.2, np.random.default_rng(0))
    write_interactions(kept, folder / "train.csv")
    write_interactions(test, folder / "test.csv")
    return str(folder / "train.csv"), str(folder / "test.csv")


def digest(run):
    """Of the model file, which is there only if training went well."""
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_holds_settings_records_and_a_model(installed, files, tmp_path):
    made = installed("train", files[0], "-o", str(tmp_path / "r"), *QUICK, "--density", "0.2", "--json")
    assert made.returncode == 0, made.stderr
    report = json.loads(made.stdout)
    settings = json.loads((tmp_path / "r" / "config.json").read_text())
    assert settings["density"] == 0.2 and settings["dim"] == 16 and settings["data"]["train"] == files[0]
    records = lines(tmp_path / "r")
    search = [(record["start"], record["epoch"]) for record in records if record["phase"] == "search"]
    assert search == [(start, epoch) for start in ("spectral", "condensed") for epoch in range(4)]
    assert settings["start"] in ("spectral", "condensed")
    assert {"epoch", "seconds", "loss", "nnz", "rows_without_entries"} <= set(records[1])
    assert {record["nnz"] for record in records} == {report["nnz"]} == {report["budget"]}
    inspected = json.loads(installed("inspect", str(tmp_path / "r"), "--json").stdout)
    assert inspected["nnz"] == report["nnz"] and inspected["bytes"]["total"] == report["serving_bytes"]
    evaluated = json.loads(installed("evaluate", str(tmp_path / "r"), files[1], "--json").stdout)
    assert evaluated["recall@20"] > 0.15


@pytest.mark.parametrize("words", [(), ("--loss", "bpr", "--negatives", "1")])
def test_pairs_in_cells(run, files, tmp_path, words):
    quick = (*QUICK, "--density", "0.2", "--order", "cells", *words)
    made = run("train", files[0], "-o", str(tmp_path / "r"), *quick, "--json", "--threads", "1")
    assert made.returncode == 0, made.stderr
    assert json.loads((tmp_path / "r" / "config.json").read_text())["order"] == "cells"
    assert "pairs" in json.loads(made.stdout)["memory"]
    evaluated = json.loads(run("evaluate", str(tmp_path / "r"), files[1], "--json").stdout)
    assert evaluated["recall@20"] > 0.15
    again = run("train", files[0], "-o", str(tmp_path / "again"), *quick, "--json")
    assert again.returncode == 0, again.stderr
    assert digest(tmp_path / "r") == digest(tmp_path / "again")


def test_what_does_not_go_in_cells_is_refused(installed, files, tmp_path):
    made = installed("train", files[0], "-o", str(tmp_path / "r"), "--order", "cells", "--model", "lightgcn")
    assert (
        made.returncode == 2
        and "model cannot be 'lightgcn'" in made.stderr
        and "Traceback" not in made.stderr
    )
    assert not (tmp_path / "r").exists()


def test_least_squares_in_very_many_columns_are_refused(run, files, tmp_path):
    made = run("train", files[0], "-o", str(tmp_path / "r"), "--start", "als", "--dim", "65536")
    assert made.returncode == 2 and "Traceback" not in made.stderr
    assert "dim must be at most 4,096 with the start als" in made.stderr
    assert not (tmp_path / "r").exists()


def test_neumf_is_trained_evaluated_served_and_weighed(run, files, tmp_path):
    words = ("--model", "neumf", "--hidden", "8")
    made = run("train", files[0], "-o", str(tmp_path / "r"), *QUICK, *words, "--density", "0.2", "--json")
    assert made.returncode == 0, made.stderr
    report = json.loads(made.stdout)
    assert report["model"] == "neumf" and report["nnz"] == report["budget"]
    inspected = json.loads(run("inspect", str(tmp_path / "r"), "--json").stdout)
    assert inspected["bytes"]["weights"] == 4 * (2 * 4 * 8 + 8 + 8 * 4 + 4 + 4 + 12)
    assert inspected["bytes"]["total"] == report["serving_bytes"]
    evaluated = json.loads(run("evaluate", str(tmp_path / "r"), files[1], "--json").stdout)
    assert evaluated["recall@20"] > 0.15
    listed = json.loads(run("recommend", str(tmp_path / "r"), "--user", "1", "-n", "3", "--json").stdout)
    assert len(listed["items"]) == 3 and listed["scores"] == sorted(listed["scores"], reverse=True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--similarity", "cosine"), "can be no cosines"),
        (("--loss", "bsl"), "set loss to softmax, bpr or bce"),
        (("--temperature", "0.2"), "divided by a temperature"),
        (("--layers", "2"), "layers is no setting of the model neumf"),
    ],
)
def test_what_neumf_cannot_be_told_is_refused(run, files, tmp_path, words, sentence):
    made = run("train", files[0], "-o", str(tmp_path / "r"), "--model", "neumf", *words)
    assert made.returncode == 2
    assert sentence in made.stderr and "Traceback" not in made.stderr
    assert not (tmp_path / "r").exists()


def test_the_kept_epoch_is_the_best_on_validation(run, files, tmp_path):
    made = run("train", files[0], "-o", str(tmp_path / "r"), *QUICK, "--json")
    report = json.loads(made.stdout)
    settings = json.loads((tmp_path / "r" / "config.json").read_text())
    searched = (r for r in lines(tmp_path / "r") if r["phase"] == "search")
    search = {(r["start"], r["epoch"]): r["ndcg@20"] for r in searched}
    assert (settings["start"], report["best_epoch"]) == max(search, key=search.__getitem__)
    assert report["validation_ndcg@20"] == max(search.values())
    refit = [r["epoch"] for r in lines(tmp_path / "r") if r["phase"] == "refit"]
    assert refit == list(range(report["best_epoch"] + 1))


def test_a_run_can_be_run_again_from_its_settings(run, installed, files, tmp_path):
    run("train", files[0], "-o", str(tmp_path / "a"), *QUICK, "--seed", "5")
    installed("train", "-o", str(tmp_path / "b"), "--config", str(tmp_path / "a" / "config.json"))
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    run(
        *("train", "-o", str(tmp_path / "c"), "--config", str(tmp_path / "a" / "config.json"), "--seed", "6"),
    )
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_the_model_does_not_depend_on_the_number_of_threads(installed, files, tmp_path):
    for threads in ("1", "2"):
        installed("train", files[0], "-o", str(tmp_path / threads), *QUICK, "--threads", threads)
    assert digest(tmp_path / "1") == digest(tmp_path / "2")


def test_a_memory_budget_is_kept_to_the_byte(run, files, tmp_path):
    made = run("train", files[0], "-o", str(tmp_path / "r"), *QUICK, "--memory-budget", "12kB")
    assert made.returncode == 0, made.stderr
    assert "4 B value + 1 B column" in made.stdout
    inspected = json.loads(run("inspect", str(tmp_path / "r"), "--json").stdout)
    assert 12_000 - 5 < inspected["bytes"]["total"] <= 12_000


@pytest.mark.parametrize("words", [("--dim", "8"), ("--dim", "300"), ("--model", "fism", "--dim", "300")])
def test_entries_are_as_many_in_any_width(run, files, tmp_path, words):
    quick = (*QUICK, "--epochs", "1", "--start", "uniform", "--validation", "0", *words)
    made = run("train", files[0], "-o", str(tmp_path / "r"), *quick, "--entries", "1234", "--json")
    assert made.returncode == 0, made.stderr
    report = json.loads(made.stdout)
    assert report["nnz"] == report["budget"] == 1234
    settings = json.loads((tmp_path / "r" / "config.json").read_text())
    assert (settings["entries"], settings["memory_budget"]) == (1234, None)
    assert json.loads(run("inspect", str(tmp_path / "r"), "--json").stdout)["nnz"] == 1234


def test_a_budget_goes_before_that_of_the_configuration(run, files, tmp_path):
    given = {"density": ("--density", "0.2"), "entries": ("--entries", "900")}
    given["memory_budget"] = ("--memory-budget", "9kB")
    values = {"density": 0.2, "entries": 900, "memory_budget": 9000}
    for former in ("entries", "memory_budget"):
        (tmp_path / "c.json").write_text(json.dumps({former: values[former] + 1}))
        for name, words in given.items():
            quick = (*QUICK, "--epochs", "0", "--start", "uniform", "--config", str(tmp_path / "c.json"))
            made = run("train", files[0], "-o", str(tmp_path / "r"), "--overwrite", *quick, *words)
            assert made.returncode == 0, made.stderr
            settings = json.loads((tmp_path / "r" / "config.json").read_text())
            found = {budget: settings[budget] for budget in ("entries", "memory_budget")}
            assert found == {budget: values[budget] if budget == name else None for budget in found}
            assert settings["density"] == (0.2 if name == "density" else 0.1)


def test_a_configuration_with_two_budgets_is_refused(installed, files, tmp_path):
    (tmp_path / "c.json").write_text('{"entries": 900, "memory_budget": 9000}')
    made = installed("train", files[0], "-o", str(tmp_path / "r"), "--config", str(tmp_path / "c.json"))
    assert (made.returncode, made.stdout) == (2, "")
    assert made.stderr.count("\n") == 1 and "entries and memory_budget both name the budget" in made.stderr
    assert not (tmp_path / "r").exists()


def test_a_validation_file_is_chosen_by_and_not_trained_on(run, files, tmp_path):
    made = run("train", files[0], "-o", str(tmp_path / "r"), *QUICK, "--validation", files[1], "--json")
    assert made.returncode == 0, made.stderr
    assert {record["phase"] for record in lines(tmp_path / "r")} == {"search"}
    assert json.loads((tmp_path / "r" / "config.json").read_text())["data"]["validation"] == files[1]


def test_without_validation_all_epochs_are_trained(run, files, tmp_path):
    made = run("train", files[0], "-o", str(tmp_path / "r"), *QUICK, "--validation", "0", "--json")
    assert json.loads(made.stdout)["best_epoch"] == 3
    assert [record["epoch"] for record in lines(tmp_path / "r")] == [0, 1, 2, 3]


def test_standard_input_is_a_file(installed, files, tmp_path):
    with open(files[0], "rb") as stream:
        made = installed("train", "-", "-o", str(tmp_path / "r"), *QUICK, stdin=stream.read())
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--density", "0"), 2, "density"),
        (("--density", "1.5"), 2, "density"),
        (("--memory-budget", "100B"), 2, "impossible"),
        (("--memory-budget", "much"), 2, "1.5MB"),
        (("--density", "0.1", "--memory-budget", "1MB"), 2, "Give --density or --memory-budget, not both."),
        (("--density", "0.1", "--entries", "99"), 2, "Give --density or --entries, not both."),
        (("--entries", "99", "--memory-budget", "1MB"), 2, "Give --entries or --memory-budget, not both."),
        (
            ("--memory-budget", "1MB", "--entries", "99", "--density", "0.1"),
            2,
            "Give --density or --entries or --memory-budget, not all.",
        ),
        (("--entries", "0"), 2, "0 is not in the range"),
        (("--entries", "1e3"), 2, "'1e3' is not a valid integer"),
        (("--entries", "8001"), 2, "500 rows of 16 columns hold 1 to 8,000"),
        (
            ("--entries", "2001", "--model", "fism", "--dim", "10"),
            2,
            "200 rows of 10 columns hold 1 to 2,000",
        ),
        (("--methd", "set"), 2, "--method"),
        (("--method", "sets"), 2, "'set'"),
        (("--loss", "softmax", "--negatives", "1"), 2, "block"),
        (("--learning-rate", "0"), 2, "learning_rate"),
        (("--learning-rate", "1e30"), 1, "learning-rate"),
        (("--validation", "missing.csv"), 1, "missing.csv"),
        (("--validation", "0.95"), 2, "validation"),
        (("--config", "missing.json"), 1, "missing.json"),
        (("--validation", "-"), 1, "standard input is empty"),
    ],
)
def test_a_wrong_setting_is_refused_in_a_sentence(run, files, tmp_path, options, code, said):
    made = run("train", files[0], "-o", str(tmp_path / "r"), *QUICK, *options)
    assert made.returncode == code
    assert said in made.stderr and "Traceback" not in made.stderr
    assert not (tmp_path / "r" / "model.safetensors").exists()


def test_a_wrong_file_is_refused(installed, files, tmp_path):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("user,item\n1,2\n3\n")
    made = installed("train", str(wrong), "-o", str(tmp_path / "r"))
    assert made.returncode == 1 and "wrong.csv" in made.stderr and "line 3" in made.stderr
    made = installed("train", str(tmp_path / "none.csv"), "-o", str(tmp_path / "r"))
    assert made.returncode == 1 and "none.csv" in made.stderr
    made = installed("train", "-o", str(tmp_path / "r"))
    assert made.returncode == 2 and "TRAIN" in made.stderr
    assert not (tmp_path / "r").exists()


def test_an_unknown_key_of_a_configuration_is_refused(run, files, tmp_path):
    (tmp_path / "c.json").write_text('{"densty": 0.1}')
    made = run("train", files[0], "-o", str(tmp_path / "r"), "--config", str(tmp_path / "c.json"))
    assert made.returncode == 2 and "'density'" in made.stderr


def test_a_finished_run_is_replaced_only_where_that_is_said(run, files, tmp_path):
    place, short = tmp_path / "r", ("--model", "popularity", "--json")
    train = ("train", files[0], "-o", str(place))
    (tmp_path / "r").mkdir()
    (place / "metrics.jsonl").write_text("{}\n")  # of a training that was killed, which is no run
    (place / ".model.safetensors.0123456789abcdef.unfinished").write_text("half")
    assert run(*train, *short).returncode == 0
    before = digest(place)
    refused = run(*train, "--model", "itemknn", "--json")
    assert refused.returncode == 2 and refused.stdout == ""
    assert (
        refused.stderr
        == f"Error: {place} holds a finished run: name another, or say --overwrite to replace it\n"
    )
    assert digest(place) == before
    distilled = run("distill", str(place), files[0], "-o", str(place))
    assert distilled.returncode == 2
    assert run(*train, "--model", "itemknn", "--json", "--overwrite").returncode == 0
    assert digest(place) != before


def test_a_directory_of_other_things_is_not_written_to(run, files, tmp_path):
    (tmp_path / "thesis.tex").write_text("words")
    made = run("train", files[0], "-o", str(tmp_path), *QUICK)
    assert made.returncode == 1 and "thesis.tex" in made.stderr
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"densty": 0.1}', "'density'"),
        (b"[1]", "one JSON object"),
        (b"density: 0.1", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"data": 5}', "data"),
        (b'{"data": {"trian": "x.csv"}}', "'train'"),
        (b'{"data": {"train": 5}}', "train"),
        (b'{"data": {"validation": 3}}', "validation"),
        (b'{"data": {"reader": [1]}}', "reader"),
        (b'{"data": {"reader": {"frmat": "csv"}}}', "'format'"),
        (b'{"data": {"reader": {"min_rating": "x"}}}', "min_rating"),
        (b'{"data": {"reader": {"min_rating": true}}}', "min_rating"),
        (b'{"data": {"reader": {"user_col": 1.5}}}', "user_col"),
    ],
)
def test_a_configuration_that_is_none_is_refused_in_a_sentence(run, files, tmp_path, text, said):
    (tmp_path / "c.json").write_bytes(text)
    made = run("train", files[0], "-o", str(tmp_path / "r"), "--config", str(tmp_path / "c.json"))
    assert made.returncode == 2 and said in made.stderr and "Traceback" not in made.stderr
    assert not (tmp_path / "r").exists()


def test_reader_options_go_before_those_of_the_configuration_one_by_one(run, tmp_path):
    lines_of_file = [f"{n % 9},{n % 7},{n % 5 + 1}" for n in range(63)]
    (tmp_path / "log.csv").write_text("who,what,liked\n" + "\n".join(lines_of_file) + "\n")
    columns = ("--user-col", "who", "--item-col", "what", "--rating-col", "liked")
    made = run("train", str(tmp_path / "log.csv"), "-o", str(tmp_path / "a"), *QUICK, *columns)
    assert made.returncode == 0, made.stderr
    config = str(tmp_path / "a" / "config.json")
    made = run("train", "-o", str(tmp_path / "b"), "--config", config, "--min-rating", "3")
    assert made.returncode == 0, made.stderr
    reader = json.loads((tmp_path / "b" / "config.json").read_text())["data"]["reader"]
    assert reader == {"user_col": "who", "item_col": "what", "rating_col": "liked", "min_rating": 3.0}


@pytest.mark.parametrize("where", ["", "file/run", "/proc/run"])
def test_a_place_that_cannot_be_written_to_is_refused_before_anything_is_read(run, tmp_path, where):
    (tmp_path / "file").write_text("")
    place = where if where.startswith("/") or not where else str(tmp_path / where)
    if where.startswith("/") and not os.path.isdir("/proc"):
        pytest.skip("a folder that nobody can write to is needed")
    made = run("train", str(tmp_path / "there-is-no-such-file.csv"), "-o", place)
    assert made.returncode in (1, 2) and "no-such-file" not in made.stderr, made.stderr
    assert "Traceback" not in made.stderr and len(made.stderr.strip().splitlines()) == 1


def test_the_budget_shown_is_the_one_the_method_spends(run, files, tmp_path):
    for method in ("dense", "dense-small"):
        made = run("train", files[0], "-o", str(tmp_path / method), *QUICK, "--method", method)
        nnz = json.loads(run("inspect", str(tmp_path / method), "--json").stdout)["nnz"]
        assert f"Budget: {nnz:,} entries" in made.stdout


def test_what_a_validation_file_cannot_tell_is_counted_and_said(run, files, tmp_path):
    own = Path(files[1]).read_text().splitlines()
    shared = Path(files[0]).read_text().splitlines()[1:11]
    (tmp_path / "v.csv").write_text("\n".join([*own, *shared, "nobody,nothing"]) + "\n")
    made = run(
        *(
            "train",
            files[0],
            "-o",
            str(tmp_path / "r"),
            *QUICK,
            "--validation",
            str(tmp_path / "v.csv"),
            "--json",
        )
    )
    assert made.returncode == 0, made.stderr
    report = json.loads(made.stdout)
    assert report["validation_dropped_pairs"] == 1 and report["validation_pairs_in_training"] == 10
    assert "1 interaction" in made.stderr and "10 interactions" in made.stderr


def test_a_validation_file_of_training_interactions_alone_is_refused(run, files, tmp_path):
    made = run("train", files[0], "-o", str(tmp_path / "r"), *QUICK, "--validation", files[0])
    assert made.returncode == 1 and "nothing to choose by" in made.stderr


def test_standard_input_cannot_be_two_files(run, tmp_path):
    made = run("train", "-", "-o", str(tmp_path / "r"), "--validation", "-", stdin=b"1 2 3\n")
    assert made.returncode == 2 and "standard input" in made.stderr


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal to write to")
def test_progress_on_a_terminal_never_runs_past_its_end(files, tmp_path):
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "train", files[0], "-o", str(tmp_path / "r"), *QUICK, "--json"],
        stderr=theirs,
        stdout=subprocess.PIPE,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    best = json.loads(process.communicate()[0])["best_epoch"]
    steps = [tuple(map(int, found)) for found in re.findall(rb"(\d+)/(\d+)", shown)]
    assert steps and all(done <= length for done, length in steps)
    assert b"Search" in shown and (3, 3) in steps
    assert best == 0 or (b"Refit" in shown and (best, best) in steps)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_saves_the_best_state_so_far(files, tmp_path):
    made = tmp_path / "r"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "cli",
            "train",
            files[0],
            "-o",
            str(made),
            *QUICK,
            "--epochs",
            "9999",
            "--patience",
            "0",
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (made / ".training" / "metrics.jsonl").exists() or len(lines_so_far(made)) < 3:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert "Interrupted" in said and "Traceback" not in said
    assert (made / "model.safetensors").exists() and process.returncode == 0
    assert sorted(os.listdir(made)) == ["config.json", "metrics.jsonl", "model.safetensors"]


def lines_so_far(run):
    return (run / ".training" / "metrics.jsonl").read_text().splitlines()
