"""The settings of a training run: one flat record, kept beside the model, to run it again from.

Each setting stands here once, with all that there is to say of it
(:class:`~sparserec_np.training.setting.Setting`): the checks, the options of the command line and
``docs/settings.md`` come from it.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from sparserec_np.data.splitting import HOLD_OUT
from sparserec_np.errors import ConfigError
from sparserec_np.factorization.item_rows import RowPenalties
from sparserec_np.learning.cells import BLOCK_LOSSES
from sparserec_np.learning.losses import LOSSES, Loss
from sparserec_np.learning.optimizers import OPTIMIZERS
from sparserec_np.models.base_models import BASE_MODELS, MODEL_SETTINGS
from sparserec_np.models.user_rows import USER_ROWS
from sparserec_np.models.views import SIMILARITIES
from sparserec_np.runtime import FOLDED_DIMENSIONS, LEAST_RIDGE, MARK_POWERS, MOST_RECENCY, MOST_RIDGE
from sparserec_np.sparsity.exploration import IMPORTANCES
from sparserec_np.sparsity.growth import LastBatchGrowth
from sparserec_np.sparsity.methods import METHODS
from sparserec_np.starts import ITEM_STARTS, STARTS, starts_of
from sparserec_np.starts.items import ItemWishes
from sparserec_np.training.setting import (
    AS_IN_RUN,
    COUNT,
    LOSS_SETTINGS,
    SCOPES,
    InCommand,
    Setting,
    setting,
    table_of,
)

FIRST_START = "spectral"
# By the order of an epoch: learning rates to choose from, the first two first; pairs in a batch;
# the optimizer.
RATES = {"batches": (0.01, 0.003, 0.03, 0.001), "cells": (0.1, 0.03, 0.3, 0.01)}
BATCH_SIZES = {"batches": 2048, "cells": 512}
FIRST_OPTIMIZERS = {"batches": "adam", "cells": "adagrad"}
ROW_SETTINGS = ("untouched_weight", "ridge")  # of users' rows that are solved for
# Of pairs that users' rows mark.
PAIR_SETTINGS = ("neighbour_share", "neighbour_weight", "neighbour_popularity")
L2 = ("l2_user", "l2_positive", "l2_negative")
# The models that store no users, in words.
ITEMS_ALONE = " and ".join(model.name for model in BASE_MODELS.values() if not model.stores_users)


def _listed(rows: Mapping[str, Any], word: str) -> str:
    """Says in one sentence what each row of a table is."""
    return "; ".join(f"{name}: {getattr(row, word)}" for name, row in rows.items()) + "."


def either(names: tuple[str, ...]) -> str:
    """Writes names as a choice, in words.

    >>> either(("a", "b", "c"))
    'a, b or c'
    """
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _by_order(values: Mapping[str, Any]) -> str:
    """Writes a default that depends on the order of an epoch, in words."""
    return f"{values['batches']}, in cells {values['cells']}"


def _tried(rates: tuple[float, ...]) -> str:
    """Says how a learning rate is looked for, in words."""
    first, second, above, below = rates
    return f"{first} and {second}, then {above} or {below}"


@dataclass(frozen=True)
class Config:
    """Settings of a training run, each with a default that was chosen on held-out training data.

    What each means, and which values it takes, says its row of ``SETTINGS`` and
    ``docs/settings.md``. None is a default that depends on other settings; :meth:`resolved` fills
    it in.

    Raises:
        ConfigError: a value of the wrong type or out of range, or settings that make no sense
            together.
    """

    model: str = setting(
        "mf",
        "Base recommender.",
        "model",
        _listed(BASE_MODELS, "summary")
        + " Where neither a model nor a dim is given, the command line and SparseRec look at the starts"
        " of mf and of fism, and take the best. With a dim alone, and in a Config, it is mf.",
        choices=tuple(BASE_MODELS),
        train=InCommand(words="by validation"),
        distill=None,
    )
    layers: int | None = setting(
        None, "Steps on the graph, with {owners}; {default} by default.", "model", low=1, high=4
    )
    hidden: int | None = setting(
        None,
        "Units of the first dense layer, with {owners}; {default} by default.",
        "model",
        "The second has half of them.",
        low=2,
        high=1024,
    )
    method: str = setting(
        "sparserec",
        "How the budget is spent.",
        "budget",
        _listed(METHODS, "summary"),
        choices=tuple(METHODS),
    )
    dim: int = setting(
        64,
        "Embedding dimension.",
        "budget",
        "The command line and SparseRec choose it where no model is given, or fism is: of 32 to 1,024,"
        " the best start. With other models, and in a Config, it is 64. Where it is chosen, a density is"
        " that of 64 columns of all users and items, whatever it comes to.",
        low=1,
        high=65_536,
        train=InCommand(words="by validation"),
        distill=InCommand(words="that of TEACHER"),
    )
    density: float = setting(
        0.1,
        "Part of all entries that is stored, above 0 and at most 1.",
        "budget",
        low=0,
        high=1,
        open_below=True,
    )
    entries: int | None = setting(
        None,
        "Entries that are stored, instead of a density.",
        "budget",
        "As many whatever the dimension, at most all that there are. It goes before the density.",
        low=1,
        high=2**62,
        words="none",
    )
    memory_budget: int | None = setting(
        None,
        "Bytes of the served tables, like 1.5MB, instead of a density.",
        "budget",
        "It goes before the density.",
        low=1,
        high=2**62,
        words="none",
        written="TEXT",
    )
    start: str | None = setting(
        None,
        "What the mask and its values start from; by default {default}.",
        "start",
        "Only spectral is tried where nothing is held out, for models other than mf, and for"
        " methods with a full table. Nor is another tried in more than 4,096 columns, where als"
        " and condensed are refused; with more than 64 entries a row on average, where they take"
        " long; or over more than 2^23 interactions, of which they hold a matrix. Of both, als is"
        " tried where condensed would take more than two minutes or 256 MiB of full rows. What"
        " trains to the best lists is taken. Where users' rows are solved for, als and condensed are"
        " tried, or als alone. Of fism's sums of rows it is spectral, and fitted where that is better."
        " Where the command line chooses the model, or the width of fism, it looks at neighbours first,"
        " and takes them where nothing is held out and no setting of training is given.",
        choices=tuple({**STARTS, **ITEM_STARTS}),
        words="neighbours, spectral or condensed (on much data: als), by validation",
        distill=None,
    )
    start_score: float = setting(
        2.0,
        "Mean score of a training pair that the start is scaled to; 0 leaves it.",
        "start",
        low=0,
        distill=None,
    )
    loss: str = setting(
        "softmax",
        "What is minimised.",
        "loss",
        _listed(LOSSES, "source"),
        choices=tuple(LOSSES),
        distill=InCommand(choices=tuple(loss.name for loss in SCOPES["distill"].losses)),
    )
    similarity: str | None = setting(
        None,
        "What the scores are; {default}.",
        "loss",
        "The inner product of two rows, or their cosine. The scores of neumf are neither.",
        choices=SIMILARITIES,
        words="cosine for bsl and ccl, else dot",
        distill=None,
    )
    temperature: float | None = setting(
        None,
        "Scores are divided by it; {default}.",
        "loss",
        "Not with neumf.",
        low=0,
        high=1e6,
        open_below=True,
        words="1, for cosines 0.1 unless the loss is ccl",
        distill=InCommand(words="1", help="Scores are divided by it."),
    )
    negative_weight: float | None = setting(
        None, "Weight of a pair's negatives together, with {owners}.", "loss", low=0
    )
    margin: float | None = setting(
        None, "Cosine below which a negative costs nothing, with {owners}.", "loss", low=-1, high=1
    )
    sharpness: float | None = setting(
        None,
        "Temperature of the positives divided by that of the negatives, with {owners}.",
        "loss",
        low=0,
        high=1e6,
        open_below=True,
    )
    neighbours: int | None = setting(
        None,
        "Similar items that an item keeps, with {owners}; {default} by default.",
        "model",
        low=1,
        high=65_536,
    )
    shrinkage: float | None = setting(
        None,
        "Shrinks similarities that rest on few users, with {owners}; {default} by default.",
        "model",
        "It is added to what a similarity is divided by: the root of the product of both items'"
        " numbers of users.",
        low=0,
    )
    user_rows: str | None = setting(
        None,
        "How users' rows are made, with {owners}; by default {default}.",
        "model",
        _listed(USER_ROWS, "summary"),
        choices=tuple(USER_ROWS),
        words="as suits the start",
    )
    recency: float | None = setting(
        None,
        "How much more a user's later interactions count, with {owners}; {default} by default.",
        "model",
        "The k-th from the last counts as k to the power of minus this, in the user's row. The command"
        " line looks at powers from 0 to 1 where the interactions are in an order of time, and takes the"
        " best. It means nothing where rows are solved for.",
        low=0,
        high=MOST_RECENCY,
        train=InCommand(words="by validation"),
    )
    untouched_weight: float | None = setting(
        None,
        "Weight of an item that was not touched, with {owners}; {default} where user-rows is ridge.",
        "model",
        "One that was touched weighs 1. For users' rows that are solved for, and for items' rows that"
        " are made for these.",
        low=0,
        high=MOST_RIDGE,
    )
    ridge: float | None = setting(
        None,
        "Weight of a user's row's own length, with {owners}; {default} where user-rows is ridge.",
        "model",
        "Likewise. It is in parts of the mean squared length of the items' rows.",
        low=LEAST_RIDGE,
        high=MOST_RIDGE,
    )
    neighbour_share: float | None = setting(
        None,
        "Part of the entries that are neighbours, with {owners}; {default} by default.",
        "start",
        "Of the starts that store neighbours beside rows. The command line looks at a quarter to a half,"
        " and takes the best.",
        low=0,
        high=1,
        train=InCommand(words="by validation"),
    )
    neighbour_weight: float | None = setting(
        None,
        "How much neighbours say beside rows, with {owners}; {default} by default.",
        "start",
        "What the starts that store neighbours multiply them by. The command line looks at 0.75 to 12, and"
        " takes the best.",
        low=0,
        high=1e6,
        train=InCommand(words="by validation"),
    )
    neighbour_popularity: float | None = setting(
        None,
        "How much more neighbours say of popular items, with {owners}; {default} by default.",
        "start",
        "A power of the number of an item's users: 0, 0.125, 0.25 or 0.375. The command line looks at all, and"
        " takes the best.",
        low=0,
        high=MARK_POWERS[-1],
        train=InCommand(words="by validation"),
    )
    embedding_dropout: float = setting(
        0.0,
        "Probability that an entry is left out when a batch reads it.",
        "learning",
        low=0,
        high=0.95,
    )
    negatives: int | None = setting(
        None,
        "Negatives shared by a batch; 1 draws one for each pair.",
        "loss",
        low=1,
        high=COUNT,
        per_model=attrgetter("negatives"),
        distill=InCommand(help="Negatives shared by a batch.", low=2),
        update=AS_IN_RUN,
    )
    dislikes_first: float = setting(
        0.0,
        "Part of the negatives drawn from what users dislike.",
        "loss",
        "Of negatives that pairs have alone, it is that of pairs whose user dislikes something; of shared"
        " ones, the part of each block that is drawn from what the users of the batch dislike. With 0,"
        " dislikes are drawn as often as other items that a user did not touch. Not in cells.",
        low=0,
        high=1,
        unsaid=True,
        update=AS_IN_RUN,
    )
    epochs: int = setting(
        20,
        "Most epochs; validation may choose fewer.",
        "learning",
        low=0,
        high=COUNT,
        update=InCommand(5, words=f"5, with {ITEMS_ALONE} 0"),
    )
    order: str = setting(
        "batches",
        "Random batches, or pair after pair in cells: many times as fast.",
        "learning",
        "After each batch comes a step. In cells of users and items, rows move at once: for mf"
        " with inner products, by softmax or bpr, with adagrad or sgd.",
        choices=("batches", "cells"),
        distill=None,
    )
    batch_size: int | None = setting(
        None,
        "Pairs in a batch; in cells, that share their negatives.",
        "learning",
        low=1,
        high=COUNT,
        words=_by_order(BATCH_SIZES),
        distill=InCommand(words=str(BATCH_SIZES["batches"]), help="Pairs in a batch."),
        update=AS_IN_RUN,
    )
    relative_rate: bool = setting(
        False,
        "Count the learning rate in root mean squares of the values to be trained.",
        "learning",
        "Adam moves a value by the rate in a step, however large it is; of a start from the data the"
        " values are the larger the fewer are stored. Adafactor (Shazeer and Stern 2018) does likewise."
        " Not in cells.",
        unsaid=True,
        distill=None,
        update=AS_IN_RUN,
    )
    pairs_together: int = setting(
        1,
        "Most pairs of one user that come in the same batch because they are the same user's.",
        "learning",
        "A row that is made of what its user touched is then made for all of them at once. Not in cells.",
        low=1,
        high=COUNT,
        unsaid=True,
        distill=None,
        update=AS_IN_RUN,
    )
    optimizer: str | None = setting(
        None,
        "How values follow their gradients.",
        "learning",
        choices=tuple(OPTIMIZERS),
        words=_by_order(FIRST_OPTIMIZERS),
        distill=InCommand(words=FIRST_OPTIMIZERS["batches"]),
    )
    learning_rate: float | None = setting(
        None,
        "Learning rate at first; it falls to zero as a cosine.",
        "learning",
        f"By default {_tried(RATES['batches'])}, whichever lies on the side of the better, are"
        f" tried (in cells {_tried(RATES['cells'])}), and what is best on the validation part is"
        " taken; where there is none, the first of these.",
        low=0,
        high=1e30,
        open_below=True,
        words="by validation",
        update=InCommand(words=_by_order({order: rates[1] for order, rates in RATES.items()})),
    )
    l2_user: float | None = setting(
        None,
        "L2 weight of a pair's user.",
        "loss",
        low=0,
        per_loss=attrgetter("decay"),
        update=AS_IN_RUN,
    )
    l2_positive: float | None = setting(
        None,
        "L2 weight of a pair's item.",
        "loss",
        low=0,
        per_loss=attrgetter("decay"),
        update=AS_IN_RUN,
    )
    l2_negative: float | None = setting(
        None,
        "L2 weight of a pair's negatives.",
        "loss",
        low=0,
        per_loss=attrgetter("decay"),
        update=AS_IN_RUN,
    )
    decay_to: str = setting(
        "start",
        "What L2 draws the values towards.",
        "loss",
        "Their values at the start (0 for entries grown since), or zero. After a start at"
        " random, which knows nothing of the data, it is always zero.",
        choices=("start", "zero"),
    )
    explore: float = setting(
        0.1,
        "Part of the rows explored between topology updates.",
        "mask",
        "They are drawn in rounds: none again before all others were. 1 explores all rows at once.",
        low=0,
        high=1,
        open_below=True,
        update=AS_IN_RUN,
    )
    importance: str = setting(
        "degree",
        "What explored rows are drawn by.",
        "mask",
        choices=IMPORTANCES,
        update=AS_IN_RUN,
    )
    drop_fraction: float = setting(
        0.3,
        "Part of the entries within reach that changes at first.",
        "mask",
        "It falls to zero as a cosine. Within reach are the explored rows: with few of them, from a"
        " start at random, 0.9 is better.",
        low=0,
        high=0.99,
        update=InCommand(0.1),
    )
    drop_until: float = setting(
        0.75,
        "Part of the epochs after which the mask stays.",
        "mask",
        low=0,
        high=1,
        update=AS_IN_RUN,
    )
    drop_interval: int = setting(
        1, "Epochs between topology updates.", "mask", low=1, high=COUNT, update=AS_IN_RUN
    )
    regrow_start: float = setting(
        0.5,
        "Start of a regrown entry, as a part of the largest pruned one; where an exchange has to pay, at most as a part"
        " of the median of what is stored. What feeds layers starts at 0 there.",
        "mask",
        low=0,
    )
    swap_margin: float = setting(
        6.0,
        "How many times as much as the pruned entry a regrown one has to be worth; 0 for any.",
        "mask",
        "What each is worth is told by summed and by squared gradients, so it needs an optimizer that"
        " keeps the latter: adam or adagrad. With the method sparserec, where the values of the start"
        " come from the data; after a start at random as many change as the drop fraction says.",
        low=0,
        update=AS_IN_RUN,
    )
    floor: int = setting(1, "Entries that a row never loses.", "mask", low=0, high=COUNT)
    validation: float = setting(
        0.1,
        "Part of each user's items held out to choose the epoch by, or a file of them; 0 for none.",
        "validation",
        "In Python a part; interactions of a file are an argument of their own.",
        low=0,
        high=0.9,
        written="PART|FILE",
        distill=InCommand(
            words="none",
            help="Interactions to choose the epoch by, which TEACHER was not trained on; without them all epochs are"
            " trained.",
            written="FILE",
        ),
        update=InCommand(
            0.1,
            words=f"0.1, with {ITEMS_ALONE} and no epochs 0",
            help="Part of each user's new items held out to choose the epoch by, or a file of items that RUN was not"
            " trained on; 0 for none.",
        ),
    )
    hold_out: str | None = setting(
        None,
        "Which part of each user's interactions is held out.",
        "validation",
        "The last ones ask what comes next, as a recommender in use is asked; those drawn at random ask"
        " what fits. Both is half of each: what is best then does well when it is asked either.",
        choices=tuple(HOLD_OUT),
        words="both, where there is an order of time, else random",
        distill=None,
    )
    evaluate_every: int = setting(
        5,
        "Epochs between two looks at the validation part.",
        "validation",
        low=1,
        high=COUNT,
        update=InCommand(1),
    )
    patience: int = setting(
        4,
        "Looks without getting better before training stops; 0 never stops.",
        "validation",
        "A look is better by its NDCG@20.",
        low=0,
        high=COUNT,
        update=AS_IN_RUN,
    )
    refit: bool = setting(
        True,
        "Train again on all data for the epochs chosen.",
        "validation",
        distill=None,
        update=InCommand(True),
    )
    seed: int = setting(0, "Seed of all random numbers.", "learning", low=0, high=COUNT, update=AS_IN_RUN)

    def __post_init__(self) -> None:
        for name, row in SETTINGS.items():
            value = getattr(self, name)
            if isinstance(value, np.generic):  # a number or text of NumPy's, which JSON does not know
                value = value.item()
                object.__setattr__(self, name, value)
            row.check_kind(value)
        # Before ranges: a value in range would not help a setting that there is no place for.
        for check in RELATIONS:
            check(self)
        for name, row in SETTINGS.items():
            row.check_range(getattr(self, name))

    @property
    def objective(self) -> Loss:
        """The loss, with its settings."""
        given = {name: getattr(self, name) for name in LOSS_SETTINGS}
        return LOSSES[self.loss].with_settings(**given)

    @property
    def trained(self) -> bool:
        """Whether epochs change the start: not where users' rows are no plain sums."""
        user_rows = self._rows_and_start()[0]
        return user_rows is None or USER_ROWS[user_rows].trained

    @property
    def mask_changes(self) -> bool:
        """Whether training may change which entries are stored: not beside neighbours of items."""
        return self.trained and not self.marks_items

    @property
    def solved(self) -> bool:
        """Whether users' rows are solved for from those of items."""
        user_rows = self._rows_and_start()[0]
        return user_rows is not None and USER_ROWS[user_rows].solved

    @property
    def row_penalties(self) -> RowPenalties | None:
        """The weights, once filled in, of the equations of users' rows; None where none are solved."""
        untouched, ridge = self.untouched_weight, self.ridge
        return None if untouched is None or ridge is None else RowPenalties(untouched, ridge)

    @property
    def marks_items(self) -> bool:
        """Whether users' rows mark the touched items, beside whose neighbours rows are stored."""
        user_rows = self._rows_and_start()[0]
        return user_rows is not None and USER_ROWS[user_rows].marks_items

    @property
    def item_wishes(self) -> ItemWishes:
        """What settings, once filled in, ask of items' rows."""
        return ItemWishes(self.row_penalties, *(getattr(self, name) for name in PAIR_SETTINGS))

    def _rows_and_start(self) -> tuple[str | None, str]:
        """Returns how users' rows are made, None where they are stored, and the usual start.

        Each is as given, or else what suits the other.
        """
        if BASE_MODELS[self.model].stores_users:
            return None, FIRST_START
        user_rows = self.user_rows or ITEM_STARTS[self.start or FIRST_START].user_rows
        return user_rows, next(name for name, start in ITEM_STARTS.items() if start.user_rows == user_rows)

    def resolved(self) -> Config:
        """Fills in the settings that depend on others, where the model has them."""
        base, loss = BASE_MODELS[self.model], self.objective
        user_rows, start = self._rows_and_start()
        similarity = self.similarity or ("cosine" if loss.cosine else "dot")
        defaults: dict[str, Any] = {
            **base.settings,
            **dict.fromkeys(L2, loss.decay),
            **dict(loss.settings),
            "negatives": base.negatives,
            "batch_size": BATCH_SIZES[self.order],
            "optimizer": FIRST_OPTIMIZERS[self.order],
            "similarity": similarity,
            "temperature": loss.temperature if similarity == "cosine" else 1.0,
            "learning_rate": RATES[self.order][0],
            "start": start,
            "user_rows": user_rows,
        }
        if not self.solved:
            defaults |= dict.fromkeys(ROW_SETTINGS)
        if not self.marks_items:
            defaults |= dict.fromkeys(PAIR_SETTINGS)
        missing = {
            name: value
            for name, value in defaults.items()
            if getattr(self, name) is None and base.takes(name)
        }
        if not self.trained:
            missing["epochs"] = 0
        return dataclasses.replace(self, **missing)

    def to_dict(self) -> dict[str, Any]:
        """Returns all settings by name."""
        return dataclasses.asdict(self)

    def said(self) -> dict[str, Any]:
        """Returns the settings by name, but for those that are at a default which goes without saying."""
        return {
            name: value
            for name, value in self.to_dict().items()
            if not (SETTINGS[name].unsaid and value == SETTINGS[name].default)
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Config:
        """Makes a configuration of the settings given, and the defaults of those that are not.

        Raises:
            ConfigError: a name that is no setting, a value of the wrong type, or one out of range.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in given:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
                raise ConfigError(f"{name!r} is no setting; {hint}")
        return cls(**given)

    @classmethod
    def from_json(cls, text: str, source: str = "the configuration") -> Config:
        """Reads what ``json.dumps(config.to_dict())`` wrote.

        :meth:`from_dict` says what is refused.
        """
        try:
            given = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{source} is not JSON: {error.msg} in line {error.lineno}") from error
        if not isinstance(given, dict):
            raise ConfigError(f"{source} must hold one JSON object of settings")
        return cls.from_dict(given)


SETTINGS: dict[str, Setting] = table_of(Config)
CHOICES = {name: row.choices for name, row in SETTINGS.items() if row.choices}


def _check_counted(config: Config) -> None:
    """Refuses settings that mean nothing to a baseline.

    It takes its own, and those of measuring it.
    """
    base = BASE_MODELS[config.model]
    if not base.counted:
        return
    for name, row in SETTINGS.items():
        means = base.takes(name) or name in MODEL_SETTINGS
        if not means and getattr(config, name) != row.default:
            raise ConfigError(
                f"{name} has no meaning for the model {config.model}, which is counted and not trained;"
                " leave it out"
            )


def _check_budget(config: Config) -> None:
    """Refuses a budget that is named twice.

    A density is none of the two names: it has a default, which both go before.
    """
    if config.entries is not None and config.memory_budget is not None:
        raise ConfigError("entries and memory_budget both name the budget; leave one of them out")


def _check_columns(config: Config) -> None:
    """Refuses too many columns for least squares.

    They take the products of all pairs of columns.
    """
    if config.start in ("als", "condensed", "fitted") and config.dim > FOLDED_DIMENSIONS:
        raise ConfigError(
            f"dim must be at most {FOLDED_DIMENSIONS:,} with the start {config.start}, which takes the products of"
            f" all pairs of columns, found {config.dim:,}; set a lower dim, or start to spectral"
        )
    if config.solved and config.dim > FOLDED_DIMENSIONS:
        raise ConfigError(
            f"dim must be at most {FOLDED_DIMENSIONS:,} where users' rows are solved for, with the products of all"
            f" pairs of columns, found {config.dim:,}; set a lower dim, or user_rows to sum"
        )


def _check_loss(config: Config) -> None:
    """Refuses what the loss cannot work with.

    A loss may want a block of negatives, or cosines, and has settings of its own.
    """
    loss = LOSSES[config.loss]
    if config.negatives == 1 and loss.pairs is None:
        raise ConfigError(
            f"The loss {loss.name} sets a pair against a block of negatives; set negatives above 1, or loss to bpr"
        )
    if loss.cosine and config.similarity == "dot":
        raise ConfigError(
            f"The loss {loss.name} has no bound for inner products; set similarity to cosine, or leave it out"
        )
    config.objective  # noqa: B018  # refuses settings of other losses


def _check_model(config: Config) -> None:
    """Refuses what the model cannot work with.

    A model has settings of its own, and scores that may be no inner products.
    """
    base = BASE_MODELS[config.model]
    cosine = config.similarity == "cosine" or LOSSES[config.loss].cosine
    if not base.scores_are_products and (cosine or config.temperature not in (None, 1)):
        raise ConfigError(
            f"The scores of the model {config.model} are no inner products of rows, so they can be no cosines, nor be"
            " divided by a temperature: set loss to softmax, bpr or bce, and leave similarity and temperature out"
        )
    for name in base.without:
        if getattr(config, name) != SETTINGS[name].default:
            raise ConfigError(f"{name} has no meaning for the model {config.model}; leave it out")
    starts = starts_of(base.stores_users)
    if config.start is not None and config.start not in starts:
        makes = "no rows of users" if base.stores_users else "rows of users, too"
        stores = "stores" if base.stores_users else "does not store"
        raise ConfigError(
            f"The start {config.start} makes {makes}, which the model {config.model} {stores}; set start to"
            f" {either(tuple(starts))}"
        )
    for name in MODEL_SETTINGS:
        if getattr(config, name) is not None and not base.takes(name):
            owners = ", ".join(SETTINGS[name].owners())
            raise ConfigError(
                f"{name} is no setting of the model {config.model}, but of {owners}; leave it out"
            )


def _check_user_rows(config: Config) -> None:
    """Refuses weights of equations that nobody solves, and pairs of items that users' rows do not mark."""
    if BASE_MODELS[config.model].stores_users:
        return
    if config.start is not None and config.user_rows is not None:
        made_for = ITEM_STARTS[config.start].user_rows
        if USER_ROWS[made_for].marks_items != USER_ROWS[config.user_rows].marks_items:
            raise ConfigError(
                f"The start {config.start} is made for user_rows {made_for}, found {config.user_rows}; leave one of"
                " them out"
            )
    method = METHODS[config.method]
    if config.marks_items and (method.full or method.narrow or method.full_until):
        raise ConfigError(
            f"The method {config.method} trains full tables, and neighbours of items are never full; set method to"
            " static, or user_rows to sum"
        )
    if config.neighbour_popularity not in (None, *MARK_POWERS):
        raise ConfigError(
            f"neighbour_popularity must be one of {', '.join(f'{power:g}' for power in MARK_POWERS)}, found"
            f" {config.neighbour_popularity!r}"
        )
    for name in () if config.marks_items else PAIR_SETTINGS:
        if getattr(config, name) is not None:
            raise ConfigError(
                f"{name} has no meaning where no neighbours are stored; leave it out, or set start to neighbours"
            )
    if config.solved:
        if config.recency:
            raise ConfigError(
                "recency has no meaning where users' rows are solved for; leave it out, or set user_rows to sum"
            )
        return
    for name in ROW_SETTINGS:
        if getattr(config, name) is not None:
            raise ConfigError(
                f"{name} has no meaning where users' rows are not solved for; leave it out, or set user_rows to ridge"
            )


def _check_cells(config: Config) -> None:
    """Refuses what cells cannot do.

    Cells are for one model and for losses that their kernels know.
    """
    if config.order != "cells":
        return
    growth = METHODS[config.method].growth
    fits = {
        "model": BASE_MODELS[config.model].stored_rows,
        "loss": LOSSES[config.loss].block in BLOCK_LOSSES,
        "optimizer": config.optimizer in (None, "adagrad", "sgd"),
        "similarity": config.similarity in (None, "dot"),
        "temperature": config.temperature in (None, 1),
        "embedding_dropout": config.embedding_dropout == 0,
        "dislikes_first": config.dislikes_first == 0,
        "pairs_together": config.pairs_together == 1,
        "relative_rate": not config.relative_rate,
        "method": not isinstance(growth, LastBatchGrowth),
        "importance": config.importance != "gradient" or not growth.grows,
    }
    for name, good in fits.items():
        if not good:
            raise ConfigError(
                "In cells, mf learns by softmax or bpr with the inner product as its score, by adagrad or sgd, and"
                f" looks at no batch as a whole: {name} cannot be {getattr(config, name)!r}; change it, or set order"
                " to batches"
            )


# What settings mean to each other, in the order in which it is checked.
RELATIONS: tuple[Callable[[Config], None], ...] = (
    _check_counted,
    _check_budget,
    _check_loss,
    _check_model,
    _check_columns,
    _check_user_rows,
    _check_cells,
)


def expect_config(given: Config | None) -> Config:
    """Returns the settings that were given, or the defaults for None.

    Raises:
        ConfigError: it is something else, a dict perhaps.
    """
    if given is None:
        return Config()
    if not isinstance(given, Config):
        raise ConfigError(
            f"Settings are a Config, found {type(given).__name__}; use Config(dim=64), or Config.from_dict(settings)"
        )
    return given
