"""The choice of what to store: model, width and start by held-out data, before anything is trained.

A start alone takes seconds where training takes minutes, and most of a model's quality lies in it.
So all starts are looked at first, at the same budget, and only the best is trained. Baselines are
looked at beside them, so that nobody trains what a count would beat.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sparserec_np.data.conversion import as_interactions, as_placed
from sparserec_np.data.interactions import PAIRS_AT_ONCE, Interactions, expect_some
from sparserec_np.data.splitting import hold_out
from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.machine.threads import kernel_threads
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.models.user_rows import USER_ROWS
from sparserec_np.runtime import MARK_POWERS, MOST_COLUMNS
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.starts.condensed import Condensed
from sparserec_np.starts.neighbours import told_anew, told_of_items
from sparserec_np.starts.shelf import KeptParts
from sparserec_np.training.checkpoints import NO_CHECKPOINTS, Checkpoints, facts_of
from sparserec_np.training.counting import count
from sparserec_np.training.fitted import LOOKED, SELECT_BY, Fitted, Record, Report
from sparserec_np.training.loop import Phase, fit
from sparserec_np.training.memory_estimate import fitting
from sparserec_np.training.plan import Plan
from sparserec_np.training.search import TRIED_BYTES, TRIED_PRODUCTS, starts_to_try
from sparserec_np.training.settings import PAIR_SETTINGS, SETTINGS, Config, expect_config
from sparserec_np.training.starting import Beginning, MadeOnce, make_start

# What may be changed where another setting may, which it says the meaning of.
GOES_WITH = {"relative_rate": "learning_rate"}
# What can be chosen.
FREE = ("model", "dim", "start", "user_rows", "recency", *PAIR_SETTINGS)
# What is looked at, the usual first: a model, how its users' rows are made, the width to begin with
# (None for what the number of items suggests), and starts to look at in the best width alone. A
# kind that suggests as the one before it is looked at in the best width of that one.
KINDS: tuple[tuple[str, str | None, int | None, tuple[str, ...]], ...] = (
    ("fism", "neighbours", None, ()),
    ("fism", "sum", None, ("fitted",)),
    ("fism", "ridge", 64, ()),
    ("mf", None, 64, ()),
)
# Start -> the one to take where fitting takes too long.
NOT_FITTED = {"neighbours": "plain-neighbours"}
# Settings that mean nothing to a start that is not trained.
OF_TRAINING = {"method"} | {
    name for name, row in SETTINGS.items() if row.group in ("loss", "learning", "mask")
} - {"seed"}
# The least part of each user's interactions to choose by. A tenth is too few to tell widths apart:
# with few items to be found, wide rows look better than they are.
LOOKED_PART = 0.25
# Users whose held-out interactions tell starts apart; drawn where there are more. A third of them
# took a gain of 1.1 percent of the next width for one of 1.6 on Gowalla, and so one width more.
LOOKED_USERS = 30_000
FIRST_RECENCY = 0.5
# What is looked at in the best start, one after the other: values that rise, among them the one to
# begin with.
LADDERS: Mapping[str, tuple[float, ...]] = {
    "recency": (0.0, 0.25, 0.5, 0.75, 1.0),  # where there is an order of time
    # Held-out items that lie between a user's others favour neighbours: so half of all at most.
    "neighbour_share": (0.25, 0.375, 0.5),
    "neighbour_weight": (0.75, 1.5, 3.0, 6.0, 12.0),
    "neighbour_popularity": MARK_POWERS,
}
BASELINES = ("popularity", "itemknn")
WIDTHS = (32, 64, 128, 256, 512, 1024)
ITEMS_A_COLUMN = 40  # the best widths lay about there on four data sets of 1,700 to 41,000 items
# What a width must reach, as a part of what the one before did, for the next to be looked at. Each
# step adds less than the one before, and takes four times as long.
WORTH_A_WIDTH = 1.015
# Multiplications for which starts by least squares are looked at: some seconds for each.
LOOKED_PRODUCTS = 5e10
NEAR = 0.85  # of the best so far: below it no other width is looked at, for none makes up for so much
# Likewise: below it the last starts of a kind are not looked at. Fitting has added 7 percent at the
# most, on four data sets.
NEAR_LAST = 0.9
FITTED_PRODUCTS = 1e11  # users times pairs of columns, for which "fitted" takes about two minutes
DENSE_COLUMNS = 64  # of the full table of users and items that a density is a part of
ENTRY_BYTES = 5  # of a budget that are taken by an entry, at the least
VECTOR_BYTES = 1 << 28  # of the singular vectors, which bound the width


@dataclass(frozen=True)
class Choice:
    """What was chosen, and of what.

    Attributes:
        config: the settings to train with.
        looks: a record for each start that was measured, and then for each baseline, as they came.
            Empty where nothing could be held out, and a rule has chosen.
        start: makes the start that was chosen, or has made it: of the interactions that
            :func:`~sparserec_np.training.train.train` keeps of the same log, by ``config``. None
            where training holds out another part.
        users: number of users whose held-out interactions starts were measured by; None for all who
            have some.
    """

    config: Config
    looks: tuple[Record, ...] = ()
    start: Callable[[], Beginning] | None = field(default=None, compare=False, repr=False)
    users: int | None = None

    @property
    def best(self) -> Record | None:
        """The look that was chosen; of equals the first."""
        return _best_of(self.looks, counted=False)

    @property
    def best_baseline(self) -> Record | None:
        """The better baseline."""
        return _best_of(self.looks, counted=True)


def _in_words(config: Config) -> str:
    """Says what is looked at."""
    names = ("model", "user_rows", "dim", "start", "entries", *LADDERS)
    return " ".join(f"{value}" for name in names if (value := getattr(config, name)) is not None)


def _not_yet(record: Record) -> None:
    """Tells nobody of the record of a stage: more is said in it first."""


def _best_of(looks: tuple[Record, ...], counted: bool) -> Record | None:
    some = [look for look in looks if BASE_MODELS[look["model"]].counted == counted]
    return max(some, key=lambda look: look[SELECT_BY], default=None)


def choose(
    log: Any,
    config: Config,
    free: Collection[str] = FREE,
    *,
    validation: Any = None,
    threads: int | None = None,
    on_look: Report | None = None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> Choice:
    """Chooses the settings that are ``free`` by the NDCG@20 of starts on held-out interactions.

    A quarter of each user's interactions is held out, or ``config.validation`` where that is more,
    as ``config.hold_out`` says; where ``validation`` is free, epochs are chosen by the same part.
    In an order of time, half of it are the last ones. Then later interactions count more in users'
    rows. How much more, and how much neighbours say, is looked at in the best start. Widths are
    climbed for as long as each adds enough. Starts by least squares are looked at where they take
    seconds. Of more than 30,000 users, as many are drawn, by the seed, to measure starts by. All
    starts store equally many entries: a density is a part of a full table of users and items, of
    ``config.dim`` columns or, where the width is free, of 64. With nothing to hold out, the first
    kind is chosen, in the width that the number of items suggests; where training is asked for, by
    its settings, the first that is trained.

    Args:
        log: interactions, as :func:`~sparserec_np.training.train.train` takes them.
        config: the other settings. Starts that do not go with them are not looked at.
        free: names of settings that may change: those of :data:`FREE` are chosen, and others are
            set to what the chosen model trains best with, if it says so.
        validation: interactions to choose by; by default a part of ``log``. None is held out where
            ``config.validation`` is 0.
        threads: threads to work on; by default all.
        on_look: called with the record of each start as soon as it was measured.
        checkpoints: what keeps looks, to go on after a stop; see
            :func:`~sparserec_np.training.train.train`.

    Raises:
        ConfigError: no start goes with the settings, or a checkpoint is of others.
        DataError: there is nothing to train on, or nothing that can be held out.
    """
    config, log = expect_config(config), expect_some(as_interactions(log))
    if validation is not None:
        validation = as_placed(validation, log)
    method = METHODS[config.method]
    if method.full or method.full_until:  # a start within the budget would say nothing of them
        return Choice(config)
    if not {*free} & {*FREE}:
        return Choice(_filled(config, free))
    kept, held_out = (log, validation) if validation is not None else _split(log, config)
    kinds = _kinds_to_look_at(log, config, free)
    if held_out is None:
        return Choice(_by_rule(kinds, config, free))
    checkpoints.expect("choice", lambda: facts_of(config, log, validation) | {"free": sorted(free)})
    some, users = _of_some_users(held_out, config.seed)
    with kernel_threads(threads) as given:
        most = kinds[0].entries or (config.memory_budget or 0) // ENTRY_BYTES
        looks = _Looks(kept, some, given, on_look or (lambda record: None), checkpoints, most)
        best = looks.look_at_all(kinds, {*LADDERS} & {*free})
        if "model" in free and log.n_interactions <= PAIRS_AT_ONCE:
            looks.count_baselines(config)
    return replace(looks.choice(best, free, validation is not None, _part(config)), users=users)


def _split(log: Interactions, config: Config) -> tuple[Interactions, Interactions | None]:
    """Holds out what starts are chosen by, if anything is to be held out."""
    if config.validation <= 0:
        return log, None
    return hold_out(log, _part(config), np.random.default_rng([config.seed, 1]), config.hold_out)


def _of_some_users(held_out: Interactions, seed: int) -> tuple[Interactions, int | None]:
    """Draws users to look at starts by, where there are many; returns what they have, and their number."""
    users = np.flatnonzero(held_out.user_degrees)
    if len(users) <= LOOKED_USERS:
        return held_out, None
    drawn = np.zeros(held_out.n_users, dtype=bool)
    drawn[np.random.default_rng([seed, 7]).choice(users, LOOKED_USERS, replace=False)] = True
    return held_out.subset(drawn[held_out.pair_users()]), LOOKED_USERS


def _part(config: Config) -> float:
    """Returns the part of each user's interactions that is held out to look at starts."""
    return max(config.validation, LOOKED_PART)


