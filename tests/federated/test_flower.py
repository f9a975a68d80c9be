"""Over Flower: the same model for any number of silos, in one process, in its simulation and over the loopback."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

pytest.importorskip("flwr", reason="flwr is not installed")

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from sparserec_np.errors import SparseRecError
from sparserec_np.federated.client import Client
from sparserec_np.federated.flower import (
    ANSWERS,
    RECORD,
    Asking,
    client_app,
    run_passes,
    server_app,
)
from sparserec_np.federated.rounds import Conditions
from sparserec_np.federated.simulation import simulate
from sparserec_np.federated.spectral import SpectralWay
from tests.makers.clients import server_for, world
from tests.makers.small import same_bits

PROJECT = Path(__file__).parents[2] / "docs" / "flower-project"
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@pytest.fixture(autouse=True)
def within_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are made by who has a number in a run, as Flower's processes have."""
    for name in ("task_id", "run_id", "node_id"):
        monkeypatch.setattr(TaskIdentity, f"_{name}", 1)


class Nodes:
    """A grid of nodes in this process; ``faults`` says what becomes of the n-th reply, if anything does."""

    def __init__(self, silos: Sequence[Sequence[Client]], faults: dict[int, str] | None = None) -> None:
        self.silos, self.faults, self.replied = silos, faults or {}, 0
        self.app = client_app(lambda context: self.silos[context.node_id])

    def get_node_ids(self) -> list[int]:
        return list(range(len(self.silos)))

    def send_and_receive(self, messages: Sequence[Message], *, timeout: float | None = None) -> list[Message]:
        assert timeout == 600
        replies = []
        for message in messages:
            node = message.metadata.dst_node_id
            context = Context(1, node, {}, RecordDict(), {})
            replies += self._after_a_fault(message, self.app(message, context))
        return replies[::-1]

    def _after_a_fault(self, message: Message, reply: Message) -> list[Message]:
        self.replied += 1
        fault = self.faults.get(self.replied)
        if fault == "lost":
            return []
        if fault == "error":
            return [Message(Error(0, "it broke"), reply_to=message)]
        if fault == "other":
            return [Message(RecordDict({"else": ConfigRecord({"x": 1})}), reply_to=message)]
        if fault == "twice":
            return [reply, reply]
        if fault == "garbage":
            reply.content[RECORD][ANSWERS] = [*reply.content[RECORD][ANSWERS], b"garbage" * 5]
        return [reply]


def silos_of(clients: list[Client], count: int) -> list[list[Client]]:
    return [clients[k::count] for k in range(count)]


def test_the_table_is_the_same_for_any_number_of_silos() -> None:
    log, clients = world(50, 60)
    server = server_for(log, SpectralWay())
    simulate(server, clients, Conditions(), 0)
    expected = server.finish().model.served()
    for count in (1, 2, 50):
        server, told = server_for(log, SpectralWay()), []
        run_passes(server, Nodes(silos_of(clients, count)), Asking(nodes=count), told.append)  # type: ignore[arg-type]
        assert same_bits(server.finish().model.served(), expected)
        assert [(one["nodes"], one["answers"], one["rounds"]) for one in told] == [(count, 50, 1)] * 3
        assert told[0]["down"] == 48 and told[0]["up_largest"] > told[0]["up_median"] > 18


def test_nodes_that_fail_are_asked_again_and_nobody_counts_twice() -> None:
    log, clients = world(50, 60)
    server = server_for(log, SpectralWay())
    simulate(server, clients, Conditions(), 0)
    expected = server.finish().model.served()
    faults = {1: "lost", 2: "error", 3: "twice", 4: "garbage", 6: "other", 13: "lost"}
    server, told = server_for(log, SpectralWay()), []
    run_passes(server, Nodes(silos_of(clients, 5), faults), Asking(nodes=5), told.append)  # type: ignore[arg-type]
    assert same_bits(server.finish().model.served(), expected)
    assert [(one["rounds"], one["failed"]) for one in told] == [(3, 2), (2, 0), (1, 0)]
    assert told[0]["refused"] == {"repeated": 10, "garbage": 1}
    assert all(one["enough"] for one in told)


def test_a_pass_makes_do_with_who_is_there() -> None:
    log, clients = world(50, 60)
    server, told = server_for(log, SpectralWay()), []
    run_passes(server, Nodes(silos_of(clients[:30], 3)), Asking(), told.append)  # type: ignore[arg-type]
    assert [(one["answers"], one["rounds"], one["enough"]) for one in told] == [(30, 1, False)] * 3


