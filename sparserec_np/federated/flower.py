"""Federated learning over Flower, between silos: a ServerApp that asks, and a ClientApp that answers.

Flower carries messages between a SuperLink and SuperNodes, each of which may stand for many
clients, as those of a shop or a hospital. A question goes to every node as bytes in a
``ConfigRecord``; back come the answers of its clients, each a packet of its own. This module needs
the package ``flwr`` (``pip install "sparserec_np[flower]"``, Python 3.11 and later), and on the
side of clients nothing else but NumPy.
"""

from __future__ import annotations

import importlib.util
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparserec_np.errors import PacketError, SparseRecError
from sparserec_np.federated.client import Client

if TYPE_CHECKING:
    from sparserec_np.federated.server import Server

with suppress(ImportError):  # where it is missing, whoever begins is told
    from flwr.app import ConfigRecord, Context, Message, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp

RECORD, QUESTION, ANSWERS = "sparserec", "question", "answers"
TYPE = "train"  # of messages
LOOK = 1.0  # seconds after which nodes are counted anew

OnPass = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Asking:
    """How nodes are asked.

    Attributes:
        nodes: so many have to be there before a pass begins.
        timeout: seconds to wait for them, and then for what they answer.
        tries: in which those who have not answered are asked again, until enough clients have.
    """

    nodes: int = 2
    timeout: float = 600.0
    tries: int = 5


def client_app(clients_of: Callable[[Context], Sequence[Client]]) -> ClientApp:
    """Makes the app of a node, which answers for its clients.

    Args:
        clients_of: finds the clients of a node; it is called for each question, so that it may
            well keep what it finds.

    Raises:
        SparseRecError: ``flwr`` is missing.
    """
    _expect_flower()
    app = ClientApp()

    @app.train()
    def answer(message: Message, context: Context) -> Message:
        question = message.content[RECORD][QUESTION]
        answers = [client.answer(question) for client in clients_of(context)]
        return Message(RecordDict({RECORD: ConfigRecord({ANSWERS: answers})}), reply_to=message)

    return app


def server_app(run: Callable[[Grid, Context], None]) -> ServerApp:
    """Makes the app of a server.

    Args:
        run: makes a :class:`~sparserec_np.federated.server.Server`, takes it through
            :func:`run_passes`, and keeps the model.

    Raises:
        SparseRecError: ``flwr`` is missing.
    """
    _expect_flower()
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        run(grid, context)

    return app


def run_passes(server: Server, grid: Grid, asking: Asking, on_pass: OnPass = lambda record: None) -> None:
    """Takes a server through all its passes.

    Args:
        server: before its first pass.
        grid: the way to the nodes.
        asking: how they are asked.
        on_pass: is called with a record of each pass when it is over: ``pass``, ``nodes``,
            ``answers``, ``rounds``, ``enough``, ``refused`` by reason, ``failed`` replies, and
            bytes, ``up_median`` and ``up_largest`` of an answer and ``down`` of the question.

    Raises:
        SparseRecError: too few nodes are there.
        ConfigError: nobody has answered in a pass.
    """
    while question := server.next_pass():
        on_pass(_Pass(server, grid, asking, question).run())


class _Pass:
    """A pass over nodes."""

    def __init__(self, server: Server, grid: Grid, asking: Asking, question: bytes) -> None:
        self._server, self._grid, self._asking, self._question = server, grid, asking, question
        self._heard: set[int] = set()  # nodes that have answered
        self._sizes: list[int] = []
        self._failed = 0

    def run(self) -> dict[str, Any]:
        """Asks until enough have answered, or nobody is left, and tells of it."""
        before, rounds = Counter(self._server.refused), 0
        while rounds < self._asking.tries and not self._server.enough:
            waiting = sorted(_nodes(self._grid, self._asking) - self._heard)
            if not waiting:
                break
            rounds += 1
            self._ask(waiting, rounds)
        sizes = sorted(self._sizes)
        return {
            "pass": self._server.pass_name,
            "nodes": len(self._heard),
            "answers": self._server.answers,
            "rounds": rounds,
            "enough": self._server.enough,
            "refused": dict(self._server.refused - before),
            "failed": self._failed,
            "up_median": sizes[len(sizes) // 2] if sizes else 0,
            "up_largest": sizes[-1] if sizes else 0,
            "down": len(self._question),
        }

    def _ask(self, nodes: Sequence[int], round_number: int) -> None:
        """Asks nodes, and takes what they answer, in the order of their numbers."""
        group = f"{self._server.pass_name}, {round_number}"
        messages = [
            Message(
                RecordDict({RECORD: ConfigRecord({QUESTION: self._question})}),
                message_type=TYPE,
                dst_node_id=node,
                group_id=group,
            )
            for node in nodes
        ]
        replies = list(self._grid.send_and_receive(messages, timeout=self._asking.timeout))
        for reply in sorted(replies, key=lambda one: one.metadata.src_node_id):
            if reply.has_error() or RECORD not in reply.content:
                self._failed += 1
                continue
            self._heard.add(reply.metadata.src_node_id)
            self._take(reply.content[RECORD].get(ANSWERS, []))

    def _take(self, answers: Any) -> None:
        """Gives packets to the server, which may refuse them."""
        for packet in answers if isinstance(answers, list) else []:
            if isinstance(packet, bytes):
                self._sizes.append(len(packet))
                with suppress(PacketError):  # which the server has counted
                    self._server.take(packet)


def _nodes(grid: Grid, asking: Asking) -> set[int]:
    """Waits until so many nodes are there as have to be, and returns all that are."""
    until = time.monotonic() + asking.timeout
    while len(nodes := set(grid.get_node_ids())) < asking.nodes:
        if time.monotonic() > until:
            raise SparseRecError(
                f"{len(nodes)} nodes are there after {asking.timeout:g} s, expected {asking.nodes}: start more, or ask"
                " for fewer"
            )
        time.sleep(LOOK)
    return nodes


def _expect_flower() -> None:
    if importlib.util.find_spec("flwr") is None:
        raise SparseRecError(
            "Apps of Flower need the package flwr, and Python 3.11: pip install 'sparserec_np[flower]'"
        )