def _kinds_to_look_at(log: Interactions, config: Config, free: Collection[str]) -> list[_Kind]:
    """Lists the kinds of start that go with the settings. Raises ConfigError where there is none."""
    kinds = list(_kinds(log, config, free))
    if not quick(
        log, DENSE_COLUMNS, LOOKED_PRODUCTS
    ):  # rows that are solved for only where nothing else goes
        kinds = [kind for kind in kinds if not kind.config.solved] or kinds
    if not kinds:
        raise ConfigError(
            "No start of mf or fism goes with these settings: leave one out, or give a model and a dim"
        )
    return kinds


def _by_rule(kinds: list[_Kind], config: Config, free: Collection[str]) -> Config:
    """Takes the usual start, which nobody measures; to be trained where that is asked for."""
    if _asks_to_train(config, free):
        kinds = [kind for kind in kinds if kind.config.mask_changes] or kinds
        return _filled(kinds[0].at(kinds[0].first), free)
    usual = kinds[0].at(kinds[0].first)  # alone, as nothing tells whether training adds to it
    return replace(usual, epochs=0) if "epochs" in free else usual


def _asks_to_train(config: Config, free: Collection[str]) -> bool:
    """Tells whether a setting of training was named: one that is not free, or not at its default.

    Where nothing but what can be chosen is said to be free, only the latter is known.
    """
    all_said = not set(free) <= set(FREE)
    return config.epochs > 0 and any(
        getattr(config, name) != SETTINGS[name].default or (all_said and name not in free)
        for name in OF_TRAINING
    )