def test_too_few_nodes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparserec_np.federated.flower.LOOK", 0.01)
    log, clients = world(50, 60)
    with pytest.raises(SparseRecError, match=r"2 nodes are there after 0.05 s, expected 3"):
        run_passes(server_for(log, SpectralWay()), Nodes(silos_of(clients, 2)), Asking(3, 0.05))  # type: ignore[arg-type]


def test_the_app_of_a_server_runs_what_it_is_given() -> None:
    seen = []
    app = server_app(lambda grid, context: seen.append((grid, context)))
    context = Context(1, 0, {}, RecordDict(), {})
    app("the grid", context)  # type: ignore[arg-type]
    assert seen == [("the grid", context)]


# From here on it is what docs/flower.md says to type.


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy of the project beside data of 50 users, and the model of the library's own simulation."""
    shutil.copytree(PROJECT, tmp_path / "project")
    made = ["data", "generate", "log.csv", "--users", "50", "--items", "60", "--interactions", "900"]
    learned = ["federate", "log.csv", "-o", "simulated", "--simulate", "--protocol", "spectral"]
    for words in (made, [*learned, "--validation", "0", "--dim", "8", "--entries", "150"]):
        program = [sys.executable, "-m", "cli"]
        subprocess.run(
            [*program, *words], cwd=tmp_path, env=environment(tmp_path), check=True, capture_output=True
        )
    rows = (tmp_path / "log.csv").read_text().splitlines()[1:]
    (tmp_path / "items.txt").write_text("\n".join(sorted({row.split(",")[1] for row in rows})))
    return tmp_path


def environment(place: Path, home: str = "home") -> dict[str, str]:
    """The switches that docs/flower.md names; the programs of Flower lie beside this Python."""
    paths = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    checkout = {"PYTHONPATH": str(PROJECT.parents[1]), "FLWR_HOME": str(place / home)}
    return {**os.environ, **QUIET, **paths, **checkout}


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return str(found.getsockname()[1])


def flwr_run(place: Path, nodes: int, *more: str, **variables: str) -> None:
    """Runs the project, and compares the model with the library's own."""
    given = f"items='{place}/items.txt' interactions='{place}/log.csv' run='{place}/run' nodes={nodes}"
    done = subprocess.run(
        ["flwr", "run", "project", "--stream", *more, "-c", f"{given} dim=8 entries=150"],
        cwd=place,
        env=environment(place) | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0 and f"Written to {place}/run" in done.stdout, done.stdout + done.stderr
    digests = [
        hashlib.sha256((place / name / "model.safetensors").read_bytes()) for name in ("run", "simulated")
    ]
    assert digests[0].hexdigest() == digests[1].hexdigest()


@contextlib.contextmanager
def started(place: Path, home: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that goes on in a session of its own, which is ended with it."""
    with open(place / f"{home}.log", "wb") as stream:
        process = subprocess.Popen(
            words,
            cwd=place,
            env=environment(place, home),
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


def wait_for_port(port: str) -> None:
    until = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), timeout=1):
            return
        assert time.monotonic() < until
        time.sleep(0.2)


def write_connection(place: Path, port: str) -> None:
    """Tells ``flwr run`` where the SuperLink is."""
    (place / "home").mkdir(exist_ok=True)
    text = (
        f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    )
    (place / "home" / "config.toml").write_text(text)


@pytest.mark.slow
def test_fifty_nodes_of_the_simulation_make_the_same_model(place: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    port = free_port()
    write_connection(place, port)
    link = ("flower-superlink", "--insecure", "--simulation", "--host", "127.0.0.1", "--port", port)
    with started(place, "link", *link):
        wait_for_port(port)
        flwr_run(place, 50, "--federation-config", "num-supernodes=50")


@pytest.mark.slow
def test_four_supernodes_make_the_same_model(place: Path) -> None:
    port = free_port()
    write_connection(place, port)
    disabled = "--disable-runtime-dependency-installation"
    with contextlib.ExitStack() as stack:
        link = ("flower-superlink", "--insecure", disabled, "--host", "127.0.0.1", "--port", port)
        stack.enter_context(started(place, "link", *link))
        wait_for_port(port)
        for k in range(4):
            node = (
                "flower-supernode",
                "--insecure",
                "--superlink",
                f"127.0.0.1:{port}",
                "--port",
                free_port(),
            )
            own = f"partition-id={k} num-partitions=4 secret='silo-{k}'"
            stack.enter_context(started(place, f"node{k}", *node, "--node-config", own))
        flwr_run(place, 4)
