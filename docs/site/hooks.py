"""The hooks of the site: which files of the checkout are its pages, and what is made of notebooks.

MkDocs wants all pages in one folder. Here a page keeps its place in the checkout, so that a link
leads to the same page on the site as it does in the checkout.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = "docs/notebooks"
RESULTS = "benchmarks/results/"
# What else than pages the site holds: what pages show or link to.
SHOWN = ("LICENSE", "docs/help/*.txt", "docs/site/*.css", "docs/pictures/*.png", "benchmarks/results/*.png")
PAGES = ("*.md", "docs/**/*.md", "benchmarks/**/*.md")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Makes anchors as GitHub does, and puts every page of results into the navigation."""
    config.mdx_configs["toc"]["slugify"] = slug
    config.nav = [spread(entry) for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Puts the pages of the whole checkout in the place of those that lie below ``docs_dir``."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    names = [name for pattern in (*PAGES, *SHOWN) for name in found(pattern)]
    ours = [File(name, str(ROOT), config.site_dir, config.use_directory_urls) for name in names]
    made = [
        File.generated(config, str(Path(name).with_suffix(".md")), content=page_of(ROOT / name))
        for name in found(f"{NOTEBOOKS}/*.ipynb")
    ]
    made.append(File.generated(config, "docs/site/code.css", content=colours()))
    return Files([*theme, *ours, *made])


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Leads links to a notebook to the page that is made of it, and leaves the words of links to code."""
    folder = (ROOT / page.file.src_uri).parent

    def words_of(link: re.Match[str]) -> str:
        target = (folder / link[2].partition("#")[0]).resolve()
        is_code = target.is_relative_to(ROOT) and target.exists()
        shown = is_code and files.get_file_from_path(target.relative_to(ROOT).as_posix()) is not None
        return link[1] if is_code and not shown else link[0]

    led = re.sub(r"(\]\([\w./-]+)\.ipynb\)", r"\1.md)", markdown)
    return re.sub(r"\[([^\]\[]*)\]\(([\w./-]+(?:#[\w-]*)?)\)", words_of, led)


def on_page_content(html: str, **_: Any) -> str:
    """Writes what docstrings name by a role of Sphinx as the code that it is."""
    return re.sub(r":(?:class|func|meth|mod|data|attr|exc):<code>~?", "<code>", html)


def on_post_page(output: str, **_: Any) -> str:
    """Refuses a page that would load something from another host.

    Raises:
        ValueError: it would.
    """
    foreign = re.search(
        r"<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>", output
    )
    if foreign:
        raise ValueError(f"a page of the site loads from another host: {foreign[0]}")
    return output


def found(pattern: str) -> list[str]:
    """The files of the checkout that match a pattern, by their paths within it."""
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


def spread(entry: Any) -> Any:
    """An entry of the navigation, with the files of a folder that it names."""
    if isinstance(entry, dict):
        return {title: spread(inside) for title, inside in entry.items()}
    if isinstance(entry, list):
        return [spread(inside) for inside in entry]
    return found(f"{RESULTS}*.md") if entry == RESULTS else entry


def slug(heading: str, separator: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", separator)


def colours() -> str:
    """The colours of code, by light and by dark."""
    from pygments.formatters import HtmlFormatter

    styles = {"light": "default", "dark": "github-dark"}
    return "\n".join(
        HtmlFormatter(style=style).get_style_defs(f"[data-bs-theme={mode}] .highlight")
        for mode, style in styles.items()
    )


def page_of(path: Path) -> str:
    """Runs a notebook in an empty folder, and writes its cells and what they put out as a page.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    return "\n\n".join(text for cell in run(path).cells for text in written(cell)) + "\n"


def run(path: Path) -> Any:
    """A notebook with the output of its cells, which were run in an empty folder."""
    # What wants links and anchors alone needs no Jupyter.
    import nbclient
    import nbformat

    notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    quiet = ["--log-level=ERROR"]  # the kernel warns of its sockets, which are this machine's own
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        client = nbclient.NotebookClient(notebook, timeout=300, resources=place, extra_arguments=quiet)
        return client.execute()


def written(cell: Any) -> list[str]:
    """A cell of a notebook and its output as paragraphs of Markdown."""
    if cell.cell_type != "code":
        return [cell.source]
    # What was printed in pieces is one text.
    text = "\n".join(said(output).rstrip() for output in cell.outputs)
    return [fenced(cell.source, "python"), *([fenced(text, "text")] if text else [])]


def said(output: Any) -> str:
    """What an output of a cell says as plain text.

    Raises:
        ValueError: it says nothing as text, or it went to stderr, where warnings go.
    """
    if output.output_type == "stream" and output.name == "stdout":
        return str(output.text)
    if "text/plain" in output.get("data", {}):
        return str(output.data["text/plain"])
    raise ValueError(f"a notebook's output that is no text on stdout: {json.dumps(output)[:500]}")


def fenced(text: str, language: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```"
