"""Docstrings as Markdown: doctests become blocks of code, roles of Sphinx the code they name."""

from __future__ import annotations

import re
from typing import Any

import griffe

# Names that are described together, which readers of sections know one by one alone.
TOGETHER = re.compile(r"^    ((?:\w+, )+)(\w+): ", flags=re.MULTILINE)
ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`~?([^`]+)`")


class Docstrings(griffe.Extension):
    """Changes every docstring before mkdocstrings reads it."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """A docstring in which examples are fenced, roles are plain code, and each name has its own entry.

    >>> print(as_markdown("Adds. See :func:`~a.add`.\\n\\n>>> 1 + 1\\n2"))
    Adds. See `a.add`.
    <BLANKLINE>
    ```pycon
    >>> 1 + 1
    2
    ```
    """
    paragraphs = TOGETHER.sub(_apart, ROLE.sub(r"`\1`", docstring)).split("\n\n")
    return "\n\n".join(fenced(one) if one.lstrip().startswith(">>> ") else one for one in paragraphs)


def _apart(entry: re.Match[str]) -> str:
    *others, last = (name.strip() for name in (*entry[1].split(",")[:-1], entry[2]))
    return "".join(f"    {name}: see ``{last}``.\n" for name in others) + f"    {last}: "


def fenced(example: str) -> str:
    """A doctest as a block of code, as far to the right as it stands."""
    margin = example[: len(example) - len(example.lstrip())]
    return f"{margin}```pycon\n{example}\n{margin}```"