def quick(log: Interactions, width: int, products: float) -> bool:
    """Tells whether least squares in a width take at most so many products, and little memory."""
    full = Condensed()
    return full.products(log, width) <= products and full.full_bytes(log, width) <= TRIED_BYTES


@dataclass(frozen=True)
class _Kind:
    """A kind of start, in all of its widths.

    Attributes:
        config: the settings, at the first width.
        widths: rising, and the one to begin with among them.
        rows: of the table.
        entries: that it stores in all widths; None where the settings name bytes.
        follows: whether the best width of the kind before it is taken for the best.
        last: starts to look at in the best width alone.
        suggested: whether the first width is what the number of items suggests.
        users: whose rows are fitted to.
    """

    config: Config
    widths: tuple[int, ...]
    rows: int
    entries: int | None
    follows: bool
    last: tuple[str, ...]
    suggested: bool
    users: int

    @property
    def first(self) -> int:
        """The width that the number of items suggests, or that is given."""
        return self.config.dim

    @property
    def least(self) -> int:
        """The width to begin with: where the first is a suggestion, a quarter of it."""
        return (
            max((w for w in self.widths if 4 * w <= self.first), default=self.widths[0])
            if self.suggested
            else self.first
        )

    def at(self, width: int) -> Config:
        """Returns the settings at a width, with a full table where all entries cannot be had.

        Where fitting would take too long, rows are not fitted.
        """
        config = replace(self.config, dim=width)
        if self.entries is not None:
            config = replace(config, entries=min(self.entries, self.rows * width))
        if config.start is None and not self.fits(width):
            usual = config.resolved().start or ""
            config = replace(config, start=NOT_FITTED.get(usual))
        return config

    def fits(self, width: int) -> bool:
        """Tells whether rows of a width are fitted in some minutes."""
        return self.users * width**2 <= FITTED_PRODUCTS


