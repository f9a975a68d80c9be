"""Clipping and noise: one client can move a sum by so much at most, and noise of that size hides it.

A client answers from at most :attr:`Privacy.items` of its items, drawn once, and cuts its values to
a length that the server announces. So its whole vector has a bounded length in each part that is
released. To each number it adds its share of a Gaussian, so that the sum over as many clients as
have to answer holds a Gaussian of :attr:`Privacy.noise` times that length (Dwork et al. 2006; as
McMahan et al. 2018 have it for users). Vectors hold whole numbers: counts are said in parts of
``FINE``, so that no share of noise is lost in rounding.

The guarantee is for what is released: the sums, and all that is made of them, the table and its
lists among it. That a client has taken part is not hidden, but whatever it has touched is. Noise is
added by clients, and a single vector has a small share of it: who sees vectors, and not their sum
alone, is promised nothing. So the server is kept out by masks, or trusted.

:func:`spent` needs the package ``dp-accounting`` (``pip install "sparserec_np[privacy]"``).
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from dataclasses import dataclass, replace

import numpy as np

from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.federated.packets import WHOLE, Answer, Kind, Question

FINE = 1 << 10  # parts in which a count is said; our choice
NOISED = (Kind.COUNT, Kind.SIGNS, Kind.ROWS, Kind.RANK)


@dataclass(frozen=True)
class Privacy:
    """What one client can say, and what hides it.

    Attributes:
        items: most items that it answers from.
        noise: deviation of the noise in a sum, in parts of the length of what one client can add.
        delta: for which is said what the noise has cost.

    Raises:
        ConfigError: a number is out of range.
    """

    items: int
    noise: float
    delta: float = 1e-5

    def __post_init__(self) -> None:
        if self.items < 1 or not 0 < self.noise < np.inf:
            raise ConfigError(
                f"Clients answer from 1 item or more, with noise above 0; found {self.items:,} and {self.noise:g}"
            )

    def expect(self, question: Question) -> None:
        """Refuses questions whose answers have no bounded length here.

        Raises:
            ConfigError: it asks for such answers.
        """
        if question.kind not in NOISED:
            raise ConfigError(
                "Noise is made for the protocol spectral: name it, and leave out what asks for rows that are"
                " solved for, or for gradients"
            )

    def clipped(self, question: Question, answer: Answer) -> Answer:
        """Cuts the values of an answer to the length that the question announces."""
        if question.kind not in (Kind.SIGNS, Kind.ROWS):
            return answer
        values = answer.values.astype(np.int64) << answer.shift
        length = float(np.sqrt(np.square(values.astype(np.float64)).sum()))
        reach = question.ridge * 2.0**-question.grid
        if length > reach:
            values = np.trunc(values * (reach / length)).astype(np.int64)
        return replace(answer, shift=0, values=values)

    def noised(self, question: Question, vector: Array, fewest: int, rng: np.random.Generator) -> Array:
        """Adds a client's share of noise to its whole vector.

        Args:
            question: what was asked.
            vector: (n,) uint64 of its clipped answer.
            fewest: clients whose shares together are the whole noise.
            rng: of this client, which nobody else can know where it matters.

        Returns:
            (n,) uint64.
        """
        made = vector.view(np.int64).copy()
        for part, length, fine in self._parts(question):
            share = self.noise * length * fine / np.sqrt(fewest)
            drawn = rng.standard_normal(part.stop - part.start, dtype=np.float32)
            made[part] = made[part] * fine + np.rint(drawn * np.float32(share)).astype(np.int64)
        if question.kind != Kind.COUNT and question.lands:
            made[1 : 1 + question.n_items] = 0  # counts were released before
        return made.view(np.uint64)

    def summed(self, question: Question, vector: Array) -> Array:
        """Makes of a sum of noised vectors, (n,) uint64, one of such as have no noise.

        A count is said to be at least the deviation of its noise: below it nothing can be told.
        """
        made = vector.view(np.int64).copy()
        if question.kind == Kind.COUNT:
            counts = np.rint(made[1:] / FINE)
            least = np.ceil(self.noise * np.sqrt(self.items))
            made[1:] = np.clip(np.maximum(counts, least), 0, made[0])
        if question.kind == Kind.RANK:
            users = np.clip(np.rint(made[1] / FINE), 1, made[0])
            made[1:] = users, *np.clip(made[2:], 0, users * WHOLE)
        return made.view(np.uint64)

    def _parts(self, question: Question) -> list[tuple[slice, float, int]]:
        """Lists what is released: where it lies in a vector, the length of one client's part, and its parts."""
        reach = question.ridge * 2.0**-question.grid
        counts = slice(1, 1 + question.n_items)
        rows = slice(counts.stop, counts.stop + question.n_items * question.width)
        listed = float(np.sqrt(self.items))
        if question.kind == Kind.COUNT:
            return [(counts, listed, FINE)]
        if question.kind == Kind.RANK:
            return [(slice(1, 2), 1.0, FINE), (slice(2, 4), WHOLE * 2.0**0.5, 1)]
        return [(rows, listed * reach, 1)]


def releases(question: Question) -> int:
    """Counts the parts of a sum that are released, each with a noise of its own."""
    return 2 if question.kind == Kind.RANK else 1


def spent(noise: float, count: int, delta: float) -> float:
    """Finds the epsilon of ``count`` releases with Gaussian noise, for a delta.

    Together they are one release with the noise divided by the root of ``count``, of which the
    epsilon is exact (Balle and Wang 2018).

    Raises:
        SparseRecError: the package ``dp-accounting`` is missing.
    """
    expect_accountant()
    # It loads SciPy and more, which nobody waits for who asks for no noise.
    accounting = importlib.import_module("dp_accounting")
    return float(accounting.get_epsilon_gaussian(noise / math.sqrt(count), delta))


def expect_accountant() -> None:
    """Refuses to begin without the package that says what noise has cost.

    Raises:
        SparseRecError: it is missing.
    """
    if importlib.util.find_spec("dp_accounting") is None:
        raise SparseRecError(
            "What noise has cost is counted by the package dp-accounting: pip install 'sparserec_np[privacy]'"
        )
