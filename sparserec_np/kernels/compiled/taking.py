"""Numbers that threads take one after the other, so that a fast one takes more than a slow one.

This is written in LLVM's own terms: Numba has no such step for processors.

The specification is its twin's in ``kernels/reference/taking.py``. Called from Python, or with
Numba's compiler switched off, it is the plain version; kernels get the other.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload


def take(taken):  # type: ignore[no-untyped-def]  # Numba compares this signature with the overload's below
    taken[0] += 1
    return taken[0] - 1


@overload(take)
def _take(taken):  # type: ignore[no-untyped-def]
    return lambda taken: _take_one(taken)  # type: ignore[call-arg]


@intrinsic
def _take_one(typing, taken):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        counter = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", counter, ir.IntType(64)(1), "seq_cst")

    return types.int64(taken), generate
