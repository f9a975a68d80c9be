"""``sparserec inspect``: the report for programs has exact keys, the one for eyes says the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from sparserec_np.runtime import Recommender
from sparserec_np.serving.model_file import save_model
from tests.makers.served_models import make_model


def sparserec(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["inspect", *map(str, words)])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    save_model(tmp_path / "model.safetensors", make_model(item_ids=np.arange(50) * 10))
    return tmp_path


def test_json_is_one_object_with_the_promised_keys(run: Path) -> None:
    for place in (run, run / "model.safetensors"):
        result = sparserec(place, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.count("\n") == 1
        report = json.loads(result.stdout)
        assert report == Recommender.open(run).inspect()
        promised = "model method dim users items budget nnz density rows_without_entries bytes"
        assert list(report)[:10] == promised.split()
        assert list(report["bytes"]) == ["values", "columns", "indptr", "ids", "weights", "total"]
        assert report["nnz"] == report["budget"]
        assert report["file_bytes"] == (run / "model.safetensors").stat().st_size


def test_the_table_says_the_same(run: Path) -> None:
    result = sparserec(run)
    assert (result.exit_code, result.stderr) == (0, "")
    report = Recommender.open(run).inspect()
    words = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in result.stdout.splitlines()}
    assert words["method"] == "sparserec"
    assert words["nnz"] == f"{report['nnz']:,}"
    assert words["density"] == f"{report['density']:.4f}"
    assert words["bytes: ids"] == "100"
    assert words["bytes: total"].startswith(f"{report['bytes']['total']:,} (")
    assert words["metrics: recall@20"] == "0.2500"
    assert words["seed"] == "0"


def test_a_damaged_file_is_refused_by_field(run: Path) -> None:
    path = run / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"format_version":"1"', b'"format_version":"9"'))
    result = sparserec(run)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"Error: {path} is not a sound model file: metadata format_version is '9', but only '1' is known here:"
        " update sparserec_np\n"
    )
    path.write_bytes(data[:-1])
    assert "do not lie inside the file" in sparserec(run).stderr


def test_a_run_that_is_none_is_refused(tmp_path: Path) -> None:
    result = sparserec(tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {tmp_path} is a directory without a model.safetensors")
