"""The training loop: the only one. It knows models, losses, growth and optimizers by their protocols alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sparserec_np.data.interactions import Interactions, expect_interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import ConfigError, DataError, SparseRecError
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.factorization.pruning import strongest_first
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.optimizers import OPTIMIZERS
from sparserec_np.machine.memory import give_back_freed
from sparserec_np.models.base_models import BASE_MODELS, Baseline
from sparserec_np.models.model import Model
from sparserec_np.serving.model_file import id_bytes
from sparserec_np.sparsity.budget import Budget
from sparserec_np.sparsity.growth import NO_ROWS
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.sparsity.schedules import cosine
from sparserec_np.sparsity.topology import TopologyUpdate, prune
from sparserec_np.starts import STARTS
from sparserec_np.starts.previous import PreviousModel
from sparserec_np.starts.teacher import Teacher
from sparserec_np.training.distillation import imitating
from sparserec_np.training.order import EntryState, Training
from sparserec_np.training.settings import STARTS_TO_TRY, Config

SELECT_BY = "ndcg@20"
NO_ORIGIN = np.empty(0, np.float32)
Record = dict[str, Any]


@dataclass
class Fitted:
    """A trained model and how it came about.

    Attributes:
        model: the model, in its best state.
        log: the interactions it was trained on.
        budget: entries it may store.
        config: the settings it was trained with.
        history: one record for each epoch, epoch 0 being the start.
        best_epoch: the epoch whose state is kept.
        interrupted: whether Ctrl-C ended the training.
        bytes: what was held in memory while training, by name.
    """

    model: Model
    log: Interactions
    budget: Budget
    config: Config
    history: list[Record]
    best_epoch: int
    interrupted: bool
    bytes: dict[str, int]


def train(
    log: Interactions,
    config: Config | None = None,
    *,
    validation: Interactions | None = None,
    teacher: Teacher | None = None,
    former: PreviousModel | None = None,
    threads: int | None = None,
    on_epoch: Callable[[Record], None] | None = None,
) -> Fitted:
    """Chooses the number of epochs on a validation part, then, unless told otherwise, trains on all data.

    The same interactions, configuration and seed give the same bits for any number of threads.

    Args:
        log: the training interactions.
        config: settings; by default :class:`~sparserec_np.training.settings.Config`'s.
        validation: interactions over the same users and items to choose by; by default the part of ``log``
            that ``config.validation`` says. Where it is given, training on ``log`` again would change nothing.
        teacher: a trained model over the same users and items, to start from and to imitate. What it was trained on
            may hold the validation part: the epochs chosen then are those that imitate best.
        former: a model trained on a part of ``log``, to go on from. None of that part is held out: the model knows it;
            and where no user has other items to spare, all epochs are trained. See
            :func:`~sparserec_np.training.updating.update`.
        threads: threads to work on; by default all.
        on_epoch: called with the record of each epoch as soon as it ends.

    Returns:
        The model and its history. Once the start is made, Ctrl-C does not raise: it ends the training, with the
        best state so far.

    Raises:
        DataError: ``log`` is no Interactions, there is nothing to train on, or nothing that can be held out.
        ConfigError: the budget is impossible, ``threads`` is no number of threads, or the settings do not go with a
            teacher.
        SparseRecError: training diverged.
    """
    import numba

    config = config or Config()
    if not expect_interactions(log).n_interactions:
        raise DataError("There is no interaction to train on")
    if threads is not None and not (isinstance(threads, int | np.integer) and threads >= 1):
        raise ConfigError(f"threads must be a whole number, 1 or more, found {threads!r}")
    if teacher is not None:
        _check_student(config)
    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    threads = most if threads is None else min(threads, most)
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        say = on_epoch or (lambda record: None)
        held_out = validation
        kept = log
        if held_out is None and config.validation > 0:
            hold_out = split_random if former is None else former.hold_out
            kept, held_out = hold_out(log, config.validation, np.random.default_rng([config.seed, 1]))
        base = BASE_MODELS[config.model]
        if isinstance(base, Baseline):
            return _count(base, log, kept, held_out, config, say)
        if held_out is None:
            config = config.resolved()
            starts = [make_start(log, config, threads, former or teacher)]
            return _fit(log, None, config, config.epochs, starts.pop(), "train", say, teacher)
        chosen = _search(kept, held_out, config, threads, say, teacher, former)
        if kept is log or not config.refit or chosen.interrupted:
            return chosen
        try:
            starts = [make_start(log, chosen.config, threads, former or teacher)]
        except KeyboardInterrupt:
            return replace(chosen, interrupted=True)
        whole = _fit(log, None, chosen.config, chosen.best_epoch, starts.pop(), "refit", say, teacher)
        history = chosen.history + whole.history
        if whole.interrupted:  # the search has ended well, the second training has not
            return replace(chosen, interrupted=True, history=history)
        return replace(whole, history=history)
    finally:
        numba.set_num_threads(before)


def _check_student(config: Config) -> None:
    """Refuses what cannot learn from a teacher, whose start and scores are inner products of stored rows."""
    similarity = config.resolved().similarity or "dot"  # a baseline has none to choose
    if config.model != "mf" or similarity != "dot":
        raise ConfigError(
            "A student is a matrix factorisation scored by inner products, model mf and similarity dot; found model"
            f" {config.model} and similarity {similarity}"
        )


def _count(
    base: Baseline,
    log: Interactions,
    kept: Interactions,
    validation: Interactions | None,
    config: Config,
    say: Callable[[Record], None],
) -> Fitted:
    """What a baseline counts: in what the validation part leaves, to be measured, then in all interactions."""
    config = config.resolved()
    history: list[Record] = []

    def counted(some: Interactions, phase: str) -> Fitted:
        clock = time.perf_counter()
        table, dim = base.count(some, **{name: getattr(config, name) for name in base.settings})
        model = config.model_over(table, dim, some)
        budget = Budget(table.rows, dim, table.nnz, id_bytes(log.user_ids, log.item_ids))
        empty = int(np.count_nonzero(np.diff(table.indptr) == 0))
        record: Record = {"epoch": 0, "seconds": time.perf_counter() - clock, "loss": None, "phase": phase}
        record |= {"nnz": table.nnz, "rows_without_entries": empty}
        if validation is not None and phase != "refit":
            measured = evaluate(model.ranker(), validation, some)
            record |= {name: measured[name] for name in ("recall@20", SELECT_BY)}
        history.append(record)
        say(record)
        held = {"interactions": log.nbytes, "tables": table.nbytes, "workspaces": model.workspace_bytes}
        return Fitted(model, some, budget, config, history, 0, False, held)

    first = counted(kept, "train" if validation is None else "search")
    return first if kept is log or not config.refit else counted(log, "refit")


def budget_of(log: Interactions, config: Config) -> Budget:
    """The entries that ``config`` grants a model of ``log``. Raises ConfigError where there can be none."""
    rows = log.n_users + log.n_items
    ids = id_bytes(log.user_ids, log.item_ids)
    if config.memory_budget is not None:
        return Budget.of_bytes(rows, config.dim, config.memory_budget, ids)
    return Budget.of_density(rows, config.dim, config.density, ids)


class Start(NamedTuple):
    """What training starts from.

    Attributes:
        name: of the choice in ``masks.STARTS``, or "model" where a trained model is the start.
        table: users and items, scaled; not written to.
        seconds: it took.
        from_data: whether the values know the data; see :class:`~sparserec_np.starts.start.Start`.
    """

    name: str
    table: SparseTable
    seconds: float
    from_data: bool


def make_start(
    log: Interactions, config: Config, threads: int, given: PreviousModel | Teacher | None = None
) -> Start:
    """The table that ``config``, or a trained model, starts from: full for a while for methods that prune later."""
    clock = time.perf_counter()
    method = METHODS[config.method]
    budget = method.spend(budget_of(log, config))
    full = round(method.full_until * config.epochs) > 0
    entries = budget.rows * budget.dim if full else budget.nnz
    name = "model" if given else config.start or STARTS_TO_TRY[0]
    maker = given.start() if given else STARTS[name]
    give_back_freed()  # what reading, or an earlier training, has left
    table = maker(log, budget.dim, entries, np.random.default_rng([config.seed, 2]), threads)
    give_back_freed()  # before the kernels are loaded beside it
    if maker.from_data and given is None and BASE_MODELS[config.model].strongest_first:
        table = strongest_first(table, budget.dim)
    if maker.from_data and not isinstance(
        given, Teacher
    ):  # a teacher's scores are to be met, at the size they have
        _scale(config.model_over(table, budget.dim, log), config.start_score)
    return Start(name, table, time.perf_counter() - clock, maker.from_data)


def _search(
    log: Interactions,
    validation: Interactions,
    config: Config,
    threads: int,
    say: Callable[[Record], None],
    teacher: Teacher | None,
    former: PreviousModel | None,
) -> Fitted:
    """The best on the validation part: of all epochs, and of the starts and learning rates, where none is given."""
    given = former or teacher
    names = config.starts(METHODS[config.method].spend(budget_of(log, config)), log)
    trials = _trials(
        names if given is None else names[:1],
        config.rates if config.learning_rate is None else (config.learning_rate,),
    )
    starts: dict[str, Start] = {}
    best: Fitted | None = None
    most = -1.0
    history: list[Record] = []
    failure = None
    with suppress(StopIteration):
        name, rate = next(trials)
        while True:
            settings = replace(config.resolved(), learning_rate=rate, start=name)
            reached = -2.0
            try:
                if name not in starts:
                    starts.clear()
                    starts[name] = make_start(log, settings, threads, given)
                fitted = _try(log, validation, settings, starts[name], say, teacher)
            except KeyboardInterrupt:  # before there was anything to keep of this one
                if best is None:
                    raise
                best = replace(best, interrupted=True)
                break
            if isinstance(fitted, SparseRecError):
                failure = fitted
            else:
                history += fitted.history
                measured = (record[SELECT_BY] for record in fitted.history if SELECT_BY in record)
                reached = max(measured, default=-1.0)
                if best is None or reached > most:
                    best, most = fitted, reached
                if fitted.interrupted:
                    best = replace(best, interrupted=True)
                    break
            name, rate = trials.send(reached)
    if best is None:
        assert failure is not None
        raise failure
    return replace(best, history=history)


def _try(
    log: Interactions,
    validation: Interactions,
    config: Config,
    start: Start,
    say: Callable[[Record], None],
    teacher: Teacher | None,
) -> Fitted | SparseRecError:
    """One trial of a search, or why there is none: this rate was too high, and another may not be."""
    try:
        return _fit(log, validation, config, config.epochs, start, "search", say, teacher)
    except SparseRecError as error:
        return error


def _trials(starts: Sequence[str], rates: Sequence[float]) -> Generator[tuple[str, float], float, None]:
    """Which start to try next, at which learning rate; is sent what the last one reached.

    Every start at the first two rates, and at a third: the one that lies beyond the better of these two.
    """
    first, *others = rates
    for start in starts:
        reached = yield start, first
        if others:
            second = yield start, others[0]
            # Where both ended below their start they are equal, and too high.
            yield start, others[1] if reached > second else others[2]


def _fit(
    log: Interactions,
    validation: Interactions | None,
    config: Config,
    last_epoch: int,
    start: Start,
    phase: str,
    say: Callable[[Record], None],
    teacher: Teacher | None = None,
) -> Fitted:
    """Trains for ``last_epoch`` of the ``config.epochs`` epochs that all schedules are laid out for.

    ``config`` is resolved: its learning rate is a number. A caller that lets go of the start saves its memory.
    """
    method = METHODS[config.method]
    growth = method.growth_with(config.exploration)
    budget = method.spend(budget_of(log, config))
    dim = budget.dim
    full_epochs = round(method.full_until * config.epochs)
    batch_rng, growth_rng = (np.random.default_rng([config.seed, stream]) for stream in (3, 4))
    highest_rate = config.learning_rate or 0.0
    rows = log.n_users + log.n_items
    start_name, table, start_seconds, from_data = start
    model = config.model_over(table.copy(), dim, log)
    near_start = config.decay_to == "start" and from_data and any(config.decay(NO_ORIGIN)[:3])
    assert config.optimizer is not None
    kind = OPTIMIZERS[config.optimizer]
    state = EntryState(kind(table.nnz, rows), table.values if near_start else NO_ORIGIN)
    del start, table
    degrees = np.concatenate([log.user_degrees, log.item_degrees], dtype=np.int32)
    norms = np.zeros(rows if growth.grows and config.importance == "gradient" else 0, dtype=np.float32)
    training = Training(model, state, Explored.of(NO_ROWS, rows, dim), norms, config.decay(state.origin))
    update = TopologyUpdate(config.floor, config.regrow_start)
    loss = config.objective if teacher is None else imitating(config.objective, teacher)
    one_pass = config.one_pass(log, loss, kind(len(model.weights), 1))

    history: list[Record] = []
    best: tuple[float, int, SparseTable, np.ndarray] | None = None
    misses = 0
    interrupted = False

    def look(record: Record) -> None:
        nonlocal best, misses
        full = model.table.nnz > budget.nnz
        if validation is not None and not full:
            measured = evaluate(model.ranker(), validation, log)
            record |= {name: measured[name] for name in ("recall@20", SELECT_BY)}
            if best is None or measured[SELECT_BY] > best[0]:
                kept = model.table.copy(), model.weights.copy()
                best, misses = (measured[SELECT_BY], record["epoch"], *kept), 0
            else:
                misses += 1

    def note(record: Record) -> None:
        record |= {
            "phase": phase,
            "start": start_name,
            "learning_rate": highest_rate,
            "nnz": model.table.nnz,
            "rows_without_entries": int(np.count_nonzero(np.diff(model.table.indptr) == 0)),
        }
        history.append(record)
        say(record)

    try:
        record: Record = {"epoch": 0, "seconds": start_seconds, "loss": None}
        look(record)
        note(record)
        for epoch in range(1, last_epoch + 1):
            clock = time.perf_counter()
            fraction = config.drops.fraction(epoch, config.epochs) if growth.grows else 0.0
            # The last update lies ``interval`` epochs back; what is explored now serves the next one.
            if growth.grows and (epoch - 1) % config.drop_interval == 0:
                wanted = growth.explore(degrees, norms, growth_rng)
                upcoming = config.drops.fraction(epoch - 1 + config.drop_interval, config.epochs)
                wanted = wanted if upcoming > 0 else wanted[:0]
                training.explore(wanted)
                norms[:] = 0

            def rate(step: int, steps: int, done: int = epoch - 1) -> float:
                return highest_rate * cosine((done * steps + step) / (config.epochs * steps))

            total = one_pass.epoch(training, batch_rng, rate, growth if fraction > 0 else None)
            if not all(np.isfinite(numbers).all() for numbers in (total, model.table.values, model.weights)):
                raise SparseRecError(
                    f"Training diverged in epoch {epoch}: numbers are no longer finite; lower --learning-rate"
                )
            changed = 0
            if fraction > 0:
                changed = update(model.table, growth, training.explored, fraction, state, growth_rng)
                training.explore(NO_ROWS)  # the sums have done their work
            if epoch == full_epochs:
                model.table, kept = prune(model.table, budget.nnz, config.floor)
                state.carry(lambda array, grown, kept=kept: array[kept], lambda array: array[:0])
            training.decay = config.decay(state.origin)
            seconds = time.perf_counter() - clock
            record = {
                "epoch": epoch,
                "seconds": seconds,
                "loss": total / log.n_interactions,
                "triplets_per_second": log.n_interactions / seconds,
                "mask_churn": changed / model.table.nnz,
            }
            if epoch % config.evaluate_every == 0 or epoch == config.epochs:
                look(record)
            note(record)
            if config.patience and misses >= config.patience:
                break
    except KeyboardInterrupt:
        interrupted = True
        if model.table.nnz > budget.nnz:
            model.table, _ = prune(model.table, budget.nnz, config.floor)

    best_epoch = history[-1]["epoch"] if history else 0
    if best is not None:
        _, best_epoch, model.table, model.weights[:] = best
    held = {
        "interactions": log.nbytes,
        "tables": model.table.nbytes * (2 if validation is not None else 1),
        "optimizer": state.optimizer.nbytes,
        "origin": state.origin.nbytes,
        "explored": training.explored_bytes,
        "workspaces": model.workspace_bytes,
        **one_pass.bytes,
    }
    held["weights"] = held.get("weights", 0) + model.weights.nbytes
    return Fitted(model, log, budget, config, history, best_epoch, interrupted, held)


def _scale(model: Model, score: float) -> None:
    """Scales the table in place so that the training pairs score ``score`` on average, where they score above zero."""
    mean = model.mean_product() if score > 0 else 0.0
    if mean > 0:
        model.table.values[:] *= np.float32(np.sqrt(score / mean))
