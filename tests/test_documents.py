"""The documents: their width and length, their links, their index, and the commands they show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from cli.main import main as root
from tests.test_project import CHECKOUT, commands

WIDTH = 100
README_LINES = 170
PAGES = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for folder, pattern in ((".", "*.md"), ("docs", "**/*.md"), ("benchmarks", "**/*.md"))
    for path in (CHECKOUT / folder).glob(pattern)
    if "results" not in path.relative_to(CHECKOUT).parts
)
# Written from the table of settings; the test of that table holds that the page is there.
GENERATED = {"docs/settings.md"}
KNOWN = dict(commands(root, "sparserec"))


class Line(NamedTuple):
    """A line of a page, and the language of the code block that it is in; None in prose."""

    number: int
    text: str
    fence: str | None


def read(page: str) -> str:
    return (CHECKOUT / page).read_text(encoding="utf-8")


def lines(text: str) -> Iterator[Line]:
    """The lines of a page; those that open and close code blocks are left out."""
    fence: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fence = line.strip().removeprefix("```") if fence is None else None
        else:
            yield Line(number, line, fence)


def too_long(text: str) -> list[int]:
    """Numbers of the lines of prose that are too long and could be broken."""
    found = []
    for line in lines(text):
        if line.fence is not None or line.text.startswith("|") or len(line.text) <= WIDTH:
            continue
        # A line of one word, a link say, cannot be broken; the mark of a list is no word.
        words = re.sub(r"^\s*([-*]|\d+\.)\s", "", line.text).split()
        if len(words) > 1:
            found.append(line.number)
    return found


def targets(text: str) -> list[str]:
    """What the links and pictures of a page lead to in this checkout, anchors left on."""
    prose = "\n".join(line.text for line in lines(text) if line.fence is None)
    found = re.findall(r"\]\(([^)\s]+)\)", prose)
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = [line.text for line in lines(text) if line.fence is None and line.text.startswith("#")]
    plain = [re.sub(r"[^\w\- ]", "", heading.lstrip("#").strip().lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def leads_somewhere(page: str, target: str) -> bool:
    """Whether a link of a page leads to a file and a heading of this checkout that exist."""
    name, _, anchor = target.partition("#")
    path = ((CHECKOUT / page).parent / name if name else CHECKOUT / page).resolve()
    if not path.is_relative_to(CHECKOUT):
        return False
    if not path.exists():
        return path.relative_to(CHECKOUT).as_posix() in GENERATED
    return not anchor or anchor in anchors(path.read_text(encoding="utf-8"))


def dead_links(page: str, text: str) -> list[str]:
    """The links of a page that lead nowhere."""
    return [target for target in targets(text) if not leads_somewhere(page, target)]


def shown(text: str) -> list[str]:
    """The calls of ``sparserec`` that a page shows, in code blocks and in prose, without what leads to them."""
    prose: list[str] = []
    calls: list[str] = []
    block: list[str] = []
    for line in lines(text):
        if line.fence is None:
            prose.append(line.text)
        elif line.fence == "console":
            block += [line.text.removeprefix("$ ")] if line.text.startswith("$ ") else []
        elif line.fence in ("bash", "sh"):
            block.append(line.text)
    for line_of_shell in "\n".join(block).replace("\\\n", " ").splitlines():
        calls += re.split(r"&&|\|\|?|;", re.sub(r"(^|\s)#.*", "", line_of_shell))
    calls += [re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", "\n".join(prose))]
    found = [re.fullmatch(r"\s*(?:\S*/)?(sparserec(?: .*)?)", call) for call in calls]
    return [match[1].strip() for match in found if match and match[1].strip() != "sparserec"]


def mistake(call: str) -> str | None:
    """What a call of ``sparserec`` names that there is not: a command or an option."""
    if re.fullmatch(r"sparserec(?: data)? --help", call):
        return None
    name = max((name for name in KNOWN if f"{call} ".startswith(f"{name} ")), key=len, default=None)
    if name is None:
        return "no such command"
    parameters = KNOWN[name].params
    options = {option for parameter in parameters for option in parameter.opts + parameter.secondary_opts}
    given = set(re.findall(r"\s(--?[a-z][a-z-]*)", call)) - options - {"--help", "-h"}
    return f"no option {', '.join(sorted(given))}" if given else None


def tree(text: str) -> list[str]:
    """The folders of README's file tree, with the folders they are in."""
    block = text.split("\n## Files\n")[1].split("```\n")[1]
    found: list[str] = []
    above: list[str] = []
    for line in block.splitlines():
        match = re.match(r"( *)([\w.]+)/ ", line)
        assert match, f"{line!r} has no folder and what it holds"
        above = [*above[: len(match[1]) // 2], match[2]]
        found.append("/".join(above))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_prose_is_wrapped(page: str) -> None:
    assert not too_long(read(page))


def test_a_long_line_of_prose_is_found() -> None:
    long = "word " * 21
    link = f"[a]({'x' * 120})"
    fenced = f"```\n{long}\n```"
    assert too_long(f"short\n{long}\n") == [2]
    assert too_long(f"- {long}\n\n# {long}\n\n{fenced}\n{long}") == [1, 3, 8]
    assert too_long(f"{fenced}\n| {long} |\n{link}\n- {link}\n") == []
    assert too_long(f"see {link}") == [1]


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= README_LINES


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert not dead_links(page, read(page))


def test_a_dead_link_is_found() -> None:
    text = "[a](setup.cfg) [b](no-such.md) [c](README.md#files) [d](README.md#no) [e](https://no.such)"
    assert dead_links("README.md", text) == ["no-such.md", "README.md#no"]
    assert dead_links("docs/device.md", "[a](../README.md) [b](README.md) [c](../../etc)") == ["../../etc"]


def test_the_index_names_every_page_of_docs() -> None:
    named = set(targets(read("docs/README.md")))
    pages = {path.name for path in (CHECKOUT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= named


@pytest.mark.parametrize("page", PAGES)
def test_only_commands_and_options_that_exist_are_shown(page: str) -> None:
    wrong = {call: mistake(call) for call in shown(read(page))}
    assert not {call: what for call, what in wrong.items() if what}


def test_the_examples_are_looked_at() -> None:
    calls = [call for page in PAGES for call in shown(read(page))]
    assert len(calls) > 40
    assert "sparserec quickstart" in calls


def test_a_wrong_example_is_found() -> None:
    text = """Run `sparserec trian` or `sparserec train --desnity 1`.
```console
$ echo 1 | .venv/bin/sparserec recommend run - --al
sparserec is what this output begins with
```
```bash
python3 -m venv .venv && sparserec evaluate run test \\
    --kk 3  # --no-comment
```
"""
    calls = {call: mistake(call) for call in shown(text)}
    assert list(calls.values()) == [
        "no option --al",
        "no option --kk",
        "no such command",
        "no option --desnity",
    ]
    assert mistake("sparserec data split log.csv -o parts --by last") is None


def test_the_file_tree_names_every_folder_once() -> None:
    code = {path.parent.relative_to(CHECKOUT) for path in (CHECKOUT / "sparserec_np").rglob("*.py")}
    folders = {path.as_posix() for path in code} | {"cli", "tests", "benchmarks", "docs"}
    assert sorted(tree(read("README.md"))) == sorted(folders)
