"""Rows whose columns are the bits of a number, unfolded into vector registers.

This is written in LLVM's own terms.

A loop over the few entries of a row ends where the processor does not foresee it, and a wrong guess
costs as much as the whole row. AVX-512 has instructions that spread numbers that lie together over
the lanes whose bits are set, and that look numbers up in registers: a row takes the same steps
whatever its length, as long as its entries fit a register. Other processors have none; there is
nothing to be gained, and :func:`row_bits` tells so. What a processor has is asked before a kernel
is compiled: where it has no such instructions, kernels get loops in their place, as LLVM ends the
process when it meets an instruction that it cannot make.

The specification of each function is its twin's in ``kernels/reference/unfolding.py``. Called from
Python, or with Numba's compiler switched off, all but ``row_bits`` are their plain versions;
kernels get the fast ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic, overload

from sparserec_np.kernels.compiled.lanes import _load, _spread
from sparserec_np.kernels.doors import parallel

BIT_COLUMNS = 64  # columns: as many as uint64 has bits
REGISTER = 512  # bits
INLINE: Any = {"forceinline": True}  # a call would count references


def _has_expansion(features: str) -> bool:
    """Tells whether a processor can unfold and look up, from its features as LLVM names them.

    >>> _has_expansion("+sse2,+avx512f,+avx512bw,+avx512vl"), _has_expansion("+avx2"), _has_expansion("")
    (True, False, False)
    """
    return {"+avx512f", "+avx512bw", "+avx512vl"} <= set(features.split(","))


# Numba makes code for this processor, or for the one that NUMBA_CPU_NAME and NUMBA_CPU_FEATURES
# describe.
UNFOLDS = _has_expansion(cpu_target.target_context.codegen().magic_tuple()[2])


def _unfolds():  # type: ignore[no-untyped-def]  # Numba compares this signature with the overload's below
    return True


@numba.njit(nogil=True)
def _unfolding_rows(indptr: Any, dim: int) -> Any:
    """Counts the rows that are given bits: all, or none where rows do not unfold."""
    return len(indptr) - 1 if dim <= BIT_COLUMNS and _unfolds() else 0


@numba.njit(nogil=True)
def _bits_of_row(columns: Any, begin: Any, end: Any) -> Any:
    bits = np.uint64(0)
    for k in range(begin, end):
        bits |= np.uint64(1) << np.uint64(columns[k])
    return bits


@parallel
def row_bits(indptr: Any, columns: Any, dim: int) -> Any:
    bits = np.zeros(_unfolding_rows(indptr, dim), dtype=np.uint64)
    for row in numba.prange(len(bits)):
        bits[row] = _bits_of_row(columns, indptr[row], indptr[row + 1])
    return bits


def unfold(values, begin, bits, out):  # type: ignore[no-untyped-def]
    out[:] = 0
    columns = _columns(bits)
    out[columns] = values[begin : begin + len(columns)]


def pick_row(columns, begin, bits, dense, out, first):  # type: ignore[no-untyped-def]
    own = _columns(bits)
    out[first : first + len(own)] = dense[own]


def dot_row(values, columns, begin, bits, dense, picked, first):  # type: ignore[no-untyped-def]
    pick_row(columns, begin, bits, dense, picked, first)
    count = len(_columns(bits))
    return np.dot(values[begin : begin + count], picked[first : first + count])


def step_row(values, begin, bits, weight, picked, first, numbers, origin, squares, out):  # type: ignore[no-untyped-def]
    rate, decay = numbers
    columns = _columns(bits)
    own = slice(begin, begin + len(columns))
    out[columns] += weight * values[own]
    g = weight * picked[first : first + len(columns)] + decay * (
        values[own] - origin[own] if len(origin) else values[own]
    )
    if len(squares):
        squares[own] += g * g
        g = g / (np.sqrt(squares[own]) + values.dtype.type(1e-10))
    values[own] -= rate * g


def _columns(bits: Any) -> Any:
    return np.flatnonzero(np.unpackbits(np.array([bits], dtype="<u8").view(np.uint8), bitorder="little"))


@overload(_unfolds)
def _unfolds_here():  # type: ignore[no-untyped-def]
    return (lambda: True) if UNFOLDS else (lambda: False)


@overload(unfold, jit_options=INLINE)
def _unfold(values, begin, bits, out):  # type: ignore[no-untyped-def]
    if UNFOLDS:
        return lambda values, begin, bits, out: _spell_out(values, np.int64(begin), bits, out)  # type: ignore[call-arg]
    return _unfold_in_a_loop


@overload(pick_row, jit_options=INLINE)
def _pick_row(columns, begin, bits, dense, out, first):  # type: ignore[no-untyped-def]
    if UNFOLDS:
        return lambda columns, begin, bits, dense, out, first: _pick(
            dense, np.int64(begin), bits, columns, out, np.int64(first)
        )  # type: ignore[call-arg]
    return _pick_in_a_loop


@overload(dot_row, jit_options=INLINE)
def _dot_row(values, columns, begin, bits, dense, picked, first):  # type: ignore[no-untyped-def]
    def dot(values, columns, begin, bits, dense, picked, first):  # type: ignore[no-untyped-def]
        return _multiply(values, np.int64(begin), bits, columns, dense, picked, np.int64(first))  # type: ignore[call-arg]

    return dot if UNFOLDS else _dot_in_a_loop


@overload(step_row, jit_options=INLINE)
def _step_row(values, begin, bits, weight, picked, first, numbers, origin, squares, out):  # type: ignore[no-untyped-def]
    def step(values, begin, bits, weight, picked, first, numbers, origin, squares, out):  # type: ignore[no-untyped-def]
        _move(values, np.int64(begin), bits, weight, picked, np.int64(first), numbers, origin, squares, out)  # type: ignore[call-arg]

    return step if UNFOLDS else _step_in_a_loop


def _unfold_in_a_loop(values, begin, bits, out):  # type: ignore[no-untyped-def]
    k = begin
    for c in range(BIT_COLUMNS):
        out[c] = 0
        if (bits >> np.uint64(c)) & np.uint64(1):
            out[c] = values[k]
            k += 1


def _pick_in_a_loop(columns, begin, bits, dense, out, first):  # type: ignore[no-untyped-def]
    k = first
    for c in range(BIT_COLUMNS):
        if (bits >> np.uint64(c)) & np.uint64(1):
            out[k] = dense[c]
            k += 1


def _dot_in_a_loop(values, columns, begin, bits, dense, picked, first):  # type: ignore[no-untyped-def]
    total = values.dtype.type(0)
    k = 0
    for c in range(BIT_COLUMNS):
        if (bits >> np.uint64(c)) & np.uint64(1):
            picked[first + k] = dense[c]
            total += values[begin + k] * dense[c]
            k += 1
    return total


def _step_in_a_loop(values, begin, bits, weight, picked, first, numbers, origin, squares, out):  # type: ignore[no-untyped-def]
    rate, decay = numbers
    epsilon = values.dtype.type(1e-10)
    own, at = begin, first
    for c in range(BIT_COLUMNS):
        if (bits >> np.uint64(c)) & np.uint64(1):
            value = values[own]
            out[c] += weight * value
            g = weight * picked[at] + decay * (value - origin[own] if len(origin) else value)
            if len(squares):
                squares[own] += g * g
                g /= np.sqrt(squares[own]) + epsilon
            values[own] = value - rate * g
            own += 1
            at += 1


@intrinsic
def _spell_out(typing, values, begin, bits, out):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        row = _Row(context, builder, signature, arguments)
        row.store_parts(row.unfolded(), row.array(3).data)
        return context.get_dummy_value()

    return types.void(values, begin, bits, out), generate


@intrinsic
def _pick(typing, dense, begin, bits, columns, out, first):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        row = _Row(context, builder, signature, arguments)
        dense, columns, out = (row.array(k).data for k in (0, 3, 4))
        parts = row.parts(dense)
        with row.chunks() as chunk:
            chunk.write(builder.gep(out, [arguments[5]]), chunk.looked_up(dense, parts, columns))
        return context.get_dummy_value()

    return types.void(dense, begin, bits, columns, out, first), generate


@intrinsic
def _multiply(typing, values, begin, bits, columns, dense, picked, first):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        row = _Row(context, builder, signature, arguments)
        columns, dense, picked = (row.array(k).data for k in (3, 4, 5))
        parts = row.parts(dense)
        sums = cgutils.alloca_once_value(builder, ir.Constant(row.part, None))
        with row.chunks() as chunk:
            found = chunk.looked_up(dense, parts, columns)
            chunk.write(builder.gep(picked, [arguments[6]]), found)
            product = builder.fmul(chunk.load(row.values), found)
            builder.store(builder.fadd(builder.load(sums), product), sums)
        total = builder.load(sums)
        width = row.width
        while width > 1:  # halves on halves: an order that is the same everywhere
            width //= 2
            places = ir.VectorType(ir.IntType(32), width)
            nothing = ir.Constant(total.type, ir.Undefined)
            low, high = (
                builder.shuffle_vector(total, nothing, ir.Constant(places, list(range(at, at + width))))
                for at in (0, width)
            )
            total = builder.fadd(low, high)
        return builder.extract_element(total, ir.IntType(32)(0))

    return values.dtype(values, begin, bits, columns, dense, picked, first), generate


@intrinsic
def _move(typing, values, begin, bits, weight, picked, first, numbers, origin, squares, out):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        row = _Row(context, builder, signature, arguments)
        picked, origin, squares, out = (row.array(k) for k in (4, 7, 8, 9))
        weight, rate, decay = (
            _spread(builder, number, row.part)
            for number in (arguments[3], *cgutils.unpack_tuple(builder, arguments[6]))
        )
        # Read before any of it is written.
        row.store_parts(
            [
                builder.fadd(y, builder.fmul(weight, x))
                for x, y in zip(row.unfolded(), row.parts(out.data), strict=True)
            ],
            out.data,
        )
        with row.chunks() as chunk:
            old = chunk.load(row.values)
            away = cgutils.alloca_once_value(builder, old)
            with builder.if_then(builder.icmp_signed(">", origin.nitems, origin.nitems.type(0))):
                builder.store(builder.fsub(old, chunk.load(origin.data)), away)
            g = builder.fadd(
                builder.fmul(weight, chunk.read(builder.gep(picked.data, [arguments[5]]))),
                builder.fmul(decay, builder.load(away)),
            )
            step = cgutils.alloca_once_value(builder, g)
            with builder.if_then(builder.icmp_signed(">", squares.nitems, squares.nitems.type(0))):
                epsilon = ir.Constant(row.part, [1e-10] * row.width)
                total = builder.fadd(chunk.load(squares.data), builder.fmul(g, g))
                root = builder.fadd(row.call("llvm.sqrt", row.part, total), epsilon)
                builder.store(builder.fdiv(g, root), step)
                chunk.store(total, squares.data)
            chunk.store(builder.fsub(old, builder.fmul(rate, builder.load(step))), row.values)
        return context.get_dummy_value()

    number = values.dtype
    return types.void(
        values, begin, bits, number, picked, first, types.UniTuple(number, 2), origin, squares, out
    ), generate


class _Row:
    """A writer of LLVM code that works on one row of a table.

    The row is an intrinsic's first arguments: an array, its place there and its bits.

    Attributes:
        values: where the array's numbers are.
        width: numbers in a register.
        part: a vector of them.
        begin, bits: arguments.
        count: of the stored entries.
    """

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.context, self.builder = context, builder
        self._types, self._arguments = signature.args, arguments
        self.kind = signature.args[0].dtype
        self.values = self.array(0).data
        self.width = REGISTER // self.kind.bitwidth
        self.part = ir.VectorType(context.get_data_type(self.kind), self.width)
        self.begin, self.bits = arguments[1:3]
        self.count = builder.ctpop(self.bits)

    def array(self, k: int) -> Any:
        """Returns the array that is argument ``k``."""
        return self.context.make_array(self._types[k])(self.context, self.builder, self._arguments[k])

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """Calls one of LLVM's own functions for vectors of a part's type."""
        return self.call_named(f"{name}.v{self.width}f{self.kind.bitwidth}", result, *arguments)

    def call_named(self, name: str, result: Any, *arguments: Any) -> Any:
        """Calls one of LLVM's own functions, by its whole name."""
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)

    def _place(self, dense: Any, k: int) -> Any:
        return self.builder.gep(dense, [ir.IntType(64)(k * self.width)])

    def parts(self, dense: Any) -> list[Any]:
        """Loads a dense row of 64 numbers, register by register."""
        return [
            _load(self.builder, self._place(dense, k), self.part, self.kind)
            for k in range(BIT_COLUMNS // self.width)
        ]

    def store_parts(self, parts: list[Any], dense: Any) -> None:
        """Overwrites a dense row of 64 numbers by registers."""
        for k, x in enumerate(parts):
            place = self.builder.bitcast(self._place(dense, k), self.part.as_pointer())
            self.builder.store(x, place).align = self.kind.bitwidth // 8

    def unfolded(self) -> list[Any]:
        """Unfolds the row into registers, with zero in columns that it does not store."""
        builder, at, parts = self.builder, self.begin, []
        nothing = ir.Constant(self.part, None)
        for k in range(BIT_COLUMNS // self.width):
            mask = builder.trunc(
                builder.lshr(self.bits, self.bits.type(k * self.width)), ir.IntType(self.width)
            )
            lanes = builder.bitcast(mask, ir.VectorType(ir.IntType(1), self.width))
            place = builder.gep(self.values, [at])
            parts.append(self.call("llvm.masked.expandload", self.part, place, lanes, nothing))
            at = builder.add(at, builder.zext(builder.ctpop(mask), at.type))
        return parts

    @contextmanager
    def chunks(self) -> Iterator[_Chunk]:
        """Makes a loop over the row's stored entries, a register of them at a time."""
        count = self.count
        with cgutils.for_range_slice(
            self.builder, count.type(0), count, count.type(self.width), count.type
        ) as (first, _):
            yield _Chunk(self, first)


class _Chunk:
    """Stored entries of a row that lie together in a register, from the ``first`` on.

    The last may be fewer.
    """

    def __init__(self, row: _Row, first: Any) -> None:
        self._row, self._first = row, first
        builder, width = row.builder, row.width
        left = builder.trunc(builder.sub(row.count, first), ir.IntType(32))
        numbers = ir.VectorType(ir.IntType(32), width)
        self._lanes = builder.icmp_unsigned(
            "<", ir.Constant(numbers, list(range(width))), _spread(builder, left, numbers)
        )
        self._at = builder.add(row.begin, first)

    def _masked(self, source: Any, part: Any, name: str, align: int) -> Any:
        builder = self._row.builder
        place = builder.bitcast(builder.gep(source, [self._at]), part.as_pointer())
        return self._row.call_named(
            f"llvm.masked.load.{name}",
            part,
            place,
            ir.IntType(32)(align),
            self._lanes,
            ir.Constant(part, None),
        )

    def load(self, source: Any) -> Any:
        """Loads what an array beside the values holds for the entries; 0 in other lanes."""
        row = self._row
        return self._masked(source, row.part, f"v{row.width}f{row.kind.bitwidth}", row.kind.bitwidth // 8)

    def store(self, x: Any, target: Any) -> None:
        """Overwrites what an array beside the values holds for the entries."""
        row = self._row
        place = row.builder.bitcast(row.builder.gep(target, [self._at]), row.part.as_pointer())
        align = ir.IntType(32)(row.kind.bitwidth // 8)
        row.call("llvm.masked.store", ir.VoidType(), x, place, align, self._lanes)

    def read(self, source: Any) -> Any:
        """Loads the chunk's part of an array that holds the row's entries one after the other."""
        row = self._row
        return _load(row.builder, row.builder.gep(source, [self._first]), row.part, row.kind)

    def write(self, target: Any, x: Any) -> None:
        """Overwrites the chunk's part of an array like that of :meth:`read`, the whole register."""
        row = self._row
        place = row.builder.bitcast(row.builder.gep(target, [self._first]), row.part.as_pointer())
        row.builder.store(x, place).align = row.kind.bitwidth // 8

    def looked_up(self, dense: Any, parts: list[Any], columns: Any) -> Any:
        """Looks up the entries' columns in ``dense`` (64,), whose ``parts`` are in registers."""
        row, builder = self._row, self._row.builder
        found = cgutils.alloca_once(builder, row.part)
        with builder.if_else(builder.icmp_unsigned("==", row.bits, row.bits.type(-1))) as (whole, some):
            with whole:  # entry after entry
                builder.store(self.read(dense), found)
            with some:
                builder.store(self._picked(parts, columns), found)
        return builder.load(found)

    def _picked(self, parts: list[Any], columns: Any) -> Any:
        row, builder = self._row, self._row.builder
        stored = self._masked(columns, ir.VectorType(ir.IntType(8), row.width), f"v{row.width}i8", 1)
        numbers = ir.VectorType(ir.IntType(row.kind.bitwidth), row.width)
        at = builder.zext(stored, numbers)
        name = "llvm.x86.avx512.vpermi2var." + {32: "ps", 64: "pd"}[row.kind.bitwidth] + ".512"
        pairs = zip(parts[::2], parts[1::2], strict=True)
        found = [row.call_named(name, row.part, low, at, high) for low, high in pairs]
        reach = 2 * row.width
        while len(found) > 1:
            bit = ir.Constant(numbers, [reach] * row.width)
            upper = builder.icmp_unsigned("!=", builder.and_(at, bit), ir.Constant(numbers, None))
            pairs = zip(found[::2], found[1::2], strict=True)
            found = [builder.select(upper, high, low) for low, high in pairs]
            reach *= 2
        return found[0]
