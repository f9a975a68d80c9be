"""What must hold of any file at all: the reader refuses it with a sentence, or serves it soundly."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import numpy as np

from sparserec_np.machine.memory import peak_bytes
from sparserec_np.runtime import (
    FOLDED_DIMENSIONS,
    SERVED,
    SMALLEST_SQUARE,
    ArtifactError,
    Recommender,
    SeenItemsMissingError,
    decode_model,
    read_artifact,
)
from sparserec_np.serving.model_file import ServedModel, load_model

LONGEST_SENTENCE = 1_000  # characters
SECONDS = 5.0
MEMORY = 8 << 20  # bytes, and what follows for each byte of the file
MEMORY_PER_BYTE = 64
DENSE_BYTES = 32  # for each number of the rows written out, which these checks do several times
PRODUCT_BYTES = 24  # for each pair of columns, where rows are solved for
USERS = 4


class Fault(Exception):
    """The reader did something with a file that it must not do."""


def check(path: Path) -> str | None:
    """Opens a file and recommends from it; returns the sentence it was refused with, or None.

    Raises Fault, or whatever the reader should not have raised, unless it is refused with an
    ArtifactError of one printable line, or serves lists that are right; within ``SECONDS``, and
    memory in proportion to its size and, where it is served, to its rows written out and to the
    pairs of its columns.
    """
    tracing = tracemalloc.is_tracing()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0] if tracing else peak_bytes()
    with time_limit(SECONDS):
        sentence, served = _open_and_use(path)
    # What the system has seen at most costs nothing to look at, and tells only what is new to it.
    taken = (tracemalloc.get_traced_memory()[1] if tracing else peak_bytes()) - before
    allowed = MEMORY + MEMORY_PER_BYTE * os.path.getsize(path) + served
    if taken > allowed:
        raise Fault(f"took {taken:,} bytes of memory, expected at most {allowed:,}")
    return sentence


def _open_and_use(path: Path) -> tuple[str | None, int]:
    """Returns the sentence a file was refused with, or None and the bytes that its answers may take."""
    try:
        recommender = Recommender.open(path)
    except ArtifactError as error:
        sentence = str(error).replace(str(path), "FILE")
        if not sentence.isprintable() or len(sentence) > LONGEST_SENTENCE:
            raise Fault(f"refused with {len(sentence):,} characters: {sentence[:200]!r}") from error
        _must_refuse_too(path)
        return sentence, 0
    decode_model(read_artifact(path))  # the same once more, by itself
    loaded = load_model(path)
    json.dumps(recommender.inspect(), allow_nan=False).encode("ascii")
    if not all(math.isfinite(number) for number in recommender.inspect()["metrics"].values()):
        raise Fault("metrics that are not finite were accepted")
    _check_ids(loaded, recommender)
    for row in sorted({0, len(recommender.user_ids) - 1, *range(USERS - 2)}):
        if 0 <= row < len(recommender.user_ids):
            _check_lists(recommender, loaded, row)
    if len(recommender.user_ids) and len(recommender.item_ids):
        _check_other_answers(recommender)
    numbers = (loaded.users.rows + loaded.items.rows) * loaded.dim
    return None, DENSE_BYTES * numbers + PRODUCT_BYTES * min(loaded.dim, FOLDED_DIMENSIONS) ** 2


def _check_other_answers(recommender: Recommender) -> None:
    """All else that can be asked of the first user and the first item: finite numbers, or a refusal."""
    user, item = recommender.user_ids[0], recommender.item_ids[0]
    for ask in (
        lambda: recommender.recommend_for_items([item], filter_seen=False).scores,
        lambda: recommender.similar_items(item).scores,
        lambda: recommender.score_items([user], [item]),
        lambda: recommender.user_factors(dense=True),
        lambda: recommender.item_factors(dense=True),
    ):
        try:
            found = ask()
        except (ArtifactError, SeenItemsMissingError):
            continue
        if not np.isfinite(found).all():
            raise Fault("numbers that are not finite were given")
    try:
        told = recommender.explain(user, item, n=None)
    except (ArtifactError, SeenItemsMissingError):
        return
    if not np.isclose(sum(told.scores), told.score, rtol=1e-6, atol=1e-6 * sum(map(abs, told.scores))):
        raise Fault("an explanation does not add up")


def _must_refuse_too(path: Path) -> None:
    try:
        load_model(path)
    except ArtifactError:
        return
    raise Fault("load_model accepts what Recommender refuses")


def _check_ids(loaded: ServedModel, recommender: Recommender) -> None:
    for name, ids in (("user_ids", recommender.user_ids), ("item_ids", recommender.item_ids)):
        if getattr(loaded, name).tolist() != [ids[row] for row in range(len(ids))]:
            raise Fault(f"load_model gives other {name}")
        if any(ids.find(ids[row]) != row for row in range(len(ids))):
            raise Fault(f"{name}: an id is not found again")


def _check_lists(recommender: Recommender, model: ServedModel, row: int) -> None:
    """One user's lists against sums in float64, made from the rows one by one."""
    n_items = model.items.rows
    seen = set(model.seen_items[model.seen_indptr[row] : model.seen_indptr[row + 1]].tolist())
    if model.metadata["model"] not in SERVED:
        _must_raise(ArtifactError, recommender, row, filter_seen=False)
        return
    exact, magnitude = EXACT[model.metadata["model"]](model, row)
    options = {}
    if not model.has_seen:
        _must_raise(SeenItemsMissingError, recommender, row)
        options = {"filter_seen": False}
    for n in (1, 5, n_items + 1):
        given = recommender.recommend(recommender.user_ids[row], n, **options)
        items, scores = given
        found = [recommender.item_ids.find(item) for item in items]
        if len(items) != len(scores) or len(items) != min(n, n_items - len(seen)):
            raise Fault(f"{len(items)} of {n} items were given")
        if None in found or len(set(found)) != len(found) or seen & set(found):
            raise Fault("an item was given that is none, was given before, or has been seen")
        if not np.isfinite(scores).all() or sorted(scores, reverse=True) != scores:
            raise Fault("scores are not finite, or do not fall")
        if not given.personal:
            _check_popular(model, row, scores)
            continue
        places = np.array(found, dtype=int)
        tolerance = 1e-5 * magnitude[places] + 1e-37
        if (abs(np.array(scores) - exact[places]) > tolerance).any():
            raise Fault("a score is not the sum of its products")
        rest = np.delete(exact, [*found, *seen])
        if len(rest) and len(items) and rest.max() > scores[-1] + 2e-5 * magnitude.max() + 1e-37:
            raise Fault("a better item was left out")


