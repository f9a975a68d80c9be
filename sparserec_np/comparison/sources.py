"""The data of a comparison: files that every process reads for itself, and knows again by digests."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparserec_np.data.formats import read_file, without_core
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import DataError
from sparserec_np.evaluation.beyond import Catalogue


@dataclass(frozen=True)
class Loaded:
    """Interactions in memory, all over the users and items of ``log``.

    Attributes:
        log: to train on.
        test: to evaluate on.
        held_out: to choose by; None for a part of ``log``.
        catalogue: what tells of the items in all lists, whatever the model: who touched them.
    """

    log: Interactions
    test: Interactions
    held_out: Interactions | None
    catalogue: Catalogue


@dataclass(frozen=True)
class Sources:
    """The files of a comparison.

    Attributes:
        train, test: paths.
        validation: a path; None for a part of ``train``.
        reader: keywords of :func:`~sparserec_np.data.formats.read_interactions`.
        digests: of what the files held when the comparison began, by the names above.
    """

    train: str
    test: str
    validation: str | None
    reader: dict[str, Any]
    digests: dict[str, str]

    @classmethod
    def of(cls, files: dict[str, str | None], reader: dict[str, Any]) -> Sources:
        """Reads the files, and keeps their digests.

        Raises:
            DataError: a file is no interactions, or has nothing in common with ``train``.
        """
        train, test = files["train"], files["test"]
        assert train is not None and test is not None
        unknown = cls(train, test, files.get("validation"), reader, {})
        return cls(train, test, files.get("validation"), reader, unknown._found()[1])

    def load(self) -> Loaded:
        """Reads the files, once in a process.

        Raises:
            DataError: a file holds something else than when the comparison began.
        """
        key = json.dumps([self.train, self.test, self.validation, self.reader, self.digests])
        return _load(key)

    def _found(self) -> tuple[Loaded, dict[str, str]]:
        log = read_file(self.train, **self.reader).interactions
        others = without_core(self.reader)
        test = _aligned(self.test, read_file(self.test, **others).interactions, log, self.train)
        digests = {"train": digest_of(log), "test": digest_of(test)}
        held_out = None
        if self.validation:
            given = read_file(self.validation, **others).interactions
            held_out = _aligned(self.validation, given, log, self.train)
            digests["validation"] = digest_of(held_out)
        return Loaded(log, test, held_out, told_by_users(log)), digests


@functools.lru_cache(maxsize=1)
def _load(key: str) -> Loaded:
    train, test, validation, reader, digests = json.loads(key)
    loaded, found = Sources(train, test, validation, reader, digests)._found()
    for name, digest in found.items():
        if digests[name] != digest:
            path = {"train": train, "test": test, "validation": validation}[name]
            raise DataError(f"{path} has changed since the comparison began; compare into another directory")
    return loaded


def digest_of(log: Interactions) -> str:
    """Returns a hex sha256 over interactions, with their order of time where they have one."""
    sha = hashlib.sha256(log.digest().encode())
    if log.times is not None:
        sha.update(np.ascontiguousarray(log.times).tobytes())
    return sha.hexdigest()


def told_by_users(log: Interactions) -> Catalogue:
    """Makes a catalogue whose items are as alike as the users who touched them.

    So lists of models with different rows can be compared, which their own rows could not.
    """
    indptr, users = log.by_item()
    return Catalogue.of(log, SparseTable(indptr, users, np.ones(len(users), dtype=np.float32)))


def _aligned(path: str, given: Interactions, log: Interactions, train: str) -> Interactions:
    placed, _ = given.aligned_to(log)
    if not placed.n_interactions:
        raise DataError(
            f"No interaction in {path} is between a user and an item of {train}; expected a file with the same ids"
        )
    return placed
