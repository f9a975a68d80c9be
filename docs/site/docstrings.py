"""Docstrings as Markdown: doctests become blocks of code, roles of Sphinx the code they name."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`~?([^`]+)`")


class Docstrings(griffe.Extension):
    """Changes every docstring before mkdocstrings reads it."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """A docstring in which examples are fenced and roles are plain code.

    >>> print(as_markdown("Adds. See :func:`~a.add`.\\n\\n>>> 1 + 1\\n2"))
    Adds. See `a.add`.
    <BLANKLINE>
    ```pycon
    >>> 1 + 1
    2
    ```
    """
    paragraphs = ROLE.sub(r"`\1`", docstring).split("\n\n")
    return "\n\n".join(fenced(one) if one.lstrip().startswith(">>> ") else one for one in paragraphs)


def fenced(example: str) -> str:
    """A doctest as a block of code, as far to the right as it stands."""
    margin = example[: len(example) - len(example.lstrip())]
    return f"{margin}```pycon\n{example}\n{margin}```"
