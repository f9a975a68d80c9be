"""What commands print: strict JSON, aligned tables, and progress for terminals only."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest

from cli.output import cell, emit_json, human_bytes, progress, table


def test_json_is_one_strict_line(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json(
        {
            "count": np.int64(3),
            "scores": np.array([0.5, np.nan], dtype=np.float32),
            "pair": (1, float("inf")),
            "text": "a\nb é",
            7: None,
        }
    )
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and out.endswith("\n")
    assert json.loads(out) == {
        "count": 3,
        "scores": [0.5, None],
        "pair": [1, None],
        "text": "a\nb é",
        "7": None,
    }


def test_json_refuses_what_it_cannot_say() -> None:
    with pytest.raises(TypeError):
        emit_json({"object": object()})


def test_table_without_headers_and_without_rows() -> None:
    assert table([["a", 1], ["long", 20]]) == "a      1\nlong  20"
    assert table([], ["name", "n"]) == "name  n\n----  -"
    assert table([]) == ""


def test_table_refuses_ragged_rows() -> None:
    with pytest.raises(ValueError, match="argument"):
        table([["a", 1], ["b"]])


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (10**15, "1000.0 TB"),
    ],
)
def test_human_bytes(count: int, text: str) -> None:
    assert human_bytes(count) == text


def test_cells_of_non_finite_numbers() -> None:
    assert [cell(float("nan")), cell(float("inf")), cell(False)] == ["nan", "inf", "no"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_silent_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = io.StringIO()
    monkeypatch.setattr(sys, "stderr", quiet)
    with progress(3, "Training") as advance:
        advance()
        advance(2, "loss 0.1")
    assert quiet.getvalue() == ""


def test_progress_on_a_terminal_goes_to_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress(3, "Training") as advance:
        for step in range(3):
            advance(1, f"loss {step}")
    assert "Training" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
    assert "loss 2" in terminal.getvalue()
    assert capsys.readouterr().out == ""
