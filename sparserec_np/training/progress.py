"""Telling how a training goes on: callbacks, lines of a log, one line of a notebook that rewrites itself."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np

from sparserec_np.training.fitted import SELECT_BY, Record, Report

Callback = Callable[[Record], object]

LOGGER = logging.getLogger("sparserec_np")
QUIET_SECONDS = 1.0  # between two lines of a log, where epochs take less and nothing is measured


@contextmanager
def reporting(callbacks: Callback | Iterable[Callback], verbose: bool) -> Iterator[Report]:
    """Yields what a training is to call with the record of each epoch.

    Args:
        callbacks: each is called with a copy of the record, in turn. One that returns True ends the
            training at hand, after all have been called.
        verbose: tell of epochs: in a notebook in one line that is written anew, elsewhere in lines
            of the log "sparserec_np", of level INFO, which go to stderr where nobody has said
            where they are to go.
    """
    asked = (callbacks,) if callable(callbacks) else tuple(callbacks)
    showing = nullcontext() if not verbose else _one_line() if _in_notebook() else _log_lines()
    with showing as show:

        def report(record: Record) -> bool:
            if show is not None:
                show(record)
            answers = [callback(dict(record)) for callback in asked]
            # What is no truth value says nothing, as what a function happens to return.
            return any(isinstance(one, (bool, np.bool_)) and bool(one) for one in answers)

        yield report


def described(record: Record) -> str:
    """Says in one line what a record holds.

    >>> described({"phase": "search", "start": "als", "learning_rate": 0.01, "epoch": 2, "loss": 1.5, "ndcg@20": 0.25})
    'search, als, rate 0.01: epoch 2, loss 1.5000, ndcg@20 0.2500'
    >>> described({"phase": "refit", "epoch": 0, "loss": None})
    'refit: start'
    >>> described({"phase": "choice", "model": "fism", "dim": 64, "start": "neighbours", "epoch": 0, "ndcg@20": 0.25})
    'choice, fism 64, neighbours: start, ndcg@20 0.2500'
    """
    rate = record.get("learning_rate")
    kind = " ".join(str(record[name]) for name in ("model", "dim") if name in record)
    training = [record.get("phase"), kind, record.get("start"), None if rate is None else f"rate {rate:g}"]
    told = [f"epoch {record['epoch']}" if record["epoch"] else "start"]
    told += [f"{name} {record[name]:.4f}" for name in ("loss", SELECT_BY) if record.get(name) is not None]
    return f"{', '.join(filter(None, training))}: {', '.join(told)}"


@contextmanager
def _log_lines() -> Iterator[Callable[[Record], None]]:
    """Yields what logs records: of starts and of what was measured each, of others one now and then."""
    last = -QUIET_SECONDS

    def show(record: Record) -> None:
        nonlocal last
        now = time.monotonic()
        if not record["epoch"] or SELECT_BY in record or now - last >= QUIET_SECONDS:
            LOGGER.info(described(record))
            last = now

    with _heard():
        yield show


@contextmanager
def _heard() -> Iterator[None]:
    """Lets lines of the log reach stderr for as long as nobody has said where they are to go."""
    if any(not isinstance(handler, logging.NullHandler) for handler in _handlers(LOGGER)):
        yield
        return
    handler, level = logging.StreamHandler(sys.stderr), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.setLevel(level)
        LOGGER.removeHandler(handler)


def _handlers(logger: logging.Logger | None) -> Iterator[logging.Handler]:
    """Walks the handlers that a line of a log reaches."""
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


@contextmanager
def _one_line() -> Iterator[Callable[[Record], None]]:
    """Yields what shows a record on stdout, in place of the one before."""
    width = 0

    def show(record: Record) -> None:
        nonlocal width
        line = described(record)
        sys.stdout.write("\r" + line.ljust(width))
        sys.stdout.flush()
        width = len(line)

    try:
        yield show
    finally:
        sys.stdout.write("\n" if width else "")


def _in_notebook() -> bool:
    """Tells whether a notebook's kernel runs this, which IPython would have been loaded for."""
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return ask is not None and type(ask()).__name__ == "ZMQInteractiveShell"
