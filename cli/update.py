"""``sparserec update``: a saved run learns on, with new interactions, within the same budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # importing it loads Numba
    from sparserec_np.training.fitted import Fitted

from .options import json_option, reader_options
from .output import counted, emit_json
from .run_argument import reading_run, run_argument
from .threads import threads_option
from .train import SETTINGS, flag, part_or_file, read_held_out, resident, write_run

# Setting -> its default here, in words; as in the run where there is none. All others belong to the model.
DEFAULTS = {
    "epochs": "5",
    "learning_rate": "0.003, in cells 0.03",
    "batch_size": "",
    "negatives": "",
    "l2_user": "",
    "l2_positive": "",
    "l2_negative": "",
    "explore": "",
    "importance": "",
    "drop_fraction": "0.1",
    "drop_until": "",
    "drop_interval": "",
    "evaluate_every": "1",
    "patience": "",
    "seed": "",
}


def changeable_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for each setting that an update may change."""
    for name, default in reversed(DEFAULTS.items()):
        kind, text = SETTINGS[name]
        shown = f"{text}  [default: {default or 'as in RUN'}]"
        command = click.option(flag(name), name, type=kind, help=shown)(command)
    return command


@click.command(short_help="Let a saved run learn on, within the same budget.")
@run_argument
@click.argument("new_file", metavar="NEW")
@click.option(
    "-o", "--output", "updated", metavar="RUN2", required=True, help="Directory to write the run to."
)
@click.option(
    "--known",
    "known_file",
    metavar="FILE",
    help="Interactions that RUN was trained on, where its model file does not hold them.",
)
@changeable_options
@click.option(
    "--validation",
    metavar="PART|FILE",
    help="Part of each user's new items held out to choose the epoch by, or a file of items that RUN was not trained"
    " on; 0 for none.  [default: 0.1]",
)
@click.option(
    "--refit/--no-refit",
    default=None,
    help="Train again on all data for the epochs chosen.  [default: refit]",
)
@threads_option
@reader_options
@json_option
def command(
    run: str,
    new_file: str,
    updated: str,
    known_file: str | None,
    validation: str | None,
    threads: int | None,
    reader: dict[str, Any],
    as_json: bool,
    **given: Any,
) -> None:
    """Go on training the model in RUN with the interactions in NEW, and write it to the directory RUN2.

    NEW may be of users and items that RUN does not know; what it knows already is merged. The budget is that of RUN: as
    many stored entries, or as many bytes if it was given in bytes, whose new rows and ids leave room for fewer entries.
    The start are rows solved for from the model's own; a tenth of each user's new items is held out to choose among a
    few epochs, the start included as epoch 0.

    Models of mf can learn on. RUN2 may be RUN itself, which is then replaced.
    """
    from sparserec_np.data.formats import read_interactions
    from sparserec_np.training.run_directory import RunDirectory, load_run
    from sparserec_np.training.updating import update, update_settings

    part, validation_file = part_or_file(validation, None, None)
    if [new_file, known_file, validation_file].count("-") > 1:
        raise click.UsageError("Only one of NEW, --known and --validation can be standard input.")
    changes = {name: value for name, value in given.items() if value is not None}
    directory = RunDirectory(updated)
    imports = resident()
    known = read_interactions(known_file, **reader) if known_file else None
    with reading_run(run):
        former = load_run(run, known)
    new = read_interactions(new_file, **reader)
    log = former.log.joined(new)
    config = update_settings(former, log, **changes, **({} if part is None else {"validation": part}))
    held_out, told = read_held_out(validation_file, new_file, log, reader) if validation_file else (None, {})
    growth = {
        "new_users": log.n_users - former.log.n_users,
        "new_items": log.n_items - former.log.n_items,
        "new_interactions": log.n_interactions - former.log.n_interactions,
    }
    sizes = (
        f"{counted(growth['new_users'], 'new user')}, {counted(growth['new_items'], 'new item')},"
        f" {counted(growth['new_interactions'], 'new interaction')}; with those known {log.n_users:,} users,"
        f" {log.n_items:,} items, {log.n_interactions:,} interactions"
    )

    def fit(on_epoch: Callable[[dict[str, Any]], None]) -> Fitted:
        chosen_by = held_out if validation_file else part
        return update(former, new, validation=chosen_by, threads=threads, on_epoch=on_epoch, **changes)

    where = {"train": None, "validation": validation_file, "reader": reader, "former": run, "new": new_file}
    report = write_run(directory, log, config, fit, where, None if as_json else sizes, growth | told, imports)
    report["former"] = run
    if as_json:
        emit_json(report)
    else:
        click.echo(f"Written to {updated}. Next: sparserec evaluate {updated} TEST")
