"""Training from interactions to a model: a held-out part, the search, and all data once more."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sparserec_np.data.conversion import as_interactions, as_placed
from sparserec_np.data.interactions import Interactions, expect_some
from sparserec_np.errors import DataError
from sparserec_np.machine.threads import kernel_threads
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.training.checkpoints import NO_CHECKPOINTS, Checkpoints, facts_of
from sparserec_np.training.counting import count
from sparserec_np.training.fitted import Fitted, Report
from sparserec_np.training.loop import Phase, fit
from sparserec_np.training.plan import Plan
from sparserec_np.training.search import search
from sparserec_np.training.settings import Config, expect_config
from sparserec_np.training.sources import FROM_DATA, Source
from sparserec_np.training.starting import Beginning, make_start


def train(
    log: Any,
    config: Config | None = None,
    *,
    validation: Any = None,
    source: Source = FROM_DATA,
    start: Callable[[], Beginning] | None = None,
    threads: int | None = None,
    on_epoch: Report | None = None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> Fitted:
    """Chooses the number of epochs on a validation part, then, by default, trains on all data.

    The same interactions, configuration and seed give the same bits for any number of threads.

    Args:
        log: interactions, as :func:`~sparserec_np.data.conversion.as_interactions` takes them.
        config: settings; by default :class:`~sparserec_np.training.settings.Config`'s.
        validation: interactions to choose by, likewise; by default the part of ``log`` that
            ``config.validation`` says. Who and what is not in ``log`` is left out of it. Where it
            is given, training on ``log`` again would change nothing.
        source: a model to learn from (:class:`~sparserec_np.training.distillation.FromTeacher`) or
            to go on from (:class:`~sparserec_np.training.updating.FromPrevious`), if there is one.
        start: makes the start of the search, or has made it: a Choice's; by default it is made.
        threads: threads to work on; by default all.
        on_epoch: called with the record of each epoch as soon as it ends. Where it returns True,
            the training at hand ends with its best state so far, as after ``patience`` looks: the
            search goes on with the next, and what is best is trained again on all data.
        checkpoints: what keeps how far the training has come, to go on from after a stop
            (:class:`~sparserec_np.training.checkpoints.CheckpointFile`); by default nothing does.

    Returns:
        The model and its history. Once the start is made, Ctrl-C does not raise: it ends the
        training, with the best state so far.

    Raises:
        DataError: there is nothing to train on, or nothing that can be held out.
        ConfigError: the budget is impossible, ``threads`` is no number of threads, or the settings
            do not go with the source, or a checkpoint is of others.
        SparseRecError: training diverged.
    """
    config, log, validation = _checked(log, config, validation)
    report = on_epoch or (lambda record: None)
    checkpoints.expect("training", lambda: facts_of(config, log, validation))
    with kernel_threads(threads) as given:
        source.check(config)
        kept, held_out = (log, validation) if validation is not None else _split(log, config, source)
        if BASE_MODELS[config.model].counted:
            return count(log, kept, held_out, config, report)
        plan = Plan.of(config, log, source)
        if held_out is None:
            phase, made = (
                Phase("train", plan.settings.epochs),
                functools.partial(make_start, log, plan, given),
            )
            return fit(log, plan, made, phase, report, checkpoints)
        chosen = search(kept, held_out, replace(plan, made=start), given, report, checkpoints)
        if kept is log or not config.refit or chosen.interrupted:
            return chosen
        return _refit(log, plan, chosen, given, report, checkpoints)


def _checked(
    log: Any, config: Config | None, validation: Any
) -> tuple[Config, Interactions, Interactions | None]:
    """Takes what is given, and refuses interactions that cannot be trained on with these settings."""
    config, log = expect_config(config), expect_some(as_interactions(log))
    if config.recency and log.times is None:
        raise DataError(
            "recency needs interactions in an order of time, and these have none: bring a column of times, or lines in"
            " their order; or leave recency out"
        )
    return config, log, None if validation is None else as_placed(validation, log)


def _split(log: Interactions, config: Config, source: Source) -> tuple[Interactions, Interactions | None]:
    """Holds out what epochs are chosen by, if anything is to be held out."""
    if config.validation <= 0:
        return log, None
    rng = np.random.default_rng([config.seed, 1])
    return source.hold_out(log, config.validation, rng, config.hold_out)


def _refit(
    log: Interactions, plan: Plan, chosen: Fitted, threads: int, report: Report, checkpoints: Checkpoints
) -> Fitted:
    """Trains on all of ``log`` as ``chosen`` was trained; returns ``chosen`` if interrupted."""
    rate, start = chosen.config.learning_rate, chosen.config.start
    assert rate is not None and start is not None
    plan = plan.with_trial(start, rate)
    made, phase = functools.partial(make_start, log, plan, threads), Phase("refit", chosen.best_epoch)
    try:
        whole = fit(log, plan, made, phase, report, checkpoints)
    except KeyboardInterrupt:
        return replace(chosen, interrupted=True)
    history = chosen.history + whole.history
    if whole.interrupted:  # the search has ended well, the second training has not
        return replace(chosen, interrupted=True, history=history)
    return replace(whole, history=history)
