"""What commands print: strict JSON, aligned tables, and progress for terminals only."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest

from cli.epochs import epoch_progress
from cli.output import cell, emit_json, human_bytes, table


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


def test_decimal_points_of_a_column_of_floats_stand_below_each_other() -> None:
    rows = [["a", 0.1234, 1], ["b", 0.5, 20], ["c", 181.31, 3], ["d", None, 4], ["e", 23456.7, 5]]
    assert table(rows, ["name", "value", "n"]).splitlines() == [
        "name        value   n",
        "----  -----------  --",
        "a          0.1234   1",
        "b          0.5     20",
        "c        181.3      3",
        "d          -        4",
        "e     23,457        5",
    ]
    assert table([["a", 0.5], ["b", 2000]]) == "a    0.5\nb  2,000"  # counts among them: to the right


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


def records(phase: str, epochs: int) -> list[dict[str, object]]:
    """As training gives them: a start, and then an epoch each."""
    return [
        {
            "start": "als",
            "learning_rate": 0.01,
            "phase": phase,
            "epoch": n,
            "loss": None if n == 0 else 4.0 - n / 10,
            "ndcg@20": n / 10,
        }
        for n in range(epochs + 1)
    ]


def test_progress_is_silent_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = io.StringIO()
    monkeypatch.setattr(sys, "stderr", quiet)
    with epoch_progress(3) as show:
        for record in records("search", 3):
            show(record)
    assert quiet.getvalue() == ""


def test_progress_on_a_terminal_goes_to_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with epoch_progress(4) as show:
        for record in records("search", 3) + records("refit", 3):
            show(record)
    text = terminal.getvalue()
    assert "Search" in text and "3/4" in text and "loss 3.7000, ndcg@20 0.3000" in text
    assert "Refit" in text and "3/3" in text and "epoch 3" in text
    assert capsys.readouterr().out == ""


def test_progress_of_a_start_that_nothing_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with epoch_progress(0) as show:
        for record in records("search", 0) + records("refit", 0):
            show(record)
    assert "epoch 0" in terminal.getvalue()


def test_progress_without_validation_is_one_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with epoch_progress(2) as show:
        for record in records("train", 2):
            show({name: value for name, value in record.items() if name != "ndcg@20"})
    text = terminal.getvalue()
    assert "Train" in text and "2/2" in text and "Refit" not in text and "ndcg" not in text
