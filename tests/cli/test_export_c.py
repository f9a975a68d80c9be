"""``sparserec export --to c`` through its installed command: a program with the model's lists, true sizes, refusals."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from sparserec_np.runtime import Recommender
from sparserec_np.serving.model_file import save_model
from sparserec_np.serving.packing import pack
from tests.makers.served_models import make_fism_model, make_model

MODEL = make_model(n_users=12, n_items=50, item_ids=np.arange(50) * 10, seed=4)


@pytest.fixture
def trained(tmp_path):
    """A run directory."""
    (tmp_path / "run").mkdir()
    save_model(tmp_path / "run" / "model.safetensors", MODEL)
    return tmp_path / "run"


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler was found: there is no cc on the path")
def test_the_program_gives_the_lists_of_a_slice(installed, trained, tmp_path):
    (tmp_path / "users.txt").write_text("7\n3\n")
    (tmp_path / "items.txt").write_text("\n".join(str(item * 20) for item in range(25)))
    words = ["--users", tmp_path / "users.txt", "--items", tmp_path / "items.txt"]
    done = installed("export", trained, "--to", "c", "-o", tmp_path / "c", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^flash +[\d,]+$", done.stdout, re.MULTILINE)
    assert f"make -C {tmp_path / 'c'}" in done.stdout
    subprocess.run(
        ["cc", "-std=c99", "-O2", "-o", tmp_path / "recommend", tmp_path / "c" / "main.c"], check=True
    )
    for user in ("7", "3"):
        told = subprocess.run(
            [tmp_path / "recommend", user, "5"], capture_output=True, text=True, check=True
        ).stdout
        found = [(int(item), np.float32(score)) for item, score in map(str.split, told.splitlines())]
        expected = Recommender.open(trained).recommend(user, 5, items=range(0, 500, 20))
        assert found == list(zip(expected.items, map(np.float32, expected.scores), strict=True))
    gone = subprocess.run([tmp_path / "recommend", "4"], capture_output=True, text=True, check=False)
    assert (gone.returncode, gone.stderr) == (1, "unknown user 4\n")


def test_the_sizes_are_those_in_the_header(run, trained, tmp_path):
    done = run("export", trained, "--to", "c", "-o", tmp_path / "c", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["folder"], report["users"], report["items"]) == (str(tmp_path / "c"), 12, 50)
    header = (tmp_path / "c" / "recommender.h").read_text()
    for name in ("flash", "scratch"):
        stated = re.search(rf"SPARSEREC_{name.upper()}_BYTES (\d+)", header)
        assert stated is not None and int(stated[1]) == report["bytes"][name]


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler was found: there is no cc on the path")
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("drop", [(), ("--drop", "seen")], ids=["users", "no users"])
def test_a_model_without_users_makes_them_in_c(run, tmp_path, dtype, drop):
    model = make_fism_model(dim=300, density=0.02)
    save_model(tmp_path / "model.safetensors", model)
    done = run("export", tmp_path, "--to", "c", "-o", tmp_path / "c", "--dtype", dtype, *drop)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^weights +[\d,]+$", done.stdout, re.MULTILINE)
    assert f"{tmp_path / 'c' / 'recommend'} {'N ITEM...' if drop else 'USER'}\n" in done.stdout
    program = tmp_path / "recommend"
    subprocess.run(["cc", "-std=c99", "-O2", "-o", program, tmp_path / "c" / "main.c"], check=True)
    seen = model.seen_items[model.seen_indptr[7] : model.seen_indptr[8]].tolist()
    words = ["5", *map(str, seen)] if drop else ["7", "5"]
    told = subprocess.run([program, *words], capture_output=True, text=True, check=True).stdout
    found = [(int(item), np.float32(score)) for item, score in map(str.split, told.splitlines())]
    served = Recommender(model.encode() if dtype == "float32" else pack(model, dtype))
    for expected in (served.recommend(7, 5), served.recommend_for_items(seen, 5)):
        assert found == list(zip(expected.items, map(np.float32, expected.scores), strict=True))


@pytest.mark.parametrize("option", [("--dtype", "int8"), ("--test", "x.csv")])
def test_options_that_would_do_nothing_are_usage_errors(run, trained, tmp_path, option):
    done = run("export", trained, "--to", "c", "-o", tmp_path / "c", *option)
    assert done.returncode == 2
    assert f"{option[0]} is of no use with --to c" in done.stderr
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (MODEL, ("--drop", "seen"), "users have seen were left out, and the C function would recommend them"),
        (MODEL, ("--drop", "users"), "the model has no users, so there is nothing to write as C"),
        (make_fism_model(), ("--dtype", "float16"), "asked for in float16, which C has no type for"),
        (
            replace(MODEL, metadata={**MODEL.metadata, "model": "oracle"}),
            (),
            "metadata model is 'oracle': the C function scores by inner products of stored rows",
        ),
    ],
    ids=["seen", "users", "float16", "model"],
)
def test_what_cannot_be_written_is_refused_in_a_sentence(run, tmp_path, model, options, said):
    save_model(tmp_path / "model.safetensors", model)
    done = run("export", tmp_path, "--to", "c", "-o", tmp_path / "c", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "c").exists()
