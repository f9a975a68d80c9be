"""Attributes of items, such as genres and tags: what is known of an item before anybody touched it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.formats.header import ITEM_NAMES, plain
from sparserec_np.data.formats.source import Source, shown
from sparserec_np.data.frames import Frame, as_frame
from sparserec_np.data.ids import encode_ids
from sparserec_np.data.matrices import check_values, coordinates
from sparserec_np.data.table import Array
from sparserec_np.errors import DataError

ATTRIBUTE_NAMES = tuple("attribute attributes feature features tag tags genre genres category".split())
WEIGHT_NAMES = ("weight", "value", "count")
FIELDS = (2, 3)  # of a line: item, attribute, and perhaps a weight
PAIR = 2


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """Which attributes each item has, and how much of each, one row an item.

    Attributes:
        item_ids: ``(n,)`` outside ids of the items, int64 or text, sorted and unique.
        matrix: SciPy's CSR ``(n, m)`` float64, finite; no entry is stored twice.
        names: ``(m,)`` what the attributes are called, int64 or text, sorted and unique.

    >>> features = ItemFeatures.from_pairs([7, 7, 3], ["drama", "war", "war"])
    >>> features.item_ids.tolist(), features.names.tolist(), features.matrix.toarray().tolist()
    ([3, 7], ['drama', 'war'], [[0.0, 1.0], [1.0, 1.0]])
    """

    item_ids: Array
    matrix: Any
    names: Array

    def __repr__(self) -> str:
        """Says how many items and attributes there are."""
        return f"ItemFeatures(items={len(self.item_ids)}, attributes={len(self.names)}, entries={self.matrix.nnz})"

    @classmethod
    def from_pairs(
        cls, items: npt.ArrayLike, attributes: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> ItemFeatures:
        """Makes features of pairs of an item and an attribute, in any order.

        Args:
            items: ``(n,)`` outside ids.
            attributes: ``(n,)`` texts or whole numbers.
            weights: ``(n,)`` finite numbers, those of a repeated pair added up; all 1 by default.

        Raises:
            DataError: lengths differ, an id is missing, or a weight is not finite.
        """
        from scipy.sparse import csr_matrix

        rows, item_ids = encode_ids(items, None, "item")
        columns, names = encode_ids(attributes, None, "attribute")
        values = np.ones(len(rows)) if weights is None else np.asarray(weights)
        if not len(rows) == len(columns) == len(values):
            raise DataError(
                f"Items, attributes and weights must be equally many, found {len(rows)}, {len(columns)} and"
                f" {len(values)}."
            )
        check_values(values, "Weights of attributes", lambda at: (int(rows[at]), int(columns[at])))
        matrix = csr_matrix((values.astype(np.float64), (rows, columns)), shape=(len(item_ids), len(names)))
        return cls(item_ids, matrix, names)

    @classmethod
    def from_matrix(cls, matrix: Any, item_ids: npt.ArrayLike | None = None) -> ItemFeatures:
        """Makes features of a matrix of items x attributes.

        Args:
            matrix: ``(n, m)`` SciPy's, in any form, or a dense array.
            item_ids: ``(n,)`` outside ids of the rows, none twice; by default 0 to n - 1.

        Raises:
            DataError: it is no such matrix, holds a value that is not finite, or the ids do not go
                with it.
        """
        from scipy.sparse import csr_matrix

        try:
            cells = coordinates(matrix if hasattr(matrix, "tocoo") else csr_matrix(np.atleast_2d(matrix)))
        except (ValueError, TypeError) as error:
            raise DataError(f"The matrix of attributes is not sound: {error}") from error
        check_values(cells.data, "The matrix of attributes", lambda at: (cells.row[at], cells.col[at]))
        count, width = cells.shape
        wanted = np.arange(count) if item_ids is None else item_ids
        places, ids = encode_ids(wanted, None, "item")
        if not len(places) == len(ids) == count:
            raise DataError(
                f"A matrix of {count:,} items needs as many different item_ids, found {len(ids):,} of"
                f" {len(places):,} given."
            )
        found = csr_matrix((cells.data.astype(np.float64), (places[cells.row], cells.col)), (count, width))
        return cls(ids, found, np.arange(width, dtype=np.int64))

    def of_items(self, ids: Array) -> Any:
        """Returns the rows of other ids (k,), CSR ``(k, m)``; an item without attributes has an empty one.

        12 and "12" are the same id.
        """
        from scipy.sparse import csr_matrix

        places, both = encode_ids(self.item_ids, ids)
        wanted = encode_ids(ids, self.item_ids)[0]
        at = np.full(len(both), -1)
        at[places] = np.arange(len(places))
        rows = at[wanted]
        there = np.flatnonzero(rows >= 0)
        picks = csr_matrix((np.ones(len(there)), (there, rows[there])), shape=(len(ids), len(self.item_ids)))
        return (picks @ self.matrix).tocsr()


def read_item_features(path: str | os.PathLike[str]) -> ItemFeatures:
    """Reads a file of lines ``item<TAB>attribute`` or ``item<TAB>attribute<TAB>weight``.

    It may be compressed, as files of interactions may. A first line that calls the first column
    item, and blank lines, are left out.

    Raises:
        DataError: a line is something else; the message names the first. Or there is none.
        OSError: it cannot be read.
    """
    items: list[str] = []
    attributes: list[str] = []
    weights: list[float] = []
    with Source(os.fspath(path)) as source:
        for block in source.blocks():
            for at, raw in enumerate(block.text.split(b"\n")[:-1]):
                fields = [field.strip() for field in raw.decode("utf-8", "replace").split("\t")]
                if fields == [""] or (not items and plain(fields[0]) in ITEM_NAMES):
                    continue
                weight = _weight(fields)
                if weight is None:
                    expected = "item, attribute and perhaps a weight, a finite number, with tabs between"
                    raise source.refuse(block.line_number(at), expected, shown(raw))
                items.append(fields[0])
                attributes.append(fields[1])
                weights.append(weight)
    if not items:
        raise DataError(
            f"{os.fspath(path)} holds no attribute of any item; expected lines item<TAB>attribute."
        )
    return ItemFeatures.from_pairs(_as_ids(items), np.array(attributes, dtype=object), weights)


def _weight(fields: list[str]) -> float | None:
    """Returns the weight in a line's fields, 1 where they have none; None for what is no such line."""
    if len(fields) not in FIELDS or not fields[0] or not fields[1]:
        return None
    try:
        weight = float(fields[PAIR]) if len(fields) > PAIR else 1.0
    except ValueError:
        return None
    return weight if math.isfinite(weight) else None


