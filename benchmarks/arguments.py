"""Arguments that studies have in common."""

from __future__ import annotations

import argparse
from pathlib import Path


def parser_of(file: str, description: str) -> argparse.ArgumentParser:
    """Makes a parser that shows the docstring of the study in ``file`` and takes ``--json``."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.studies.{Path(file).stem}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def add_page(parser: argparse.ArgumentParser) -> None:
    """Lets a study write a page, ``--page``, which calls the data by their ``--name``."""
    parser.add_argument("--name", default="data", help="what the data are called on the page")
    parser.add_argument("--page", type=Path, help="the page to write")
