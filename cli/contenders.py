"""The models that ``evaluate`` measures: opened, given the same test users, and measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np

from sparserec_np.data.interactions import Interactions, positions_of
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import DataError, SparseRecError
from sparserec_np.evaluation.beyond import Catalogue
from sparserec_np.evaluation.measuring import Measures, measure_means, measure_users
from sparserec_np.evaluation.metrics import Metric
from sparserec_np.evaluation.ranker import Ranker, rows_of_items
from sparserec_np.evaluation.user_values import UserValues
from sparserec_np.serving.model_file import ServedModel, load_model
from sparserec_np.training.choosing import BASELINES
from sparserec_np.training.counting import baseline
from sparserec_np.training.saving import ids_known_to, ranker_for

from .aligning import align
from .output import counted
from .reading import read_log
from .run_argument import reading_run

ADVICE = "; use a test file with the ids of the training file."


@dataclass(frozen=True)
class Opened:
    """A model that can rank.

    Attributes:
        name: the run, or the baseline.
        make: makes what ranks.
        seen: what users had in training.
        stored: (n_items, any columns) rows of items, where what ranks tells of none.
    """

    name: str
    make: Callable[[], Ranker]
    seen: Interactions
    stored: SparseTable | None = None


@dataclass(frozen=True)
class Contender:
    """A model, and what it is measured by.

    Attributes:
        model: what ranks.
        test: over the users and items of ``model.seen``.
        counts: what of the test file is unknown to the model, or was in training, for the report.
    """

    model: Opened
    test: Interactions
    counts: dict[str, int]


def open_runs(runs: Sequence[str], known_file: str | None, reader: dict[str, Any]) -> list[Opened]:
    """Opens runs; what users had comes from them, or from the file that tells it, read once."""
    known: Interactions | None = None
    opened = []
    for run in runs:
        with reading_run(run):
            model = load_model(run)
        if known_file is not None and known is None:
            known = read_log(known_file, reader)
        seen = _own_seen(model, run) if known is None else _told_seen(model, known, str(known_file))
        opened.append(Opened(run, _maker(run, model, seen), seen, model.items))
    return opened


def _maker(run: str, model: ServedModel, seen: Interactions) -> Callable[[], Ranker]:
    def make() -> Ranker:
        with reading_run(run):
            return ranker_for(model, seen)

    return make


def _own_seen(model: ServedModel, run: str) -> Interactions:
    """Returns what users touched, as the model tells it.

    Raises:
        DataError: it does not.
    """
    if model.has_seen and model.users.rows:
        return model.seen
    raise DataError(
        f"{run} was exported without users, or without what they have seen: give what they had in training with"
        " --known FILE, or evaluate the run it came from"
    )


def _told_seen(model: ServedModel, known: Interactions, known_file: str) -> Interactions:
    """Returns what users touched, as a file says it; a line says how much the model does not know.

    Raises:
        DataError: nothing in the file is known to the model.
    """
    seen, unknown = align(known, ids_known_to(model, known), known_file, "the model")
    if unknown.dropped_pairs:
        left = counted(unknown.dropped_pairs, "interaction")
        click.echo(f"{known_file}: {left} of users or items that the model does not know left out.", err=True)
    return seen


def count_baselines(seen: Interactions) -> Iterator[Opened]:
    """Counts the baselines in what users had; a line says which of them cannot be had."""
    for name in BASELINES:
        try:
            ranker = baseline(seen, name).model.ranker()
        except SparseRecError as error:  # as of more items than itemknn has columns for
            click.echo(f"{name} is left out: {error}", err=True)
            continue
        yield Opened(name, _always(ranker), seen)


def _always(ranker: Ranker) -> Callable[[], Ranker]:
    return lambda: ranker


def set_against(model: Opened, given: Interactions, test_file: str) -> Contender:
    """Brings the test interactions to the users and items of a model, and counts what is left out.

    Raises:
        DataError: nothing is left.
    """
    test, unknown = align(given, model.seen, test_file, "the model", ADVICE)
    shared = test.shared_with(model.seen)
    return Contender(model, test, unknown._asdict() | {"pairs_in_training": shared})


def on_common_users(contenders: Sequence[Contender], given: Interactions) -> tuple[list[Contender], int]:
    """Keeps the test users whom all models know, and tells how many only some of them do.

    Raises:
        DataError: there is no such user.
    """
    places = [positions_of(given.user_ids, one.test.user_ids) for one in contenders]
    tested = [
        (place >= 0) & (one.test.user_degrees[place] > 0)
        for one, place in zip(contenders, places, strict=True)
    ]
    common = np.logical_and.reduce(tested)
    if not common.any():
        raise DataError(
            "No user with test interactions is known to all of the runs, so they cannot be compared."
        )
    kept = [
        replace(one, test=one.test.subset(np.isin(one.test.pair_users(), place[common])))
        for one, place in zip(contenders, places, strict=True)
    ]
    return kept, int(np.count_nonzero(np.logical_or.reduce(tested) & ~common))


def measure_one(contender: Contender, ks: tuple[int, ...], metrics: Mapping[str, Metric]) -> dict[str, float]:
    """Measures a model, and keeps the figures of no user."""
    ranker = contender.model.make()
    measures = Measures(ks, metrics, _catalogue(contender.model, ranker))
    return measure_means(ranker, contender.test, contender.model.seen, measures)


def measure_all(
    contenders: Sequence[Contender], ks: tuple[int, ...], metrics: Mapping[str, Metric]
) -> list[UserValues]:
    """Measures models one after the other, and keeps the figures of each user.

    Beyond accuracy, the items of all lists are told of by the first model: who touched them in its
    training, and its rows.
    """
    catalogue: Catalogue | None = None
    values = []
    for one in contenders:
        ranker = one.model.make()
        catalogue = catalogue or _catalogue(one.model, ranker)
        here = Measures(ks, metrics, catalogue.aligned_to(one.model.seen.item_ids))
        values.append(measure_users(ranker, one.test, one.model.seen, here))
    return values


def _catalogue(model: Opened, ranker: Ranker) -> Catalogue:
    rows = rows_of_items(ranker)
    return Catalogue.of(model.seen, model.stored if rows is None else rows)
