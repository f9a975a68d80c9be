"""``sparserec similar``: the items or users whose rows are nearest."""

from __future__ import annotations

import click

from sparserec_np.runtime import Recommender

from .names import known, shown
from .output import emit_json, table
from .run_argument import reading_run, run_argument


@click.command()
@run_argument
@click.option("--item", metavar="ID", help="An item of the model.")
@click.option("--user", metavar="ID", help="A user of the model.")
@click.option("-n", "n", type=click.IntRange(min=1), default=10, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: str, item: str | None, user: str | None, n: int, as_json: bool) -> None:
    """Show what is nearest to an item or a user of the model in RUN, by the cosine of their rows.

    RUN is a run directory or the model file in it. What nobody touched is near to nothing.
    """
    if (item is None) == (user is None):
        raise click.UsageError("Give either --item or --user.")
    with reading_run(run):
        recommender = Recommender.open(run)
    if item is not None:
        noun, name = "item", known(recommender.item_ids, item, "item")
        names, cosines = recommender.similar_items(name, n)
    else:
        noun, name = "user", known(recommender.user_ids, user, "user")
        names, cosines = recommender.similar_users(name, n)
    if not names:
        why = f"{'nobody touched it' if noun == 'item' else 'they touched nothing'}, or the row is empty"
        click.echo(f"Nothing is near to {noun} {shown(name)}: {why}.", err=True)
    if as_json:
        emit_json({noun: name, f"{noun}s": names, "cosines": cosines})
        return
    if not names:
        return
    rows = [
        [rank, shown(other), cosine]
        for rank, (other, cosine) in enumerate(zip(names, cosines, strict=True), 1)
    ]
    click.echo(table(rows, ["rank", noun, "cosine"]))
