"""Results as files, which appear whole or not at all, as pictures, and as what is printed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sparserec_np.machine.files import replacing

Report = TypeVar("Report")


def write(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with replacing(path) as stream:
        stream.write(text.encode())


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file, whole or not at all."""
    write(path, json.dumps(content, indent=1) + "\n")


def tell(report: Report, as_json: bool, written: Callable[[Report], str]) -> None:
    """Prints a report: as one line of JSON, or as ``written`` has it."""
    print(json.dumps(report) if as_json else written(report))


def find_pyplot() -> Any | None:
    """Loads matplotlib's pyplot to draw into files; None where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        return None
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def save_picture(figure: Any, path: Path) -> None:
    """Writes a figure of matplotlib's as PNG, whole or not at all."""
    with replacing(path) as stream:
        figure.savefig(stream, dpi="figure", format="png")
