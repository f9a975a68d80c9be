"""``sparserec federate``: a run of nobody's, a ledger of bytes, and refusals in one sentence."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest

from cli import federate
from cli.groups import GROUPS
from sparserec_np.data.formats import write_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.synthetic import generate
from sparserec_np.federated.device import Line, Patience, take_part
from sparserec_np.training.checkpoints import CheckpointFile
from tests.cli.conftest import ROOT, _command
from tests.cli.test_groups import sections
from tests.makers.clients import moving_on


@pytest.fixture(scope="module")
def train_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "log.csv"
    write_interactions(generate(80, 50, 900, groups=5, seed=1), path)
    return str(path)


def same_file(one: Path, other: Path) -> bool:
    """Whether the models of two runs have the same bytes."""
    models = {(run / "model.safetensors").read_bytes() for run in (one, other)}
    return len(models) == 1


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


SPECTRAL = ("--protocol", "spectral", "--validation", "0")


def test_masks_change_no_byte_of_the_model(run, train_file, tmp_path):
    pytest.importorskip("cryptography")
    given = (*QUICK, *SPECTRAL, "--silent", "0.2", "--enough", "0.7")
    models, reports = [], []
    for name, more in (("plain", ()), ("masked", ("--secure",))):
        done = run("federate", train_file, "-o", tmp_path / name, *given, *more, "--json")
        assert done.returncode == 0, done.stderr
        reports.append(json.loads(done.stdout))
        models.append((tmp_path / name / "model.safetensors").read_bytes())
    assert models[0] == models[1]
    plain, masked = (report["trainings"][0]["passes"] for report in reports)
    assert [one["answers"] for one in plain] == [one["answers"] for one in masked]
    assert all(one["answers"] < one["asked"] == 80 for one in masked)
    sketch = masked[1]
    assert sketch["up_largest"] > 4 * 50 * 18 > 20 * plain[1]["up_largest"]
    assert set(sketch["up_mean"]) == {"keys", "letters", "vectors", "shares"}


def test_noise_is_counted(run, train_file, tmp_path):
    pytest.importorskip("dp_accounting")
    epsilons = []
    for noise in ("1", "4"):
        given = (*QUICK, *SPECTRAL, "--noise", noise, "--clip", "8", "--delta", "1e-4", "--overwrite")
        done = run("federate", train_file, "-o", tmp_path / "run", *given, "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)["privacy"]
        assert (told["clip"], told["noise"], told["releases"], told["delta"]) == (8, float(noise), 3, 1e-4)
        epsilons.append(told["epsilon"])
    assert epsilons[0] > 3 * epsilons[1] > 0
    done = run(
        "federate", train_file, "-o", tmp_path / "run", *QUICK, *SPECTRAL, "--noise", "1", "--overwrite"
    )
    assert "epsilon, for a delta of 1e-05" in done.stdout


@pytest.fixture
def in_order(tmp_path):
    """A file whose lines list users' items in the order of time."""
    log = moving_on()
    lines = []
    for user in range(log.n_users):
        place = slice(log.indptr[user], log.indptr[user + 1])
        items = log.items[place][log.times[place].argsort()]
        lines.append(" ".join(map(str, [user, *items.tolist()])))
    (tmp_path / "log.txt").write_text("\n".join(lines))
    return tmp_path / "log.txt"


