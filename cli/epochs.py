"""Progress of a training run on a terminal: a bar for each of its phases, with the time left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import click

from sparserec_np.training.run_directory import RunDirectory

from .interrupts import check_interrupts

# Phase of a record -> what its bar is called; the start and the learning rate follow.
LABELS = {"search": "Search", "refit": "Refit ", "train": "Train "}
BAR_WIDTH = 12  # with which a line of numbers fits into 80 columns


@contextmanager
def epoch_progress(epochs: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Shows progress bars with the time left, on stderr, and only where stderr is a terminal.

    Yields a function to be called with each record of :func:`sparserec_np.training.train.train`.
    The search for the number of epochs may end before its bar does; the second training is as long
    as the best epoch of the first.

    Args:
        epochs: most epochs of the first phase.
    """
    if not sys.stderr.isatty():
        yield lambda record: None
        return
    with _Bars(epochs) as bars:
        yield bars.show


@contextmanager
def recorded(
    directory: RunDirectory, progress: AbstractContextManager[Callable[[dict[str, Any]], None]]
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yields what a training is to call after each epoch.

    The run directory takes the record, the progress shows it. An interrupt that came meanwhile is
    raised there. However the training ends, the records are closed.
    """
    try:
        with progress as show:

            def on_epoch(record: dict[str, Any]) -> None:
                directory.add(record)
                show(record)
                check_interrupts()

            yield on_epoch
    finally:
        directory.close()


class _Bars(ExitStack):
    """Progress bars, one at a time; a new phase ends the bar before it."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._length = epochs
        self._advance: Callable[[str], None] = lambda note: None
        self._best = (-1.0, 0)
        self._measured = ""
        click.echo("Making the start ... (a first run compiles its kernels, too)", err=True)

    def show(self, record: dict[str, Any]) -> None:
        """Moves the bar on by one record."""
        value = record.get("ndcg@20")
        if value is not None:
            self._best = max(self._best, (value, record["epoch"]), key=lambda pair: pair[0])
            self._measured = f", ndcg@20 {value:.4f}"
        if record["epoch"]:
            self._advance(f"loss {record['loss']:.4f}{self._measured}")
        else:
            self._begin(record)

    def _begin(self, record: dict[str, Any]) -> None:
        self.close()
        phase = record["phase"]
        if phase == "refit":
            self._length, self._measured = self._best[1], ""
            click.echo(
                f"Best on the validation part: epoch {self._length}. Now on all data, as many epochs.",
                err=True,
            )
        if self._length:
            bar = self.enter_context(
                click.progressbar(
                    length=self._length,
                    label=f"{LABELS[phase]} {record['start']} {record['learning_rate']:g}",
                    file=sys.stderr,
                    width=BAR_WIDTH,
                    show_pos=True,
                    show_percent=False,
                    item_show_func=lambda note: note,
                )
            )
            self._advance = lambda note: bar.update(1, note)
