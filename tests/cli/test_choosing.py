"""What `train` says of the choice of model, width and start, and what it writes down."""

from __future__ import annotations

import json

import pytest

from cli.choosing import said_of, warn_of_baseline
from sparserec_np import SparseRec
from sparserec_np.data.synthetic import generate
from sparserec_np.training.choosing import Choice
from sparserec_np.training.run_directory import load_run
from sparserec_np.training.settings import Config


def look(model, ndcg, **more):
    return {"model": model, "ndcg@20": ndcg, "dim": 64, "nnz": 1234, "start": "spectral", **more}


LOOKS = (
    look("fism", 0.2, dim=1024, user_rows="sum"),
    look("fism", 0.3, start="als", user_rows="ridge"),
    look("mf", 0.1),
    look("mf", 0.15, start="condensed"),
    look("itemknn", 0.25),
)


def test_a_line_tells_what_was_chosen_and_compared():
    assert said_of(Choice(Config(), LOOKS)) == (
        "\nChosen: fism 64 (als, ridge), the best of 4 starts looked at: validation ndcg@20 0.3000;"
        " itemknn 0.2500; mf 64 (condensed) 0.1500"
    )
    assert said_of(Choice(Config(), LOOKS[:1])).endswith("the only start: validation ndcg@20 0.2000")
    assert said_of(Choice(Config(), LOOKS[:1], users=20_000)).endswith("0.2000 (20,000 users drawn)")
    assert said_of(Choice(Config())) == ""


@pytest.mark.parametrize(("looks", "warned"), [(LOOKS, False), ((LOOKS[0], *LOOKS[2:]), True), ((), False)])
def test_a_baseline_that_wins_is_named(looks, warned, capsys):
    warn_of_baseline(Choice(Config(), looks))
    said = capsys.readouterr()
    assert said.out == ""
    sentence = "itemknn ranks the part held out for the choice better (0.2500) than what was chosen (0.2000)"
    assert (sentence in said.err) == warned and bool(said.err) == warned


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    log = generate(n_users=120, n_items=80, n_interactions=1800, groups=4, seed=2)
    path = tmp_path_factory.mktemp("choosing") / "train.csv"
    pairs = zip(log.pair_users().tolist(), log.items.tolist(), strict=True)
    path.write_text("user,item\n" + "".join(f"{user},{item}\n" for user, item in pairs))
    return str(path)


def test_a_file_alone_is_enough(run, file, tmp_path):
    done = run("train", file, "-o", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert "\nChosen: " in done.stdout and "popularity" in done.stdout
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    phases = [record["phase"] for record in records]
    assert phases.count("choice") >= 8 and phases == sorted(phases, key=["choice", "search", "refit"].index)
    fitted = load_run(tmp_path / "run")
    assert all(record["phase"] != "choice" for record in fitted.history)
    chosen = max(
        (one for one in records if one["phase"] == "choice" and "start" in one),
        key=lambda one: one["ndcg@20"],
    )
    assert (fitted.config.model, fitted.config.dim) == (chosen["model"], chosen["dim"])


def test_a_run_is_repeated_by_its_configuration_without_a_choice(run, file, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert run("train", file, "-o", str(first)).returncode == 0
    done = run("train", "-o", str(second), "--config", str(first / "config.json"))
    assert done.returncode == 0 and "Chosen" not in done.stdout
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ((), True),
        (("--model", "fism"), True),
        (("--start", "spectral"), True),
        (("--start", "fitted"), True),
        (("--user-rows", "ridge"), True),
        (("--user-rows", "ridge", "--ridge", "2"), True),
        (("--dim", "8"), False),
        (("--model", "mf"), False),
        (("--model", "fism", "--dim", "8"), False),
        (("--model", "itemknn"), False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_named_is_not_chosen(run, file, tmp_path, words, chosen):
    short = () if "itemknn" in words else ("--epochs", "1", "--learning-rate", "0.01")
    done = run("train", file, "-o", str(tmp_path / "run"), *short, *words)
    assert done.returncode == 0, done.stderr
    assert ("Chosen: " in done.stdout) == chosen


def test_a_report_for_machines_has_no_line_of_it(run, file, tmp_path):
    done = run("train", file, "-o", str(tmp_path / "run"), "--json", "--entries", "600", "--epochs", "1")
    assert done.returncode == 0 and json.loads(done.stdout)["nnz"] == 600


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"entries": 600},
        {"model": "fism"},
        {"user_rows": "ridge"},
        {"model": "fism", "dim": 32},
        {"dim": 32},
    ],
    ids=str,
)
def test_the_estimator_chooses_as_the_command_does(given, run, file, tmp_path):
    options = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    done = run("train", file, "-o", str(theirs), "--epochs", "3", "--threads", "1", *options)
    assert done.returncode == 0, done.stderr
    model = SparseRec(epochs=3, threads=1, **given).fit(file)
    model.save(mine)
    assert model.model == given.get("model") and model.dim == given.get("dim")  # a fit leaves them alone
    settings = [json.loads((folder / "config.json").read_text()) for folder in (theirs, mine)]
    assert {**settings[0], "data": None} == {**settings[1], "data": None}
    models = [(folder / "model.safetensors").read_bytes() for folder in (theirs, mine)]
    assert models[0] == models[1]
