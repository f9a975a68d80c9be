"""``sparserec data fetch`` against a server on loopback: resumed, verified, and its licence asked for."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparserec_np.data.catalogue import catalogue
from sparserec_np.data.formats import read_interactions
from tests.makers import archives
from tests.makers.web import Page

fetching = importlib.import_module("cli.fetch")
ML = "/files.grouplens.org/datasets/movielens/ml-100k.zip"
pytestmark = pytest.mark.usefixtures("web")  # and with it no pauses between tries


@pytest.fixture
def small(web, monkeypatch):
    """The catalogue with tiny files, on a server that the environment names as the mirror."""
    rows = {name: archives.tiny(name) for name in ("ml-100k", "lastfm", "gowalla")}
    for name in rows:
        archives.mirror(web, name)
    monkeypatch.setattr(fetching, "catalogue", lambda: rows)
    monkeypatch.setenv("SPARSEREC_MIRROR", web.address)
    return rows


def test_from_a_name_to_a_model_s_data(run, small, tmp_path):
    done = run("data", "fetch", "ml-100k", "-o", tmp_path / "ml", "--accept-licence")
    assert done.returncode == 0
    assert "Licence:  For research." in done.stderr and "Cite:     F. Maxwell Harper" in done.stderr
    assert f"Next: sparserec data split {tmp_path}/ml/ratings.csv -o PARTS" in done.stdout
    split = run("data", "split", tmp_path / "ml" / "ratings.csv", "-o", tmp_path / "parts")
    assert split.returncode == 0 and read_interactions(tmp_path / "parts" / "train.csv").n_interactions > 0


def test_json_holds_what_was_compared(run, small, tmp_path):
    done = run("data", "fetch", "gowalla", "-o", tmp_path / "x", "--accept-licence", "--json")
    report = json.loads(done.stdout)
    assert report["downloaded"] and report["name"] == "gowalla"
    assert [row["compared"] for row in report["published"]] == ["sha256", "sha256"]
    assert [row["file"] for row in report["files"]] == ["train.txt", "test.txt"]
    again = run("data", "fetch", "gowalla", "-o", tmp_path / "x", "--json")  # and no licence asked
    assert json.loads(again.stdout) == report | {"downloaded": False} and again.stderr == ""


def test_a_lost_connection_is_gone_on_with(run, small, web, tmp_path):
    web.pages[ML].drops = [500]
    done = run("data", "fetch", "ml-100k", "-o", tmp_path / "x", "--accept-licence")
    assert done.returncode == 0 and "trying again" in done.stderr
    assert [asked.get("range") for asked in web.asked] == [None, "bytes=500-"]


def test_what_broke_off_is_gone_on_with_by_the_same_command(run, small, web, tmp_path):
    web.pages[ML].drops = [500, *[0] * 9]
    done = run("data", "fetch", "ml-100k", "-o", tmp_path / "x", "--accept-licence")
    assert done.returncode == 1 and "Error: " in done.stderr
    assert "original/ml-100k.zip.part is kept; the same command goes on from there." in done.stderr
    web.pages[ML].drops = []
    web.asked.clear()
    assert run("data", "fetch", "ml-100k", "-o", tmp_path / "x", "--accept-licence").returncode == 0
    assert [asked.get("range") for asked in web.asked] == ["bytes=500-"]
    assert not (tmp_path / "x" / "original").exists()


def test_a_wrong_checksum_is_refused(run, small, web, tmp_path):
    content = bytearray(web.pages[ML].content)
    content[-1] ^= 1
    web.pages[ML].content = bytes(content)
    done = run("data", "fetch", "ml-100k", "-o", tmp_path / "x", "--accept-licence")
    assert done.returncode == 1 and done.stdout == ""
    assert "is not what was published: expected sha256 " in done.stderr
    assert sorted(os.listdir(tmp_path / "x")) == ["original"]
    assert os.listdir(tmp_path / "x" / "original") == ["ml-100k.zip.wrong"]


def test_the_licence_is_asked_for_where_nobody_can_answer(installed, tmp_path):
    done = installed("data", "fetch", "ml-1m", "-o", tmp_path / "x")
    assert done.returncode == 2 and done.stdout == ""
    assert "--accept-licence" in done.stderr and catalogue()["ml-1m"].licence_address in done.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals there")
@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 1), (b"y\n", 1)])
def test_the_licence_is_asked_for_on_a_terminal(web, tmp_path, answer, code):
    """Accepted, the server, which has nothing, is asked; else it is not."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "cli", "data", "fetch", "ml-1m", "-o", str(tmp_path / "x")]
    done = subprocess.Popen(
        [*command, "--mirror", web.address], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.write(ours, answer)
    said = done.communicate(timeout=60)[1].decode()
    os.close(ours)
    os.close(theirs)
    assert done.returncode == code and "Do you accept this licence? [y/N]" in said
    if answer == b"y\n":
        assert "404 Not Found" in said and len(web.asked) == 1
    else:
        assert "was not accepted, so nothing was downloaded" in said and not web.asked


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_keeps_what_has_come(web, tmp_path):
    size = catalogue()["ml-100k"].bytes
    web.pages[ML] = Page(bytes(200_000), pads=size)
    command = [sys.executable, "-m", "cli", "data", "fetch", "ml-100k", "-o", str(tmp_path / "x")]
    done = subprocess.Popen(
        [*command, "--accept-licence", "--mirror", web.address],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    part = tmp_path / "x" / "original" / "ml-100k.zip.part"
    for _ in range(600):
        if part.exists() and part.stat().st_size >= 200_000:
            break
        time.sleep(0.05)
    done.send_signal(signal.SIGINT)
    said = done.communicate(timeout=60)[1].decode()
    assert done.returncode == 130 and part.stat().st_size == 200_000
    assert "ml-100k.zip.part is kept" in said and "Interrupted." in said and "Traceback" not in said


def test_the_list(run):
    listed = run("data", "fetch")
    assert listed.returncode == 0 and run("data", "fetch", "--list").stdout == listed.stdout
    for name in catalogue():
        assert f"\n{name} " in listed.stdout
    rows = json.loads(run("data", "fetch", "--list", "--json").stdout)["data_sets"]
    assert [row["name"] for row in rows] == list(catalogue())
    assert rows[1]["published"][0]["checksum"].startswith("sha256:") and rows[1]["bytes"] == 5_917_549


def test_the_page_shows_the_list_as_it_is(run):
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    assert f"$ sparserec data fetch\n{run('data', 'fetch').stdout}```" in page


def test_what_is_asked_wrongly(run, small, web, tmp_path):
    assert "Missing option '-o'" in run("data", "fetch", "ml-100k").stderr
    unknown = run("data", "fetch", "ml-100", "-o", tmp_path / "x")
    assert unknown.returncode == 2 and "'ml-100k'" in unknown.stderr
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "train.txt").write_text("0 1\n")
    taken = run("data", "fetch", "gowalla", "-o", tmp_path / "y", "--accept-licence")
    assert taken.returncode == 1 and "holds train.txt already" in taken.stderr and not web.asked
    wrong = run("data", "fetch", "gowalla", "-o", tmp_path / "x", "--mirror", "ftp://x")
    assert wrong.returncode == 2 and "--mirror takes an address" in wrong.stderr
    (tmp_path / "file").write_text("")
    assert run("data", "fetch", "gowalla", "-o", tmp_path / "file", "--accept-licence").returncode == 1


def test_bars_on_a_terminal(web, small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with fetching.Progress() as progress:
        progress.begin("x.zip", 0, 1000)
        progress.advance(400)
        progress.note("x.zip: the connection was lost")
        progress.begin("x.zip", 400, 1000)
        progress.advance(600)
    said = capsys.readouterr().err
    assert "x.zip 1.0 kB" in said and "x.zip: going on after 400 B" in said and "x.zip 600 B" in said
