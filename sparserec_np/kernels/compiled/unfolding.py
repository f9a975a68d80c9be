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


def unfold(values, begin, bits, out, first):  # type: ignore[no-untyped-def]
    line = out[first:][:BIT_COLUMNS]
    line[:] = 0
    columns = _columns(bits)
    line[columns] = values[begin : begin + len(columns)]


def pick_row(columns, begin, bits, dense, at, out, first):  # type: ignore[no-untyped-def]
    own = _columns(bits)
    out[first:][: len(own)] = dense[at:][own]


def dot_apart(values, columns, rows, k, dense, at, picked):  # type: ignore[no-untyped-def]
    products = []
    for begin, bits, first in ((rows[0][j], rows[1][j], BIT_COLUMNS * j) for j in (int(k), int(k) + 1)):
        pick_row(columns, begin, bits, dense, at, picked, first)
        count = len(_columns(bits))
        products.append(np.dot(values[begin : begin + count], picked[first : first + count]))
    return products[1] - products[0]


def step_row(values, begin, bits, weight, picked, first, numbers, origin, squares, out):  # type: ignore[no-untyped-def]
    rate, decay = numbers
    columns = _columns(bits)
    own = slice(begin, begin + len(columns))
    if len(out):
        out[columns] += weight * values[own]
    g = weight * picked[first:][: len(columns)] + decay * (
        values[own] - origin[own] if len(origin) else values[own]
    )
    if len(squares):
        squares[own] += g * g
        g = g / (np.sqrt(squares[own]) + values.dtype.type(1e-10))
    values[own] -= rate * g


def add_line(sums, row, weight, line, at):  # type: ignore[no-untyped-def]
    sums[row] += weight * line[at:][: sums.shape[1]]


def _columns(bits: Any) -> Any:
    return np.flatnonzero(np.unpackbits(np.array([bits], dtype="<u8").view(np.uint8), bitorder="little"))


@overload(_unfolds)
def _unfolds_here():  # type: ignore[no-untyped-def]
    return (lambda: True) if UNFOLDS else (lambda: False)


@overload(unfold, jit_options=INLINE)
def _unfold(values, begin, bits, out, first):  # type: ignore[no-untyped-def]
    if UNFOLDS:
        return lambda values, begin, bits, out, first: _spell_out(
            values, np.int64(begin), bits, out, np.int64(first)
        )  # type: ignore[call-arg]
    return _unfold_in_a_loop


@overload(pick_row, jit_options=INLINE)
def _pick_row(columns, begin, bits, dense, at, out, first):  # type: ignore[no-untyped-def]
    if UNFOLDS:
        return lambda columns, begin, bits, dense, at, out, first: _pick(
            dense, np.int64(begin), bits, columns, np.int64(at), out, np.int64(first)
        )  # type: ignore[call-arg]
    return _pick_in_a_loop


@overload(dot_apart, jit_options=INLINE)
def _dot_apart(values, columns, rows, k, dense, at, picked):  # type: ignore[no-untyped-def]
    def dot(values, columns, rows, k, dense, at, picked):  # type: ignore[no-untyped-def]
        begins, bits = rows
        places = np.int64(k), np.int64(at)
        return _multiply(values, columns, begins, bits, places, dense, picked)  # type: ignore[call-arg]

    return dot if UNFOLDS else _dot_in_a_loop


@overload(step_row, jit_options=INLINE)
def _step_row(values, begin, bits, weight, picked, first, numbers, origin, squares, out):  # type: ignore[no-untyped-def]
    def step(values, begin, bits, weight, picked, first, numbers, origin, squares, out):  # type: ignore[no-untyped-def]
        _move(values, np.int64(begin), bits, weight, picked, np.int64(first), numbers, origin, squares, out)  # type: ignore[call-arg]

    return step if UNFOLDS else _step_in_a_loop


@overload(add_line, jit_options=INLINE)
def _add_line(sums, row, weight, line, at):  # type: ignore[no-untyped-def]
    if UNFOLDS:
        return lambda sums, row, weight, line, at: _add(sums, np.int64(row), weight, line, np.int64(at))  # type: ignore[call-arg]
    return _add_in_a_loop


def _unfold_in_a_loop(values, begin, bits, out, first):  # type: ignore[no-untyped-def]
    k, first = np.int64(begin), np.int64(first)
    for c in range(BIT_COLUMNS):
        out[first + c] = 0
        if (bits >> np.uint64(c)) & np.uint64(1):
            out[first + c] = values[k]
            k += 1


