"""The search over starts and learning rates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.runtime import FOLDED_DIMENSIONS
from sparserec_np.starts import STARTS
from sparserec_np.starts.condensed import Condensed
from sparserec_np.starts.uniform import Uniform
from sparserec_np.training.fitted import SELECT_BY, Fitted, Record
from sparserec_np.training.plan import Plan
from sparserec_np.training.search import next_rate, starts_to_try
from sparserec_np.training.settings import RATES, Config
from sparserec_np.training.starting import Beginning, make_start
from sparserec_np.training.train import train
from tests.makers.small import same_bits, small_log
from tests.makers.trainings import LOG, TINY, WITHOUT_WARNINGS, fit


def by_rate(fitted: Fitted) -> dict[float, float]:
    """The best validation NDCG@20 of each learning rate, in the order they were tried."""
    reached: dict[float, float] = {}
    for record in fitted.history:
        if SELECT_BY in record:
            rate = record["learning_rate"]
            reached[rate] = max(reached.get(rate, -1.0), record[SELECT_BY])
    return reached


@pytest.mark.parametrize("epochs", [1, 12])
def test_without_a_learning_rate_the_best_of_three_is_taken(epochs: int) -> None:
    fitted = fit(LOG, learning_rate=None, epochs=epochs, refit=False)
    reached = by_rate(fitted)
    first, second, higher, lower = RATES["batches"]
    third = higher if reached[first] > reached[second] else lower
    assert list(reached) == [first, second, third]
    assert fitted.config.learning_rate == max(reached, key=reached.__getitem__)
    again = fit(LOG, learning_rate=fitted.config.learning_rate, epochs=epochs, refit=False)
    np.testing.assert_array_equal(fitted.model.table.values, again.model.table.values)
    assert fitted.best_epoch == again.best_epoch


@pytest.mark.parametrize("decay_to", ["start", "zero"])
def test_no_trial_writes_to_the_start(decay_to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def noted(*arguments: Any) -> Beginning:
        start = make_start(*arguments)
        made.append((start.table, start.table.copy()))
        return start

    monkeypatch.setattr("sparserec_np.training.search.make_start", noted)
    fitted = fit(start="spectral", decay_to=decay_to, learning_rate=None, drop_until=1.0, refit=False)
    assert len({record["learning_rate"] for record in fitted.history}) == 3
    assert sum(record.get("mask_churn", 0) > 0 for record in fitted.history) > 3
    (table, before), *more = made
    assert not more and same_bits(table, before)


def test_ctrl_c_while_the_second_start_is_made_keeps_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def pressed(log: Interactions, plan: Plan, *rest: Any) -> Beginning:
        made.append(str(plan.settings.start))
        if len(made) == 2:
            raise KeyboardInterrupt
        return make_start(log, plan, *rest)

    monkeypatch.setattr("sparserec_np.training.search.make_start", pressed)
    fitted = fit(start=None, learning_rate=0.05)
    assert made == ["spectral", "condensed"]
    assert fitted.interrupted and fitted.config.start == "spectral"
    alone = fit(start="spectral", learning_rate=0.05, refit=False)
    assert same_bits(fitted.model.table, alone.model.table)


def by_start(fitted: Fitted) -> dict[str, float]:
    """The best validation NDCG@20 of each start, in the order they were tried."""
    reached: dict[str, float] = {}
    for record in fitted.history:
        if SELECT_BY in record:
            reached[record["start"]] = max(reached.get(record["start"], -1.0), record[SELECT_BY])
    return reached


@pytest.mark.parametrize("second", ["als", "condensed"])
@pytest.mark.parametrize("first_is_best", [True, False])
def test_without_a_start_the_one_that_trains_to_better_lists_is_taken(
    monkeypatch: pytest.MonkeyPatch, second: str, first_is_best: bool
) -> None:
    if second == "als":
        monkeypatch.setattr("sparserec_np.training.search.TRIED_PRODUCTS", 1)
    best, other = ("spectral", second) if first_is_best else (second, "spectral")
    monkeypatch.setitem(STARTS, other, Uniform(deviation=0))  # has no gradients
    fitted = fit(LOG, start=None, learning_rate=None)
    assert list(by_start(fitted)) == ["spectral", second]
    assert fitted.config.start == best
    tried = [
        (r["start"], r["learning_rate"]) for r in fitted.history if (r["phase"], r["epoch"]) == ("search", 1)
    ]
    assert [start for start, _ in tried] == ["spectral"] * 3 + [second] * 3
    assert [rate for _, rate in tried[:2]] == [rate for _, rate in tried[3:5]] == list(RATES["batches"][:2])
    alone = fit(LOG, start=best, learning_rate=fitted.config.learning_rate)
    assert same_bits(fitted.model.table, alone.model.table)


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"validation": 0.0},
            {"method": "dense"},
            {"method": "magnitude"},
            {"method": "granet"},
            {"model": "neumf"},
        ),
        *({"dim": 80, "density": 0.9}, {"dim": 4097, "density": 0.01}),
    ],
    ids=str,
)
def test_where_nothing_is_held_out_or_rows_are_long_the_start_is_spectral(changes: dict[str, Any]) -> None:
    fitted = fit(LOG, start=None, **changes)
    assert {record["start"] for record in fitted.history} == {"spectral"} == {fitted.config.start}


@WITHOUT_WARNINGS
def test_a_rate_that_diverges_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for rates, good in (((0.01, 1e-9, 1e30, 0.001), [0.01, 1e-9]), ((1e30, 1e-9, 1e30, 0.01), [1e-9, 0.01])):
        monkeypatch.setitem(RATES, "batches", rates)
        fitted = fit(LOG, learning_rate=None, optimizer="sgd", epochs=12, refit=False)
        assert list(by_rate(fitted)) == good and fitted.config.learning_rate == 0.01


def test_the_third_rate_lies_beyond_the_better_and_is_lower_where_both_are_equal() -> None:
    plan = Plan.of(Config(), LOG)
    first, second, higher, lower = RATES["batches"]
    assert [next_rate(plan, []), next_rate(plan, [0.5])] == [first, second]
    assert next_rate(plan, [0.6, 0.5]) == higher
    assert next_rate(plan, [0.5, 0.6]) == next_rate(plan, [0.5, 0.5]) == lower
    assert next_rate(plan, [0.5, 0.6, 0.7]) is None
    given = Plan.of(Config(learning_rate=0.2), LOG)
    assert [next_rate(given, []), next_rate(given, [0.5])] == [0.2, None]


def test_ctrl_c_in_the_second_search_keeps_the_first() -> None:
    def on_epoch(record: Record) -> None:
        if record["learning_rate"] == RATES["batches"][1] and record["epoch"] == 1:
            raise KeyboardInterrupt

    config = replace(TINY, learning_rate=None, epochs=12)
    fitted = train(LOG, config, threads=1, on_epoch=on_epoch)
    alone = fit(LOG, learning_rate=RATES["batches"][0], epochs=12, refit=False)
    assert fitted.interrupted and fitted.config.learning_rate == RATES["batches"][0]
    np.testing.assert_array_equal(fitted.model.table.values, alone.model.table.values)


@pytest.mark.parametrize(
    ("dim", "entries", "most", "tried"),
    [
        (64, 6.4, 1.0, ("spectral", "condensed")),
        (64, 64, 1.0, ("spectral", "condensed")),
        (64, 6.4, 0.99, ("spectral", "als")),
        (128, 64.1, 1.0, ("spectral",)),
        (FOLDED_DIMENSIONS, 64, 1.0, ("spectral", "condensed")),
        (FOLDED_DIMENSIONS, 64, 0.99, ("spectral", "als")),
        (FOLDED_DIMENSIONS + 1, 6.4, 1.0, ("spectral",)),
    ],
)
def test_least_squares_are_tried_where_they_are_soon_done(
    dim: int, entries: float, most: float, tried: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = small_log(60, 40, 900)
    products = Condensed().products(log, dim)
    degrees = [np.bincount(log.pair_users()), np.bincount(log.items)]
    pairs = sum(int(n) * min(int(n), 40) for some in degrees for n in some)  # no more columns than items
    assert products == pytest.approx(40 * (5 * pairs + 60 * 40 / 8))
    monkeypatch.setattr("sparserec_np.training.search.TRIED_PRODUCTS", most * products)

    def starts(**settings: Any) -> tuple[str, ...]:
        plan = Plan.of(Config(dim=dim, density=entries / dim, **settings), log)
        return starts_to_try(plan, log)

    assert Plan.of(Config(dim=dim, density=entries / dim), log).budget.nnz == round(100 * entries)
    assert starts() == tried
    assert starts(start="nmf") == ("nmf",)
    assert starts(method="dense") == starts(model="neumf") == ("spectral",)
    monkeypatch.setattr("sparserec_np.training.search.TRIED_BYTES", 4 * 100 * 40 - 1)
    assert "condensed" not in starts()
    monkeypatch.setattr("sparserec_np.training.search.TRIED_PAIRS", log.n_interactions - 1)
    assert starts() == ("spectral",)


def test_where_rows_are_solved_for_the_costly_start_is_tried_on_little_data_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    solved = Config(model="fism", user_rows="ridge")
    assert starts_to_try(Plan.of(solved, LOG), LOG) == ("als", "condensed")
    assert starts_to_try(Plan.of(replace(solved, start="spectral"), LOG), LOG) == ("spectral",)
    monkeypatch.setattr("sparserec_np.training.search.TRIED_BYTES", 1)
    assert starts_to_try(Plan.of(solved, LOG), LOG) == ("als",)
    assert next_rate(Plan.of(solved, LOG), []) == RATES["batches"][0]
    assert next_rate(Plan.of(solved, LOG), [0.1]) is None
