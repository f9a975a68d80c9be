"""``sparserec gradcheck``: what it prints, and what its exit code says."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main as root

QUICK = (
    *("gradcheck", "--against", "finite-differences", "--steps", "2"),
    *("--model", "mf", "--similarity", "dot", "--loss", "bpr", "--optimizer", "sgd"),
)


def test_json_is_one_object(installed: Any) -> None:
    done = installed(*QUICK, "--json")
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")
    report = json.loads(done.stdout)
    assert report["passed"] is True and report["against"] == "finite-differences"
    assert {error["negatives"] for error in report["errors"]} == {"pairs", "block"}
    for error in report["errors"]:
        assert error["passed"] and error["relative"] <= error["tolerance"]


def test_table_for_eyes() -> None:
    result = CliRunner().invoke(root, QUICK)
    assert result.exit_code == 0
    assert "mf, dot, bpr, block" in result.stdout
    for quantity in ("loss", "gradients, explored entries", "parameters, 2 sgd steps"):
        assert f"\n{quantity} " in result.stdout
    assert "mf, dot, bpr, block, weighted" in result.stdout
    assert "All 56 are within." in result.stdout


def test_an_error_above_its_tolerance_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    from sparserec_np.verify import checking

    monkeypatch.setitem(checking.TOLERANCES, ("finite-differences", "float32"), 1e-20)
    result = CliRunner().invoke(root, QUICK)
    assert result.exit_code == 1
    assert "TOO FAR" in result.stdout and "exceed this." in result.stdout
    report = json.loads(CliRunner().invoke(root, [*QUICK, "--json"]).stdout)
    assert report["passed"] is False


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = CliRunner().invoke(root, ["gradcheck"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: PyTorch is needed") and result.stderr.count("\n") == 1


@pytest.mark.skipif(
    not importlib.util.find_spec("torch"),
    reason="PyTorch is not installed: pip install 'sparserec_np[verify]'",
)
def test_against_torch() -> None:
    result = CliRunner().invoke(
        root, ["gradcheck", "--steps", "2", "--dim", "5", "--density", "0.5", "--seed", "3"]
    )
    assert result.exit_code == 0, result.output
    assert "Largest errors against torch" in result.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--loss", "hinge"], "loss must be one of"),
        (["--density", "2"], "density must be above 0"),
        (["--against", "jax"], "'jax' is not one of"),
        (["--steps", "1"], "Invalid value for '--steps'"),
    ],
)
def test_wrong_settings_are_exit_code_2(words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(root, ["gradcheck", *words])
    assert result.exit_code == 2 and sentence in result.stderr


def test_a_reference_case_is_written(tmp_path: Path) -> None:
    from sparserec_np.verify import ReferenceCase

    path = tmp_path / "case.npz"
    result = CliRunner().invoke(root, ["gradcheck", "--export", str(path), "--loss", "softmax", "--dim", "6"])
    assert result.exit_code == 0 and result.stdout.startswith(f"Written to {path}: loss, objective, ")
    case = ReferenceCase.load(path)
    assert (case.settings.loss, case.users.shape[1]) == ("softmax", 6)
    result = CliRunner().invoke(root, ["gradcheck", "--export", str(path), "--json"])
    assert json.loads(result.stdout)["settings"]["loss"] == "bpr"


def test_a_case_that_cannot_be_written_is_exit_code_1(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "case.npz"
    result = CliRunner().invoke(root, ["gradcheck", "--export", str(path)])
    assert result.exit_code == 1
    assert "nowhere: No such folder" in result.stderr and result.stderr.count("\n") == 1
