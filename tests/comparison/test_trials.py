"""Tuning: the same draws for every variant, kept line by line, and the best on the held-out part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparserec_np.comparison import trials
from sparserec_np.comparison.sources import Loaded, told_by_users
from sparserec_np.comparison.trials import DIVERGED, Tuning, drawn, seconds_of, tune
from sparserec_np.errors import SparseRecError
from sparserec_np.training.settings import Config
from tests.makers.trainings import KEPT, TINY, fit

DATA = Loaded(KEPT, KEPT, None, told_by_users(KEPT))
CONFIG = replace(TINY, learning_rate=None, epochs=1)
TUNING = Tuning(3, ("start",), seed=1)


def test_methods_draw_the_same_and_the_first_are_the_defaults() -> None:
    one, other = Config(), Config(method="static", loss="bpr")
    starts = ("spectral", "condensed")
    for number in range(4):
        first, second = (drawn(config, starts, Tuning(4, (), 0), number) for config in (one, other))
        assert {name: first[name] for name in second} == second
    assert drawn(one, starts, Tuning(4, (), 0), 0) == {"learning_rate": 0.01, "start": "spectral"}
    assert drawn(one, starts, Tuning(4, (), 0), 2) != drawn(one, starts, Tuning(4, (), 5), 2)


def test_the_best_on_the_held_out_part_is_chosen(tmp_path: Path) -> None:
    path = str(tmp_path / "t" / "trials.jsonl")
    best = tune(CONFIG, DATA, TUNING, path, 1)
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert best == max(lines, key=lambda line: line["reached"])["settings"] and best["start"] == "uniform"
    fitted = fit(KEPT, **{**CONFIG.to_dict(), **lines[1]["settings"], "refit": False})
    assert lines[1]["reached"] == fitted.reached
    assert seconds_of(path) == pytest.approx(sum(line["seconds"] for line in lines))


def test_trials_that_are_there_are_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trials.jsonl"
    line = json.dumps({"settings": {"learning_rate": 0.5}, "reached": 2.0, "seconds": 1.0})
    path.write_text(f'{line}\n{line}\n{{"settings": {{"learning')  # cut off by a crash
    calls = []
    monkeypatch.setattr(trials, "_reached", lambda config, *_: calls.append(config) or 0.1)
    assert tune(CONFIG, DATA, TUNING, str(path), 1) == {"learning_rate": 0.5}
    assert len(calls) == 1 and len(path.read_text().splitlines()) == 3
    tune(CONFIG, DATA, TUNING, str(path), 1)
    assert len(calls) == 1


def test_where_all_diverge_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "_reached", lambda *_: DIVERGED)
    with pytest.raises(SparseRecError, match="diverged in all of 3 trials"):
        tune(CONFIG, DATA, TUNING, str(tmp_path / "t"), 1)


def test_items_are_as_alike_as_their_users() -> None:
    catalogue = told_by_users(KEPT)
    dense = np.zeros((KEPT.n_items, KEPT.n_users))
    dense[KEPT.items, KEPT.pair_users()] = 1
    dense /= np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1)
    top = np.array([[0, 1], [3, 7]])
    expected = [dense[0] @ dense[1], dense[3] @ dense[7]]
    np.testing.assert_allclose(catalogue.measure(top, 2)["intra_list_similarity"], expected, atol=1e-12)
