"""The server of federated learning: asks pass by pass, sums up what clients answer, and makes the model."""

from __future__ import annotations

import hashlib
import os
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.errors import ConfigError, PacketError
from sparserec_np.federated.gradient_sums import GradientSums
from sparserec_np.federated.packets import LARGEST, Answer, Kind, Question
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.training.fitted import Fitted, Record
from sparserec_np.training.plan import budget_of, model_over
from sparserec_np.training.settings import Config
from sparserec_np.training.snapshot import Snapshot, table_in, under, within

MOST_SHIFT = 10  # bits that answers may be shifted by; our choice
EXACT = 1 << 53  # whole numbers up to this are exact in float64
TOGETHER = 256  # rows whose products are added at a time
HIGHEST = {np.dtype(kind): int(np.iinfo(kind).max) for kind in (np.int32, np.int64)}


class Sums:
    """The sums of a pass: whole numbers, in which no client's answer is left.

    Args:
        question: what was asked.
        expected: most clients that are expected to list one item.

    Attributes:
        question: what was asked.
        answers: how many clients have answered.
        counts: (n_items,) int64 how many of them listed each item.
        rows: (n_items, width) int32 or int64 sums of the values of those who listed an item; empty
            where no items are listed.
        measured: (3,) int64 sums of ``MEASURED``.
    """

    def __init__(self, question: Question, expected: int) -> None:
        self.question = question
        self.answers = 0
        self.counts = np.zeros(question.n_items, np.int64)
        reach = LARGEST << question.most
        narrow = 2 * expected * reach <= HIGHEST[np.dtype(np.int32)]
        shape = (question.n_items, question.width) if question.lands else (0, question.width)
        self.rows = np.zeros(shape, np.int32 if narrow else np.int64)
        self.measured = np.zeros(3, np.int64)
        solved = question.kind == Kind.SOLVE
        self._gram = np.zeros((question.width,) * 2 if solved else (0, 0), np.int64)
        self._waiting: list[Array] = []  # rows whose products are not in it yet
        # So many answers cannot run over, whatever they say.
        self._most_rows = HIGHEST[self.rows.dtype] // reach
        self._most_answers = HIGHEST[self._gram.dtype] // reach**2
        self._together = min(TOGETHER, max(EXACT // reach**2, 1))

    def add(self, answer: Answer) -> None:
        """Adds an answer to the question.

        Raises:
            PacketError: a sum could run over; none has changed.
        """
        items = answer.items
        full = self.answers >= self._most_answers
        if full or (len(items) and self.rows.size and int(self.counts[items].max()) >= self._most_rows):
            raise PacketError("overflow", "An answer is one more than the sums of this pass can hold")
        self.answers += 1
        self.counts[items] += 1
        if self.question.kind == Kind.RANK:
            self.measured += answer.values
            return
        values = answer.values.astype(np.int64) << answer.shift
        if self.rows.size:
            self.rows[items] += values.astype(self.rows.dtype)
        if self._gram.size:
            self._waiting.append(values)
            if len(self._waiting) == self._together:
                self._add_products()

    @property
    def gram(self) -> Array:
        """(width, width) int64 sums of products of values, where rows were solved for."""
        self._add_products()
        return self._gram

    def _add_products(self) -> None:
        """Adds the products of the rows that wait; as floats, in which so few of them are exact."""
        if self._waiting:
            rows = np.array(self._waiting, np.float64)
            self._gram += (rows.T @ rows).astype(np.int64)
            self._waiting.clear()

    def add_vector(self, numbers: Array) -> None:
        """Adds a sum of vectors that :func:`~sparserec_np.federated.secure.vector_of` made, (n,) int64.

        Raises:
            PacketError: it is of another length, or no sum over clients.
        """
        question = self.question
        width, items = question.width, question.n_items if question.lands else 0
        upper = np.triu_indices(len(self._gram))
        ranked = 3 if question.kind == Kind.RANK else 0
        ends = np.cumsum([1, items, items * width, len(upper[0]), ranked]).tolist()
        if len(numbers) != ends[-1]:
            raise PacketError("length", f"A sum has {len(numbers):,} numbers, expected {ends[-1]:,}")
        answers, counts, rows, products, measured = np.split(numbers, ends[:-1])
        if not 0 < answers[0] <= self._most_answers or (
            items and not 0 <= counts.min() <= counts.max() <= answers[0]
        ):
            raise PacketError("overflow", "A sum counts what no number of clients can have said")
        self.answers += int(answers[0])
        self.measured += measured if ranked else 0
        if items:
            self.counts += counts
            self.rows = (self.rows + rows.reshape(items, width)).astype(np.int64)
        gram = self.gram
        gram[upper] += products
        gram.T[upper] = gram[upper]

    @property
    def step(self) -> float:
        """What 1 stands for in ``rows``; in ``gram`` it stands for the square."""
        return float(2.0**self.question.grid)


@dataclass
class Learned:
    """What a server knows so far: sums, and what it has made of them.

    Attributes:
        n_items: items of the catalogue.
        dim: columns of the table to make.
        nnz: entries of the table to make.
        seed: of all that is drawn.
        clients: how many there are.
        counts: (n_items,) int64 how many clients listed each item when they were counted.
        table: (n_items, dim) what was made.
        measured: figures of lists of the table, which clients have measured themselves.
        kept: arrays by name that a pass leaves for the next. There is nothing else between passes:
            who holds all of this can go on.
    """

    n_items: int
    dim: int
    nnz: int
    seed: int
    clients: int = 0
    counts: Array = field(default_factory=lambda: np.empty(0, np.int64))
    table: SparseTable | None = None
    measured: dict[str, float] = field(default_factory=dict)
    kept: dict[str, Array] = field(default_factory=dict)

    @property
    def degrees(self) -> Array:
        """(n_items,) float32 counts, 1 where they are 0."""
        return np.maximum(self.counts, 1).astype(np.float32)


class Step(Protocol):
    """One pass over the clients. Whatever it leaves for the next is in what the server has learned."""

    @property
    def name(self) -> str:
        """A word for the pass."""
        ...

    @property
    def part(self) -> float:
        """The part of the clients that is enough for it, where all are asked for; 1 but for gradients."""
        ...

    def ask(self, learned: Learned) -> Question:
        """Makes the question; its tag is the server's."""
        ...

    def take(self, learned: Learned, sums: Any) -> None:
        """Takes the sums of the answers, :class:`Sums` or those of gradients."""
        ...


class Way(Protocol):
    """A protocol by which a table is learned."""

    @property
    def start(self) -> str:
        """The start that makes the like on one machine, as a setting names it."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the model, by name: how users' rows are made of the table, above all."""
        ...

    def steps(self, learned: Learned) -> Sequence[Step]:
        """Plans the passes."""
        ...


@dataclass(frozen=True)
class Count:
    """The pass that counts who touched what."""

    name: str = "count"
    part: float = 1.0

    def ask(self, learned: Learned) -> Question:
        """Asks for lists of items alone."""
        return Question(Kind.COUNT, 0, learned.n_items)

    def take(self, learned: Learned, sums: Sums) -> None:
        """Keeps the counts."""
        learned.counts = sums.counts


class Server:
    """A training over clients that keep their items to themselves, but for what they answer.

    Ask :meth:`next_pass` for a packet, give it to clients, :meth:`take` what they answer until
    :attr:`enough` have, and so on until ``next_pass`` has no more; :meth:`finish` makes the model.

    Args:
        item_ids: (n_items,) the catalogue, sorted; clients number items by their places in it.
        way: the protocol.
        config: dim, budget and seed; the model, its start and its users' rows are the protocol's.
        clients: how many there are.
        part: of the clients, who are to answer before a pass is done, above 0 and at most 1; kept
            as an attribute.
        last: passes after the protocol's, as one that measures.

    Raises:
        ConfigError: settings that make no sense.
    """

    def __init__(
        self,
        item_ids: Array,
        way: Way,
        config: Config,
        clients: int,
        part: float = 1.0,
        last: Sequence[Step] = (),
    ) -> None:
        if clients < 1 or not 0 < part <= 1:
            raise ConfigError(
                "Federated learning needs clients, and a part of them above 0 and at most 1; found"
                f" {clients:,} and {part:g}"
            )
        self.nobody = Interactions.from_codes([], [], np.empty(0, np.int64), item_ids)
        self.config = settings_for(way, config)
        self.budget = budget_of(self.nobody, self.config.resolved())
        self.learned = Learned(len(item_ids), self.budget.dim, self.budget.nnz, self.config.seed, clients)
        self.refused: Counter[str] = Counter()
        self.part, self._clients = part, clients
        self._steps = [*way.steps(self.learned), *last]
        self._session = os.urandom(16)  # so that no answer to another training is taken for one to this
        self._number = 0  # passes that have begun
        self._tokens: set[int] = set()
        self._sums: Sums | GradientSums | None = None

    @property
    def pass_name(self) -> str:
        """A word for the pass that goes on."""
        return self._steps[self._number - 1].name

    @property
    def done(self) -> float:
        """The part of the passes that are over."""
        return max(self._number - 1, 0) / len(self._steps)

    @property
    def answers(self) -> int:
        """How many clients have answered in this pass."""
        return self._sums.answers if self._sums is not None else 0

    @property
    def enough(self) -> bool:
        """Whether as many clients have answered in this pass as were asked for."""
        return self._sums is not None and self.answers >= self._wanted

    @property
    def _wanted(self) -> int:
        """How many clients are to answer in this pass."""
        return int(np.ceil(self.part * self._steps[self._number - 1].part * self._clients))

    def next_pass(self) -> bytes:
        """Ends a pass, and begins the next: returns its question, or nothing after the last.

        Raises:
            ConfigError: nobody has answered in the pass that went on.
        """
        self.end_pass()
        if self._number == len(self._steps):
            return b""
        question = self._steps[self._number].ask(self.learned)
        tagged = hashlib.blake2b(self._session + struct.pack("<I", self._number), digest_size=4).digest()
        question = replace(question, tag=int.from_bytes(tagged, "little"))
        self._number += 1
        if question.kind == Kind.GRADIENT:
            self._sums = GradientSums(question)
        else:
            most = int(self.learned.counts.max(initial=self._clients * (self._number == 1)))
            self._sums = Sums(question, most)
        return question.encode()

    def take(self, packet: bytes) -> None:
        """Adds a client's answer to the sums of the pass.

        Raises:
            PacketError: it is refused, and counted in ``refused`` by its reason; no sum has
                changed.
        """
        try:
            if self._sums is None:
                raise PacketError("pass", "An answer has come while no pass goes on")
            answer = Answer.decode(packet, self._sums.question)
            if answer.token in self._tokens:
                raise PacketError("repeated", "An answer is of a client that has answered in this pass")
            self._sums.add(answer)
        except PacketError as error:
            self.refused[error.reason] += 1
            raise
        self._tokens.add(answer.token)

    def take_sum(self, vector: Array) -> None:
        """Adds a sum over clients, made of vectors that hide their parts.

        Args:
            vector: (n,) uint64, or uint32 where that has room for sums; see
                :func:`~sparserec_np.federated.secure.vector_of`.

        Raises:
            PacketError: it is refused, and no sum has changed.
        """
        if self._sums is None:
            raise PacketError("pass", "A sum has come while no pass goes on")
        self._sums.add_vector(vector.view(f"i{vector.itemsize}").astype(np.int64))

    def end_pass(self) -> None:
        """Ends the pass that goes on, if one does: what it was for is made of its sums.

        Raises:
            ConfigError: nobody has answered in it.
        """
        if self._sums is None:
            return
        if not self._sums.answers:
            raise ConfigError(
                f"Nobody has answered in the pass {self.pass_name}: ask clients before the next"
            )
        sums, self._sums = self._sums, None
        self._tokens = set()
        self._steps[self._number - 1].take(self.learned, sums)

    def snapshot(self) -> Snapshot:
        """Names all that the next pass goes on from; to be asked when :meth:`end_pass` has ended one."""
        learned = self.learned
        arrays = {"counts": learned.counts} | under("kept", learned.kept)
        if learned.table is not None:
            arrays |= under("table", learned.table._asdict())
        facts = {
            "number": self._number,
            "session": self._session.hex(),
            "refused": dict(self.refused),
            "measured": learned.measured,
        }
        return Snapshot(arrays, facts)

    def load(self, kept: Snapshot) -> None:
        """Goes on from what :meth:`snapshot` named."""
        learned, facts = self.learned, kept.facts
        learned.counts, learned.measured = kept.arrays["counts"].copy(), dict(facts["measured"])
        learned.kept = {name: array.copy() for name, array in within("kept", kept.arrays).items()}
        table = within("table", kept.arrays)
        learned.table = table_in(table) if table else None
        self._number, self._session = facts["number"], bytes.fromhex(facts["session"])
        self.refused = Counter(facts["refused"])
        self._sums, self._tokens = None, set()

    def finish(self) -> Fitted:
        """Makes the model: an ordinary one, of no users.

        Raises:
            ConfigError: the passes are not over.
        """
        self.end_pass()
        if self._number < len(self._steps):
            left = len(self._steps) - self._number
            raise ConfigError(f"There are {left} passes left: ask clients until next_pass returns nothing")
        return fitted_of(self.learned, with_recency(self.config, self.learned.measured), self.nobody)

    def fitted(self, table: SparseTable, weights: Array, history: list[Record]) -> Fitted:
        """Makes once more a model that this training gave: of its table, weights and records."""
        learned = replace(self.learned, table=table, counts=np.zeros(self.learned.n_items, np.int64))
        made = fitted_of(learned, with_recency(self.config, history[-1]), self.nobody)
        if len(weights):
            made.model.load_weights(weights)
        made.history = history
        return made


def settings_for(way: Way, config: Config) -> Config:
    """Fills in the settings that are the protocol's: the model, its start, its users' rows, no training.

    Raises:
        ConfigError: settings that make no sense together.
    """
    own = {"model": "fism", "start": way.start, "epochs": 0, "validation": 0.0, **way.settings}
    return replace(config, **own)


def with_recency(config: Config, found: Mapping[str, Any]) -> Config:
    """Fills in the recency that measured lists have chosen, if they have chosen one."""
    return replace(config, recency=found["recency"]) if "recency" in found else config


def fitted_of(learned: Learned, config: Config, nobody: Interactions) -> Fitted:
    """Makes the model of what was learned."""
    assert learned.table is not None
    settings = config.resolved()
    model = model_over(settings, learned.table, learned.dim, nobody)
    if BASE_MODELS[settings.model].weight_bytes(nobody, settings.user_rows):
        model.load_weights(1 / learned.degrees)
    record = {"epoch": 0, **learned.measured}
    return Fitted(model, nobody, budget_of(nobody, settings), config, [record], 0, False, {})
