"""Cells that threads take one after the other, each as soon as those before it are done.

A fast thread takes more of them than a slow one, and nobody waits at the end of a turn. Adding to a
number that threads share is written in LLVM's own terms: Numba has no such step for processors.

The specification is its twin's in ``kernels/reference/turns.py``. Called from Python, or with
Numba's compiler switched off, ``fetch_add`` is the plain version; kernels get the other.
"""

from __future__ import annotations

from typing import Any

import numba
from numba.core import types
from numba.extending import intrinsic, overload


def fetch_add(counter, number):  # type: ignore[no-untyped-def]  # Numba compares it with the overload's below
    counter[0] += number
    return counter[0] - number


@overload(fetch_add)
def _fetch_add(counter, number):  # type: ignore[no-untyped-def]
    return lambda counter, number: _add_at_once(counter, number)  # type: ignore[call-arg]


@intrinsic
def _add_at_once(typing, counter, number):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        place = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        wide = context.cast(builder, arguments[1], signature.args[1], types.int64)
        return builder.atomic_rmw("add", place, wide, "seq_cst")

    return types.int64(counter, number), generate


@numba.njit(nogil=True)
def begin(done: Any, parts: Any) -> Any:
    cell = fetch_add(done[parts * parts :], 1)
    if parts <= cell < parts * parts:
        p = cell % parts
        before = cell - p - parts
        for place in (before + p, before + (p + 1) % parts):
            while fetch_add(done[place:], 0) == 0:
                pass
    return cell


@numba.njit(nogil=True)
def end(done: Any, cell: Any) -> None:
    fetch_add(done[cell:], 1)
