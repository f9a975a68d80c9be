"""``sparserec tune``: a search for the best settings, and a run that is trained with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from sparserec_np import kernels
from sparserec_np.comparison.document import as_html
from sparserec_np.comparison.tuning import (
    OBJECTIVES,
    PAGE,
    STORAGE,
    Search,
    Tried,
    alone,
    check_search,
    ended_trials,
    front_of,
    make_trials,
    open_study,
    winner_of,
    winning_config,
)
from sparserec_np.comparison.tuning_report import page, trials_table
from sparserec_np.errors import ConfigError
from sparserec_np.machine.files import replacing
from sparserec_np.machine.memory import resident_bytes
from sparserec_np.training.choosing import choose
from sparserec_np.training.fitted import Fitted
from sparserec_np.training.run_directory import is_finished
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train

from .choosing import look_progress, said_of
from .groups import CHOSEN, GroupedCommand, GroupedOption
from .held_out import read_held_out
from .interrupts import check_interrupts
from .options import core_reader_options, json_option, overwrite_option
from .output import counted, emit_json, table
from .reading import read_log
from .resuming import NEVER, Keeping
from .settings import setting_options
from .threads import threads_option
from .train import Request, settled
from .writing import Source, Telling, Work, run_directory, write_run


@click.command(cls=GroupedCommand)
@click.argument("train_file", metavar="TRAIN")
@click.option("-o", "--output", "run", metavar="RUN", required=True, help="Directory to write the run to.")
@setting_options("train")
@click.option(
    "--trials",
    cls=GroupedOption,
    group=CHOSEN,
    type=click.IntRange(min=1),
    metavar="N",
    default=30,
    show_default=True,
    help="Trials in all, those included that RUN holds from before or from other processes.",
)
@click.option(
    "--objective",
    cls=GroupedOption,
    group=CHOSEN,
    type=click.Choice(OBJECTIVES),
    default=OBJECTIVES[0],
    show_default=True,
    help="What is searched for: the best NDCG@20 on the held-out part within the budget, or that and few bytes, where"
    " density and width are searched, too.",
)
@overwrite_option
@threads_option
@core_reader_options
@json_option
def command(trials: int, objective: str, **options: Any) -> None:
    """Search for the settings that are best on held-out interactions of TRAIN, and train with them.

    With neither a model nor a width given, both and the start are chosen as `train` chooses them.
    Settings that are given stay as they are; others are suggested by Optuna, which has to be
    installed, from the ranges that `compare --tune` draws from. The first trial is of the defaults.
    Where quality alone counts, trials that lie below the median are ended early.

    Trials are kept in RUN/trials.sqlite3. The same command goes on where it was stopped, and given
    in several terminals at once they share the work. RUN is then an ordinary run, trained with the
    settings of the best trial: of quality and bytes, the smallest whose quality is 99 % of the
    best. RUN/trials.html shows all trials.
    """
    request = Request.of(options | {"config_file": None})
    search, source, counts, imports = _search_of(request, objective)
    check_search(search)
    if is_finished(request.run) and not os.path.exists(search.path(STORAGE)) and not request.overwrite:
        raise ConfigError(
            f"{request.run} holds a finished run: name another, or say --overwrite to replace it"
        )
    study = open_study(search)
    make_trials(study, search, trials, _told(request.as_json))
    with alone(search):  # one process trains the winner, and others find it
        report = _train_winner(study, search, request, Telling(None, counts, imports), source)
    if request.as_json:
        emit_json(report)
        return
    click.echo(f"Written to {request.run}. Next: sparserec evaluate {request.run} TEST")


def _search_of(request: Request, objective: str) -> tuple[Search, Source, dict[str, int], int]:
    """Reads the data, and says what is searched."""
    config, source = settled(request)
    assert source.train is not None
    _ = kernels.compiled  # Numba, which counts as an import
    imports = resident_bytes()
    log = read_log(source.train, source.reader)
    held_out, counts = read_held_out(source.validation, source.train, log, source.reader)
    free = request.free(config, log)
    if free:
        with look_progress() as on_look:
            choice = choose(log, config, free, validation=held_out, threads=request.threads, on_look=on_look)
        config = choice.config
        if not request.as_json:
            click.echo(said_of(choice).strip())
    fixed = tuple(name for name in request.given if name in {field.name for field in fields(Config)})
    search = Search(request.run, config, fixed, objective, log, held_out, request.threads)
    return search, source, counts, imports


def _told(as_json: bool) -> Callable[[Tried], None]:
    """Makes what prints a trial that has ended, unless all is to be JSON."""

    def tell(tried: Tried) -> None:
        check_interrupts()  # of which nothing may have come
        if as_json:
            return
        reached = tried.ended if tried.reached is None else f"ndcg@20 {tried.reached:.4f}"
        size = "" if tried.bytes is None else f", {tried.bytes:,} B"
        settings = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in tried.settings.items()
        )
        click.echo(f"trial {tried.number}: {reached}{size}  ({settings})")

    return tell


def _train_winner(
    study: Any, search: Search, request: Request, telling: Telling, source: Source
) -> dict[str, Any]:
    """Trains with the settings of the best trial, unless the run is of them already."""
    tried = ended_trials(study)
    winner = winner_of(tried)
    told: dict[str, Any] = {
        "run": request.run,
        "trials": [one._asdict() for one in tried],
        "front": [one.number for one in front_of(tried)],
        "winner": winner.number,
    }
    if not request.as_json:
        _print_front(tried, winner)
    if study.user_attrs.get("winner") == winner.number and is_finished(request.run):
        _write_page(search, tried)
        return told
    config = winning_config(search, winner)

    def fit(on_epoch: Callable[[dict[str, Any]], None]) -> Fitted:
        how: dict[str, Any] = {"validation": search.held_out, "threads": search.threads}
        return train(search.log, config, on_epoch=on_epoch, **how)

    sizes = None if request.as_json else f"Training with the settings of trial {winner.number}"
    shown = Telling(sizes, telling.counts, telling.imports)
    with run_directory(request.run, overwrite=True, keeping=Keeping("tune", every=NEVER)) as held:
        report = write_run(held, Work(search.log, config, fit, source), shown)
    if not report["interrupted"]:
        study.set_user_attr("winner", winner.number)
    _write_page(search, tried)
    return {**report, **told}


def _print_front(tried: list[Tried], winner: Tried) -> None:
    """Prints the best trial, or the front of quality and bytes."""
    ended = {word: sum(one.ended == word for one in tried) for word in ("complete", "pruned", "diverged")}
    counts = ", ".join(f"{count:,} {word}" for word, count in ended.items() if count)
    click.echo(f"\n{counted(len(tried), 'trial')}: {counts}. The best:\n")
    shown = trials_table(front_of(tried))
    click.echo(table(shown.rows, list(shown.head)))
    click.echo(f"\nTaken: trial {winner.number}.")


def _write_page(search: Search, tried: list[Tried]) -> None:
    with replacing(search.path(PAGE)) as stream:
        stream.write(as_html(page(tried, search.folder)).encode())
