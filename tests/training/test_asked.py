"""What is left to choose, by what was given: one rule for the command line and the estimator."""

from __future__ import annotations

from typing import Any

import pytest

from sparserec_np.training.asked import free_to_choose, with_only_model
from sparserec_np.training.choosing import FREE
from sparserec_np.training.settings import SETTINGS, Config
from tests.makers.small import small_log

LOG = small_log(40, 30, 400)


def left(**given: Any) -> frozenset[str]:
    return free_to_choose(given, Config(**given), LOG)


def test_all_but_what_was_given_is_free_without_a_model_and_a_width() -> None:
    assert left() == {*SETTINGS}
    assert left(density=0.2, seed=3) == {*SETTINGS} - {"density", "seed"}


@pytest.mark.parametrize(
    "given", [{"dim": 64}, {"model": "mf"}, {"model": "popularity"}, {"model": "neumf", "dim": 8}], ids=str
)
def test_nothing_is_free_with_a_width_alone_or_a_model_that_is_trained_from_each_start(
    given: dict[str, Any],
) -> None:
    assert left(**given) == frozenset()


def test_a_model_that_stores_no_users_leaves_its_width_free_until_that_is_given() -> None:
    assert left(model="fism") == {*SETTINGS} - {"model"}
    with_width = left(model="fism", dim=32)
    assert {"epochs", "learning_rate"} <= with_width
    assert not with_width & {"dim", "start", "user_rows", "recency"}  # no order of time in these


def test_what_only_one_model_takes_names_it() -> None:
    assert with_only_model({"user_rows": "ridge"})["model"] == "fism"
    assert with_only_model({"start": "neighbours"})["model"] == "fism"
    for given in ({}, {"start": "spectral"}, {"dim": 8, "user_rows": "sum"}, {"model": "mf", "recency": 0.5}):
        assert with_only_model(given) == given
    assert {*FREE} <= {*SETTINGS}
