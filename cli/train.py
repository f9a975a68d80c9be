"""``sparserec train``: from an interaction file to a run directory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from sparserec_np.data.formats import read_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.learning.losses import LOSSES
from sparserec_np.models.base_models import BASE_MODELS, MODEL_SETTINGS
from sparserec_np.training.settings import CHOICES, L2, LOSS_SETTINGS, Config

if TYPE_CHECKING:  # importing it loads Numba
    from sparserec_np.starts.teacher import Teacher
    from sparserec_np.training.fitted import Fitted
    from sparserec_np.training.run_directory import RunDirectory

from .aligning import align
from .epochs import epoch_progress, recorded
from .options import json_option, reader_options
from .output import counted, emit_json, human_bytes, table
from .threads import threads_option

# Name -> (type, help). What is given goes before what a configuration file says, and that before the defaults.
SETTINGS: dict[str, tuple[Any, str]] = {
    "model": (click.Choice(CHOICES["model"]), "Base recommender."),
    "layers": (click.IntRange(1, 4), "Steps on the graph, with lightgcn; 3 by default."),
    "hidden": (click.IntRange(2, 1024), "Units of the first dense layer, with neumf; 16 by default."),
    "method": (click.Choice(CHOICES["method"]), "How the budget is spent."),
    "dim": (click.IntRange(1, 65536), "Embedding dimension."),
    "density": (float, "Part of all entries that is stored, above 0 and at most 1."),
    "memory_budget": (str, "Bytes of the served tables, like 1.5MB, instead of a density."),
    "start": (
        click.Choice(CHOICES["start"]),
        "What the mask and its values start from; by default spectral or condensed (on much data: als), by validation.",
    ),
    "start_score": (float, "Mean score of a training pair that the start is scaled to; 0 leaves it."),
    "loss": (click.Choice(CHOICES["loss"]), "What is minimised."),
    "similarity": (
        click.Choice(CHOICES["similarity"]),
        "What the scores are; cosine for bsl and ccl, else dot.",
    ),
    "temperature": (float, "Scores are divided by it; 1, for cosines 0.1 unless the loss is ccl."),
    "negative_weight": (float, "Weight of a pair's negatives together, with bce and ccl."),
    "margin": (float, "Cosine below which a negative costs nothing, with ccl."),
    "sharpness": (float, "Temperature of the positives divided by that of the negatives, with bsl."),
    "neighbours": (
        click.IntRange(1, 65536),
        "Similar items that an item keeps, with itemknn; 50 by default.",
    ),
    "shrinkage": (float, "Against similarities of few users, with itemknn; 30 by default."),
    "embedding_dropout": (float, "Probability that an entry is left out when a batch reads it."),
    "negatives": (click.IntRange(1), "Negatives shared by a batch; 1 draws one for each pair."),
    "epochs": (click.IntRange(0), "Most epochs; validation may choose fewer."),
    "order": (
        click.Choice(CHOICES["order"]),
        "Random batches, or pair after pair in cells: many times as fast.",
    ),
    "batch_size": (click.IntRange(1), "Pairs in a batch; in cells, that share their negatives."),
    "optimizer": (click.Choice(CHOICES["optimizer"]), "How values follow their gradients."),
    "learning_rate": (float, "At first; falls to zero as a cosine."),
    "l2_user": (float, "L2 weight of a pair's user."),
    "l2_positive": (float, "L2 weight of its item."),
    "l2_negative": (float, "L2 weight of its negatives."),
    "decay_to": (click.Choice(CHOICES["decay_to"]), "What L2 draws the values towards."),
    "explore": (float, "Part of the rows explored between topology updates."),
    "importance": (click.Choice(CHOICES["importance"]), "What explored rows are drawn by."),
    "drop_fraction": (float, "Part of the entries within reach that changes at first."),
    "drop_until": (float, "Part of the epochs after which the mask stays."),
    "drop_interval": (click.IntRange(1), "Epochs between topology updates."),
    "regrow_start": (float, "Start of a regrown entry, as a part of the largest pruned one."),
    "floor": (click.IntRange(0), "Entries that a row never loses."),
    "evaluate_every": (click.IntRange(1), "Epochs between two looks at the validation part."),
    "patience": (click.IntRange(0), "Looks without getting better before training stops; 0 never stops."),
    "seed": (click.IntRange(0), "Of everything drawn at random."),
}


class Setting(click.Option):
    """An option whose help shows the default of the setting, which it does not set: a configuration file may."""

    def get_help_extra(self, ctx: click.Context) -> click.types.OptionHelpExtra:
        """Click's own, and the default."""
        extra = super().get_help_extra(ctx)
        default = getattr(Config, str(self.name))
        if isinstance(default, bool):
            extra["default"] = str(self.name) if default else f"no-{self.name}"
        elif default is not None:
            extra["default"] = str(default)
        elif self.name == "negatives":
            extra["default"] = ", ".join(
                f"{model.negatives} with {name}" for name, model in BASE_MODELS.items()
            )
        elif self.name in L2:
            extra["default"] = ", ".join(f"{loss.decay:g} with {name}" for name, loss in LOSSES.items())
        elif self.name in LOSS_SETTINGS:
            owners = {name: dict(loss.settings).get(self.name) for name, loss in LOSSES.items()}
            extra["default"] = ", ".join(f"{value:g} with {name}" for name, value in owners.items() if value)
        return extra


def setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for each setting of a training run."""
    for name, (kind, text) in reversed(SETTINGS.items()):
        command = click.option(flag(name), name, type=kind, cls=Setting, help=text)(command)
    return command


def flag(name: str) -> str:
    """The option of a setting."""
    return f"--{name.replace('_', '-')}"


@click.command(short_help="Train a model within a budget, into a run directory.")
@click.argument("train_file", metavar="[TRAIN]", required=False)
@click.option("-o", "--output", "run", metavar="RUN", required=True, help="Directory to write the run to.")
@setting_options
@click.option(
    "--validation",
    metavar="PART|FILE",
    cls=Setting,
    help="Part of each user's items held out to choose the epoch by, or a file of them; 0 for none.",
)
@click.option(
    "--refit/--no-refit", default=None, cls=Setting, help="Train again on all data for the epochs chosen."
)
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    help="Settings to start from, as RUN/config.json holds them; what is given besides goes before.",
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

    The models popularity and itemknn are baselines: they are counted, not trained, and take neither a budget nor
    settings of training.
    """
    report = train_run(train_file, run, validation, config_file, threads, reader, as_json, given)
    if as_json:
        emit_json(report)
    else:
        click.echo(f"Written to {run}. Next: sparserec evaluate {run} TEST")


def train_run(
    train_file: str | None,
    run: str,
    validation: str | None,
    config_file: str | None,
    threads: int | None,
    reader: dict[str, Any],
    quiet: bool,
    given: dict[str, Any],
    teacher: tuple[Teacher, Interactions] | None = None,
) -> dict[str, Any]:
    """Trains as the options say, writes the run, and tells about it unless ``quiet``; returns the report.

    A teacher comes with the interactions it was saved with: the student is over the same users and items.
    """
    from sparserec_np.sparsity.budget import parse_bytes
    from sparserec_np.training.distillation import FromTeacher
    from sparserec_np.training.run_directory import RunDirectory, read_config
    from sparserec_np.training.sources import FROM_DATA
    from sparserec_np.training.train import train

    base, data = read_config(config_file) if config_file else (Config(), {})
    given = {name: value for name, value in given.items() if value is not None}
    if "density" in given and "memory_budget" in given:
        raise click.UsageError("Give --density or --memory-budget, not both.")
    if "memory_budget" in given:
        given["memory_budget"] = parse_bytes(given["memory_budget"])
    elif "density" in given:
        given["memory_budget"] = None
    part, validation_file = part_or_file(validation, base.validation, data.get("validation"))
    kind = BASE_MODELS[given.get("model", base.model)]
    for name in given:
        if kind.counted and name not in ("model", "seed", "refit", *MODEL_SETTINGS):
            raise ConfigError(
                f"{flag(name)} has no meaning for the model {kind.name}, which is counted and not"
                " trained; leave it out"
            )
    config = replace(base, **given, validation=part)
    train_file = train_file or data.get("train")
    reader = {**(data.get("reader") or {}), **reader}
    if train_file is None:
        raise click.UsageError("Missing argument 'TRAIN'.")
    if train_file == validation_file == "-":
        raise click.UsageError("TRAIN and --validation cannot both be standard input.")

    directory = RunDirectory(run)
    imports = resident()
    log = read_interactions(train_file, **reader)
    if teacher:
        log = _known_to(teacher[1], log, train_file)
    held_out, told = (
        read_held_out(validation_file, train_file, log, reader) if validation_file else (None, {})
    )
    sizes = f"{log.n_users:,} users, {log.n_items:,} items, {log.n_interactions:,} interactions"

    def fit(on_epoch: Callable[[dict[str, Any]], None]) -> Fitted:
        return train(
            log,
            config,
            validation=held_out,
            source=FromTeacher(teacher[0]) if teacher else FROM_DATA,
            threads=threads,
            on_epoch=on_epoch,
        )

    where = {"train": train_file, "validation": validation_file, "reader": reader}
    return write_run(directory, log, config, fit, where, None if quiet else sizes, told, imports)


