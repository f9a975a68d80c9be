"""How long a sweep may take: trainings are counted as they are made, and paced by one short one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sparserec_np.comparison import sweep as module
from sparserec_np.comparison.estimate import Pace, estimate, pace_of, trainings_of
from sparserec_np.comparison.sources import Loaded, Sources, told_by_users
from sparserec_np.comparison.sweep import Sweep, work
from sparserec_np.comparison.trials import Tuning
from sparserec_np.comparison.variants import Variant
from sparserec_np.data.formats import write_interactions
from sparserec_np.training import loop
from tests.makers.trainings import HELD, KEPT, TINY

DATA = Loaded(KEPT, HELD, None, told_by_users(KEPT))
CONFIG = replace(TINY, epochs=2, start=None, learning_rate=None)
VARIANT = Variant("mf", "sparserec", ("density", 0.3), None, CONFIG)


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    write_interactions(KEPT, tmp_path / "train.csv")
    write_interactions(HELD, tmp_path / "test.csv")
    files = {"train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv")}
    return Sweep(str(tmp_path / "all"), Sources.of(files, {}), {}, Tuning(0, (), 0), (20,), 1)


@pytest.mark.parametrize("trials", [0, 2])
@pytest.mark.parametrize("changes", [{}, {"learning_rate": 0.01}, {"refit": False}, {"start": "uniform"}])
def test_as_many_trainings_are_made_as_are_counted(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, trials: int, changes: dict
) -> None:
    variant = replace(VARIANT, config=replace(CONFIG, **changes))
    sweep = replace(sweep, tuning=Tuning(trials, ("start_score", "negatives", *changes), 0))
    made, usual = [], loop.fit

    def fit(*given, **more):
        made.append(given)
        return usual(*given, **more)

    for place in ("search", "train"):
        monkeypatch.setattr(f"sparserec_np.training.{place}.fit", fit)
    assert work(sweep, variant, (0, 1, 2)).failure is None
    assert len(made) == trainings_of(variant, trials, 3, DATA)


def test_a_training_is_paced() -> None:
    assert Pace(5.0, 2.0, 1.0).training(replace(CONFIG, epochs=10, evaluate_every=5)) == 5 + 20 + 3
    pace = pace_of(VARIANT, DATA, 1)
    assert 0 < pace.start < 10 and 0 < pace.epoch < 10 and pace.look >= 0


def test_each_model_is_paced_once_and_jobs_share(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def paced(variant: Variant, *_: object) -> Pace:
        asked.append(variant.model)
        return Pace(1.0, 0.0, 0.0)

    monkeypatch.setattr("sparserec_np.comparison.estimate.pace_of", paced)
    other = Variant("popularity", "counted", None, None, replace(module.Config(model="popularity")))
    two = [VARIANT, replace(VARIANT, method="static"), other]
    assert estimate(sweep, two, 1, 2, DATA) == 2 * trainings_of(VARIANT, 0, 1, DATA) / 2
    assert asked == ["mf"]
