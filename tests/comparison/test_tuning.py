"""A search with Optuna: kept, gone on with, refused for other data, and its front and winner."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from sparserec_np.comparison import tuning
from sparserec_np.comparison.document import as_html
from sparserec_np.comparison.tuning import (
    BYTES,
    QUALITY,
    Search,
    Tried,
    check_search,
    ended_trials,
    front_of,
    make_trials,
    open_study,
    winner_of,
    winning_config,
)
from sparserec_np.comparison.tuning_report import page
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.training.train import train
from tests.comparison.test_document import check
from tests.makers.trainings import HELD, KEPT, TINY

CONFIG = replace(TINY, learning_rate=None, epochs=2)
FIXED = ("start", "l2_user", "l2_positive", "l2_negative", "negatives", "start_score")


def search(folder: Path, **changes: object) -> Search:
    return replace(Search(str(folder), CONFIG, FIXED, QUALITY, KEPT, None, 1), **changes)


def tried(*pairs: tuple[float | None, int | None]) -> list[Tried]:
    return [Tried(number, {}, *pair, "complete") for number, pair in enumerate(pairs)]


class TestWithOptuna:
    @pytest.fixture(autouse=True)
    def in_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Storages in memory, one a path: files take a second each."""
        optuna = pytest.importorskip("optuna")
        kept: defaultdict[str, object] = defaultdict(optuna.storages.InMemoryStorage)
        monkeypatch.setattr(tuning, "storage_at", kept.__getitem__)

    def test_a_search_begins_with_the_defaults_and_goes_on(self, tmp_path: Path) -> None:
        here, told = search(tmp_path / "run"), []
        make_trials(open_study(here), here, 3, told.append)
        assert [one.number for one in told] == [0, 1, 2]
        defaults = {"learning_rate": 0.01, "drop_fraction": 0.3, "regrow_start": 0.5}
        assert told[0].settings == defaults
        fitted = train(KEPT, replace(CONFIG, learning_rate=0.01, refit=False), threads=1)
        assert told[0].reached == fitted.reached
        make_trials(open_study(here), here, 4, told.append)  # as after a crash
        assert [one.number for one in told] == [0, 1, 2, 3]
        assert ended_trials(open_study(here)) == told
        check(as_html(page(told, "run")))

    def test_the_same_seed_suggests_the_same(self, tmp_path: Path) -> None:
        found = []
        for name, seed in (("one", 0), ("again", 0), ("other", 1)):
            here = search(tmp_path / name, config=replace(CONFIG, epochs=0, seed=seed))
            make_trials(open_study(here), here, 3, lambda one: None)
            found.append([one.settings for one in ended_trials(open_study(here))])
        assert found[0] == found[1] and found[0][1:] != found[2][1:]

    def test_other_data_and_settings_are_refused_by_name(self, tmp_path: Path) -> None:
        open_study(search(tmp_path))
        for changes, words in (
            ({"log": HELD}, "other data"),
            ({"config": replace(CONFIG, density=0.5)}, "another density: 0.3 there, 0.5 here"),
            ({"objective": BYTES}, "another objective"),
        ):
            with pytest.raises(ConfigError, match=words):
                open_study(search(tmp_path, **changes))

    def test_an_interrupted_trial_does_not_count(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, usual = search(tmp_path), tuning.train
        with monkeypatch.context() as patched:
            stopped = lambda *some, **how: replace(usual(*some, **how), interrupted=True)  # noqa: E731
            patched.setattr(tuning, "train", stopped)
            with pytest.raises(KeyboardInterrupt):
                make_trials(open_study(here), here, 2, lambda one: None)
        assert ended_trials(open_study(here)) == []
        make_trials(open_study(here), here, 1, lambda one: None)
        assert [one.number for one in ended_trials(open_study(here))] == [1]

    def test_a_trial_that_diverges_counts_and_never_wins(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def diverged(*_: object, **__: object) -> None:
            raise SparseRecError("Training diverged")

        here = search(tmp_path)
        monkeypatch.setattr(tuning, "train", diverged)
        make_trials(open_study(here), here, 2, lambda one: None)
        assert [one.ended for one in ended_trials(open_study(here))] == ["diverged", "diverged"]
        with pytest.raises(SparseRecError, match="No trial ended well"):
            winner_of(ended_trials(open_study(here)))

    def test_poor_trials_are_pruned_by_the_median(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, reached = search(tmp_path), iter([0.5] * 5 + [0.1])
        usual = tuning.train

        def trained(log, config, *, on_epoch, **how):
            value, epochs = next(reached), []
            ended = on_epoch({"ndcg@20": value, "epoch": 1})
            epochs.append(ended)
            return usual(log, replace(config, epochs=0), **how)

        monkeypatch.setattr(tuning, "train", trained)
        make_trials(open_study(here), here, 6, lambda one: None)
        assert [one.ended for one in ended_trials(open_study(here))] == ["complete"] * 5 + ["pruned"]

    def test_bytes_count_where_they_are_asked_for(self, tmp_path: Path) -> None:
        here = search(tmp_path, objective=BYTES)
        make_trials(open_study(here), here, 4, lambda one: None)
        found = ended_trials(open_study(here))
        assert all(one.bytes and {"density", "dim"} <= one.settings.keys() for one in found)
        first = train(KEPT, winning_config(here, found[1]), threads=1)
        assert found[1].bytes == first.budget.total_bytes
        check(as_html(page(found, "run")))


def test_the_front_is_of_those_that_no_other_beats() -> None:
    found = tried((0.30, 900), (0.20, 500), (0.10, 600), (None, None), (0.299, 700), (0.30, 950))
    assert [one.number for one in front_of(found)] == [1, 4, 0]
    assert winner_of(found).number == 4  # 99 % of the best, and smaller
    assert winner_of(tried((0.1, None), (0.3, None), (0.2, None), (0.3, None))).number == 1


def test_what_cannot_be_searched_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for changes, words in (
        ({"config": replace(CONFIG, validation=0.0)}, "needs held-out"),
        ({"config": replace(CONFIG, entries=50), "objective": BYTES}, "leave entries"),
    ):
        with pytest.raises(ConfigError, match=words):
            check_search(search(tmp_path, **changes))
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(SparseRecError, match=r"pip install 'sparserec_np\[tune\]'"):
        check_search(search(tmp_path))
