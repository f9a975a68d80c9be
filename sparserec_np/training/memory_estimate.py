"""An estimate of the memory that a training takes at its peak, before it begins.

It is an upper bound: what the parts take was measured on generated data of several sizes, and a
margin added. Where kernels are still to be compiled, the compiler takes some 250 MB more for a
while. What is mapped from a file counts as if it were held, although the system can take it back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sparserec_np.data.interactions import PAIRS_AT_ONCE, Interactions
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.factorization.condensing import LISTED
from sparserec_np.machine.limits import (
    COMPILED,
    Limit,
    limits_to_heed,
    megabytes,
    note_left_out,
    usual_threads,
)
from sparserec_np.runtime import FOLDED_DIMENSIONS
from sparserec_np.starts.spectral import Spectral
from sparserec_np.training.plan import Plan

MB = 1_000_000
SPLIT_BYTES = 50  # for each interaction, while a part is held out
MATRIX_BYTES = 42  # of the interactions as a matrix and its transpose, for each, while they are made
ENTRY_BYTES = 24  # for each stored entry, while the largest are found
STATE_BYTES = 60  # for each stored entry, while it is trained: tables, gradient, moments, the best so far
BATCH_BYTES = 40  # for each interaction, while they are put in order
USER_BYTES = 1_000  # for each user, while lists are measured
WORKING = 6 * MB  # of a batch, and of what kernels make of it
THREAD_WORKING = 8 * MB  # of the pieces that a thread works on


class Sizes(NamedTuple):
    """The numbers that memory depends on."""

    users: int
    items: int
    pairs: int
    dim: int
    nnz: int
    threads: int

    @property
    def full(self) -> int:
        """Bytes of all users' and items' rows with every entry."""
        return 4 * (self.users + self.items) * self.dim


def _sampled(n: Sizes) -> int:
    """Vectors of the items in strips, and then a sample of rows, or the entries that are kept."""
    strips = 4 * n.items * (n.dim + 32) + 64 * n.items * n.threads + 16 * (n.dim + 32) ** 2
    sample = 7 * min(Spectral.sample, n.users + n.items) * n.dim
    return strips + max(sample, ENTRY_BYTES * n.nnz) + MB


def _solved(n: Sizes) -> int:
    """The same, and then the interactions as a matrix, the largest entries, and blocks of rows."""
    blocks = n.threads * (THREAD_WORKING + 24 * n.dim**2)
    return max(_sampled(n), MATRIX_BYTES * n.pairs + 2 * ENTRY_BYTES * n.nnz + blocks)


def _condensed(n: Sizes) -> int:
    """Full rows, twice as wide, the interactions as a matrix, and everybody's best items."""
    width = min(2 * n.dim, FOLDED_DIMENSIONS, n.users, n.items)
    rows = 7 * (n.users + n.items) * width
    return _solved(n) + rows + 32 * LISTED * n.users + n.threads * THREAD_WORKING


def _factored(n: Sizes) -> int:
    """Dense factors as scikit-learn makes them, itself, and the interactions as a matrix."""
    return 5 * n.full + MATRIX_BYTES * n.pairs + 120 * MB


def _drawn(n: Sizes) -> int:
    """Entries at random places."""
    return ENTRY_BYTES * n.nnz + MB


def _solved_items(n: Sizes) -> int:
    """A row for each interaction, of its user without the item, in blocks of items."""
    rows = 6 * min(n.pairs, PAIRS_AT_ONCE) * n.dim
    return _solved(n) + rows + 20 * n.pairs + 3 * n.full


def _neighbours(n: Sizes) -> int:
    """Pairs of items, beside vectors of the items."""
    return _sampled(n) + MATRIX_BYTES * n.pairs + 2 * ENTRY_BYTES * n.nnz


# Whether users are stored, and the name of the start -> the bytes it takes on top of what is there.
STARTS: dict[tuple[bool, str], Callable[[Sizes], int]] = {
    (True, "spectral"): _sampled,
    (True, "als"): _solved,
    (True, "condensed"): _condensed,
    (True, "nmf"): _factored,
    (True, "uniform"): _drawn,
    (False, "spectral"): _sampled,
    (False, "fitted"): _solved,
    (False, "als"): _solved_items,
    (False, "condensed"): _condensed,
    (False, "neighbours"): _neighbours,
    (False, "plain-neighbours"): _neighbours,
    (False, "uniform"): _drawn,
}


