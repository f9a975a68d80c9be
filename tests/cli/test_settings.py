"""Options made from the table of settings: names, ranges, choices and shown defaults."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from cli import distill, train, update
from sparserec_np.learning.losses import LOSSES
from sparserec_np.training.settings import SETTINGS, Config
from sparserec_np.training.updating import CHANGEABLE, UPDATE_DEFAULTS


def options_of(command):
    """Name -> option of a setting."""
    return {option.name: option for option in command.params if option.name in SETTINGS}


def shown_defaults(command):
    """Option -> the default that its help shows."""
    said = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    shown = {}
    for text in re.split(r" (?=--[a-z0-9-]+ )", re.sub("/ --no-[a-z-]+ ", "", said).split("Data:")[1]):
        if found := re.search(r"\[(?:.*; )?default: ([^;\]]*)", text):
            shown[text.split()[0]] = found[1].replace("- ", "-")  # of a word that is broken there
    return shown


def test_every_setting_of_the_library_has_an_option_of_train():
    assert set(options_of(train.command)) == set(Config().to_dict())


def test_an_update_takes_what_the_library_lets_it_change():
    assert set(options_of(update.command)) == set(CHANGEABLE)


def test_distillation_offers_nothing_that_the_student_has_no_choice_in():
    left_out = set(SETTINGS) - set(options_of(distill.command))
    assert left_out == {
        *("model", "layers", "hidden", "neighbours", "shrinkage", "margin", "sharpness"),
        *("order", "similarity", "start", "start_score", "refit", "pairs_together", "relative_rate"),
        *("user_rows", "recency", "untouched_weight", "ridge", "hold_out"),
        *("neighbour_share", "neighbour_weight", "neighbour_popularity"),
    }
    assert options_of(distill.command)["loss"].type.choices == ("bpr", "softmax", "bce")


def test_help_shows_the_default_of_every_setting():
    shown = shown_defaults(train.command)
    for name, value in Config().to_dict().items():
        option = f"--{name.replace('_', '-')}"
        if value is not None:
            own = {
                "refit": "refit",
                "relative_rate": "no-relative-rate",
                "model": "by validation",
                "dim": "by validation",
            }
            assert shown[option] == own.get(name, str(value))
        elif name.startswith("l2_"):
            assert shown[option] == ", ".join(f"{loss.decay:g} with {loss.name}" for loss in LOSSES.values())
    assert shown["--negatives"] == "256 with mf, 256 with lightgcn, 64 with neumf, 256 with fism"
    assert shown["--margin"] == "0.4 with ccl"


def test_help_shows_the_own_defaults_of_other_commands():
    shown = shown_defaults(update.command)
    for name in CHANGEABLE:
        wanted = UPDATE_DEFAULTS.get(name, "as in RUN")
        option = f"--{name.replace('_', '-')}"
        if name not in ("refit", "learning_rate", "epochs", "validation"):
            assert shown[option] == str(wanted)
    assert (shown["--epochs"], shown["--validation"]) == ("5, with fism 0", "0.1, with fism and no epochs 0")
    assert shown["--learning-rate"] == "0.003, in cells 0.03"
    shown = shown_defaults(distill.command)
    assert (shown["--dim"], shown["--negatives"], shown["--floor"]) == ("that of TEACHER", "256", "1")


@pytest.mark.parametrize("command", [train.command, distill.command, update.command])
def test_an_option_that_is_not_given_says_nothing(command):
    for option in options_of(command).values():
        assert option.get_default(click.Context(command)) is None


def test_whole_numbers_have_their_range_and_choices_their_names():
    options = options_of(train.command)
    ranges = {name: (options[name].type.min, options[name].type.max) for name in ("dim", "layers", "epochs")}
    assert ranges == {"dim": (1, 65_536), "layers": (1, 4), "epochs": (0, None)}
    assert options["order"].type.choices == ("batches", "cells")
    assert options_of(distill.command)["negatives"].type.min == 2
    for name in ("density", "learning_rate"):  # of these the library says what is wrong
        assert options[name].type is click.FLOAT
