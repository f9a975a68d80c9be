"""The site: every page, every public name and every notebook has its place; what hooks make of them."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import sparserec_np
from sparserec_np import verify
from tests.test_documents import PAGES, anchors, read
from tests.test_project import CHECKOUT

SITE = CHECKOUT / "docs" / "site"
NOTEBOOKS = sorted((CHECKOUT / "docs" / "notebooks").glob("*.ipynb"))
MKDOCS = (CHECKOUT / "mkdocs.yml").read_text(encoding="utf-8")


def module(name: str) -> ModuleType:
    """A module of docs/site, which is no package; skips where what it needs is not installed."""
    pytest.importorskip({"hooks": "mkdocs", "docstrings": "griffe"}[name], reason="needs the extra docs")
    spec = importlib.util.spec_from_file_location(f"site_{name}", SITE / f"{name}.py")
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def described() -> set[str]:
    """What the reference describes, by module and name."""
    pages = (CHECKOUT / "docs" / "api").glob("*.md")
    return {name for page in pages for name in re.findall(r"^::: (\S+)$", page.read_text(), flags=re.M)}


@pytest.mark.parametrize("place", [sparserec_np, verify], ids=lambda place: place.__name__)
def test_the_reference_describes_every_public_name(place: ModuleType) -> None:
    told = {name.rpartition(".")[2] for name in described()}
    assert not set(place.__all__) - {"__version__"} - told


def test_what_the_reference_describes_is_there() -> None:
    for name in described():
        folder, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(folder), last) or importlib.import_module(name)


def test_the_navigation_names_every_page() -> None:
    named = set(re.findall(r"- (?:[\w ]+: )?([\w./-]+\.md)$", MKDOCS, flags=re.M))
    notebooks = {path.relative_to(CHECKOUT).with_suffix(".md").as_posix() for path in NOTEBOOKS}
    pages = {page for page in PAGES if not page.startswith("benchmarks/results/")}
    assert named == pages | notebooks | {"docs/settings.md"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_output(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = notebook["cells"]
    assert "".join(cells[0]["source"]).startswith("# ")
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    for cell in cells:
        assert all(len(line.rstrip("\n")) <= 120 for line in cell["source"])
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), path.name, "exec")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebooks_links_lead_somewhere(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        name, _, anchor = target.partition("#")
        page = path.parent / name
        assert page.exists(), target
        assert not anchor or anchor in anchors(page.read_text(encoding="utf-8"))


def test_docstrings_become_markdown() -> None:
    as_markdown = module("docstrings").as_markdown
    text = "Adds; see :func:`~a.add` and :class:`B`.\n\n    >>> 1 + 1\n    2\n\nAnd ``on``."
    assert as_markdown(text) == (
        "Adds; see `a.add` and `B`.\n\n    ```pycon\n    >>> 1 + 1\n    2\n    ```\n\nAnd ``on``."
    )
    assert as_markdown("Args:\n    a, b: both.\n    c: one, two: three.") == (
        "Args:\n    a: see ``b``.\n    b: both.\n    c: one, two: three."
    )


def test_anchors_are_those_of_the_documents() -> None:
    slug = module("hooks").slug
    for page in PAGES:
        headings = [
            line for line in re.sub(r"```.*?```", "", read(page), flags=re.S).splitlines() if line[:1] == "#"
        ]
        assert {slug(line.lstrip("#"), "-") for line in headings} == anchors(read(page))


def test_a_cell_is_written_with_what_it_printed() -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs the extra docs").v4
    hooks = module("hooks")
    printed = [nbformat.new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n")]
    cell = nbformat.new_code_cell("print('a')", outputs=printed)
    assert hooks.written(cell) == ["```python\nprint('a')\n```", "```text\na\nb\n```"]
    assert hooks.written(nbformat.new_markdown_cell("# A")) == ["# A"]
    warned = nbformat.new_output("stream", name="stderr", text="Warning: no")
    with pytest.raises(ValueError, match="no text on stdout"):
        hooks.written(nbformat.new_code_cell("1", outputs=[warned]))


def test_a_page_that_loads_from_another_host_is_refused() -> None:
    check = module("hooks").on_post_page
    own = '<a href="https://no.such">a</a><script src="../js/base.js"></script>'
    assert check(own) == own
    for foreign in ('<script src="https://no.such/a.js">', '<link rel="stylesheet" href="//no.such/a.css">'):
        with pytest.raises(ValueError, match="another host"):
            check(own + foreign)


def test_links_to_notebooks_lead_to_their_pages() -> None:
    said = seen_on_the_site("[a](notebooks/a.ipynb) [b](b.ipynb) [c](c.md) `d.ipynb`")
    assert said == "[a](notebooks/a.md) [b](b.md) [c](c.md) `d.ipynb`"


def test_of_links_to_code_the_words_stay() -> None:
    said = seen_on_the_site("[a](../tests/conftest.py), [b](../.ci/run), [c](data.md#ids), [d](../none.py)")
    assert said == "a, b, [c](data.md#ids), [d](../none.py)"


def seen_on_the_site(markdown: str) -> str:
    """What a page in docs/ says there, on a site of which docs/data.md is a page."""
    page = SimpleNamespace(file=SimpleNamespace(src_uri="docs/some.md"))
    files = SimpleNamespace(get_file_from_path=lambda path: path if path == "docs/data.md" else None)
    return str(module("hooks").on_page_markdown(markdown, page=page, files=files))
