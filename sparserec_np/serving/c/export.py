"""A model as C99 source, for devices without Python: constant arrays and a function that recommends.

``write_c`` makes three files. ``recommender.h`` is the model and the ranking: it allocates nothing,
includes headers of the language only, and can be read as C++11 too. ``main.c`` and ``Makefile``
make a small program of it.

A score is the sum that ``runtime.Recommender`` and ``kernels.compiled.ranking`` form, to the last
bit: the user's stored dimensions ascending, float32, every product and every sum rounded. Compilers
that would fuse the two, where the processor can, are told not to. Equal scores come in the order of
the items.

The sources stand beside this module as they are written, but for the names after a ``$``, which
the model fills in. ``stored_rows`` writes models whose users have rows, ``touched_items`` those
that make a user's row of the items they touched.
"""

from __future__ import annotations

import contextlib
import os
from string import Template

from sparserec_np.machine.files import replacing
from sparserec_np.runtime import EXPORTED, ArtifactError, Path, served_as
from sparserec_np.serving.c.source import Source, program_of, read_source
from sparserec_np.serving.c.stored_rows import of_stored_rows
from sparserec_np.serving.c.touched_items import of_touched_items
from sparserec_np.serving.model_file import ServedModel

HEADER, MAIN, MAKEFILE = "recommender.h", "main.c", "Makefile"


def write_c(model: ServedModel, folder: Path, dtype: str = "float32") -> dict[str, int]:
    """Writes the model as C source into ``folder``, made if missing, and returns what it takes.

    The files replace older ones of the same names once all of them are written, the header last.
    If writing fails, the older ones stay.

    Args:
        model: what to write.
        folder: where to.
        dtype: of the items' values; float32, or int8 where the model stores no users: the lists are
            then those of the file that ``packing.pack`` makes in int8.

    Returns bytes: of constant data, which goes to flash, by purpose (``items``, ``seen`` and
    ``ids``; ``users`` where they have rows, else ``weights``; ``popular``, the order of the items
    for users without interactions, if there are any), and their sum ``flash``; and ``scratch``, the
    memory that a caller of ``sparserec_recommend`` gives it to work in, next to
    the lists it fills. The code itself, a kilobyte or two, is not counted.

    Raises ArtifactError, naming the field, for a model that could not be saved either, has no
    items, or whose scores are no inner products; where users have rows, for one without users or
    without what they have seen; for another dtype. OSError when the files cannot be written.
    """
    source = _source_of(model, dtype)
    sizes = source.sizes
    header = Template(read_source(HEADER)).substitute(
        users=model.users.rows,
        items=model.items.rows,
        dim=model.dim,
        flash=sizes["flash"],
        scratch=sizes["scratch"],
        arrays=source.declared,
        functions=source.functions,
        ranking=source.ranking,
    )
    texts = {HEADER: header, MAIN: program_of(source), MAKEFILE: read_source(MAKEFILE)}
    _write_together(os.fspath(folder), texts)
    return sizes


def _source_of(model: ServedModel, dtype: str) -> Source:
    """Makes the parts of the source that the kind of model gives."""
    stored = model.encode().arrays  # which checks everything
    name = model.metadata["model"]
    if not served_as(name).exports:
        raise ArtifactError(
            f"metadata model is {name!r}: the C function scores by inner products of stored rows, which are the scores"
            f" of {', '.join(EXPORTED)}; `sparserec distill` makes an mf model of another"
        )
    if not model.stores_users and model.metadata.get("user_rows") == "ridge":
        raise ArtifactError(
            "metadata user_rows is 'ridge': the C function solves for no rows; `sparserec export` without --to c writes"
            " a file of this one"
        )
    if not model.items.rows:
        raise ArtifactError("the model has no items, so there is nothing to write as C")
    return (of_stored_rows if model.stores_users else of_touched_items)(model, stored, dtype)


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
