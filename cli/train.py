"""``sparserec train``: from an interaction file to a run directory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import click

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import ConfigError
from sparserec_np.machine.memory import resident_bytes
from sparserec_np.models.base_models import BASE_MODELS, MODEL_SETTINGS
from sparserec_np.sparsity.budget import parse_bytes
from sparserec_np.starts.teacher import Teacher
from sparserec_np.training.asked import free_to_choose, with_only_model
from sparserec_np.training.checkpoints import digest_of
from sparserec_np.training.choosing import Choice, choose
from sparserec_np.training.cold_items import train_with_features
from sparserec_np.training.distillation import FromTeacher
from sparserec_np.training.fitted import Fitted
from sparserec_np.training.run_directory import read_config
from sparserec_np.training.settings import SETTINGS, Config
from sparserec_np.training.sources import FROM_DATA
from sparserec_np.training.train import train

from .aligning import align
from .choosing import look_progress, said_of, warn_of_baseline
from .epochs import recorded
from .held_out import part_or_file, read_held_out
from .item_features import Bare, item_features_option
from .memory import heeding, memory_limit_option
from .options import core_reader_options, json_option, overwrite_option
from .output import counted, emit_json
from .reading import read_log
from .resuming import Keeping, ResumableCommand
from .settings import flag, setting_options
from .threads import threads_option
from .writing import Held, Source, Telling, Work, run_directory, write_run

BUDGETS = ("density", "entries", "memory_budget")  # ways to name one, of which one is given


@dataclass(frozen=True)
class Request:
    """The options of a command that trains, before any file is read.

    Attributes:
        train_file: file to train on; None for the one that the configuration names.
        run: directory to write to.
        validation: a part, or a file; None for what the configuration says.
        threads: threads to work on; None for all.
        reader: keywords of :func:`~sparserec_np.data.formats.read_interactions`.
        as_json: whether nothing but the report is to be printed.
        given: the settings that were given, by name.
        config_file: settings to start from.
        overwrite: whether a finished run may be replaced.
        item_features: file of attributes of items; None for what the configuration says.
        keeping: how checkpoints are kept.
        memory_limit: most memory to take; None for what the system allows.
    """

    train_file: str | None
    run: str
    validation: str | None
    threads: int | None
    reader: dict[str, Any]
    as_json: bool
    given: dict[str, Any]
    config_file: str | None = None
    overwrite: bool = False
    item_features: str | None = None
    keeping: Keeping = Keeping("train")
    memory_limit: str | None = None

    @classmethod
    def of(cls, options: dict[str, Any]) -> Request:
        """Makes a request of a command's options by name.

        An option that is no attribute of a request is a setting.
        """
        own = {field.name for field in fields(cls)} & options.keys()
        given = {name: value for name, value in options.items() if name not in own and value is not None}
        if not options.get("config_file"):
            given = with_only_model(given)
        return cls(**{name: options[name] for name in own}, given=given)

    def free(self, config: Config, log: Interactions) -> frozenset[str]:
        """Names the settings that may be chosen by validation; none of a whole configuration."""
        return frozenset() if self.config_file else free_to_choose(self.given, config, log)


@click.command(cls=ResumableCommand)
@click.argument("train_file", metavar="[TRAIN]", required=False)
@click.option("-o", "--output", "run", metavar="RUN", required=True, help="Directory to write the run to.")
@setting_options("train")
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    help="Settings to start from, as RUN/config.json holds them; what is given besides goes before.",
)
@item_features_option
@overwrite_option
@threads_option
@memory_limit_option
@core_reader_options
@json_option
def command(**options: Any) -> None:
    """Train a model on the interactions in TRAIN, and write it to the directory RUN.

    With TRAIN alone, a part of it is held out, and the starts of several models and widths are
    looked at: what ranks that part best is trained. Other settings are the defaults below. The
    held-out part chooses the number of epochs, too, the start included as epoch 0; then the model
    is trained on all of TRAIN for that number. When training has ended, RUN holds config.json,
    metrics.jsonl (a line for each look and each epoch) and model.safetensors. TRAIN may be left out
    where --config names it.

    Ctrl-C, SIGTERM and a closed terminal end the training with the best state so far, which is
    saved; a second one ends it at once, and RUN is then as it was before. A training that was
    stopped, by that or by a power cut, goes on from its last checkpoint with --resume RUN.

    With --item-features, items that have attributes and no interactions get rows, too, which are
    solved for from the rows of those that have both.

    The models popularity and itemknn are baselines: they are counted, not trained, and take neither
    a budget nor settings of training.
    """
    request = Request.of(options)
    report = train_run(request)
    if request.as_json:
        emit_json(report)
    else:
        click.echo(f"Written to {request.run}. Next: sparserec evaluate {request.run} TEST")


def train_run(request: Request, teacher: tuple[Teacher, Interactions] | None = None) -> dict[str, Any]:
    """Trains as is asked, writes the run, and returns the report.

    Prints figures, or, for JSON, none. A teacher comes with the interactions it was saved with: the
    student is over the same users and items.
    """
    with (
        run_directory(request.run, request.overwrite, request.keeping) as held,
        heeding(request.memory_limit, request.as_json) as left_out,
    ):
        return _train_into(held, request, teacher, left_out)


def _train_into(
    held: Held,
    request: Request,
    teacher: tuple[Teacher, Interactions] | None,
    left_out: dict[str, int],
) -> dict[str, Any]:
    """Does what :func:`train_run` says, in a directory that is held."""
    config, source = settled(request)
    assert source.train is not None
    _ = kernels.compiled  # Numba, which counts as an import
    imports = resident_bytes()
    log = read_log(source.train, source.reader)
    if teacher:
        log = _known_to(teacher[1], log, source.train)
        rows = digest_of(teacher[0].table._asdict())
        held.checkpoints.expect("distillation", lambda: {"rows of the teacher": rows})
    held_out, counts = read_held_out(source.validation, source.train, log, source.reader)
    bare = Bare.of(source.more.get("item_features"))
    if bare is not None:
        held.checkpoints.expect("attributes", bare.facts)
    free = request.free(config, log) if teacher is None else frozenset()
    common: dict[str, Any] = {"threads": request.threads, "checkpoints": held.checkpoints}
    choice, clock = Choice(config), time.perf_counter()
    if free:
        with recorded(held.directory, look_progress()) as on_look:
            choice = choose(log, config, free, validation=held_out, on_look=on_look, **common)
        config = choice.config
    looked = time.perf_counter() - clock
    sizes = f"{log.n_users:,} users, {log.n_items:,} items, {log.n_interactions:,} interactions"

    def fit(on_epoch: Callable[[dict[str, Any]], None]) -> Fitted:
        how = common | {"validation": held_out, "on_epoch": on_epoch}
        if bare is not None:
            return train_with_features(log, bare.features, config, **how)
        learns = FromTeacher(teacher[0]) if teacher else FROM_DATA
        return train(log, config, source=learns, start=choice.start, **how)

    whole, more = (log, {}) if bare is None else (bare.whole(log), bare.counts(log))
    shown = None if request.as_json else sizes + ("" if bare is None else bare.said(log)) + said_of(choice)
    telling = Telling(shown, counts | more, imports, looked, request.threads, left_out)
    report = write_run(held, Work(whole, config, fit, source), telling)
    warn_of_baseline(choice)
    return report


def settled(request: Request) -> tuple[Config, Source]:
    """Returns the settings and where the data come from: as given, as configured, or by default.

    The first of these that says something counts.

    Raises:
        ConfigError: settings that make no sense, or none to this model.
        click.UsageError: options that exclude each other, or no file to train on.
    """
    base, data = read_config(request.config_file) if request.config_file else (Config(), {})
    given = _with_one_budget(request.given)
    part, validation_file = part_or_file(request.validation, base.validation, data.get("validation"))
    _check_model_takes(given.get("model", base.model), given)
    config = replace(base, **given, validation=part)
    train_file = request.train_file or data.get("train")
    if train_file is None:
        raise click.UsageError("Missing argument 'TRAIN'.")
    if train_file == validation_file == "-":
        raise click.UsageError("TRAIN and --validation cannot both be standard input.")
    attributes = request.item_features or data.get("item_features")
    more = {"item_features": attributes} if attributes else {}
    return config, Source(train_file, validation_file, {**(data.get("reader") or {}), **request.reader}, more)


def _with_one_budget(given: dict[str, Any]) -> dict[str, Any]:
    """Reads the budget that is given, if one is, and takes back what a configuration says of it.

    Raises:
        click.UsageError: it is given in two ways.
        ConfigError: it is no number of bytes.
    """
    named = [name for name in BUDGETS if name in given]
    if len(named) > 1:
        count = "both" if len(named) == 2 else "all"
        raise click.UsageError(f"Give {' or '.join(map(flag, named))}, not {count}.")
    if "memory_budget" in named:
        given = {**given, "memory_budget": parse_bytes(given["memory_budget"])}
    others = dict.fromkeys(name for name in BUDGETS if name not in named and SETTINGS[name].optional)
    return {**given, **others} if named else dict(given)


def _check_model_takes(model: str, given: dict[str, Any]) -> None:
    """Refuses options that mean nothing to a baseline, even where they say what is the default."""
    base = BASE_MODELS[model]
    for name in given:
        if base.counted and not base.takes(name) and name not in MODEL_SETTINGS:
            raise ConfigError(
                f"{flag(name)} has no meaning for the model {model}, which is counted and not"
                " trained; leave it out"
            )


def _known_to(teacher: Interactions, log: Interactions, file: str) -> Interactions:
    """Moves the interactions to the teacher's users and items.

    Others are left out, and a line says how many.
    """
    placed, unknown = align(log, teacher, file, "the teacher")
    if unknown.dropped_pairs:
        left = counted(unknown.dropped_pairs, "interaction")
        click.echo(f"{file}: {left} of users or items that the teacher does not know left out.", err=True)
    return placed
