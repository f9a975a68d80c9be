"""``sparserec update``: a saved run learns on, with new interactions, within the same budget."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import DataError
from sparserec_np.machine.memory import resident_bytes
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.training.cold_items import add_items, over_more_items
from sparserec_np.training.fitted import Fitted
from sparserec_np.training.plan import budget_of
from sparserec_np.training.run_directory import load_run
from sparserec_np.training.saving import InteractionsMissingError
from sparserec_np.training.settings import Config
from sparserec_np.training.updating import update, update_settings, way_of

from .held_out import part_or_file, read_held_out
from .item_features import Bare, item_features_option
from .memory import heeding, memory_limit_option
from .options import data_option, json_option, overwrite_option, weighed_reader_options
from .output import counted, emit_json
from .reading import read_log
from .resuming import Keeping, ResumableCommand
from .run_argument import reading_run, run_argument
from .settings import setting_options
from .threads import threads_option
from .writing import Held, Source, Telling, Work, run_directory, write_run

NOWHERE = Source(None, None, {})  # until it is known where everything comes from


@click.command(cls=ResumableCommand)
@run_argument
@click.argument("new_file", metavar="[NEW]", required=False)
@click.option(
    "-o", "--output", "updated", metavar="RUN2", required=True, help="Directory to write the run to."
)
@data_option(
    "--known",
    "known_file",
    metavar="FILE",
    help="Interactions that RUN was trained on, where its model file does not hold them.",
)
@setting_options("update")
@item_features_option
@overwrite_option
@threads_option
@memory_limit_option
@weighed_reader_options
@json_option
def command(run: str, updated: str, as_json: bool, keeping: Keeping, **options: Any) -> None:
    """Go on training the model in RUN with the interactions in NEW, and write it to the directory RUN2.

    NEW may be of users and items that RUN does not know; what it knows already is merged. The
    budget is that of RUN: as many stored entries, or as many bytes if it was given in bytes, whose
    new rows and ids leave room for fewer entries. The start are rows solved for from the model's
    own; a tenth of each user's new items is held out to choose among a few epochs, the start
    included as epoch 0.

    A model of fism stores no users: they are what they touched, so new interactions of known items
    change no row. New items get rows that are solved for, in place of the weakest entries. Nothing
    is trained and nothing held out, unless --epochs says so, or never where users' rows are solved
    for. Of one with neighbours nothing is kept but the settings: its start, which is all there is,
    is made anew of all interactions.

    With --item-features, items that have attributes and no interactions get rows, which are solved
    for from the rows of those that have both, in place of the weakest entries. NEW may be left out
    then: nothing else changes.

    Models of mf and fism can learn on. RUN2 may be RUN itself, which is then replaced; another
    finished run is not, without --overwrite. An update that was stopped goes on with --resume RUN2.
    """
    in_place, limit = _is_within(run, updated), options.pop("memory_limit")
    overwrite = options.pop("overwrite") or in_place
    with run_directory(updated, overwrite, keeping) as held, heeding(limit, as_json):
        report = _update_run(run, replace(held, in_place=in_place), as_json, **options)
    report["former"] = run
    if as_json:
        emit_json(report)
    else:
        click.echo(f"Written to {updated}. Next: sparserec evaluate {updated} TEST")


def _update_run(
    run: str,
    held: Held,
    quiet: bool,
    new_file: str | None,
    reader: dict[str, Any],
    **options: Any,
) -> dict[str, Any]:
    """Learns on as the options say, writes the run, and returns the report.

    Prints figures unless ``quiet``.
    """
    known_file, threads = options.pop("known_file"), options.pop("threads")
    attributes = options.pop("item_features")
    part, validation_file = part_or_file(options.pop("validation"), None, None)
    if [new_file, known_file, validation_file].count("-") > 1:
        raise click.UsageError("Only one of NEW, --known and --validation can be standard input.")
    changes = {name: value for name, value in options.items() if value is not None}
    if part is not None:
        changes["validation"] = part
    _check_new(new_file, attributes, bool(changes or validation_file))
    _ = kernels.compiled  # Numba, which counts as an import
    imports = resident_bytes()
    known = read_log(known_file, reader) if known_file else None
    with reading_run(run):
        former = _load(run, known)
    bare, log, counts = Bare.of(attributes), former.log, dict[str, int]()
    if new_file is None:
        assert bare is not None
        work = _attributes_alone(former, bare, threads)
    else:
        new = read_log(new_file, reader)
        log = log.joined(new)
        held_out, counts = read_held_out(validation_file, new_file, log, reader)
        how = {"threads": threads, "checkpoints": held.checkpoints}
        how |= {"validation": held_out} if validation_file else {}
        if bare is not None:
            held.checkpoints.expect("attributes", bare.facts)
        work = _learning_on(former, new, changes, how, bare)
    more = {"former": run, "new": new_file, "item_features": attributes}
    source = Source(None, validation_file, reader, {name: one for name, one in more.items() if one})
    growth = _growth(former.log, log) | ({} if bare is None else bare.counts(log))
    lines = [
        _sizes(growth, log) + ("" if bare is None else bare.said(log)),
        *_untrained(work.config, growth["new_items"]),
    ]
    telling = Telling(None if quiet else "\n".join(lines), growth | counts, imports, threads=threads)
    return write_run(held, replace(work, source=source), telling)


def _check_new(new_file: str | None, attributes: str | None, asks_to_learn: bool) -> None:
    """Refuses an update with nothing to learn from, and settings of learning where there is nothing to learn."""
    if new_file is None and attributes is None:
        raise click.UsageError("Missing argument 'NEW'.")
    if new_file is None and asks_to_learn:
        raise click.UsageError("Without NEW nothing is trained: leave out the settings of training.")


def _attributes_alone(former: Fitted, bare: Bare, threads: int | None) -> Work:
    """Plans to add the rows of attributes, and nothing else."""
    whole = bare.whole(former.log)
    config = over_more_items(former.config.resolved(), former.budget.nnz, whole)

    def fit(on_epoch: Callable[[dict[str, Any]], None]) -> Fitted:
        return add_items(former, bare.features, threads=threads)

    return Work(whole, replace(config, epochs=0), fit, NOWHERE)


def _learning_on(
    former: Fitted, new: Interactions, changes: dict[str, Any], how: dict[str, Any], bare: Bare | None
) -> Work:
    """Plans to learn on, and then to add the rows of attributes, if there are any."""
    log = former.log.joined(new)
    config = update_settings(former, log, **changes)

    def fit(on_epoch: Callable[[dict[str, Any]], None]) -> Fitted:
        updated = update(former, new, on_epoch=on_epoch, **changes | how)
        return updated if bare is None else add_items(updated, bare.features, threads=how["threads"])

    if bare is None:
        return Work(log, config, fit, NOWHERE)
    whole = bare.whole(log)
    return Work(whole, over_more_items(config, budget_of(log, config).nnz, whole), fit, NOWHERE)


def _is_within(run: str, folder: str) -> bool:
    """Tells whether RUN is a folder, or a file in it."""
    return os.path.realpath(folder) in (os.path.realpath(run), os.path.dirname(os.path.realpath(run)))


def _load(run: str, known: Interactions | None) -> Fitted:
    """Reads the run; names the option where what users had is missing."""
    try:
        return load_run(run, known)
    except InteractionsMissingError as error:
        raise DataError(f"{error} with --known FILE") from error


def _growth(known: Interactions, log: Interactions) -> dict[str, int]:
    """Counts how many users, items and interactions are new, for the report."""
    return {
        "new_users": log.n_users - known.n_users,
        "new_items": log.n_items - known.n_items,
        "new_interactions": log.n_interactions - known.n_interactions,
    }


def _untrained(config: Config, new_items: int) -> list[str]:
    """Says in a line what happens where users are not stored and no epoch is trained; else nothing."""
    if BASE_MODELS[config.model].stores_users or (config.epochs and config.trained):
        return []
    if not way_of(config).keeps_rows:
        return ["The start is made anew of all interactions, and is all there is; nothing is trained"]
    solved = f", and {counted(new_items, 'new item')} solved for" if new_items else ""
    hint = " (--epochs N trains on)" if config.trained else ""
    return [f"Users are made from what they touched{solved}; nothing is trained{hint}"]


def _sizes(growth: dict[str, int], log: Interactions) -> str:
    """Says in a line how many are new, and how many there are."""
    nouns = ("new_users", "new_items", "new_interactions")
    said = ", ".join(counted(growth[noun], noun[:-1].replace("_", " ")) for noun in nouns)
    return (
        f"{said}; with those known {log.n_users:,} users,"
        f" {log.n_items:,} items, {log.n_interactions:,} interactions"
    )
