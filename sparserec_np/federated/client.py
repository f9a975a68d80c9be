"""The client of federated learning: one person's items, which answer a server's questions. NumPy alone."""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Iterable, Sequence

import numpy as np

from sparserec_np.errors import PacketError
from sparserec_np.federated.gradient import answered
from sparserec_np.federated.packets import WHOLE, Answer, Array, Kind, Question, on_grid, signs_of
from sparserec_np.runtime import ArtifactError, Recommender


class Client:
    """One person's items, and what a server may learn of them.

    An answer depends on the question and on the client alone: to the same question it is the same,
    so that a server counts it once.

    Args:
        items: numbers of the items that the person touched, in the order of time as far as there is
            one; of an item that is named twice the last place counts.
        secret: bytes that nobody else knows; the tokens of answers are made of them.
        held_out: numbers of items that are kept back, to measure lists by.
        most: items that it answers from, at most, drawn by the secret; lists of its own are made of
            all.

    >>> from sparserec_np.federated.packets import Answer, Kind, Question
    >>> question = Question(Kind.COUNT, tag=7, n_items=10)
    >>> Answer.decode(Client([8, 2], secret=b"mine").answer(question.encode()), question).items.tolist()
    [2, 8]
    """

    def __init__(
        self,
        items: Iterable[int],
        secret: bytes,
        held_out: Sequence[int] = (),
        most: int | None = None,
    ) -> None:
        self._in_order = np.array(list(dict.fromkeys(reversed(list(items))))[::-1], np.int64)
        self._items = np.sort(self._in_order)
        self._secret = secret
        self._told = self._items if most is None else _some_of(self._items, most, secret)
        self._held_out = np.setdiff1d(np.asarray(held_out, np.int64), self._items)

    def answer(self, packet: bytes) -> bytes:
        """Answers a question.

        Raises:
            PacketError: the packet is no question that this client understands, or holds numbers or
                a model that nothing can be computed from.
        """
        question = Question.decode(packet)
        items = self._told[self._told < question.n_items]  # others are newer than the question
        try:
            if question.kind == Kind.RANK:
                own = self._in_order[self._in_order < question.n_items]
                values, shift = _measured(question, own, self._held_out), 0
            elif question.kind == Kind.GRADIENT:
                values, shift = answered(question, items), 0
            else:
                values, shift = _values(question, items)
        except (ArtifactError, KeyError, np.linalg.LinAlgError, FloatingPointError) as error:
            raise PacketError("garbage", f"The question cannot be answered: {error}") from error
        token = self._token(question.tag)
        return Answer(question.tag, token, items, shift, values).encode(question.lands)

    def _token(self, tag: int) -> int:
        """Makes the number by which answers to a pass are counted once; no two passes share it."""
        made = hashlib.blake2b(struct.pack("<I", tag), key=self._secret[:64], digest_size=8).digest()
        return int.from_bytes(made, "little")


def _some_of(items: Array, most: int, secret: bytes) -> Array:
    """Draws at most ``most`` of the items, by a secret: always the same ones."""
    seed = int.from_bytes(hashlib.blake2b(b"answered from", key=secret[:64]).digest(), "little")
    return np.sort(np.random.default_rng(seed).permutation(items)[:most])


def _values(question: Question, items: Array) -> tuple[Array, int]:
    """Computes what a question asks for, on its grid."""
    made = np.zeros(question.width)
    if len(items) and question.width:
        with np.errstate(all="raise", under="ignore"):
            made = _ANSWERS[question.kind](question, items)
        if not np.isfinite(made).all():
            raise FloatingPointError("it holds numbers that are not finite")
    return on_grid(made, question.grid, question.most)


def _mean_of_signs(question: Question, items: Array) -> Array:
    scales = question.scales[items].astype(np.float64)
    total = np.zeros(question.width)
    for item, scale in zip(items.tolist(), scales.tolist(), strict=True):
        total += scale * signs_of(question.seed, item, question.width)
    return total / len(items)


def _mean_of_rows(question: Question, items: Array) -> Array:
    return np.asarray(_rows_of(question, items).mean(axis=0))


def _solved(question: Question, items: Array) -> Array:
    """Solves ``(base + ridge n^1/2 I + Y'Y) x = Y'1`` for the rows Y of the n items."""
    rows = _rows_of(question, items)
    matrix = question.base.astype(np.float64) + rows.T @ rows
    matrix[np.diag_indices(len(matrix))] += question.ridge * np.sqrt(len(items))
    return np.asarray(np.linalg.solve(matrix, rows.sum(axis=0)))


def _rows_of(question: Question, items: Array) -> Array:
    return question.rows[items] * question.scales[items].astype(np.float64)[:, None]


_ANSWERS = {Kind.SIGNS: _mean_of_signs, Kind.ROWS: _mean_of_rows, Kind.SOLVE: _solved}


def _measured(question: Question, items: Array, held_out: Array) -> Array:
    """Measures the client's own list: 1, its recall and its NDCG in parts of ``WHOLE``; or zeros."""
    held_out = held_out[held_out < question.n_items]
    if not len(items) or not len(held_out):
        return np.zeros(3, "<u4")
    length = question.list_length
    found = _model_of(question.model).recommend_for_items(items.tolist(), length).items
    hits = np.flatnonzero(np.isin(np.asarray(found), held_out))
    gains = 1 / np.log2(np.arange(2, length + 2))
    ndcg = gains[hits].sum() / gains[: len(held_out)].sum()
    return np.rint(np.array([1, WHOLE * len(hits) / len(held_out), WHOLE * ndcg])).astype("<u4")


@functools.lru_cache(maxsize=1)
def _model_of(content: bytes) -> Recommender:
    """Reads a model file; the last one is kept, as several clients of one program may ask for it."""
    return Recommender.open(content)
