"""``sparserec recommend``: lists for people and for programs, and clear refusals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from sparserec_np.data.interactions import Interactions
from sparserec_np.runtime import Recommender
from sparserec_np.serving.model_file import save_model
from sparserec_np.serving.packing import pack, write_export
from sparserec_np.serving.slices import keep_users, without_seen
from sparserec_np.training.run_directory import save_run
from sparserec_np.training.saving import restore
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train
from tests.makers.served_models import make_fism_model, make_model
from tests.makers.small import small_log

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


def test_a_list_of_items_is_folded_in(run: Path) -> None:
    result = sparserec(run, "--items", "30,70", "--items", "110", "--exclude", "20,999", "-n", "4", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = Recommender.open(run).recommend_for_items([30, 70, 110], 4, exclude=[20])
    expected = {"for_items": [30, 70, 110], "items": found.items, "scores": found.scores}
    assert json.loads(result.stdout) == expected
    lines = sparserec(run, "--items", "30,70,110", "--exclude", "20", "-n", "4").stdout.splitlines()
    assert [line.split()[:3] for line in lines[2:]] == [
        ["(items)", str(rank), str(item)] for rank, item in enumerate(found.items, 1)
    ]
    result = sparserec(run, "--items", "30,31")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: unknown item '31': the model knows 50 items; near it: 20, 30, 40.\n"


def test_seen_items_come_back_when_asked_for(run: Path) -> None:
    recommender = Recommender.open(run)
    result = sparserec(run, "--user", "7", "--include-seen", "-n", "50", "--json")
    assert json.loads(result.stdout)["items"] == recommender.recommend(7, 50, filter_seen=False).items


def test_a_file_without_seen_items_wants_them_named(tmp_path: Path) -> None:
    write_export(tmp_path / "device", pack(without_seen(make_model()), "float32"))
    for words in (["--user", "3"], ["--all-users", "-o", "-"]):
        result = sparserec(tmp_path / "device", *words)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "--include-seen" in result.stderr and len(result.stderr.splitlines()) == 1
    for words in (["--exclude", "1"], ["--include-seen"]):
        assert sparserec(tmp_path / "device", "--user", "3", *words).exit_code == 0


def test_requests_are_answered_line_by_line(run: Path) -> None:
    requests = [
        {"user": 7},
        {"user": "7", "n": 3, "filter_seen": False},
        {"items": [30, "70"], "n": 2, "exclude": [20]},
        {"user": 7, "among": [10, 20, 30, 40, 50, 60, 70]},
    ]
    stdin = "\n".join(map(json.dumps, requests)) + "\n\n"
    result = CliRunner().invoke(main, ["recommend", str(run), "-", "-n", "5"], input=stdin)
    assert (result.exit_code, result.stderr) == (0, "")
    recommender = Recommender.open(run)
    expected = [
        {"user": 7, **recommender.recommend(7, 5)._asdict()},
        {"user": 7, **recommender.recommend(7, 3, filter_seen=False)._asdict()},
        {"for_items": [30, 70], **recommender.recommend_for_items([30, 70], 2, exclude=[20])._asdict()},
        {"user": 7, **recommender.recommend(7, 5, items=range(10, 80, 10))._asdict()},
    ]
    assert [json.loads(line) for line in result.stdout.splitlines()] == expected


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "either"),
        (b'{"n": 3}', "either"),
        (b'{"user": 3, "items": [30]}', "either"),
        (b'{"user": 99}', "unknown user 99"),
        (b'{"user": [3]}', "user must be an id"),
        (b'{"user": true}', "user must be an id"),
        (b'{"items": []}', "one id or more"),
        (b'{"items": "30"}', "items must be a list of ids"),
        (b'{"items": [null]}', "items must be a list of ids"),
        (b'{"items": [31]}', "unknown item 31"),
        (b'{"user": 3, "among": [31]}', "unknown item 31"),
        (b'{"user": 3, "exclude": 4}', "exclude must be a list"),
        (b'{"user": 3, "n": 0}', "n must be"),
        (b'{"user": 3, "n": 1.5}', "n must be"),
        (b'{"user": 3, "n": true}', "n must be"),
        (b'{"user": 3, "filter_seen": 1}', "filter_seen must be"),
        (b'{"user": 3, "k": 1}', "'k' is nothing"),
    ],
)
def test_a_bad_request_gets_an_error_line_and_the_next_its_answer(
    run: Path, line: bytes, sentence: str
) -> None:
    result = CliRunner().invoke(main, ["recommend", str(run), "-"], input=line + b'\n{"user": 7}\n')
    assert result.exit_code == 1
    assert result.stderr == "Error: 1 of 2 requests could not be answered; see their lines\n"
    first, second = map(json.loads, result.stdout.splitlines())
    assert sentence in first["error"] and first["line"] == 1
    assert second["items"] == Recommender.open(run).recommend(7, 20).items


@pytest.mark.parametrize("numba", ["there", "missing"])
@pytest.mark.parametrize("extra", [[], ["--include-seen"]])
def test_everybody_is_ranked_with_numba_and_without(
    run: Path, monkeypatch: pytest.MonkeyPatch, numba: str, extra: list[str]
) -> None:
    if numba == "missing":
        monkeypatch.setitem(sys.modules, "numba", None)
    result = sparserec(run, "--all-users", "-o", run / "lists.jsonl", "-n", "45", *extra)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"Written to {run / 'lists.jsonl'}: 30 users.\n"
    recommender = Recommender.open(run)
    expected = [
        {"user": user, **recommender.recommend(user, 45, filter_seen=not extra)._asdict()}
        for user in range(30)
    ]
    text = (run / "lists.jsonl").read_text()
    assert [json.loads(line) for line in text.splitlines()] == expected
    assert sparserec(run, "--all-users", "-o", "-", "-n", "45", *extra).stdout == text


@pytest.fixture
def gap(tmp_path: Path) -> Path:
    """A run whose users 2 and 5 have no interactions."""
    save_model(tmp_path / "model.safetensors", make_fism_model())
    return tmp_path


POPULAR = "these are the items that most users touched, all with the score 0."


def test_who_has_no_interactions_gets_what_is_popular_and_one_sentence_says_so(gap: Path) -> None:
    recommender = Recommender.open(gap)
    result = sparserec(gap, "--user", "2", "--user", "3", "-n", "4", "--json")
    first, second = map(json.loads, result.stdout.splitlines())
    assert first == {"user": 2, "items": recommender.popular_items[:4].tolist(), "scores": [0.0] * 4}
    assert second["items"] == recommender.recommend(3, 4).items
    assert (result.exit_code, result.stderr) == (0, f"User 2 has no interactions: {POPULAR}\n")
    result = sparserec(gap, "--user", "5", "-n", "4")
    assert (result.exit_code, result.stderr) == (0, f"User 5 has no interactions: {POPULAR}\n")


def test_requests_of_who_has_no_interactions_are_told_of_once(gap: Path) -> None:
    asked = '{"user": 3}\n{"user": 5}\n{"user": 2}\n{"user": 5}\n'
    result = CliRunner().invoke(main, ["recommend", str(gap), "-"], input=asked)
    assert len(result.stdout.splitlines()) == 4
    assert (result.exit_code, result.stderr) == (0, f"User 5 has no interactions: {POPULAR}\n")


@pytest.mark.parametrize("numba", ["there", "missing"])
@pytest.mark.parametrize("extra", [[], ["--include-seen"]])
def test_everybody_without_interactions_gets_what_is_popular(
    gap: Path, monkeypatch: pytest.MonkeyPatch, numba: str, extra: list[str]
) -> None:
    if numba == "missing":
        monkeypatch.setitem(sys.modules, "numba", None)
    result = sparserec(gap, "--all-users", "-o", "-", "-n", "9", *extra)
    assert (result.exit_code, result.stderr) == (0, f"2 users have no interactions: {POPULAR}\n")
    recommender = Recommender.open(gap)
    for user, line in enumerate(result.stdout.splitlines()):
        answer, expected = json.loads(line), recommender.recommend(user, 9, filter_seen=not extra)
        assert (answer["user"], answer["items"]) == (user, expected.items)
    assert user == 29


@pytest.mark.parametrize("numba", ["there", "missing"])
@pytest.mark.parametrize("parts", [1, 2, 7, 40])
def test_parts_joined_in_their_order_are_the_whole_file(
    gap: Path, monkeypatch: pytest.MonkeyPatch, numba: str, parts: int
) -> None:
    if numba == "missing":
        monkeypatch.setitem(sys.modules, "numba", None)
    else:
        monkeypatch.setattr("sparserec_np.evaluation.lists.BLOCK_PLACES", 36)  # blocks of four users
    whole = sparserec(gap, "--all-users", "-o", "-", "-n", "9")
    found, strangers = "", 0
    for number in range(1, parts + 1):
        part = sparserec(gap, "--all-users", "-o", gap / "part", "-n", "9", "--part", f"{number}/{parts}")
        assert part.exit_code == 0
        found += (gap / "part").read_text()
        told = re.search(r"(\d) users? ha(s|ve) no interactions", part.stderr)
        strangers += int(told[1]) if told else 0
    assert found == whole.stdout and strangers == 2


@pytest.mark.parametrize("model", ["lightgcn", "neumf", "fism"])
def test_parts_of_trained_models_have_the_same_bits(tmp_path: Path, model: str) -> None:
    log = small_log(90, 60, 1200)
    config = Config(
        model=model, dim=8, density=0.5, start="spectral", epochs=1, learning_rate=0.01, validation=0
    )
    save_run(tmp_path, train(log, config, threads=1), log)
    whole = sparserec(tmp_path, "--all-users", "-o", "-", "-n", "7").stdout
    parts = [
        sparserec(tmp_path, "--all-users", "-o", "-", "-n", "7", "--part", f"{number}/7").stdout
        for number in range(1, 8)
    ]
    assert "".join(parts) == whole and len(whole.splitlines()) == 90


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mf", "fism", "lightgcn"])
def test_workers_make_the_bytes_of_one_machine_also_where_one_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    distributed = pytest.importorskip("distributed")
    log = small_log(400, 60, 6000)
    config = Config(
        model=model, dim=8, density=0.5, start="spectral", epochs=1, learning_rate=0.01, validation=0
    )
    save_run(tmp_path, train(log, config, threads=1), log)
    whole = sparserec(tmp_path, "--all-users", "-o", "-", "-n", "9").stdout
    monkeypatch.setattr("cli.recommend.USERS_A_TASK", 9)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        with distributed.Client(cluster) as client:
            ids = list(client.run(os.getpid).values())
            loaded = client.run(lambda: sorted({"numba", "scipy", "sklearn"} & set(sys.modules)))
        assert set(map(tuple, loaded.values())) == {()}
        timer = threading.Timer(0.3, os.kill, (ids[0], signal.SIGKILL))
        timer.start()
        words = ("--backend", "dask", "--scheduler", cluster.scheduler_address)
        done = sparserec(tmp_path, "--all-users", "-o", tmp_path / "lists", "-n", "9", *words)
        timer.join()
        with distributed.Client(cluster) as client:
            loaded = client.run(lambda: sorted({"numba", "scipy", "sklearn"} & set(sys.modules)))
    assert done.exit_code == 0, done.output
    made = (tmp_path / "lists").read_text()
    if model == "lightgcn":  # whose graph NumPy sums in another order
        one, other = ([json.loads(line) for line in text.splitlines()] for text in (made, whole))
        assert [line["items"] for line in one] == [line["items"] for line in other]
        scores = ([line["scores"] for line in lines] for lines in (one, other))
        np.testing.assert_allclose(*scores, rtol=1e-5)
    else:
        assert made == whole
    assert set(map(tuple, loaded.values())) == {()}


def test_where_the_file_does_not_say_what_is_popular_that_is_said(tmp_path: Path) -> None:
    model = make_model()
    nobody = model.users._replace(values=np.zeros_like(model.users.values))
    save_model(tmp_path / "model.safetensors", without_seen(replace(model, users=nobody)))
    result = sparserec(tmp_path, "--user", "4", "--include-seen", "-n", "2", "--json")
    assert json.loads(result.stdout)["items"] == [0, 1]
    assert "does not say what most users touched: these are the items in their own order" in result.stderr


def test_everybody_is_ranked_as_their_model_ranks(tmp_path: Path) -> None:
    """A LightGCN model scores by what the graph makes of its rows."""
    model = make_model()
    extra = {"model": "lightgcn", "layers": "2", "similarity": "dot", "temperature": "1.0"}
    model = replace(model, metadata={**model.metadata, **extra})
    save_model(tmp_path / "model.safetensors", model)
    result = sparserec(tmp_path, "--all-users", "-o", "-", "-n", "5")
    assert (result.exit_code, result.stderr) == (0, "")
    seen = Interactions(model.seen_indptr, model.seen_items, model.user_ids, model.item_ids)
    items, scores = restore(model).ranker().rank(np.arange(30), 5, seen)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["items"] for answer in answers] == items.tolist()
    np.testing.assert_allclose([answer["scores"] for answer in answers], scores)
    alone = json.loads(sparserec(tmp_path, "--user", "3", "-n", "5", "--json").stdout)
    assert alone["items"] == answers[3]["items"]
    np.testing.assert_allclose(alone["scores"], answers[3]["scores"], rtol=1e-5)
    result = sparserec(tmp_path, "--items", "3")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "`sparserec distill` makes an mf model of it" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_export_without_users_has_nobody_to_rank(tmp_path: Path) -> None:
    write_export(tmp_path / "device", pack(keep_users(make_model(), np.zeros(0, np.intp)), "int8"))
    result = sparserec(tmp_path / "device", "--all-users", "-o", tmp_path / "lists")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "holds no users" in result.stderr
    assert not (tmp_path / "lists").exists()
    assert "the model knows 0 users." in sparserec(tmp_path / "device", "--user", "3").stderr
    assert sparserec(tmp_path / "device", "--items", "3,4").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--user", "3", "-"],
        ["--user", "3", "--all-users", "-o", "-"],
        ["3"],
        ["--all-users"],
        ["--user", "3", "--part", "1/2"],
        ["--all-users", "-o", "-", "--backend", "dask"],
        ["--all-users", "-o", "-", "--scheduler", "tcp://127.0.0.1:1"],
        ["--user", "3", "--backend", "dask", "--scheduler", "tcp://127.0.0.1:1"],
        ["--all-users", "-o", "-", "--part", "1/2", "--backend", "dask", "--scheduler", "tcp://127.0.0.1:1"],
        ["--all-users", "-o", "-", "--part", "0/2"],
        ["--all-users", "-o", "-", "--part", "3/2"],
        ["--all-users", "-o", "-", "--part", "half"],
        ["--user", "3", "-o", "file"],
        ["--items", ","],
    ],
)
def test_one_way_of_asking_is_wanted(run: Path, words: list[str]) -> None:
    result = sparserec(run, *words)
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize(
    "command",
    [
        ["recommend", "--user", "3"],
        ["recommend", "--items", "30,40"],
        ["recommend", "-"],
        ["similar", "--item", "30"],
        ["inspect"],
    ],
)
def test_nothing_heavy_is_loaded(run: Path, command: list[str]) -> None:
    code = (
        "import sys; from cli.main import main; main(sys.argv[1:], standalone_mode=False);"
        "sys.exit(str([n for n in ('numba', 'llvmlite', 'scipy', 'sklearn') if n in sys.modules] or ''))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command[0], str(run), *command[1:]],
        input='{"user": 3}',
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == ""
    assert done.stdout