def test_later_items_count_more_where_that_was_measured_to_be_better(run, in_order, tmp_path):
    quick = ("--simulate", "--dim", "6", "--entries", "120", "--threads", "1", "--protocol", "spectral")
    done = run("federate", in_order, "-o", tmp_path / "run", *quick, "--validation", "0.2", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    tried, made = report["trainings"]
    assert report["recency"] > 0
    assert [one["pass"] for one in tried["passes"]][-5:] == [
        "measure",
        *(f"measure, recency {power}" for power in ("0.25", "0.5", "0.75", "1")),
    ]
    assert not any("measure" in one["pass"] for one in made["passes"])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert report["recency"] in (config.get("recency"), config.get("config", {}).get("recency"))
    lists = [
        json.loads(run("recommend", tmp_path / "run", "--items", items, "-n", "5", "--json").stdout)
        for items in ("2,25", "25,2")
    ]
    assert lists[0] != lists[1]
    given = run(
        "federate", in_order, "-o", tmp_path / "given", *quick, "--validation", "0", "--recency", "0.5"
    )
    assert given.returncode == 0 and "recency" in given.stdout
    on = ("--simulate", "--earlier", tmp_path / "given", "--validation", "0", "--json")
    assert json.loads(run("federate", in_order, "-o", tmp_path / "on", *on).stdout)["recency"] == 0.5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "Give --simulate, or --serve HOST:PORT"),
        (("--simulate", "--serve", "0"), "Give --simulate, or --serve HOST:PORT"),
        (("--simulate", "--deadline", "5m"), "--deadline goes with --serve alone"),
        (("--serve", "0", "--silent", "0.5"), "--silent goes with --simulate alone"),
        (("--serve", "0"), "give --tokens FILE"),
        (("--serve", "host:http", "--tokens", "x"), "is no place: expected a port"),
        (("--simulate", "--validation", "0"), "give --protocol"),
        (("--simulate", "--density", "0.1", "--entries", "5"), "not both"),
        (("--simulate", "--silent", "0.5", "--late", "0.5"), "some must answer"),
        (("--simulate", "--entries", "999999"), "impossible"),
        (("--simulate", "--noise", "1"), "goes with --protocol spectral alone"),
        (("--simulate", "--clip", "5"), "give --noise, too"),
        (("--simulate", "--protocol", "least-squares", "--recency", "1"), "rows of users are sums"),
        (("--serve", "0", "--secure"), "--secure goes with --simulate alone"),
    ],
)
def test_refusals_are_sentences(run, train_file, tmp_path, given, said):
    done = run("federate", train_file, "-o", tmp_path / "run", *given)
    assert done.returncode == 2 and said in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.fixture
def files(train_file, tmp_path):
    """A list of items, tokens, and what three devices have: (items, tokens, [(items, token)])."""
    rows = [line.split(",")[:2] for line in Path(train_file).read_text().splitlines()[1:]]
    users = sorted({user for user, _ in rows})[:3]
    (tmp_path / "items.txt").write_text("\n".join(sorted({item for _, item in rows})))
    (tmp_path / "tokens.txt").write_text("\n".join(f"token-of-user-{user:0>8}" for user in users))
    has = [([item for user, item in rows if user == one], f"token-of-user-{one:0>8}") for one in users]
    return tmp_path / "items.txt", tmp_path / "tokens.txt", has


