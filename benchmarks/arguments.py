"""Arguments that studies have in common."""

from __future__ import annotations

import argparse
from pathlib import Path


def parser_of(file: str, description: str) -> argparse.ArgumentParser:
    """A parser for the study in ``file``, which shows the study's docstring; with ``--json``."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.studies.{Path(file).stem}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
