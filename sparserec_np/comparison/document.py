"""A page made of blocks, written as one self-contained HTML file or as Markdown.

The HTML asks for nothing: style and pictures are in it, and its policy forbids every request. It
follows the reader's colour scheme, and prints in black.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --faint: #d5d5d5; --paper: #ffffff; --soft: #f4f4f4;
  --c1: #0b3d91; --c2: #b5420a; --c3: #23703a; --c4: #8a2a87; --c5: #6b5900; --c6: #555555; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --faint: #474747; --paper: #17181a;
  --soft: #222428; --c1: #8ab4ff; --c2: #ffab70; --c3: #7ed99a; --c4: #e79be4; --c5: #e3cf5c; --c6: #b5b5b5; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; } h3 { font-size: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: left; padding: .3rem 0; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--faint); text-align: left; vertical-align: top; }
th { background: var(--soft); } .n { text-align: right; white-space: nowrap; }
figure { margin: 1rem 0; display: inline-block; vertical-align: top; width: 49%; } figcaption { font-size: .9rem; }
svg { width: 100%; height: auto; }
@media (max-width: 56rem) { figure { width: 100%; } }
pre { background: var(--soft); padding: .7rem; overflow-x: auto; font-size: .85rem; white-space: pre-wrap; }
@media print { :root { --ink: #000; --faint: #999; --paper: #fff; --soft: #fff; --c1: #000; --c2: #333;
  --c3: #111; --c4: #444; --c5: #222; --c6: #555; } body { max-width: none; margin: 0; }
  figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; } .wide { overflow: visible; } }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Block(Protocol):
    """A part of a page."""

    def html(self) -> str:
        """Writes it as HTML."""
        ...

    def markdown(self) -> str:
        """Writes it as Markdown."""
        ...


@dataclass(frozen=True)
class Heading:
    """A heading of a level, the first being the page's own."""

    text: str
    level: int = 2

    def html(self) -> str:
        """Writes it as HTML."""
        return f"<h{self.level}>{html.escape(self.text)}</h{self.level}>"

    def markdown(self) -> str:
        """Writes it as Markdown."""
        return f"{'#' * self.level} {self.text}"


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    text: str

    def html(self) -> str:
        """Writes it as HTML."""
        return f"<p>{html.escape(self.text)}</p>"

    def markdown(self) -> str:
        """Writes it as Markdown."""
        return _plain(self.text)


@dataclass(frozen=True)
class Table:
    """Rows of cells below the names of their columns.

    Numbers are texts or numbers; a column stands to the right where all that is in it begins with a
    digit, a sign or a dash.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def html(self) -> str:
        """Writes it as HTML."""
        right = self._right()

        def line(tag: str, words: Sequence[Any]) -> str:
            cells = (
                f'<{tag} class="n">{html.escape(str(word))}</{tag}>'
                if numeric
                else f"<{tag}>{html.escape(str(word))}</{tag}>"
                for word, numeric in zip(words, right, strict=True)
            )
            return f"<tr>{''.join(cells)}</tr>"

        body = "\n".join(line("td", row) for row in self.rows)
        return f'<div class="wide"><table><thead>{line("th", self.head)}</thead>\n<tbody>{body}</tbody></table></div>'

    def markdown(self) -> str:
        """Writes it as Markdown."""
        rule = ["---:" if numeric else "---" for numeric in self._right()]
        lines = [[_plain(str(word)) for word in row] for row in (self.head, *self.rows)]
        return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))

    def _right(self) -> list[bool]:
        columns = zip(*self.rows, strict=True) if self.rows else ([] for _ in self.head)
        return [all(str(word)[:1] in "0123456789-+−±<" for word in column) for column in columns]


@dataclass(frozen=True)
class Figure:
    """A picture as SVG, and what it shows."""

    svg: str
    caption: str

    def html(self) -> str:
        """Writes it as HTML."""
        return f"<figure>{self.svg}<figcaption>{html.escape(self.caption)}</figcaption></figure>"

    def markdown(self) -> str:
        """Writes what it shows, as Markdown has no place for it."""
        return f"*A picture in the HTML page: {_plain(self.caption)}*"


@dataclass(frozen=True)
class Listing:
    """Text that is shown as it stands."""

    text: str

    def html(self) -> str:
        """Writes it as HTML."""
        return f"<pre>{html.escape(self.text)}</pre>"

    def markdown(self) -> str:
        """Writes it as Markdown."""
        return f"```\n{self.text}\n```"


def as_html(blocks: Sequence[Block]) -> str:
    """Writes a page whose first block is its heading, as one HTML file that asks for nothing."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "")
    body = "\n".join(block.html() for block in blocks)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


def as_markdown(blocks: Sequence[Block]) -> str:
    """Writes a page as Markdown, without its pictures."""
    return "\n\n".join(block.markdown() for block in blocks) + "\n"


def _plain(text: str) -> str:
    """Keeps text from being read as marks of Markdown."""
    for mark in ("\\", "|", "*", "_", "`", "<"):
        text = text.replace(mark, f"\\{mark}")
    return text