def _check_popular(model: ServedModel, row: int, scores: list[float]) -> None:
    """A list that is everybody's: all scores 0, for somebody of whom nothing is known."""
    places = np.arange(*model.seen_indptr[row : row + 2])
    if any(scores) or not np.isin(places, model.disliked).all():
        raise Fault("a list that is everybody's was given for somebody's, or has scores")


def _must_raise(error: type[Exception], recommender: Recommender, row: int, filter_seen: bool = True) -> None:
    try:
        recommender.recommend(recommender.user_ids[row], filter_seen=filter_seen)
    except error:
        return
    raise Fault(f"a list was given where {error.__name__} should be raised")


def _products(model: ServedModel, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Inner products of a user's row with the items' rows, and the magnitude of what they are the sum of."""
    n_items = model.items.rows
    indptr, columns, values = model.users
    user = np.zeros(model.dim)
    user[columns[indptr[row] : indptr[row + 1]]] = values[indptr[row] : indptr[row + 1]]
    products = user[model.items.columns] * model.items.values
    rows = np.repeat(np.arange(n_items), np.diff(model.items.indptr))
    exact, magnitude = (np.bincount(rows, some, minlength=n_items) for some in (products, abs(products)))
    return exact, magnitude


def _propagated_scores(model: ServedModel, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a lightgcn model by its equation, in dense matrices, and the magnitude of what they are the sum of."""
    n_users = model.users.rows
    rows = np.concatenate([table.to_dense(model.dim) for table in (model.users, model.items)]).astype(float)
    adjacency = np.zeros((len(rows), len(rows)))
    pairs = np.repeat(np.arange(n_users), np.diff(model.seen_indptr)), n_users + model.seen_items
    pairs = tuple(np.delete(some, model.held_out) for some in pairs)
    adjacency[pairs] = adjacency[pairs[::-1]] = 1
    roots = np.sqrt(np.maximum(adjacency.sum(axis=0), 1))
    adjacency /= roots[:, None] * roots
    layers, temperature = int(model.metadata["layers"]), float(model.metadata["temperature"])
    powers = [np.linalg.matrix_power(adjacency, layer) for layer in range(layers + 1)]
    mean = sum(powers) / (layers + 1)
    made, magnitudes = mean @ rows, mean @ abs(rows)
    if model.metadata["similarity"] == "cosine":
        lengths = np.sqrt(np.square(made).sum(axis=1, keepdims=True))
        made, magnitudes = (
            np.divide(some, lengths, out=np.zeros_like(some), where=lengths > 0)
            for some in (made, magnitudes)
        )
    return tuple(some[n_users:] @ some[row] / temperature for some in (made, magnitudes))  # type: ignore[return-value]


def _towered_scores(model: ServedModel, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a neumf model by its definition, in dense matrices, and a bound of all they are the sum of."""
    width, gmf = int(model.metadata["hidden"]), model.dim - (model.dim + 2) // 4
    mlp, narrow = model.dim - gmf, width // 2
    shapes = (mlp, width), (mlp, width), (width,), (width, narrow), (narrow,), (narrow,), (gmf,)
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    weights = [
        part.reshape(shape)
        for part, shape in zip(np.split(model.weights.astype(float), ends), shapes, strict=True)
    ]
    rows = model.users.to_dense(model.dim)[row].astype(float), model.items.to_dense(model.dim).astype(float)

    def run(rows: tuple[np.ndarray, np.ndarray], weights: list[np.ndarray]) -> np.ndarray:
        (own, items), (user, item, bias1, hidden, bias2, out, products) = rows, weights
        first = np.maximum(own[gmf:] @ user + items[:, gmf:] @ item + bias1, 0)
        second = np.maximum(first @ hidden + bias2, 0)
        return np.asarray(second @ out + items[:, :gmf] @ (products * own[:gmf]))

    return run(rows, weights), run((abs(rows[0]), abs(rows[1])), [abs(part) for part in weights])


def _made_of_touched(model: ServedModel, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a fism model, by the way that its users' rows are made."""
    ways = {"sum": _sums_of_touched, "ridge": _solved_from_touched, "neighbours": _sums_and_pairs}
    return ways[model.metadata.get("user_rows", "sum")](model, row)


def _touched_by(model: ServedModel, row: int) -> tuple[np.ndarray, np.ndarray]:
    """What a user has and does not dislike, and what each of it counts, 1 on average."""
    places = np.arange(model.seen_indptr[row], model.seen_indptr[row + 1])
    places = places[~np.isin(places, model.disliked)]
    weights = model.seen_weights.astype(float)[places] if len(model.seen_weights) else np.ones(len(places))
    return model.seen_items[places], weights / (weights.mean() if len(places) else 1)


def _solved_from_touched(model: ServedModel, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a fism model whose rows are solved for, by dense algebra, and a bound of what they are the sum of.

    Where two entries matter nearly alike, another than here may have been kept: then nothing is
    known of the scores.
    """
    touched, shares = _touched_by(model, row)
    items = model.items.to_dense(model.dim).astype(float)
    untouched, ridge = float(model.metadata["untouched_weight"]), float(model.metadata["ridge"])
    mean = np.square(items).sum() / max(len(items), 1)
    stored = np.zeros(model.dim, dtype=bool)
    for item in touched:  # a stored zero is an entry, too
        stored[model.items.columns[model.items.indptr[item] : model.items.indptr[item + 1]]] = True
    kept, user, unsure = np.flatnonzero(stored), np.zeros(model.dim), 1.0
    if not mean > SMALLEST_SQUARE:
        return np.zeros(len(items)), np.zeros(len(items))
    shared = untouched * items.T @ items + ridge * mean * np.eye(model.dim)
    own = items[touched]
    matrix, target = shared + own.T @ (shares[:, None] * own), shares @ own
    user[kept] = np.linalg.solve(matrix[np.ix_(kept, kept)], target[kept])
    most = min(max(int(model.metadata["row_entries"]), 1), model.dim)
    if len(kept) > most:
        worths = user[kept] ** 2 * np.diag(shared)[kept]
        order = np.argsort(-worths, kind="stable")
        unsure = 1.0 if worths[order[most]] < worths[order[most - 1]] * (1 - 1e-6) else 1e9
        kept = np.sort(kept[order[:most]])
        user[:] = 0
        user[kept] = np.linalg.solve(matrix[np.ix_(kept, kept)], target[kept])
    return items @ user, np.linalg.norm(user) * np.linalg.norm(items, axis=1) * unsure


def _sums_of_touched(model: ServedModel, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a fism model from sums of rows in float64, and the magnitude of what they are the sum of.

    Float32 may cut off another entry than float64, where the two are nearly equal: what these add
    counts as many times larger.
    """
    return _cut_sums(model, row, model.items.to_dense(model.dim).astype(float))


def _sums_and_pairs(model: ServedModel, row: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of the first columns, and what the pairs in the others say, both ways."""
    touched, shares = _touched_by(model, row)
    dense = model.items.to_dense(model.dim).astype(float)
    summed = model.dim - model.items.rows
    exact, magnitude = _cut_sums(model, row, dense[:, :summed])
    marks = shares * model.weights[touched].clip(0).astype(float) ** float(model.metadata["mark_power"])
    pairs = dense[:, summed:] + dense[:, summed:].T
    sizes = abs(dense[:, summed:]) + abs(dense[:, summed:].T)
    return exact + pairs[:, touched] @ marks, magnitude + sizes[:, touched] @ marks


def _cut_sums(model: ServedModel, row: int, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Products of ``items`` (n_items, columns) with the cut sum of those that a user touched."""
    touched, shares = _touched_by(model, row)
    numbers = shares * model.weights.astype(float)[touched]
    user, size = numbers @ items[touched], abs(numbers) @ abs(items[touched])
    entries = min(max(int(model.metadata["row_entries"]), 1), items.shape[1])
    last = np.sort(abs(user))[-entries]
    kept = user * (abs(user) >= last)
    unsure = abs(abs(user) - last) <= 1e-5 * (size + size[np.argsort(abs(user))[-entries]])
    return items @ kept, abs(items) @ (size * np.where(unsure, 1e6, 1))


# Name of a model -> its scores of one user in float64, and the magnitude of what they are the sum
# of.
EXACT = {
    "mf": _products,
    "popularity": _products,
    "itemknn": _products,
    "lightgcn": _propagated_scores,
    "neumf": _towered_scores,
    "fism": _made_of_touched,
}


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises Fault inside the block when it takes too long; only on systems that have such alarms."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise Fault(f"took more than {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
