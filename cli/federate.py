"""``sparserec federate``: a table learned from what clients answer, in this process or over HTTP."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

from sparserec_np import kernels
from sparserec_np.errors import ConfigError
from sparserec_np.federated.measuring import Measure
from sparserec_np.federated.server import Server, settings_for
from sparserec_np.federated.simulation import Conditions, Ledger, figures
from sparserec_np.federated.ways import WAYS
from sparserec_np.machine.memory import peak_bytes
from sparserec_np.machine.threads import set_kernel_threads
from sparserec_np.training.fitted import Fitted, Record
from sparserec_np.training.run_directory import RunDirectory
from sparserec_np.training.settings import Config

from .audience import Audience, Simulated
from .epochs import recorded
from .groups import CHOSEN, CLIENTS, STORED, GroupedCommand, GroupedOption
from .interrupts import held_interrupts
from .options import json_option, overwrite_option, reader_options
from .output import counted, emit_json, human_bytes, table
from .reading import read_log
from .resuming import NEVER, Keeping
from .serve_options import OF_SERVERS, OF_SIMULATIONS, devices, refuse_misplaced, serve_options
from .threads import threads_option
from .writing import Source, run_directory


@dataclass(frozen=True)
class Learned:
    """One training, by one protocol.

    Attributes:
        name: the protocol.
        measured: whether clients have kept items back, and measured their lists.
        server: that ran it.
        ledger: bytes of its passes.
        fitted: its model.
    """

    name: str
    measured: bool
    server: Server
    ledger: Ledger
    fitted: Fitted

    @property
    def title(self) -> str:
        """What it is called in print."""
        return f"{self.name}, measured" if self.measured else f"{self.name}, from all items"

    @property
    def short(self) -> list[str]:
        """The passes in which fewer have answered than were asked for."""
        return [record["pass"] for record in self.ledger.passes if not record["enough"]]

    def told(self) -> dict[str, Any]:
        """Reports what was sent, and what was reached."""
        return {
            "protocol": self.name,
            "measured": self.measured,
            **(_validation(self.fitted) if self.measured else {}),
            "bytes": self.ledger.totals(),
            "refused": dict(self.server.refused),
            "passes": self.ledger.passes,
        }


@dataclass(frozen=True)
class Asking:
    """How clients are asked.

    Attributes:
        config: what is stored, and the seed.
        audience: the clients.
        enough: part of them who are to answer.
        on_pass: is called with the record of each pass.
    """

    config: Config
    audience: Audience
    enough: float
    on_pass: Callable[[Record], None]

    def learned(self, name: str, measured: bool) -> Learned:
        """Learns by a protocol; where that is ``measured``, clients keep items back."""
        way = WAYS[name]
        own = settings_for(way, self.config)
        last = [Measure(own)] if measured else []
        server = Server(self.audience.item_ids, way, own, self.audience.clients, self.enough, last)
        started = {"phase": "federated", "protocol": name, "measured": measured, "epoch": 0}

        def told(record: Record) -> None:
            self.on_pass(started | record)

        ledger = self.audience.run(server, measured, told)
        return Learned(name, measured, server, ledger, server.finish())


def _option(group: str, *names: str, **rest: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=GroupedOption, group=group, **rest)


def _part(name: str, text: str) -> Callable[[Any], Any]:
    """Makes an option of how clients take part, 0 by default."""
    return _option(CLIENTS, name, type=click.FloatRange(0, 1), default=0.0, metavar="PART", help=text)


@click.command(cls=GroupedCommand)
@click.argument("train_file", metavar="TRAIN")
@click.option("-o", "--output", "run", metavar="RUN", required=True, help="Directory to write the run to.")
@click.option("--simulate", is_flag=True, help="Make every user of TRAIN a client in this process.")
@serve_options
@_option(
    STORED,
    "--protocol",
    type=click.Choice(tuple(WAYS)),
    help="What is summed up; by default both are tried, and clients' held-out items choose.",
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
@_option(
    CHOSEN, "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all that is drawn."
)
@overwrite_option
@threads_option
@reader_options
@json_option
def command(train_file: str, run: str, as_json: bool, **options: Any) -> None:
    """Learn items' rows from what clients answer, and write the model to the directory RUN.

    Every user of TRAIN is a client that keeps its items to itself, but for what it answers in a few
    passes: docs/federated.md says what that is. The server adds the answers up, as whole numbers,
    and makes an ordinary model of fism, whose users are made of what they touched. RUN holds no
    user: recommend makes lists for items that are named, and evaluate takes --known TRAIN.

    Clients keep a part of their items back, and measure by these which protocol makes the better
    lists; then all of their items are learned from. With --protocol and --validation 0 there is one
    training, and nothing is measured.

    What each client sent and was sent is in the report, and in RUN/metrics.jsonl.

    With --serve clients are devices that ask over HTTP, each with a token of its own, and TRAIN is
    a list of the items that there are. The server speaks plain HTTP: put a proxy with TLS before
    it. It ends when all passes are over, or at Ctrl-C, which keeps nothing of the training.
    """
    place, simulated = options.pop("place"), options.pop("simulate")
    if simulated == (place is not None):
        raise click.UsageError("Give --simulate, or --serve HOST:PORT for devices that ask over HTTP.")
    refuse_misplaced(click.get_current_context(), simulated)
    with run_directory(run, options.pop("overwrite"), Keeping("federate", every=NEVER)) as held:
        how = {name: options.pop(name) for name in (*OF_SIMULATIONS, *OF_SERVERS)}
        with _audience(train_file, place, how, options) as audience:
            report = _federate_into(held.directory, audience, options, quiet=as_json)
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
    conditions = Conditions(*(how[name] for name in OF_SIMULATIONS))
    log, source = read_log(file, options["reader"]), Source(file, None, options["reader"])
    yield Simulated.of(log, part, conditions, options["seed"], source)


def _federate_into(
    directory: RunDirectory, audience: Audience, options: dict[str, Any], quiet: bool
) -> dict[str, Any]:
    """Learns as the options say, writes the run, and returns the report."""
    config, names, part = _settings(options), _protocols(options), options["validation"]
    _ = kernels.compiled  # Numba, before the clock starts
    set_kernel_threads(options["threads"])
    if not quiet:
        click.echo(audience.title())
    clock = time.perf_counter()
    with recorded(directory, _pass_progress()) as on_pass:
        how = Asking(config, audience, options["enough"], on_pass)
        found = [how.learned(name, part > 0) for name in names]
        made = best = max(found, key=lambda one: one.fitted.reached)
        if part and options["refit"]:
            made = how.learned(best.name, False)
            made.fitted.history = best.fitted.history
            found.append(made)
    directory.add({"phase": "federated", "protocol": made.name, **made.fitted.history[0]})
    with held_interrupts():
        file_bytes = directory.finish(made.fitted, made.server.nobody, audience.source.to_dict())
    report = {
        "run": directory.path,
        "protocol": made.name,
        "dim": made.server.budget.dim,
        "budget": made.server.budget.nnz,
        "nnz": made.fitted.model.served().nnz,
        **_validation(made.fitted),
        "clients": audience.clients,
        "items": len(audience.item_ids),
        "trainings": [one.told() for one in found],
        "bytes": figures(
            *(np.sum([getattr(one.ledger, way) for one in found], axis=0) for way in ("up", "down"))
        ),
        **audience.told(),
        "seconds": time.perf_counter() - clock,
        "file_bytes": file_bytes,
        "memory": {"peak_resident": peak_bytes()},
    }
    if not quiet:
        _print(report, found)
    return report


def _settings(options: dict[str, Any]) -> Config:
    """Makes the settings of what is stored, of the options."""
    if options["density"] is not None and options["entries"] is not None:
        raise click.UsageError("Give --density or --entries, not both.")
    budget = {name: options[name] for name in ("density", "entries") if options[name] is not None}
    return Config(dim=options["dim"], seed=options["seed"], **budget)


def _protocols(options: dict[str, Any]) -> list[str]:
    """Names the protocols to try."""
    if options["protocol"]:
        return [options["protocol"]]
    if not options["validation"]:
        raise ConfigError("With --validation 0 nothing tells which protocol is better: give --protocol")
    return list(WAYS)


def _validation(fitted: Fitted) -> dict[str, float]:
    """Returns what lists reached, by the names of other commands; empty where none was measured."""
    return {f"validation_{name}": value for name, value in fitted.history[0].items() if "@" in name}


def _print(report: dict[str, Any], found: list[Learned]) -> None:
    """Prints the ledger of each training, and what was kept."""
    for one in found:
        rows = [
            [record["pass"], record["rounds"], record["answers"], *_sizes(record)]
            for record in one.ledger.passes
        ]
        rows.append(["in all", None, None, *_sizes(one.ledger.totals())])
        heads = ["pass", "rounds", "answers", "up, median", "largest", "down, median", "largest"]
        click.echo(f"\nBytes of a client, {one.title}:\n\n{table(rows, heads)}")
        if one.server.refused:
            said = ", ".join(f"{reason} {count:,}" for reason, count in sorted(one.server.refused.items()))
            click.echo(f"Refused: {said}.")
        if one.short:
            said = f"{one.title}: fewer than were asked for answered in {', '.join(one.short)}."
            click.echo(said, err=True)
    rows = [
        ["protocol", report["protocol"]],
        ["stored entries", report["nnz"]],
        ["sent by a client in all", human_bytes(report["bytes"]["up_median"])],
        ["at most", human_bytes(report["bytes"]["up_largest"])],
        *([name.replace("_", " "), value] for name, value in report.items() if "@" in name),
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
