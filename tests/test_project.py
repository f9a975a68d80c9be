"""Packaging names, the README's list of commands and its two blocks, and the public names."""

from __future__ import annotations

import configparser
import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import sparserec_np
from cli.main import main as root

CHECKOUT = Path(__file__).parents[1]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    return parser


def commands(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def readme_block(heading: str) -> list[str]:
    """The lines of the first bash block under a heading, found as `.ci/run` finds it."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return section.split("```bash\n")[1].split("```")[0].splitlines()


def test_readme_lists_every_command_once() -> None:
    listed = re.findall(r"^\| `(sparserec [a-z ]+)` \|", README, flags=re.MULTILINE)
    assert sorted(listed) == sorted(words for words, _ in commands(root, "sparserec"))


def test_readme_begins_with_two_blocks_that_install() -> None:
    tried, tested = readme_block("Install and try it"), readme_block("Install and run the tests")
    assert tried[-1].endswith("sparserec quickstart")
    assert tested[-1].endswith("-m pytest")


def test_every_folder_with_code_is_packaged_under_a_name_of_ours(setup: configparser.ConfigParser) -> None:
    def packages(folder: str, name: str) -> set[str]:
        return {
            ".".join([name, *path.parent.relative_to(CHECKOUT / folder).parts])
            for path in (CHECKOUT / folder).rglob("*.py")
        }

    listed = setup["options"]["packages"].split()
    assert set(listed) == packages("sparserec_np", "sparserec_np") | packages("cli", "sparserec_np_cli")
    assert setup["options"]["package_dir"].split() == ["sparserec_np_cli", "=", "cli"]
    scripts = setup["options.entry_points"]["console_scripts"].split()
    assert scripts == ["sparserec", "=", "sparserec_np_cli.__main__:main"]


def test_every_other_file_in_a_package_goes_along(setup: configparser.ConfigParser) -> None:
    folders = {path.parent for path in (CHECKOUT / "sparserec_np").rglob("*.py")}
    others = {
        (".".join(folder.relative_to(CHECKOUT).parts), path.name)
        for folder in folders
        for path in folder.iterdir()
        if path.is_file() and path.suffix not in (".py", ".pyc", ".nbi", ".nbc", ".nbs")
    }
    named = {package: names.split() for package, names in setup["options.package_data"].items()}
    assert ("sparserec_np", "py.typed") in others
    assert ("sparserec_np.serving.c", "recommender.h") in others
    for package, name in others:
        assert any(fnmatch.fnmatch(name, pattern) for pattern in named.get(package, [])), name


def test_dependencies_are_the_five(setup: configparser.ConfigParser) -> None:
    names = re.findall(r"^[\w-]+", setup["options"]["install_requires"], flags=re.MULTILINE)
    assert names == ["numpy", "numba", "scipy", "scikit-learn", "click"]


def test_pyproject_holds_the_build_system_only() -> None:
    text = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r"^\[(.*)\]$", text, flags=re.MULTILINE) == ["build-system"]


@pytest.mark.parametrize("name", sparserec_np.__all__)
def test_public_names_load(name: str) -> None:
    assert getattr(sparserec_np, name) is not None
    assert name in dir(sparserec_np)


def test_type_checkers_see_the_names_that_load() -> None:
    source = Path(sparserec_np.__file__).read_text(encoding="utf-8")
    seen = re.findall(r"^    from sparserec_np\.([\w.]+) import (\w+) as \2$", source, flags=re.MULTILINE)
    assert sorted((name, home) for home, name in seen) == re.findall(
        r'^    "(\w+)": "([\w.]+)",$', source, flags=re.M
    )


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sparserec_np.nothing


def test_the_citation_is_of_this_version_and_of_the_paper() -> None:
    text = (CHECKOUT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {sparserec_np.__version__}\n" in text
    assert "Sparser Training for On-Device Recommendation Systems" in text and "arXiv:2411.12205" in text


def test_the_source_archive_names_files_that_there_are() -> None:
    lines = (CHECKOUT / "MANIFEST.in").read_text(encoding="utf-8").splitlines()
    named = [word for line in lines if re.match("include |graft ", line) for word in line.split()[1:]]
    assert {"CITATION.cff", "tests", "docs"} <= set(named)
    assert all(any(CHECKOUT.glob(name)) for name in named)
