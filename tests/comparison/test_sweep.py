"""A sweep: nothing is trained twice, other data are refused, and what fails stops nobody."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparserec_np.comparison import sweep as module
from sparserec_np.comparison.document import as_html, as_markdown
from sparserec_np.comparison.measured import Measured
from sparserec_np.comparison.report import Comparison, as_json, page
from sparserec_np.comparison.sources import Sources
from sparserec_np.comparison.sweep import Sweep, SweepDirectory, Workers, sweep_through, work
from sparserec_np.comparison.trials import Tuning
from sparserec_np.comparison.variants import Axes, Impossible, variants_of
from sparserec_np.data.formats import write_interactions
from sparserec_np.errors import ConfigError, DataError, SparseRecError
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.training.run_directory import load_run, read_config
from tests.comparison.test_document import check
from tests.makers.trainings import HELD, KEPT, TINY

COMMON = {
    **{
        name: getattr(TINY, name)
        for name in ("dim", "start_score", "batch_size", "negatives", "evaluate_every")
    },
    **{"epochs": 2, "seed": 0},
}
AXES = Axes(("mf", "popularity"), ("sparserec", "static"), (("density", 0.3), ("density", 0.5)), ("uniform",))
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, list]:
    """A sweep that was worked through, and its variants. Not to be changed."""
    folder = tmp_path_factory.mktemp("sweep")
    write_interactions(KEPT, folder / "train.csv")
    write_interactions(HELD, folder / "test.csv")
    files = {"train": str(folder / "train.csv"), "test": str(folder / "test.csv")}
    sweep = Sweep(str(folder / "all"), Sources.of(files, {}), COMMON, Tuning(0, tuple(COMMON), 0), (5, 20), 1)
    variants, impossible = variants_of(AXES, COMMON, sweep.sources.load().log)
    assert not impossible
    with SweepDirectory(sweep):
        outcomes = list(sweep_through(sweep, variants, SEEDS, Workers()))
    assert [(one.failure, one.trained) for one in outcomes] == [(None, 2)] * len(variants)
    return sweep, variants


@pytest.fixture
def copied(done: tuple[Sweep, list], tmp_path: Path) -> tuple[Sweep, list]:
    """The same in a place of its own."""
    shutil.copytree(done[0].folder, tmp_path / "all")
    return replace(done[0], folder=str(tmp_path / "all")), done[1]


def trained_by(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The configurations that are trained from now on."""
    found: list[object] = []
    usual = module.train
    monkeypatch.setattr(
        module, "train", lambda log, config, **how: found.append(config) or usual(log, config, **how)
    )
    return found


def test_a_run_is_an_ordinary_one_and_measured_as_such(done: tuple[Sweep, list]) -> None:
    sweep, variants = done
    fitted = load_run(sweep.run_path(variants[0], 1))
    assert fitted.config.method == "sparserec" and fitted.config.seed == 1 and fitted.config.density == 0.3
    data = sweep.sources.load()
    measured = Measured.load(sweep.measured_path(variants[0], 1))
    expected = evaluate(fitted, data.test, fitted.log, (5, 20))
    for name in ("ndcg@5", "recall@20", "coverage@20", "gini@5"):
        assert measured.values.summary[name] == pytest.approx(expected[name], abs=1e-12)
    assert measured.facts["entries"] == variants[0].entries and measured.facts["density"] == pytest.approx(
        0.3
    )
    assert measured.facts["seconds"] > 0 and measured.facts["peak_bytes"] > 0


def test_the_other_seeds_train_with_what_the_first_chose(done: tuple[Sweep, list]) -> None:
    sweep, variants = done
    first, second = (read_config(f"{sweep.run_path(variants[0], seed)}/config.json")[0] for seed in SEEDS)
    assert (first.learning_rate, first.start) == (second.learning_rate, second.start)
    phases = {record["learning_rate"] for record in load_run(sweep.run_path(variants[0], 0)).history}
    assert len(phases) == 3
    assert len({record["learning_rate"] for record in load_run(sweep.run_path(variants[0], 1)).history}) == 1


