"""The figures of a finished run on the test part, kept in a file beside it: means, users, costs."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparserec_np.errors import SparseRecError
from sparserec_np.evaluation.user_values import UserValues
from sparserec_np.machine.files import replacing

OF_USERS = "user/"  # how the names of their figures begin in the file


@dataclass(frozen=True)
class Measured:
    """A run, and what was measured of it.

    Attributes:
        facts: all but the users, as JSON knows it: ``seed``, ``seconds``, ``peak_bytes``,
            ``entries``, ``bytes``, ``density``, ``best_epoch``, ``validation`` and others.
        values: the figures of each user of the test part.
    """

    facts: dict[str, Any]
    values: UserValues

    def save(self, path: str) -> None:
        """Writes the file, whole or not at all."""
        text = json.dumps({"facts": self.facts, "overall": self.values.overall})
        arrays: dict[str, Any] = {OF_USERS + name: theirs for name, theirs in self.values.values.items()}
        arrays |= {"user_ids": self.values.user_ids, "text": np.array(text)}
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with replacing(path) as stream:
            np.savez(stream, **arrays)

    @classmethod
    def load(cls, path: str) -> Measured:
        """Reads what :meth:`save` wrote.

        Raises:
            SparseRecError: the file is something else.
            FileNotFoundError: there is none.
        """
        try:
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as found:
                told = json.loads(str(found["text"]))
                names = [name for name in found.files if name.startswith(OF_USERS)]
                values = {name.removeprefix(OF_USERS): found[name] for name in names}
                return cls(told["facts"], UserValues(found["user_ids"], values, told["overall"]))
        except FileNotFoundError:
            raise
        except (
            OSError,
            EOFError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            zipfile.BadZipFile,
        ) as error:
            raise SparseRecError(f"{path} holds no figures of a run; remove it to measure again") from error


def mean_values(measured: list[Measured], name: str) -> np.ndarray:
    """Returns the mean of a figure over runs, for each user: (m,) float64."""
    return np.mean([one.values.values[name] for one in measured], axis=0)