def _pick_in_a_loop(columns, begin, bits, dense, at, out, first):  # type: ignore[no-untyped-def]
    k, at = np.int64(first), np.int64(at)
    for c in range(BIT_COLUMNS):
        if (bits >> np.uint64(c)) & np.uint64(1):
            out[k] = dense[at + c]
            k += 1


def _dot_in_a_loop(values, columns, rows, k, dense, at, picked):  # type: ignore[no-untyped-def]
    begins, bits = rows
    k, at = np.int64(k), np.int64(at)
    apart = values.dtype.type(0)
    for j, sign in ((k, values.dtype.type(-1)), (k + 1, values.dtype.type(1))):
        own, to = begins[j], BIT_COLUMNS * j
        for c in range(BIT_COLUMNS):
            if (bits[j] >> np.uint64(c)) & np.uint64(1):
                picked[to] = dense[at + c]
                apart += sign * values[own] * dense[at + c]
                own += 1
                to += 1
    return apart


def _step_in_a_loop(values, begin, bits, weight, picked, first, numbers, origin, squares, out):  # type: ignore[no-untyped-def]
    rate, decay = numbers
    epsilon = values.dtype.type(1e-10)
    own, at = np.int64(begin), np.int64(first)
    for c in range(BIT_COLUMNS):
        if (bits >> np.uint64(c)) & np.uint64(1):
            value = values[own]
            if len(out):
                out[c] += weight * value
            g = weight * picked[at] + decay * (value - origin[own] if len(origin) else value)
            if len(squares):
                squares[own] += g * g
                g /= np.sqrt(squares[own]) + epsilon
            values[own] = value - rate * g
            own += 1
            at += 1


def _add_in_a_loop(sums, row, weight, line, at):  # type: ignore[no-untyped-def]
    at = np.int64(at)
    for c in range(sums.shape[1]):
        sums[row, c] += weight * line[at + c]


@intrinsic
def _spell_out(typing, values, begin, bits, out, first):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        values, out = _arrays(context, builder, signature, arguments, (0, 3))
        row = _Row(context, builder, signature.args[0].dtype, (values.data, *arguments[1:3]))
        row.store_parts(row.unfolded(), builder.gep(out.data, [arguments[4]]))
        return context.get_dummy_value()

    return types.void(values, begin, bits, out, first), generate


@intrinsic
def _pick(typing, dense, begin, bits, columns, at, out, first):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        dense, columns, out = _arrays(context, builder, signature, arguments, (0, 3, 5))
        row = _Row(context, builder, signature.args[0].dtype, (dense.data, *arguments[1:3]))
        line, to = builder.gep(dense.data, [arguments[4]]), builder.gep(out.data, [arguments[6]])
        parts = row.parts(line)
        with row.chunks() as chunk:
            chunk.write(to, chunk.looked_up(line, parts, columns.data))
        return context.get_dummy_value()

    return types.void(dense, begin, bits, columns, at, out, first), generate


@intrinsic
def _add(typing, sums, row, weight, line, at):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        sums, line = _arrays(context, builder, signature, arguments, (0, 3))
        kind = signature.args[0].dtype
        dim = cgutils.unpack_tuple(builder, sums.shape)[1]
        out = builder.gep(sums.data, [builder.mul(arguments[1], dim)])
        whole = _Span(context, builder, kind, dim.type(0), dim)
        spread = _spread(builder, arguments[2], whole.part)
        with whole.chunks() as chunk:
            more = builder.fmul(spread, chunk.load(builder.gep(line.data, [arguments[4]])))
            chunk.store(builder.fadd(chunk.load(out), more), out)
        return context.get_dummy_value()

    return types.void(sums, row, sums.dtype, line, at), generate


