"""Long helps list their options in groups: each once, under the heading where it is looked for."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from cli import compare, distill, train, update
from cli.groups import DATA, GROUPS, OF_SETTINGS, RUNNING, GroupedCommand, GroupedOption
from sparserec_np.training.setting import GROUPS as GROUPS_OF_SETTINGS
from sparserec_np.training.settings import SETTINGS

COMMANDS = {
    "train": train.command,
    "distill": distill.command,
    "update": update.command,
    "compare": compare.command,
}
# What every other option of these commands says something about, and these do not.
ABOUT_RUNNING = {
    *("run", "updated", "config_file", "overwrite", "threads", "memory_limit", "as_json", "help"),
    *("test_file", "folder", "seeds", "ks", "jobs", "backend", "scheduler", "only_plan"),
}


def sections(command):
    """Heading -> the options under it, as the help lists them."""
    output = CliRunner().invoke(command, ["--help"], terminal_width=100, catch_exceptions=False).output
    found = {}
    for line in output.splitlines():
        if heading := re.fullmatch(r"(\S.*):", line):
            found[heading[1]] = []
        elif option := re.match(r"  (?:-\w, )?(--[a-z0-9-]+)", line):
            found[list(found)[-1]].append(option[1])
    return found


@pytest.mark.parametrize("name", COMMANDS)
class TestHelp:
    def test_each_option_is_listed_once_and_in_its_group(self, name):
        listed = {
            option: heading for heading, options in sections(COMMANDS[name]).items() for option in options
        }
        options = [param for param in COMMANDS[name].params if isinstance(param, click.Option)]
        assert len(listed) == sum(map(len, sections(COMMANDS[name]).values())) == len(options) + 1
        for option in options:
            word = next(word for word in option.opts if word.startswith("--"))
            assert listed[word] == getattr(option, "group", RUNNING)
        assert listed["--help"] == RUNNING

    def test_the_groups_stand_in_their_order(self, name):
        found = list(sections(COMMANDS[name]))
        assert found == [group for group in GROUPS if group in found] and found[-1] == RUNNING

    def test_only_what_is_about_running_names_no_group(self, name):
        plain = {
            param.name
            for param in COMMANDS[name].params
            if isinstance(param, click.Option) and not isinstance(param, GroupedOption)
        }
        assert plain <= ABOUT_RUNNING

    def test_no_group_is_a_long_list_but_that_of_the_data(self, name):
        lengths = {heading: len(options) for heading, options in sections(COMMANDS[name]).items()}
        assert max(count for heading, count in lengths.items() if heading != DATA) <= 14


def test_every_group_of_settings_has_a_heading():
    assert set(OF_SETTINGS) == set(GROUPS_OF_SETTINGS) and set(OF_SETTINGS.values()) <= set(GROUPS)
    assert {row.group for row in SETTINGS.values()} == set(OF_SETTINGS)


def test_an_argument_is_no_option():
    @click.command(cls=GroupedCommand)
    @click.argument("file")
    @click.option("--loud", is_flag=True, help="Say more.")
    @click.option("--col", cls=GroupedOption, group=DATA, help="Column.")
    def command(file, loud, col):
        pass

    assert sections(command) == {"Data": ["--col"], "Running": ["--loud", "--help"]}
