"""The ranges that settings are tuned in: within those of the table, and only where they mean something."""

from __future__ import annotations

import pytest

from sparserec_np.training.ranges import LEARNING_RATES, RANGES, Range, ranges_for
from sparserec_np.training.settings import SETTINGS, Config


@pytest.mark.parametrize("name", RANGES)
def test_a_range_holds_the_default_and_lies_within_the_setting(name: str) -> None:
    values, row = RANGES[name], SETTINGS[name]
    row.check(values.at(0.0))
    row.check(values.at(1.0))
    model = next(iter(row.owners()), "mf") if row.is_owned else "mf"
    start = "neighbours" if name.startswith("neighbour_") else None
    rows = "ridge" if name in ("ridge", "untouched_weight") else None
    config = Config(model=model, start=start, user_rows=rows)
    default = getattr(config.resolved(), name)
    assert values.holds(default), f"{name}: {default}"


@pytest.mark.parametrize(
    "values",
    [
        Range(1, 4, whole=True),
        Range(2, 64, log=True, whole=True),
        Range(0.1, 0.9),
        Range(0, 0.375, step=0.125),
    ],
)
def test_parts_of_the_way_reach_both_ends(values: Range) -> None:
    assert (values.at(0.0), values.at(1.0)) == (values.low, values.high)
    assert values.low < values.at(0.5) < values.high
    assert isinstance(values.at(0.3), int) == values.whole


def test_a_setting_is_tuned_where_it_means_something() -> None:
    every = ranges_for(Config())
    assert {"drop_fraction", "regrow_start", "learning_rate"} <= set(every)
    assert not {"layers", "hidden", "ridge"} & set(every)
    assert set(every) - set(ranges_for(Config(method="static"))) == {"drop_fraction", "regrow_start"}
    assert "layers" in ranges_for(Config(model="lightgcn"))
    assert "negatives" not in ranges_for(Config(loss="bpr", negatives=1))
    assert set(ranges_for(Config(model="fism", user_rows="ridge"))) == {
        "untouched_weight",
        "ridge",
        "start_score",
    }
    assert ranges_for(Config(model="popularity")) == {}
    assert "neighbour_weight" in ranges_for(Config(model="fism", start="neighbours"))
    assert "recency" in ranges_for(Config(model="fism", recency=0.5))
    assert not {"recency", "neighbour_weight"} & set(ranges_for(Config(model="fism")))


def test_what_is_given_stays() -> None:
    assert "learning_rate" not in ranges_for(Config(learning_rate=0.02), fixed=("learning_rate",))
    assert "start_score" not in ranges_for(Config(), fixed=("start_score",))
    assert ranges_for(Config(order="cells"))["learning_rate"] == LEARNING_RATES["cells"]


def test_numbers_of_a_range_with_a_step_have_equal_shares() -> None:
    values = Range(0, 0.375, step=0.125)
    assert [values.at(part / 8) for part in range(8)] == [0, 0, 0.125, 0.125, 0.25, 0.25, 0.375, 0.375]