def write_run(
    directory: RunDirectory,
    log: Interactions,
    config: Config,
    fit: Callable[[Callable[[dict[str, Any]], None]], Fitted],
    where: dict[str, Any],
    sizes: str | None,
    told: dict[str, Any],
    imports: int,
) -> dict[str, Any]:
    """Trains, with records and progress, writes the run, and returns the report, which begins as ``told`` does.

    Args:
        fit: trains on ``log`` as ``config`` says, and calls what it is given with the record of each epoch.
        where: the data come from; see :func:`sparserec_np.training.run_directory.read_config`.
        sizes: what to print before the budget; without it nothing is printed.
        imports: bytes resident before any data was read.
    """
    from sparserec_np.sparsity.methods import METHODS
    from sparserec_np.training.fitted import validation_metrics
    from sparserec_np.training.plan import budget_of

    is_counted = BASE_MODELS[config.model].counted
    if sizes is not None:
        click.echo(sizes)
        if not is_counted:
            click.echo(f"Budget: {METHODS[config.method].spend(budget_of(log, config)).arithmetic()}")

    clock = time.perf_counter()
    progress = nullcontext(lambda record: None) if is_counted else epoch_progress(config.epochs)
    with recorded(directory, progress) as on_epoch:
        fitted = fit(on_epoch)
    seconds = time.perf_counter() - clock
    file_bytes = directory.finish(fitted, log, where)
    if fitted.interrupted:
        click.echo(
            f"Interrupted: the best state so far (epoch {fitted.best_epoch}) is saved in {directory.path}.",
            err=True,
        )

    nnz = fitted.model.table.nnz
    serving_bytes = fitted.budget.total_bytes + fitted.model.weights.nbytes
    report = {
        "run": directory.path,
        "model": config.model,
        "method": "counted" if is_counted else config.method,
        "dim": fitted.model.dim,
        "budget": fitted.budget.nnz,
        "nnz": nnz,
        "density": nnz / (fitted.model.table.rows * fitted.model.dim),
        "best_epoch": fitted.best_epoch,
        "interrupted": fitted.interrupted,
        **validation_metrics(fitted),
        **told,
        "seconds": seconds,
        "serving_bytes": serving_bytes,
        "file_bytes": file_bytes,
        "memory": {"imports": imports, **fitted.bytes, "peak_resident": _peak()},
    }
    if sizes is None:
        return report
    rows: list[list[Any]] = [
        ["kept epoch", fitted.best_epoch],
        ["seconds", round(seconds, 1)],
        ["stored entries", nnz],
        ["served tables and ids", human_bytes(serving_bytes)],
        ["peak resident memory", human_bytes(_peak())],
        *([name.replace("_", " "), value] for name, value in validation_metrics(fitted).items()),
    ]
    click.echo(table(rows))
    return report


def _known_to(teacher: Interactions, log: Interactions, file: str) -> Interactions:
    """The interactions over the teacher's users and items; what it does not know is left out, and said."""
    placed, unknown = align(log, teacher, file, "the teacher")
    if unknown.dropped_pairs:
        left = counted(unknown.dropped_pairs, "interaction")
        click.echo(f"{file}: {left} of users or items that the teacher does not know left out.", err=True)
    return placed


def part_or_file(given: str | None, part: Any, file: str | None) -> tuple[Any, str | None]:
    """The held-out part, or the file to validate by."""
    if given is None:
        return part, file
    try:
        return float(given), None
    except ValueError:
        return part, given


def read_held_out(
    file: str, train_file: str, log: Interactions, reader: dict[str, Any]
) -> tuple[Interactions, dict[str, int]]:
    """The interactions to validate by, over the ids of ``log``, and how many of the file's cannot tell anything."""
    given = read_interactions(file, **reader)
    placed, unknown = align(given, log, file, train_file)
    shared = placed.shared_with(log)
    if shared == placed.n_interactions:
        raise DataError(
            f"All interactions in {file} are in {train_file} too, which leaves nothing to choose by;"
            " give a part that was held out, or --validation 0.1 to hold one out."
        )
    if unknown.dropped_pairs:
        left = counted(unknown.dropped_pairs, "interaction")
        click.echo(f"{file}: {left} of unknown users or items left out.", err=True)
    if shared:
        click.echo(f"{file}: {counted(shared, 'interaction')} in TRAIN too, which no list can hit.", err=True)
    return placed, {
        "validation_dropped_pairs": unknown.dropped_pairs,
        "validation_pairs_in_training": shared,
    }


def _peak() -> int:
    """The most memory this process has had resident, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident() -> int:
    """Memory this process has resident now, bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as stream:
            return int(stream.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0
