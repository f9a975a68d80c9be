"""The parts of C source that one kind of model gives: constant arrays, and the code that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from string import Template
from typing import NamedTuple

import numpy as np

from sparserec_np.runtime import Array, Recommender
from sparserec_np.serving.model_file import ServedModel
from sparserec_np.serving.packing import narrowest

LINE_NUMBERS = 24  # a line stays far below the 4,095 characters that every C99 compiler takes
C_TYPES = {
    **{np.dtype(f"u{width}"): f"uint{8 * width}_t" for width in (1, 2, 4, 8)},
    **{np.dtype(f"i{width}"): f"int{8 * width}_t" for width in (1, 2, 4, 8)},
    np.dtype(np.float32): "float",
}


class Source(NamedTuple):
    """What the header of one model holds besides what all have.

    Attributes:
        groups: the constant arrays, by purpose and name, in the narrowest types, none empty.
        scratch: bytes of memory that its function works in.
        ranking: C code, from the scratch's type on.
        finds: owners, ``user`` or ``item``, whose rows are looked up by their outside ids.
        program: name of the file that is written as ``main.c``.
        told: C code in it that follows a user's list.
    """

    groups: dict[str, dict[str, Array]]
    scratch: int
    ranking: str
    finds: tuple[str, ...]
    program: str
    told: str = ""

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes by purpose, of all constant data (``flash``), and of ``scratch``."""
        sizes = {name: sum(array.nbytes for array in arrays.values()) for name, arrays in self.groups.items()}
        return {**sizes, "flash": sum(sizes.values()), "scratch": self.scratch}

    @property
    def declared(self) -> str:
        """The definitions of all arrays."""
        return "\n".join(
            _declared(name, array) for part in self.groups.values() for name, array in part.items()
        )

    @property
    def functions(self) -> str:
        """The functions that give the outside ids of rows, and find rows by them."""
        ids = self.groups["ids"]
        owners = [owner for owner in ("user", "item") if owner in self.finds or owner == "item"]
        return "\n".join(_id_code(owner, ids) for owner in owners) + "".join(
            "\n" + _find_code(owner, ids) for owner in self.finds
        )


class Strangers(NamedTuple):
    """What a model's users without interactions get: nothing is written where there are none.

    Attributes:
        rows: of these users, ascending.
        groups: the constant array of the items, those first that most users touched.
        ranking: names in the template of a function for users -> C code.
        told: C code for ``main.c`` that says so.
    """

    rows: list[int]
    groups: dict[str, dict[str, Array]]
    ranking: dict[str, str]
    told: str


def strangers_of(model: ServedModel, stranger: str) -> Strangers:
    """Finds a model's users without interactions, whom the C condition ``stranger`` tells from others."""
    recommender = Recommender(model.encode())
    rows = recommender.strangers()
    if not rows:
        return Strangers(rows, {}, {"popular": "", "strangers": ""}, "")
    return Strangers(
        rows,
        {"popular": {"popular_items": narrowest(recommender.popular_items)}},
        {
            "popular": Template(read_source("popular.h")).substitute(stranger=stranger),
            "strangers": read_source("if_stranger.h"),
        },
        read_source("told_stranger.h"),
    )


def program_of(source: Source) -> str:
    """Makes the program that is written as ``main.c``, which finds and prints ids."""
    functions = {
        f"{verb}_{owner}": Template(read_source(name)).substitute(owner=owner, OWNER=owner.upper())
        for verb, name in (("find", "find_typed.h"), ("print", "print_id.h"))
        for owner in ("user", "item")
    }
    return Template(read_source(source.program)).substitute(functions, told=source.told)


def read_source(name: str) -> str:
    """Reads a source file that comes with this package."""
    return resources.files("sparserec_np.serving.c").joinpath(name).read_text(encoding="ascii")


def id_arrays(owner: str, stored: dict[str, Array]) -> dict[str, Array]:
    """Takes the arrays of an owner's outside ids from those of a model file; none where rows are ids."""
    if f"{owner}_ids" in stored:
        return {f"{owner}_ids": stored[f"{owner}_ids"]}
    if f"{owner}_ids.text" in stored:
        return {
            f"{owner}_text": stored[f"{owner}_ids.text"],
            f"{owner}_text_starts": narrowest(stored[f"{owner}_ids.offsets"]),
        }
    return {}


def seen_arrays(model: ServedModel) -> dict[str, Array]:
    """Makes the arrays of what users have seen."""
    seen = {"seen_starts": narrowest(model.seen_indptr), "seen_items": narrowest(model.seen_items)}
    return {**seen, "seen_ages": model.seen_ages} if len(model.seen_ages) else seen


def none_empty(groups: dict[str, dict[str, Array]]) -> dict[str, dict[str, Array]]:
    """Replaces arrays of no numbers, which C does not have, by such of one."""
    return {
        group: {name: array if len(array) else np.zeros(1, array.dtype) for name, array in arrays.items()}
        for group, arrays in groups.items()
    }


def _declared(name: str, array: Array) -> str:
    """Spells the definition of a constant array; its numbers are read back to the same bits."""
    lines = "\n".join(_lines(array))
    return f"static const {C_TYPES[array.dtype.newbyteorder('=')]} sparserec_{name}[{len(array)}] = {{\n{lines}\n}};\n"


def _lines(array: Array) -> Iterator[str]:
    for start in range(0, len(array), LINE_NUMBERS):
        part = array[start : start + LINE_NUMBERS]
        if array.dtype.kind == "f":
            # The shortest decimal that is this float32 and no other.
            yield "f,".join(part.astype(np.str_).tolist()) + "f,"
        else:
            yield ",".join(map(_integer, part.tolist())) + ","


def _integer(number: int) -> str:
    # In C this number is the minus of one that no type holds.
    return str(number) if number > -(2**63) else f"({number + 1} - 1)"


def _id_code(owner: str, arrays: dict[str, Array]) -> str:
    """Spells the C function that gives the outside id of a row."""
    number = f"sparserec_{owner}_ids[{owner}]" if f"{owner}_ids" in arrays else owner
    source = read_source("id_text.h" if f"{owner}_text" in arrays else "id_number.h")
    return Template(source).substitute(owner=owner, OWNER=owner.upper(), number=number)


def _find_code(owner: str, arrays: dict[str, Array]) -> str:
    """Spells the C function that finds the row of an outside id."""
    source = read_source("find_text.h" if f"{owner}_text" in arrays else "find_number.h")
    return Template(source).substitute(owner=owner, OWNER=owner.upper())
