"""The page of settings: every setting once, with what only some commands and models have."""

from __future__ import annotations

import re

import pytest

from sparserec_np.training.setting import GROUPS
from sparserec_np.training.settings import SETTINGS
from sparserec_np.training.settings_page import HEADERS, TITLES, settings_page

ROWS = {
    cells[1].strip(" `"): dict(zip(HEADERS, map(str.strip, cells[1:-1]), strict=True))
    for line in settings_page().splitlines()
    if line.startswith("| `")
    for cells in [re.split(r"(?<!\\)\|", line)]
}


def test_every_setting_stands_there_once() -> None:
    listed = re.findall(r"^\| `--([a-z0-9-]+)` \|", settings_page(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(name.replace("_", "-") for name in SETTINGS)
    assert {row.group for row in SETTINGS.values()} == set(GROUPS) == set(TITLES)
    titles = re.findall(r"^## (.*)$", settings_page(), flags=re.MULTILINE)
    assert titles == [TITLES[group] for group in GROUPS]


@pytest.mark.parametrize(
    ("option", "cells"),
    [
        ("--dim", ("whole number, 1 to 65,536", "by validation", "trained models")),
        ("--layers", ("whole number, 1 to 4", "3 with lightgcn", "lightgcn")),
        ("--density", ("number above 0, up to 1", "0.1", "trained models")),
        ("--negative-weight", ("number, 0 or more", "4 with bce, 100 with ccl", "bce, ccl")),
        ("--epochs", ("whole number, 0 or more", "20", "trained models")),
        ("--similarity", ("dot, cosine", "cosine for bsl and ccl, else dot", "trained models")),
        ("--refit", ("yes or no", "refit", "all")),
    ],
)
def test_a_row_says_values_default_and_who_has_it(option: str, cells: tuple[str, ...]) -> None:
    assert tuple(ROWS[option][name] for name in ("Values", "Default", "Who has it")) == cells


@pytest.mark.parametrize(
    ("option", "commands"),
    [
        ("--model", "train"),
        ("--dim", "train, distill (default that of TEACHER)"),
        ("--loss", "train, distill (bpr, softmax, bce)"),
        ("--negatives", "train, distill (2 or more), update"),
        ("--epochs", "train, distill, update (default 5, with fism 0)"),
        ("--margin", "train"),
        ("--validation", "train, distill (default none), update (default 0.1, with fism and no epochs 0)"),
    ],
)
def test_a_row_says_what_is_different_in_a_command(option: str, commands: str) -> None:
    assert ROWS[option]["Commands"] == commands


def test_no_template_is_left_open() -> None:
    assert "{" not in settings_page() and "None" not in settings_page()
