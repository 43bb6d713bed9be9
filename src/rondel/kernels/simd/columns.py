"""The softmax of panels, each of whose 16 columns is one distribution: rows are its logits.

A panel is `rows` x 16 numbers, contiguous. No reduction crosses the lanes of a register, so a
column's result depends on neither its neighbours nor the width of registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types

from rondel.kernels.compiling import intrinsic
from rondel.kernels.simd import llvm_vectors as v
from rondel.kernels.simd.llvm_vectors import FLOAT, INT64, LANES, Value, Vector, exp
from rondel.kernels.simd.unit_groups import PANEL


class _Columns:
    """Emits loops over the rows of `LANES` columns of a panel, from column `lane` on."""

    def __init__(self, builder: Any, rows: Value, panel: Value, lane: int) -> None:
        self._builder, self._rows, self._panel, self._lane = builder, rows, panel, lane

    def load(self, pointer: Value) -> Vector:
        """Emit a load of these columns' numbers from a row of 16."""
        return Vector(self._builder, v.load(self._builder, self._at(pointer)))

    def store(self, value: Vector, pointer: Value) -> None:
        """Emit a store of these columns' numbers to a row of 16."""
        v.store(self._builder, value.value, self._at(pointer))

    def _at(self, pointer: Value) -> Value:
        return v.at(self._builder, pointer, v.integer(self._lane))

    def over_rows(self, first: Vector, body: Callable[[Value, Value, Vector], Vector]) -> Vector:
        """Emit a loop: `body` gets a row's number, its address and the running value."""
        builder = self._builder
        before, loop = builder.block, builder.append_basic_block("rows")
        after = builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        row, running = builder.phi(INT64), builder.phi(v.VECTOR)
        row.add_incoming(v.integer(0), before)
        running.add_incoming(first.value, before)
        where = v.at(builder, self._panel, builder.mul(row, v.integer(PANEL)))
        result = body(row, where, Vector(builder, running))
        following = builder.add(row, v.integer(1))
        row.add_incoming(following, builder.block)
        running.add_incoming(result.value, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, self._rows), loop, after)
        builder.position_at_end(after)
        return result


@intrinsic
def exponentiate_columns(_: Any, rows: Any, panel: Any, bias: Any, largest: Any, sums: Any) -> Any:
    """panel = exp(panel + bias - largest): write each column's largest logit, and its sum.

    `bias` has a number for each row; `largest` and `sums` 16.
    """

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        rows, *addresses = arguments
        panel, bias, largest, sums = (v.pointer(builder, address) for address in addresses)
        for lane in range(0, PANEL, LANES):
            columns = _Columns(builder, rows, panel, lane)

            def add_bias(row: Value, where: Value, running: Vector, of: Any = columns) -> Vector:
                number = v.load(builder, v.at(builder, bias, row), FLOAT)
                logit = of.load(where) + Vector(builder, v.splat(builder, number))
                of.store(logit, where)
                return running.at_least(logit)

            top = columns.over_rows(Vector(builder, v.constant(float("-inf"))), add_bias)

            def raise_e(
                _: Value, where: Value, running: Vector, of: Any = columns, top: Vector = top
            ) -> Vector:
                value = exp(of.load(where) - top)
                of.store(value, where)
                return running + value

            total = columns.over_rows(Vector(builder, v.constant(0.0)), raise_e)
            columns.store(top, largest)
            columns.store(total, sums)
        return context.get_dummy_value()

    n, p = types.intp, types.uintp
    return types.void(n, p, p, p, p), generate


@intrinsic
def scale_columns(_: Any, rows: Any, panel: Any, factors: Any, totals: Any) -> Any:
    """panel *= factors (16); totals (rows, 16) += panel."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        rows, *addresses = arguments
        panel, factors, totals = (v.pointer(builder, address) for address in addresses)
        for lane in range(0, PANEL, LANES):
            columns = _Columns(builder, rows, panel, lane)
            factor = columns.load(factors)

            def scale(
                row: Value, where: Value, running: Vector, of: Any = columns, by: Vector = factor
            ) -> Vector:
                value = of.load(where) * by
                of.store(value, where)
                total = v.at(builder, totals, builder.mul(row, v.integer(PANEL)))
                of.store(of.load(total) + value, total)
                return running

            columns.over_rows(factor, scale)
        return context.get_dummy_value()

    n, p = types.intp, types.uintp
    return types.void(n, p, p, p), generate
