"""``sparserec recommend``: the best items for users that the model knows."""

from __future__ import annotations

import difflib
from typing import Any

import click
import numpy as np

from sparserec_np.errors import DataError
from sparserec_np.runtime import Ids, Recommender

from .output import emit_json, table
from .run_argument import reading_run, run_argument

SEARCHED_NAMES = 50_000  # text ids that are compared one by one for a near miss: a tenth of a second or two


@click.command(short_help="The best items for given users.")
@run_argument
@click.option(
    "--user",
    "users",
    metavar="ID",
    multiple=True,
    required=True,
    help="A user of the model; may be repeated.",
)
@click.option(
    "-n", "n", type=click.IntRange(min=1), default=20, show_default=True, help="Items for each user."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, one line a user.")
def command(run: str, users: tuple[str, ...], n: int, as_json: bool) -> None:
    """Recommend items to users of the model in RUN.

    RUN is a run directory or the model file in it. Ids are those of the training file. Items that a user had
    in training are left out; where fewer than -n are left, the list is shorter. Equal scores come in the
    order of the items.
    """
    with reading_run(run):
        recommender = Recommender.open(run)
    # Every list is made before the first is printed: an unknown user leaves no half of an answer behind.
    answers = [_answer(recommender, user, n) for user in users]
    if as_json:
        for answer in answers:
            emit_json(answer)
        return
    rows = [
        [_shown(answer["user"]), rank, _shown(item), score]
        for answer in answers
        for rank, (item, score) in enumerate(zip(answer["items"], answer["scores"], strict=True), 1)
    ]
    if rows:
        click.echo(table(rows, ["user", "rank", "item", "score"]))
    for answer in answers:
        if len(answer["items"]) < n:
            count = len(answer["items"])
            click.echo(
                f"User {_shown(answer['user'])}: only {count:,} of the {n:,} items asked for are left.",
                err=True,
            )


def _answer(recommender: Recommender, user: str, n: int) -> dict[str, Any]:
    """One user's id, in the file's own type, items and scores."""
    ids = recommender.user_ids
    row = ids.find(user)
    if row is None:
        raise DataError(f"unknown user {user!r}: the model knows {len(ids):,} users{_near(ids, user)}.")
    items, scores = recommender.recommend(ids[row], n)
    return {"user": ids[row], "items": items, "scores": scores}


def _near(ids: Ids, wanted: str) -> str:
    """Up to three known ids like ``wanted``, as the end of a sentence: like spelt, or the nearest numbers."""
    near: list[Any]
    if ids.are_text:
        near = difflib.get_close_matches(wanted, list(ids.values[:SEARCHED_NAMES]), n=3, cutoff=0.7)
    else:
        try:
            distances = np.abs(ids.to_array() - float(int(wanted)))
        except (ValueError, OverflowError):
            return ", whose ids are integers"
        near = [ids[row] for row in sorted(np.argsort(distances, kind="stable")[:3].tolist())]
    return f"; near it: {', '.join(map(_shown, near))}" if near else ""


def _shown(name: int | str) -> str:
    """An id as a cell of a table: digits as they are, and nothing that would steer the terminal."""
    return str(name) if str(name).isprintable() else repr(name)
