"""A second, plain definition of the whole method, over dense tables.

It says what a batch costs, how an optimizer steps, and how a mask changes. Nothing here is shared
with the engine, and nothing is fast. A score and a loss are written with operators that NumPy and
PyTorch have in common, the module of one of them being the argument ``xp``: PyTorch differentiates
them by autograd, NumPy by central differences, and there is no derivative in this file to get
wrong.

**To join, a new model, loss or optimizer takes one row of** :data:`MODELS`, :data:`LOSSES` **or**
:data:`OPTIMIZERS`. ``sparserec gradcheck``, :func:`~sparserec_np.verify.reference_case` and the
tests go through these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array

# An array or a tensor, and the module it is of.
Tensor = Any
Library = Any
Parameters = Mapping[str, Tensor]


class Pairs(NamedTuple):
    """The pairs and negatives of a batch, in plain arrays.

    Attributes:
        users: (b,) int64 user of each pair, which is its row where users are stored.
        positives: (b,) int64 row of each pair's item.
        negatives: (b, 1) int64 row of each pair's negative; or (1, s), those of all pairs.
        counted: (b, 1) or (b, s) bool, which of them are set against each pair.
        weights: (b,) what each pair's loss is multiplied by; or a number, for all of them.
    """

    users: Array
    positives: Array
    negatives: Array
    counted: Array
    weights: Array | float = 1.0


class Pull(NamedTuple):
    """The L2 terms; see :class:`~sparserec_np.models.model.Decay`.

    Attributes:
        user, positive, negative: weights of the three rows that a pair reads; of a user without a
            stored row, none.
        origin: (rows, dim) what they are drawn towards.
    """

    user: float
    positive: float
    negative: float
    origin: Array


# ---- models


class Scoring(NamedTuple):
    """The things that scores depend on besides the parameters.

    Attributes:
        log: the training interactions.
        similarity: of two rows, a name of :data:`SIMILARITIES`.
        temperature: scores are divided by it.
    """

    log: Interactions
    similarity: str
    temperature: float


def inner_product(one: Tensor, other: Tensor, xp: Library) -> Tensor:
    """Computes ``<x, y>``."""
    return (one * other).sum(-1)


def cosine(one: Tensor, other: Tensor, xp: Library) -> Tensor:
    """Computes ``<x, y> / (|x| |y|)``, 0 where a row is zero."""
    squares = (one * one).sum(-1) * (other * other).sum(-1)
    lengths = xp.sqrt(xp.where(squares > 0, squares, xp.ones_like(squares)))
    return (one * other).sum(-1) / lengths * (squares > 0)


SIMILARITIES = {"dot": inner_product, "cosine": cosine}


@dataclass(frozen=True)
class PlainModel:
    """A model of :data:`~sparserec_np.models.base_models.BASE_MODELS`, with its default settings.

    Attributes:
        score: scores of ``users`` with ``items``, two arrays of rows that are broadcast against
            each other, from dense parameters: ``"table"`` is the stacked table (rows, dim), and
            ``"weights"`` (n,) what the model has besides.
        weighted: whether it is checked with weights of interactions, too: for one model, what these
            do to the losses, and for each whose scores they change.
        whole: whether a batch gives all rows a gradient, and not those alone that its pairs name.
        positives: the same of users with items of theirs, in training; None where that is no other.
        stores_users: whether the table's first rows are users; else item 0 is row 0, and a batch
            gives a gradient to all items that its users touched.
        least_dim: columns for each part of it to have one. Without, what a part gives is the same
            for all items, and of a gradient that is 0 rounding alone would be compared.
    """

    score: Callable[[Parameters, Array, Array, Scoring, Library], Tensor]
    weighted: bool = False
    whole: bool = False
    positives: Callable[[Parameters, Array, Array, Scoring, Library], Tensor] | None = None
    stores_users: bool = True
    least_dim: int = 1


def matrix_factorization(
    parameters: Parameters, users: Array, items: Array, scoring: Scoring, xp: Library
) -> Tensor:
    """Computes the similarity of two rows, divided by the temperature."""
    table = parameters["table"]
    return SIMILARITIES[scoring.similarity](table[users], table[items], xp) / scoring.temperature


def lightgcn(parameters: Parameters, users: Array, items: Array, scoring: Scoring, xp: Library) -> Tensor:
    """Scores as :func:`matrix_factorization` does, with rows that were propagated.

    They are ``1/4 (x + A x + A^2 x + A^3 x)``, with ``A = D^-1/2 B D^-1/2`` (He et al. 2020).
    """
    log = scoring.log
    rows = log.n_users + log.n_items
    neighbours = np.zeros((rows, rows))
    neighbours[log.pair_users(), log.n_users + log.items] = 1
    neighbours += neighbours.T
    roots = np.sqrt(np.maximum(neighbours.sum(1), 1))
    operator = xp.asarray(neighbours / roots / roots[:, None])
    layers = [parameters["table"]]
    for _ in range(3):
        layers.append(operator @ layers[-1])
    return matrix_factorization({"table": sum(layers) / 4}, users, items, scoring, xp)


def neumf(parameters: Parameters, users: Array, items: Array, scoring: Scoring, xp: Library) -> Tensor:
    """Computes ``sum_c w_c u_c i_c + out . relu(relu(u' U + i' I + b1) H + b2)`` (He et al. 2017).

    Of d columns ``(d + 2) // 4`` are those of u' and i'. The weights lie in the order U, I, b1, H,
    b2, out, w; the layers have 16 and 8 units.
    """
    table, weights = parameters["table"], parameters["weights"]
    layers = (table.shape[1] + 2) // 4
    products, at = table.shape[1] - layers, 0
    parts = []
    for shape in ((layers, 16), (layers, 16), (16,), (16, 8), (8,), (8,), (products,)):
        size = int(np.prod(shape))
        parts.append(weights[at : at + size].reshape(shape))
        at += size
    of_user, of_item, bias1, hidden, bias2, out, factors = parts
    one, other = table[users], table[items]
    first = xp.clip(one[..., products:] @ of_user + other[..., products:] @ of_item + bias1, 0, None)
    second = xp.clip(first @ hidden + bias2, 0, None)
    return (factors * one[..., :products] * other[..., :products]).sum(-1) + second @ out


def relative_weights(log: Interactions) -> Array:
    """``w / mean of all``, in float32, as a table (n_users, n_items); 1 where nothing is said."""
    table = np.ones((log.n_users, log.n_items))
    if log.weights is not None:
        mean = np.mean(log.weights.astype(np.float64))
        table[log.pair_users(), log.items] = log.weights * np.float32(1 / mean)
    return table


def own_weights(log: Interactions) -> Array:
    """``w / mean of the user's``, in float32, as a table (n_users, n_items); 0 where nothing was touched."""
    table = np.zeros((log.n_users, log.n_items), np.float32)
    table[log.pair_users(), log.items] = 1 if log.weights is None else log.weights
    counts = np.maximum((table > 0).sum(1, keepdims=True), 1)
    means = (table.astype(np.float64).sum(1, keepdims=True) / counts).astype(np.float32)
    return (table / np.where(means > 0, means, 1)).astype(np.float64)