@contextlib.contextmanager
def listening(items, tokens, place, *given):
    """The command in a process of its own, and the address where it listens."""
    words = [
        "federate",
        items,
        "-o",
        place,
        "--serve",
        "0",
        "--tokens",
        tokens,
        *QUICK[1:],
        "--pause",
        "1",
        *given,
    ]
    process = subprocess.Popen(
        [*_command(), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        said = process.stderr.readline()
        assert "Listening at http://127.0.0.1:" in said, said + process.stderr.read()
        yield process, said.split()[2]
    finally:
        process.kill()
        process.communicate()


def test_devices_take_part_over_http(files, tmp_path):
    items, tokens, has = files
    patience = Patience(longest=0.05)
    with listening(items, tokens, tmp_path / "run", "--json") as (process, address):
        jobs = [
            threading.Thread(target=take_part, args=(Line(address, token, patience), own, token.encode()))
            for own, token in has
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join(120)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    report = json.loads(stdout)
    assert (report["clients"], report["items"], report["nnz"]) == (3, 50, 120)
    assert [one["measured"] for one in report["trainings"]] == [True, True, False]
    assert all(one["answers"] == 3 for training in report["trainings"] for one in training["passes"])
    assert report["validation_ndcg@20"] >= 0 and report["requests_refused"] == {}
    assert report["bytes"]["up_median"] > 500 and (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_and_leaves_nothing(files, tmp_path, number):
    items, tokens, has = files
    with listening(items, tokens, tmp_path / "run") as (process, address):
        assert len(Line(address, has[0][1]).items()) == 50
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 128 + number and stderr.strip() == "Interrupted."
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_place_that_is_taken_is_named(run, files, tmp_path):
    items, tokens, _ = files
    given = ("-o", tmp_path / "run", "--tokens", tokens)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("federate", items, *given, "--serve", taken.getsockname()[1])
    assert done.returncode == 1 and "already: name another, or 0 for any" in done.stderr
    done = run("federate", items, *given, "--serve", "192.0.2.1:0")
    assert done.returncode == 1 and "Cannot listen on port 0 of 192.0.2.1" in done.stderr
    done = run("federate", items, "-o", tmp_path / "run", "--tokens", tmp_path / "no.txt", "--serve", "0")
    assert done.returncode == 1 and "no.txt: No such file" in done.stderr
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
    assert listed["What hides clients' answers"] == ["--secure", "--noise", "--clip", "--delta"]
    assert listed["Devices over HTTP"] == [
        "--serve",
        "--tokens",
        "--origin",
        "--deadline",
        "--least",
        "--pause",
        "--connections",
    ]


@pytest.mark.parametrize("hidden", [(), ("--secure",)], ids=["plain", "masked"])
def test_an_interrupt_between_passes_says_how_to_go_on(run, train_file, tmp_path, monkeypatch, hidden):
    if hidden:
        pytest.importorskip("cryptography")
    plain, given = CheckpointFile._write, ("--protocol", "spectral", "--validation", "0", *hidden)

    def write(self, *state):
        plain(self, *state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patcher:
        patcher.setattr(CheckpointFile, "_write", write)
        done = run("federate", train_file, "-o", tmp_path / "run", *QUICK, *given, "--checkpoint-every", "0")
    assert done.returncode == 130
    assert f"Go on with `sparserec federate --resume {tmp_path}/run`." in done.stderr
    resumed = run("federate", "--resume", tmp_path / "run", "--json")
    assert (resumed.returncode, json.loads(resumed.stdout)["nnz"]) == (0, 120)
    assert run("federate", train_file, "-o", tmp_path / "whole", *QUICK, *given).returncode == 0
    assert same_file(tmp_path / "run", tmp_path / "whole")


def test_a_table_learns_on_from_more_items(run, train_file, tmp_path):
    log = generate(80, 50, 900, groups=5, seed=1)
    kept = log.items % 10 != 3
    some = Interactions.from_pairs(log.user_ids[log.pair_users()[kept]], log.item_ids[log.items[kept]])
    write_interactions(some, tmp_path / "some.csv")
    first, second = tmp_path / "first", tmp_path / "second"
    given = ("--protocol", "least-squares", "--validation", "0")
    assert run("federate", tmp_path / "some.csv", "-o", first, *QUICK, *given).returncode == 0
    on = ("--simulate", "--earlier", first)
    done = run("federate", train_file, "-o", second, *on, "--json")
    report = json.loads(done.stdout)
    assert (report["protocol"], report["nnz"], report["dim"], report["items"]) == (
        "least-squares",
        120,
        6,
        50,
    )
    assert [one["pass"] for one in report["trainings"][1]["passes"]] == ["count", "new items"]
    assert report["validation_ndcg@20"] > 0
    refused = run("federate", train_file, "-o", tmp_path / "third", *on, "--dim", "8")
    assert refused.returncode == 2 and "--dim is that of the run that --earlier names" in refused.stderr
    trained = ("--model", "mf", "--dim", "6", "--density", "0.4", "--epochs", "1")
    assert run("train", train_file, "-o", tmp_path / "mf", *trained).returncode == 0
    refused = run(
        "federate", train_file, "-o", tmp_path / "third", "--simulate", "--earlier", tmp_path / "mf"
    )
    assert refused.returncode == 2 and "a model that no protocol makes" in refused.stderr
    missing = run(
        "federate", train_file, "-o", tmp_path / "third", "--simulate", "--earlier", tmp_path / "none"
    )
    assert missing.returncode == 1 and "does not exist" in missing.stderr
