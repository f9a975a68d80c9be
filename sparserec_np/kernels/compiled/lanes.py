"""Comparisons and sums of 64 numbers at a time, written in LLVM's own terms.

The compiler finds no lanes in the plain loops, or keeps a line's running sums in memory instead of
registers (docs/speed.md holds the figures). The vectors have no processor's width: LLVM cuts them
into registers. Nothing of IEEE arithmetic is given up.

The specification of each function is its twin's in ``kernels/reference/lanes.py``. Called from
Python, or with Numba's compiler switched off, they are their plain versions; kernels get the fast
ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

LINE_NUMBERS = 64  # numbers worked on at a time: a mask of them fits uint64
LINE_PARTS = 4  # variables a line of running sums is kept in, as LLVM does not keep a wider one in registers


def reaching(values, start, floor):  # type: ignore[no-untyped-def]  # Numba compares this signature with the overload's
    return np.packbits(values[start : start + LINE_NUMBERS] >= floor, bitorder="little").view("<u8")[0]


def lowest_bit(mask):  # type: ignore[no-untyped-def]
    return (int(mask) & -int(mask)).bit_length() - 1


def add_lines(weights, begins, first, last, offset, values, out, at):  # type: ignore[no-untyped-def]
    for u in range(first, last):
        out[at : at + LINE_NUMBERS] += weights[u] * values[begins[u] + offset :][:LINE_NUMBERS]


@overload(reaching)
def _reaching(values, start, floor):  # type: ignore[no-untyped-def]
    return lambda values, start, floor: _compare(values, np.int64(start), floor)  # type: ignore[call-arg]


@overload(lowest_bit)
def _lowest_bit(mask):  # type: ignore[no-untyped-def]
    return lambda mask: _count_zeros(mask)  # type: ignore[call-arg]


@overload(add_lines)
def _add_lines(weights, begins, first, last, offset, values, out, at):  # type: ignore[no-untyped-def]
    def add(weights, begins, first, last, offset, values, out, at):  # type: ignore[no-untyped-def]
        places = np.int64(first), np.int64(last), np.int64(offset), np.int64(at)
        _sum_lines(weights, begins, places, values, out)  # type: ignore[call-arg]

    return add


@intrinsic
def _compare(typing, values, start, floor):  # type: ignore[no-untyped-def]
    signature = types.uint64(values, types.int64, values.dtype)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        values = context.make_array(signature.args[0])(context, builder, arguments[0])
        line = ir.VectorType(context.get_data_type(signature.args[0].dtype), LINE_NUMBERS)
        found = builder.fcmp_ordered(
            ">=",
            _load(builder, builder.gep(values.data, [arguments[1]]), line, signature.args[0].dtype),
            _spread(builder, arguments[2], line),
        )
        return builder.bitcast(found, ir.IntType(LINE_NUMBERS))

    return signature, generate


@intrinsic
def _count_zeros(typing, mask):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def _sum_lines(typing, weights, begins, places, values, out):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        weights, begins, values, out = (
            context.make_array(signature.args[k])(context, builder, arguments[k]) for k in (0, 1, 3, 4)
        )
        first, last, offset, at = cgutils.unpack_tuple(builder, arguments[2])
        kind = signature.args[0].dtype
        width = LINE_NUMBERS // LINE_PARTS
        part = ir.VectorType(context.get_data_type(kind), width)
        sums = [cgutils.alloca_once(builder, part) for _ in range(LINE_PARTS)]

        def parts_of(array, place):  # type: ignore[no-untyped-def]
            start = builder.gep(array.data, [place])
            return [builder.gep(start, [place.type(k * width)]) for k in range(LINE_PARTS)]

        for total, pointer in zip(sums, parts_of(out, at), strict=True):
            builder.store(_load(builder, pointer, part, kind), total)
        with cgutils.for_range_slice(builder, first, last, first.type(1), first.type) as (u, _):
            weight = _spread(builder, builder.load(builder.gep(weights.data, [u])), part)
            begin = builder.load(builder.gep(begins.data, [u]))
            for total, pointer in zip(sums, parts_of(values, builder.add(begin, offset)), strict=True):
                product = builder.fmul(weight, _load(builder, pointer, part, kind))
                builder.store(builder.fadd(builder.load(total), product), total)
        for total, pointer in zip(sums, parts_of(out, at), strict=True):
            stored = builder.store(builder.load(total), builder.bitcast(pointer, part.as_pointer()))
            stored.align = kind.bitwidth // 8
        return context.get_dummy_value()

    return types.void(weights, begins, places, values, out), generate


def _load(builder: Any, pointer: Any, line: Any, kind: Any) -> Any:
    """Loads the vector that starts at ``pointer``, aligned to one number or more."""
    loaded = builder.load(builder.bitcast(pointer, line.as_pointer()))
    loaded.align = kind.bitwidth // 8
    return loaded


def _spread(builder: Any, number: Any, line: Any) -> Any:
    """Makes a vector that holds ``number`` in every lane."""
    nothing = ir.Constant(line, ir.Undefined)
    first = ir.Constant(ir.VectorType(ir.IntType(32), line.count), [0] * line.count)
    return builder.shuffle_vector(builder.insert_element(nothing, number, ir.IntType(32)(0)), nothing, first)
