"""The pages of results: links, figures that stand where they come from, and what gave them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.machine import CHECKOUT
from benchmarks.side_by_side.results import BEGIN, END, SUFFIX, Results

BENCHMARKS = CHECKOUT / "benchmarks"
ANSWERS = BENCHMARKS / "RESULTS.md"
PAGES = sorted((BENCHMARKS / "results").glob("*.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)]+)\)")


def prose_of(path: Path) -> list[str]:
    """The lines that are neither table nor code."""
    lines, code = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        code ^= line.startswith("```")
        if not code and not line.startswith(("|", "```")):
            lines.append(line)
    return lines


def slugs(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.is_file(), link
        assert not anchor or anchor in slugs(target), link


def test_every_page_is_linked_from_the_answers() -> None:
    linked = {link.split("#")[0] for link in LINK.findall(ANSWERS.read_text(encoding="utf-8"))}
    assert {f"results/{page.name}" for page in PAGES} <= linked


def answers() -> list[str]:
    """The items of the page of answers, a line each."""
    items = re.findall(r"^\* (.*(?:\n  .*)*)", ANSWERS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [" ".join(item.split()) for item in items]


@pytest.mark.parametrize("answer", answers(), ids=lambda answer: answer.split("?")[0].strip("*"))
def test_figures_of_an_answer_stand_on_the_page_it_links(answer: str) -> None:
    question, *figures = re.findall(r"\*\*([^*]+)\*\*", answer)
    assert question.endswith("?")
    assert figures
    (link,) = LINK.findall(answer)
    text = (BENCHMARKS / link.split("#")[0]).read_text(encoding="utf-8")
    for figure in figures:
        assert re.search(rf"(?<![\w.,]){re.escape(figure)}(?![\d])", text), figure


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_what_gave_its_figures(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if page.stem.endswith(SUFFIX):
        pytest.skip("written by a program; compared with its measurements below")
    for what in ("command", "date", "commit", "machine"):
        assert re.search(rf"^\| {what} \| \S.* \|$", text, flags=re.MULTILINE), what


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem.endswith(SUFFIX)], ids=lambda p: p.name)
def test_what_the_suite_wrote_is_what_its_measurements_say(page: Path) -> None:
    results = Results.read(page.with_suffix(".json"))
    stem = page.stem.removesuffix(SUFFIX)
    drawn = {
        part: f"{stem}-{part}.png" for part in results.runs if page.with_name(f"{stem}-{part}.png").exists()
    }
    written = page.read_text(encoding="utf-8").split(f"{BEGIN}\n")[1].split(f"\n{END}")[0]
    assert written == results.markdown(drawn)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_prose_is_wrapped(page: Path) -> None:
    assert not [line for line in prose_of(page) if len(line) > 100]
