"""--memory-limit: refused with arithmetic, or starts left out, which is said in a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main as root

COMMON = ["--model", "mf", "--dim", "8", "--epochs", "1", "--learning-rate", "0.01", "--threads", "1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("memory") / "log.csv"
    path.write_text("".join(f"{user},{(user * 7 + k * k) % 40}\n" for user in range(60) for k in range(12)))
    return path


def test_too_little_is_refused_before_the_work(data: Path, tmp_path: Path) -> None:
    words = ["train", str(data), "-o", str(tmp_path / "run"), *COMMON, "--memory-limit"]
    made = CliRunner().invoke(root, [*words, "100MB"])
    assert made.exit_code == 2
    assert "--memory-limit 100MB allows 100 MB; nothing can be trained in less than 215 MB" in made.stderr
    assert "Memory: about " in made.stdout
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert CliRunner().invoke(root, [*words, "much"]).exit_code == 2


def test_what_is_left_out_is_said_and_recorded(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train", str(data), "-o", str(run), *COMMON]
    free = json.loads(CliRunner().invoke(root, [*words, "--json"]).stdout)
    assert "left_out" not in free["memory"] and "left_out" not in (run / "config.json").read_text()
    before = (run / "model.safetensors").read_bytes()
    plenty = CliRunner().invoke(root, [*words, "--overwrite", "--memory-limit", "10GB"])
    assert plenty.exit_code == 0 and "Left out" not in plenty.stderr
    assert (
        run / "model.safetensors"
    ).read_bytes() == before  # a limit that leaves nothing out changes nothing
    limit = free["memory"]["estimate"]["total"] - 2_000_000  # the part to train on needs less
    made = CliRunner().invoke(root, [*words, "--overwrite", "--memory-limit", str(limit)])
    assert made.exit_code == 0, made.stderr
    assert "Left out, as memory does not allow it: condensed of mf 8 (" in made.stderr
    assert list(json.loads((run / "config.json").read_text())["data"]["left_out"]) == ["condensed of mf 8"]
