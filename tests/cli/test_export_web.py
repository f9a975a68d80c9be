"""``sparserec export`` to web, onnx and vectors, and ``sparserec serve``: what is written, and wrong options."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from sparserec_np.runtime import Recommender
from sparserec_np.serving.model_file import save_model
from tests.cli.conftest import ROOT
from tests.makers.served_models import as_lightgcn, make_fism_model, make_model


@pytest.fixture
def trained(tmp_path):
    """A run directory."""
    (tmp_path / "run").mkdir()
    save_model(tmp_path / "run" / "model.safetensors", make_fism_model(5, n_items=20))
    return tmp_path / "run"


def test_a_site_is_written_with_the_titles_that_are_given(run, trained, tmp_path):
    (tmp_path / "titles.csv").write_text("item,title\n3,Three\n99,Nothing\n")
    words = ["--to", "web", "-o", tmp_path / "site", "--titles", tmp_path / "titles.csv"]
    done = run("export", trained, *words, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["site"], report["items"], report["titles"]) == (str(tmp_path / "site"), 20, 1)
    assert report["bytes"]["total"] == sum(path.stat().st_size for path in (tmp_path / "site").iterdir())
    assert '"Three"' in (tmp_path / "site" / "items.json").read_text()
    whole = Recommender.open(trained).recommend_for_items([1, 2], 20).items
    kept = Recommender.open(tmp_path / "site" / "model.safetensors").recommend_for_items([1, 2], 20).items
    assert set(kept) == set(whole)
    done = run("export", trained, *words)
    assert f"Next: sparserec serve {tmp_path / 'site'}" in done.stdout
    assert re.search(r"^total +[\d,]+$", done.stdout, re.M)


def test_a_single_file_is_written(run, trained, tmp_path):
    done = run(
        "export", trained, "--to", "web", "--one-file", "-o", tmp_path / "one.html", "--dtype", "float32"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "open it in a browser" in done.stdout
    assert (tmp_path / "one.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--one-file"], 2, "--one-file is for pages: it goes with --to web"),
        (["--titles", "titles.csv"], 2, "--titles is for pages: it goes with --to web"),
        (["--to", "web", "--test", "test.csv"], 2, "--test is of no use with --to web"),
        (["--to", "onnx", "--dtype", "int8"], 2, "--dtype is of no use with --to onnx"),
        (["--to", "vectors", "--test", "test.csv"], 2, "--test is of no use with --to vectors"),
        (["--to", "web", "--titles", "missing.csv"], 1, "missing.csv: No such file"),
    ],
)
def test_wrong_options_are_refused(run, trained, tmp_path, words, code, said):
    done = run("export", trained, "-o", tmp_path / "out", *words)
    assert done.returncode == code and said in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_model_that_no_page_serves_is_refused(run, tmp_path):
    (tmp_path / "run").mkdir()
    save_model(tmp_path / "run" / "model.safetensors", as_lightgcn(make_model()))
    done = run("export", tmp_path / "run", "--to", "web", "-o", tmp_path / "site")
    assert done.returncode == 1 and "metadata model is 'lightgcn'" in done.stderr
    assert not (tmp_path / "site").exists()


def test_vectors_and_a_graph_are_written(run, trained, tmp_path):
    done = run("export", trained, "--to", "vectors", "-o", tmp_path / "vectors.npz")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Written to {tmp_path / 'vectors.npz'}: 20 items, 8 columns.\n"
    done = run("export", trained, "--to", "onnx", "-o", tmp_path / "model.onnx", "--json")
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        report = json.loads(done.stdout)
        assert report["bytes"] == (tmp_path / "model.onnx").stat().st_size and report["difference"] < 1e-5
    else:
        assert done.returncode == 1 and "pip install 'sparserec_np[onnx]'" in done.stderr


def test_a_folder_is_served_until_ctrl_c(trained, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<p>home")
    command = [sys.executable, "-m", "cli", "serve", str(tmp_path / "site"), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert answer.read() == b"<p>home"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[1] == "\nEnded.\n"
    assert process.returncode == 0


def test_ctrl_c_of_which_nothing_came_ends_it_all_the_same(tmp_path):
    """The exception is lost where it is raised while something else is taken apart."""
    (tmp_path / "index.html").write_text("<p>home")
    code = (
        "import os, signal, sys, threading\n"
        "from cli.main import main\n"
        "class Last:\n    def __del__(self): os.kill(os.getpid(), signal.SIGINT); print(end='')\n"
        "from sparserec_np.machine.http_server import PlainServer\n"
        "plain = PlainServer.service_actions\n"
        "lasts = [Last()]\n"
        "def turn(self):\n    lasts.clear()\n    plain(self)\n"
        "PlainServer.service_actions = turn\n"
        f"sys.argv = ['sparserec', 'serve', {str(tmp_path)!r}, '--port', '0']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0 and done.stderr == "\nEnded.\n"


def test_a_port_that_is_taken_and_a_folder_that_is_none_are_refused(run, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", tmp_path, "--port", port)
        assert done.returncode == 1 and f"Something listens on port {port} already" in done.stderr
    done = run("serve", tmp_path / "missing", "--port", 0)
    assert done.returncode == 1 and "missing: Not a directory" in done.stderr


def test_a_page_may_take_part_in_training_and_what_is_wrong_is_said(run, trained, tmp_path):
    server = "https://example.org/learn"
    site = tmp_path / "site"
    done = run("export", trained, "--to", "web", "-o", site, "--federated", server)
    assert done.returncode == 0 and f'data-address="{server}"' in (site / "index.html").read_text()
    for words, code, said in (
        (
            ("export", trained, "--to", "web", "--one-file", "-o", tmp_path / "x.html"),
            2,
            "leave out --one-file",
        ),
        (("export", trained, "-o", tmp_path / "x"), 2, "--federated is for pages"),
        (("serve", tmp_path, "--port", "0"), 1, "holds no index.html of a page"),
        (("serve", site, "--port", "0"), 1, "takes part in training already"),
    ):
        done = run(*words, "--federated", server)
        assert done.returncode == code and said in done.stderr, done.stderr
    done = run("export", trained, "--to", "web", "-o", tmp_path / "y", "--federated", "http://example.org")
    assert done.returncode == 2 and "has no TLS" in done.stderr and not (tmp_path / "y").exists()
