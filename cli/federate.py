"""``sparserec federate``: a table learned from what clients answer, in this process or over HTTP."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import numpy as np

from sparserec_np import kernels
from sparserec_np.errors import ConfigError
from sparserec_np.federated.ledger import figures
from sparserec_np.federated.rounds import Conditions
from sparserec_np.federated.server import Way
from sparserec_np.federated.ways import TRIED, WAYS
from sparserec_np.machine.memory import peak_bytes
from sparserec_np.machine.threads import set_kernel_threads
from sparserec_np.runtime import MOST_RECENCY
from sparserec_np.training.fitted import Record
from sparserec_np.training.run_directory import was_stopped
from sparserec_np.training.settings import Config

from .audience import Audience, Simulated
from .earlier import Earlier, refuse_decided
from .epochs import recorded
from .groups import CHOSEN, CLIENTS, STORED, GroupedOption
from .hiding_options import hiding_of, hiding_options, privacy_rows
from .interrupts import held_interrupts
from .options import json_option, overwrite_option, reader_options
from .output import counted, emit_json, human_bytes, table
from .protocols import Asking, Learned
from .reading import read_log
from .resuming import Keeping, ResumableCommand
from .serve_options import OF_CONDITIONS, OF_SERVERS, OF_SIMULATIONS, devices, refuse_misplaced, serve_options
from .threads import threads_option
from .writing import Held, Source, run_directory


def _option(group: str, *names: str, **rest: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=GroupedOption, group=group, **rest)


def _part(name: str, text: str) -> Callable[[Any], Any]:
    """Makes an option of how clients take part, 0 by default."""
    return _option(CLIENTS, name, type=click.FloatRange(0, 1), default=0.0, metavar="PART", help=text)


@click.command(cls=ResumableCommand)
@click.argument("train_file", metavar="TRAIN")
@click.option("-o", "--output", "run", metavar="RUN", required=True, help="Directory to write the run to.")
@click.option("--simulate", is_flag=True, help="Make every user of TRAIN a client in this process.")
@serve_options
@_option(
    STORED,
    "--protocol",
    type=click.Choice(tuple(WAYS)),
    help="What is summed up; by default least-squares and spectral are tried, and clients' held-out items choose.",
)
@_option(
    STORED,
    "--dim",
    type=click.IntRange(1, 65_536),
    default=64,
    show_default=True,
    help="Embedding dimension.",
)
@_option(
    STORED, "--density", type=float, metavar="X", help="Part of all entries that is stored; by default 0.1."
)
@_option(
    STORED,
    "--entries",
    type=click.IntRange(1),
    metavar="N",
    help="Entries that are stored, instead of a density.",
)
@_option(
    STORED,
    "--earlier",
    metavar="RUN0",
    help="Learn on from the table in RUN0: known items keep their rows, and new ones get theirs, within its budget.",
)
@_option(
    STORED,
    "--recency",
    type=click.FloatRange(0, MOST_RECENCY),
    metavar="X",
    help="How much more a user's later items count in their row; by default clients' held-out items choose, where"
    " TRAIN has an order of time.",
)
@_option(
    CHOSEN,
    "--validation",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.1,
    show_default=True,
    metavar="PART",
    help="Part of a client's items that it keeps back, to measure its lists by.",
)
@_option(
    CHOSEN,
    "--refit/--no-refit",
    default=True,
    show_default=True,
    help="Learn again from all items, by the better protocol, when lists have been measured.",
)
@_option(
    CLIENTS,
    "--asked",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    metavar="PART",
    help="Part of the clients that a round asks.",
)
@_part("--silent", "Chance that a client that is asked is silent.")
@_part("--late", "Chance that an answer comes when its pass is over.")
@_part("--repeated", "Chance that an answer comes twice.")
@_part("--gone", "Part of the clients who leave for good, before a pass that is drawn.")
@_option(
    CLIENTS,
    "--enough",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    metavar="PART",
    help="Part of the clients who are to answer in a pass; it asks again until they have, while any are left.",
)
@hiding_options
@_option(
    CHOSEN, "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all that is drawn."
)
@overwrite_option
@threads_option
@reader_options
@json_option
def command(train_file: str, run: str, as_json: bool, keeping: Keeping, **options: Any) -> None:
    """Learn items' rows from what clients answer, and write the model to the directory RUN.

    Every user of TRAIN is a client that keeps its items to itself, but for what it answers in a few
    passes: docs/federated.md says what that is. The server adds the answers up, as whole numbers,
    and makes an ordinary model of fism, whose users are made of what they touched. RUN holds no
    user: recommend makes lists for items that are named, and evaluate takes --known TRAIN.

    Clients keep a part of their items back, and measure by these which protocol makes the better
    lists; then all of their items are learned from. With --protocol and --validation 0 there is one
    training, and nothing is measured.

    What each client sent and was sent is in the report, and in RUN/metrics.jsonl. A training that
    was stopped goes on with --resume RUN; checkpoints are written between two passes.

    With --earlier a table learns on from more clients, interactions and items, in two passes.

    With --serve clients are devices that ask over HTTP, each with a token of its own, and TRAIN is
    a list of the items that there are. The server speaks plain HTTP: put a proxy with TLS before
    it. It ends when all passes are over, or at Ctrl-C, which keeps the last checkpoint.
    """
    place, simulated = options.pop("place"), options.pop("simulate")
    if simulated == (place is not None):
        raise click.UsageError("Give --simulate, or --serve HOST:PORT for devices that ask over HTTP.")
    refuse_misplaced(click.get_current_context(), simulated)
    earlier = Earlier.of(options.pop("earlier"))
    if earlier is not None:
        refuse_decided(click.get_current_context())
    with run_directory(run, options.pop("overwrite"), keeping) as held, _saying_how_to_go_on(run):
        how = {name: options.pop(name) for name in (*OF_SIMULATIONS, *OF_SERVERS)}
        with _audience(train_file, place, how, options) as audience:
            report = _federate_into(held, audience, earlier, options, quiet=as_json)
    if as_json:
        emit_json(report)
    else:
        click.echo(f"Written to {run}. Next: {audience.next_step(run)}")


@contextmanager
def _audience(
    file: str, place: tuple[str, int] | None, how: dict[str, Any], options: dict[str, Any]
) -> Iterator[Audience]:
    """Finds the clients that the options speak of."""
    part = options["validation"]
    if place is not None:
        with devices(place, file, how, part) as served:
            yield served
        return
    hiding = hiding_of(how, options["protocol"])
    conditions = Conditions(hiding=hiding, **{name: how[name] for name in OF_CONDITIONS})
    log, source = read_log(file, options["reader"]), Source(file, None, options["reader"])
    yield Simulated.of(log, part, conditions, options["seed"], source)


@contextmanager
def _saying_how_to_go_on(run: str) -> Iterator[None]:
    """Names the way to go on where a training is interrupted after its first checkpoint."""
    try:
        yield
    except KeyboardInterrupt:
        if was_stopped(run):
            click.echo(f"\nGo on with `sparserec federate --resume {run}`.", err=True)
        raise


def _federate_into(
    held: Held, audience: Audience, earlier: Earlier | None, options: dict[str, Any], quiet: bool
) -> dict[str, Any]:
    """Learns as the options say, writes the run, and returns the report."""
    config, part = _settings(options, earlier), options["validation"]
    ways = _protocols(options) if earlier is None else {earlier.protocol: earlier.way(audience.item_ids)}
    facts = {} if earlier is None else earlier.facts()
    _ = kernels.compiled  # Numba, before the clock starts
    set_kernel_threads(options["threads"])
    if not quiet:
        click.echo(audience.title())
    clock, directory = time.perf_counter(), held.directory
    held.checkpoints.expect("training", lambda: config.to_dict() | audience.facts() | facts)
    with recorded(directory, _pass_progress()) as on_pass:
        how = Asking(config, audience, options["enough"], on_pass, held.checkpoints)
        found = [how.tried(name, way, part > 0) for name, way in ways.items()]
        made = best = max(found, key=lambda one: one.reached)
        if part and options["refit"]:
            made = how.learned(best, ways[best.name])
            found.append(made)
    fitted = made.fitted
    assert fitted is not None  # checkpoints keep that of the best
    directory.add({"phase": "federated", "protocol": made.name, "epoch": 0, **best.metrics})
    with held_interrupts():
        file_bytes = directory.finish(fitted, fitted.log, audience.source.to_dict())
        held.close(interrupted=False)
    report = {
        "run": directory.path,
        "protocol": made.name,
        "dim": fitted.budget.dim,
        "budget": fitted.budget.nnz,
        "nnz": fitted.model.served().nnz,
        **best.validation,
        "recency": fitted.config.recency or 0.0,
        "clients": audience.clients,
        "items": len(audience.item_ids),
        "trainings": [one.told() for one in found],
        "bytes": figures(*(np.sum([one.sent[way] for one in found], axis=0) for way in ("up", "down"))),
        **audience.told([record for one in found for record in one.passes]),
        "seconds": held.checkpoints.earlier + time.perf_counter() - clock,
        "file_bytes": file_bytes,
        "memory": {"peak_resident": peak_bytes()},
    }
    if not quiet:
        _print(report, found)
    return report


def _settings(options: dict[str, Any], earlier: Earlier | None) -> Config:
    """Makes the settings of what is stored, of the options."""
    if options["density"] is not None and options["entries"] is not None:
        raise click.UsageError("Give --density or --entries, not both.")
    budget = {name: options[name] for name in ("density", "entries") if options[name] is not None}
    recency = options["recency"]
    if earlier is not None:
        budget, recency = budget or {"entries": earlier.budget}, recency or earlier.recency
        return Config(model="fism", dim=earlier.dim, seed=options["seed"], recency=recency, **budget)
    return Config(model="fism", dim=options["dim"], seed=options["seed"], recency=recency, **budget)


def _protocols(options: dict[str, Any]) -> dict[str, Way]:
    """Finds the protocols to try."""
    if options["protocol"]:
        way = WAYS[options["protocol"]]
        if options["recency"] and way.settings["user_rows"] != "sum":
            raise ConfigError("With --recency rows of users are sums: give --protocol spectral or gradients")
        return {options["protocol"]: way}
    if not options["validation"]:
        raise ConfigError("With --validation 0 nothing tells which protocol is better: give --protocol")
    sums = {name for name in TRIED if WAYS[name].settings["user_rows"] == "sum"}
    return {name: WAYS[name] for name in TRIED if not options["recency"] or name in sums}


def _print(report: dict[str, Any], found: list[Learned]) -> None:
    """Prints the ledger of each training, and what was kept."""
    for one in found:
        rows = [
            [record["pass"], record["rounds"], record["answers"], *_sizes(record)] for record in one.passes
        ]
        rows.append(["in all", None, None, *_sizes(one.totals)])
        heads = ["pass", "rounds", "answers", "up, median", "largest", "down, median", "largest"]
        click.echo(f"\nBytes of a client, {one.title}:\n\n{table(rows, heads)}")
        if one.refused:
            said = ", ".join(f"{reason} {count:,}" for reason, count in sorted(one.refused.items()))
            click.echo(f"Refused: {said}.")
        if one.short:
            said = f"{one.title}: fewer than were asked for answered in {', '.join(one.short)}."
            click.echo(said, err=True)
    rows = [
        ["protocol", report["protocol"]],
        ["stored entries", report["nnz"]],
        ["recency", report["recency"]],
        ["sent by a client in all", human_bytes(report["bytes"]["up_median"])],
        ["at most", human_bytes(report["bytes"]["up_largest"])],
        *([name.replace("_", " "), value] for name, value in report.items() if "@" in name),
        *privacy_rows(report),
        ["seconds", round(report["seconds"], 1)],
        ["peak resident memory", human_bytes(report["memory"]["peak_resident"])],
    ]
    click.echo("\n" + table(rows))


def _sizes(record: dict[str, Any]) -> list[str]:
    """Writes the bytes of a pass, or of all."""
    names = ("up_median", "up_largest", "down_median", "down_largest")
    return [human_bytes(record[name]) for name in names]


@contextmanager
def _pass_progress() -> Iterator[Callable[[Record], None]]:
    """Yields what shows each pass as it ends, on stderr, and only where stderr is a terminal."""
    shown = sys.stderr.isatty()
    if shown:
        click.echo("Asking clients ... (a first run compiles its kernels, too)", err=True)

    def show(record: Record) -> None:
        if shown:
            answers = counted(record["answers"], "answer")
            click.echo(
                f"  {record['protocol']}, {record['pass']}: {answers}, {record['up_median']:,} B each",
                err=True,
            )

    yield show
