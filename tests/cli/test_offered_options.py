"""No command offers an option or a choice that it always refuses: each is accepted in some run.

Every option is tried alone, with a value that is not its default, on interactions that take
milliseconds. What goes only with others has its companions in a table.
"""

from __future__ import annotations

import copy
import json
import shutil
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner

from cli import distill, train, update
from sparserec_np.data.synthetic import generate
from sparserec_np.training.settings import SETTINGS

SHORT = ("--epochs", "1", "--dim", "6", "--learning-rate", "0.01", "--batch-size", "128", "--threads", "1")
CHOSEN = ("--start", "spectral")
# (option, value) or option -> the options that it goes with.
COMPANIONS = {
    ("--model", "popularity"): (),
    ("--model", "itemknn"): (),
    # Half of twelve full columns: as many as the teacher has.
    ("--method", "dense-small"): (*SHORT, "--dim", "12", "--density", "0.5"),
    ("--start", "fitted"): (*SHORT, "--model", "fism"),
    ("--start", "neighbours"): (*SHORT, "--model", "fism"),
    ("--start", "plain-neighbours"): (*SHORT, "--model", "fism"),
    "--neighbours": ("--model", "itemknn"),
    "--shrinkage": ("--model", "itemknn"),
    "--layers": (*SHORT, "--model", "lightgcn"),
    "--user-rows": (*SHORT, "--model", "fism"),
    "--recency": (*SHORT, "--model", "fism"),
    "--neighbour-share": (*SHORT, "--model", "fism", "--start", "neighbours"),
    "--neighbour-weight": (*SHORT, "--model", "fism", "--start", "neighbours"),
    "--neighbour-popularity": (*SHORT, "--model", "fism", "--start", "neighbours"),
    "--untouched-weight": (*SHORT, "--model", "fism", "--user-rows", "ridge"),
    "--ridge": (*SHORT, "--model", "fism", "--user-rows", "ridge"),
    "--hidden": (*SHORT, "--model", "neumf"),
    "--negative-weight": (*SHORT, "--loss", "bce"),
    "--margin": (*SHORT, "--loss", "ccl"),
    "--sharpness": (*SHORT, "--loss", "bsl"),
}
# Option -> a value where the one made up for its type would not do. {folder} is where the files
# are.
VALUES = {
    "--dim": "12",
    "--density": "0.6",
    "--batch-size": "64",
    "--entries": "300",
    "--memory-budget": "20kB",
    "--memory-limit": "9GB",
    "--validation": "{folder}/held.csv",
    "--config": "{folder}/config.json",
    "--known": "{folder}/train.csv",
    "--test": "{folder}/held.csv",
    "--user-col": "0",
    "--item-col": "1",
    "--rating-col": "2",
    "--time-col": "3",
    "--encoding": "latin-1",
    "--weight-col": "2",
    "--item-features": "{folder}/attributes.tsv",
}
FORMAT = "csv"  # of the files here; the readers have tests of their own
# Command -> it, and its files besides the one it writes.
COMMANDS = {
    "train": (train.command, ("train.csv",)),
    "distill": (distill.command, ("trained", "train.csv")),
    "update": (update.command, ("trained", "new.csv")),
}


class Tried(NamedTuple):
    """An option, or its other half, with a value."""

    option: str
    value: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        return (self.option,) if self.value is None else (self.option, self.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of the files, and of a teacher and a run to be updated, each trained once."""
    place = tmp_path_factory.mktemp("offered")
    log = generate(n_users=60, n_items=50, n_interactions=900, groups=4, seed=1)
    users, items = log.pair_users(), log.items
    parts = (users * 7 + items) % 5
    for name, kept in (("train", parts > 1), ("new", parts == 1), ("held", parts == 0)):
        pairs = zip(users[kept].tolist(), items[kept].tolist(), strict=True)
        lines = [f"{log.user_ids[user]},{log.item_ids[item]},5,{item}" for user, item in pairs]
        (place / f"{name}.csv").write_text("\n".join(["user,item,rating,time", *lines, ""]))
    (place / "attributes.tsv").write_text("".join(f"{item}\t{item % 4}\n" for item in range(60)))
    (place / "config.json").write_text(json.dumps({"density": 0.2}))
    assert accepts(place, "train", train.command, (*SHORT, *CHOSEN), "trained")
    return place


def accepts(folder, name, command, words, run="run"):
    """Whether a run of a command, with options besides its files, comes to a good end."""
    paths = [str(folder / file) for file in COMMANDS[name][1]]
    return CliRunner().invoke(command, [*paths, "-o", str(folder / run), *words]).exit_code == 0


def tries(option):
    """What an option is tried with: each choice, each half of a switch, or one value."""
    name = option.opts[-1]
    if name == "--format":
        return [Tried(name, FORMAT)]
    if option.is_flag:
        return [Tried(word) for word in (*option.opts, *option.secondary_opts)]
    if isinstance(option.type, click.Choice):
        return [Tried(name, choice) for choice in option.type.choices]
    if name in VALUES:
        return [Tried(name, VALUES[name])]
    return [Tried(name, "2" if isinstance(option.type, click.types.IntParamType) else "0.25")]


def refused(folder, name, command):
    """The options, or choices, of a command that no run accepts."""
    usual = (*SHORT, *CHOSEN) if name == "train" else SHORT
    known = {word for option in command.params for word in option.opts}
    found = []
    for option in command.params:
        if not isinstance(option, click.Option) or option.name in ("run", "updated", "resume"):
            # in every run, and a run of its own
            continue
        for tried in tries(option):
            companions = COMPANIONS.get(tried, COMPANIONS.get(tried.option, usual))
            pairs = zip(companions[::2], companions[1::2], strict=True)
            words = [word for pair in pairs if pair[0] in known for word in pair]
            words += [word.format(folder=folder) for word in tried.words]
            shutil.rmtree(folder / "run", ignore_errors=True)
            if not accepts(folder, name, command, words):
                found.append(" ".join(tried.words))
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_is_offered_that_is_always_refused(folder, name):
    assert refused(folder, name, COMMANDS[name][0]) == []


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("order", ["--order cells"]),
        ("similarity", ["--similarity cosine"]),
        ("margin", ["--margin 0.25"]),
        ("loss", ["--loss bsl", "--loss ccl"]),
    ],
)
def test_a_planted_option_that_is_always_refused_is_found(folder, setting, found):
    command = copy.copy(distill.command)
    (planted,) = (option for option in train.command.params if option.name == setting)
    command.params = [planted, *(option for option in command.params if option.name != setting)]
    assert refused(folder, "distill", command) == found


@pytest.mark.parametrize("name", COMMANDS)
def test_the_values_tried_are_not_the_defaults(name):
    for option in COMMANDS[name][0].params:
        if option.name in SETTINGS:
            values = [" ".join(tried.words) for tried in tries(option)]
            default = f"{option.opts[-1]} {SETTINGS[option.name].shown_default(name)}"
            assert values != [default]
