"""Compile the pointwise half of a cell's step, and its gradient, written as vector arithmetic.

A cell's body (see `rondel.kernels.cell_kernels`) emits code for one vector register of a row. It
becomes a C function of addresses, one for each cell and direction, that the passes call for one
group of 16 units at a time; so a pass is compiled once for all cells.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

from numba import types

from rondel.kernels.compiling import call_at_address, compile_now, intrinsic
from rondel.kernels.simd import llvm_vectors as v
from rondel.kernels.simd.llvm_vectors import INT64, LANES, Value, Vector
from rondel.kernels.simd.unit_groups import PANEL

FORWARD = ("gates", "h", "h_next", "c", "c_next", "kept")
BACKWARD = ("gates", "h", "c", "kept", "d_h_next", "d_h", "d_c")
"""Names of the operands, in the order of the compiled function's arguments after `rows`."""


class Operand:
    """One operand of a body: one row, of which it loads and stores one vector register."""

    def __init__(self, builder: Any, pointer: Value, row: Value, width: int, lane: int) -> None:
        self._builder, self._pointer = builder, pointer
        self._row, self._width, self._lane = row, width, lane

    def _where(self, slot: int) -> Value:
        builder = self._builder
        offset = builder.mul(self._row, v.integer(self._width))
        offset = builder.add(offset, v.integer(slot * PANEL + self._lane))
        return v.at(builder, self._pointer, offset)

    def load(self, slot: int = 0) -> Vector:
        """Load from one slot."""
        return Vector(self._builder, v.load(self._builder, self._where(slot)))

    def store(self, value: Vector, slot: int = 0) -> None:
        """Store to one slot."""
        v.store(self._builder, value.value, self._where(slot))

    def load_all(self, slots: int) -> list[Vector]:
        """Load from each of the first `slots` slots."""
        return [self.load(slot) for slot in range(slots)]

    def store_all(self, *values: Vector) -> None:
        """Store to the first slots."""
        for slot, value in enumerate(values):
            self.store(value, slot)


class Operands:
    """The operands of a body: `gates` has the cell's slots, every other operand has one.

    Forward: `h` and `c` are the state before the step, `h_next` and `c_next` the state after it
    (`c` is the second state of a cell that has one, and may share memory with `c_next`). `kept`
    is memory for what backward needs besides gates and states. In training, backward reads `gates`
    as forward leaves them.

    Backward: replaces `gates` by their gradients, given `d_h_next`, the gradient of the new h. Adds
    to `d_h` the gradient of the old h that does not pass through the matmul. Replaces the gradient
    of the new c, in `d_c`, by that of the old c.
    """

    gates: Operand
    h: Operand
    h_next: Operand
    c: Operand
    c_next: Operand
    kept: Operand
    d_h_next: Operand
    d_h: Operand
    d_c: Operand

    def __init__(self, **operands: Operand) -> None:
        self.__dict__.update(operands)


Body = Callable[[Operands], None]


def compile_forward(name: str, slots: int, body: Body) -> Any:
    """Compile a loop of a forward body over rows, or load it from the cache.

    The result's `address` is for `call_forward`. No other body may have the same `name`.
    """

    def over_rows(
        _: Any, rows: Any, gates: Any, h: Any, h_next: Any, c: Any, c_next: Any, kept: Any
    ) -> Any:
        return _signature(FORWARD), _loop(FORWARD, slots, body)

    return _compile(_forward, over_rows, name, body, FORWARD)


def compile_backward(name: str, slots: int, body: Body) -> Any:
    """Compile a backward body for `call_backward`; otherwise as `compile_forward`."""

    def over_rows(
        _: Any,
        rows: Any,
        gates: Any,
        h: Any,
        c: Any,
        kept: Any,
        d_h_next: Any,
        d_h: Any,
        d_c: Any,
    ) -> Any:
        return _signature(BACKWARD), _loop(BACKWARD, slots, body)

    return _compile(_backward, over_rows, name, body, BACKWARD)


@intrinsic
def call_forward(
    _: Any,
    code: Any,
    rows: Any,
    gates: Any,
    h: Any,
    h_next: Any,
    c: Any,
    c_next: Any,
    kept: Any,
) -> Any:
    """Run the compiled forward body at address `code`."""
    return call_at_address(1 + len(FORWARD))


@intrinsic
def call_backward(
    _: Any,
    code: Any,
    rows: Any,
    gates: Any,
    h: Any,
    c: Any,
    kept: Any,
    d_h_next: Any,
    d_h: Any,
    d_c: Any,
) -> Any:
    """Run the compiled backward body at address `code`."""
    return call_at_address(1 + len(BACKWARD))


def _forward(rows: int, gates: int, h: int, h_next: int, c: int, c_next: int, kept: int) -> None:
    over_rows(rows, gates, h, h_next, c, c_next, kept)  # type: ignore[name-defined]  # noqa: F821


def _backward(
    rows: int, gates: int, h: int, c: int, kept: int, d_h_next: int, d_h: int, d_c: int
) -> None:
    over_rows(rows, gates, h, c, kept, d_h_next, d_h, d_c)  # type: ignore[name-defined]  # noqa: F821


def _compile(
    template: Any, over_rows: Any, name: str, body: Body, operands: tuple[str, ...]
) -> Any:
    # The intrinsic is a global of the function, not a closure: a closure is part of the cache key,
    # and an intrinsic is a new object in each process. The name has a checksum of the body's
    # source instead, which may be in another package.
    function = FunctionType(template.__code__, {"over_rows": intrinsic(over_rows)}, name)
    function.__module__ = __name__
    written = body.func if isinstance(body, partial) else body
    source = Path(inspect.getfile(written)).read_bytes()
    function.__qualname__ = f"{name}-{hashlib.sha256(source).hexdigest()[:16]}"
    return compile_now(function, 1 + len(operands))


def _signature(operands: tuple[str, ...]) -> Any:
    return types.void(*[types.int64] * (1 + len(operands)))


def _loop(operands: tuple[str, ...], slots: int, body: Body) -> Callable[..., Value]:
    """Return a generator of code that runs a body on each row, one vector register at a time."""
    widths = [slots * PANEL if operand == "gates" else PANEL for operand in operands]

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        rows, *addresses = arguments
        pointers = [v.pointer(builder, address) for address in addresses]
        before = builder.block
        loop, after = builder.append_basic_block("rows"), builder.append_basic_block("after")
        builder.cbranch(builder.icmp_signed(">", rows, v.integer(0)), loop, after)
        builder.position_at_end(loop)
        row = builder.phi(INT64)
        row.add_incoming(v.integer(0), before)
        for lane in range(0, PANEL, LANES):
            places = [
                Operand(builder, pointer, row, width, lane)
                for pointer, width in zip(pointers, widths, strict=True)
            ]
            body(Operands(**dict(zip(operands, places, strict=True))))
        following = builder.add(row, v.integer(1))
        row.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, rows), loop, after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return generate
