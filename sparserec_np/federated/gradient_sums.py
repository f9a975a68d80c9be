"""The sums of gradients over clients, of the stored entries and of every entry of explored rows."""

from __future__ import annotations

import numpy as np

from sparserec_np.errors import PacketError
from sparserec_np.federated.gradient import MOST, Gradient, announced, gradient_of
from sparserec_np.federated.packets import Answer, Array, Question

LONGEST = 1 << 63  # beyond int64


class GradientSums:
    """The sums of a round: whole numbers, in which no client's answer is left.

    Args:
        question: what was asked.

    Attributes:
        question: what was asked.
        answers: how many clients have answered.
        entries: (nnz,) int64 sums over the stored entries.
        explored: (e, width) int64 sums over every entry of the explored rows.
        pairs: int64 of one number each, how many items clients have, and the sum of their scores.
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self.answers = 0
        self._table = announced(question.model, question.n_items, question.width)
        self.entries = np.zeros(len(self._table.values), np.int64)
        self.explored = np.zeros((len(self._table.explored), question.width), np.int64)
        self.pairs = np.zeros(2, np.int64)
        self._slots = np.full(question.n_items, -1)
        self._slots[self._table.explored] = np.arange(len(self._table.explored))

    def add(self, answer: Answer) -> None:
        """Adds an answer to the question.

        Raises:
            PacketError: it is of another length than one to this question, or the sums could run
                over; none has changed.
        """
        gradient = gradient_of(self.question, answer)
        self._expect_room(1)
        self.answers += 1
        self._add(gradient, self.entries, self.explored)
        self.pairs += (len(answer.items), gradient.score)

    def vector_of(self, answer: Answer) -> Array:
        """Writes an answer as the whole vector that is added: (1 + nnz + e width + 2,) int64."""
        gradient = gradient_of(self.question, answer)
        entries, explored = np.zeros_like(self.entries), np.zeros_like(self.explored)
        self._add(gradient, entries, explored)
        ends = np.array([len(answer.items), gradient.score])
        return np.concatenate([np.ones(1, np.int64), entries, explored.ravel(), ends])

    def add_vector(self, numbers: Array) -> None:
        """Adds a sum of vectors that :meth:`vector_of` made, int64.

        Raises:
            PacketError: it is of another length, or no sum over clients.
        """
        expected = 3 + len(self.entries) + self.explored.size
        if len(numbers) != expected:
            raise PacketError("length", f"A sum has {len(numbers):,} numbers, expected {expected:,}")
        answers = int(numbers[0])
        self._expect_room(max(answers, 0))
        if answers <= 0:
            raise PacketError("overflow", "A sum counts what no number of clients can have said")
        self.answers += answers
        self.entries += numbers[1 : 1 + len(self.entries)]
        self.explored += numbers[1 + len(self.entries) : -2].reshape(self.explored.shape)
        self.pairs += numbers[-2:]

    def _expect_room(self, answers: int) -> None:
        """Refuses more clients than the sums can hold, whatever they say."""
        if (self.answers + answers) * MOST >= LONGEST:
            raise PacketError("overflow", "An answer is one more than the sums of this pass can hold")

    def _add(self, gradient: Gradient, entries: Array, explored: Array) -> None:
        places, owners = self._table.places(gradient.rows)
        entries[places] += gradient.numbers[owners, self._table.columns[places]]
        slots = self._slots[gradient.rows]
        explored[slots[slots >= 0]] += gradient.numbers[slots >= 0]

    @property
    def step(self) -> float:
        """What 1 stands for in all sums."""
        return float(2.0**self.question.grid)
