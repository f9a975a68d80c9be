"""One setting: what it refuses, whose it is, and what a command says of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sparserec_np.errors import ConfigError
from sparserec_np.learning.losses import LOSSES
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.training.setting import SCOPES, InCommand, setting, table_of
from sparserec_np.training.settings import RATES, SETTINGS, Config


@dataclasses.dataclass
class Some:
    count: int = setting(3, "How many.", "mask", low=1, high=9, update=InCommand(5))
    part: float | None = setting(None, "How much.", "mask", low=0, open_below=True, words="all")
    way: str = setting("up", "Where to.", "mask", choices=("up", "down"), distill=None)
    again: bool = setting(True, "Once more.", "mask")


TABLE = table_of(Some)


def test_a_field_keeps_its_default_and_tells_its_type() -> None:
    assert Some() == Some(3, None, "up", True)
    assert list(TABLE) == ["count", "part", "way", "again"]
    found = [(row.name, row.kind, row.optional, row.default) for row in TABLE.values()]
    assert found[:2] == [("count", int, False, 3), ("part", float, True, None)]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", 0, "count must be 1 or more and at most 9, found 0"),
        ("count", 10, "count must be 1 or more and at most 9, found 10"),
        ("count", 1.0, "count must be of type int, found 1.0"),
        ("count", True, "count must be of type int, found True"),
        ("count", None, "count must be of type int, found None"),
        ("part", 0, "part must be above 0, found 0"),
        ("part", float("inf"), "part must be above 0, found inf"),
        ("part", float("nan"), "part must be above 0, found nan"),
        ("way", "left", "way must be one of up, down, found 'left'"),
        ("again", 1, "again must be of type bool, found 1"),
    ],
)
def test_a_wrong_value_is_refused_in_a_sentence(name: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        TABLE[name].check(value)
    assert str(refused.value) == message


def test_right_values_are_taken() -> None:
    rights: tuple[tuple[str, Any], ...] = (
        ("count", 1),
        ("count", 9),
        ("part", None),
        ("part", 1),
        ("part", 0.5),
        ("way", "down"),
        ("again", False),
    )
    for name, value in rights:
        TABLE[name].check(value)


def test_a_command_has_what_it_takes_and_its_own_default() -> None:
    places = {name: [c for c in SCOPES if row.in_command(c)] for name, row in TABLE.items()}
    assert places["count"] == ["train", "distill", "update"]
    assert places["way"] == ["train"] and places["part"] == ["train", "distill"]
    defaults = [TABLE["count"].shown_default(command) for command in SCOPES]
    assert defaults == ["3", "3", "5"]
    assert (TABLE["part"].shown_default("train"), TABLE["part"].default_in("train")) == ("", "all")
    assert TABLE["again"].shown_default("train") == "again"


def test_settings_belong_to_the_models_and_losses_that_have_them() -> None:
    for base in BASE_MODELS.values():
        for name, default in base.settings.items():
            assert SETTINGS[name].owners()[base.name] == default
    for loss in LOSSES.values():
        for name, value in loss.settings:
            assert SETTINGS[name].owners()[loss.name] == value
        for name in ("l2_user", "l2_positive", "l2_negative"):
            assert SETTINGS[name].owners()[loss.name] == loss.decay
    trained = {model.name: model.negatives for model in BASE_MODELS.values() if not model.counted}
    assert SETTINGS["negatives"].owners() == trained
    assert not SETTINGS["dim"].is_owned and not SETTINGS["dim"].owners()


def test_a_student_has_no_settings_of_what_it_cannot_be() -> None:
    for name in ("layers", "hidden", "neighbours", "shrinkage", "margin", "sharpness"):
        assert SETTINGS[name].is_owned and SETTINGS[name].in_command("distill") is None
    assert SETTINGS["negative_weight"].line("distill").endswith("together, with bce.")
    assert SETTINGS["negative_weight"].line("train").endswith("together, with bce and ccl.")


def test_the_words_for_a_default_are_what_it_resolves_to() -> None:
    for order, place in (("batches", 0), ("cells", 1)):
        resolved = Config(order=order).resolved()
        for name in ("batch_size", "optimizer"):
            said = SETTINGS[name].words.split(", in cells ")
            assert said[place] == str(getattr(resolved, name))
    assert SETTINGS["learning_rate"].shown_default("update") == "0.003, in cells 0.03"
    for rate in (*RATES["batches"], *RATES["cells"]):
        assert f"{rate:g}" in SETTINGS["learning_rate"].text
    assert SETTINGS["layers"].line("train") == "Steps on the graph, with lightgcn; 3 by default."


@pytest.mark.parametrize("row", SETTINGS.values(), ids=SETTINGS)
def test_every_line_of_help_is_a_sentence(row: Any) -> None:
    for command in SCOPES:
        if row.in_command(command):
            line = row.line(command)
            assert line[0].isupper() and line.endswith(".") and "{" not in line