def _as_ids(texts: list[str]) -> Array:
    """Returns ids as numbers, if all are written as whole numbers are, else as texts."""
    found = np.array(texts, dtype=object)
    whole = all(text.removeprefix("-").isdecimal() and len(text) < 19 for text in texts)  # of int64
    if whole and all(str(int(text)) == text for text in texts):
        return found.astype(np.int64)
    return found


def as_item_features(given: Any) -> ItemFeatures:
    """Converts what people bring to ItemFeatures.

    Args:
        given: ItemFeatures; the path of a file (:func:`read_item_features`); a frame with a column
            of items, one of attributes and perhaps one called weight, a row for each pair; ``(n,
            2)`` pairs as an array or a list of tuples; or a SciPy matrix of items x attributes,
            whose rows are the items 0, 1, 2, ...

    Raises:
        DataError: it is something else, or not sound.

    >>> as_item_features([("a", "war"), ("b", "war")])
    ItemFeatures(items=2, attributes=1, entries=2)
    """
    if isinstance(given, ItemFeatures):
        return given
    if isinstance(given, (str, os.PathLike)):
        return read_item_features(given)
    if hasattr(given, "tocoo"):
        return ItemFeatures.from_matrix(given)
    if (frame := as_frame(given)) is not None:
        return _of_frame(frame)
    pairs = list(zip(*given, strict=True)) if isinstance(given, (list, tuple)) else np.asarray(given).T
    if len(pairs) != PAIR:
        raise DataError(
            "Expected ItemFeatures, the path of a file, a frame, (n, 2) pairs of item and attribute, or a SciPy matrix"
            f" of items x attributes, found {type(given).__name__}."
        )
    items, attributes = (list(side) if isinstance(side, tuple) else side for side in pairs)
    return ItemFeatures.from_pairs(items, attributes)


def _of_frame(frame: Frame) -> ItemFeatures:
    """Takes the columns of items, of attributes and of weights, by their names."""
    names = [plain(str(name)) for name in frame.names]
    item, attribute, weight = (
        next((names.index(name) for name in known if name in names), None)
        for known in (ITEM_NAMES, ATTRIBUTE_NAMES, WEIGHT_NAMES)
    )
    if item is None or attribute is None:
        raise DataError(
            "A frame of attributes needs a column called item and one called attribute, a row for each pair; found"
            f" {', '.join(map(str, frame.names))[:300] or 'none'}."
        )
    weights = None if weight is None else np.asarray(frame.column(weight), dtype=np.float64)
    return ItemFeatures.from_pairs(frame.column(item), frame.column(attribute), weights)
