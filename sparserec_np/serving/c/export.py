"""A model as C99 source, for devices without Python: constant arrays and a function that recommends.

``write_c`` makes three files. ``recommender.h`` is the model and the ranking: it allocates nothing,
includes headers of the language only, and can be read as C++11 too. ``main.c`` and ``Makefile``
make a small program of it.

A score is the sum that ``runtime.Recommender`` and ``kernels.compiled.ranking`` form, to the last
bit: the user's stored dimensions ascending, float32, every product and every sum rounded. Compilers
that would fuse the two, where the processor can, are told not to. Equal scores come in the order of
the items.

The three stand beside this module as they are written, but for the names after a ``$`` in the
header, which the model fills in. ``id_number.h`` or ``id_text.h`` goes in once for the users and
once for the items, ``find_number.h`` or ``find_text.h`` once.

Items lie by dimension and are scored in blocks of ``BLOCK_ITEMS``, with one cursor for each entry
of the user's row: the memory to work in depends on the longest row, and not on the number of items.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib import resources
from string import Template

import numpy as np

from sparserec_np.machine.files import replacing
from sparserec_np.runtime import SERVED, Array, ArtifactError, Path, served_as
from sparserec_np.serving.model_file import ServedModel
from sparserec_np.serving.packing import narrowest

HEADER, MAIN, MAKEFILE = "recommender.h", "main.c", "Makefile"
BLOCK_ITEMS = 256  # a kilobyte of scores: little for a microcontroller, and enough to hide the loop around it
LINE_NUMBERS = 24  # a line stays far below the 4,095 characters that every C99 compiler takes

WRITTEN = tuple(name for name, kind in SERVED.items() if kind.exports and kind.stores_users)

C_TYPES = {
    **{np.dtype(f"u{width}"): f"uint{8 * width}_t" for width in (1, 2, 4, 8)},
    **{np.dtype(f"i{width}"): f"int{8 * width}_t" for width in (1, 2, 4, 8)},
    np.dtype(np.float32): "float",
}


def write_c(model: ServedModel, folder: Path) -> dict[str, int]:
    """Writes the model as C source into ``folder``, made if missing, and returns what it takes.

    The files replace older ones of the same names once all of them are written, the header last;
    the other two are the same for every model. If writing fails, the older ones stay.

    Returns bytes: of constant data, which goes to flash, for ``users``, ``items``, ``seen`` and
    ``ids``, and their sum ``flash``; and ``scratch``, the memory that a caller of
    ``sparserec_recommend`` gives it to work in, next to the lists it fills. The code itself, a
    kilobyte or two, is not counted.

    Raises ArtifactError, naming the field, for a model that could not be saved either, has no users
    or no items, does not say what users have seen, whose scores are no inner products, or that
    stores no users; OSError when the files cannot be written.
    """
    groups = _arrays(model)
    sizes = {name: sum(array.nbytes for array in arrays.values()) for name, arrays in groups.items()}
    sizes["flash"] = sum(sizes.values())
    entry = groups["items"]["item_starts"].dtype
    longest = int(np.diff(model.users.indptr).max())
    cursors = -(-max(longest, 1) * entry.itemsize // 4) * 4 // entry.itemsize  # no padding after them
    sizes["scratch"] = 4 * BLOCK_ITEMS + cursors * entry.itemsize
    header = Template(_source(HEADER)).substitute(
        users=model.users.rows,
        items=model.items.rows,
        dim=model.dim,
        block=BLOCK_ITEMS,
        cursors=cursors,
        entry=C_TYPES[entry],
        flash=sizes["flash"],
        scratch=sizes["scratch"],
        arrays="\n".join(_declared(name, array) for part in groups.values() for name, array in part.items()),
        user_ids=_id_code("user", groups["ids"]),
        item_ids=_id_code("item", groups["ids"]),
        find_user=_source("find_text.h" if "user_text" in groups["ids"] else "find_number.h"),
    )
    _write_together(os.fspath(folder), {HEADER: header, MAIN: _source(MAIN), MAKEFILE: _source(MAKEFILE)})
    return sizes


def _arrays(model: ServedModel) -> dict[str, dict[str, Array]]:
    """Makes the constant arrays, by purpose and name, in the narrowest types, none empty."""
    stored = model.encode().arrays  # which checks everything
    name = model.metadata["model"]
    if not served_as(name).exports:
        raise ArtifactError(
            f"metadata model is {name!r}: the C function scores by inner products of stored rows, which are the scores"
            f" of {', '.join(WRITTEN)}; `sparserec distill` makes an mf model of another"
        )
    if not (model.stores_users or model.has_numbers):
        raise ArtifactError(
            f"metadata user_rows is {model.metadata['user_rows']!r}: the C function solves for no user's row;"
            " `sparserec export` without --to c writes a file of this one"
        )
    if not model.stores_users:
        raise ArtifactError(
            f"metadata model is {name!r}: the C function reads users' rows and makes none, so it serves models of"
            f" {', '.join(WRITTEN)} alone; `sparserec export` without --to c writes a file of this one"
        )
    if not model.has_seen:
        raise ArtifactError(
            "the items that users have seen were left out, and the C function would recommend them again:"
            " write the model with them"
        )
    for name, table in (("users", model.users), ("items", model.items)):
        if not table.rows:
            raise ArtifactError(f"the model has no {name}, so there is nothing to write as C")
    by_dimension = model.items.by_column(model.dim)
    groups = {
        "users": {
            "user_starts": narrowest(model.users.indptr),
            "user_dimensions": narrowest(model.users.columns),
            "user_values": model.users.values.astype(np.float32),
        },
        "items": {
            "item_starts": narrowest(by_dimension.indptr),
            "item_numbers": narrowest(by_dimension.columns),
            "item_values": by_dimension.values.astype(np.float32),
        },
        "seen": {
            "seen_starts": narrowest(model.seen_indptr),
            "seen_items": narrowest(model.seen_items),
        },
        "ids": {},
    }
    for owner in ("user", "item"):
        if f"{owner}_ids" in stored:
            groups["ids"][f"{owner}_ids"] = stored[f"{owner}_ids"]
        elif f"{owner}_ids.text" in stored:
            groups["ids"][f"{owner}_text"] = stored[f"{owner}_ids.text"]
            groups["ids"][f"{owner}_text_starts"] = narrowest(stored[f"{owner}_ids.offsets"])
    for arrays in groups.values():
        for name, array in arrays.items():
            arrays[name] = array if len(array) else np.zeros(1, array.dtype)  # C has no empty arrays
    return groups


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
    source = _source("id_text.h" if f"{owner}_text" in arrays else "id_number.h")
    return Template(source).substitute(owner=owner, OWNER=owner.upper(), number=number)


def _source(name: str) -> str:
    """Reads a source file that comes with this package."""
    return resources.files("sparserec_np.serving.c").joinpath(name).read_text(encoding="ascii")


def _write_together(folder: str, texts: dict[str, str]) -> None:
    """Writes every file, and only then puts each in its place; no new folder stays empty."""
    made = not os.path.isdir(folder)
    os.makedirs(folder, exist_ok=True)
    try:
        with contextlib.ExitStack() as stack:
            for name, text in texts.items():
                file = stack.enter_context(replacing(os.path.join(folder, name)))
                file.write(text.encode("ascii"))
                file.flush()
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        raise