def item_numbers(parameters: Parameters, scoring: Scoring, xp: Library) -> Tensor:
    """``c_j = weights_j / degree_j``, (n_items,); an item that nobody touched counts as touched by one."""
    degrees = np.bincount(scoring.log.items, minlength=scoring.log.n_items)
    return parameters["weights"] / xp.asarray(np.maximum(degrees, 1.0))


def fism(parameters: Parameters, users: Array, items: Array, scoring: Scoring, xp: Library) -> Tensor:
    """``x_u . w_i`` with ``x_u = sum r_uj c_j w_j`` over the items j that u touched.

    Kabbur et al. 2013, tied; r is a pair's weight beside those of the user's others, mostly 1.
    """
    table, touched = parameters["table"], own_weights(scoring.log)
    made = (xp.asarray(touched) * item_numbers(parameters, scoring, xp)) @ table
    return (made[users] * table[items]).sum(-1)


def fism_without_own(
    parameters: Parameters, users: Array, items: Array, scoring: Scoring, xp: Library
) -> Tensor:
    """``(x_u - r_ui c_i w_i) . w_i``, of users with items that they touched."""
    own = item_numbers(parameters, scoring, xp)[items] * (parameters["table"][items] ** 2).sum(-1)
    shares = xp.asarray(own_weights(scoring.log)[users, items])
    return fism(parameters, users, items, scoring, xp) - shares * own


MODELS = {
    "mf": PlainModel(matrix_factorization, weighted=True),
    "lightgcn": PlainModel(lightgcn, whole=True),
    "neumf": PlainModel(neumf, least_dim=2),
    "fism": PlainModel(fism, weighted=True, positives=fism_without_own, stores_users=False),
}

# ---- losses
#
# Each gives (b,) losses. Scores in a check are small: nothing has to be guarded against overflow,
# and each loss is written as its textbook does. Arguments after ``xp`` are the loss's settings, by
# name.


class Given(NamedTuple):
    """The scores that a loss is computed from.

    Attributes:
        positive: (b, 1) scores p.
        negatives: (b, s) scores n; (b, 1) where each pair has one of its own.
        counted: like them, bool, which count.
        alike: (b, b) bool, whether two pairs are of one user.
    """

    positive: Tensor
    negatives: Tensor
    counted: Tensor
    alike: Tensor

    @property
    def counts(self) -> Tensor:
        """Number of negatives that count, (b,)."""
        return self.counted.sum(1)


