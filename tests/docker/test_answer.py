"""The image for serving: what its steps copy answers requests, alone with NumPy."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from sparserec_np.runtime import Recommender
from sparserec_np.serving.model_file import save_model
from tests.makers.served_models import make_model
from tests.test_project import CHECKOUT

DOCKERFILE = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")


def steps(name: str) -> list[str]:
    """What follows each of an image's steps of one kind."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, flags=re.MULTILINE)


def test_it_serves_as_a_user_without_rights() -> None:
    (user,) = steps("USER")
    assert f"--uid {user} --no-create-home" in DOCKERFILE and user != "0"
    assert DOCKERFILE.index("USER ") > max(
        DOCKERFILE.index(word) for word in ("RUN useradd", "COPY ", "RUN pip")
    )
    assert [line.split("/")[0] for line in steps("FROM")] == ["python:3.13-slim"]


def test_the_builder_gets_what_is_copied_and_no_more() -> None:
    (copied,) = steps("COPY")
    sent = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert [line for line in sent if line[:1] == "!"] == [f"!{name}" for name in copied.split()[:-1]]
    assert "*" in sent


def test_what_is_copied_answers_line_by_line(tmp_path: Path) -> None:
    (copied,) = steps("COPY")
    for name in copied.split()[:-1]:
        shutil.copy(CHECKOUT / name, tmp_path)
    model = tmp_path / "model.safetensors"
    save_model(model, make_model())
    recommender = Recommender.open(model)
    user, item = recommender.user_ids[0], recommender.item_ids[3]
    requests = [{"user": user, "n": 3}, {"items": [item]}, {"user": "nobody"}, {}, {"user": user, "n": 0}]
    program = "import runpy, sys; runpy.run_path('answer.py', run_name='__main__');"
    program += "assert not {'numba', 'scipy', 'sklearn', 'sparserec_np'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(model)],
        cwd=tmp_path,
        input="\n".join([*map(json.dumps, requests), "", "no JSON"]),
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, *others = map(json.loads, done.stdout.splitlines())
    assert first["items"] == recommender.recommend(user, n=3).items
    assert np.allclose(second["scores"], recommender.recommend_for_items([item]).scores)
    assert [one["error"].split(":")[0] for one in others] == [
        "UnknownUserError",
        "KeyError",
        "ValueError",
        "JSONDecodeError",
    ]