def test_nothing_finished_is_trained_again(
    copied: tuple[Sweep, list], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, variants = copied
    trained = trained_by(monkeypatch)
    assert all(sweep.is_finished(variant, SEEDS) for variant in variants)
    assert [work(sweep, variant, SEEDS).trained for variant in variants] == [0] * len(variants)
    Path(sweep.measured_path(variants[0], 1)).unlink()  # it was stopped before the run was measured
    shutil.rmtree(sweep.run_path(variants[1], 1))  # ... and while this one was trained
    Path(sweep.measured_path(variants[1], 1)).unlink()
    assert not sweep.is_finished(variants[0], SEEDS) and not sweep.is_finished(variants[1], SEEDS)
    assert [work(sweep, variant, SEEDS).trained for variant in variants[:2]] == [0, 1]
    assert [config.seed for config in trained] == [1]
    assert work(sweep, variants[0], (0, 1, 2)).trained == 1  # a seed more


def test_other_data_and_settings_are_refused_by_name(copied: tuple[Sweep, list], tmp_path: Path) -> None:
    sweep, _ = copied
    changed = replace(sweep.sources, digests={**sweep.sources.digests, "test": "0" * 64})
    for other, name in (
        (replace(sweep, sources=changed), "test part"),
        (replace(sweep, common={**COMMON, "epochs": 3}), "epochs: 2 there, 3 here"),
        (replace(sweep, common={**COMMON, "loss": "bpr"}), "loss: none there, bpr here"),
        (replace(sweep, tuning=Tuning(5, (), 0)), "trials: 0 there, 5 here"),
    ):
        with pytest.raises(ConfigError, match=name), SweepDirectory(other):
            pass
    with pytest.raises(DataError, match="has changed since the comparison began"):
        changed.load()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    for folder, words in ((str(tmp_path / "other"), "no comparison"), (sweep.sources.train, "is a file")):
        with pytest.raises(SparseRecError, match=words), SweepDirectory(replace(sweep, folder=folder)):
            pass
    with (
        SweepDirectory(sweep),
        pytest.raises(SparseRecError, match="Another comparison"),
        SweepDirectory(sweep),
    ):
        pass


def test_a_finished_run_of_something_else_is_refused(copied: tuple[Sweep, list]) -> None:
    sweep, variants = copied
    shutil.rmtree(sweep.run_path(variants[1], 1))
    shutil.copytree(sweep.run_path(variants[0], 1), sweep.run_path(variants[1], 1))
    outcome = work(sweep, variants[1], SEEDS)
    assert "holds a run with method sparserec, expected static" in (outcome.failure or "")


def test_a_failure_is_told_and_the_others_go_on(
    copied: tuple[Sweep, list], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, variants = copied
    shutil.rmtree(sweep.path("runs"))

    def broken(log, config, **how):
        if config.method == "sparserec":
            raise ZeroDivisionError("by accident")
        return module_train(log, config, **how)

    module_train = module.train
    monkeypatch.setattr(module, "train", broken)
    some = [variants[0], variants[1]]
    outcomes = list(sweep_through(sweep, some, SEEDS, Workers()))
    assert [one.failure for one in outcomes] == ["ZeroDivisionError: by accident", None]
    kept = Path(sweep.path("failed", f"{variants[0].name}.txt"))
    assert "by accident" in kept.read_text()
    monkeypatch.setattr(module, "train", module_train)
    assert work(sweep, variants[0], SEEDS).failure is None and not kept.exists()


def test_an_interrupt_ends_it_and_leaves_no_half_of_a_run(
    copied: tuple[Sweep, list], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, variants = copied
    shutil.rmtree(sweep.run_path(variants[0], 0))
    usual = module.train
    monkeypatch.setattr(
        module, "train", lambda *given, **how: replace(usual(*given, **how), interrupted=True)
    )
    with pytest.raises(KeyboardInterrupt):
        list(sweep_through(sweep, variants, SEEDS, Workers()))
    assert not Path(sweep.run_path(variants[0], 0)).exists()


def test_trials_choose_for_all_seeds(copied: tuple[Sweep, list]) -> None:
    sweep, variants = copied
    tuned = replace(sweep, folder=f"{sweep.folder}-tuned", tuning=Tuning(2, tuple(COMMON), 0))
    with SweepDirectory(tuned):
        assert work(tuned, variants[0], SEEDS).failure is None
    lines = Path(tuned.path("trials", f"{variants[0].name}.jsonl")).read_text().splitlines()
    best = max(map(json.loads, lines), key=lambda line: line["reached"])["settings"]
    for seed in SEEDS:
        config, _ = read_config(f"{tuned.run_path(variants[0], seed)}/config.json")
        assert {name: getattr(config, name) for name in best} == best
    assert [run.facts["trial_seconds"] > 0 for run in tuned.measured(variants[0], SEEDS)] == [True, False]


def test_a_start_that_is_not_trained_is_a_variant_as_well(copied: tuple[Sweep, list]) -> None:
    sweep, _ = copied
    axes = Axes(("fism",), ("static",), (("density", 0.5),), ("als",))
    (variant,), _ = variants_of(axes, COMMON, sweep.sources.load().log)
    assert work(sweep, variant, SEEDS).failure is None
    assert [run.facts["config"]["epochs"] for run in sweep.measured(variant, SEEDS)] == [0, 0]


def test_the_report_tells_it_in_three_ways(done: tuple[Sweep, list]) -> None:
    sweep, variants = done
    missing = ([], [Impossible("mf-none", "there is no such thing")])
    comparison = Comparison.of(sweep, variants, SEEDS, missing, "sparserec")
    blocks = page(comparison)
    text, plain = as_html(blocks), as_markdown(blocks)
    check(text)
    told = json.loads(as_json(comparison))
    assert [one["name"] for one in told["variants"]] == [variant.name for variant in variants]
    ndcg = told["variants"][0]["figures"]["ndcg@5"]
    assert ndcg["mean"] == pytest.approx(np.mean(ndcg["values"]))
    assert ndcg["deviation"] == pytest.approx(np.std(ndcg["values"], ddof=1))
    assert len(told["gains"]) == 2 and told["gains"][0]["other"].startswith("mf-static")
    for words in (
        f"{ndcg['mean']:.4f} ± {ndcg['deviation']:.4f}",
        "there is no such thing",
        "numpy",
        "Gain of sparserec",
    ):
        assert words in text and words in plain
    assert told["versions"]["numpy"] == np.__version__


def test_without_matplotlib_there_are_tables_alone(
    done: tuple[Sweep, list], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparserec_np.comparison.figures.can_draw", lambda: False)
    text = as_html(page(Comparison.of(*done, SEEDS, ([], []), "sparserec")))
    assert "<svg" not in text and "matplotlib is not installed" in text and "Beyond accuracy" in text