def _kinds(log: Interactions, config: Config, free: Collection[str]) -> Iterator[_Kind]:
    """Yields the kinds of start that go with the settings, each with its widths."""
    most = max(WIDTHS[0], min(log.n_users, log.n_items))
    widths = tuple(w for w in WIDTHS if w <= most and 4 * w * log.n_items <= VECTOR_BYTES) or WIDTHS[:1]
    entries = config.entries
    if entries is None and config.memory_budget is None:
        columns = DENSE_COLUMNS if "dim" in free else config.dim
        entries = max(1, round(config.density * columns * (log.n_users + log.n_items)))
    before: tuple[str, int | None] | None = None
    for model, user_rows, first, last in KINDS:
        if "model" not in free and config.model != model:
            continue
        wanted = first or log.n_items / ITEMS_A_COLUMN
        begin = min(widths, key=lambda w: abs(math.log(w / wanted))) if "dim" in free else config.dim
        settings: dict[str, Any] = {"model": model, "dim": begin}
        settings |= {
            name: value for name, value in (("user_rows", user_rows), ("start", None)) if name in free
        }
        try:
            some = replace(config, **settings)
        except ConfigError:  # as of losses and orders that this model does not know
            continue
        if some.resolved().user_rows != user_rows:  # which are not free, and others
            continue
        if "recency" in free and _learns_from_order(log, some):
            some = replace(some, recency=FIRST_RECENCY)
        base = BASE_MODELS[model]
        if begin + base.marks(log, user_rows) > MOST_COLUMNS:
            continue
        climbed = widths if "dim" in free else (begin,)
        follows, before = before == (model, first), (model, first)
        yield _Kind(
            some,
            climbed,
            base.rows(log),
            entries,
            follows,
            last if "start" in free else (),
            first is None and "dim" in free,
            log.n_users,
        )


def _learns_from_order(log: Interactions, config: Config) -> bool:
    """Tells whether users' rows are sums, and what is asked is what comes last."""
    rows = config.resolved().user_rows
    return log.times is not None and config.hold_out != "random" and rows is not None and not config.solved