@dataclass(frozen=True)
class MemoryEstimate:
    """The memory of a training at its peak, by what takes it, bytes.

    Attributes:
        interactions: those to train on, and the copies that a held-out part makes.
        splitting: while a part is held out.
        start: while the start is made.
        training: while it trains, and measures lists.
        name: of the start.
        libraries: what is taken before any data is read.
    """

    interactions: int
    splitting: int
    start: int
    training: int
    name: str
    libraries: int

    @classmethod
    def of(cls, log: Interactions, plan: Plan, start: str, threads: int) -> MemoryEstimate:
        """Estimates what a training with a start takes, on so many threads."""
        base, budget, settings = plan.base, plan.budget, plan.settings
        n = Sizes(log.n_users, log.n_items, log.n_interactions, budget.dim, plan.first_entries, threads)
        known = STARTS if plan.source.fresh else {}  # of a trained model, full rows are solved for
        made = known.get((base.stores_users, start), _condensed)
        order = min(log.n_interactions, 4 * PAIRS_AT_ONCE) * BATCH_BYTES
        full = 4 * n.full + 20 * n.pairs if base.graph else 0
        towers = 8 * MB if base.stores_users and not base.scores_are_products else 0
        explored = round(8 * settings.explore * budget.rows * budget.dim) + budget.rows
        training = max(USER_BYTES * n.users, order) + STATE_BYTES * n.nnz + explored + full + towers + WORKING
        return cls(
            interactions=2 * log.nbytes if settings.validation else log.nbytes,
            splitting=SPLIT_BYTES * n.pairs if settings.validation else 0,
            start=made(n),
            training=training,
            name=start,
            libraries=Limit("", 0).taken(COMPILED, threads),
        )

    @property
    def data(self) -> int:
        """The bytes on top of the libraries."""
        return self.interactions + max(self.splitting, self.start, self.training)

    @property
    def total(self) -> int:
        """All of it."""
        return self.libraries + self.data

    def rows(self) -> dict[str, int]:
        """Returns what takes how many bytes, by name; of the stages, the largest counts."""
        names = ("libraries", "interactions", "splitting", "start", "training", "total")
        return {name: getattr(self, name) for name in names}

    def arithmetic(self) -> str:
        """Spells out the sum, for people."""
        stages = {
            "holding a part out": self.splitting,
            f"start {self.name}": self.start,
            "training": self.training,
        }
        largest = max(stages, key=lambda name: stages[name])
        return (
            f"about {megabytes(self.total)} (libraries {megabytes(self.libraries)}, interactions"
            f" {megabytes(self.interactions)}, {largest} {megabytes(stages[largest])})"
        )


def fitting(log: Interactions, plan: Plan, names: Sequence[str], threads: int) -> tuple[str, ...]:
    """Returns the starts that fit into the memory there may be; notes those that do not.

    Raises:
        ConfigError: none fits into what was asked for; the sentence holds the arithmetic.
        SparseRecError: none fits into what the system allows.
    """
    limits = limits_to_heed()
    if not limits:
        return tuple(names)
    estimates = {name: MemoryEstimate.of(log, plan, name, threads) for name in names}
    fits = []
    for name, estimate in estimates.items():
        if all(estimate.data <= _room(limit, threads) for limit in limits):
            fits.append(name)
        else:
            note_left_out(f"{name} of {plan.settings.model} {plan.budget.dim}", estimate.total)
    if not fits:
        raise _refusal(log, plan, min(estimates.values(), key=lambda one: one.data), threads)
    return tuple(fits)


def check_memory(log: Interactions, plan: Plan, threads: int) -> None:
    """Refuses a training whose start does not fit into the memory there may be.

    Raises:
        SparseRecError: it does not; the sentence holds the arithmetic.
    """
    assert plan.settings.start is not None
    fitting(log, plan, (plan.settings.start,), threads)


def _refusal(log: Interactions, plan: Plan, estimate: MemoryEstimate, threads: int) -> SparseRecError:
    """Makes the error where nothing fits, with what would."""
    room, limit = min((_room(one, threads), one) for one in limits_to_heed())
    others = [name for users, name in STARTS if users == plan.base.stores_users]
    cheap = [one for one in others if MemoryEstimate.of(log, plan, one, threads).data <= room]
    if cheap:
        advice = f"use --start {cheap[0]}, or a smaller --dim"
    elif room > 0:
        advice = "use a smaller --dim, or fewer interactions"
    else:
        advice = f"nothing can be trained in less than {megabytes(limit.bytes - room)}"
    counted = (
        "" if limit.counts == "resident" else f", and libraries take {megabytes(limit.bytes - room)} of it"
    )
    kind = ConfigError if limit.name.startswith("--") else SparseRecError  # an option is what can be mended
    return kind(
        f"Training needs {estimate.arithmetic()}; {limit.name} allows {megabytes(limit.bytes)}{counted}; {advice}"
    )


def _room(limit: Limit, threads: int) -> int:
    """Returns the bytes that a limit leaves for data; BLAS takes address space for all of its threads."""
    return limit.bytes - limit.taken(COMPILED, threads if limit.counts == "resident" else usual_threads())
