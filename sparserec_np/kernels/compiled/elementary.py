"""Exponentials, logarithms and sums of whole arrays, in forms that a compiler turns into SIMD code.

A call of the C library's ``exp`` per element keeps a loop scalar; the polynomials here are plain
arithmetic. Both follow the Cephes library (S. Moshier, ``expf`` and ``logf``) and are right to
about 2 units in the last place of float32. float64 arrays take the C library's functions: they are
for tests, where exactness matters and speed does not.

The specification of each function is its twin's in ``kernels/reference/elementary.py``. Called from
Python, or with Numba's compiler switched off, ``exp_into``, ``log_into``, ``sum_rows``,
``sum_wide_rows`` and ``add_to_rows`` are their plain versions; kernels get the fast ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from sparserec_np.kernels.arguments import BLOCK_COLUMNS, STRIP_COLUMNS

F32 = np.float32
LOWEST = -87.0  # exp of less would not be a normal float32, and arithmetic on those is a hundred times slower
HIGHEST = 88.0


def exp_into(x, out):  # type: ignore[no-untyped-def]  # Numba compares this signature with the overload's below
    np.copyto(out, np.where(x < LOWEST, 0, np.exp(np.clip(x, LOWEST, HIGHEST))))


def log_into(x, out):  # type: ignore[no-untyped-def]
    np.log(x, out=out)


def sum_rows(block, rows, start, stop, out):  # type: ignore[no-untyped-def]
    out[:] = block[rows[start:stop]].sum(axis=0)


def sum_wide_rows(block, rows, start, stop, factor, out):  # type: ignore[no-untyped-def]
    out[:] = factor * block[rows[start:stop]].sum(axis=0)


def add_to_rows(line, rows, start, stop, block, first):  # type: ignore[no-untyped-def]
    np.add.at(block[:, first : first + STRIP_COLUMNS], rows[start:stop], line)


@numba.njit(nogil=True)
def _exp32(x: Any, out: Any) -> None:
    for i in range(len(x)):
        z = min(x[i], F32(HIGHEST))  # keeps a NaN, the next line does not: the exponent must be a number
        n = math.floor(max(F32(LOWEST), z) * F32(1.44269504088896341) + F32(0.5))
        f = F32(n)
        r = z - f * F32(0.693359375) + f * F32(2.12194440e-4)
        p = F32(1.9875691500e-4)
        p = p * r + F32(1.3981999507e-3)
        p = p * r + F32(8.3334519073e-3)
        p = p * r + F32(4.1665795894e-2)
        p = p * r + F32(1.6666665459e-1)
        p = p * r + F32(5.0000001201e-1)
        p = p * r * r + r + F32(1.0)
        power = np.int32((np.int32(f) + np.int32(127)) << np.int32(23)).view(np.float32)
        out[i] = F32(0.0) if x[i] < F32(LOWEST) else p * power


@numba.njit(nogil=True)
def _log32(x: Any, out: Any) -> None:
    for i in range(len(x)):
        # x = m * 2**e with m in [sqrt(1/2), sqrt(2))
        shifted = np.int32(F32(x[i]).view(np.int32) - np.int32(0x3F3504F3))
        e = F32(np.int32(shifted >> np.int32(23)))
        f = np.int32((shifted & np.int32(0x007FFFFF)) + np.int32(0x3F3504F3)).view(np.float32) - F32(1.0)
        z = f * f
        p = F32(7.0376836292e-2)
        p = p * f + F32(-1.1514610310e-1)
        p = p * f + F32(1.1676998740e-1)
        p = p * f + F32(-1.2420140846e-1)
        p = p * f + F32(1.4249322787e-1)
        p = p * f + F32(-1.6668057665e-1)
        p = p * f + F32(2.0000714765e-1)
        p = p * f + F32(-2.4999993993e-1)
        p = p * f + F32(3.3333331174e-1)
        y = p * f * z + e * F32(-2.12194440e-4) - F32(0.5) * z
        y = f + y + e * F32(0.693359375)
        out[i] = y if x[i] == x[i] else x[i]


@numba.njit(nogil=True)
def _exp64(x: Any, out: Any) -> None:
    for i in range(len(x)):
        out[i] = 0.0 if x[i] < LOWEST else math.exp(min(x[i], HIGHEST))


@numba.njit(nogil=True)
def _log64(x: Any, out: Any) -> None:
    for i in range(len(x)):
        out[i] = math.log(x[i])


@overload(exp_into)
def _exp_into(x, out):  # type: ignore[no-untyped-def]
    kernel = _exp32 if x.dtype == numba.float32 else _exp64
    return lambda x, out: kernel(x, out)


@overload(log_into)
def _log_into(x, out):  # type: ignore[no-untyped-def]
    kernel = _log32 if x.dtype == numba.float32 else _log64
    return lambda x, out: kernel(x, out)


# A sum in the order it is written cannot use SIMD lanes. "reassoc" lets the compiler choose lanes:
# the order is then fixed when the kernel is compiled, the same for every call and every number of
# threads, but another processor may take other lanes and differ in the last bits. Nothing else of
# IEEE arithmetic is given up (NaN, infinities and signed zeros hold).
_SUMS = {"reassoc", "contract"}


@numba.njit(nogil=True, fastmath=_SUMS)
def dot(a: Any, b: Any) -> Any:
    total = a.dtype.type(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@numba.njit(nogil=True, fastmath=_SUMS)
def total(a: Any) -> Any:
    result = a.dtype.type(0)
    for i in range(len(a)):
        result += a[i]
    return result


@numba.njit(nogil=True)
def highest(a: Any) -> Any:
    lanes = np.empty(16, dtype=a.dtype)
    lanes[:] = a[0]
    whole = len(a) - len(a) % 16
    for start in range(0, whole, 16):
        part = a[start : start + 16]
        for i in range(16):
            lanes[i] = max(lanes[i], part[i])
    result = lanes[0]
    for i in range(16):
        result = max(result, lanes[i])
    for i in range(whole, len(a)):
        result = max(result, a[i])
    return result


def _sum_of(columns: int) -> Any:
    """Makes a function that sums rows of so many columns in registers, and scales the sum.

    Numba unrolls the plain loop, and it runs 4 times as long. LLVM would unroll the one here, and
    rows of few neighbours take longer by it: the end of another loop is to be foreseen.
    """

    @intrinsic
    def sum_lines(typing, block, rows, start, stop, factor, out):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            block_type, rows_type, _, _, _, out_type = signature.args
            block = context.make_array(block_type)(context, builder, arguments[0])
            rows = context.make_array(rows_type)(context, builder, arguments[1])
            start, stop, factor = arguments[2:5]
            out = context.make_array(out_type)(context, builder, arguments[5])
            wide = ir.IntType(64)
            line = ir.VectorType(context.get_data_type(out_type.dtype), columns)
            width = cgutils.unpack_tuple(builder, block.shape)[1]
            total = cgutils.alloca_once_value(builder, ir.Constant(line, [0.0] * columns))

            def load(pointer):  # type: ignore[no-untyped-def]
                loaded = builder.load(builder.bitcast(pointer, line.as_pointer()))
                loaded.align = block_type.dtype.bitwidth // 8
                return loaded

            with _rolled(builder, start, stop) as k:
                row = builder.sext(builder.load(builder.gep(rows.data, [k])), wide)
                values = load(builder.gep(block.data, [builder.mul(row, width)]))
                builder.store(builder.fadd(builder.load(total), values), total)
            places = ir.VectorType(ir.IntType(32), columns)
            first = builder.insert_element(ir.Constant(line, ir.Undefined), factor, ir.IntType(32)(0))
            factors = builder.shuffle_vector(
                first, ir.Constant(line, ir.Undefined), ir.Constant(places, [0] * columns)
            )
            scaled = builder.fmul(builder.load(total), factors)
            stored = builder.store(scaled, builder.bitcast(out.data, line.as_pointer()))
            stored.align = out_type.dtype.bitwidth // 8
            return context.get_dummy_value()

        return types.void(block, rows, start, stop, factor, out), generate

    return sum_lines


@contextmanager
def _rolled(builder: Any, start: Any, stop: Any) -> Iterator[Any]:
    """Makes a loop from ``start`` to ``stop`` that LLVM is told to leave as it is."""
    head, body, done = (builder.append_basic_block(name) for name in ("head", "body", "done"))
    place = cgutils.alloca_once_value(builder, start)
    builder.branch(head)
    builder.position_at_end(head)
    k = builder.load(place)
    builder.cbranch(builder.icmp_signed("<", k, stop), body, done)
    builder.position_at_end(body)
    yield k
    builder.store(builder.add(k, k.type(1)), place)
    back = builder.branch(head)
    module = builder.module
    wish = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    node = module.add_metadata([wish, ir.MetaDataString(module, head.name)])
    node.operands = (node, wish)  # a loop's node begins with itself
    back.set_metadata("llvm.loop", node)
    builder.position_at_end(done)


_sum_lines, _sum_wide_lines = _sum_of(STRIP_COLUMNS), _sum_of(BLOCK_COLUMNS)


@overload(sum_rows)
def _sum_rows(block, rows, start, stop, out):  # type: ignore[no-untyped-def]
    one = np.float32(1) if block.dtype == numba.float32 else np.float64(1)
    return lambda block, rows, start, stop, out: _sum_lines(block, rows, start, stop, one, out)


@overload(sum_wide_rows)
def _sum_wide_rows(block, rows, start, stop, factor, out):  # type: ignore[no-untyped-def]
    return lambda block, rows, start, stop, factor, out: _sum_wide_lines(
        block, rows, start, stop, factor, out
    )


@intrinsic
def _add_line(typing, line, rows, start, stop, block, first):  # type: ignore[no-untyped-def]
    """Adds 16 numbers to rows from one register, as :func:`_sum_of` sums them."""
    signature = types.void(line, rows, start, stop, block, first)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        line_type, rows_type, _, _, block_type, _ = signature.args
        line = context.make_array(line_type)(context, builder, arguments[0])
        rows = context.make_array(rows_type)(context, builder, arguments[1])
        block = context.make_array(block_type)(context, builder, arguments[4])
        start, stop = arguments[2], arguments[3]
        wide = ir.IntType(64)
        first = arguments[5]
        vector = ir.VectorType(context.get_data_type(line_type.dtype), STRIP_COLUMNS)
        width = cgutils.unpack_tuple(builder, block.shape)[1]
        size = line_type.dtype.bitwidth // 8

        def place(pointer):  # type: ignore[no-untyped-def]
            return builder.bitcast(pointer, vector.as_pointer())

        added = builder.load(place(line.data))
        added.align = size
        with _rolled(builder, start, stop) as k:
            row = builder.sext(builder.load(builder.gep(rows.data, [k])), wide)
            there = place(builder.gep(block.data, [builder.add(builder.mul(row, width), first)]))
            before = builder.load(there)
            before.align = size
            stored = builder.store(builder.fadd(before, added), there)
            stored.align = size
        return context.get_dummy_value()

    return signature, generate


@overload(add_to_rows)
def _add_to_rows(line, rows, start, stop, block, first):  # type: ignore[no-untyped-def]
    return lambda line, rows, start, stop, block, first: _add_line(  # type: ignore[call-arg]
        line, rows, start, stop, block, np.int64(first)
    )
