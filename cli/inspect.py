"""``sparserec inspect``: what a model is, and what it weighs."""

from __future__ import annotations

from typing import Any

import click

from sparserec_np.runtime import Recommender

from .output import emit_json, human_bytes, table
from .run_argument import reading_run, run_argument


@click.command()
@run_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: str, as_json: bool) -> None:
    """Show the model in RUN: method, size, stored entries, bytes and the metrics it reached.

    RUN is a run directory or the model file in it. The whole file is checked on the way: a damaged
    one is refused.
    """
    with reading_run(run):
        report = Recommender.open(run).inspect()
    if as_json:
        emit_json(report)
    else:
        click.echo(table(_rows(report)))


def _rows(report: dict[str, Any]) -> list[list[str]]:
    rows: list[list[str]] = []
    for key, value in report.items():
        name = key.replace("_", " ")
        if isinstance(value, dict) and key.endswith("bytes"):
            rows += [[f"{name}: {part}", _size(count)] for part, count in value.items()]
        elif isinstance(value, dict):
            rows += [[f"{name}: {part}", _number(number)] for part, number in value.items()]
        else:
            rows.append([name, _size(value) if key.endswith("_bytes") else _number(value)])
    return rows


def _size(count: int) -> str:
    return f"{count:,} ({human_bytes(count)})" if count >= 1000 else f"{count:,}"


def _number(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
