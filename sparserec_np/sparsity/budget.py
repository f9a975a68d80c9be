"""The parameter budget: how many entries a model may store, from a density, a number or bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from sparserec_np.data.table import column_dtype, index_dtype
from sparserec_np.errors import ConfigError

VALUE_BYTES = 4
_UNITS = {"": 1, "b": 1} | {
    f"{letter}{ending}": base**power
    for power, letter in enumerate("kmgt", start=1)
    for ending, base in (("b", 1000), ("ib", 1024))
}


def parse_bytes(text: str) -> int:
    """Reads a number of bytes as people write it.

    Raises:
        ConfigError: it is not a number with a unit, or less than a byte.

    >>> parse_bytes("1.5MB"), parse_bytes("64 KiB"), parse_bytes("900000")
    (1500000, 65536, 900000)
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*", text)
    unit = _UNITS.get(match[2].lower()) if match else None
    size = float(match[1]) * unit if match and unit is not None else 0
    if not 1 <= size < 2**63:
        raise ConfigError(
            f"{text!r} is no amount of memory: expected a number and a unit, like 1.5MB, 800kB or 2MiB"
        )
    return int(size)


@dataclass(frozen=True)
class Budget:
    """How many entries a model stores, and the bytes that takes when served.

    Attributes:
        rows: users and items.
        dim: columns.
        nnz: stored entries, the parameter budget.
        id_bytes: bytes of the outside ids; 0 where they are the row numbers.
        marks: columns behind these, one for each item, in which entries may lie as well.
    """

    rows: int
    dim: int
    nnz: int
    id_bytes: int = 0
    marks: int = 0

    @property
    def density(self) -> float:
        """Stored entries over all."""
        return self.nnz / (self.rows * self.dim)

    @property
    def entry_bytes(self) -> int:
        """Bytes of a stored entry: its float32 value and its column."""
        return VALUE_BYTES + column_dtype(self.dim + self.marks).itemsize

    @property
    def fixed_bytes(self) -> int:
        """Bytes whatever the density: the bounds of the rows of both tables, and the ids."""
        return (self.rows + 2) * index_dtype(self.nnz).itemsize + self.id_bytes

    @property
    def total_bytes(self) -> int:
        """Bytes of the served tables and ids."""
        return self.nnz * self.entry_bytes + self.fixed_bytes

    def arithmetic(self) -> str:
        """Spells out the sum that leads to :attr:`total_bytes`, for people.

        >>> Budget(rows=998, dim=64, nnz=6400).arithmetic()
        '6,400 entries x (4 B value + 1 B column) + 4,000 B row bounds + 0 B ids = 36,000 B (density 0.1002)'
        """
        return (
            f"{self.nnz:,} entries x ({VALUE_BYTES} B value + {self.entry_bytes - VALUE_BYTES} B column)"
            f" + {self.fixed_bytes - self.id_bytes:,} B row bounds + {self.id_bytes:,} B ids"
            f" = {self.total_bytes:,} B (density {self.density:.4g})"
        )

    @classmethod
    def of_density(cls, rows: int, dim: int, density: float, id_bytes: int = 0) -> Budget:
        """Makes the budget of a density: ``nnz = round(density * rows * dim)``.

        Raises:
            ConfigError: the density is outside (0, 1], or leaves no entry at all.
        """
        if not 0 < density <= 1:
            raise ConfigError(f"The density must lie above 0 and at most at 1, found {density:g}")
        nnz = round(density * rows * dim)
        if nnz < 1:
            raise ConfigError(
                f"A density of {density:g} leaves none of {rows:,} x {dim} entries; raise --density or --dim"
            )
        return cls(rows, dim, nnz, id_bytes)

    @classmethod
    def of_entries(cls, rows: int, dim: int, entries: int, id_bytes: int = 0) -> Budget:
        """Makes the budget of a number of stored entries, the same whatever the width.

        Raises:
            ConfigError: it is below 1, or above the ``rows * dim`` entries that there are.
        """
        if not 1 <= entries <= rows * dim:
            raise ConfigError(
                f"A budget of {entries:,} entries is impossible: {rows:,} rows of {dim} columns hold 1 to"
                f" {rows * dim:,}; change --entries or --dim"
            )
        return cls(rows, dim, entries, id_bytes)

    @classmethod
    def of_bytes(cls, rows: int, dim: int, limit: int, id_bytes: int = 0) -> Budget:
        """Makes the budget of as many entries as fit into ``limit`` bytes, at most all.

        Raises:
            ConfigError: see :meth:`filled`.
        """
        return cls(rows, dim, 1, id_bytes).filled(limit)

    def filled(self, limit: int, weight_bytes: int = 0) -> Budget:
        """Makes the same budget of as many entries as fit into ``limit`` bytes, at most all.

        Args:
            limit: of tables, ids and weights together.
            weight_bytes: of dense weights, or of a number for each item.

        Raises:
            ConfigError: not one entry fits; the sentence holds the arithmetic.
        """
        least, room = replace(self, nnz=1), limit - weight_bytes
        nnz = min((room - least.fixed_bytes) // least.entry_bytes, self.rows * self.dim)
        narrow = int(np.iinfo(np.int32).max)
        if nnz > narrow:  # row bounds are wider then
            wide = (room - replace(least, nnz=nnz).fixed_bytes) // least.entry_bytes
            nnz = max(narrow, min(wide, self.rows * self.dim))
        if nnz < 1:
            bounds = least.fixed_bytes - self.id_bytes
            needs = [f"{bounds:,} B of row bounds", f"{self.id_bytes:,} B of ids"]
            needs += [f"{weight_bytes:,} B of weights"] * (weight_bytes > 0)
            raise ConfigError(
                f"A memory budget of {limit:,} B is impossible: {self.rows:,} rows need"
                f" {', '.join(needs[:-1])} and {needs[-1]} before the first entry;"
                f" give more than {least.total_bytes + weight_bytes:,} B"
            )
        return replace(least, nnz=nnz)
