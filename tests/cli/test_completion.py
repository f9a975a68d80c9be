"""What a shell offers: commands, options, choices, names of data sets, and paths where one belongs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete, get_completion_class

from cli.completion import PATHS, PathText, stands_for
from cli.main import COMMANDS
from cli.main import main as root
from sparserec_np.data.catalogue import catalogue
from tests.test_project import commands

CHECKOUT = Path(__file__).parents[2]
# Metavars of text that is no path.
NO_PATHS = {
    *(
        "NAME|N",
        "NAME|N|none",
        "NAME|N|values|none",
        "NAME",
        "TEXT",
        "ID",
        "ID,ID,...",
        "URL",
        "ADDRESS",
        "K/N",
        "SIZE",
        "-",
    ),
    *("model", "loss", "negatives", "similarity", "optimizer"),
}


def offered(words, incomplete=""):
    """(kind, value) of what is offered behind words."""
    shell = ShellComplete(root, {}, "sparserec", "_SPARSEREC_COMPLETE")
    return [(item.type, item.value) for item in shell.get_completions(words.split(), incomplete)]


def test_commands_and_options():
    assert offered("") == [("plain", name) for name in COMMANDS]
    assert offered("", "tr") == [("plain", "train")]
    assert offered("data", "f") == [("plain", "fetch")]
    assert offered("train", "--mo") == [("plain", "--model")]
    assert ("plain", "--version") in offered("", "--")


@pytest.mark.parametrize(
    ("words", "incomplete", "values"),
    [
        ("data fetch", "ml-", ["ml-100k", "ml-1m", "ml-20m", "ml-32m"]),
        ("data fetch", "", list(catalogue())),
        ("train --loss", "b", ["bpr", "bce", "bsl"]),
        ("distill --loss", "b", ["bpr", "bce"]),
        ("data split x.csv --by", "l", ["last", "leave-one-out"]),
        ("train --format", "ra", ["ratings-dat"]),
    ],
)
def test_names_and_choices(words, incomplete, values):
    assert offered(words, incomplete) == [("plain", value) for value in values]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("train", "file"),
        ("train x.csv -o", "file"),
        ("train --validation", "file"),
        ("evaluate", "file"),
        ("evaluate run", "file"),
        ("evaluate run test --known", "file"),
        ("recommend", "file"),
        ("export run -o", "file"),
        ("distill teacher", "file"),
        ("data describe", "file"),
        ("data split x.csv -o", "dir"),
        ("data fetch ml-1m -o", "dir"),
    ],
)
def test_paths(words, kind):
    assert offered(words, "ru") == [(kind, "ru")]


def test_no_paths_where_none_belongs():
    assert offered("train --user-col", "u") == offered("train --memory-budget", "1") == []


@pytest.mark.parametrize(
    ("name", "command"), [*commands(root, "sparserec")], ids=[name for name, _ in commands(root, "")]
)
def test_every_text_is_a_path_or_known_to_be_none(name, command):
    for param in command.params:
        if isinstance(param.type, PathText):
            assert PATHS[stands_for(param)] == param.type.kind
        elif param.type is click.STRING:
            assert stands_for(param) in NO_PATHS, f"{name}: {param.name}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell):
    script = get_completion_class(shell)(root, {}, "sparserec", "_SPARSEREC_COMPLETE").source_template
    assert f"={shell}_complete" in script and "%(prog_name)s" in script


def test_a_path_is_text_as_it_is():
    assert PathText("file").convert("a b/\udcff", None, None) == "a b/\udcff"


@pytest.mark.parametrize("words", ["sparserec tr", "sparserec train --model l", "sparserec evaluate ru"])
def test_it_is_quick_because_it_loads_nothing_heavy(words):
    code = (
        "import sys\nfrom cli.main import main\n"
        "try:\n    main(prog_name='sparserec')\n"
        "except SystemExit:\n    print('loaded', [n for n in ('numba', 'scipy', 'sklearn') if n in sys.modules])"
    )
    count = str(len(words.split()) - 1)
    variables = {"COMP_WORDS": words, "COMP_CWORD": count, "_SPARSEREC_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0] in ("plain,train", "plain,lightgcn", "file,ru") and lines[-1] == "loaded []"