def bpr(given: Given, xp: Library) -> Tensor:
    """Computes the mean of ``-log sigmoid(p - n)`` over negatives that count; 0 without any."""
    each = xp.log(1 + xp.exp(given.negatives - given.positive))
    return (each * given.counted).sum(1) / xp.clip(given.counts, 1, None)


def softmax(given: Given, xp: Library) -> Tensor:
    """Computes ``-log(exp(p) / (exp(p) + sum exp(n)))``.

    The sum is over the negatives that count; without any, the loss is 0.

    The sum is over the negatives that count.
    """
    own = xp.exp(given.positive[:, 0])
    return -xp.log(own / (own + (xp.exp(given.negatives) * given.counted).sum(1)))


def bce(given: Given, xp: Library, negative_weight: float) -> Tensor:
    """Computes ``-log sigmoid(p) - weight * mean log(1 - sigmoid(n))`` (He et al. 2017).

    The mean is over the negatives that count.
    """
    each = xp.log(1 + xp.exp(given.negatives))
    mean = (each * given.counted).sum(1) / xp.clip(given.counts, 1, None)
    return xp.log(1 + xp.exp(-given.positive[:, 0])) + negative_weight * mean


def bsl(given: Given, xp: Library, sharpness: float) -> Tensor:
    """Computes ``1/k log mean exp(k n) - log mean exp(p)`` (Wu et al. 2024).

    The mean over p is over the batch's pairs of one user.
    """
    some = given.counts > 0
    odds = (xp.exp(sharpness * given.negatives) * given.counted).sum(1)
    far = xp.log(xp.where(some, odds, xp.ones_like(odds)) / xp.clip(given.counts, 1, None)) / sharpness
    near = xp.log((xp.exp(given.positive[:, 0]) * given.alike).sum(1) / given.alike.sum(1))
    return (far - near) * some


def ccl(given: Given, xp: Library, negative_weight: float, margin: float) -> Tensor:
    """Computes ``1 - p + weight * mean max(0, n - margin)`` (Mao et al. 2021).

    The mean is over the negatives that count.
    """
    each = xp.clip(given.negatives - margin, 0, None)
    mean = (each * given.counted).sum(1) / xp.clip(given.counts, 1, None)
    return 1 - given.positive[:, 0] + negative_weight * mean


LOSSES: dict[str, Callable[..., Tensor]] = {
    "bpr": bpr,
    "softmax": softmax,
    "bce": bce,
    "bsl": bsl,
    "ccl": ccl,
}

# ---- what a batch costs


class Objective(NamedTuple):
    """The way from parameters to losses.

    Attributes:
        model: a name of :data:`MODELS`.
        loss: a name of :data:`LOSSES`.
        scoring: what scores depend on besides the parameters.
        settings: the loss's, by name.
    """

    model: str
    loss: str
    scoring: Scoring
    settings: Mapping[str, float]


def costs(
    objective: Objective, parameters: Parameters, pairs: Pairs, pull: Pull, xp: Library
) -> tuple[Tensor, Tensor]:
    """Computes what a batch costs: the sum of its pairs' weighted losses, and the L2 terms.

    A pair pays for the user, the positive and the negatives it reads; of s shared negatives, a
    share of ``1 / s`` each.
    """
    model, scoring = MODELS[objective.model], objective.scoring
    of_positives = model.positives or model.score
    users, positives = pairs.users[:, None], pairs.positives[:, None]
    given = Given(
        of_positives(parameters, users, positives, scoring, xp),
        model.score(parameters, users, pairs.negatives, scoring, xp),
        xp.asarray(pairs.counted),
        xp.asarray(users == pairs.users),
    )
    losses = LOSSES[objective.loss](given, xp, **objective.settings) * xp.asarray(pairs.weights)
    squares = ((parameters["table"] - xp.asarray(pull.origin)) ** 2).sum(1)
    share = len(pairs.users) / pairs.negatives.size
    of_users = pull.user * squares[pairs.users].sum() if model.stores_users else 0
    l2 = (
        of_users
        + pull.positive * squares[pairs.positives].sum()
        + pull.negative * share * squares[pairs.negatives].sum()
    ) / 2
    return losses.sum(), l2


# ---- optimizers
#
# Lazy, as the engine's are: rows that no pair of the batch reads rest, state and all.


