"""The ways in which ``sparserec data split`` parts interactions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sparserec_np.data.folds import InteractionKFold, LeaveLastOut, LeaveOneOut, UserKFold
from sparserec_np.data.formats import Reading
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import part_users, split_last, split_random, split_time, split_users
from sparserec_np.errors import ConfigError, DataError

Parts = dict[str, Interactions]  # by the names of their files
FOLDS = 5


@dataclass(frozen=True)
class Splitting:
    """The way of splitting that the options of ``split`` ask for."""

    by: str
    test_share: float | None
    validation_share: float
    n: int | None
    folds: int | None
    seed: int

    def check(self) -> None:
        """Refuses a share that is none, or an option that this way of splitting does not ask for."""
        way = WAYS[self.by]
        if not 0 <= self.validation_share < 1:
            raise ConfigError(
                f"--validation must be a share from 0 to below 1, found {self.validation_share:g}."
            )
        if self.by == "last" and self.test_share is not None:
            raise ConfigError(
                "--by last holds out items per user: give their number with --n instead of a share with --test."
            )
        if self.test_share is not None and not way.takes_share:
            raise ConfigError(f"--by {self.by} holds out no share: leave out --test.")
        if self.by != "last" and self.n is not None:
            raise ConfigError(
                f"--by {self.by} holds out a share: give it with --test instead of a number with --n."
                if way.takes_share
                else f"--by {self.by} does not hold out a number of items: leave out --n."
            )
        if self.validation_share and not way.validates:
            raise ConfigError(
                f"--validation does not go with --by {self.by}: train holds out a part of its own by --validation."
            )
        self._check_folds(way)

    def _check_folds(self, way: Way) -> None:
        if self.folds is None:
            return
        if not way.least_folds:
            raise ConfigError(f"--by {self.by} makes no folds: leave out --folds, or take --by folds.")
        if self.folds < way.least_folds:
            raise ConfigError(f"--by {self.by} makes {way.least_folds} folds or more, found {self.folds}.")
        for option, given in (
            ("--test", self.test_share),
            ("--n", self.n),
            ("--validation", self.validation_share or None),
        ):
            if given is not None:
                raise ConfigError(f"--folds says what is held out: leave out {option}.")

    def check_times(self, reading: Reading) -> None:
        """Refuses a file whose times cannot be read, where the parts are made by them."""
        if WAYS[self.by].needs_times and reading.tally.odd_time:
            raise DataError(
                f"{reading.name} has times that cannot be read, which --by {self.by} needs: expected numbers or ISO"
                f" dates, found {reading.tally.odd_time}."
            )

    def parts(self, log: Interactions) -> Parts:
        """Makes the parts by name: train, test, and what else this way makes."""
        return WAYS[self.by].parts(log, self)


@dataclass(frozen=True)
class Way:
    """One way of splitting.

    Attributes:
        parts: makes the parts, as the options say.
        takes_share: whether --test says how much.
        validates: whether it can hold out a validation part as it holds out the test part.
        needs_times: whether it goes by times.
        least_folds: the fewest folds that it makes, 0 where it makes none.
    """

    parts: Callable[[Interactions, Splitting], Parts]
    takes_share: bool = False
    validates: bool = False
    needs_times: bool = False
    least_folds: int = 0


def _share(wish: Splitting) -> float:
    return 0.2 if wish.test_share is None else wish.test_share


def _held_out_once(
    once: Callable[[Interactions, float], tuple[Interactions, Interactions]],
) -> Callable[[Interactions, Splitting], Parts]:
    """Makes of a way to part in two one that also holds out the validation part, likewise."""

    def parts(log: Interactions, wish: Splitting) -> Parts:
        train, test = once(log, _share(wish))
        made = {"train": train, "test": test}
        if wish.validation_share:
            made["train"], made["validation"] = once(train, wish.validation_share)
        return made

    return parts


def _random(log: Interactions, wish: Splitting) -> Parts:
    rng = np.random.default_rng(wish.seed)
    return _held_out_once(lambda rest, share: split_random(rest, share, rng))(log, wish)


def _last(log: Interactions, wish: Splitting) -> Parts:
    if wish.folds is not None:
        return _folded(LeaveLastOut(wish.folds), log)
    return _held_out_once(lambda rest, _: split_last(rest, 1 if wish.n is None else wish.n))(log, wish)


def _folded(splitter: InteractionKFold | LeaveOneOut | LeaveLastOut, log: Interactions) -> Parts:
    """Makes a pair of parts of each fold; a single fold is the pair itself."""
    parts: Parts = {}
    for number, (kept, held_out) in enumerate(splitter.split(log), 1):
        fold = _fold_name(number, splitter.n_splits)
        parts |= {f"{fold}train": log[kept], f"{fold}test": log[held_out]}
    return parts


def _fold_name(number: int, count: int) -> str:
    """Names a fold, so that names sort as numbers do; nothing where there is but one.

    >>> _fold_name(3, 5), _fold_name(3, 10), _fold_name(1, 1)
    ('fold3-', 'fold03-', '')
    """
    return f"fold{number:0{len(str(count))}}-" if count > 1 else ""


def _users(log: Interactions, wish: Splitting) -> Parts:
    rng = np.random.default_rng(wish.seed)
    if wish.folds is None:
        return dict(split_users(log, _share(wish), rng)._asdict())
    parts: Parts = {}
    for number, (_, rows) in enumerate(UserKFold(wish.folds, seed=wish.seed).split(log), 1):
        fold, made = _fold_name(number, wish.folds), part_users(log, log[rows].user_degrees > 0, rng)
        parts |= {f"{fold}{name}": part for name, part in made._asdict().items()}
    return parts


# What --by names.
WAYS = {
    "random": Way(_random, takes_share=True, validates=True),
    "last": Way(_last, validates=True, needs_times=True, least_folds=1),
    "time": Way(
        _held_out_once(split_time),
        takes_share=True,
        validates=True,
        needs_times=True,
    ),
    "folds": Way(
        lambda log, wish: _folded(InteractionKFold(wish.folds or FOLDS, seed=wish.seed), log), least_folds=2
    ),
    "leave-one-out": Way(
        lambda log, wish: _folded(LeaveOneOut(wish.folds or 1, seed=wish.seed), log), least_folds=1
    ),
    "users": Way(_users, takes_share=True, least_folds=2),
}
