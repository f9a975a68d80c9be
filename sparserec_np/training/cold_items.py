"""Items that nobody touched: a trained model gets rows for them, solved from their attributes.

What attributes say of a row is learned from the rows of the items that were touched
(:mod:`~sparserec_np.factorization.attribute_rows`). Regression draws rows to their mean, and a row
near the mean is in nobody's list: so new rows are made longer, all by one factor, until items that
are left out are listed as often as is asked for. The budget holds: new rows get as many entries
each as known items have on average, or a quarter of all together. Training leaves room for them; in
a model that was trained before, the weakest entries of all leave. All of it is our choice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sparserec_np.data.conversion import as_interactions
from sparserec_np.data.interactions import Interactions, encode_ids
from sparserec_np.data.item_features import ItemFeatures, as_item_features
from sparserec_np.data.table import Array, SparseTable, column_dtype, stacked
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.factorization.attribute_rows import (
    FOLDS,
    RIDGES,
    AttributeRows,
    best_ridge,
    blocks_of,
    left_out_rows,
    weighed,
)
from sparserec_np.factorization.largest_entries import LargestEntries, table_of
from sparserec_np.machine.threads import kernel_threads, one_blas_thread
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.models.model import Model
from sparserec_np.serving.model_file import ServedModel, empty_users
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.sparsity.topology import prune
from sparserec_np.starts.previous import spread_rows
from sparserec_np.training.checkpoints import NO_CHECKPOINTS, Checkpoints
from sparserec_np.training.fitted import Fitted, Report
from sparserec_np.training.plan import budget_of
from sparserec_np.training.saving import fitted_from, restore, served_model
from sparserec_np.training.settings import Config, expect_config
from sparserec_np.training.train import train

LISTED = 20  # items of a list that tells how often items are listed
MOST_USERS = 2_000  # whose rows and lists tell what scores are like
USERS_AT_ONCE = 64
MOST_SHARE = 0.25  # of a budget that does not grow with the items, for those that nobody touched


@dataclass(frozen=True)
class FromAttributes:
    """How rows are made of attributes.

    Attributes:
        exposure: about how often items without interactions are listed at least, as a part of how
            often known ones are: 1 for as often. 0 for rows as the regression gives them, which are
            hardly listed where attributes tell little.
        few: items that at most so many users touched get rows of attributes, too, in place of their
            own. It helps those that are new, and not those that nobody wants.

    Raises:
        ConfigError: a number below 0, or an exposure that is not finite.
    """

    exposure: float = 0.5
    few: int = 0

    def __post_init__(self) -> None:
        """Refuses numbers that mean nothing."""
        if not (0 <= self.exposure < np.inf and self.few >= 0):
            raise ConfigError(
                f"exposure and few must be 0 or more, found exposure={self.exposure!r} and few={self.few!r}"
            )


DEFAULT = FromAttributes()


def train_with_features(
    log: Any,
    features: Any,
    config: Config | None = None,
    *,
    validation: Any = None,
    threads: int | None = None,
    on_epoch: Report | None = None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> Fitted:
    """Trains on interactions, and adds rows for the items that have attributes and no interactions.

    The budget is one for all of these items. Their part of it is left free in training.

    Args:
        log: see :func:`~sparserec_np.training.train.train`. Items that nobody touched are not
            trained on.
        features: attributes of items, known or new, in any form that
            :func:`~sparserec_np.data.item_features.as_item_features` takes.
        config, validation, threads, on_epoch, checkpoints: see
            :func:`~sparserec_np.training.train.train`.

    Returns:
        The model over all items; its ``log`` holds those that nobody touched as well.

    Raises:
        DataError: see :func:`~sparserec_np.training.train.train`; or no item that was touched has
            attributes.
        ConfigError: see there; or a model whose rows cannot be solved for.
    """
    config, log, features = expect_config(config), as_interactions(log), as_item_features(features)
    _check(config)
    whole = with_items(log, features)
    warm = _touched_only(log)
    base = BASE_MODELS[config.model]
    part = max(base.rows(warm) / base.rows(whole), 1 - MOST_SHARE)
    room: dict[str, Any] = {
        name: max(1, int(part * given))
        for name in ("entries", "memory_budget")
        if (given := getattr(config, name)) is not None
    }
    how: dict[str, Any] = {"threads": threads, "on_epoch": on_epoch, "checkpoints": checkpoints}
    fitted = train(warm, replace(config, **room), validation=validation, **how)
    named = {name: getattr(config, name) for name in ("density", "entries", "memory_budget")}
    return _added(fitted, features, whole, replace(fitted.config, **named), DEFAULT, threads)


def add_items(
    fitted: Fitted, features: Any, how: FromAttributes = DEFAULT, *, threads: int | None = None
) -> Fitted:
    """Adds rows to a trained model, for the items that have attributes and no interactions.

    The budget stays, as with :func:`~sparserec_np.training.updating.update`: as many entries, or
    bytes. The weakest entries of all make room. Nothing is trained. The same inputs give the same
    bits for any number of threads.

    Args:
        fitted: a trained model of ``mf`` or ``fism``; it is left as it is.
        features: attributes of items, known or new, in any form that
            :func:`~sparserec_np.data.item_features.as_item_features` takes.
        how: see :class:`FromAttributes`.
        threads: threads to work on; by default all.

    Returns:
        The model over all items. Items without interactions that it had before get new rows.

    Raises:
        DataError: no item that was touched has attributes.
        ConfigError: a model whose rows cannot be solved for.
    """
    features = as_item_features(features)
    _check(fitted.config)
    whole = with_items(fitted.log, features)
    config = over_more_items(fitted.config.resolved(), fitted.budget.nnz, whole)
    return _added(fitted, features, whole, config, how, threads)


def over_more_items(config: Config, entries: int, whole: Interactions) -> Config:
    """Returns settings that grant as many entries as they did over fewer items.

    Entries and bytes stay as they are; of a density, more items make a lower one.
    """
    if config.memory_budget is not None or config.entries is not None:
        return config
    return replace(config, density=entries / (BASE_MODELS[config.model].rows(whole) * config.dim))


def with_items(log: Interactions, features: ItemFeatures) -> Interactions:
    """Returns the same interactions over more items: those that have attributes as well."""
    ids = encode_ids(log.item_ids, features.item_ids, "item")[1]
    nobody = Interactions.from_codes([], [], log.user_ids, ids)
    return log if len(ids) == log.n_items else log.aligned_to(nobody)[0]


def _touched_only(log: Interactions) -> Interactions:
    """Returns the same interactions over the items that somebody touched."""
    touched = log.item_degrees > 0
    if touched.all() or not touched.any():
        return log
    return log.aligned_to(Interactions.from_codes([], [], log.user_ids, log.item_ids[touched]))[0]


def _check(config: Config) -> None:
    base = BASE_MODELS[config.model]
    if base.counted or not (base.stored_rows or not base.stores_users):
        raise ConfigError(
            f"Rows of the model {config.model} are not what is multiplied, so rows of new items cannot be solved for"
            " from attributes: train a model of mf or fism, or leave out the item features"
        )


class _Known(NamedTuple):
    """What the regression learns from.

    Attributes:
        served: the trained model.
        places: (n_items,) of its items among all.
        bare: (all items,) bool, which of them lose the rows they may have: those that nobody
            touched, or few, where they have attributes.
        given: (n,) those of them that have attributes, and get rows of these.
        marks: columns of the table that stand for items, behind the others.
    """

    served: ServedModel
    places: Array
    bare: Array
    given: Array
    marks: int

    @property
    def width(self) -> int:
        """Columns of rows, those that stand for items left out."""
        return self.served.dim - self.marks


class _Made(NamedTuple):
    """New rows as they are made.

    Attributes:
        source: makes a row of attributes.
        attributes: CSR (all items, m), weighed.
        factor: all new rows are multiplied by.
    """

    source: AttributeRows
    attributes: Any
    factor: float


def _added(
    fitted: Fitted,
    features: ItemFeatures,
    whole: Interactions,
    config: Config,
    how: FromAttributes,
    threads: int | None,
) -> Fitted:
    """Adds the rows, within the budget that ``config`` grants over all items."""
    attributes = features.of_items(whole.item_ids)
    has_some, degrees = np.diff(attributes.indptr) > 0, whole.item_degrees
    bare = (degrees == 0) | (has_some & (degrees <= how.few))
    served = served_model(fitted, fitted.log)
    places = encode_ids(fitted.log.item_ids, whole.item_ids)[0]
    known = _Known(served, places, bare, np.flatnonzero(bare & has_some), fitted.budget.marks)
    budget = METHODS[config.method].spend(budget_of(whole, config))
    with kernel_threads(threads), one_blas_thread():
        made = _learned(known, fitted, attributes, how)
        users, items = _within(known, made, budget.nnz)
    marks = BASE_MODELS[config.model].marks(whole, config.resolved().user_rows)
    larger = replace(
        served,
        users=users,
        items=items,
        dim=known.width + marks,
        item_ids=whole.item_ids,
        weights=_numbers(known, served.weights),
        seen_indptr=whole.indptr,
        seen_items=whole.items,
    )
    again = fitted_from(larger, config, fitted.history, whole)
    return replace(
        again,
        budget=replace(again.budget, nnz=budget.nnz),
        best_epoch=fitted.best_epoch,
        interrupted=fitted.interrupted,
        bytes=fitted.bytes,
    )


def _learned(known: _Known, fitted: Fitted, attributes: Any, how: FromAttributes) -> _Made:
    """Learns from known items what attributes say of rows, and how long rows are to be."""
    there = np.flatnonzero(np.diff(attributes.indptr)[known.places] > 0)
    there = there[~known.bare[known.places[there]]]
    if not len(there):
        raise DataError(
            "None of the items that somebody touched has attributes, so nothing can be learned of them: give those of"
            " known items, too, by the same ids"
        )
    has_rows = np.zeros(len(known.bare), dtype=bool)
    has_rows[known.places[there]] = True
    attributes = weighed(attributes, has_rows)
    own, rows = attributes[known.places[there]], _first_columns(known.served.items, known)[there]
    ridge, factor = RIDGES[1], 1.0
    if len(there) > 1:
        folds = np.random.default_rng([fitted.config.seed, 9]).permutation(len(there)) % FOLDS
        some, model = _sample(known.served, fitted)
        users = _first_columns(model.factors(), known)[: some.n_users]
        ridge = best_ridge(own, rows, np.asarray((users.T @ users).todense()), folds)
        if how.exposure:
            bounds = _bounds(model, some, there)
            left_out = left_out_rows(own, rows, ridge, folds)
            factor = _factor(users, bounds, left_out, how.exposure, rows.nnz / rows.shape[0])
    return _Made(AttributeRows(own, rows, ridge), attributes, factor)


def _first_columns(table: SparseTable, known: _Known) -> Any:
    """Returns the columns of a table that stand for no items, CSR (rows, width) float64."""
    from scipy.sparse import csr_matrix

    values = table.values.astype(np.float64), table.columns.astype(np.int32), table.indptr
    return csr_matrix(values, shape=(table.rows, known.served.dim))[:, : known.width]


def _sample(served: ServedModel, fitted: Fitted) -> tuple[Interactions, Model]:
    """Returns the model of some of the users who have touched anything, spread evenly, and what they touched."""
    log = fitted.log
    users = np.flatnonzero(log.user_degrees)
    users = users[np.linspace(0, len(users) - 1, min(MOST_USERS, len(users))).astype(np.int64)]
    ids = Interactions.from_codes([], [], log.user_ids[users], log.item_ids)
    some = log.aligned_to(ids)[0]
    own = empty_users(len(users), served.dim)
    if served.stores_users:
        indptr = np.append(0, np.cumsum(np.diff(served.users.indptr)[users]))
        at = served.users.places(users)
        own = SparseTable(indptr, served.users.columns[at], served.users.values[at])
    part = replace(served, users=own, user_ids=some.user_ids, seen_indptr=some.indptr, seen_items=some.items)
    return some, restore(part, some)


class _Bounds(NamedTuple):
    """How often known items are listed.

    Attributes:
        least: (users,) the score of the last in each user's list.
        listed: places in lists that known items with attributes have.
    """

    least: Array
    listed: int


def _bounds(model: Model, some: Interactions, there: Array) -> _Bounds:
    """Makes the lists of some users, and counts those of the items ``there`` in them."""
    length = min(LISTED, some.n_items)
    items, scores = model.ranker().rank(np.arange(some.n_users, dtype=np.int32), length, some)
    least = scores[:, -1].astype(np.float64)
    sound = np.isfinite(least) & (least > 0)
    return _Bounds(np.where(sound, least, np.inf), int(np.isin(items[sound], there).sum()))


def _factor(users: Any, bounds: _Bounds, left_out: Any, exposure: float, entries: float) -> float:
    """Finds what left-out rows are to be multiplied by, so that they are listed as often as is asked for.

    It is 1 at least: where lists are longer than what a person may like, to be listed tells little.

    Args:
        users: CSR (users, width) their rows.
        bounds: see :class:`_Bounds`.
        left_out: what :func:`~sparserec_np.factorization.attribute_rows.left_out_rows` yields.
        exposure: see :class:`FromAttributes`.
        entries: that a row has on average.
    """
    wanted = round(exposure * bounds.listed)
    best = np.empty(0)
    for _, rows in left_out:
        kept = min(max(1, round(entries * len(rows))), rows.size)
        sizes = np.abs(rows)
        rows = np.where(sizes >= np.partition(sizes, -kept, axis=None)[-kept], rows, 0)
        for start in range(0, users.shape[0], USERS_AT_ONCE):
            part = slice(start, start + USERS_AT_ONCE)
            parts = (users[part] @ rows.T) / bounds.least[part, None]
            best = np.concatenate([best, parts[parts > 0]])
            if len(best) > 4 * wanted:
                best = np.partition(best, -wanted)[-wanted:] if wanted else best[:0]
    if not 0 < wanted <= len(best):
        return 1.0
    return max(1.0, float(1 / np.partition(best, -wanted)[-wanted]))


def _within(known: _Known, made: _Made, nnz: int) -> tuple[SparseTable, SparseTable]:
    """Makes the tables of users and of all items, of at most ``nnz`` entries."""
    served, given = known.served, known.given
    kept = _without(served.items, ~known.bare[known.places])
    items = spread_rows(_moved(kept, known), known.places, len(known.bare))
    both = stacked(served.users, items)
    first = int(np.count_nonzero(items.columns < known.width))
    count = len(known.bare) - int(np.count_nonzero(known.bare))
    mean = len(given) * items.nnz / max(count, 1)
    share = min(mean / max(both.nnz + mean, 1), MOST_SHARE)
    room = max(nnz - both.nnz, round(nnz * share)) if first else 0
    room = min(room, len(given) * known.width, nnz)
    if room:
        best = LargestEntries(room)
        for part in blocks_of(len(given)):
            some = made.factor * made.source.of(made.attributes[given[part]])
            best.offer(given[part], some.astype(np.float32))
        new = table_of(*best.take(), len(known.bare), known.width)
        if both.nnz + new.nnz > nnz:
            both = prune(both, max(nnz - new.nnz, 0))[0]
        both = _joined(both, new, served.users.rows)
    elif both.nnz > nnz:
        both = prune(both, nnz)[0]
    rows = served.users.rows
    return both.slice_rows(0, rows), both.slice_rows(rows, both.rows).copy()


def _without(table: SparseTable, keep: Array) -> SparseTable:
    """Empties the rows of a table where ``keep`` (rows,) is false."""
    entries = keep[table.row_numbers()]
    indptr = np.append(0, np.cumsum(np.where(keep, np.diff(table.indptr), 0))).astype(table.indptr.dtype)
    return SparseTable(indptr, table.columns[entries], table.values[entries])


def _moved(table: SparseTable, known: _Known) -> SparseTable:
    """Moves the columns that stand for known items to their places among all."""
    if not known.marks:
        return table
    columns = table.columns.astype(np.int64)
    marks = columns >= known.width
    columns[marks] = known.width + known.places[columns[marks] - known.width]
    return table._replace(columns=columns.astype(column_dtype(known.width + len(known.bare))))


def _joined(both: SparseTable, new: SparseTable, users: int) -> SparseTable:
    """Puts rows of items ``new``, which are empty in a stacked table, where they belong."""
    owners = np.concatenate([both.row_numbers(), new.row_numbers() + users])
    order = np.argsort(owners, kind="stable")
    columns = np.concatenate([both.columns, new.columns.astype(both.columns.dtype)])
    indptr = both.indptr.astype(np.int64)
    indptr[users:] += new.indptr
    values = np.concatenate([both.values, new.values])
    return SparseTable(indptr.astype(both.indptr.dtype), columns[order], values[order])


def _numbers(known: _Known, numbers: Array) -> Array:
    """Makes the numbers of all items of those that are known, if they have any: (items,) float32.

    A new item, whose row is as long as those of others, counts as the median of the known ones does
    to who touches it.
    """
    if not len(numbers):
        return numbers
    trained = ~known.bare[known.places]
    made = np.full(len(known.bare), np.median(numbers[trained]), dtype=numbers.dtype)
    made[known.places[trained]] = numbers[trained]
    return made
