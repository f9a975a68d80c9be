"""``sparserec federate``: a run of nobody's, a ledger of bytes, and refusals in one sentence."""

from __future__ import annotations

import json

import click
import pytest

from cli import federate
from cli.groups import GROUPS
from sparserec_np.data.formats import write_interactions
from sparserec_np.data.synthetic import generate
from tests.cli.test_groups import sections


@pytest.fixture(scope="module")
def train_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "log.csv"
    write_interactions(generate(80, 50, 900, groups=5, seed=1), path)
    return str(path)


QUICK = ("--simulate", "--dim", "6", "--entries", "120", "--threads", "1")


def test_the_better_protocol_is_kept_and_learned_from_all(installed, train_file, tmp_path):
    done = installed("federate", train_file, "-o", tmp_path / "run", *QUICK, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    first, second, refit = report["trainings"]
    best = max((first, second), key=lambda one: one["validation_ndcg@20"])
    assert report["protocol"] == refit["protocol"] == best["protocol"]
    assert report["validation_ndcg@20"] == best["validation_ndcg@20"] > 0
    assert (first["measured"], refit["measured"]) == (True, False)
    assert (report["nnz"], report["clients"], report["items"]) == (120, 80, 50)
    assert [one["pass"] for one in first["passes"]][-1] == "measure"
    assert max(one["bytes"]["up_largest"] for one in report["trainings"]) < report["bytes"]["up_largest"]
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [one["pass"] for one in records[:-1]] == [
        p["pass"] for t in report["trainings"] for p in t["passes"]
    ]
    assert records[-1]["ndcg@20"] == report["validation_ndcg@20"]


def test_the_run_goes_on_through_other_commands(run, train_file, tmp_path):
    place = tmp_path / "run"
    given = (
        "--protocol",
        "spectral",
        "--validation",
        "0",
        "--asked",
        "0.2",
        "--silent",
        "0.2",
        "--repeated",
        "0.3",
    )
    done = run("federate", train_file, "-o", place, *QUICK, *given)
    assert done.returncode == 0, done.stderr
    for said in ("80 clients", "iteration 1", "in all", "Refused: repeated", "peak resident memory"):
        assert said in done.stdout
    assert "least-squares" not in done.stdout and "ndcg" not in done.stdout
    measured = run("evaluate", place, train_file, "--known", train_file)
    assert measured.returncode == 0 and "ndcg" in measured.stdout
    exported = run("export", place, "-o", tmp_path / "small", "--json")
    assert json.loads(exported.stdout)["users"] == 0
    alone = run("evaluate", place, train_file)
    assert alone.returncode == 1 and "--known" in alone.stderr
    again = run("federate", train_file, "-o", place, *QUICK)
    assert again.returncode == 2 and "--overwrite" in again.stderr


def test_a_part_that_has_left_is_told(run, train_file, tmp_path):
    given = ("--protocol", "spectral", "--validation", "0.2", "--no-refit", "--gone", "0.6")
    done = run("federate", train_file, "-o", tmp_path / "run", *QUICK, *given)
    assert done.returncode == 0
    assert "fewer than were asked for answered in sketch, iteration 1, measure" in done.stderr
    assert "on all items" not in done.stdout and "validation ndcg@20" in done.stdout


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "Give --simulate"),
        (("--simulate", "--validation", "0"), "give --protocol"),
        (("--simulate", "--density", "0.1", "--entries", "5"), "not both"),
        (("--simulate", "--silent", "0.5", "--late", "0.5"), "some must answer"),
        (("--simulate", "--entries", "999999"), "impossible"),
    ],
)
def test_refusals_are_sentences(run, train_file, tmp_path, given, said):
    done = run("federate", train_file, "-o", tmp_path / "run", *given)
    assert done.returncode == 2 and said in done.stderr
    assert not (tmp_path / "run").exists()


def test_every_option_stands_in_its_group():
    listed = sections(federate.command)
    assert list(listed) == [group for group in GROUPS if group in listed]
    options = [param for param in federate.command.params if isinstance(param, click.Option)]
    assert sum(map(len, listed.values())) == len(options) + 1
    assert listed["How clients take part"] == [
        "--asked",
        "--silent",
        "--late",
        "--repeated",
        "--gone",
        "--enough",
    ]
