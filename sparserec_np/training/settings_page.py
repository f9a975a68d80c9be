"""The page of all settings, ``docs/settings.md``, made from the table of settings.

The program obeys the same table.
"""

from __future__ import annotations

import re

from sparserec_np.training.setting import COUNT, GROUPS, SCOPES, Setting
from sparserec_np.training.settings import SETTINGS

INTRODUCTION = """\
# Settings

Every setting of a training run, as `sparserec train` takes it, `RUN/config.json` keeps it, and
`Config` and `SparseRec` have it in Python (there with `_` for `-`). `sparserec distill` and
`sparserec update` take those that the last column names, with the default that stands there where
theirs is another; an update keeps all others as the run has them. This page is made from the table
in `sparserec_np/training/settings.py`.
"""
TITLES = {
    "model": "The model",
    "budget": "The budget",
    "start": "The start",
    "loss": "The loss",
    "learning": "Learning",
    "mask": "The mask",
    "validation": "Validation",
}
HEADERS = ("Setting", "Values", "Default", "What it does", "Who has it", "Commands")


def settings_page() -> str:
    """Writes the page as Markdown: a table for each group of settings."""
    parts = [INTRODUCTION]
    for group in GROUPS:
        rows = [_cells(row) for row in SETTINGS.values() if row.group == group]
        lines = [HEADERS, ("---",) * len(HEADERS), *rows]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        parts.append(f"## {TITLES[group]}\n\n{table}\n")
    return "\n".join(parts)


def _cells(row: Setting) -> tuple[str, ...]:
    """Writes one setting as a row of the page."""
    cells = (
        f"`--{row.name.replace('_', '-')}`",
        _values(row),
        row.default_in("train"),
        f"{_purpose(row)} {row.text}".strip(),
        _having(row),
        ", ".join(_place(row, command) for command in SCOPES if row.in_command(command)),
    )
    return tuple(cell.replace("|", r"\|") for cell in cells)


def _values(row: Setting) -> str:
    """Says which values a setting takes."""
    if row.choices:
        return ", ".join(row.choices)
    kind = {int: "whole number", float: "number", bool: "yes or no", str: "text"}[row.kind]
    if row.low is None:
        return kind
    low, high = f"{row.low:,g}", f"{row.high:,g}"
    if row.high >= COUNT:  # a bound for slips, and none to think of
        return f"{kind} above {low}" if row.open_below else f"{kind}, {low} or more"
    return f"{kind} above {low}, up to {high}" if row.open_below else f"{kind}, {low} to {high}"


def _purpose(row: Setting) -> str:
    """Returns the line of help without what has a column of its own."""
    line = re.sub(r"; [^;]*\{default\}[^.]*", "", row.help)
    return line.replace(", with {owners}", "")


def _having(row: Setting) -> str:
    """Names the models, or losses, that the setting means something to."""
    if row.is_owned:
        return ", ".join(row.owners())
    models = SCOPES["train"].models
    return "all" if all(model.takes(row.name) for model in models) else "trained models"


def _place(row: Setting, command: str) -> str:
    """Names a command that takes the setting, with what is different there."""
    own = row.in_command(command)
    if command == "train" or own is None or own.words == "as in RUN":
        return command
    said = []
    if own.choices:
        said.append(", ".join(own.choices))
    if own.low is not None:
        said.append(f"{own.low:g} or more")
    shown = row.shown_default(command)
    if (own.words or own.default is not None) and shown != row.shown_default("train"):
        said.append(f"default {shown}")
    return f"{command} ({'; '.join(said)})" if said else command