def _filled(config: Config, free: Collection[str]) -> Config:
    """Fills in what the chosen model trains best with, where that may change."""
    if not config.trained:
        return config
    rows = config.resolved().user_rows
    advice = {**BASE_MODELS[config.model].advice, **(USER_ROWS[rows].advice if rows else {})}
    # What a rate is counted in goes with the rate.
    return replace(
        config, **{name: value for name, value in advice.items() if GOES_WITH.get(name, name) in free}
    )


class _Looks:
    """The starts that were looked at, and the best of them.

    Starts that have parts in common, as of one width, share them; so ``most`` says how many entries
    a start may store.

    Attributes:
        best: settings of the best start; None before the first.
        records: of all, as they came.
        failure: why the last that could not be made could not.
    """

    def __init__(
        self,
        kept: Interactions,
        held_out: Interactions,
        threads: int,
        report: Report,
        checkpoints: Checkpoints,
        most: int,
    ) -> None:
        self.best: Config | None = None
        self.records: list[Record] = []
        self.failure: SparseRecError | None = None
        self._kept, self._held_out, self._threads, self._report = kept, held_out, threads, report
        self._checkpoints = checkpoints
        self._reached = -1.0
        self._width = 0  # the best of the last kind
        self._made: tuple[Plan, MadeOnce] | None = None  # the best start, and its plan
        self._shelf = KeptParts(most)

    @property
    def start(self) -> MadeOnce | None:
        """What makes the best start, or has made it; None before the first."""
        return self._made[1] if self._made else None

    def choice(self, best: Config, free: Collection[str], given: bool, part: float) -> Choice:
        """Makes the choice of ``best``, by interactions that were ``given``, or by a part of the log."""
        if not given and "validation" in free:  # epochs are chosen by what chose the start
            best = replace(best, validation=part)
        same = given or best.validation == part
        return Choice(_filled(best, free), tuple(self.records), self.start if same else None)

    def look_at_all(self, kinds: list[_Kind], ladders: Collection[str]) -> Config:
        """Looks at all kinds, and climbs ``ladders`` in the best start; returns the best settings.

        What only one kind has is climbed before the next is looked at, as it may be what makes it
        the best.

        Raises SparseRecError where no start can be made.
        """
        for kind in kinds:
            before = self.best
            self.look_at(kind)
            if self.best is not None and self.best is not before:
                for name in PAIR_SETTINGS:
                    self.climb(name, self.best, ladders)
        if self.best is None:
            assert self.failure is not None
            raise self.failure
        self.climb("recency", self.best, ladders)
        return self.best

    def look_at(self, kind: _Kind) -> None:
        """Looks at all starts of a kind in its first width, then climbs."""
        if kind.follows and self._width:
            reached = self._look(kind.at(self._width))
        else:
            self._width, reached = self._climb(kind)
        far = 0 <= reached < NEAR_LAST * self._reached
        for name in kind.last if not far and kind.fits(self._width) else ():
            self._look(replace(kind.at(self._width), start=name))

    def climb(self, name: str, best: Config, ladders: Collection[str]) -> None:
        """Looks at other values of a setting in the best start, for as long as they lead upwards.

        It is left alone where it is not among ``ladders``, or means nothing there.
        """
        first = getattr(best.resolved(), name)
        if name not in ladders or first not in LADDERS[name] or not first:
            return
        ladder, begin = LADDERS[name], LADDERS[name].index(first)
        for way in (ladder[begin + 1 :], ladder[:begin][::-1]):
            for value in way:
                reached = self._reached
                changed: dict[str, Any] = {name: value}
                self._look(replace(best, **changed), near=name != "neighbour_share")
                if self._reached <= reached:
                    break
            if self.best is not best:  # where more is better, less is not
                break

    def _climb(self, kind: _Kind) -> tuple[int, float]:
        """Looks at widths for as long as they lead upwards, and by enough.

        Returns the best, and what it reached.
        """
        best, reached = kind.least, self._look(kind.at(kind.least))
        begin = kind.widths.index(best)
        if 0 <= reached < NEAR * self._reached:
            return best, reached
        for way in (kind.widths[begin + 1 :], kind.widths[:begin][::-1]):
            for width in way:
                if kind.config.solved and not quick(self._kept, width, TRIED_PRODUCTS):
                    break
                following = self._look(kind.at(width), widened=True)
                if following <= reached:
                    break
                enough = following < WORTH_A_WIDTH * reached
                best, reached = width, following
                if enough:
                    break
            if best > kind.least:  # where wider is better, narrower is not
                break
        return best, reached

    def count_baselines(self, config: Config) -> None:
        """Measures the baselines, which store what they need."""
        for name in BASELINES:
            counted = Config(model=name, seed=config.seed)
            try:
                stage = self._checkpoints.take(name, functools.partial(self._counted, counted), _not_yet)
            except SparseRecError:  # as of more items than itemknn has columns for
                continue
            self._add(stage.history[0], counted, stage.history[0]["dim"])

    def _counted(self, config: Config, report: Report) -> Fitted:
        """Counts a baseline, whose record says in how many columns."""
        fitted = count(self._kept, self._kept, self._held_out, config, report)
        fitted.history[0]["dim"] = fitted.model.dim
        return fitted

    def _look(self, config: Config, widened: bool = False, near: bool = False) -> float:
        """Measures the starts of these settings; returns the best NDCG@20, -1 where there is none.

        Of a width that is not the first only the spectral start is, if there are several. What is
        ``near`` the best start is made from that one.
        """
        best = -1.0
        try:
            plan = Plan.of(config, self._kept)
            names = fitting(self._kept, plan, starts_to_try(plan, self._kept), self._threads)
            soon = quick(self._kept, DENSE_COLUMNS, LOOKED_PRODUCTS)
            for name in names[:1] if widened or not soon else names:
                trial = plan.with_trial(name, plan.highest_rate)
                start, phase = self._start(trial, near), Phase(LOOKED, 0, self._held_out)
                measure = functools.partial(fit, self._kept, trial, start, phase)
                stage = self._checkpoints.take(_in_words(trial.settings), measure, _not_yet)
                if stage.interrupted:
                    raise KeyboardInterrupt
                some = replace(config, start=name)
                self._add(stage.history[0], some, config.dim)
                best = max(best, stage.reached)
                if stage.reached > self._reached:
                    self._reached, self.best, self._made = stage.reached, some, (plan, start)
        except SparseRecError as failure:  # as where a budget of bytes does not fit
            self.failure = failure
        return best

    def _start(self, plan: Plan, near: bool) -> MadeOnce:
        """Returns what makes the start of a plan, once; from the best one where it is ``near`` that."""
        assert self._made is not None or not near
        if near and self._made is not None:
            return MadeOnce(functools.partial(self._near, *self._made, plan))
        return MadeOnce(functools.partial(make_start, self._kept, plan, self._threads, self._shelf))

    def _near(self, best: Plan, made: Callable[[], Beginning], plan: Plan) -> Beginning:
        """Makes a start of the best one, which differs in recency and what neighbours say alone."""
        start = made()
        new, old = plan.settings, best.settings
        if new.item_wishes == old.item_wishes:
            return start
        weights = new.neighbour_weight or 0.0, old.neighbour_weight or 0.0
        popularity = (new.neighbour_popularity or 0.0) - (old.neighbour_popularity or 0.0)
        # A weight of 0 that was asked for stays one.
        told = told_of_items(self._kept, weights[0] / weights[1] if weights[1] else 0.0, popularity)
        return start._replace(table=told_anew(start.table, plan.budget.dim, told))

    def _add(self, record: Record, config: Config, dim: int) -> None:
        """Keeps and reports the record of a look."""
        record = record | {"phase": LOOKED, "model": config.model, "dim": dim}
        if (user_rows := config.resolved().user_rows) is not None:
            record["user_rows"] = user_rows
        record |= {name: value for name in LADDERS if (value := getattr(config, name)) is not None}
        self.records.append(record)
        self._report(record)
