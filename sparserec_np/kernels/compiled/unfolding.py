"""Rows whose columns are the bits of a number, unfolded into vector registers, written in LLVM's own terms.

A loop over the few entries of a row ends where the processor does not foresee it, and a wrong guess costs as much
as the whole row. AVX-512 has instructions that spread numbers that lie together over the lanes whose bits are
set, and bring them together again: that way a row of any length takes the same steps. Other processors have none;
there is nothing to be gained, and :func:`row_bits` tells so.

The specification of each function is its twin's in ``kernels/reference/unfolding.py``. Called from Python, or with
Numba's compiler switched off, all but ``row_bits`` are their plain versions; kernels get the fast ones.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from sparserec_np.kernels.compiled.lanes import _load, _spread

LINE = 64  # columns: as many as uint64 has bits
REGISTER = 512  # bits


def _unfolds():  # type: ignore[no-untyped-def]  # Numba compares this signature with the overload's below
    return True


@numba.njit(parallel=True, nogil=True, cache=True)
def row_bits(indptr: Any, columns: Any, dim: int) -> Any:
    bits = np.zeros(len(indptr) - 1 if dim <= LINE and _unfolds() else 0, dtype=np.uint64)
    for row in numba.prange(len(bits)):
        for k in range(indptr[row], indptr[row + 1]):
            bits[row] |= np.uint64(1) << np.uint64(columns[k])
    return bits


def unfold(values, begin, bits, out):  # type: ignore[no-untyped-def]
    out[:] = 0
    columns = _columns(bits)
    out[columns] = values[begin : begin + len(columns)]


def dot_row(values, begin, bits, dense):  # type: ignore[no-untyped-def]
    columns = _columns(bits)
    return np.dot(values[begin : begin + len(columns)], dense[columns])


def step_row(values, begin, bits, weight, gradient, numbers, origin, squares, out):  # type: ignore[no-untyped-def]
    rate, decay = numbers
    columns = _columns(bits)
    own = slice(begin, begin + len(columns))
    out[columns] += weight * values[own]
    g = weight * gradient[columns] + decay * (values[own] - origin[own] if len(origin) else values[own])
    if len(squares):
        squares[own] += g * g
        g = g / (np.sqrt(squares[own]) + values.dtype.type(1e-10))
    values[own] -= rate * g


def _columns(bits: Any) -> Any:
    return np.flatnonzero(np.unpackbits(np.array([bits], dtype="<u8").view(np.uint8), bitorder="little"))


@overload(_unfolds)
def _unfolds_here():  # type: ignore[no-untyped-def]
    return lambda: _has_expansion()  # type: ignore[call-arg]


@overload(unfold)
def _unfold(values, begin, bits, out):  # type: ignore[no-untyped-def]
    return lambda values, begin, bits, out: _spell_out(values, np.int64(begin), bits, out)  # type: ignore[call-arg]


@overload(dot_row)
def _dot_row(values, begin, bits, dense):  # type: ignore[no-untyped-def]
    return lambda values, begin, bits, dense: _multiply(values, np.int64(begin), bits, dense)  # type: ignore[call-arg]


@overload(step_row)
def _step_row(values, begin, bits, weight, gradient, numbers, origin, squares, out):  # type: ignore[no-untyped-def]
    def step(values, begin, bits, weight, gradient, numbers, origin, squares, out):  # type: ignore[no-untyped-def]
        _move(values, np.int64(begin), bits, weight, gradient, numbers, origin, squares, out)  # type: ignore[call-arg]

    return step


@intrinsic
def _has_expansion(typing):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return cgutils.bool_t(_expands(context))

    return types.boolean(), generate


@intrinsic
def _spell_out(typing, values, begin, bits, out):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        row = _Row(context, builder, signature, arguments)
        row.store(row.unfolded(row.values), row.array(3).data)
        return context.get_dummy_value()

    return types.void(values, begin, bits, out), generate


@intrinsic
def _multiply(typing, values, begin, bits, dense):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        row = _Row(context, builder, signature, arguments)
        products = [
            builder.fmul(a, b)
            for a, b in zip(row.unfolded(row.values), row.parts(row.array(3).data), strict=True)
        ]
        total = products[0]
        for product in products[1:]:
            total = builder.fadd(total, product)
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

    return values.dtype(values, begin, bits, dense), generate


@intrinsic
def _move(typing, values, begin, bits, weight, gradient, numbers, origin, squares, out):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        row = _Row(context, builder, signature, arguments)
        origin, squares = row.array(6), row.array(7)
        weight, rate, decay = (
            _spread(builder, number, row.part)
            for number in (arguments[3], *cgutils.unpack_tuple(builder, arguments[5]))
        )
        # All of a row is read before any of it is written: a part's store holds up loads of what lies next to it.
        old = row.unfolded(row.values)
        out = row.array(8).data
        row.store(
            [builder.fadd(y, builder.fmul(weight, x)) for x, y in zip(old, row.parts(out), strict=True)],
            out,
        )
        away = row.variables(old)
        with builder.if_then(builder.icmp_signed(">", origin.nitems, origin.nitems.type(0))):
            for variable, x, o in zip(away, old, row.unfolded(origin.data), strict=True):
                builder.store(builder.fsub(x, o), variable)
        steps = row.variables(
            [
                builder.fadd(builder.fmul(weight, g), builder.fmul(decay, builder.load(variable)))
                for g, variable in zip(row.parts(row.array(4).data), away, strict=True)
            ]
        )
        with builder.if_then(builder.icmp_signed(">", squares.nitems, squares.nitems.type(0))):
            epsilon = ir.Constant(row.part, [1e-10] * row.width)
            sums = []
            for variable, s in zip(steps, row.unfolded(squares.data), strict=True):
                g = builder.load(variable)
                sums.append(builder.fadd(s, builder.fmul(g, g)))
                root = builder.fadd(row.call("llvm.sqrt", row.part, sums[-1]), epsilon)
                builder.store(builder.fdiv(g, root), variable)
            row.fold(sums, squares.data)
        row.fold(
            [
                builder.fsub(x, builder.fmul(rate, builder.load(variable)))
                for x, variable in zip(old, steps, strict=True)
            ],
            row.values,
        )
        return context.get_dummy_value()

    number = values.dtype
    return types.void(
        values, begin, bits, number, gradient, types.UniTuple(number, 2), origin, squares, out
    ), generate


class _Row:
    """Code that works on a row, part by part; a part fills a register. The row is an intrinsic's first arguments.

    Attributes:
        values: where the table's values are.
        width: numbers in a part.
        part: a vector of them.
    """

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self._context, self._builder, self._types, self._arguments = (
            context,
            builder,
            signature.args,
            arguments,
        )
        kind = signature.args[0].dtype
        self.values = self.array(0).data
        self.width = REGISTER // kind.bitwidth
        self.part = ir.VectorType(context.get_data_type(kind), self.width)
        self._align = kind.bitwidth // 8
        self._name = f"v{self.width}f{kind.bitwidth}"
        at, bits = arguments[1:3]
        self._pieces = []  # mask, number of its bits, place of the first value
        for k in range(LINE // self.width):
            mask = builder.trunc(builder.lshr(bits, bits.type(k * self.width)), ir.IntType(self.width))
            count = builder.zext(builder.ctpop(mask), at.type)
            self._pieces.append((builder.bitcast(mask, ir.VectorType(ir.IntType(1), self.width)), count, at))
            at = builder.add(at, count)

    def array(self, k: int) -> Any:
        """The array that is argument ``k``."""
        return self._context.make_array(self._types[k])(self._context, self._builder, self._arguments[k])

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """One of LLVM's own functions, for vectors of a part's type."""
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self._builder.module, kind, f"{name}.{self._name}")
        return self._builder.call(function, arguments)

    def place(self, dense: Any, k: int) -> Any:
        """Where part ``k`` of a dense row is."""
        return self._builder.gep(dense, [ir.IntType(64)(k * self.width)])

    def parts(self, dense: Any) -> list[Any]:
        """A dense row."""
        return [
            _load(self._builder, self.place(dense, k), self.part, self._types[0].dtype)
            for k in range(LINE // self.width)
        ]

    def unfolded(self, source: Any) -> list[Any]:
        """What the row has in ``source``, with zero in all other columns."""
        nothing = ir.Constant(self.part, None)
        return [
            self.call("llvm.masked.expandload", self.part, self._builder.gep(source, [at]), mask, nothing)
            for mask, _, at in self._pieces
        ]

    def fold(self, parts: list[Any], target: Any) -> None:
        """Overwrites what the row has in ``target``."""
        builder = self._builder
        for x, (mask, count, at) in zip(parts, self._pieces, strict=True):
            place = builder.gep(target, [at])
            if not _expands(self._context):
                self.call("llvm.masked.compressstore", ir.VoidType(), x, place, mask)
                continue
            # In a register first: some processors take a hundred cycles to do both at once.
            nothing = ir.Constant(self.part, None)
            together = self.call("llvm.x86.avx512.mask.compress", self.part, x, nothing, mask)
            ones = builder.not_(builder.shl(count.type(-1), count))
            lowest = builder.bitcast(builder.trunc(ones, ir.IntType(self.width)), mask.type)
            pointer = builder.bitcast(place, self.part.as_pointer())
            self.call(
                "llvm.masked.store", ir.VoidType(), together, pointer, ir.IntType(32)(self._align), lowest
            )

    def store(self, parts: list[Any], dense: Any) -> None:
        """Overwrites a dense row."""
        for k, x in enumerate(parts):
            place = self._builder.bitcast(self.place(dense, k), self.part.as_pointer())
            self._builder.store(x, place).align = self._align

    def variables(self, parts: list[Any]) -> list[Any]:
        """Parts that a branch may change."""
        return [cgutils.alloca_once_value(self._builder, x) for x in parts]


def _expands(context: Any) -> bool:
    """Whether code is made for a processor that can unfold."""
    return "+avx512f" in context.codegen().magic_tuple()[2]
