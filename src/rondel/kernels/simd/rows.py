"""Operations on whole rows: copy, add, scale, and the exponentials of a softmax.

`columns`, the length of a row, is a multiple of `PANEL`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from rondel.kernels.compiling import intrinsic
from rondel.kernels.simd import llvm_vectors as v
from rondel.kernels.simd.llvm_vectors import FLOAT, INT64, LANES, Value, Vector, exp

Body = Callable[[Any, Value, list[Value]], list[Vector]]


def _over_columns(builder: Any, columns: Value, totals: list[Value], body: Body) -> list[Value]:
    """Emit a loop over a row: `body` returns new totals from the column and the running totals."""
    before, loop = builder.block, builder.append_basic_block("columns")
    after = builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    column = builder.phi(INT64)
    column.add_incoming(v.integer(0), before)
    running = [builder.phi(total.type) for total in totals]
    for phi, total in zip(running, totals, strict=True):
        phi.add_incoming(total, before)
    results = [result.value for result in body(builder, column, running)]
    following = builder.add(column, v.integer(LANES))
    column.add_incoming(following, builder.block)
    for phi, result in zip(running, results, strict=True):
        phi.add_incoming(result, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, columns), loop, after)
    builder.position_at_end(after)
    return results


def _across(builder: Any, vector: Value, join: Callable[[Value, Value], Value]) -> Value:
    """Emit the reduction of a vector's lanes to one number, in their order."""
    lanes = [builder.extract_element(vector, ir.Constant(v.INT32, i)) for i in range(LANES)]
    total = lanes[0]
    for lane in lanes[1:]:
        total = join(total, lane)
    return total


def _load(builder: Any, where: Value, column: Value) -> Vector:
    return Vector(builder, v.load(builder, v.at(builder, where, column)))


def _store(builder: Any, value: Vector, where: Value, column: Value) -> None:
    v.store(builder, value.value, v.at(builder, where, column))


@intrinsic
def copy_row(_: Any, columns: Any, source: Any, target: Any) -> Any:
    """target = source."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        source, target = (v.pointer(builder, address) for address in arguments[1:])

        def body(builder: Any, column: Value, _: list[Value]) -> list[Vector]:
            _store(builder, _load(builder, source, column), target, column)
            return []

        _over_columns(builder, arguments[0], [], body)
        return context.get_dummy_value()

    return types.void(types.intp, types.uintp, types.uintp), generate


@intrinsic
def add_row(_: Any, columns: Any, source: Any, target: Any) -> Any:
    """target += source."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        source, target = (v.pointer(builder, address) for address in arguments[1:])

        def body(builder: Any, column: Value, _: list[Value]) -> list[Vector]:
            total = _load(builder, target, column) + _load(builder, source, column)
            _store(builder, total, target, column)
            return []

        _over_columns(builder, arguments[0], [], body)
        return context.get_dummy_value()

    return types.void(types.intp, types.uintp, types.uintp), generate


@intrinsic
def multiply_row(_: Any, columns: Any, source: Any, factors: Any, target: Any) -> Any:
    """target = source * factors."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        source, factors, target = (v.pointer(builder, address) for address in arguments[1:])

        def body(builder: Any, column: Value, _: list[Value]) -> list[Vector]:
            product = _load(builder, source, column) * _load(builder, factors, column)
            _store(builder, product, target, column)
            return []

        _over_columns(builder, arguments[0], [], body)
        return context.get_dummy_value()

    return types.void(types.intp, types.uintp, types.uintp, types.uintp), generate


@intrinsic
def scale_row(_: Any, columns: Any, row: Any, factor: Any) -> Any:
    """row *= factor."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        where = v.pointer(builder, arguments[1])
        factor = Vector(builder, v.splat(builder, arguments[2]))

        def body(builder: Any, column: Value, _: list[Value]) -> list[Vector]:
            _store(builder, _load(builder, where, column) * factor, where, column)
            return []

        _over_columns(builder, arguments[0], [], body)
        return context.get_dummy_value()

    return types.void(types.intp, types.uintp, types.float32), generate


@intrinsic
def largest_of_row(_: Any, columns: Any, row: Any) -> Any:
    """The largest number of a row; NaN may be ignored."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        where = v.pointer(builder, arguments[1])

        def body(builder: Any, column: Value, running: list[Value]) -> list[Vector]:
            return [Vector(builder, running[0]).at_least(_load(builder, where, column))]

        start = v.constant(float("-inf"))
        vector = _over_columns(builder, arguments[0], [start], body)[0]
        return _across(
            builder,
            vector,
            lambda x, y: builder.select(builder.fcmp_ordered(">", x, y), x, y),
        )

    return types.float32(types.intp, types.uintp), generate


@intrinsic
def exponentiate_row(_: Any, columns: Any, source: Any, target: Any, shift: Any) -> Any:
    """target = exp(source - shift), about 0 where that is below exp(-87); return the sum."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        source, target = (v.pointer(builder, address) for address in arguments[1:3])
        shift = Vector(builder, v.splat(builder, arguments[3]))

        def body(builder: Any, column: Value, running: list[Value]) -> list[Vector]:
            value = exp(_load(builder, source, column) - shift)
            _store(builder, value, target, column)
            return [Vector(builder, running[0]) + value]

        vector = _over_columns(builder, arguments[0], [v.constant(0.0)], body)[0]
        return _across(builder, vector, builder.fadd)

    return types.float32(types.intp, types.uintp, types.uintp, types.float32), generate


@intrinsic
def number_at(_: Any, where: Any) -> Any:
    """The float32 at an address."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        return v.load(builder, v.pointer(builder, arguments[0]), FLOAT)

    return types.float32(types.uintp), generate


@intrinsic
def set_number(_: Any, where: Any, value: Any) -> Any:
    """Write a float32 to an address."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        v.store(builder, arguments[1], v.pointer(builder, arguments[0]))
        return context.get_dummy_value()

    return types.void(types.uintp, types.float32), generate


@intrinsic
def transpose_square(_: Any, source: Any, source_row: Any, target: Any, target_row: Any) -> Any:
    """Transpose `LANES` rows of `LANES` numbers; the distances of rows are in floats."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        source, target = (v.pointer(builder, arguments[i]) for i in (0, 2))

        def place(pointer: Value, distance: Value, row: int) -> Value:
            return v.at(builder, pointer, builder.mul(distance, v.integer(row)))

        lines = [v.load(builder, place(source, arguments[1], row)) for row in range(LANES)]
        width = LANES // 2
        while width:
            lines = _exchange(builder, lines, width)
            width //= 2
        for row, line in enumerate(lines):
            v.store(builder, line, place(target, arguments[3], row))
        return context.get_dummy_value()

    return types.void(types.uintp, types.intp, types.uintp, types.intp), generate


def _exchange(builder: Any, lines: list[Value], width: int) -> list[Value]:
    """Swap the off-diagonal blocks of `width` lanes in each pair of lines `width` apart."""

    def choose(lanes: list[int]) -> Value:
        return ir.Constant(ir.VectorType(v.INT32, LANES), lanes)

    upper = choose([i if not i & width else LANES + i - width for i in range(LANES)])
    lower = choose([i + width if not i & width else LANES + i for i in range(LANES)])
    result = list(lines)
    for i in range(LANES):
        if not i & width:
            above, below = lines[i], lines[i + width]
            result[i] = builder.shuffle_vector(above, below, upper)
            result[i + width] = builder.shuffle_vector(above, below, lower)
    return result
