"""``sparserec train``: from an interaction file to a run directory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from sparserec_np.errors import DataError
from sparserec_np.formats import read_interactions

from .options import json_option, reader_options
from .output import emit_json, human_bytes, progress, table
from .threads import threads_option

# Spelt out, as the formats are: asking the library would import Numba for --help. A test compares the two.
MODELS = ("mf",)
METHODS = ("sparserec", "rigl", "set", "static", "magnitude", "dense-small", "dense")
STARTS = ("spectral", "nmf", "uniform")
LOSSES = ("bpr", "softmax")
OPTIMIZERS = ("adam", "adagrad", "sgd")
IMPORTANCES = ("degree", "gradient", "uniform")

# Name -> (type, help). What is given goes before what a configuration file says, and that before the defaults.
SETTINGS: dict[str, tuple[Any, str]] = {
    "model": (click.Choice(MODELS), "Base recommender."),
    "method": (click.Choice(METHODS), "How the budget is spent."),
    "dim": (click.IntRange(1, 65536), "Embedding dimension."),
    "density": (float, "Part of all entries that is stored, above 0 and at most 1."),
    "memory_budget": (str, "Bytes of the served tables, like 1.5MB, instead of a density."),
    "start": (click.Choice(STARTS), "What the mask and its values start from."),
    "start_score": (float, "Mean score of a training pair that the start is scaled to; 0 leaves it."),
    "loss": (click.Choice(LOSSES), "What is minimised."),
    "negatives": (click.IntRange(1), "Negatives shared by a batch; 1 draws one for each pair."),
    "epochs": (click.IntRange(0), "Most epochs; validation may choose fewer."),
    "batch_size": (click.IntRange(1), "Pairs in a batch."),
    "optimizer": (click.Choice(OPTIMIZERS), "How values follow their gradients."),
    "learning_rate": (float, "At first; falls to zero as a cosine."),
    "l2_user": (float, "L2 weight of a pair's user."),
    "l2_positive": (float, "L2 weight of its item."),
    "l2_negative": (float, "L2 weight of its negatives."),
    "explore": (float, "Part of the rows explored between topology updates."),
    "importance": (click.Choice(IMPORTANCES), "What explored rows are drawn by."),
    "drop_fraction": (float, "Part of the entries within reach that changes at first."),
    "drop_until": (float, "Part of the epochs after which the mask stays."),
    "drop_interval": (click.IntRange(1), "Epochs between topology updates."),
    "regrow_start": (float, "Start of a regrown entry, as a part of the largest pruned one."),
    "floor": (click.IntRange(0), "Entries that a row never loses."),
    "evaluate_every": (click.IntRange(1), "Epochs between two looks at the validation part."),
    "patience": (click.IntRange(0), "Looks without getting better before training stops; 0 never stops."),
    "seed": (click.IntRange(0), "Of everything drawn at random."),
}


def setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for each setting of a training run."""
    for name, (kind, text) in reversed(SETTINGS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=text)(command)
    return command