@dataclass(frozen=True)
class PlainOptimizer:
    """An optimizer over a dense table.

    Attributes:
        step: changes values (rows, dim) and state in place, given the gradient (rows, dim), the
            rows that move (t,), and the rate.
        regrown: names of state that follows the entries, and what a regrown entry of it starts
            with, in means over the stored entries that its row had before.
    """

    step: Callable[[Array, Array, dict[str, Array], Array, float], None]
    regrown: Mapping[str, float] = field(default_factory=dict)


def sgd(values: Array, gradient: Array, state: dict[str, Array], rows: Array, rate: float) -> None:
    """Makes the step ``x <- x - rate * g``."""
    values[rows] -= rate * gradient[rows]


def adagrad(values: Array, gradient: Array, state: dict[str, Array], rows: Array, rate: float) -> None:
    """Makes a step of Adagrad (Duchi et al. 2011), with 1e-10 below the line."""
    squares = state.setdefault("squares", np.zeros_like(values))
    squares[rows] += gradient[rows] ** 2
    values[rows] -= rate * gradient[rows] / (np.sqrt(squares[rows]) + 1e-10)


def adam(values: Array, gradient: Array, state: dict[str, Array], rows: Array, rate: float) -> None:
    """Makes a step of Adam (Kingma and Ba 2015), with the usual constants.

    The step t of the bias correction is counted for each row.
    """
    first = state.setdefault("first", np.zeros_like(values))
    second = state.setdefault("second", np.zeros_like(values))
    steps = state.setdefault("steps", np.zeros((len(values), 1)))
    steps[rows] += 1
    first[rows] = 0.9 * first[rows] + 0.1 * gradient[rows]
    second[rows] = 0.999 * second[rows] + 0.001 * gradient[rows] ** 2
    first_mean = first[rows] / (1 - 0.9 ** steps[rows])
    second_mean = second[rows] / (1 - 0.999 ** steps[rows])
    values[rows] -= rate * first_mean / (np.sqrt(second_mean) + 1e-8)


OPTIMIZERS = {
    "adam": PlainOptimizer(adam, {"first": 0.0, "second": 1.0}),
    "adagrad": PlainOptimizer(adagrad, {"squares": 1.0}),
    "sgd": PlainOptimizer(sgd),
}

# ---- masks


class Mask(NamedTuple):
    """The outcome of a topology update.

    Attributes:
        active: (rows, dim) bool.
        values: (rows, dim), 0 where inactive.
        regrown: (rows, dim) bool, which entries are new.
    """

    active: Array
    values: Array
    regrown: Array


class Change(NamedTuple):
    """The size of a topology update: how many entries change, and what new ones start with.

    Attributes:
        fraction: of the explored rows' active entries, how many change.
        floor: entries that a row never loses.
        start: a regrown entry starts against its gradient, at this part of the largest magnitude
            pruned.
    """

    fraction: float
    floor: int
    start: float


def topology_update(values: Array, active: Array, sums: Array, rows: Array, change: Change) -> Mask:
    """Prunes the smallest entries of the explored rows, and regrows as many there.

    They regrow where the summed gradient is largest.

    Args:
        values: (rows, dim), 0 where inactive.
        active: (rows, dim) bool.
        sums: (rows, dim) gradients summed since the last update.
        rows: (m,) the explored rows.
        change: how many entries, and what new ones start with.
    """
    fraction, floor, start = change
    free, candidates = [], []
    for row in sorted(int(row) for row in rows):
        columns = [c for c in range(values.shape[1]) if active[row, c]]
        by_size = sorted(columns, key=lambda c: (-abs(values[row, c]), c))
        free += [(abs(values[row, c]), row, c) for c in by_size[floor:]]
        inactive = [c for c in range(values.shape[1]) if not active[row, c] and sums[row, c] != 0]
        candidates += [(-abs(sums[row, c]), row, c) for c in inactive]
    count = min(int(fraction * active[rows].sum()), len(free), len(candidates))
    new = Mask(active.copy(), values.copy(), np.zeros_like(active))
    for _, row, column in sorted(free)[:count]:
        new.active[row, column] = False
        new.values[row, column] = 0
    largest = max((size for size, _, _ in sorted(free)[:count]), default=0.0)
    for _, row, column in sorted(candidates)[:count]:
        new.active[row, column] = new.regrown[row, column] = True
        new.values[row, column] = -np.sign(sums[row, column]) * start * largest
    return new


def carry(optimizer: str, state: dict[str, Array], before: Array, mask: Mask) -> None:
    """Takes the optimizer's state through a topology update, in place.

    ``before`` (rows, dim) bool says what was active.
    """
    for name, share in OPTIMIZERS[optimizer].regrown.items():
        means = state[name].sum(1, where=before) / np.maximum(before.sum(1), 1)
        fresh = np.broadcast_to(share * means[:, None], before.shape)
        state[name][:] = np.where(mask.regrown, fresh, np.where(mask.active, state[name], 0))