@intrinsic
def _multiply(typing, values, columns, begins, bits, places, dense, picked):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        values, columns, begins, bits, dense, picked = (
            array.data for array in _arrays(context, builder, signature, arguments, (0, 1, 2, 3, 5, 6))
        )
        k, at = cgutils.unpack_tuple(builder, arguments[4])
        dense = builder.gep(dense, [at])
        kind = signature.args[0].dtype
        products = []
        for place in (k, builder.add(k, k.type(1))):
            begin, own = (builder.load(builder.gep(each, [place])) for each in (begins, bits))
            row = _Row(context, builder, kind, (values, begin, own))
            parts = row.parts(dense)
            to = builder.gep(picked, [builder.mul(place, place.type(BIT_COLUMNS))])
            sums = cgutils.alloca_once_value(builder, ir.Constant(row.part, None))
            with row.chunks() as chunk:
                found = chunk.looked_up(dense, parts, columns)
                chunk.write(to, found)
                product = builder.fmul(chunk.load(row.values), found)
                builder.store(builder.fadd(builder.load(sums), product), sums)
            products.append(builder.load(sums))
        total, width = builder.fsub(products[1], products[0]), row.width
        while width > 1:  # halves on halves: an order that is the same everywhere
            width //= 2
            numbers = ir.VectorType(ir.IntType(32), width)
            nothing = ir.Constant(total.type, ir.Undefined)
            low, high = (
                builder.shuffle_vector(total, nothing, ir.Constant(numbers, list(range(at, at + width))))
                for at in (0, width)
            )
            total = builder.fadd(low, high)
        return builder.extract_element(total, ir.IntType(32)(0))

    return values.dtype(values, columns, begins, bits, places, dense, picked), generate


@intrinsic
def _move(typing, values, begin, bits, weight, picked, first, numbers, origin, squares, out):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        values, picked, origin, squares, out = _arrays(
            context, builder, signature, arguments, (0, 4, 7, 8, 9)
        )
        row = _Row(context, builder, signature.args[0].dtype, (values.data, *arguments[1:3]))
        weight, rate, decay = (
            _spread(builder, number, row.part)
            for number in (arguments[3], *cgutils.unpack_tuple(builder, arguments[6]))
        )
        with builder.if_then(builder.icmp_signed(">", out.nitems, out.nitems.type(0))):
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


def _arrays(context: Any, builder: Any, signature: Any, arguments: Any, which: tuple[int, ...]) -> list[Any]:
    """Returns the arrays that are the arguments of these numbers."""
    return [context.make_array(signature.args[k])(context, builder, arguments[k]) for k in which]


class _Span:
    """A writer of LLVM code that works on up to 64 numbers that lie together.

    Attributes:
        kind: Numba's type of the numbers.
        begin, count: place of the first in its array, and how many they are, both 64 bits wide.
        width: numbers in a register.
        part: a vector of them.
    """

    def __init__(self, context: Any, builder: Any, kind: Any, begin: Any, count: Any) -> None:
        self.context, self.builder = context, builder
        self.kind, self.begin, self.count = kind, begin, count
        self.width = REGISTER // kind.bitwidth
        self.part = ir.VectorType(context.get_data_type(kind), self.width)

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """Calls one of LLVM's own functions for vectors of a part's type."""
        return self.call_named(f"{name}.v{self.width}f{self.kind.bitwidth}", result, *arguments)

    def call_named(self, name: str, result: Any, *arguments: Any) -> Any:
        """Calls one of LLVM's own functions, by its whole name."""
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)

    @contextmanager
    def chunks(self) -> Iterator[_Chunk]:
        """Makes a loop over the numbers, a register of them at a time."""
        count = self.count
        with cgutils.for_range_slice(
            self.builder, count.type(0), count, count.type(self.width), count.type
        ) as (first, _):
            yield _Chunk(self, first)


class _Row(_Span):
    """A writer of LLVM code that works on one row of a table.

    Attributes:
        values: where the numbers of an array are in which it lies.
        bits: its columns.
    """

    def __init__(self, context: Any, builder: Any, kind: Any, row: tuple[Any, Any, Any]) -> None:
        self.values, begin, self.bits = row
        super().__init__(context, builder, kind, begin, builder.ctpop(self.bits))

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


class _Chunk:
    """Numbers of a span that lie together in a register, from the ``first`` on.

    The last may be fewer.
    """

    def __init__(self, row: Any, first: Any) -> None:
        self._row, self._first = row, first
        builder, width = row.builder, row.width
        left, most = builder.sub(row.count, first), first.type(BIT_COLUMNS)
        beyond = builder.sub(most, builder.select(builder.icmp_unsigned("<", left, most), left, most))
        bits = builder.trunc(builder.lshr(first.type(-1), beyond), ir.IntType(width))
        self._lanes = builder.bitcast(bits, ir.VectorType(ir.IntType(1), width))
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