@click.command()
@click.argument("train_file", metavar="TRAIN", required=False)
@click.option("-o", "--output", "run", metavar="RUN", required=True, help="Directory to write the run to.")
@setting_options
@click.option(
    "--validation",
    metavar="PART|FILE",
    help="Part of each user's items held out to choose the epoch by, or a file of them; 0 for none.",
)
@click.option("--refit/--no-refit", default=None, help="Train again on all data for the epochs chosen.")
@click.option(
    "--config", "config_file", metavar="FILE", help="Settings to start from, as RUN/config.json holds them."
)
@threads_option
@reader_options
@json_option
def command(
    train_file: str | None,
    run: str,
    validation: str | None,
    config_file: str | None,
    threads: int | None,
    reader: dict[str, Any],
    as_json: bool,
    **given: Any,
) -> None:
    """Train a model on the interactions in TRAIN, and write it to the directory RUN.

    With TRAIN alone, the settings are the defaults below; they were chosen on validation parts of several data sets.
    A part of TRAIN is held out to choose the number of epochs, the start included as epoch 0; then the model is
    trained on all of TRAIN for that number. RUN holds config.json, metrics.jsonl (a line for each epoch) and
    model.safetensors. TRAIN may be left out where --config names it.
    """
    from sparserec_np.budget import parse_bytes
    from sparserec_np.config import Config
    from sparserec_np.model_file import id_bytes
    from sparserec_np.runs import RunDirectory, read_config, validation_metrics
    from sparserec_np.training import budget_of, train

    base, data = read_config(config_file) if config_file else (Config(), {})
    given = {name: value for name, value in given.items() if value is not None}
    if "density" in given and "memory_budget" in given:
        raise click.UsageError("Give --density or --memory-budget, not both.")
    if "memory_budget" in given:
        given["memory_budget"] = parse_bytes(given["memory_budget"])
    elif "density" in given:
        given["memory_budget"] = None
    part, validation_file = _validation(validation, base.validation, data.get("validation"))
    config = replace(base, **given, validation=part)
    train_file = train_file or data.get("train")
    reader = reader or data.get("reader") or {}
    if train_file is None:
        raise click.UsageError("Missing argument 'TRAIN'.")

    directory = RunDirectory(run)
    imports = _resident()
    log = read_interactions(train_file, **reader)
    if not log.n_interactions:
        raise DataError(f"{train_file} holds no interaction to train on.")
    held_out = None
    if validation_file:
        held_out, unknown = read_interactions(validation_file, **reader).aligned_to(log)
        if not held_out.n_interactions:
            raise DataError(
                f"No interaction in {validation_file} is between a user and an item of {train_file}."
            )
        if unknown.dropped_pairs and not as_json:
            left = f"{unknown.dropped_pairs:,} interactions of unknown users or items"
            click.echo(f"Validation: {left} left out.", err=True)
    bytes_of_ids = id_bytes(log.user_ids, log.item_ids)
    budget = budget_of(log, config, bytes_of_ids)
    if not as_json:
        click.echo(f"{log.n_users:,} users, {log.n_items:,} items, {log.n_interactions:,} interactions")
        click.echo(f"Budget: {budget.arithmetic()}")

    clock = time.perf_counter()
    try:
        with progress(config.epochs, "Training") as advance:
            passes: list[str] = []

            def on_epoch(record: dict[str, Any]) -> None:
                directory.add(record)
                if record["epoch"]:
                    advance(1, _note(record))
                elif passes and sys.stderr.isatty():
                    click.echo("\nThe number of epochs is chosen; training on all data.", err=True)
                passes.append(record["phase"])

            fitted = train(
                log, config, validation=held_out, id_bytes=bytes_of_ids, threads=threads, on_epoch=on_epoch
            )
    finally:
        directory.close()
    seconds = time.perf_counter() - clock
    where = {"train": train_file, "validation": validation_file, "reader": reader}
    file_bytes = directory.finish(fitted, log, where)
    if fitted.interrupted:
        click.echo(
            f"Interrupted: the best state so far (epoch {fitted.best_epoch}) is saved in {run}.", err=True
        )

    nnz = fitted.model.table.nnz
    report = {
        "run": run,
        "model": config.model,
        "method": config.method,
        "dim": fitted.model.dim,
        "budget": fitted.budget.nnz,
        "nnz": nnz,
        "density": nnz / (fitted.model.table.rows * fitted.model.dim),
        "best_epoch": fitted.best_epoch,
        "interrupted": fitted.interrupted,
        **validation_metrics(fitted),
        "seconds": seconds,
        "serving_bytes": fitted.budget.total_bytes,
        "file_bytes": file_bytes,
        "memory": {"imports": imports, **fitted.bytes, "peak_resident": _peak()},
    }
    if as_json:
        emit_json(report)
        return
    rows: list[list[Any]] = [
        ["kept epoch", fitted.best_epoch],
        ["seconds", round(seconds, 1)],
        ["stored entries", nnz],
        ["served tables and ids", human_bytes(fitted.budget.total_bytes)],
        ["peak resident memory", human_bytes(_peak())],
        *([name.replace("_", " "), value] for name, value in validation_metrics(fitted).items()),
    ]
    click.echo(table(rows))
    click.echo(f"Written to {run}. Next: sparserec evaluate {run} TEST")


def _validation(given: str | None, part: float, file: str | None) -> tuple[float, str | None]:
    """The held-out part, or the file to validate by."""
    if given is None:
        return part, file
    try:
        return float(given), None
    except ValueError:
        return part, given


def _note(record: dict[str, Any]) -> str:
    note = f"loss {record['loss']:.4f}"
    return f"{note}, ndcg@20 {record['ndcg@20']:.4f}" if "ndcg@20" in record else note


def _peak() -> int:
    """The most memory this process has had resident, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _resident() -> int:
    """Memory this process has resident now, bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as stream:
            return int(stream.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0
