"""What the command line says of the choice of model, width and start."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.training.choosing import Choice
from sparserec_np.training.fitted import SELECT_BY, Record

from .output import counted


@contextmanager
def look_progress() -> Iterator[Callable[[Record], None]]:
    """Yields what shows each look as it comes, on stderr, and only where stderr is a terminal."""
    shown = sys.stderr.isatty()
    if shown:
        click.echo("Looking at starts ... (a first run compiles its kernels, too)", err=True)

    def show(record: Record) -> None:
        if shown:
            click.echo(f"  {record[SELECT_BY]:.4f}  {_named(record)}  {record['seconds']:.1f} s", err=True)

    yield show


def said_of(choice: Choice) -> str:
    """Says in a line what was chosen and compared; empty where there was nothing to choose.

    It begins with a line break.
    """
    best = choice.best
    if best is None:
        return ""
    starts = [look for look in choice.looks if not BASE_MODELS[look["model"]].counted]
    others: dict[str, Record] = {}
    for look in sorted(choice.looks, key=lambda look: look[SELECT_BY]):
        if look["model"] != best["model"]:
            others[look["model"]] = look  # the best of each model stays
    compared = "".join(f"; {_named(look)} {look[SELECT_BY]:.4f}" for look in reversed(list(others.values())))
    looked = f"the best of {counted(len(starts), 'start')} looked at" if len(starts) > 1 else "the only start"
    measured = f"validation ndcg@20 {best[SELECT_BY]:.4f}{compared}"
    users = f" ({counted(choice.users, 'user')} drawn)" if choice.users else ""
    return f"\nChosen: {_named(best)}, {looked}: {measured}{users}"


def warn_of_baseline(choice: Choice) -> None:
    """Says on stderr where a baseline ranks the held-out part better than the best start."""
    best, baseline = choice.best, choice.best_baseline
    if best is not None and baseline is not None and baseline[SELECT_BY] > best[SELECT_BY]:
        name = baseline["model"]
        click.echo(
            f"{name} ranks the part held out for the choice better ({baseline[SELECT_BY]:.4f}) than what was chosen"
            f" ({best[SELECT_BY]:.4f}). It stores {baseline['nnz']:,} entries; try --model {name}",
            err=True,
        )


def _named(look: Record) -> str:
    """Names what was looked at."""
    if BASE_MODELS[look["model"]].counted:
        return str(look["model"])
    rows = f", {look['user_rows']}" if look.get("user_rows") == "ridge" else ""
    names = {
        "recency": "recency",
        "neighbour_share": "share",
        "neighbour_weight": "weight",
        "neighbour_popularity": "popularity",
    }
    said = "".join(f", {name} {look[key]:g}" for key, name in names.items() if look.get(key))
    return f"{look['model']} {look['dim']:,} ({look['start']}{rows}{said})"
